"""One thread that makes writes durable, as many with one fsync as came while the last one ran."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from casty.errors import StorageError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from casty.raft.types import Write
    from casty.storage.api import Store


class Writer:
    """Hands writes to a store in another thread, in order, and says in the loop when they are durable.

    `durable` is called with the highest token of each batch, `failed` once, with the error that ends it: after
    a failed write or fsync nothing is tried again (spec PERSIST-4).
    """

    def __init__(
        self,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        durable: Callable[[int], None],
        failed: Callable[[StorageError], None],
    ) -> None:
        self._store = store
        self._loop = loop
        self._durable = durable
        self._failed = failed
        self._queue: SimpleQueue[Write | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="casty-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, write: Write) -> None:
        """Queues one write; never blocks."""
        self._queue.put(write)

    def stop(self) -> None:
        """Lets the thread finish what is queued, and end."""
        self._queue.put(None)

    def join(self) -> None:
        """Blocks until the thread has ended."""
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._next_batch()
            if batch and not self._write(batch):
                return

    def _next_batch(self) -> tuple[list[Write], bool]:
        batch: list[Write] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if self._queue.empty():
                return batch, True
            item = self._queue.get()
        return batch, False

    def _write(self, batch: list[Write]) -> bool:
        try:
            self._store.write(batch)
        except StorageError as error:
            self._tell(self._failed, error)
            return False
        except Exception as error:  # a bug in the store must not look like a slow disk
            failure = StorageError(f"the store failed: {error!r}")
            failure.__cause__ = error
            self._tell(self._failed, failure)
            return False
        self._tell(self._durable, max(write.token for write in batch))
        return True

    def _tell[T](self, callback: Callable[[T], None], value: T) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, value)
        except RuntimeError:  # the loop is closed; nobody is left to tell
            pass
