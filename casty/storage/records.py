"""Records: how bytes lie in a store's files, and what a damaged file still proves (spec/storage.md).

Every file is a row of records, each a header of 16 bytes and a payload padded to a multiple of 16::

    length u32 | type u8 | blanks u24 | checksum u32 | seal u32 | payload, padding

`checksum` is the CRC-32 of all payloads of the file up to this one, so that a record lost, repeated or moved
breaks the chain. `seal` is the CRC-32 of the header before it and of the record's offset, so that a length is
believed only where it was written. Sectors of 512 bytes reach the disk whole or not at all; no header straddles
one, and `blanks` counts those of the payload that are zeros on purpose. Whatever else is zero was lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import NamedTuple
from zlib import crc32

SECTOR_BYTES = 512
"""What a disk writes whole or not at all. Larger physical sectors are multiples of it."""

ALIGNMENT_BYTES = 16
"""Divides the sector and is the header's size, so that no header is ever half lost."""

PAYLOAD_BYTES_MAX = 2**32 - ALIGNMENT_BYTES
"""The largest padded length that the u32 can say."""


class RecordType(IntEnum):
    """What a payload is; the letters show in a hex dump."""

    SEGMENT = ord("L")
    """The first record of a segment of the log."""
    CHANGES = ord("W")
    """What one call of `write` made durable."""
    SNAPSHOT = ord("S")
    """The first record of a snapshot file."""


class Record(NamedTuple):
    """A record that was found whole: header, checksum and place all agree."""

    offset: int
    type: RecordType
    payload: memoryview
    """Without the padding. A view into what was scanned."""


class Damage(NamedTuple):
    """Why a scan ended before the data did."""

    offset: int
    """Where the first record that is not whole begins."""
    torn: bool
    """True where one append cut short by a crash explains it; the data before it is then all there ever was."""
    text: str
    """What was found, and what was expected."""


class Scan(NamedTuple):
    """What `scan` found: the whole records, where the next one would go, and what is wrong there."""

    records: list[Record]
    chain: Chain
    damage: Damage | None
    used: int
    """Bytes up to the last that is not zero. Zeros after the last record are room, not damage."""


@dataclass(slots=True)
class Chain:
    """Where a file's next record goes, and what its checksums continue from."""

    offset: int = 0
    checksum: int = 0
    """Of the record before; 0 at the start of the file."""
    salt: int = 0
    """The checksum of the file's first record, which no other file has; 0 until that one is written."""

    def append(self, record_type: RecordType, payload: bytes) -> bytes:
        """The record's bytes, to be written at what was the `offset`. Raises ValueError when it is too long."""
        padded = payload + _PADDING[len(payload) % ALIGNMENT_BYTES]
        if len(padded) > PAYLOAD_BYTES_MAX:
            raise ValueError(f"record of {len(padded)} bytes; the limit is {PAYLOAD_BYTES_MAX}")
        blanks = _blank_sectors(padded, self.offset) if _BLANK in padded else 0
        checksum = crc32(padded, self.checksum)
        front = _FRONT.pack(len(padded), record_type << 24 | blanks, checksum)
        record = front + _SEAL.pack(self.seal(front, self.offset)) + padded
        self.advance(len(padded), checksum)
        return record

    def advance(self, length: int, checksum: int) -> None:
        """Passes over a record whose padded payload has `length` bytes."""
        if self.offset == 0:
            self.salt = checksum
        self.offset += ALIGNMENT_BYTES + length
        self.checksum = checksum

    def seal(self, front: bytes | memoryview, offset: int) -> int:
        """The seal of a header that begins with `front` at `offset`."""
        return crc32(_OFFSET.pack(offset), crc32(front, self.salt))


def scan(data: bytes) -> Scan:
    """Reads records from the start of a file until its end, or until one that is not whole."""
    chain = Chain()
    records: list[Record] = []
    view = memoryview(data)
    used = len(data.rstrip(b"\0"))  # a record ends in padding, which is never zero
    while chain.offset < used:
        found = _read(view, chain, used)
        if isinstance(found, Damage):
            return Scan(records, chain, found, used)
        records.append(found)
    return Scan(records, chain, None, used)


