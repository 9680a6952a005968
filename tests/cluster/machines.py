"""A state machine on a bench: commands go in, and what it did is there to look at."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from typing import TYPE_CHECKING, Any

from casty.cluster.machine import Machine
from casty.raft.events import Committed, Restored
from casty.raft.types import ClusterId, Configuration, Entry, EntryKind, Index, Snapshot, Term
from tests.cluster.harness import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from casty.errors import StorageError


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
        self.machine.submit(Restored(Snapshot.of(Index(index), Term(1), configuration, data)))


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
