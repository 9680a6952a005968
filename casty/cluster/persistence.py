"""What survives a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.cluster.node import ClusterNode
from casty.raft.events import Persisted

if TYPE_CHECKING:
    from pathlib import Path

    from casty.raft.types import Write


class PersistenceMixin(ClusterNode):
    """Needs: store, writer.

    Provides: `persistence_dir`.
    Handles: nothing from the wire.
    Performs: the core's writes, and the news that they are durable.
    """

    __slots__ = ()

    @property
    def persistence_dir(self) -> Path | None:
        """Where this node keeps its part of the cluster's state; None if only in memory."""
        return self.directory

    def _persist(self, write: Write) -> None:
        """Hands a write to the disk; the core hears when it is durable (spec PERSIST-1)."""
        if self.writer is not None:
            self.writer.submit(write)
        elif self.store is not None:
            self.store.write([write])
            self.post(Persisted(write.token))

    def _persisted(self, token: int) -> None:
        self.post(Persisted(token))
