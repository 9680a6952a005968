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


class Damage(NamedTuple):
    """A place where the file cannot be read on."""

    offset: int
    expected: str
    got: str
    data: bytes
    start: int
    end: int


_ORDERS: Final = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
"""The byte order and the nanoseconds in a tick, by the magic number."""


def read_pcap(file: Input) -> Iterator[Packet | Damage]:
    """The packets in the order of the file; at damage, what it is, as the last item."""
    head = file.read(24)
    if len(head) >= 4 and head[:4] not in _ORDERS:
        yield Damage(0, "a pcap file, which begins with a1b2c3d4 or a1b23c4d", head[:4].hex(), head, 0, 4)
        return
    if len(head) < 24:
        yield cut_off(0, head, 24, "the header of a pcap file")
        return
    order, tick = _ORDERS[head[:4]]
    link = struct.unpack(order + "I", head[20:24])[0] & 0x0FFFFFFF
    unpack = struct.Struct(order + "IIII").unpack
    while header := file.read(16):
        at = file.offset - len(header)
        if len(header) < 16:
            yield cut_off(at, header, 16, "the header of a packet")
            return
        seconds, ticks, captured, _ = unpack(header)
        if captured > PACKET_BYTES_MAX:
            expected = f"a packet of at most {PACKET_BYTES_MAX:,} bytes"
            yield Damage(at, expected, f"a length of {captured:,}", header, 8, 12)
            return
        data = file.read(captured)
        yield Packet(seconds * 1_000_000_000 + ticks * tick, link, data)
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
