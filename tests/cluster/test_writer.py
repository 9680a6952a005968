"""The thread that makes writes durable."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from casty.cluster.writer import Writer
from casty.errors import StorageError
from casty.raft.types import HardState, Write
from tests.cluster.harness import until

if TYPE_CHECKING:
    from collections.abc import Sequence


class Disk:
    """Waits in each write until it is let go on; then fails, if it is to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.error = error

    def write(self, writes: Sequence[Write]) -> None:
        self.batches.append([write.token for write in writes])
        self.entered.release()
        assert self.go_on.acquire(timeout=20)
        if self.error is not None:
            raise self.error


def write(token: int) -> Write:
    return Write(token=token, hard_state=HardState())


async def test_what_came_during_one_write_is_the_next_one() -> None:
    """PERSIST-1: in order, with one fsync, told by the last token of each batch."""
    disk, durable = Disk(), list[int]()
    writer = Writer(cast("Any", disk), asyncio.get_running_loop(), durable.append, lambda error: None)
    writer.start()
    writer.submit(write(1))
    await until(lambda: disk.entered.acquire(blocking=False))
    for token in (2, 3, 4):
        writer.submit(write(token))
    assert durable == []
    disk.go_on.release(2)
    await until(lambda: durable == [1, 4])
    assert disk.batches == [[1], [2, 3, 4]]
    writer.submit(write(5))
    writer.stop()
    disk.go_on.release()
    await asyncio.to_thread(writer.join)
    await asyncio.sleep(0)
    assert durable == [1, 4, 5]
    writer.join()


@pytest.mark.parametrize("error", [StorageError("on fire"), ZeroDivisionError("a bug")])
async def test_after_a_failed_write_nothing_is_tried_again(error: Exception) -> None:
    """PERSIST-4: told once; a bug in the store is no slow disk."""
    disk, durable, failed = Disk(error), list[int](), list[StorageError]()
    writer = Writer(cast("Any", disk), asyncio.get_running_loop(), durable.append, failed.append)
    writer.start()
    writer.submit(write(1))
    await until(lambda: disk.entered.acquire(blocking=False))
    writer.submit(write(2))
    disk.go_on.release(9)
    await asyncio.to_thread(writer.join)
    await until(lambda: failed)
    assert (disk.batches, durable, len(failed)) == ([[1]], [], 1)
    assert str(error) in str(failed[0])
    assert failed[0] is error or failed[0].__cause__ is error


def test_a_loop_that_is_gone_is_told_nothing() -> None:
    """A thread that outlives its loop ends quietly."""
    loop = asyncio.new_event_loop()
    disk = Disk()
    writer = Writer(cast("Any", disk), loop, lambda token: None, lambda error: None)
    writer.start()
    loop.close()
    writer.submit(write(1))
    writer.stop()
    disk.go_on.release()
    writer.join()
    assert disk.batches == [[1]]


def test_a_writer_that_never_started_can_be_joined() -> None:
    """A start that fails half-way ends like any other."""
    loop = asyncio.new_event_loop()
    Writer(cast("Any", Disk()), loop, lambda token: None, lambda error: None).join()
    loop.close()
