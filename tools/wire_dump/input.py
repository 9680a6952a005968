"""Reads any input as bytes, from the front to the end, and tells by its first bytes of what kind it is."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from wire_dump.capture import MAGICS

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK_BYTES = 1 << 20
PEEK_BYTES = 4096


class Kind(StrEnum):
    """The kinds of input, by the names that `--input` takes."""

    PCAP = "pcap"
    PCAPNG = "pcapng"
    TRACE = "trace"
    HEX = "hex"
    RAW = "raw"


class Readable(Protocol):
    """As much of a binary file as is used of it."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


_DAMAGED: Final = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


class Input:
    """A stream of bytes, with a look at what comes first. Holds one chunk and what was asked for, never all."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._buffer = b""
        self._at = 0
        self._start = 0
        self._ended = False
        self.failure = ""
        """What of the input was damaged before it could be read at all; it seems to end there."""

    @property
    def offset(self) -> int:
        """How many bytes have been read."""
        return self._start + self._at

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        end = self._at + size
        if end <= len(self._buffer):
            part = self._buffer[self._at : end]
            self._at = end
            return part
        self._fill(size)
        part = self._buffer[self._at : self._at + size]
        self._at += len(part)
        return part

    def some(self) -> bytes:
        """The next bytes, as many as there are without waiting for more; none only at the end."""
        self._fill(1)
        part = self._buffer[self._at :]
        self._at = len(self._buffer)
        return part

    def peek(self, size: int) -> bytes:
        """What `read` would give, left where it is."""
        self._fill(size)
        return self._buffer[self._at : self._at + size]

    def line(self, limit: int) -> bytes:
        """Up to and with the next newline, or `limit` bytes."""
        while True:
            found = self._buffer.find(b"\n", self._at, self._at + limit)
            if found >= 0:
                return self.read(found + 1 - self._at)
            held = len(self._buffer) - self._at
            if held >= limit or self._ended:
                return self.read(min(held, limit))
            self._fill(min(limit, held + 1))

    def skip(self, size: int) -> int:
        """Reads over bytes without holding them; how many there were."""
        left = size
        while left and (part := self.read(min(left, CHUNK_BYTES))):
            left -= len(part)
        return size - left

    def _fill(self, size: int) -> None:
        parts: list[bytes] = []
        held = len(self._buffer) - self._at
        while held < size and not self._ended:
            try:
                part = self._file.read(CHUNK_BYTES)
            except _DAMAGED as error:
                part, self.failure = b"", str(error)
            self._ended = not part
            parts.append(part)
            held += len(part)
        if parts:
            self._start += self._at
            self._buffer = b"".join((self._buffer[self._at :], *parts))
            self._at = 0

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


_PCAPNG = b"\x0a\x0d\x0d\x0a"
_HEX_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]*")
_HEX_START = re.compile(rb"(?:\s|#[^\n]*\n)*(?:0[xX]|\\x)?[0-9A-Fa-f]{2}")
COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


def kind_of(start: bytes) -> Kind:
    """Tells by the first bytes.

    A stream of frames cannot be taken for text: the lengths in its first header hold a zero byte unless name
    and payload are both enormous.
    """
    if start[:4] in MAGICS:
        return Kind.PCAP
    if start[:4] == _PCAPNG:
        return Kind.PCAPNG
    if start.lstrip()[:1] == b"{" and b'"casty-trace"' in start:
        return Kind.TRACE
    if _HEX_TEXT.fullmatch(start) and _HEX_START.match(start):
        return Kind.HEX
    return Kind.RAW


def compression_of(start: bytes) -> str | None:
    """The name of the compression that the bytes begin as, if they do."""
    return next((name for magic, name in COMPRESSED.items() if start.startswith(magic)), None)


def unpacked(data: Input, compression: str) -> Input | None:
    """The input that a compressed one holds, read as it is needed; None if nothing here can read it."""
    opened = _OPEN.get(compression)
    return None if opened is None else Input(_Unpacked(opened(io.BufferedReader(_Raw(data)))))


class _Raw(io.RawIOBase):
    """An input as the files of the standard library are."""

    def __init__(self, data: Input) -> None:
        self._data = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._data.read(min(len(buffer), CHUNK_BYTES))
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._data.close()
        super().close()


class _Unpacked:
    """Gives what there is without waiting for more."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.read = cast("Callable[[int], bytes]", file.read1)

    def close(self) -> None:
        self._file.close()


_OPEN: Final[dict[str, Callable[[Any], Any]]] = {
    "gzip": lambda raw: gzip.GzipFile(fileobj=raw),
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
}
