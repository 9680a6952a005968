"""Bytes to frames and back: a type, a name, a payload and their lengths, with nothing around them.

No socket is touched here. Bytes go in as they arrive (`FrameDecoder.receive_data`) and frames come out one at
a time (`next_frame`), so that a good frame ahead of a bad one is still delivered, and the limit can change
between two frames of one read.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from casty.errors import MessageTooLargeError, ProtocolError
from casty.wire._protocol import FRAME_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Buffer

_HEAD: Final = Struct("!BH")
_LENGTH: Final = Struct("!I")
_OVERHEAD: Final = 7
"""What a frame needs besides name and payload."""
_NAME_BYTES_MAX: Final = 0xFFFF
_PAYLOAD_BYTES_MAX: Final = 0xFFFF_FFFF


class Frame(NamedTuple):
    """One frame. Its type says what name and payload mean; a type nobody knows makes a frame, too."""

    type: int
    name: str
    payload: bytes


def encode_frame(type: int, name: str, payload: bytes) -> bytes:
    """The bytes of one frame (FRAME-1). Raises `MessageTooLargeError` for what the lengths cannot say."""
    name_bytes = name.encode()
    name_length = len(name_bytes)
    if name_length > _NAME_BYTES_MAX or len(payload) > _PAYLOAD_BYTES_MAX:
        raise MessageTooLargeError(
            f"a frame with a name of {name_length:,} bytes and a payload of {len(payload):,}; "
            f"the format ends at {_NAME_BYTES_MAX:,} and {_PAYLOAD_BYTES_MAX:,}"
        )
    return b"".join((_HEAD.pack(type, name_length), name_bytes, _LENGTH.pack(len(payload)), payload))


class FrameDecoder:
    """Cuts a stream of bytes into frames. After an error it repeats that error and takes no more bytes.

    `frame_bytes_max` counts header and name, too; it may change between two calls. Memory is used only for
    bytes that have arrived, whatever they announce.
    """

    __slots__ = ("_buffer", "_error", "_needed", "_start", "frame_bytes_max")

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.frame_bytes_max = frame_bytes_max
        # The bytes of one read while whole frames come out of it, so that nothing but payloads is copied; a
        # bytearray while a frame is incomplete, because that grows in place however small the reads are.
        self._buffer: bytes | bytearray = b""
        self._start = 0  # where the next frame begins in the buffer; 0 in a bytearray
        self._needed = _HEAD.size  # bytes of that frame without which there is nothing new to see
        self._error: ProtocolError | None = None

    def receive_data(self, data: Buffer) -> None:
        """Takes bytes as the stream brought them. What is wrong with them, `next_frame` says."""
        if self._error is not None:
            return
        buffer = self._buffer
        if isinstance(buffer, bytearray):
            buffer += data
        elif self._start == len(buffer):
            self._buffer = data if type(data) is bytes else bytes(data)
            self._start = 0
        else:
            self._buffer = bytearray(memoryview(buffer)[self._start :])
            self._buffer += data
            self._start = 0

    def next_frame(self) -> Frame | None:
        """The next complete frame, or None while it has not arrived. A `ProtocolError` it raises for good."""
        buffer, start = self._buffer, self._start
        size = len(buffer)
        if size - start < self._needed:
            if self._error is not None:
                raise self._error
            return None
        kind, name_length = _HEAD.unpack_from(buffer, start)
        name_end = start + 3 + name_length
        payload_start = name_end + 4
        if payload_start > size:
            self._wait_for(payload_start - start)
            return None
        end = payload_start + _LENGTH.unpack_from(buffer, name_end)[0]
        if end - start > self.frame_bytes_max:
            raise self._too_large(f"{end - start:,} bytes")
        try:
            name = buffer[start + 3 : name_end].decode()
        except UnicodeDecodeError as error:
            raise self._bad_name(error) from None
        if end > size:
            self._wait_for(end - start)
            return None
        if isinstance(buffer, bytearray):
            return self._take_assembled(buffer, name, payload_start, end)
        self._start = end
        self._needed = _HEAD.size
        frame: Frame = _new(Frame, (kind, name, buffer[payload_start:end]))
        return frame

    @property
    def has_more(self) -> bool:
        """Whether bytes have arrived beyond the frame that came last: the next one, or its beginning."""
        return self._start < len(self._buffer)

    def receive_eof(self) -> str | None:
        """What the end of the stream cut off: "stream ended after 3 of 11 bytes"; None between two frames.

        To be asked when `next_frame` has returned None.
        """
        buffer = self._buffer[self._start : self._start + _HEAD.size + _NAME_BYTES_MAX + 4]
        arrived = len(self._buffer) - self._start
        if arrived == 0:
            return None
        if arrived < _HEAD.size:
            return f"stream ended after {arrived} of at least {_OVERHEAD} bytes"
        payload_start = _OVERHEAD + int.from_bytes(buffer[1:3])
        if arrived < payload_start:
            return f"stream ended after {arrived:,} of at least {payload_start:,} bytes"
        size = payload_start + int.from_bytes(buffer[payload_start - 4 : payload_start])
        return f"stream ended after {arrived:,} of {size:,} bytes"

    def _wait_for(self, needed: int) -> None:
        """The header, as far as it has arrived, says that the frame has at least `needed` bytes."""
        if needed > self.frame_bytes_max:
            raise self._too_large(f"at least {needed:,} bytes")
        self._needed = needed

    def _take_assembled(self, buffer: bytearray, name: str, payload_start: int, end: int) -> Frame:
        """A frame that came in pieces. Its payload is copied out, and what follows starts a new buffer."""
        with memoryview(buffer) as view:
            frame = Frame(view[0], name, bytes(view[payload_start:end]))
            self._buffer = bytes(view[end:])
        self._needed = _HEAD.size
        return frame

    def _too_large(self, size: str) -> ProtocolError:
        text = f"frame of {size}; the limit is {self.frame_bytes_max:,}"
        return self._fail("FRAME_TOO_LARGE", "FRAME-4", text)

    def _bad_name(self, error: UnicodeDecodeError) -> ProtocolError:
        text = f"frame name {bytes(error.object[:64])!r} is not UTF-8 at byte {error.start}"
        return self._fail("BAD_NAME", "FRAME-3", text)

    def _fail(self, code: str, rule: str, text: str) -> ProtocolError:
        self._error = ProtocolError(code, rule, text)
        self._buffer = b""
        self._start = 0
        return self._error


# A frame made so costs half of what `Frame(…)` does.
_new: Final[Any] = tuple.__new__  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