def scan_one(data: bytes) -> tuple[Record, int]:
    """The record a file begins with, and where it ends; what follows is not looked at. Raises ValueError."""
    chain = Chain()
    found = _read(memoryview(data), chain, len(data))
    if isinstance(found, Damage):
        raise ValueError(f"no whole record at offset 0: {found.text}")
    return found, chain.offset


_FRONT = Struct("!III")
_SEAL = Struct("!I")
_HEADER = Struct("!IIII")
_OFFSET = Struct("!Q")
_BLANK = bytes(SECTOR_BYTES)
_TYPES = {kind.value: kind for kind in RecordType}

_PADDING = [bytes([n]) * n for n in range(ALIGNMENT_BYTES, 0, -1)]
"""By payload length modulo 16: n bytes of value n, at least one, so that a record's last byte is never zero."""


def _read(view: memoryview, chain: Chain, used: int) -> Record | Damage:
    """The record at the chain's offset, which it then passes over, or why there is none."""
    offset = chain.offset
    start = offset + ALIGNMENT_BYTES
    if start > len(view):
        return Damage(offset, True, f"{len(view) - offset} bytes of a header of {ALIGNMENT_BYTES}")
    length, kind, checksum, seal = _HEADER.unpack_from(view, offset)
    if not length | kind | checksum | seal:
        return _blank_header(view, chain)
    expected = chain.seal(view[offset : offset + _FRONT.size], offset)
    if seal != expected:
        return Damage(offset, False, f"header checksum is {seal:08x}; expected {expected:08x}")
    record_type = _TYPES.get(kind >> 24)
    if record_type is None or length % ALIGNMENT_BYTES or not length:
        return Damage(offset, False, f"record of type {kind >> 24} and length {length}; no version writes that")
    payload = view[start : start + length]
    if len(payload) < length:
        return Damage(offset, True, f"{len(payload)} of the {length} bytes that the header promises")
    if (expected := crc32(payload, chain.checksum)) != checksum:
        return _bad_payload(payload, chain, kind & 0xFFFFFF, used, f"{expected:08x}; expected {checksum:08x}")
    chain.advance(length, checksum)
    return Record(offset, record_type, payload[: -payload[-1]])


def _blank_header(view: memoryview, chain: Chain) -> Damage:
    """Zeros where a header should be, and more than zeros after them: some record's first sector was lost."""
    offset = chain.offset
    sector_end = offset - offset % SECTOR_BYTES + SECTOR_BYTES
    if any(view[offset:sector_end]):
        return Damage(offset, False, "header is zero, but its sector is not; expected both or neither")
    for place in range(sector_end, len(view) - ALIGNMENT_BYTES + 1, ALIGNMENT_BYTES):
        front, (seal,) = view[place : place + _FRONT.size], _SEAL.unpack_from(view, place + _FRONT.size)
        if seal == chain.seal(front, place):
            return Damage(offset, False, f"header is zero; expected a record, for one follows at {place}")
    return Damage(offset, True, "the sector of the header was not written")


def _bad_payload(payload: memoryview, chain: Chain, blanks: int, used: int, found: str) -> Damage:
    """A complete record with a wrong checksum: torn only if a sector of it is missing and nothing follows."""
    start = chain.offset + ALIGNMENT_BYTES
    lost = _blank_sectors(bytes(payload), chain.offset) - blanks
    if lost > 0 and used <= start + len(payload):
        return Damage(chain.offset, True, f"{lost} sectors of {len(payload)} bytes of payload were not written")
    return Damage(chain.offset, False, f"payload of {len(payload)} bytes has checksum {found}")


def _blank_sectors(padded: bytes, offset: int) -> int:
    """How many sectors of the payload are all zeros, where its record begins at `offset`.

    The part that shares a sector with the header is not counted: it is there if the header is.
    """
    first = -(offset + ALIGNMENT_BYTES) % SECTOR_BYTES
    chunks = (padded[at : at + SECTOR_BYTES] for at in range(first, len(padded), SECTOR_BYTES))
    return sum(chunk == _BLANK[: len(chunk)] for chunk in chunks)
