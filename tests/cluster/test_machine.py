"""The state machine's task: commands in order, snapshots between them."""

from __future__ import annotations

import asyncio
import pickle
import time
from typing import Any

import pytest

from casty.errors import ApplyError, SystemStoppedError
from casty.raft.events import Committed
from casty.raft.types import Entry, EntryKind, Index, Term
from tests.cluster.harness import until, within
from tests.cluster.machines import bench
from tests.raising import OutcomeError
from tests.support import UnspeakableError, run


async def test_callbacks_may_be_plain_or_async_and_see_commands_only() -> None:
    """COMMIT-3: in order, no-ops left out, last_applied counting them."""
    async with bench() as b:
        seen: list[Any] = []
        b.machine.set_apply_callback(seen.append)
        b.commit(1, None, "a", None, "b")
        await b.applied(4)
        assert seen == ["a", "b"]
    async with bench() as b:

        async def slowly(command: Any) -> None:
            await asyncio.sleep(0)
            seen.append(command)

        b.machine.set_apply_callback(slowly)
        (c,) = b.commit(1, "c")
        assert await within(c) is True
        assert seen == ["a", "b", "c"]


async def test_without_a_callback_committed_is_done_and_nothing_is_lost() -> None:
    """Architecture §7: a callback set later gets everything from the start."""
    async with bench() as b:
        first, second = b.commit(1, "a", "b")
        assert first.result() is second.result() is True
        assert b.machine.last_applied == 0
        seen: list[Any] = []
        b.machine.set_apply_callback(seen.append)
        assert await within(b.commit(3, "c")[0])
        assert seen == ["a", "b", "c"]


ERRORS = [
    ValueError("no"),
    asyncio.CancelledError(),
    UnspeakableError(),
    GeneratorExit(),
    OutcomeError(),
    StopIteration(1),
    BaseExceptionGroup("several", [KeyboardInterrupt()]),
]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", ERRORS, ids=type)
async def test_whatever_a_callback_raises_the_machine_goes_on_or_says_why_not(
    error: BaseException, is_async: bool
) -> None:
    """Rule 57: of apply its appender learns, of create its caller; a restore that raises ends Raft."""

    async def later() -> None:
        await asyncio.sleep(0)
        raise error

    def fail(*args: Any) -> Any:
        if is_async:
            return later()
        raise error

    async with bench() as b:
        b.machine.set_apply_callback(lambda command: fail() if command == "bad" else None)
        b.machine.set_snapshot_callbacks(fail, fail)
        bad, good = b.commit(1, "bad", "good")
        with pytest.raises(ApplyError, match="entry 1 is committed"):
            await within(bad)
        assert await within(good)
        with pytest.raises(Exception) as failed:  # noqa: PT011 (it may be the callback's own)
            await within(b.machine.create_snapshot())
        assert failed.value is error or isinstance(failed.value, RuntimeError)
        assert await within(b.commit(3, "good")[0])
        assert b.fatal == []
        b.restored(9, b"state")
        await until(lambda: b.fatal)
        assert "the snapshot that ends at 9 cannot be restored" in str(b.fatal[0])


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["apply", "create", "restore", "decode"])
def test_what_ends_the_program_in_a_callback_leaves_no_appender_waiting(
    fatal: type[BaseException], where: str
) -> None:
    """It goes out of the loop. What it broke off in the midst of a change is applied no further."""
    waiting: list[asyncio.Future[bool]] = []

    async def main() -> None:
        async with bench() as b:
            benches.append(b)

            def fail(*args: Any) -> Any:
                raise fatal

            b.machine.set_apply_callback(fail if where == "apply" else lambda command: None)
            b.machine.set_snapshot_callbacks(fail, fail)
            if where == "create":
                assert await within(b.commit(1, "a")[0])
                waiting.append(b.machine.create_snapshot())
            elif where == "restore":
                b.restored(9, b"state")
            else:
                b.machine._decode = fail if where == "decode" else pickle.loads
                waiting.extend(b.commit(1, "a"))
            try:
                await asyncio.Event().wait()
            finally:
                ends.append([future.exception() for future in waiting if future.done()])

    ends: list[list[BaseException | None]] = []
    benches: list[Any] = []
    with pytest.raises(fatal):
        run(main())
    (ended,) = ends
    assert all(isinstance(error, (ApplyError, RuntimeError)) for error in ended)
    assert len(ended) == (where in ("apply", "create"))
    assert len(benches[0].fatal) == (where != "create")


