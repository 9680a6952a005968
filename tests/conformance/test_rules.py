"""Every MUST has a case or a reason why it has none, and the table says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance import traceability
from conformance.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_every_must_has_a_case_or_an_excuse() -> None:
    assert traceability.complaints() == []


def test_the_table_is_up_to_date() -> None:
    assert traceability.is_current(traceability.document()), "conformance rules --write"


def test_a_gap_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    excuses = tmp_path / "untestable.toml"
    excuses.write_text('VOTE-2 = "too hard"\nVOTE-99 = "what?"\n')
    monkeypatch.setattr(traceability, "UNTESTABLE", excuses)
    cases = traceability.checked_by() | {"VOTE-3": []}
    monkeypatch.setattr(traceability, "checked_by", lambda: cases)
    assert main(["rules", "--check"]) == 1
    said = capsys.readouterr().err
    assert "VOTE-3 is a MUST without a case: A voter denies" in said
    assert "excuses VOTE-2, which E-01, " in said
    assert "excuses VOTE-99, which is no rule" in said
    assert "RULES.md is out of date: conformance rules --write" in said


def test_the_table_goes_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(
        line.startswith("| [VOTE-3](../spec/raft.md#vote-3) | MUST | ") and "E-06" in line for line in lines
    )
    assert any(line.startswith("| E-06 | A candidate whose last term is older") for line in lines)
