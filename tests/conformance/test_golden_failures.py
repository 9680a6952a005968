"""What the console says of failures, word for word: from miniatures, and from the reference node with one bug.

`python -m tests.conformance.test_golden_failures` writes the files anew, for whoever means the texts to change.
Those of the miniatures are compared in `test_miniatures.py`, which plays them anyway.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from conformance.case import load
from conformance.mutants.mutant import load as mutants
from conformance.report.text import failure
from conformance.runner import perform
from conformance.settings import Settings
from tests.conformance.nodes import casty, miniature

if TYPE_CHECKING:
    from conformance.verdict import Outcome

pytestmark = pytest.mark.processes

FOLDER: Final = Path(__file__).with_name("golden")
MINIATURES: Final = (
    ("always_grants", "E-06"),
    ("always_agrees", "R-03"),
    ("accept_and_close", "E-01"),
    ("echo_all", "E-01"),
    ("speaks_garbage", "E-01"),
    ("exits_at_once", "E-01"),
    ("never_ready", "E-01"),
    ("floods_stdout", "E-01"),
    ("leaves_a_child", "E-01"),
)
MUTANTS: Final = (
    ("vote-twice", "E-02"),
    ("append-lower-term", "R-02"),
    ("never-truncate", "R-06"),
    ("pre-vote-adopts-term", "E-29"),
    ("snapshot-no-checksum", "S-08"),
    ("denial-keeps-old-term", "E-05"),
)
CAPS: Final = frozenset({"introspect", "snapshot", "prevote", "checkquorum", "reads", "sessions"})
SILENT: Final = ("deaf", "speaks_garbage", "never_ready", "dishonest")
IMPATIENT: Final = 0.3
"""By which all bounds of time are multiplied where a node is silent, and will be."""


def played(name: str, case_id: str, folder: Path) -> Outcome:
    """What came of the case; what was kept of it is in `folder / "out"`."""
    if (name, case_id) not in MUTANTS:
        command = miniature(name)
    else:
        mutant = next(each for each in mutants() if each.name == name)
        mutant.plant(folder / "mutant")
        command = ["env", f"PYTHONPATH={folder / 'mutant'}", "PYTHONSAFEPATH=1", *casty()]
    settings = Settings(
        command=tuple(command),
        caps=CAPS,
        seed="5eed",
        scale=IMPATIENT if name in SILENT else 1.0,
        out=folder / "out",
        expected_failures={},
    )
    return perform(load()[case_id], settings)


def told(name: str, case_id: str, outcome: Outcome) -> str:
    """The console's text, with everything in it that differs from run to run made alike."""
    outcome = replace(outcome)
    outcome.artifacts = f"conformance-results/cases/{case_id}" if outcome.artifacts else ""
    outcome.seconds = 0.28
    outcome.got = outcome.got.replace(sys.executable, "python")  # before the lines are broken
    text = failure(load()[case_id], outcome)
    return _alike(text, keeps_last_words=(name, case_id) in MINIATURES) + "\n"


def _alike(text: str, *, keeps_last_words: bool) -> str:
    if not keeps_last_words:
        text = re.sub(r"\n  note   n\d said: .*(\n {9}\S.*)*", "", text)
    for pattern, instead in (
        (r"frame #\d+", "frame #14"),
        (r"record \d+", "record 14"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:40000"),
        (r"after \d+ bytes that make no", "after 212 bytes that make no"),
        (r"(one of |n1→)n[23]\b(?=\n|, 135 B)", r"\1n2"),  # peers say hello side by side
    ):
        text = re.sub(pattern, instead, text)
    return text


@pytest.mark.parametrize(("name", "case_id"), MUTANTS)
def test_a_failure_is_told_in_these_words(tmp_path: Path, name: str, case_id: str) -> None:
    outcome = played(name, case_id, tmp_path)
    assert told(name, case_id, outcome) == golden(name, case_id).read_text(encoding="utf-8")


def test_no_golden_text_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {golden(*each).name for each in (*MINIATURES, *MUTANTS)}


def golden(name: str, case_id: str) -> Path:
    """The file with the text."""
    return FOLDER / f"{name}.{case_id}.txt"


def main() -> None:
    """Writes all files anew, and says which have changed."""
    for name, case_id in (*MINIATURES, *MUTANTS):
        path = golden(name, case_id)
        with tempfile.TemporaryDirectory() as folder:
            text = told(name, case_id, played(name, case_id, Path(folder)))
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(os.path.relpath(path))


if __name__ == "__main__":
    main()
