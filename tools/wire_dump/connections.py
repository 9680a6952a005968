"""Makes connections of the packets of a capture, and events of what the connections carry."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from conformance.trace.record import Closed, Opened
from wire_dump.capture import Damage
from wire_dump.events import Seen, Trouble
from wire_dump.links import NotRead
from wire_dump.packet import ACK, RST, SYN, Packets, address
from wire_dump.reassembly import Stream
from wire_dump.stream import Direction, Found, Lost

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from wire_dump.capture import Packet
    from wire_dump.events import Event
    from wire_dump.packet import Segment
    from wire_dump.reassembly import Piece
    from wire_dump.unread import Unread

CONNECTIONS_MAX: Final = 4096
"""Connections remembered at a time; of more, the one that was silent the longest is taken for ended. One that
has ended stays known, for what is sent again of it.
"""
HELD_BYTES_MAX: Final = 64 << 20
"""Bytes of unfinished frames and early segments, of all connections; above it, the largest holder is given up.
"""


class _Half:
    """One direction: the stream, and the frames in it."""

    def __init__(self, source: str, target: str) -> None:
        self.source = source
        self.target = target
        self.stream = Stream()
        self.direction: Direction | None = None
        self.closed = False

    @property
    def held(self) -> int:
        return self.stream.held + (self.direction.held if self.direction else 0)


@dataclass(slots=True)
class _Connection:
    number: int
    halves: dict[bytes, _Half]
    """By the endpoint that sends."""
    is_closed: bool = False
    held: int = field(default=0)


class Connections:
    """Takes packets in the order of the capture."""

    def __init__(self, unread: Unread, *, resync: bool = False) -> None:
        self._unread = unread
        self._packets = Packets()
        self._resync = resync
        self._open: OrderedDict[bytes, _Connection] = OrderedDict()
        self._count = 0
        self._held = 0
        self._began: int | None = None

    @property
    def began(self) -> int | None:
        """When the first packet was captured, in nanoseconds since 1970."""
        return self._began

    def events(self, packets: Iterable[Packet | Damage]) -> Iterator[Event]:
        """What the packets say, with times in seconds since the first."""
        time = 0.0
        unread, find = self._unread, self._packets.segment
        count = unread.packets = 0
        for packet in packets:
            if isinstance(packet, Damage):
                yield Trouble(time, 0, None, None, *packet, next="the rest of the file is not read")
                break
            if self._began is None:
                self._began = packet.nanoseconds
            count += 1
            time = (packet.nanoseconds - self._began) / 1_000_000_000
            try:
                segment = find(packet.link, packet.data, packet.size)
            except NotRead as why:
                unread.add(f"packets {why}")
                continue
            if segment is not None:
                yield from self._segment(segment, packet.nanoseconds, time)
        unread.packets = count
        for connection in list(self._open.values()):
            yield from self._finish(connection, time)
        self._open.clear()
        fragments = self._packets.fragments
        if lost := fragments.lost + fragments.waiting:
            unread.add("IP fragments without the others of their packets", lost)

    def _segment(self, segment: Segment, nanoseconds: int, time: float) -> Iterator[Event]:
        source, target, flags = segment.source, segment.target, segment.flags
        key = source + target if source < target else target + source
        connection = self._open.get(key)
        if connection is not None and (flags & SYN or connection.is_closed):
            if self._begins_anew(connection, segment):
                yield from self._finish(connection, time)
                connection = None
            elif connection.is_closed:
                return  # sent again after the end
        if connection is None:
            if not (segment.data or segment.missing or flags & SYN):
                return  # the end of one that began before the capture, or nothing but acknowledgements yet
            connection = yield from self._new(key, segment, time)
        self._open.move_to_end(key)
        half = connection.halves[source]
        pieces = half.stream.accept(segment, nanoseconds)
        yield from self._pieces(connection, half, pieces, time)
        if half.stream.is_astray:
            yield from self._finish(connection, time)
            yield from self._segment(segment, nanoseconds, time)
            return
        if flags & ACK:
            other = connection.halves[target]
            if other.stream.held:
                yield from self._pieces(
                    connection, other, other.stream.acknowledged(segment, nanoseconds), time
                )
        if flags & RST:
            if not half.stream.is_reset_by(segment):
                self._unread.add("TCP resets of another connection")
                return
            yield from self._finish(connection, time)
            yield Closed(time, connection.number, half.source, "reset")
        elif half.stream.ended and not half.closed:
            half.closed = True
            if half.direction:
                yield from self._shown(connection, half, half.direction.finish(), time)
            yield Closed(time, connection.number, half.source, "fin")
            if all(each.closed for each in connection.halves.values()):
                yield from self._finish(connection, time)

    def _begins_anew(self, connection: _Connection, segment: Segment) -> bool:
        """Whether this is the first segment of another connection between the same ports."""
        half, other = connection.halves[segment.source], connection.halves[segment.target]
        if half.stream.begins_anew(segment):
            return True
        is_dial = segment.flags & (SYN | ACK) == SYN
        if connection.is_closed:
            return is_dial or (bool(segment.data) and half.stream.goes_on(segment))
        # The other side answers a SYN; it does not speak before.
        return is_dial and not half.stream.begun and other.stream.next > 0

    def _new(self, key: bytes, segment: Segment, time: float) -> Generator[Event, None, _Connection]:
        """The connection that this segment is the first of; yields what its beginning has to say."""
        if len(self._open) >= CONNECTIONS_MAX:
            _, oldest = self._open.popitem(last=False)
            yield from self._finish(oldest, time)
        self._count += 1
        source, target = address(segment.source), address(segment.target)
        halves = {segment.source: _Half(source, target), segment.target: _Half(target, source)}
        # Without the SYN, whoever speaks first is most likely who dialled: the hello is the dialler's to say.
        answers = segment.flags & SYN and segment.flags & ACK
        dialler = segment.target if answers else segment.source
        self._open[key] = connection = _Connection(self._count, halves)
        listener = halves[dialler].target
        yield Opened(time, connection.number, halves[dialler].source, listener, None)
        return connection

    def _pieces(
        self, connection: _Connection, half: _Half, pieces: Iterator[Piece], time: float
    ) -> Iterator[Event]:
        for piece in pieces:
            if half.direction is None:
                half.direction = Direction(trusted=False, whole=half.stream.whole, resync=self._resync)
            yield from self._shown(connection, half, half.direction.feed(piece), time)
        held = sum(each.held for each in connection.halves.values())
        self._held += held - connection.held
        connection.held = held
        if self._held > HELD_BYTES_MAX:
            yield from self._relieve(time)

    def _relieve(self, time: float) -> Iterator[Event]:
        largest = max(self._open.values(), key=lambda connection: connection.held)
        self._held -= largest.held
        largest.held = 0
        for half in largest.halves.values():
            if half.direction and half.direction.held:
                why = f"{HELD_BYTES_MAX:,} bytes are held in all; this direction is not read on"
                yield from self._shown(largest, half, half.direction.abandon(why), time)

    def _finish(self, connection: _Connection, time: float) -> Iterator[Event]:
        """What is left of a connection of which no more will come."""
        if connection.is_closed:
            return
        connection.is_closed = True
        for half in connection.halves.values():
            if not half.closed:
                half.closed = True
                yield from self._pieces(connection, half, half.stream.finish(), time)
                if half.direction:
                    yield from self._shown(connection, half, half.direction.finish(), time)
            self._count_unread(half)
            half.direction = None
        self._held -= connection.held
        connection.held = 0

    def _count_unread(self, half: _Half) -> None:
        for reason, count in (
            ("behind bytes that are no frames", half.direction.dropped if half.direction else 0),
            ("from before the first one that was captured", half.stream.before),
            ("that came too late to be put in order", half.stream.late),
        ):
            if count:
                self._unread.add(f"TCP segments {reason}", count)

    def _shown(
        self, connection: _Connection, half: _Half, items: Iterable[Found | Lost], time: float
    ) -> Iterator[Event]:
        for item in items:
            if isinstance(item, Found):
                yield Seen(time, connection.number, half.source, half.target, item.frame, item.offset)
            else:
                yield Trouble(time, connection.number, half.source, half.target, *item)
