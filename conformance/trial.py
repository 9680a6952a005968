"""A trial: a command under test, from the first question to the reports."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from casty_console import complain
from conformance import probe
from conformance.case import load
from conformance.front import Exit, play
from conformance.report.console import Console
from conformance.report.files import forget_reports, write_reports
from conformance.report.text import broken, nearby, program
from conformance.verdict import State, Unmet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.case import Case
    from conformance.front import Run
    from conformance.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a trial is held, apart from what the cases get to know."""

    workers: int = 1
    is_strict: bool = False
    """NONSTRICT fails the run."""
    is_verbose: bool = False
    may_skip: frozenset[str] | None = None
    """The cases that need not be played, where the node or the machine lacks what they need; None for all."""


def hold(settings: Settings, cases: Sequence[Case], manner: Manner) -> tuple[Exit, Run | None]:
    """Asks the command what it is, and whether it starts at all, plays the cases, and writes the reports; None
    where nothing was played.

    Raises `CommandError` where there is no such program.
    """
    if settings.reference:
        probe.check_program(settings.reference[0])
    forget_reports(settings.out)
    try:
        described = probe.describe(settings.command, settings.scale)
        if len(cases) > 1:
            asyncio.run(probe.start(settings.command, settings.scale))
    except Unmet as unmet:
        say(f"{shlex.join(settings.command)}")
        say(f"does not keep the launch contract: expected {unmet.expected}, got {unmet.got}")
        rules = broken([], unmet.expected) or ["LAUNCH-2"]
        say(f"nothing was played; `{program()} explain {rules[0]}` says what is asked of it")
        return Exit.FAILED, None
    settings = replace(settings, impl=described.impl, caps=described.caps)
    settings.out.mkdir(parents=True, exist_ok=True)
    catalogue = load()
    selected = len(cases) * settings.repeat
    console = Console(catalogue, selected, verbose=manner.is_verbose)
    console.begin(described.impl, settings.command, settings.seed, manner.workers)
    run = play(settings, cases, workers=manner.workers, junit=settings.out / "junit.xml", audience=console)
    status = run.status(selected, strict=manner.is_strict, may_skip=manner.may_skip)
    reports = write_reports(settings, run, status, catalogue, selected)
    console.end(run.outcomes, run.seconds, verdict(described.impl, run, status), reports)
    for trouble in run.trouble:
        say(trouble)
    for outcome in run.unplayed(manner.may_skip):
        say(f"{outcome.case} was not played, and no baseline says so: {outcome.state}: {outcome.reason}")
    if run.interrupted:
        ended = len(run.outcomes)
        place = nearby(settings.out / "cases")
        say(f"interrupted after {ended} of {selected}; all nodes are ended, what was played is kept in {place}")
    return status, run


def verdict(impl: str, run: Run, status: Exit) -> str:
    """The one sentence."""
    match status:
        case Exit.CONFORMS:
            return f"{impl} conforms, as far as these cases go"
        case Exit.FAILED if {State.FAIL, State.NONSTRICT}.isdisjoint(outcome.state for outcome in run.outcomes):
            return f"{impl} does better than the baseline says, which is to be told: {_named(run, State.XPASS)}"
        case Exit.FAILED:
            return f"{impl} does not conform: {_named(run, State.FAIL, State.XPASS, State.NONSTRICT)}"
        case Exit.INCONCLUSIVE:
            unknown = _named(run, State.INCONCLUSIVE) or _named(run, State.SKIP, State.UNSUPPORTED)
            return f"nothing wrong was seen, but not all is known: {unknown}"
        case Exit.INTERRUPTED:
            return "interrupted: nothing is said about the node"
        case _:
            return f"the suite went wrong: {_named(run, State.HARNESS_ERROR) or 'see below'}"


def _named(run: Run, *states: State) -> str:
    parts: list[str] = []
    for state in states:
        ids = sorted({outcome.case for outcome in run.outcomes if outcome.state is state})
        if ids:
            more = f" and {len(ids) - 10} more" if len(ids) > 10 else ""
            parts.append(f"{state} {' '.join(ids[:10])}{more}")
    return ", ".join(parts)


def say(text: str) -> None:
    """To standard error, with the program's name."""
    complain(f"conformance: {text}")
