"""The state machine's task: commands in order, snapshots between them."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import time
from typing import TYPE_CHECKING, Any

import pytest

from casty.cluster.machine import Machine
from casty.errors import ApplyError, StorageError, SystemStoppedError
from casty.raft.events import Committed, Restored
from casty.raft.types import ClusterId, Configuration, Entry, EntryKind, Index, Snapshot, Term
from tests.cluster.harness import until, within
from tests.support import UnspeakableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Bench:
    """A machine whose commands are pickles, and what it did."""

    def __init__(self, **options: Any) -> None:
        self.saved: list[tuple[int, bytes]] = []
        self.fatal: list[StorageError] = []
        self.may_save = asyncio.Event()
        self.may_save.set()
        self.save_error: Exception | None = None
        self.is_overtaken = False
        """By a snapshot of the leader's, which is on its way to the disk."""
        self.machine = Machine(pickle.loads, self.save, self.fatal.append, **options)

    async def save(self, index: Index, data: bytes) -> bool:
        await self.may_save.wait()
        if self.save_error is not None:
            raise self.save_error
        if self.is_overtaken:
            return False
        self.saved.append((index, data))
        return True

    def commit(self, first: int, *commands: Any) -> list[asyncio.Future[bool]]:
        """Commits them from index `first` on; None is a no-op."""
        futures: list[asyncio.Future[bool]] = [asyncio.get_running_loop().create_future() for _ in commands]
        entries = tuple(
            Entry(Term(1), EntryKind.NOOP, b"")
            if command is None
            else Entry(Term(1), EntryKind.COMMAND, pickle.dumps(command))
            for command in commands
        )
        tickets = {Index(first + n): future for n, future in enumerate(futures)}
        self.machine.submit(Committed(Index(first), entries, dict(tickets)))
        return futures

    async def applied(self, index: int) -> None:
        """Waits until the machine has come so far."""
        await until(lambda: self.machine.last_applied == index)

    async def ready_for_snapshots(self) -> None:
        """Has both kinds of callback, and one command behind it."""
        self.machine.set_apply_callback(lambda command: None)
        self.machine.set_snapshot_callbacks(bytes, lambda data: None)
        self.commit(1, "a")
        await self.applied(1)

    def restored(self, index: int, data: bytes) -> None:
        configuration = Configuration(ClusterId(bytes(16)), ())
        self.machine.submit(Restored(Snapshot(Index(index), Term(1), configuration, data)))


@contextlib.asynccontextmanager
async def bench(**options: Any) -> AsyncIterator[Bench]:
    """A machine at work."""
    made = Bench(**options)
    working = asyncio.create_task(made.machine.run())
    try:
        yield made
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_callbacks_may_be_plain_or_async_and_see_commands_only() -> None:
    """COMMIT-3: in order, no-ops left out, last_applied counting them."""
    async with bench() as b:
        seen: list[Any] = []
        b.machine.set_apply_callback(seen.append)
        b.commit(1, None, "a", None, "b")
        await b.applied(4)

        async def slowly(command: Any) -> None:
            await asyncio.sleep(0)
            seen.append(command)

        b.machine.set_apply_callback(slowly)
        (c,) = b.commit(5, "c")
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


async def test_a_snapshot_is_restored_before_what_follows_it() -> None:
    """SNAP-6: last_applied is its index; both kinds of callback."""
    async with bench() as b:
        seen: list[Any] = []

        async def restore(data: bytes) -> None:
            seen.append(data)

        b.machine.set_apply_callback(seen.append)
        b.restored(7, b"state")
        b.commit(8, "a")
        await asyncio.sleep(0)
        assert seen == []  # it waits for a callback
        b.machine.set_snapshot_callbacks(bytes, restore)
        await b.applied(8)
        assert seen == [b"state", "a"]
        b.machine.set_snapshot_callbacks(bytes, seen.append)
        b.restored(20, b"newer")
        await b.applied(20)
        assert seen[-1] == b"newer"


async def test_a_snapshot_without_a_callback_is_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    """Rule 60: commands wait for it, which must not look like a standstill."""
    async with bench() as b:
        b.machine.set_apply_callback(print)
        b.restored(7, b"state")
    assert "no callback to restore it" in caplog.text


async def test_a_restore_that_raises_is_fatal() -> None:
    """Rule 60."""
    async with bench() as b:

        def restore(data: bytes) -> None:
            raise asyncio.CancelledError

        b.machine.set_snapshot_callbacks(bytes, restore)
        b.restored(7, b"state")
        await until(lambda: b.fatal)
        assert "the snapshot that ends at 7 cannot be restored" in str(b.fatal[0])
        assert b.machine.last_applied == 0
        with pytest.raises(StorageError, match="cannot be restored"):
            b.machine.create_snapshot()


