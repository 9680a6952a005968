"""What the payloads of a store's records say, as msgpack: the changes of one write, and what a file is.

The tables of fields are in spec/storage.md. Tuples become arrays, field by field, in the order given here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack

from casty.raft.types import (
    Boot,
    Configuration,
    Entry,
    EntryKind,
    HardState,
    LogBase,
    PeerRevision,
    ServerId,
    StoreId,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casty.raft.types import ClusterId, Index, NodeId, Term

FORMAT = 2
"""Rises when a file written by a newer version could be misread by an older one."""


class SnapshotRef(NamedTuple):
    """A snapshot as the log refers to it: all but its bytes, and how to tell that those are the right ones."""

    last_included_index: Index
    last_included_term: Term
    configuration: Configuration
    size: int
    checksum: int
    """CRC-32 of the snapshot's data."""


class Change(NamedTuple):
    """A `Write` as the log keeps it."""

    hard_state: HardState | None
    snapshot: SnapshotRef | None
    first_index: Index | None
    entries: Sequence[Entry]
    base: LogBase | None = None
    peers: Sequence[PeerRevision] | None = None
    boot_id: bytes | None = None
    """Of a process that starts with this record; the other fields say nothing then."""


class SegmentHeader(NamedTuple):
    """How a segment begins: whose it is, and all that the segments before it amount to, save the entries."""

    format: int
    node_id: NodeId
    store_id: StoreId
    number: int
    previous_checksum: int
    """Of the last record of the segment before, or 0."""
    hard_state: HardState
    snapshot: SnapshotRef | None
    base: LogBase
    last_index: Index
    revision: int
    """How many records of changes the segments before it have held since the store was made."""
    peers: Sequence[PeerRevision]
    boots: Sequence[Boot]
    """The latest, newest first."""


class SnapshotHeader(NamedTuple):
    """How a snapshot file begins; the data follows the record."""

    format: int
    snapshot: SnapshotRef


def pack(value: Sequence[Change] | SegmentHeader | SnapshotHeader) -> bytes:
    """The payload that says `value`."""
    return msgpack.packb(value, default=_fields_of)


def unpack_changes(payload: memoryview) -> list[Change]:
    """The changes of one write. Raises ValueError when the payload is something else."""
    try:
        return [
            Change(
                None if hard_state is None else _hard_state(hard_state),
                None if snapshot is None else _snapshot_ref(snapshot),
                first_index,
                [Entry(term, _KINDS[kind], data) for term, kind, data in entries],
                None if base is None else LogBase(*base),
                None if peers is None else _peers(peers),
                boot_id,
            )
            for hard_state, snapshot, first_index, entries, base, peers, boot_id in _unpack(payload)
        ]
    except (TypeError, LookupError) as error:
        raise ValueError(f"not the changes of a write: {error}") from error


def unpack_segment_header(payload: memoryview) -> SegmentHeader:
    """What the segment says it is. Raises ValueError when it says nothing that this version reads."""
    try:
        version, *fields = _unpack(payload)
        _check_format(version)
        node_id, store_id, number, previous_checksum, hard_state, snapshot, base, last_index, *rest = fields
        state, log_base = _hard_state(hard_state), LogBase(*base)
        ref = None if snapshot is None else _snapshot_ref(snapshot)
        revision, peers, boots = rest
        known, starts = _peers(peers), tuple(Boot(*boot) for boot in boots)
    except TypeError as error:
        raise ValueError(f"not the header of a segment: {error}") from error
    sums = previous_checksum, state, ref, log_base, last_index, revision, known, starts
    return SegmentHeader(version, node_id, StoreId(store_id), number, *sums)


def unpack_snapshot_header(payload: memoryview) -> SnapshotHeader:
    """Which snapshot the file holds. Raises ValueError when it says nothing that this version reads."""
    try:
        version, *fields = _unpack(payload)
        _check_format(version)
        (ref,) = fields
        return SnapshotHeader(version, _snapshot_ref(ref))
    except TypeError as error:
        raise ValueError(f"not the header of a snapshot: {error}") from error


_KINDS = {kind.value: kind for kind in EntryKind}


def _unpack(payload: memoryview) -> Any:
    """Any: what the bytes say is checked by those who take it apart. msgpack's own errors are ValueErrors."""
    return msgpack.unpackb(payload, use_list=False)


def _check_format(version: object) -> None:
    if version != FORMAT:
        raise ValueError(f"format is {version!r}; this version reads {FORMAT}")


def _fields_of(value: object) -> tuple[object, ...]:
    match value:
        case HardState(term, voted_for, lock):
            return term, voted_for, lock
        case LogBase(index, term):
            return index, term
        case _:
            raise TypeError(f"{value!r:.100} cannot be stored")


def _hard_state(fields: tuple[Any, Any, Any]) -> HardState:
    term, voted_for, lock = fields
    return HardState(
        term,
        None if voted_for is None else ServerId(*voted_for),
        None if lock is None else tuple(ServerId(*server) for server in lock),
    )


def _peers(
    rows: tuple[tuple[tuple[NodeId, StoreId], int, bytes, tuple[bytes, ...]], ...],
) -> tuple[PeerRevision, ...]:
    return tuple(
        PeerRevision(ServerId(*server), number, boot, refused) for server, number, boot, refused in rows
    )


def _snapshot_ref(fields: tuple[Any, Any, tuple[ClusterId, Any], Any, Any]) -> SnapshotRef:
    index, term, (cluster_id, members), size, checksum = fields
    configuration = Configuration(cluster_id, tuple(ServerId(*server) for server in members))
    return SnapshotRef(index, term, configuration, size, checksum)
