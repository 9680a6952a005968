"""What the files of a directory amount to, read and verified; and the mending that a crash has left to do.

Reading changes nothing, so that a directory that cannot be used stays as it was found.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, NamedTuple

from casty.errors import UnusableStoreError
from casty.storage import snapshots
from casty.storage.contents import SnapshotRef, unpack_changes, unpack_segment_header
from casty.storage.ledger import Ledger, Outline
from casty.storage.records import RecordType, Scan, scan, scan_one
from casty.storage.segments import (
    Homes,
    Owner,
    Segment,
    SegmentedLog,
    Sizes,
    closed_name,
    open_name,
    segment_header,
)

if TYPE_CHECKING:
    from pathlib import Path

    from casty.raft.types import NodeId
    from casty.storage.contents import SegmentHeader
    from casty.storage.directory import Directory
    from casty.storage.records import Record

logger = logging.getLogger("casty.storage")


class Newest(NamedTuple):
    """The segment that was being written, as it was found."""

    number: int
    data: bytes
    scan: Scan


class Found(NamedTuple):
    """A log that is whole, save perhaps for a torn record at its end."""

    owner: Owner
    ledger: Ledger[SnapshotRef]
    homes: Homes
    oldest: int
    unclosed: list[int]
    """Segments that a crash kept from being closed although they have a successor."""
    newest: Newest


def read_owner(directory: Directory) -> Owner | None:
    """Whose log it is, by the oldest segment's word; None where there is none. Nothing else is verified."""
    names = [name for name in directory.names() if _SEGMENT.fullmatch(name)]
    if not names:
        return None
    path = directory.path / names[0]
    try:
        record, _ = scan_one(directory.read(names[0]))
    except ValueError as error:
        raise _corrupt(path, 0, str(error)) from error
    header = _segment_header(path, record)
    return Owner(header.node_id, header.store_id)


def read_log(directory: Directory, node_id: NodeId) -> Found | None:
    """What the segments amount to; None where there are none. Raises UnusableStoreError; changes nothing."""
    names = _segment_names(directory)
    if not names:
        if snapshots.are_in(directory):
            raise UnusableStoreError(f"{directory.path}: snapshots, but no segment; expected both or neither")
        return None
    reader = _Reader(directory, node_id)
    *older, newest = names
    for number in older:
        reader.read(number, names[number], may_be_torn=False)
    last = reader.read(newest, names[newest], may_be_torn=True)
    reader.require_all_entries(names)
    unclosed = [number for number in older if names[number] == open_name(number)]
    return Found(reader.owner, reader.ledger, reader.homes, min(names), unclosed, last)


def mend(directory: Directory, found: Found, sizes: Sizes) -> SegmentedLog:
    """Finishes what a crash has interrupted, syncs everything again, and opens the log for writing."""
    size = _mend_newest(directory, found.newest)
    for number in found.unclosed:
        directory.rename(open_name(number), closed_name(number))
    directory.sync()
    number, chain = found.newest.number, found.newest.scan.chain
    segment = Segment(directory, number, chain, size, sizes.room_bytes)
    return SegmentedLog(directory, found.owner, sizes, segment, found.oldest, found.homes)


def _mend_newest(directory: Directory, newest: Newest) -> int:
    """Cuts a torn record off, makes what is left durable once more, and says how large the file is now.

    The last record is written again because its fsync may have failed, and the process have died of it. The
    kernel then still shows bytes that it no longer means to write, and an fsync would succeed without them.
    """
    records, chain, damage, used = newest.scan
    path = directory.path / open_name(newest.number)
    fd = directory.disk.open(path)
    try:
        if damage is not None:
            lost = used - damage.offset
            logger.warning(
                "%s: cut off %d bytes at offset %d, torn: %s", path, lost, damage.offset, damage.text
            )
            directory.disk.truncate(fd, chain.offset)
        last = records[-1].offset
        directory.disk.write(fd, newest.data[last : chain.offset], last)
        directory.disk.sync(fd)
    finally:
        directory.disk.close(fd)
    return len(newest.data) if damage is None else chain.offset


_SEGMENT = re.compile(r"(\d{10})\.(?:open|log)")
"""Ten digits last for 160 petabytes, and sort."""


