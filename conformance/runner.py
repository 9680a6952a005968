"""One case, played: from the catalogue's entry to an outcome, with nothing left running."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
import traceback
from random import Random
from typing import TYPE_CHECKING

from conformance.case import Level
from conformance.node.means import missing
from conformance.stage import Stage
from conformance.trace.invariants import check
from conformance.trace.record import Sent
from conformance.trace.store import Trace
from conformance.verdict import HarnessError, Outcome, State, Undecided, Unmet, Unplayable
from conformance.wire.describe import hexdump

if TYPE_CHECKING:
    from pathlib import Path

    from conformance.case import Case
    from conformance.settings import Settings
    from conformance.wire.frame import Frame


def perform(case: Case, settings: Settings, repeat: int = 0) -> Outcome:
    """Plays a case against the node of the settings and says what came of it. Never raises for a node's
    mistakes."""
    seed = f"{settings.seed}/{case.id}/{repeat}"
    began = time.monotonic()
    outcome = Outcome(case.id, State.PASS, 0.0, seed, repeat)
    lacking = case.capabilities - settings.caps
    if lacking:
        outcome.state, outcome.reason = State.UNSUPPORTED, f"not declared: {', '.join(sorted(lacking))}"
        return outcome
    if reason := missing(case.tools):
        outcome.state, outcome.reason = State.SKIP, reason
        return outcome
    folder = settings.out / "cases" / (case.id if settings.repeat == 1 else f"{case.id}.{repeat}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    asyncio.run(_play(case, settings, folder, outcome))
    outcome.seconds = time.monotonic() - began
    _judge(case, settings, outcome)
    if settings.keep or outcome.state in (State.FAIL, State.NONSTRICT, State.INCONCLUSIVE, State.HARNESS_ERROR):
        outcome.artifacts = str(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


async def _play(case: Case, settings: Settings, folder: Path, outcome: Outcome) -> None:
    with contextlib.closing(Trace(folder / "wire.jsonl")) as trace:
        stage = Stage(case, settings, trace, folder, outcome.seed)
        bound = case.seconds * settings.scale
        limit = asyncio.timeout(bound)
        try:
            async with limit:
                await case.play(stage)
        except Unmet as unmet:
            _fail(outcome, trace, unmet)
        except Unplayable as reason:
            outcome.state, outcome.reason = State.SKIP, str(reason)
        except Undecided as reason:
            outcome.state, outcome.reason = State.INCONCLUSIVE, str(reason)
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                _fail(outcome, trace, Unmet(f"the case to end within {bound:.0f} s", "no end of it"))
            else:
                _blame_harness(outcome, error)
        finally:
            try:
                await stage.close()
            except Exception as error:
                _blame_harness(outcome, error)
        _look_back(stage, outcome)


def _look_back(stage: Stage, outcome: Outcome) -> None:
    """What the whole trace shows, whatever the case was about; and how the processes left."""
    broken = check(stage.trace)
    remarks = [f"{node.node_id}: {remark}" for node in stage.nodes for remark in node.remarks]
    if outcome.state is State.PASS and broken:
        first = broken[0]
        record = stage.trace[first.records[-1]] if first.records else None
        frame = record.frame if isinstance(record, Sent) else None
        expected = f"{first.invariant} ({', '.join(first.rules)}) to hold over the whole trace"
        _fail(outcome, stage.trace, Unmet(expected, first.text, frame=frame))
        broken = broken[1:]
    elif outcome.state is State.PASS and remarks:
        _fail(outcome, stage.trace, Unmet("a clean end of every process (LAUNCH-2, LAUNCH-4)", remarks.pop(0)))
    outcome.notes += [f"{each.invariant}: {each.text}" for each in broken[:5]] + remarks
    if outcome.state is State.FAIL:
        for node in stage.nodes:
            outcome.notes += [f"{node.node_id} said: {line[:300]}" for line in node.last_words()[-3:]]


def _judge(case: Case, settings: Settings, outcome: Outcome) -> None:
    """Strict cases and the baseline change what a failure means."""
    if outcome.state is State.FAIL and case.level is Level.STRICT:
        outcome.state = State.NONSTRICT
    if case.id in settings.expected_failures:
        reason = settings.expected_failures[case.id]
        if outcome.state in (State.FAIL, State.NONSTRICT):
            outcome.state, outcome.reason = State.XFAIL, reason
        elif outcome.state is State.PASS:
            outcome.state, outcome.reason = State.XPASS, f"the baseline says that it fails: {reason}"


def _fail(outcome: Outcome, trace: Trace, unmet: Unmet) -> None:
    outcome.state, outcome.expected, outcome.got = State.FAIL, unmet.expected, unmet.got
    if unmet.frame is not None:
        outcome.frame = _where(trace, unmet.frame)
        if unmet.end > unmet.start:
            outcome.hexdump = hexdump(unmet.frame.encode(), unmet.start, unmet.end)


def _where(trace: Trace, frame: Frame) -> str:
    for number, record in enumerate(trace):
        if isinstance(record, Sent) and record.frame is frame:
            return f"frame #{number} {record.source or '?'}→{record.target or '?'}, {frame.size} B"
    return f"{frame.kind}, {frame.size} B"


def _blame_harness(outcome: Outcome, error: Exception) -> None:
    outcome.state = State.HARNESS_ERROR
    if isinstance(error, HarnessError):
        outcome.reason = str(error)
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        outcome.reason = f"{type(error).__name__}: {error} ({last.filename.rpartition('/')[2]}:{last.lineno})"
        outcome.notes += traceback.format_exception(error)


def choose_seed() -> str:
    """A new seed for a run without one."""
    return f"{Random().getrandbits(32):x}"
