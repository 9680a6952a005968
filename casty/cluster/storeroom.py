"""Opening what a node remembers, and leaving it again."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from casty.cluster.errand import run_errand
from casty.storage.files import FileStore
from casty.storage.memory import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from casty.cluster.writer import Writer
    from casty.raft.types import NodeId, Recovered
    from casty.storage.api import Store

LEAVE_SECONDS = 5.0
"""How long a disk has to finish what it is doing when the node ends. None of that was promised to anybody."""


async def open_store(
    directory: Path | None, node_id: NodeId | None, default: NodeId
) -> tuple[Store, NodeId, Recovered]:
    """The store, whose it is, and what was in it. In a thread where it is on a disk, for that may take long.

    A given `node_id` must be the directory's; without one it is what the directory remembers, else `default`.
    Raises UnusableStoreError and StorageError; nothing stays open then, nor if this is cancelled.
    """
    if directory is None:
        memory = MemoryStore(random.SystemRandom())
        return memory, node_id or default, memory.load()
    opening = run_errand(_open, directory, node_id, default)
    try:
        files, recovered = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_again)
        raise
    return files, files.node_id, recovered


async def leave_store(store: Store, writer: Writer | None) -> bool:
    """Closes the store once what is being written is. False where the disk hangs.

    Then it is closed when the disk goes on, if the process lives to see it; until then nobody else can have it.
    """
    if writer is None:
        store.close()
        return True
    writer.stop()
    leaving = run_errand(_leave, store, writer)
    done, _ = await asyncio.wait([leaving], timeout=LEAVE_SECONDS)
    if done:
        leaving.result()
    return bool(done)


def _open(directory: Path, node_id: NodeId | None, default: NodeId) -> tuple[FileStore, Recovered]:
    store = FileStore.open(directory, node_id, default_node_id=default)
    try:
        return store, store.load()
    except BaseException:
        store.close()
        raise


def _close_again(opening: asyncio.Future[tuple[FileStore, Recovered]]) -> None:
    """Nobody waits any more for the store that has been opened meanwhile."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()


def _leave(store: Store, writer: Writer) -> None:
    writer.join()
    store.close()
