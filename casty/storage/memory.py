"""A disk in memory that can crash on demand. It is also the store of a node without a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.errors import StorageError
from casty.raft.types import Recovered, Snapshot, StoreId
from casty.storage.ledger import Ledger, Outline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from casty.raft.types import Write


class MemoryStore:
    """A `Store` that forgets, when told to, what a real disk might have.

    `write` is `stage` and `sync` in one. Between the two a simulation can `crash` the machine, which may lose
    what was only staged, or merely end the process, which does not: `load` then finds it, and makes it durable.
    """

    def __init__(self, random: Random) -> None:
        """Draws a store id from `random`."""
        self._random = random
        self._sync_fails = False
        self._stopped: StorageError | None = None
        self._begin()

    def load(self) -> Recovered:
        """See `Store.load`. Comes first, and again after every crash, loss, failure or close."""
        self._stopped = None
        self._apply(len(self._staged))
        ledger = self._ledger
        ledger.apply(None, None, None, (), boot_id=self._random.randbytes(16))
        ledger.outline.revision += 1
        outline = self._outline = ledger.outline.copy()
        entries = tuple(ledger.entries)
        sums = outline.snapshot, entries, outline.kept_from, outline.peers, outline.boots
        return Recovered(self._store_id, outline.hard_state, *sums)

    @property
    def revision(self) -> int:
        """See `Store.revision`."""
        return self._ledger.outline.revision

    def write(self, writes: Sequence[Write]) -> None:
        """See `Store.write`."""
        self.stage(writes)
        self.sync()

    def stage(self, writes: Sequence[Write]) -> None:
        """Hands the writes to the disk, which may still forget them."""
        self._require_running()
        outline = self._outline.copy()
        for write in writes:
            outline.apply(
                write.hard_state, write.snapshot, write.first_index, write.entries, write.base, write.peers
            )
        self._outline = outline
        self._staged += writes

    def sync(self) -> None:
        """Makes all that was staged durable, or fails for good."""
        self._require_running()
        if self._sync_fails:
            self._sync_fails = False
            raise self._stop("the sync failed, as a test wanted it to")
        self._apply(len(self._staged))

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """See `Store.save_snapshot`. Nothing to do: the write that refers to the snapshot brings its bytes."""
        self._require_running()

    def close(self) -> None:
        """See `Store.close`. What was staged is still on the disk when it is loaded again."""
        self._stop("the store is closed")

    def crash(self, kept: int = 0) -> None:
        """Cuts the power: of the writes staged and not synced, only the first `kept` have reached the disk."""
        self._apply(kept)
        self._staged.clear()
        self._stop("the power was cut")

    def lose(self) -> None:
        """Loses the disk. The next `load` finds an empty one, which is another store."""
        self._begin()
        self._stop("the disk was lost")

    def fail_next_sync(self) -> None:
        """Lets the next `sync` raise; whether it kept what was staged is for `crash` or `load` to say."""
        self._sync_fails = True

    def _begin(self) -> None:
        self._store_id = StoreId(self._random.randbytes(16))
        self._ledger = Ledger(Outline[Snapshot]())
        self._outline = Outline[Snapshot]()
        self._staged: list[Write] = []

    def _apply(self, count: int) -> None:
        for write in self._staged[:count]:
            self._ledger.apply(
                write.hard_state, write.snapshot, write.first_index, write.entries, write.base, write.peers
            )
            self._ledger.outline.revision += 1
        del self._staged[:count]

    def _require_running(self) -> None:
        if self._stopped is not None:
            raise StorageError(f"nothing was done; the store has stopped: {self._stopped}") from self._stopped

    def _stop(self, why: str) -> StorageError:
        stopped = StorageError(why)
        self._stopped = stopped
        return stopped
