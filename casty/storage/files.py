"""A store in files: what was written survives a crash and a power cut, or the store refuses to be used."""

from __future__ import annotations

import errno
import logging
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from casty.errors import StorageError, UnusableStoreError
from casty.raft.types import Recovered, StoreId
from casty.storage import recovery, snapshots
from casty.storage.contents import Change, SnapshotRef
from casty.storage.directory import Directory
from casty.storage.disk import Disk
from casty.storage.ledger import Outline
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
    ) -> FileStore:
        """Makes the directory if it is missing, and locks it; `load` reads what is in it.

        Without a `node_id` it is the one that the directory remembers, or else the default. Raises
        UnusableStoreError when another process has the directory, or when this one may not use it.
        """
        try:
            directory = Directory(Path(path), disk if disk is not None else Disk())
            try:
                node_id = node_id or _remembered(directory) or default_node_id
                assert node_id is not None, "a new store needs the id of its node"
                return cls(directory, node_id, sizes, random_bytes)
            except BaseException:
                directory.close()
                raise
        except UnusableStoreError:
            raise
        except OSError as error:
            raise _refusal(Path(path), error) from error

    def __init__(
        self, directory: Directory, node_id: NodeId, sizes: Sizes, random_bytes: Callable[[int], bytes]
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
        self._saving = threading.Lock()
        self._saved: tuple[Snapshot, SnapshotRef] | None = None
        """What `save_snapshot` saved last, until a write refers to it. Guarded by `_saving`."""

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
        with self._saving:
            self._require_running()
            try:
                self._saved = snapshot, snapshots.save(self._directory, snapshot)
            except OSError as error:
                raise self._stop(error) from error

    def close(self) -> None:
        """See `Store.close`. A second call does nothing."""
        with self._saving:
            if self._closed:
                return
            self._closed = True
            self._stopped = self._stopped or StorageError(f"{self._directory.path}: the store is closed")
        if self._log is not None:
            self._log.close()
        self._directory.close()

    def _load(self) -> Recovered:
        found = recovery.read_log(self._directory, self.node_id)
        recovered = self._create() if found is None else self._recover(found)
        assert self._log is not None, "both open the log"
        start = Change(None, None, None, (), None, self._random_bytes(ID_BYTES))
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
        snapshots.remove_others(self._directory, ref)
        self._log.purge(outline)
        store_id = found.owner.store_id
        span = f"term {outline.hard_state.term}, log {outline.first_index} to {outline.last_index}"
        span += f", revision {outline.revision}"
        logger.info("%s: recovered store %s: %s", self._directory.path, store_id.hex(), span)
        return Recovered(store_id, outline.hard_state, snapshot, tuple(found.ledger.entries), outline.peers)

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
            change = Change(write.hard_state, ref, write.first_index, write.entries, write.peers, None)
            after.apply(*change)
            changes.append(change)
        after.revision += 1
        return changes, after

    def _perform(self, log: SegmentedLog, changes: list[Change], after: Outline[SnapshotRef]) -> None:
        before = self._outline
        log.append(changes, before)
        self._outline = after
        if after.snapshot is not None and after.snapshot is not before.snapshot:
            snapshots.remove_superseded(self._directory, after.snapshot)
            log.purge(after)

    def _reference(self, snapshot: Snapshot) -> SnapshotRef:
        """How the log refers to the snapshot, which is durable on return."""
        with self._saving:
            if self._saved is not None and self._saved[0] == snapshot:
                ref = self._saved[1]
                self._saved = None
                return ref
            return snapshots.save(self._directory, snapshot)

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
