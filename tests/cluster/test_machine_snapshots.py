"""The state machine's snapshots: taken between two commands, restored before what follows them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.errors import StorageError
from tests.cluster.harness import until, within
from tests.cluster.machines import bench


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
    async with bench() as b:
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
        creators = [create, lambda: bytearray(b"x")]
        b.machine.set_snapshot_callbacks(lambda: creators.pop(0)(), lambda data: None)
        b.commit(1, "a")
        await b.applied(1)
        with pytest.raises(error, match=words):
            await within(b.machine.create_snapshot())
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
