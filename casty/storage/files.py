"""A store in files: what was written survives a crash and a power cut, or the store refuses to be used."""

from __future__ import annotations

import errno
import logging
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from casty.errors import StorageError, UnusableStoreError
from casty.paths import absolute
from casty.raft.types import Recovered, StoreId
from casty.storage import recovery, snapshots
from casty.storage.contents import Change, SnapshotRef
from casty.storage.directory import Directory
from casty.storage.disk import Disk
from casty.storage.ledger import Outline
from casty.storage.removal import Remover
from casty.storage.scrub import PAUSE_SECONDS, Scrubber
from casty.storage.segments import (
    DEFAULT_SIZES,
    Homes,
    Owner,
    SegmentedLog,
    begin_segment,
    segment_header,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from casty.raft.types import NodeId, Snapshot, Write
    from casty.storage.segments import Sizes

logger = logging.getLogger("casty.storage")

ID_BYTES = 16
"""Of store ids and boot ids: 128 random bits, which are never drawn twice."""


class FileStore:
    """A `Store` in a directory of its own: one log in segments, and beside it the newest snapshot.

    Each `write` is one record, one write and one fdatasync. Nobody else can open the directory until `close`.
    """

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        node_id: NodeId | None,
        *,
        default_node_id: NodeId | None = None,
        sizes: Sizes = DEFAULT_SIZES,
        disk: Disk | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
        threaded: bool = True,
    ) -> FileStore:
        """Makes the directory if it is missing, and locks it; `load` reads what is in it.

        Without a `node_id` it is the one that the directory remembers, or else the default. Raises
        UnusableStoreError when another process has the directory, or when this one may not use it.
        """
        place = absolute(path)
        try:
            directory = Directory(place, disk if disk is not None else Disk())
            try:
                node_id = node_id or _remembered(directory) or default_node_id
                assert node_id is not None, "a new store needs the id of its node"
                return cls(directory, node_id, sizes, random_bytes, Remover(directory, threaded=threaded))
            except BaseException:
                directory.close()
                raise
        except UnusableStoreError:
            raise
        except OSError as error:
            raise _refusal(place, error) from error

    def __init__(
        self,
        directory: Directory,
        node_id: NodeId,
        sizes: Sizes,
        random_bytes: Callable[[int], bytes],
        remover: Remover,
    ) -> None:
        """Use `open`."""
        self._directory = directory
        self.node_id = node_id
        self._sizes = sizes
        self._random_bytes = random_bytes
        self._outline = Outline[SnapshotRef]()
        self._log: SegmentedLog | None = None
        self._stopped: StorageError | None = None
        self._closed = False
        self._remover = remover
        self._scrubber: Scrubber | None = None
        self._saved_changed = threading.Condition()
        self._saved: set[SnapshotRef] = set()
        """What `save_snapshot` has saved and no write refers to yet. Guarded by `_saved_changed`."""
        self._saving = 0
        """Calls of `save_snapshot` under way. Guarded by `_saved_changed`."""

    @property
    def revision(self) -> int:
        """See `Store.revision`."""
        return self._outline.revision

    def load(self) -> Recovered:
        """See `Store.load`."""
        self._require_running()
        assert self._log is None, "a store is loaded once"
        try:
            return self._load()
        except UnusableStoreError as error:
            self._stopped = error
            raise
        except OSError as error:
            self._stopped = _refusal(self._directory.path, error)
            raise self._stopped from error

    def write(self, writes: Sequence[Write]) -> None:
        """See `Store.write`."""
        self._require_running()
        assert self._log is not None, "a store is loaded before it is written"
        if not writes:
            return
        try:
            changes, after = self._planned(writes)
            self._perform(self._log, changes, after)
        except ValueError:
            raise
        except OSError as error:
            raise self._stop(error) from error
        except BaseException as error:
            self._stop(error)  # part of it may be in the file, where no later record must follow it
            raise

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """See `Store.save_snapshot`."""
        assert self._log is not None, "a store is loaded before it is written"
        with self._saved_changed:
            self._require_running()
            self._saving += 1
        try:
            snapshots.save(self._directory, snapshot)
            with self._saved_changed:
                self._saved.add(snapshots.reference_to(snapshot))
        finally:
            with self._saved_changed:
                self._saving -= 1
                self._saved_changed.notify_all()

    def scrub(self, bytes_per_second: int, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        """From now on what lies on the disk is read again and verified, so slowly, round after round."""
        assert self._scrubber is None, "a store is scrubbed by one thread"
        self._scrubber = Scrubber(
            self._directory, lambda: self._outline.snapshot, bytes_per_second, pause_seconds=pause_seconds
        )
        self._scrubber.start()

    def close(self) -> None:
        """See `Store.close`. A second call does nothing."""
        with self._saved_changed:
            if self._closed:
                return
            self._closed = True
            self._stopped = self._stopped or StorageError(f"{self._directory.path}: the store is closed")
            self._saved_changed.wait_for(lambda: not self._saving)
        if self._log is not None:
            self._log.close()
        if self._scrubber is not None:
            self._scrubber.close()
        self._remover.close()
        self._directory.close()

    def _load(self) -> Recovered:
        found = recovery.read_log(self._directory, self.node_id)
        recovered = self._create() if found is None else self._recover(found)
        assert self._log is not None, "both open the log"
        start = Change(None, None, None, (), boot_id=self._random_bytes(ID_BYTES))
        after = self._outline.copy()
        after.apply(*start)
        after.revision += 1
        self._perform(self._log, [start], after)
        return replace(recovered, boots=after.boots)

    def _recover(self, found: recovery.Found) -> Recovered:
        outline = found.ledger.outline
        ref = outline.snapshot
        snapshot = None if ref is None else snapshots.load(self._directory, ref)
        self._log = recovery.mend(self._directory, found, self._sizes)
        self._outline = outline
        self._directory.remove_temporary()
        self._directory.remove(snapshots.unreferenced(self._directory, ref))
        self._directory.remove(self._log.discard(outline))
        store_id = found.owner.store_id
        span = f"term {outline.hard_state.term}, log {outline.first_index} to {outline.last_index}"
        span += f", revision {outline.revision}"
        logger.info("%s: recovered store %s: %s", self._directory.path, store_id.hex(), span)
        entries = tuple(found.ledger.entries)
        return Recovered(store_id, outline.hard_state, snapshot, entries, outline.kept_from, outline.peers)

    def _create(self) -> Recovered:
        """Makes the first segment, and with it the store: before it there is nothing, after it everything."""
        self._directory.remove_temporary()
        owner = Owner(self.node_id, StoreId(self._random_bytes(ID_BYTES)))
        segment = begin_segment(self._directory, self._sizes, segment_header(owner, 1, 0, self._outline))
        self._log = SegmentedLog(self._directory, owner, self._sizes, segment, 1, Homes())
        path, store_id = self._directory.path, owner.store_id.hex()
        logger.info("%s: created store %s of node %s", path, store_id, self.node_id)
        return Recovered(owner.store_id)

    def _planned(self, writes: Sequence[Write]) -> tuple[list[Change], Outline[SnapshotRef]]:
        """The writes as the log keeps them, and what all will amount to."""
        after = self._outline.copy()
        changes: list[Change] = []
        for write in writes:
            ref = None if write.snapshot is None else self._reference(write.snapshot)
            change = Change(write.hard_state, ref, write.first_index, write.entries, write.base, write.peers)
            after.apply(*change)
            changes.append(change)
        after.revision += 1
        return changes, after

    def _perform(self, log: SegmentedLog, changes: list[Change], after: Outline[SnapshotRef]) -> None:
        before = self._outline
        log.append(changes, before)
        self._outline = after
        if after.snapshot is not None and after.snapshot is not before.snapshot:
            self._remover.remove([*snapshots.superseded(self._directory, after.snapshot), *log.discard(after)])

    def _reference(self, snapshot: Snapshot) -> SnapshotRef:
        """How the log refers to the snapshot, which is durable on return."""
        ref = snapshots.reference_to(snapshot)
        with self._saved_changed:
            is_saved = ref in self._saved
            self._saved = {
                other for other in self._saved if other.last_included_index > ref.last_included_index
            }
        if not is_saved:
            snapshots.save(self._directory, snapshot)
        return ref

    def _require_running(self) -> None:
        if self._stopped is not None:
            raise StorageError(f"nothing was done; the store has stopped: {self._stopped}") from self._stopped

    def _stop(self, error: BaseException) -> StorageError:
        """Ends the store for good, and says why. The first reason is kept."""
        stopped = StorageError(f"{self._directory.path}: {error}")
        self._stopped = self._stopped or stopped
        return stopped


def _remembered(directory: Directory) -> NodeId | None:
    owner = recovery.read_owner(directory)
    return None if owner is None else owner.node_id


_NOT_OURS = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS),
        *(errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
    }
)
"""What the owner of the directory can mend, and the disk is not to blame for."""


def _refusal(path: Path, error: OSError) -> StorageError:
    kind = UnusableStoreError if error.errno in _NOT_OURS else StorageError
    return kind(f"{path}: {error}")
