"""Clients at work on a cluster while a case does something to it, and what must be true of it in the end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from conformance.history import Result, check, write_history
from conformance.history.page import page
from conformance.history.workload import Load, run_workload
from conformance.verdict import Undecided, Unmet

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path
    from random import Random

    from conformance.history.operation import Operation
    from conformance.trace.store import Trace

LOAD: Final = Load(clients=4, keys=3, operations_per_key=60, pause=(0.0, 0.03))
"""What clients do meanwhile, unless a case asks for more: enough to overlap, little enough to be judged."""
JUDGE_SECONDS: Final = 20.0
"""How long the check of a history may take on a machine of ordinary speed."""
STATES_MAX: Final = 1_000_000
"""States of the search for one key; about half a gigabyte."""


class Work:
    """What the clients have done so far, all in one history."""

    def __init__(self, trace: Trace, patience: float) -> None:
        self.history: list[Operation] = []
        self._trace = trace
        self._patience = patience
        self._news = asyncio.Event()
        self._is_over = False

    def acknowledged(self, since: float = 0.0) -> list[Operation]:
        """Operations that succeeded and were begun after `since`, a time of the trace."""
        return [done for done in self.history if done.outcome == "ok" and done.called >= since]

    async def progress(self, more: int = 20, seconds: float | None = None) -> None:
        """Returns when so many operations begun from now on have succeeded; raises `Unmet` if they do not."""
        since = self._trace.now()
        bound = self._patience if seconds is None else seconds
        try:
            async with asyncio.timeout(bound):
                while len(self.acknowledged(since)) < more:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            done = len(self.acknowledged(since))
            raise Unmet(f"{more} commands to succeed", f"{done} within {bound:.1f} s") from None

    def enough(self, _: list[Operation]) -> bool:
        """Whether the clients are to stop; they ask after each operation."""
        self._news.set()
        return self._is_over

    def finish(self) -> None:
        """Has the clients stop once they have finished what they began."""
        self._is_over = True


@asynccontextmanager
async def work(
    addresses: Mapping[str, str],
    trace: Trace,
    rng: Random,
    *,
    scale: float,
    patience: float,
    load: Load = LOAD,
) -> AsyncGenerator[Work]:
    """Clients work for as long as the block lasts; the history is whole when it is left."""
    done = Work(trace, patience)
    clients = asyncio.create_task(
        run_workload(
            addresses,
            rng,
            trace.now,
            done.enough,
            load=load,
            history=done.history,
            size=len(addresses),
            attempt_seconds=1.0 * scale,
            patience=2.0 * scale,
        )
    )
    try:
        yield done
    finally:
        done.finish()
        await clients


def judge(history: list[Operation], trace: Trace, folder: Path, scale: float) -> None:
    """Raises `Unmet` where no dictionary could have given these answers, and `Undecided` where the check cannot
    tell. Leaves history.json and timeline.html in the folder then."""
    verdict = check(history, seconds=JUDGE_SECONDS * scale, states=STATES_MAX)
    if verdict.result is Result.LINEARIZABLE:
        return
    write_history(history, folder / "history.json")
    (folder / "timeline.html").write_text(page(history, trace, verdict), encoding="utf-8")
    if verdict.result is Result.INCONCLUSIVE:
        raise Undecided(f"the history is {verdict.text}")
    few = "; ".join(map(str, verdict.operations[:8]))
    raise Unmet("a history that one dictionary explains (KV-2, COMMIT-4)", f"{verdict.text}. Of these: {few}")


def expect_kept(history: list[Operation], final: Mapping[str, object]) -> None:
    """Raises `Unmet` where an acknowledged append or increment is not in the final value of its key, or one is
    in it twice."""
    for key, value in final.items():
        own = [done for done in history if done.key == key]
        if any(done.op not in ("append", "incr", "get") for done in own):
            continue
        for done in own:
            if done.op == "append":
                count = str(value or "").split().count(str(done.argument).strip())
                if not (done.outcome == "ok") <= count <= (done.outcome != "failed"):
                    raise Unmet(f"{done} to be in the final value {_times(done)}", f"{count} times")
        acked = sum(done.argument for done in own if done.op == "incr" and done.outcome == "ok")
        open_ = sum(done.argument for done in own if done.op == "incr" and done.outcome == "unknown")
        if any(done.op == "incr" for done in own) and not acked <= _number(value) <= acked + open_:
            raise Unmet(f"{key} to be {acked}, which was acknowledged, to {acked + open_}", repr(value))


def _times(done: Operation) -> str:
    return {"ok": "once", "failed": "never"}.get(done.outcome, "at most once")


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0
