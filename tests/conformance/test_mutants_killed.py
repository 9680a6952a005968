"""What the last whole run has found, as committed, is about the table as it is now."""

from __future__ import annotations

from conformance.case import load
from conformance.mutants.mutant import load as load_mutants
from conformance.mutants.table import FILE, Row, document


def test_the_committed_table_names_every_mutant_and_no_survivor() -> None:
    rows = [Row(mutant, mutant.killed_by) for mutant in load_mutants() if mutant.killed_by]
    command = f"python -m conformance.mutants --table conformance/mutants/{FILE.name}"
    assert FILE.read_text(encoding="utf-8") == document(rows, load()), command
