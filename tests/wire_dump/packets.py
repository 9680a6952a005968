"""Captures made by hand: packets of any kind, in any file format."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, NamedTuple

from wire_dump.events import Seen, Trouble
from wire_dump.input import Input
from wire_dump.sources import source_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wire_dump.events import Event
    from wire_dump.sources import Source

FIN, SYN, RST, ACK = 1, 2, 4, 16
HERE, THERE = b"\x0a\0\0\1", b"\x0a\0\0\2"
HERE6, THERE6 = bytes(15) + b"\1", bytes(15) + b"\2"


class Packet(NamedTuple):
    """A packet in a capture, and how much of it was captured."""

    data: bytes
    nanoseconds: int = 0
    captured: int | None = None


def segment(
    data: bytes = b"",
    sequence: int = 0,
    flags: int = ACK,
    *,
    ports: tuple[int, int] = (50000, 8001),
    acknowledged: int = 0,
    options: bytes = b"",
) -> bytes:
    """A TCP segment without its checksum."""
    offset = (5 + len(options) // 4) << 4
    numbers = (sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF)
    return struct.pack(">HHIIBBHHH", *ports, *numbers, offset, flags, 65535, 0, 0) + options + data


def ipv4(
    content: bytes, *, back: bool = False, fragment: int = 0, protocol: int = 6, total: int | None = None
) -> bytes:
    """An IPv4 packet."""
    size = 20 + len(content) if total is None else total
    ends = (THERE, HERE) if back else (HERE, THERE)
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, size, 1, fragment, 64, protocol, 0, *ends) + content


def ipv6(content: bytes, *, back: bool = False, following: int = 6) -> bytes:
    """An IPv6 packet."""
    ends = (THERE6, HERE6) if back else (HERE6, THERE6)
    return struct.pack(">IHBB16s16s", 6 << 28, len(content), following, 64, *ends) + content


def ethernet(packet: bytes, kind: int = 0x0800, vlans: Sequence[int] = ()) -> bytes:
    """A frame of Ethernet, padded as short ones are."""
    tags = b"".join(struct.pack(">HH", tag, 7) for tag in vlans)
    return (bytes(12) + tags + struct.pack(">H", kind) + packet).ljust(60, b"\xee")


def pcap(packets: Iterable[Packet], link: int = 101, *, order: str = "<", nano: bool = False) -> bytes:
    """A pcap file."""
    magic, tick = (0xA1B23C4D, 1) if nano else (0xA1B2C3D4, 1000)
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)]
    for data, nanoseconds, captured in packets:
        there = data if captured is None else data[:captured]
        seconds, rest = divmod(nanoseconds, 1_000_000_000)
        out.append(struct.pack(order + "IIII", seconds, rest // tick, len(there), len(data)) + there)
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A block of pcapng."""
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    """The beginning of a section of pcapng."""
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 101, order: str = "<", snap: int = 0, options: bytes = b"") -> bytes:
    """An interface of pcapng."""
    return block(1, struct.pack(order + "HHI", link, 0, snap) + options, order)


def enhanced(packet: Packet, order: str = "<", number: int = 0, ticks_a_second: int = 1_000_000) -> bytes:
    """A packet of pcapng."""
    data, nanoseconds, captured = packet
    there = data if captured is None else data[:captured]
    ticks = nanoseconds * ticks_a_second // 1_000_000_000
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(there), len(data))
    return block(6, head + there, order)


def events(data: bytes, *, resync: bool = False) -> list[Event]:
    """All the events of an input."""
    return list(source_of(Input(io.BytesIO(data)), resync=resync).events)


def events_and_source(data: bytes, *, resync: bool = False) -> tuple[list[Event], Source]:
    """All the events of an input, and what they were read from."""
    source = source_of(Input(io.BytesIO(data)), resync=resync)
    return list(source.events), source


def opened(data: bytes, *, resync: bool = False) -> tuple[list[Event], str]:
    """All the events of an input, and what was not read of it."""
    found, source = events_and_source(data, resync=resync)
    return found, source.unread.text()


def frames(found: Iterable[Event]) -> list[bytes]:
    """The frames among the events, as bytes."""
    return [event.frame.encode() for event in found if isinstance(event, Seen)]


def troubles(found: Iterable[Event]) -> list[Trouble]:
    """The troubles among the events."""
    return [event for event in found if isinstance(event, Trouble)]


class Talk:
    """One TCP connection, packet by packet, both directions."""

    def __init__(self, start: int = 1000) -> None:
        self.next = {False: start, True: start + 77}
        self.packets: list[Packet] = []
        self._time = 0

    def open(self) -> Talk:
        """The handshake."""
        self._add(segment(sequence=self.next[False], flags=SYN), back=False)
        self._add(segment(sequence=self.next[True], flags=SYN | ACK, ports=(8001, 50000)), back=True)
        self.next = {back: number + 1 for back, number in self.next.items()}
        return self

    def say(self, data: bytes, *, back: bool = False, captured: int | None = None) -> Talk:
        """The next bytes of a direction in one segment."""
        self.again(data, self.next[back], back=back, captured=captured)
        self.next[back] += len(data)
        return self

    def skip(self, size: int, *, back: bool = False) -> Talk:
        """Bytes that the capture has not seen."""
        self.next[back] += size
        return self

    def again(self, data: bytes, sequence: int, *, back: bool = False, captured: int | None = None) -> Talk:
        """Bytes at any place of the stream."""
        ports = (8001, 50000) if back else (50000, 8001)
        size = None if captured is None else 40 + captured
        self._add(
            segment(data, sequence, ports=ports, acknowledged=self.next[not back]), back=back, captured=size
        )
        return self

    def end(self, *, back: bool = False, flags: int = FIN | ACK) -> Talk:
        """A FIN, or whatever the flags are."""
        ports = (8001, 50000) if back else (50000, 8001)
        self._add(segment(sequence=self.next[back], flags=flags, ports=ports), back=back)
        return self

    def later(self, seconds: float) -> Talk:
        """Time passes."""
        self._time += round(seconds * 1_000_000_000)
        return self

    def file(self) -> bytes:
        """All of it as a capture."""
        return pcap(self.packets)

    def _add(self, content: bytes, *, back: bool, captured: int | None = None) -> None:
        self._time += 1_000_000
        self.packets.append(Packet(ipv4(content, back=back), self._time, captured))
