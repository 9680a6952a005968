"""State instead of history: compacting the log, and catching up those who fell behind it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from casty.cluster.errand import run_errand
from casty.cluster.node import ClusterNode
from casty.raft.events import Received, SnapshotTaken
from casty.raft.types import Snapshot

if TYPE_CHECKING:
    from casty.cluster.link import Link
    from casty.cluster.machine import CreateSnapshot, RestoreSnapshot
    from casty.raft.events import Restored
    from casty.raft.messages import InstallSnapshotRequest, InstallSnapshotResponse
    from casty.raft.types import Configuration, Index, Term
    from casty.storage.api import Store


class SnapshotMixin(ClusterNode):
    """Needs: raft, machine, store.

    Provides: `create_snapshot`, `set_snapshot_callbacks`.
    Handles: INSTALL_SNAPSHOT_REQ, INSTALL_SNAPSHOT_RES.
    Performs: saving snapshots beside the log, and handing received ones to the state machine.
    """

    __slots__ = ()

    def set_snapshot_callbacks(self, create: CreateSnapshot, restore: RestoreSnapshot) -> None:
        """Sets how the state machine becomes bytes, and how it becomes what such bytes say; each may be async.

        If `restore` raises, Raft stops on this node for good: there is no state left to apply commands to. A
        node has one pair; when it may be set, and what else is raised, is as with `set_apply_callback`.
        """
        self.require_not_over("set_snapshot_callbacks()")
        self.machine.set_snapshot_callbacks(create, restore)

    async def create_snapshot(self) -> bool:
        """Saves the state machine as it is between two commands, and drops the log up to there.

        Any member may do so; one that is starting is waited for. False if nothing was applied since the last
        snapshot. Raises RuntimeError without callbacks, on a node without Raft, before the start and outside
        the node's event loop, ReentrancyError in a callback, what the callback raises, TypeError where that
        gives no bytes, ValueError where it gives more than the members accept, OSError where the disk does not
        take it (the log is untouched, and Raft goes on), StorageError where Raft has failed here, and
        SystemStoppedError once the node has shut down.
        """
        await self.require_running("create_snapshot()")
        await self.start_over.wait()
        await self.require_running("create_snapshot()")
        if self.raft is None:
            msg = "create_snapshot() needs a node that takes part in Raft (member=True)"
            raise RuntimeError(msg)
        return await asyncio.shield(self.machine.create_snapshot())

    def _on_install(self, link: Link, message: InstallSnapshotRequest | InstallSnapshotResponse) -> None:
        if link.server is not None:
            self.post(Received(link.server, message, link))

    def _install(self, restored: Restored) -> None:
        self.machine.submit(restored)

    async def _save_snapshot(self, index: Index, data: bytes) -> bool:
        """Makes the state machine's bytes durable in another thread; the core then drops what they replace."""
        raft, store, most = self.raft, self.store, self.options.snapshot_bytes_max
        if len(data) > most:  # the log must stay, for those who need it could not be sent this instead
            raise ValueError(f"the snapshot has {len(data):,} bytes; the limit is {most:,}")
        if raft is None or store is None or raft.configuration is None:
            return False
        term = raft.log.term_at(index)
        if term is None:  # a snapshot of the leader's has overtaken this one
            return False
        self.post(SnapshotTaken(await run_errand(_save, store, index, term, raft.configuration, data)))
        return True


def _save(store: Store, index: Index, term: Term, configuration: Configuration, data: bytes) -> Snapshot:
    """Computes the checksum and saves the snapshot: both may take long."""
    snapshot = Snapshot.of(index, term, configuration, data)
    store.save_snapshot(snapshot)
    return snapshot
