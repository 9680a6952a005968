"""Frames (FRAME-1), and the reader that cuts a stream into them (FRAME-2, FRAME-4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from conformance._protocol import FRAME_BYTES_MAX, TYPE_NAMES

_TYPE_AND_NAME = struct.Struct(">BH")
_PAYLOAD_LENGTH = struct.Struct(">I")
_HEAD_BYTES = _TYPE_AND_NAME.size + _PAYLOAD_LENGTH.size
_COMPACT_BYTES = 1 << 16
"""A reader forgets what it has read in pieces of this size: a stream of small frames is then copied once."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, legal or not: a type 0 … 255, up to 65,535 bytes of name, up to 2^32-1 bytes of payload."""

    type: int
    name: bytes
    payload: bytes

    def encode(self) -> bytes:
        """The frame's bytes. Raises `ValueError` where a part does not fit the layout."""
        try:
            head = _TYPE_AND_NAME.pack(self.type, len(self.name))
            return head + self.name + _PAYLOAD_LENGTH.pack(len(self.payload)) + self.payload
        except struct.error as error:
            sizes = f"type {self.type}, name of {len(self.name):,}, payload of {len(self.payload):,} bytes"
            raise ValueError(f"{sizes}; a frame holds a u8, and lengths of a u16 and a u32") from error

    @property
    def size(self) -> int:
        """Bytes of the whole frame; what limits are about."""
        return _HEAD_BYTES + len(self.name) + len(self.payload)

    @property
    def payload_start(self) -> int:
        """Where in the frame the payload begins."""
        return _HEAD_BYTES + len(self.name)

    @property
    def kind(self) -> str:
        """What the specification calls the type, such as ``VOTE_REQUEST``; else ``type 200``."""
        return TYPE_NAMES.get(self.type, f"type {self.type}")


class FrameError(Exception):
    """The stream cannot go on: its sender's fault. `offset` is where in the stream the frame begins."""

    def __init__(self, code: str, rule: str, offset: int, expected: str, got: str) -> None:
        super().__init__(f"stream offset {offset}: expected {expected}, got {got} ({code}, {rule})")
        self.code = code
        self.rule = rule
        self.offset = offset
        self.expected = expected
        self.got = got


class FrameReader:
    """Cuts a stream into frames, however its bytes arrive.

    `offset` is that of the next unread byte in the stream: where the next frame begins. `limit` may be changed
    between frames, as when a hello is accepted. After a `FrameError` every further read raises it again.
    """

    def __init__(self, limit: int = FRAME_BYTES_MAX) -> None:
        self.limit = limit
        self.offset = 0
        self._buffer = bytearray()
        self._start = 0
        self._error: FrameError | None = None

    def feed(self, data: bytes) -> None:
        """Takes what arrived next."""
        if self._start >= _COMPACT_BYTES:
            del self._buffer[: self._start]
            self._start = 0
        self._buffer += data

    def next_frame(self) -> Frame | None:
        """The next frame; None when more bytes are needed. Raises `FrameError` for a frame over the limit.

        Three bytes tell that a name alone is too long, 7 + n the size of the whole: no more has to arrive. A
        name that is no UTF-8 is left to `decode`.
        """
        if self._error:
            raise self._error
        arrived = len(self._buffer) - self._start
        if arrived < _TYPE_AND_NAME.size:
            return None
        type, name_length = _TYPE_AND_NAME.unpack_from(self._buffer, self._start)
        name_end = _TYPE_AND_NAME.size + name_length
        self._judge(_HEAD_BYTES + name_length, f"a name of {name_length:,} bytes")
        if arrived < name_end + _PAYLOAD_LENGTH.size:
            return None
        [payload_length] = _PAYLOAD_LENGTH.unpack_from(self._buffer, self._start + name_end)
        size = _HEAD_BYTES + name_length + payload_length
        self._judge(size, f"a frame of {size:,} bytes")
        if arrived < size:
            return None
        whole = bytes(memoryview(self._buffer)[self._start : self._start + size])
        self._start += size
        self.offset += size
        return Frame(type, whole[_TYPE_AND_NAME.size : name_end], whole[name_end + _PAYLOAD_LENGTH.size :])

    @property
    def rest(self) -> bytes:
        """What has arrived and is no whole frame yet; what follows a frame over the limit, too."""
        return bytes(self._buffer[self._start :])

    def _judge(self, size: int, got: str) -> None:
        if size > self.limit:
            expected = f"a frame of at most {self.limit:,} bytes"
            self._error = FrameError("FRAME_TOO_LARGE", "FRAME-4", self.offset, expected, got)
            raise self._error
