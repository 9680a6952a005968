"""Snapshot files: a record that says which snapshot it is, then the snapshot's data.

A file is named by the index and a checksum of all the log says of it, so that one snapshot never replaces
another that the log still refers to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zlib import crc32

from casty.errors import UnusableStoreError
from casty.raft.types import Snapshot
from casty.storage.contents import FORMAT, SnapshotHeader, SnapshotRef, pack, unpack_snapshot_header
from casty.storage.records import Chain, RecordType, scan_one

if TYPE_CHECKING:
    from casty.storage.directory import Directory

_SUFFIX = ".snap"
_DIGITS = 20
"""As many as the largest index has, so that names sort as their indexes do."""
_SNAPSHOT = re.compile(rf"\d{{{_DIGITS}}}-[0-9a-f]{{8}}\{_SUFFIX}")


def reference_to(snapshot: Snapshot) -> SnapshotRef:
    """How the log refers to the snapshot."""
    return SnapshotRef(
        snapshot.last_included_index,
        snapshot.last_included_term,
        snapshot.configuration,
        len(snapshot.data),
        snapshot.checksum,
    )


def save(directory: Directory, snapshot: Snapshot) -> None:
    """Makes the snapshot durable. What an OSError has left of its file is removed."""
    ref = reference_to(snapshot)
    directory.publish(name_of(ref), (_header(ref), snapshot.data))


def header_size(ref: SnapshotRef) -> int:
    """How many bytes stand before the data in the file of that snapshot."""
    return len(_header(ref))


def load(directory: Directory, ref: SnapshotRef) -> Snapshot:
    """The snapshot that the log refers to. Raises UnusableStoreError when it is missing or is not that one."""
    name = name_of(ref)
    try:
        content = directory.read(name)
    except FileNotFoundError as error:
        raise UnusableStoreError(f"{directory.path / name}: missing; the log refers to it") from error
    try:
        data = _verified(content, ref)
    except ValueError as error:
        raise UnusableStoreError(f"{directory.path / name}: corrupt: {error}") from error
    return Snapshot(ref.last_included_index, ref.last_included_term, ref.configuration, data, ref.checksum)


def are_in(directory: Directory) -> bool:
    """Whether there is any snapshot, referred to or not."""
    return bool(_names(directory))


def superseded(directory: Directory, ref: SnapshotRef) -> list[str]:
    """The files of the snapshots older than `ref`. A newer one may be saved at this moment and is not among
    them."""
    newest = name_of(ref)
    return [name for name in _names(directory) if name[:_DIGITS] <= newest[:_DIGITS] and name != newest]


def unreferenced(directory: Directory, ref: SnapshotRef | None) -> list[str]:
    """The files of all snapshots but the one the log refers to. Nothing may be saving one."""
    kept = None if ref is None else name_of(ref)
    return [name for name in _names(directory) if name != kept]


def name_of(ref: SnapshotRef) -> str:
    """What the file of that snapshot is called."""
    return f"{ref.last_included_index:0{_DIGITS}}-{crc32(pack(SnapshotHeader(FORMAT, ref))):08x}{_SUFFIX}"


def _header(ref: SnapshotRef) -> bytes:
    return Chain().append(RecordType.SNAPSHOT, pack(SnapshotHeader(FORMAT, ref)))


def _names(directory: Directory) -> list[str]:
    return [name for name in directory.names() if _SNAPSHOT.fullmatch(name)]


def _verified(content: bytes, ref: SnapshotRef) -> bytes:
    record, start = scan_one(content)
    if record.type is not RecordType.SNAPSHOT:
        raise ValueError(f"record at offset 0 is of type {record.type.name}; expected SNAPSHOT")
    header = unpack_snapshot_header(record.payload)
    if header.snapshot != ref:
        raise ValueError(f"header at offset 0 is of {header.snapshot}; the log refers to {ref}")
    data = content[start:]
    if (len(data), crc32(data)) != (ref.size, ref.checksum):
        found, wanted = (
            f"{len(data)} bytes with checksum {crc32(data):08x}",
            f"{ref.size} with {ref.checksum:08x}",
        )
        raise ValueError(f"data at offset {start} is {found}; expected {wanted}")
    return data
