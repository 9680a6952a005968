"""Makes connections of the packets of a capture, and events of what the connections carry."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from conformance.trace.record import Closed, Opened
from wire_dump.capture import Damage
from wire_dump.events import Seen, Trouble
from wire_dump.packet import ACK, LINKS, RST, SYN, Fragment, address, segment_in
from wire_dump.reassembly import Stream
from wire_dump.stream import Direction, Found, Lost

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from wire_dump.capture import Packet
    from wire_dump.events import Event
    from wire_dump.packet import Segment
    from wire_dump.reassembly import Piece

CONNECTIONS_MAX: Final = 4096
"""Connections open at a time; of more, the one that was silent the longest is taken for ended."""
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
    dialler: bytes | None
    closed: bool = False
    held: int = field(default=0)


class Connections:
    """Takes packets in the order of the capture."""

    def __init__(self, *, resync: bool = False) -> None:
        self._resync = resync
        self._open: OrderedDict[bytes, _Connection] = OrderedDict()
        self._count = 0
        self._held = 0
        self._said: set[str] = set()
        self._began: int | None = None

    @property
    def began(self) -> int | None:
        """When the first packet was captured, in nanoseconds since 1970."""
        return self._began

    def events(self, packets: Iterable[Packet | Damage]) -> Iterator[Event]:
        """What the packets say, with times in seconds since the first."""
        time = 0.0
        for packet in packets:
            if isinstance(packet, Damage):
                yield Trouble(time, 0, None, None, *packet, next="the rest of the file is not read")
                break
            if self._began is None:
                self._began = packet.nanoseconds
            time = (packet.nanoseconds - self._began) / 1_000_000_000
            segment = segment_in(packet.link, packet.data)
            if segment is None:
                if packet.link not in LINKS:
                    yield from self._once(
                        time, f"a link layer that is known, {sorted(LINKS)}", f"LINKTYPE {packet.link}"
                    )
            elif isinstance(segment, Fragment):
                yield from self._once(time, "whole IP packets", "fragments, which are not put together")
            else:
                yield from self._segment(segment, packet.nanoseconds, time)
        for connection in list(self._open.values()):
            yield from self._finish(connection, time)
        self._open.clear()

    def _once(self, time: float, expected: str, got: str) -> Iterator[Event]:
        if got not in self._said:
            self._said.add(got)
            yield Trouble(time, 0, None, None, 0, expected, got, next="packets like this one are left out")

    def _segment(self, segment: Segment, nanoseconds: int, time: float) -> Iterator[Event]:
        source, target, flags = segment.source, segment.target, segment.flags
        key = source + target if source < target else target + source
        connection = self._open.get(key)
        if connection is not None and connection.halves[source].stream.begins_anew(segment):
            yield from self._finish(connection, time)
            connection = None
        if connection is None:
            if not (segment.data or flags & SYN):
                return  # the end of one that began and ended before, or nothing but acknowledgements yet
            connection = yield from self._new(key, segment, time)
        self._open.move_to_end(key)
        half = connection.halves[source]
        pieces = half.stream.accept(segment, nanoseconds)
        yield from self._pieces(connection, half, pieces, time)
        if flags & ACK:
            other = connection.halves[target]
            if other.stream.held:
                yield from self._pieces(
                    connection, other, other.stream.acknowledged(segment, nanoseconds), time
                )
        if flags & RST:
            yield from self._finish(connection, time)
            yield Closed(time, connection.number, half.source, "reset")
            del self._open[key]
        elif half.stream.ended and not half.closed:
            half.closed = True
            if half.direction:
                yield from self._shown(connection, half, half.direction.finish(), time)
            yield Closed(time, connection.number, half.source, "fin")
            if all(each.closed for each in connection.halves.values()):
                self._held -= connection.held
                del self._open[key]

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
        self._open[key] = connection = _Connection(self._count, halves, dialler)
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
        self._held -= connection.held
        connection.held = 0
        for half in connection.halves.values():
            if not half.closed:
                half.closed = True
                for piece in half.stream.finish():
                    if half.direction:
                        yield from self._shown(connection, half, half.direction.feed(piece), time)
                if half.direction:
                    yield from self._shown(connection, half, half.direction.finish(), time)

    def _shown(
        self, connection: _Connection, half: _Half, items: Iterable[Found | Lost], time: float
    ) -> Iterator[Event]:
        for item in items:
            if isinstance(item, Found):
                yield Seen(time, connection.number, half.source, half.target, item.frame, item.offset)
            else:
                yield Trouble(time, connection.number, half.source, half.target, *item)
