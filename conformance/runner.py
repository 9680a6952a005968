"""One case, played: from the catalogue's entry to an outcome, with nothing left running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
import traceback
from random import Random
from typing import TYPE_CHECKING, Final

from conformance import artifacts, interruption, warden
from conformance.case import Level
from conformance.node.means import missing
from conformance.stage import Stage
from conformance.trace.invariants import check
from conformance.trace.record import Sent
from conformance.trace.store import Trace
from conformance.verdict import HarnessError, Outcome, State, Undecided, Unmet, Unplayable
from conformance.wire.describe import hexdump, tree

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from conformance.case import Case
    from conformance.settings import Settings
    from conformance.wire.frame import Frame

STRAY_SECONDS: Final = 1.0
"""How long what a node has started may outlive the node."""


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
    folder = settings.out / "cases" / artifacts.name_of(case.id, repeat, settings)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    artifacts.begin(folder, case, settings, repeat)
    with contextlib.closing(Trace(folder / "wire.jsonl")) as trace, _marked(outcome) as mark:
        interruption.run(_play(case, settings, folder, outcome, trace, mark))
        outcome.seconds = time.monotonic() - began
        _judge(case, settings, outcome)
        if settings.keep or outcome.state.has_evidence:
            outcome.artifacts = str(folder)
            artifacts.finish(folder, case, settings, outcome, trace)
    if not outcome.artifacts:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


@contextlib.contextmanager
def _marked(outcome: Outcome) -> Generator[str, None, None]:
    """Whatever is started meanwhile carries a mark of this case."""
    outer = os.environ.get(warden.MARK)
    mark = f"{outer or os.urandom(8).hex()}/{outcome.case}/{outcome.repeat}"
    os.environ[warden.MARK] = mark
    try:
        yield mark
    finally:
        if outer is None:
            del os.environ[warden.MARK]
        else:
            os.environ[warden.MARK] = outer


async def _play(
    case: Case, settings: Settings, folder: Path, outcome: Outcome, trace: Trace, mark: str
) -> None:
    stage = Stage(case, settings, trace, folder, outcome.seed)
    bound = case.seconds * settings.scale
    limit = asyncio.timeout(bound)
    strays: list[str] = []
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
        outcome.seen = len(trace)
        try:
            await stage.close()
        except Exception as error:
            _blame_harness(outcome, error)
        finally:
            strays = await _end_strays(mark, settings.scale)
    _look_back(stage, outcome, strays)


async def _end_strays(mark: str, scale: float) -> list[str]:
    """Ends what the nodes have left behind outside their groups; what goes by itself at once is no matter."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STRAY_SECONDS * scale):
            while any(warden.marked(mark)):
                await asyncio.sleep(0.02)
    return [f"it left a process behind: {stray.command[:120]}" for stray in warden.end(mark)]


def _look_back(stage: Stage, outcome: Outcome, strays: list[str]) -> None:
    """What the whole trace shows, whatever the case was about; and how the processes left."""
    found = check(stage.trace)
    broken = [each for each in found if not each.harness]
    remarks = [f"{node.node_id}: {remark}" for node in stage.nodes for remark in node.remarks] + strays
    if outcome.state in (State.PASS, State.INCONCLUSIVE) and broken:
        first = broken[0]
        record = stage.trace[first.records[-1]] if first.records else None
        frame = record.frame if isinstance(record, Sent) else None
        expected = f"{first.invariant} ({', '.join(first.rules)}) to hold over the whole trace"
        _fail(outcome, stage.trace, Unmet(expected, first.text, frame=frame))
        broken = broken[1:]
    elif outcome.state is State.PASS and remarks:
        _fail(outcome, stage.trace, Unmet("a clean end of every process (LAUNCH-2, LAUNCH-4)", remarks.pop(0)))
    outcome.notes += [f"{each.invariant}: {each.text}" for each in broken[:5]] + remarks
    if own := next((each for each in found if each.harness), None):
        outcome.state, outcome.reason = State.HARNESS_ERROR, f"{own.invariant}: {own.text}"
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
    if unmet.frame is None:
        return
    outcome.record = _index(trace, unmet.frame)
    outcome.frame = _where(trace, outcome.record, unmet.frame)
    if unmet.end > unmet.start:
        outcome.start, outcome.end = unmet.start, unmet.end
        outcome.frame += f", byte 0x{unmet.start:02x}"
        label = _label(unmet.frame, unmet.start, unmet.end)
        outcome.hexdump = hexdump(unmet.frame.encode(), unmet.start, unmet.end, label)


def _index(trace: Trace, frame: Frame) -> int:
    return next((at for at, rec in enumerate(trace) if isinstance(rec, Sent) and rec.frame is frame), -1)


def _where(trace: Trace, number: int, frame: Frame) -> str:
    record = trace[number] if number >= 0 else None
    if isinstance(record, Sent):
        return f"frame #{number} {record.source or '?'}→{record.target or '?'}, {frame.size} B"
    return f"{frame.kind}, {frame.size} B"


def _label(frame: Frame, start: int, end: int) -> str:
    """The name of the field that has just these bytes, if one does."""
    return next((line.path for line in tree(frame) if (line.start, line.end) == (start, end)), "")


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
