"""Puts the segments of one direction of a TCP connection back into the stream they are parts of.

Sequence numbers are counted from the first byte of the stream, so that their wrapping round after 4 GiB is met
in one place. What comes twice is delivered once, the first copy of it; what comes too early waits, within
limits; what never comes is reported as a gap when it is certain, or when waiting would cost too much.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
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
WINDOW_BYTES_MAX: Final = 1 << 26
"""More than any window in use: what lies further back belongs to another connection."""

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
        self.before = 0
        """Segments of before the first byte that was delivered: the capture begins in the midst of them."""
        self.is_astray = False
        """Whether the last segment must be another connection's, whose SYN is not in the capture: so far back
        lie its numbers.
        """
        self.late = 0
        """Segments that came after their place had been given up as a gap."""
        self.whole = False
        """Whether the capture has the stream's first byte, or may have."""
        self._base: int | None = None
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._waiting_since = 0
        self._end: int | None = None
        self._gaps: deque[tuple[int, int]] = deque(maxlen=16)

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
        if not segment.flags & SYN or self._base is None:
            return False
        ahead = (self._base - segment.sequence - 1) % _WRAP
        # A SYN that was captured after the data behind it is this connection's own.
        return ahead > (0 if self.whole else WAITING_BYTES_MAX)

    def goes_on(self, segment: Segment) -> bool:
        """Whether the segment holds other bytes than those that were delivered."""
        if self._base is None:
            return True
        behind = self.next - self._offset(segment.sequence) - len(segment.data)
        return behind < 0 or behind > WINDOW_BYTES_MAX

    def is_reset_by(self, segment: Segment) -> bool:
        """Whether its RST is for this connection: a number far off is from an older one, or made up."""
        if self._base is None:
            return True
        return -WAITING_BYTES_MAX <= self._offset(segment.sequence) - self.next <= WINDOW_BYTES_MAX

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
        if segment.flags & FIN and self._end is None and end >= self.next:
            self._end = end
        if end == start:
            return  # no bytes of the stream
        if end > self.next:
            yield from self._deliver(_Waiting(start, segment.data, segment.missing), nanoseconds)
        elif segment.data:
            if self.next - end > WINDOW_BYTES_MAX:
                self.is_astray = True
            self._repeated(start, end)

    def _repeated(self, start: int, end: int) -> None:
        """Counts a segment of which nothing is new. One byte is a probe that keeps the connection alive."""
        self.retransmitted += 1
        if end <= 0 and end - start > 1:
            self.before += 1
        elif any(start < gap_end and gap_start < end for gap_start, gap_end in self._gaps):
            self.late += 1

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
            yield self._gap(self._end - self.next)

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
            yield self._gap(missing)

    def _give_up(self) -> Iterator[Piece]:
        """Goes on after the hole before what waits."""
        yield self._gap(self._waiting[0].start - self.next)
        yield from self._drain(self._waiting_since)

    def _gap(self, size: int) -> Gap:
        self._gaps.append((self.next, self.next + size))
        self.next += size
        return Gap(size)
