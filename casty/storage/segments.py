"""The log on disk: segments of records, each standing on its own, of which the newest is written.

A segment being written is called ``0000000007.open``, a closed one ``0000000007.log``. A segment is closed only
once its successor has its name: where the newest is closed, one is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from casty.storage.contents import FORMAT, SegmentHeader, pack
from casty.storage.records import ALIGNMENT_BYTES, Chain, RecordType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casty.raft.types import Index, NodeId, StoreId
    from casty.storage.contents import Change, SnapshotRef
    from casty.storage.directory import Directory
    from casty.storage.ledger import Outline


class Owner(NamedTuple):
    """Whose log it is. Every segment repeats it, so that there is no other file to lose."""

    node_id: NodeId
    store_id: StoreId


class Sizes(NamedTuple):
    """How large the log's files are."""

    segment_bytes_max: int = 16 << 20
    """A segment that would grow past this is closed first. So large that the few fsyncs of a new one vanish
    among thousands of writes; so small that it is read in one piece and a snapshot soon frees its space."""
    room_bytes: int = 256 << 10
    """A file grows by zeros to the next multiple of this, together with the record that needs it. An fdatasync
    that has no new size to store costs about half; larger steps gain nothing, and make a rare write slow."""


DEFAULT_SIZES = Sizes()


class Homes:
    """In which segment each entry of the log was last written; at most one mark for each segment there was."""

    def __init__(self) -> None:
        self._marks: list[tuple[Index, int]] = []
        """First index and segment number. Both rise, for an entry is rewritten only with all that follow it."""

    def move(self, first_index: Index, count: int, number: int) -> None:
        """The log from `first_index` on is now the `count` entries that segment `number` ends with."""
        while self._marks and self._marks[-1][0] >= first_index:
            self._marks.pop()
        if count and (not self._marks or self._marks[-1][1] != number):
            self._marks.append((first_index, number))

    def of(self, index: Index) -> int:
        """The segment that holds the entry, which must be in the log."""
        return next(number for first, number in reversed(self._marks) if first <= index)


class Segment:
    """The segment that is being written."""

    def __init__(self, directory: Directory, number: int, chain: Chain, size: int, room_bytes: int) -> None:
        """Opens it, to go on where `chain` says in a file of `size` bytes."""
        self.number = number
        self.chain = chain
        self._path = directory.path / open_name(number)
        self._disk = directory.disk
        self._fd = self._disk.open(self._path)
        self._size = size
        self._room_bytes = room_bytes

    @property
    def holds_changes(self) -> bool:
        return self.chain.checksum != self.chain.salt  # the salt is the checksum of the header

    def append(self, payload: bytes) -> None:
        """Makes the payload durable: one write, one fdatasync."""
        offset = self.chain.offset
        data = self.chain.append(RecordType.CHANGES, payload)
        if self.chain.offset > self._size:
            self._size = self.chain.offset + -self.chain.offset % self._room_bytes
            data += bytes(self._size - self.chain.offset)
        try:
            self._disk.write(self._fd, data, offset)
            self._disk.sync_data(self._fd)
        except OSError as error:
            what = f"{self._path.name}: writing {len(data)} bytes at offset {offset}"
            raise OSError(f"{what}: {error}") from error

    def close(self) -> None:
        self._disk.close(self._fd)


class SegmentedLog:
    """The log as its one writer sees it. The cost of an append does not depend on how much there is."""

    def __init__(
        self, directory: Directory, owner: Owner, sizes: Sizes, segment: Segment, oldest: int, homes: Homes
    ) -> None:
        self._directory = directory
        self._owner = owner
        self._sizes = sizes
        self._segment = segment
        self._oldest = oldest
        self._homes = homes

    def append(self, changes: Sequence[Change], before: Outline[SnapshotRef]) -> None:
        """Makes the changes durable as one record: after a crash all of them are there, or none.

        `before` is what the log amounts to without them.
        """
        payload = pack(changes)
        end = self._segment.chain.offset + len(payload) + 2 * ALIGNMENT_BYTES
        if end > self._sizes.segment_bytes_max and self._segment.holds_changes:
            self._roll(before)
        self._segment.append(payload)
        for change in changes:
            if change.first_index is not None:
                self._homes.move(change.first_index, len(change.entries), self._segment.number)

    def discard(self, outline: Outline[SnapshotRef]) -> list[str]:
        """The names of the segments that hold no entry the log still has, oldest first: they may be removed."""
        empty = outline.first_index > outline.last_index
        needed = self._segment.number if empty else self._homes.of(outline.first_index)
        names = [closed_name(number) for number in range(self._oldest, needed)]
        self._oldest = needed
        return names

    def close(self) -> None:
        self._segment.close()

    def _roll(self, outline: Outline[SnapshotRef]) -> None:
        full = self._segment
        header = segment_header(self._owner, full.number + 1, full.chain.checksum, outline)
        self._segment = begin_segment(self._directory, self._sizes, header)
        full.close()
        self._directory.rename(open_name(full.number), closed_name(full.number))


def begin_segment(directory: Directory, sizes: Sizes, header: SegmentHeader) -> Segment:
    """Makes a new segment, durably, and opens it."""
    chain = Chain()
    record = chain.append(RecordType.SEGMENT, pack(header))
    directory.publish(open_name(header.number), [record])
    return Segment(directory, header.number, chain, len(record), sizes.room_bytes)


def segment_header(
    owner: Owner, number: int, previous_checksum: int, outline: Outline[SnapshotRef]
) -> SegmentHeader:
    """How the segment begins that follows on what `outline` says."""
    return SegmentHeader(
        FORMAT,
        *owner,
        number,
        previous_checksum,
        outline.hard_state,
        outline.snapshot,
        outline.base,
        outline.last_index,
        outline.revision,
        outline.peers,
        outline.boots,
    )


def open_name(number: int) -> str:
    return f"{number:010}.open"


def closed_name(number: int) -> str:
    return f"{number:010}.log"


def closed_names(names: Sequence[str]) -> list[str]:
    """Of these files, the closed segments, oldest first."""
    return sorted(name for name in names if name.endswith(".log") and name[:-4].isdecimal())
