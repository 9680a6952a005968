"""The node in JavaScript: its own tests, and a handful of cases that it shares with every other node."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
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
NEEDED = 20
"""The first version of Node.js that has all it uses."""
OWN_SECONDS = 100
"""Its own tests take ten on two idle cores; a bound, not a wait."""


@cache
def why_not() -> str:
    """Why it cannot be run here; empty where it can."""
    if shutil.which("node") is None:
        return "Node.js is not installed"
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=30).stdout.strip()
    version = re.match(r"v(\d+)\.", said)
    if version is None or int(version[1]) < NEEDED:
        return f"Node.js {NEEDED} or later is needed, this is {said or 'silent about its version'}"
    return ""


pytestmark = [pytest.mark.processes, pytest.mark.skipif(bool(why_not()), reason=why_not() or "it runs here")]


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


@pytest.mark.parametrize("id", ["F-01", "M-01", "E-03", "E-06", "R-06", "R-22", "P-03", "S-02", "K-06", "L-06"])
def test_it_passes_what_every_node_must(play: Callable[[str], str], id: str) -> None:
    assert play(id) == "PASS"
