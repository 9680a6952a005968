"""Bugs planted in the core, one line each, to see that the simulator finds them.

A checker that never fails proves nothing. Each mutant is a text replaced in one file of a copy of the library;
the simulator must fail on it within a bounded number of seeds. One whose text is gone must be brought up to
date.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import casty
from tests.sim.planted import PLANTED

if TYPE_CHECKING:
    from tests.sim.planted import Mutant

ROOT = Path(__file__).resolve().parent.parent.parent
SEEDS_MAX = 400
"""No mutant may need more."""


class Fate(NamedTuple):
    mutant: Mutant
    seed: int | None
    """The first seed that found it; None if it survived."""
    invariant: str


def run_mutants(jobs: int = 2, only: str | None = None) -> int:
    """Runs all mutants, prints a table, and returns 1 if one survived."""
    chosen = [mutant for mutant in PLANTED if only is None or re.search(only, mutant.name)]
    for mutant in chosen:
        source_of(mutant, Path(casty.__file__).parent)
    survivors = 0
    with ThreadPoolExecutor(jobs) as pool:
        for fate in pool.map(try_mutant, chosen):
            survivors += fate.seed is None
            found = "SURVIVES" if fate.seed is None else f"seed {fate.seed}"
            print(f"{fate.mutant.name:<44} {fate.mutant.rule:<10} {found:<10} {fate.invariant}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} found")
    return 1 if survivors else 0


def try_mutant(mutant: Mutant, seeds: range = range(SEEDS_MAX)) -> Fate:
    """Plants the bug in a copy of the library, and runs seeds on that until one fails."""
    with TemporaryDirectory() as place:
        library = Path(casty.__file__).parent
        copytree(library, Path(place, "casty"), ignore=ignore_patterns("__pycache__"))
        plant(mutant, Path(place))
        run = subprocess.run(
            [sys.executable, ROOT / "tools" / "simulate.py", "--until-failure", f"{seeds.start}..{seeds.stop}"],
            env=os.environ | {"PYTHONPATH": place, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode not in (0, 1) or run.stderr:
        raise AssertionError(f"{mutant.name}: {run.stderr[-2000:]}")
    seed, _, invariant = run.stdout.strip().partition(" ")
    return Fate(mutant, int(seed) if run.returncode else None, invariant)


def plant(mutant: Mutant, place: Path) -> None:
    path, source = source_of(mutant, place / "casty")
    path.write_text(source.replace(mutant.old, mutant.new))


def source_of(mutant: Mutant, library: Path) -> tuple[Path, str]:
    """The file to change. Raises AssertionError unless the text to replace is there exactly once."""
    path = library / "raft" / mutant.file
    source = path.read_text()
    count = source.count(mutant.old)
    assert count == 1, f"{mutant.name}: its text stands {count} times in {mutant.file}; bring it up to date"
    return path, source
