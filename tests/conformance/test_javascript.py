"""The node in JavaScript: its own tests, and a handful of cases that it shares with every other node."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import conformance
from conformance.case import load
from conformance.runner import perform
from conformance.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(conformance.__file__).parent / "javascript"
OWN_SECONDS = 100
"""Its own tests take ten on two idle cores; a bound, not a wait."""


pytestmark = [pytest.mark.processes, pytest.mark.needs("node.js")]


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Plays a case against it and gives the outcome's state, with what was wrong where it did not pass."""
    command = ("node", str(FOLDER / "node.mjs"))
    said = subprocess.run([*command, "--describe"], capture_output=True, text=True, timeout=30, check=True)
    caps = frozenset(json.loads(said.stdout)["caps"])
    out = tmp_path_factory.mktemp("javascript")
    settings = Settings(command=command, caps=caps, out=out, expected_failures={})

    def played(id: str) -> str:
        outcome = perform(load()[id], settings)
        return " ".join(filter(None, (outcome.state, outcome.reason, outcome.expected, outcome.got)))

    return played


@pytest.mark.timeout(OWN_SECONDS + 20)
def test_its_own_tests_pass() -> None:
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "--test-concurrency=4"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=OWN_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None, done.stdout
    assert int(passed[1]) >= len([*FOLDER.glob("*.test.mjs")]), "some of its tests were not found"
    left_out = re.findall(r"^# (?:cancelled|skipped|todo) [1-9].*$", done.stdout, re.MULTILINE)
    assert left_out == [], "every one of its tests is to run"


@pytest.mark.parametrize("id", ["F-01", "M-01", "E-03", "E-06", "R-06", "R-22", "P-03", "S-02", "K-06", "L-06"])
def test_it_passes_what_every_node_must(play: Callable[[str], str], id: str) -> None:
    assert play(id) == "PASS"
