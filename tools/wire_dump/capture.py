"""Reads the packets of a pcap file; `pcapng` reads the newer format into the same packets.

Why no library reads them: msgpack is the one dependency at runtime, the two formats are a page each, and none
of the libraries in pure Python joins TCP segments to streams, which is where the work is. tshark serves as the
oracle of the tests.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wire_dump.input import Input

PACKET_BYTES_MAX: Final = 1 << 24
"""No link has packets so large: a length above it is damage, and is not read."""


class Packet(NamedTuple):
    """What was captured of one packet, and when."""

    nanoseconds: int
    """Since 1970."""
    link: int
    """Its LINKTYPE: which header it begins with."""
    data: bytes
    size: int
    """As many bytes it had; more than were captured where the capture cut it off."""


class Damage(NamedTuple):
    """A place where the file cannot be read on."""

    offset: int
    expected: str
    got: str
    data: bytes
    start: int
    end: int


_ORDERS: Final = {
    b"\xa1\xb2\xc3\xd4": (">", 1000, 16),
    b"\xd4\xc3\xb2\xa1": ("<", 1000, 16),
    b"\xa1\xb2\x3c\x4d": (">", 1, 16),
    b"\x4d\x3c\xb2\xa1": ("<", 1, 16),
    b"\xa1\xb2\xcd\x34": (">", 1000, 24),
    b"\x34\xcd\xb2\xa1": ("<", 1000, 24),
}
"""The byte order, the nanoseconds in a tick and the bytes before a packet, by the magic number. The last two
are of a libpcap that Alexey Kuznetsov changed.
"""
MAGICS: Final = tuple(_ORDERS)

_LINK_BITS: Final = 0x03FFFFFF
"""The others say how long the checksum behind each packet is."""


def read_pcap(file: Input) -> Iterator[Packet | Damage]:
    """The packets in the order of the file; at damage, what it is, as the last item."""
    head = file.read(24)
    if len(head) >= 4 and head[:4] not in _ORDERS:
        yield Damage(0, "a pcap file, which begins with a1b2c3d4 or a1b23c4d", head[:4].hex(), head, 0, 4)
        return
    if len(head) < 24:
        yield cut_off(0, head, 24, "the header of a pcap file")
        return
    order, tick, head_size = _ORDERS[head[:4]]
    link = struct.unpack(order + "I", head[20:24])[0] & _LINK_BITS
    unpack = struct.Struct(order + "IIII").unpack_from
    while header := file.read(head_size):
        at = file.offset - len(header)
        if len(header) < head_size:
            yield cut_off(at, header, head_size, "the header of a packet")
            return
        seconds, ticks, captured, original = unpack(header)
        if captured > PACKET_BYTES_MAX:
            expected = f"a packet of at most {PACKET_BYTES_MAX:,} bytes"
            yield Damage(at, expected, f"a length of {captured:,}", header, 8, 12)
            return
        data = file.read(captured)
        size = original if original > captured else captured
        yield Packet(seconds * 1_000_000_000 + ticks * tick, link, data, size)
        if len(data) < captured:
            yield cut_off(file.offset - len(data), data, captured, "a packet")
            return


def cut_off(offset: int, data: bytes, size: int, what: str) -> Damage:
    """The file ends inside of something."""
    return Damage(
        offset,
        f"{size:,} bytes of {what}",
        f"{len(data):,}, then the end of the file",
        data,
        len(data),
        len(data),
    )
