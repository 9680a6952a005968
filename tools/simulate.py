#!/usr/bin/env python3
"""Whole Raft clusters in virtual time, one for each seed, with everything going wrong and everything checked.

    tools/simulate.py --seeds 0..1000             run these, in this order, and sum up
    tools/simulate.py --seeds 0..1000000 --minutes 10 --jobs 2
    tools/simulate.py --seed 230 --trace          replay one and print what happened
    tools/simulate.py --mutants                   plant bugs in the core and see that they are found

Exit status 0: every seed kept every rule. 1: one did not; the command that replays it is printed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from itertools import islice
from multiprocessing import Pool
from pathlib import Path
from typing import TYPE_CHECKING

# Behind everything else, so that `PYTHONPATH` may point to another core (the mutants do).
sys.path.append(str(Path(__file__).resolve().parent.parent))

from casty_console import program
from tests.sim.run import run_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sim.run import Outcome

LAST_LINES = 40


@program
def main() -> int:
    """Runs what the command line names; 1 where a seed broke a rule."""
    arguments = _parse()
    if arguments.mutants:
        from tests.sim.mutants import run_mutants

        return run_mutants(arguments.jobs, arguments.only)
    if arguments.until_failure is not None:
        return _run_until_failure(arguments.until_failure)
    if arguments.seed is not None:
        return _replay(arguments.seed, traced=arguments.trace)
    return _run_many(arguments)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seeds", type=_range, default=range(100), metavar="A..B", help="from A up to B, without B"
    )
    parser.add_argument("--seed", type=int, help="just this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: print everything that happened")
    parser.add_argument("--jobs", type=_jobs, default=2, help="processes to use")
    parser.add_argument("--minutes", type=_minutes, help="begin no more seeds after this time")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    parser.add_argument(
        "--until-failure", type=_range, metavar="A..B", help="print the first failure, in short"
    )
    parser.add_argument("--mutants", action="store_true", help="test the simulator instead of the core")
    parser.add_argument("--only", help="with --mutants: those whose name matches this pattern")
    return parser.parse_args()


def _jobs(text: str) -> int:
    jobs = int(text)
    if not 1 <= jobs <= 1024:
        raise argparse.ArgumentTypeError(f"{jobs} is no number of processes from 1 to 1024")
    return jobs


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes <= 1e6:  # as NaN is not
        raise argparse.ArgumentTypeError(f"{text!r:.80} is no time: more than 0 minutes")
    return minutes


def _range(text: str) -> range:
    first, _, end = text.partition("..")
    return range(int(first), int(end))


def _replay(seed: int, *, traced: bool) -> int:
    outcome = run_seed(seed, traced=traced)
    if traced:
        print("   time  node role          term  event")
        print("\n".join(outcome.trace))
    print(f"seed {seed}: {outcome.verdict}, {outcome.virtual_ms / 1000:.1f} s of virtual time")
    for name, count in sorted(outcome.counts.items()):
        print(f"  {name}: {count}")
    if outcome.failure is None:
        return 0
    print(f"{outcome.verdict}: {outcome.failure}")
    return 1


def _run_until_failure(seeds: range) -> int:
    for seed in seeds:
        outcome = run_seed(seed)
        if outcome.failure is not None:
            print(seed, outcome.verdict)
            return 1
    return 0


def _run_many(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    total = Summary()
    for outcome in _outcomes(arguments.seeds, arguments.jobs, arguments.minutes):
        total.add(outcome)
        if outcome.failure is not None:
            _explain(outcome.seed)
            if not arguments.keep_going:
                break
    total.say(time.monotonic() - began)
    return 1 if total.failed else 0


def _outcomes(seeds: range, jobs: int, minutes: float | None) -> Iterator[Outcome]:
    """In the order of the seeds, whatever the number of jobs."""
    until = time.monotonic() + 60 * minutes if minutes is not None else None
    waiting = iter(seeds)
    with Pool(jobs) as pool:
        while batch := list(islice(waiting, 20 * jobs)):
            yield from pool.imap(run_seed, batch)
            if until is not None and time.monotonic() > until:
                return


def _explain(seed: int) -> None:
    """Runs a failed seed again, for its last lines: they are not kept while all is well."""
    outcome = run_seed(seed, traced=True)
    print(f"seed {seed} broke an invariant: {outcome.verdict}")
    print(f"  {outcome.failure}")
    print("   time  node role          term  event")
    print("\n".join(line[:200] for line in outcome.trace[-LAST_LINES:]))
    print(f"replay it with: tools/simulate.py --seed {seed} --trace\n")


class Summary:
    """What many seeds went through, and which of them went through too little."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.failed: list[int] = []
        self.below_floor: list[int] = []
        self.virtual_ms = 0

    def add(self, outcome: Outcome) -> None:
        self.counts += outcome.counts
        self.verdicts[outcome.verdict] += 1
        self.virtual_ms += outcome.virtual_ms
        if outcome.failure is not None:
            self.failed.append(outcome.seed)
        elif outcome.below_floor:
            self.below_floor.append(outcome.seed)

    def say(self, seconds: float) -> None:
        seeds = self.verdicts.total()
        print(f"{seeds} seeds in {seconds:.0f} s ({seeds / max(seconds, 0.001):.1f}/s)")
        print(f"{self.virtual_ms / 3_600_000:.2f} hours of virtual time")
        print("verdicts: " + ", ".join(f"{count} {name}" for name, count in self.verdicts.most_common()))
        for name, count in sorted(self.counts.items()):
            print(f"  {name}: {count}")
        if self.below_floor:
            print(f"below the floor, as their faults allow no more: {self.below_floor}")
        if self.failed:
            print("FAILED: " + ", ".join(map(str, self.failed)))


if __name__ == "__main__":
    sys.exit(main())