def _segment_names(directory: Directory) -> dict[int, str]:
    """The segments by rising number. None may be missing, and the newest is open, for it has no successor."""
    found = [(int(match[1]), name) for name in directory.names() if (match := _SEGMENT.fullmatch(name))]
    names = dict(found)
    if not names:
        return names
    if len(names) < len(found):
        both = ", ".join(name for _, name in found)
        raise UnusableStoreError(f"{directory.path}: two segments of one number; found {both}")
    oldest, newest = min(names), max(names)
    missing = [number for number in range(oldest, newest) if number not in names]
    if names[newest] == closed_name(newest):
        missing.append(newest + 1)
    if missing:
        there = ", ".join(names.values())
        raise UnusableStoreError(f"{directory.path}: segment {missing[0]} is missing; found {there}")
    return names


class _Reader:
    """Replays segments, oldest first, and holds each against what those before it amount to."""

    def __init__(self, directory: Directory, node_id: NodeId) -> None:
        self.ledger = Ledger(Outline[SnapshotRef]())
        self.homes = Homes()
        self._directory = directory
        self._node_id = node_id
        self._owner: Owner | None = None
        self._path = directory.path
        self._checksum = 0

    @property
    def owner(self) -> Owner:
        """Whose segments were read."""
        assert self._owner is not None
        return self._owner

    def read(self, number: int, name: str, *, may_be_torn: bool) -> Newest:
        self._path = self._directory.path / name
        data = self._directory.read(name)
        found = scan(data)
        if found.records:
            self._begin(number, found.records[0])
        for record in found.records[1:]:
            self._replay(number, record)
        self._require_whole(found, may_be_torn=may_be_torn)
        self._checksum = found.chain.checksum
        return Newest(number, data, found)

    def require_all_entries(self, names: dict[int, str]) -> None:
        """Raises UnusableStoreError when older segments than those that were read hold a part of the log."""
        first, seen_from = self.ledger.outline.first_index, self.ledger.seen_from
        if first < seen_from:
            missing = f"segment {min(names) - 1} is missing"
            why = f"the log begins at entry {first}, the segments at entry {seen_from}"
            raise UnusableStoreError(f"{self._directory.path}: {missing}: {why}")

    def _begin(self, number: int, record: Record) -> None:
        """Takes the first segment's word for what was before it, and no other's."""
        header = _segment_header(self._path, record)
        if header.node_id != self._node_id:
            whose = f"belongs to node {header.node_id} (store {header.store_id.hex()})"
            raise UnusableStoreError(f"{self._directory.path}: {whose}; this is node {self._node_id}")
        if self._owner is None:
            self._owner = Owner(header.node_id, header.store_id)
            before = Outline(header.hard_state, header.snapshot, header.base, header.last_index)
            before.revision, before.peers = header.revision, tuple(header.peers)
            before.boots = tuple(header.boots)
            self.ledger = Ledger(before)
            self._checksum = header.previous_checksum
        expected = segment_header(self._owner, number, self._checksum, self.ledger.outline)
        for field, found, wanted in zip(header._fields, header, expected, strict=True):
            if found != wanted:
                text = f"{field} is {found!r}; expected {wanted!r} after the segments before"
                raise _corrupt(self._path, 0, text)

    def _replay(self, number: int, record: Record) -> None:
        if record.type is not RecordType.CHANGES:
            raise _corrupt(self._path, record.offset, f"record of type {record.type.name}; expected CHANGES")
        try:
            for change in unpack_changes(record.payload):
                self.ledger.apply(*change)
                if change.first_index is not None:
                    self.homes.move(change.first_index, len(change.entries), number)
            self.ledger.outline.revision += 1
        except ValueError as error:
            raise _corrupt(self._path, record.offset, str(error)) from error

    def _require_whole(self, found: Scan, *, may_be_torn: bool) -> None:
        damage = found.damage
        if damage is None and not found.records:
            raise _corrupt(self._path, 0, "nothing but zeros, if anything; expected the header of a segment")
        if damage is not None and not (may_be_torn and damage.torn and found.records):
            raise _corrupt(self._path, damage.offset, damage.text)


def _segment_header(path: Path, record: Record) -> SegmentHeader:
    if record.type is not RecordType.SEGMENT:
        raise _corrupt(path, 0, f"record of type {record.type.name}; expected SEGMENT")
    try:
        return unpack_segment_header(record.payload)
    except ValueError as error:
        raise _corrupt(path, 0, str(error)) from error


def _corrupt(path: Path, offset: int, text: str) -> UnusableStoreError:
    return UnusableStoreError(f"{path}: corrupt at offset {offset}: {text}")
