"""Judges whether bytes look like the header of a frame, to find a place to begin where none is known.

Framing has no mark to look for. But types are few, names short and of a known form, and where a frame ends,
another header begins: three in a row are no accident.
"""

from __future__ import annotations

import re
from typing import Final

from conformance._protocol import (
    FRAME_BYTES_MAX,
    FRAME_NAMES,
    NAME_BYTES_MAX,
    NODE_ID_BYTES_MAX,
    SHAPES,
    TYPE_NAMES,
)

CHAIN: Final = 3
"""So many headers in a row."""
HEAD_BYTES: Final = 7
CANDIDATES_MAX: Final = 256
_TYPE: Final = re.compile(b"[" + re.escape(bytes(FRAME_NAMES)) + b"]")
_NODE_ID: Final = re.compile(rb"[A-Za-z0-9._:-]+")
_WITH_FIELDS: Final = frozenset(shape.partition(".")[0] for shape in SHAPES)


def frame_size(data: bytes | bytearray, at: int, limit: int = FRAME_BYTES_MAX) -> int | None:
    """The size of the frame whose header is at `at`; 0 where more bytes are needed, None if it is no header."""
    held = len(data) - at
    if held <= 0:
        return 0
    frame_name = FRAME_NAMES.get(data[at])
    if frame_name is None:
        return None
    if held < 3:
        return 0
    length = data[at + 1] << 8 | data[at + 2]
    if not _fits(frame_name, length):
        return None
    name = bytes(data[at + 3 : at + 3 + length])
    if frame_name == "node" and name and not _NODE_ID.fullmatch(name):
        return None
    if held < HEAD_BYTES + length:
        return 0
    if not _is_text(name):
        return None
    size = HEAD_BYTES + length + int.from_bytes(data[at + 3 + length : at + HEAD_BYTES + length])
    if size > limit:
        return None
    if size > HEAD_BYTES + length < held and TYPE_NAMES[data[at]] in _WITH_FIELDS:
        first = data[at + HEAD_BYTES + length]
        return size if first & 0xF0 == 0x80 or first in (0xDE, 0xDF) else None
    return size


def _fits(frame_name: str, length: int) -> bool:
    if frame_name == "empty":
        return length == 0
    if frame_name == "node":
        return 0 < length <= NODE_ID_BYTES_MAX
    return length <= NAME_BYTES_MAX


def _is_text(name: bytes) -> bool:
    try:
        return name.decode().isprintable()
    except UnicodeDecodeError:
        return False


class Search:
    """Looks for the first place where a chain of plausible headers begins, as the bytes arrive."""

    def __init__(self, limit: int = FRAME_BYTES_MAX, skipped: int = 0) -> None:
        self._limit = limit
        self._data = bytearray()
        self._scanned = 0
        self._open: list[tuple[int, int, int]] = []  # begins at, next header at, headers so far
        self.skipped = skipped
        """Bytes that were given up: no chain begins in them."""

    @property
    def held(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> bytes | None:
        """The bytes from the beginning of a chain on, once one is found."""
        self._data += data
        still: list[tuple[int, int, int]] = []
        for candidate in self._open:
            found = self._follow(*candidate, still)
            if found is not None:
                return self._taken(found)
        self._open = still
        found = self._scan(is_whole=False)
        if found is not None:
            return self._taken(found)
        if len(self._open) > CANDIDATES_MAX:
            del self._open[:-CANDIDATES_MAX]
        self._forget()
        return None

    def finish(self) -> bytes | None:
        """The bytes from the earliest candidate on whose frames end where the stream does, if there is one."""
        found = self._scan(is_whole=True)
        if found is not None:
            return self._taken(found)
        ends = [begin for begin, next, _ in self._open if next == len(self._data)]
        return self._taken(min(ends)) if ends else None

    def _scan(self, *, is_whole: bool) -> int | None:
        """Looks at every place that has not been looked at; where a whole chain begins, that place.

        Stops at a header of which more has to arrive, unless `is_whole` says that no more will.
        """
        while (type := _TYPE.search(self._data, self._scanned)) is not None:
            self._scanned = type.start()
            size = frame_size(self._data, self._scanned, self._limit)
            if size == 0 and not is_whole:
                return None
            if size:
                found = self._follow(self._scanned, self._scanned + size, 1, self._open)
                if found is not None:
                    return found
            self._scanned += 1
        self._scanned = len(self._data)
        return None

    def _follow(self, begin: int, next: int, headers: int, still: list[tuple[int, int, int]]) -> int | None:
        """Goes along the chain; where it is whole, its beginning."""
        while headers < CHAIN:
            size = frame_size(self._data, next, self._limit)
            if size is None:
                return None
            if size == 0:
                still.append((begin, next, headers))
                return None
            next, headers = next + size, headers + 1
        return begin

    def _taken(self, begin: int) -> bytes:
        self.skipped += begin
        rest = bytes(self._data[begin:])
        self._data.clear()
        return rest

    def _forget(self) -> None:
        """Drops what no candidate needs."""
        keep = min([self._scanned, *(begin for begin, _, _ in self._open)])
        if keep:
            del self._data[:keep]
            self._scanned -= keep
            self._open = [(begin - keep, next - keep, headers) for begin, next, headers in self._open]
            self.skipped += keep