async def test_a_snapshot_is_of_one_index_and_overlapping_calls_share_it() -> None:
    """Rule 59: taken between two commands, saved beside the next ones."""
    async with bench() as b:
        state: list[Any] = []
        b.machine.set_apply_callback(state.append)
        b.machine.set_snapshot_callbacks(lambda: repr(state).encode(), lambda data: None)
        b.commit(1, "a")
        await b.applied(1)
        b.may_save.clear()
        one, two = b.machine.create_snapshot(), b.machine.create_snapshot()
        assert one is two
        await asyncio.sleep(0)
        b.commit(2, "b")
        await b.applied(2)
        three = b.machine.create_snapshot()
        b.may_save.set()
        assert await within(one) is True
        assert await within(three) is True
        assert b.saved == [(1, b"['a']"), (2, b"['a', 'b']")]
        assert await within(b.machine.create_snapshot()) is False


@pytest.mark.parametrize(
    ("create", "error", "words"),
    [
        (lambda: "text", TypeError, "must return bytes, not str"),
        (lambda: 1 / 0, ZeroDivisionError, "division"),
    ],
)
async def test_a_snapshot_callback_that_fails_harms_nobody(
    create: Any, error: type[Exception], words: str
) -> None:
    """Rule 59."""
    async with bench() as b:
        b.machine.set_apply_callback(lambda command: None)
        with pytest.raises(RuntimeError, match="set_snapshot_callbacks"):
            b.machine.create_snapshot()
        b.machine.set_snapshot_callbacks(create, lambda data: None)
        b.commit(1, "a")
        await b.applied(1)
        with pytest.raises(error, match=words):
            await within(b.machine.create_snapshot())
        b.machine.set_snapshot_callbacks(lambda: bytearray(b"x"), lambda data: None)
        assert await within(b.machine.create_snapshot())
        assert b.saved == [(1, b"x")]


async def test_a_cancellation_that_leaks_out_of_the_snapshot_callback_is_an_error() -> None:
    """Whoever waits for the snapshot is not cancelled by it."""
    async with bench() as b:

        async def create() -> bytes:
            raise asyncio.CancelledError

        b.machine.set_apply_callback(lambda command: None)
        b.machine.set_snapshot_callbacks(create, lambda data: None)
        b.commit(1, "a")
        await b.applied(1)
        with pytest.raises(RuntimeError, match="cancelled from within"):
            await within(b.machine.create_snapshot())


async def test_a_snapshot_that_cannot_be_saved_says_so() -> None:
    """SNAP-9: the next one is tried again."""
    async with bench() as b:
        await b.ready_for_snapshots()
        b.save_error = StorageError("no room")
        with pytest.raises(StorageError, match="no room"):
            await within(b.machine.create_snapshot())
        b.save_error = None
        assert await within(b.machine.create_snapshot())


async def test_one_callers_cancellation_is_not_the_others() -> None:
    """Rule 59: the shared outcome is shielded by `create_snapshot` of the node; nobody need look at it."""
    async with bench() as b:
        await b.ready_for_snapshots()
        b.may_save.clear()

        async def call() -> bool:
            return await asyncio.shield(b.machine.create_snapshot())

        one, two = asyncio.create_task(call()), asyncio.create_task(call())
        await asyncio.sleep(0)
        one.cancel()
        await asyncio.sleep(0)
        b.may_save.set()
        assert await within(two)


async def test_snapshot_every_takes_one_whenever_so_much_was_applied() -> None:
    """Also when all commands came while the last one was being saved; a failure is logged and tried again."""
    async with bench(snapshot_every=10) as b:
        b.machine.set_apply_callback(lambda command: None)
        b.commit(1, *range(9))
        await b.applied(9)
        b.machine.set_snapshot_callbacks(bytes, lambda data: None)
        b.may_save.clear()
        b.commit(10, "x")
        await b.applied(10)
        b.commit(11, *range(30))
        await b.applied(40)
        assert b.saved == []
        b.save_error = ValueError("once")
        b.may_save.set()
        await asyncio.sleep(0)
        b.save_error = None
        await until(lambda: b.saved)
        assert b.saved[-1][0] == 40


async def test_a_snapshot_callback_that_fails_is_not_called_for_each_command() -> None:
    """A failure is tried again when as much was applied once more: to serialise a state may take long."""
    async with bench(snapshot_every=10) as b:
        made: list[int] = []

        def create() -> bytes:
            made.append(b.machine.last_applied)
            raise ValueError("no")

        b.machine.set_apply_callback(lambda command: None)
        b.machine.set_snapshot_callbacks(create, lambda data: None)
        for index in range(1, 31):
            b.commit(index, "x")
            await b.applied(index)
        assert made == [10, 20, 30]


async def test_a_snapshot_that_was_overtaken_is_not_taken_again_and_again() -> None:
    """SNAP-6: until the leader's is durable here, none of the old log can be saved, however often one tries."""
    async with bench(snapshot_every=10) as b:
        made: list[int] = []

        def create() -> bytes:
            made.append(b.machine.last_applied)
            return b""

        b.machine.set_apply_callback(lambda command: None)
        b.machine.set_snapshot_callbacks(create, lambda data: None)
        b.is_overtaken = True
        b.commit(1, *range(10))
        await b.applied(10)
        for _ in range(50):
            await asyncio.sleep(0)
        assert made == [10]
        b.restored(100, b"")
        await b.applied(100)
        b.is_overtaken = False
        b.commit(101, *range(10))
        await until(lambda: b.saved)
        assert made == [10, 110]


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
