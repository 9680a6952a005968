"""Puts the segments of one direction of a TCP connection back into the stream they are parts of.

Sequence numbers are counted from the first byte of the stream, so that their wrapping round after 4 GiB is met
in one place. What comes twice is delivered once, the first copy of it; what comes too early waits, within
limits; what never comes is reported as a gap when it is certain, or when waiting would cost too much.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Final, NamedTuple

from wire_dump.packet import FIN, RST, SYN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wire_dump.packet import Segment

WAITING_BYTES_MAX: Final = 1 << 20
WAITING_SEGMENTS_MAX: Final = 1024
"""More than any receive window that is still useful; a hole that old is a segment the capture lacks."""
WAITING_NANOSECONDS_MAX: Final = 1_000_000_000
"""A receiver that has acknowledged the hole this long ago has what the capture lacks."""

_WRAP: Final = 1 << 32


class Gap(NamedTuple):
    """Bytes of the stream that the capture does not have."""

    size: int


type Piece = bytes | Gap


class _Waiting(NamedTuple):
    start: int
    data: bytes
    missing: int


class Stream:
    """One direction. `next` is the offset of the byte that is to be delivered next."""

    def __init__(self) -> None:
        self.next = 0
        self.retransmitted = 0
        self.whole = False
        """Whether the capture has the stream's first byte, or may have."""
        self._base: int | None = None
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._waiting_since = 0
        self._end: int | None = None

    @property
    def begun(self) -> bool:
        """Whether a segment that belongs to it has been seen."""
        return self._base is not None

    @property
    def ended(self) -> bool:
        """Whether all of it has been delivered."""
        return self._end is not None and self.next >= self._end

    @property
    def held(self) -> int:
        """Bytes that wait for earlier ones."""
        return self._waiting_bytes

    def begins_anew(self, segment: Segment) -> bool:
        """Whether this is the beginning of another connection between the same ports."""
        return (
            bool(segment.flags & SYN)
            and self._base is not None
            and self._base != segment.sequence + 1 & 0xFFFFFFFF
        )

    def accept(self, segment: Segment, nanoseconds: int) -> Iterator[Piece]:
        """What can be delivered now that this segment is here."""
        sequence = segment.sequence
        if segment.flags & SYN:
            sequence += 1
            if self._base is None:
                self.whole = True
        if self._base is None:
            if not segment.data and not segment.missing and not segment.flags & (SYN | FIN | RST):
                return  # an acknowledgement alone: one that keeps the connection alive lies a byte back
            self._base = sequence & 0xFFFFFFFF
        start = self._offset(sequence)
        end = start + len(segment.data) + segment.missing
        if segment.flags & FIN and self._end is None:
            self._end = end
        if end == start:
            return  # no bytes of the stream
        if end > self.next:
            yield from self._deliver(_Waiting(start, segment.data, segment.missing), nanoseconds)
        elif segment.data:
            self.retransmitted += 1

    def acknowledged(self, segment: Segment, nanoseconds: int) -> Iterator[Piece]:
        """What can be delivered because the other side says what it has."""
        if not self._waiting or nanoseconds - self._waiting_since < WAITING_NANOSECONDS_MAX:
            return
        if self._offset(segment.acknowledged) >= self._waiting[0].start:
            yield from self._give_up()

    def finish(self) -> Iterator[Piece]:
        """What is left when nothing comes any more, with the gaps in it."""
        while self._waiting:
            yield from self._give_up()
        if self._end is not None and self.next < self._end:
            gap = Gap(self._end - self.next)
            self.next = self._end
            yield gap

    def _offset(self, sequence: int) -> int:
        """The offset whose sequence number this is, of all that have it the one next to what is expected."""
        ahead = (sequence - (self._base or 0) - self.next) % _WRAP
        return self.next + (ahead if ahead < _WRAP // 2 else ahead - _WRAP)

    def _deliver(self, part: _Waiting, nanoseconds: int) -> Iterator[Piece]:
        if part.start > self.next:
            if not self._waiting:
                self._waiting_since = nanoseconds
            insort(self._waiting, part)
            self._waiting_bytes += len(part.data)
            if self._waiting_bytes > WAITING_BYTES_MAX or len(self._waiting) > WAITING_SEGMENTS_MAX:
                yield from self._give_up()
            return
        if part.start < self.next:
            self.retransmitted += 1
        yield from self._pieces(part)
        yield from self._drain(nanoseconds)

    def _drain(self, nanoseconds: int) -> Iterator[Piece]:
        """Delivers what waited for what is there now."""
        ready = 0
        for part in self._waiting:
            if part.start > self.next:
                break
            ready += 1
            self._waiting_bytes -= len(part.data)
            yield from self._pieces(part)
        if ready:
            del self._waiting[:ready]
            self._waiting_since = nanoseconds

    def _pieces(self, part: _Waiting) -> Iterator[Piece]:
        """What of it has not been delivered."""
        data = part.data[self.next - part.start :]
        missing = part.start + len(part.data) + part.missing - self.next - len(data)
        if data:
            self.next += len(data)
            yield data
        if missing > 0:
            self.next += missing
            yield Gap(missing)

    def _give_up(self) -> Iterator[Piece]:
        """Goes on after the hole before what waits."""
        gap = Gap(self._waiting[0].start - self.next)
        self.next += gap.size
        yield gap
        yield from self._drain(self._waiting_since)
