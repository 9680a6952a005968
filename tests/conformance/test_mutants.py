"""The planted bugs are whole: every rule that can be tested and every case has one, each at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from conformance import traceability
from conformance._rules import RULES
from conformance.case import Layer, Level, load
from conformance.mutants.mutant import REFERENCE, DriftError, Mutant, broken
from conformance.mutants.mutant import load as load_mutants
from conformance.mutants.table import Row, document

if TYPE_CHECKING:
    from pathlib import Path

MUTANTS: Final = load_mutants()
HARMFUL: Final = [mutant for mutant in MUTANTS if mutant.killed_by]
BENIGN: Final = [mutant for mutant in MUTANTS if not mutant.killed_by]


def test_every_must_that_can_be_tested_is_broken_by_a_mutant() -> None:
    cases = load()
    musts = {rule.id for rule in RULES.values() if rule.level == "MUST"} - traceability.excuses().keys()
    assert sorted(musts - {rule for mutant in HARMFUL for rule in broken(mutant, cases)}) == []


def test_every_case_is_seen_to_fail() -> None:
    """A case that no mutant names may be one that cannot fail. There is no exception, and none is foreseen."""
    named = {id for mutant in HARMFUL for id in mutant.killed_by}
    assert sorted(load().keys() - named) == []


def test_a_mutant_breaks_only_rules_of_the_cases_that_find_it() -> None:
    cases = load()
    for mutant in HARMFUL:
        assert set(mutant.killed_by) <= cases.keys(), mutant.name
        cited = {rule for id in mutant.killed_by for rule in cases[id].rules}
        assert set(mutant.rules) <= cited, mutant.name


def test_each_line_to_change_is_there_exactly_once() -> None:
    for mutant in MUTANTS:
        for file, find, replace in ((mutant.file, mutant.find, mutant.replace), *mutant.also):
            found = (REFERENCE / file).read_text(encoding="utf-8").count(find)
            assert found == 1, f"{mutant.name}: casty/{file} has {find!r} {found} times"
            assert find != replace, mutant.name


def test_a_line_that_is_no_longer_there_is_drift(tmp_path: Path) -> None:
    mutant = Mutant("moved", "raft/quorum.py", "no such line", "", ("E-01",))
    with pytest.raises(DriftError, match=r"moved: casty/raft/quorum\.py has 'no such line' 0 times, not once"):
        mutant.plant(tmp_path)


def test_a_benign_mutant_leaves_out_no_more_than_what_a_should_asks_for() -> None:
    cases = load()
    assert len(BENIGN) >= 2
    for mutant in BENIGN:
        assert mutant.rules == (), mutant.name
        for case in map(cases.__getitem__, mutant.nonstrict):
            assert (case.level, case.layer) == (Level.STRICT, Layer.SCRIPTED), mutant.name
    assert not any(mutant.nonstrict for mutant in HARMFUL)


def test_the_table_tells_what_changed_what_broke_and_who_survived() -> None:
    found = Mutant("found", "raft/quorum.py", "same\na | b\nend", "same\nend", ("E-02", "P-01"))
    also = (("wire/frames.py", "old", "old\nnew"),)
    change = ("    x = 1\n    if x:", "    x = 2\n    y = 3\n    if x:")
    missed = Mutant("missed", "raft/log.py", *change, ("E-06", "E-10"), ("ELECT-3",), also)
    text = document([Row(found, ("E-02", "P-01")), Row(missed, ("E-10",))], load())
    assert text.splitlines()[6:] == [
        "| mutant | change | rules broken | killed by |",
        "|---|---|---|---|",
        "| found | raft/quorum.py: without `a \\| b` | VOTE-2, PERSIST-1 | E-02, P-01 |",
        "| missed | raft/log.py: `x = 1` → `x = 2 y = 3`; wire/frames.py: with `new` | ELECT-3 | E-10 |",
        "",
        "## Survivors",
        "",
        "- missed, which E-06 did not find",
    ]
