"""The first thing the README tells a reader to type."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.processes
@pytest.mark.timeout(120)
def test_the_demonstration_loses_nothing_and_says_so() -> None:
    """COMMIT-4, SNAP-8: two leaders killed under load, one return through the log, one through a snapshot."""
    done = subprocess.run(
        [sys.executable, "-m", "casty.cli", "demo"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="ascii",
        timeout=100,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C", "PYTHONUTF8": "0"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every one is there" in done.stdout
    assert "catches up from the log" in done.stdout
    assert "catches up through a snapshot" in done.stdout
    assert done.stdout.endswith("...\n")  # what ASCII lacks has an equivalent
    assert "\x1b" not in done.stdout  # no terminal, no colours
