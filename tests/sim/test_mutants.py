"""The simulator finds bugs: a few that it finds at once; `tools/simulate.py --mutants` plants them all."""

from __future__ import annotations

from pathlib import Path

import pytest

import casty
from tests.sim.mutants import source_of, try_mutant
from tests.sim.planted import PLANTED, Mutant

QUICK = (
    "votes twice in a term",
    "forms with a majority",
    "acknowledgements of learners count",
    "acknowledges before it is durable",
    "a leader counts itself before that is durable",
    "commits with one server too few",
    "says installed before that is durable",
    "heartbeats do not restart the timer",
)


@pytest.mark.parametrize("mutant", [mutant for mutant in PLANTED if mutant.name in QUICK], ids=lambda m: m.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    assert try_mutant(mutant, range(20)).seed is not None


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name)
def test_every_mutant_fits_the_core(mutant: Mutant) -> None:
    """Otherwise nobody would notice that a mutant has gone stale."""
    source_of(mutant, Path(casty.__file__).parent)
