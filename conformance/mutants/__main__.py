"""`python -m conformance.mutants`: plants every bug of the table and sees that the case it names finds it.

    python -m conformance.mutants                     all of them, two at a time
    python -m conformance.mutants --only 'vote-*'     some
    python -m conformance.mutants --sample 24         some, spread over all that need no nightly case
    python -m conformance.mutants --table FILE        also write who killed whom, as markdown
    python -m conformance.mutants --benign            the harmless changes, through every scripted case
    python -m conformance.mutants --reference CMD     another implementation, where a case wants one

A case that cannot be played, for want of a program of the system or of the other implementation, finds nothing:
its mutants survive.

Exit status 0: all were found (or, benign, none complained about). 1: some were not as they should be; they are
listed, and the survivors in the table.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from casty_console import program
from conformance.case import Layer, load
from conformance.mutants.mutant import Mutant
from conformance.mutants.mutant import load as load_mutants
from conformance.mutants.table import Row, document
from conformance.probe import time_scale
from conformance.runner import perform
from conformance.settings import Settings
from conformance.verdict import Outcome, State

_FOUND = (State.FAIL, State.NONSTRICT)
REFERENCE = ("node", str(Path(__file__).resolve().parents[1] / "javascript" / "node.mjs"))
"""The other implementation of mixed clusters, unless another is named."""
CAPABILITIES = frozenset({"introspect", "snapshot", "prevote", "checkquorum", "skip", "tls", "mtls"})


@dataclass(frozen=True, slots=True)
class Result:
    """What the cases said of one mutant."""

    mutant: Mutant
    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def wrong(self) -> list[Outcome]:
        """Outcomes that are not as they should be: a killer that passed, or a benign change that did not."""
        return [outcome for outcome in self.outcomes if not self._is_right(outcome)]

    @property
    def killers(self) -> tuple[str, ...]:
        """The cases that found it."""
        return tuple(outcome.case for outcome in self.outcomes if outcome.state in _FOUND)

    def _is_right(self, outcome: Outcome) -> bool:
        if self.mutant.killed_by:
            return outcome.state in _FOUND
        if outcome.case in self.mutant.nonstrict:
            return outcome.state is State.NONSTRICT
        return outcome.state in (State.PASS, State.SKIP)


@program
def main() -> int:
    """Runs the command line and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", help="those whose name fits this pattern")
    parser.add_argument("--benign", action="store_true")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many of them, spread over the table")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--table", type=Path)
    parser.add_argument(
        "--reference", default=shlex.join(REFERENCE), metavar="CMD", help="the other node of mixed clusters"
    )
    parsed = parser.parse_args()
    if parsed.benign and parsed.table is not None:
        parser.error("--table tells of killed mutants; nobody kills a benign one")
    chosen = [
        mutant
        for mutant in load_mutants()
        if fnmatchcase(mutant.name, parsed.only) and parsed.benign is not bool(mutant.killed_by)
    ]
    sample: int | None = parsed.sample
    if sample is not None:
        chosen = [mutant for mutant in chosen if not _takes_minutes(mutant)]
        sample = min(sample, len(chosen))
        chosen = [chosen[at * len(chosen) // sample] for at in range(sample)]
    scale = time_scale()
    reference = tuple(shlex.split(parsed.reference))
    results: list[Result] = []
    with ProcessPoolExecutor(parsed.jobs) as pool:
        for result in pool.map(run, chosen, [scale] * len(chosen), [reference] * len(chosen)):
            results.append(result)
            verdict = "SURVIVED" if result.wrong else ("killed" if result.mutant.killed_by else "harmless")
            shown = result.wrong or result.outcomes[:3]
            said = ", ".join(f"{outcome.case} {outcome.state}" for outcome in shown)
            print(f"{verdict:<9} {result.mutant.name:<40} {said}  {result.seconds:.1f}s", flush=True)
    survivors = [result for result in results if result.wrong]
    print(f"{len(results) - len(survivors)} of {len(results)} as they should be")
    if parsed.table is not None:
        rows = [Row(result.mutant, result.killers) for result in results]
        parsed.table.write_text(document(rows, load()), encoding="utf-8")
    return 1 if survivors or not results else 0


def run(mutant: Mutant, scale: float, reference: tuple[str, ...] = REFERENCE) -> Result:
    """Plants one mutant and plays the cases that are to find it (all scripted ones, for a benign one)."""
    cases = load()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="conformance-mutant-") as name:
        folder = Path(name)
        mutant.plant(folder)
        settings = Settings(
            command=("env", f"PYTHONPATH={folder}", sys.executable, "-P", "-m", "casty.cli", "node"),
            impl=f"casty with {mutant.name}",
            caps=CAPABILITIES,
            out=folder / "results",
            seed=mutant.name,
            scale=scale,
            expected_failures={},
            reference=reference if reference and shutil.which(reference[0]) else (),
        )
        ids = mutant.killed_by or [id for id, case in cases.items() if case.layer is Layer.SCRIPTED]
        outcomes = tuple(perform(cases[id], settings) for id in ids)
    return Result(mutant, outcomes, time.monotonic() - began)


def _takes_minutes(mutant: Mutant) -> bool:
    """Whether a nightly case is to find it."""
    cases = load()
    return any("nightly" in cases[id].tags for id in mutant.killed_by)


if __name__ == "__main__":
    sys.exit(main())