@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError(), UnspeakableError()], ids=type)
async def test_what_the_callback_raises_goes_to_the_appender_only(error: BaseException) -> None:
    """Rule 57; a cancellation that leaks out of a callback is no end of the machine."""
    async with bench() as b:

        def apply(command: Any) -> None:
            if command == "bad":
                raise error

        b.machine.set_apply_callback(apply)
        bad, good = b.commit(1, "bad", "good")
        with pytest.raises(ApplyError, match="entry 1 is committed"):
            await within(bad)
        assert await within(good)
        assert b.fatal == []


async def test_many_commands_do_not_hold_the_loop() -> None:
    """MSG-6."""
    async with bench() as b:
        turns: list[int] = []
        b.machine.set_apply_callback(lambda command: None)
        b.commit(1, *range(1000))
        while b.machine.last_applied < 1000:
            turns.append(b.machine.last_applied)
            await asyncio.sleep(0)
        assert len(turns) > 10


async def test_many_commands_that_came_one_by_one_do_not_hold_the_loop() -> None:
    """MSG-6: what was committed before the callback was set, or while a snapshot was made, is many items."""
    async with bench() as b:
        turns: list[int] = []
        for index in range(1, 1001):
            b.commit(index, "x")
        b.machine.set_apply_callback(lambda command: None)
        while b.machine.last_applied < 1000:
            turns.append(b.machine.last_applied)
            await asyncio.sleep(0)
        assert len(turns) > 10


async def test_slow_commands_do_not_hold_the_loop() -> None:
    """MSG-6: a callback that blocks is its user's affair, but 64 of them in a row would cost an election."""
    async with bench() as b:
        turns: list[int] = []
        b.machine.set_apply_callback(lambda command: time.sleep(0.02))
        b.commit(1, *range(8))
        while b.machine.last_applied < 8:
            turns.append(b.machine.last_applied)
            await asyncio.sleep(0)
        assert len(turns) >= 8


async def test_a_command_that_cannot_be_read_is_fatal_and_nothing_later_is_applied() -> None:
    """COMMIT-3."""
    async with bench() as b:
        seen: list[Any] = []
        b.machine.set_apply_callback(seen.append)
        entry = Entry(Term(1), EntryKind.COMMAND, b"nonsense")
        good = Entry(Term(1), EntryKind.COMMAND, pickle.dumps("a"))
        b.machine.submit(Committed(Index(1), (good, entry, good), {}))
        await until(lambda: b.fatal)
        assert "entry 2 cannot be decoded on this node" in str(b.fatal[0])
        b.commit(4, "later")
        await asyncio.sleep(0)
        assert (seen, b.machine.last_applied) == (["a"], 1)


async def test_the_end_is_told_to_whoever_waits() -> None:
    """Rule 24: for a snapshot not begun, and for one being saved."""
    async with bench() as b:
        await b.ready_for_snapshots()
        b.may_save.clear()
        saving = b.machine.create_snapshot()
        await until(lambda: b.machine._wanted is None)
        waiting = b.machine.create_snapshot()
        b.machine.end(SystemStoppedError("over"))
        b.machine.end(SystemStoppedError("twice"))
        for future in (saving, waiting):
            with pytest.raises(SystemStoppedError, match="over"):
                await within(future)


async def test_an_end_in_the_midst_of_a_snapshot_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """Rule 24: nobody asked for it, and the next start does without."""
    async with bench(snapshot_every=1) as b:
        b.may_save.clear()
        await b.ready_for_snapshots()
        await until(lambda: b.machine._saving)
        b.machine.end(SystemStoppedError("over"))
    await asyncio.sleep(0)
    assert caplog.text == ""


async def test_a_callback_that_would_wait_for_itself_is_told_so() -> None:
    """ACTOR-27: "Nobody waits for itself": the state machine would stand still for good, and say nothing."""
    async with bench() as b:

        async def apply(command: Any) -> None:
            await asyncio.shield(b.machine.create_snapshot())

        b.machine.set_apply_callback(apply)
        b.machine.set_snapshot_callbacks(bytes, lambda data: None)
        (outcome,) = b.commit(1, "a")
        with pytest.raises(ApplyError, match="which waits for the callback"):
            await within(outcome)
        assert await b.machine.create_snapshot()
