"""Some hundred clusters, each with its own faults. A failing seed names the command that replays it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.sim.plan import FAULTS, OLD_COPY, draw_plan
from tests.sim.run import run_seed

ROOT = Path(__file__).resolve().parent.parent.parent
SEEDS_PER_CHUNK = 10
SEEDS = 300


def run_or_fail(seeds: range) -> Counter[str]:
    """What the seeds went through, all together. Fails with the command that replays the first that broke."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        outcome = run_seed(seed)
        if outcome.failure is not None:
            pytest.fail(
                f"seed {seed}: {outcome.verdict}: {outcome.failure}\n"
                f"replay it with: tools/simulate.py --seed {seed} --trace",
                pytrace=False,
            )
        counts += outcome.counts
        if outcome.below_floor:
            counts[f"below the floor: {outcome.verdict}"] += 1
    return counts


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_PER_CHUNK))
def test_every_seed_keeps_every_rule(first: int) -> None:
    counts = run_or_fail(range(first, first + SEEDS_PER_CHUNK))
    assert counts["commands committed"] > 30 * SEEDS_PER_CHUNK // 2
    assert counts["elections"] > SEEDS_PER_CHUNK
    assert counts["below the floor: live"] <= 2, "live runs reach the floor, but for those of one server"


@pytest.mark.timeout(300)  # ten times what it takes: a loaded machine is no failure
def test_the_seeds_meet_every_kind_of_fault() -> None:
    """A simulation that stopped producing something would stop finding what depends on it."""
    counts = run_or_fail(range(SEEDS, SEEDS + 40))
    missing = [kind for kind in FAULTS if not counts[f"fault: {kind}"]]
    assert not missing
    assert counts["snapshots restored"] > 0
    assert counts["lost disks"] > 0
    assert counts["outcome lost"] > 0
    assert counts["barriers passed"] > 1000


@pytest.mark.timeout(300)
def test_older_copies_of_disks_are_told_apart() -> None:
    """HELLO-11, LEADER-10: by what was said of them, and by a leader that nobody told anything."""
    told, found = (402, 547, 557, 624), (436, 533)
    assert all(OLD_COPY in draw_plan(seed).faults for seed in (*told, *found))
    counts: Counter[str] = Counter()
    for seed in told:
        counts += run_or_fail(range(seed, seed + 1))
    assert counts["old copies refused"] > 0
    for seed in found:
        counts = run_or_fail(range(seed, seed + 1))
        assert counts["losses found"] > 0, seed


@pytest.mark.parametrize("seed", [1, 6, 23])
def test_a_seed_has_one_history(seed: int) -> None:
    """Twice in this process, and in two others whose hashes differ: the transcripts are equal to the byte."""
    here = run_seed(seed, traced=True).trace
    assert run_seed(seed, traced=True).trace == here
    command = [sys.executable, str(ROOT / "tools" / "simulate.py"), "--seed", str(seed), "--trace"]
    printed = [
        subprocess.run(
            command,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert "\n".join(here) in printed[0]
