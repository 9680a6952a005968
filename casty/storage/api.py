"""What Raft asks of a disk: remember this, in this order, and say when it is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casty.raft.types import Recovered, Snapshot, Write


class Store(Protocol):
    """One server's durable memory. Calls block, and come from one thread at a time, except `save_snapshot`.

    Any error of a write or an fsync is final: `write` raises `StorageError`, and so does every call after it.
    A failed fsync is never retried, for the kernel may have dropped the pages it could not write.
    """

    @property
    def revision(self) -> int:
        """How far the store has come: durable, and higher after each write and each `load` than ever before.

        A store that says less than one said before it, or as much, is an older copy of that one. Safe to read
        from another thread.
        """
        ...

    def load(self) -> Recovered:
        """What was remembered, verified and synced again. Comes once, before everything else.

        Raises `UnusableStoreError` (caller's to mend), having changed nothing, or `StorageError`.
        """
        ...

    def write(self, writes: Sequence[Write]) -> None:
        """Makes all of `writes` durable, in order, with one fsync. On return they survive a power cut.

        After a crash that comes before the return, none of them are there, or a first part of them, or all.
        A write's snapshot that `save_snapshot` has not seen is saved first. Raises ValueError, having done
        nothing, for a write that does not fit: entries that would leave a gap, or a snapshot that is no newer.
        """
        ...

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Makes the snapshot's bytes durable beside the log, which does not refer to it until `write` does.

        Safe to call from another thread while `write` runs, so that a large snapshot holds up no commit. Raises
        OSError where the disk does not take it: nothing rests on it yet, so the store goes on, and nothing is
        left of it. Raises StorageError when the store has stopped.
        """
        ...

    def close(self) -> None:
        """Lets go of files and locks. What `write` has not returned from is not promised."""
        ...
