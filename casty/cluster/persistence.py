"""What survives a crash."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from casty.cluster.node import ClusterNode
from casty.raft.events import Persisted
from casty.raft.types import Write

if TYPE_CHECKING:
    from pathlib import Path


class PersistenceMixin(ClusterNode):
    """Needs: store, writer, revisions.

    Provides: `persistence_dir`.
    Handles: nothing from the wire.
    Performs: the core's writes, and the news that they are durable; remembering what peers said of theirs.
    """

    __slots__ = ()

    @property
    def persistence_dir(self) -> Path | None:
        """Where this node keeps its part of the cluster's state; None if only in memory."""
        return self.directory

    def _persist(self, write: Write) -> None:
        """Hands a write to the disk; the core hears when it is durable (spec PERSIST-1)."""
        if self.writer is not None:
            peers = self.revisions.to_write()
            self.writer.submit(write if peers is None else replace(write, peers=peers))
        elif self.store is not None:
            self.store.write([write])
            self.post(Persisted(write.token))

    def _remember_peers(self) -> None:
        """Keeps what peers said of their directories, where there is news of it (spec HELLO-11).

        Not at each word of theirs: what is written here is announced to them, and would be written there.
        """
        if self.writer is not None and (peers := self.revisions.to_write()) is not None:
            self.writer.submit(Write(0, peers=peers))

    def _persisted(self, token: int) -> None:
        self.post(Persisted(token))
