"""IPv4 and TCP headers for a connection of which only the bytes are known.

The suite sees streams, tools for captures read packets. These are the packets that a network without loss or
reordering would have carried: a handshake, segments that are acknowledged one by one, and a FIN or a RST.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SEGMENT_BYTES_MAX: Final = 65495
"""What an IPv4 packet of 65,535 bytes holds beside both headers."""

FIN: Final = 1
SYN: Final = 2
RST: Final = 4
PSH: Final = 8
ACK: Final = 16

_IP = struct.Struct(">BBHHHBBH4s4s")
_TCP = struct.Struct(">HHIIBBHHH")
_PSEUDO = struct.Struct(">4s4sBBH")
_WINDOW: Final = 65535
_SCALED: Final = bytes([3, 3, 14, 1])
"""The option of the SYN that makes a window 2^14 times as large, lest a reader of captures call it full."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One side's IPv4 address, as 4 bytes, and TCP port."""

    address: bytes
    port: int


class Side:
    """One direction of a connection: where its next byte stands, and whether there will be one."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.next = 0
        self.ended = False


class Conversation:
    """The packets of one connection. Bytes after a side's end have no place in TCP and give no packets."""

    def __init__(self, dialler: Endpoint, listener: Endpoint) -> None:
        self._dialler = Side(dialler)
        self._listener = Side(listener)
        self._packets = 0

    def handshake(self) -> Iterator[bytes]:
        """SYN, SYN and ACK, ACK."""
        yield self._packet(self._dialler, SYN, options=_SCALED)
        yield self._packet(self._listener, SYN | ACK, options=_SCALED)
        yield self._packet(self._dialler, ACK)

    def data(self, data: bytes, *, from_listener: bool) -> Iterator[bytes]:
        """Segments of at most `SEGMENT_BYTES_MAX`, each acknowledged."""
        side, other = self._sides(from_listener)
        if side.ended:
            return
        for start in range(0, len(data), SEGMENT_BYTES_MAX):
            yield self._packet(side, PSH | ACK, data[start : start + SEGMENT_BYTES_MAX])
            yield self._packet(other, ACK)

    def fin(self, *, from_listener: bool) -> Iterator[bytes]:
        """This side will send nothing more."""
        side, other = self._sides(from_listener)
        if not side.ended:
            yield self._packet(side, FIN | ACK)
            yield self._packet(other, ACK)
            side.ended = True

    def reset(self, *, from_listener: bool) -> Iterator[bytes]:
        """Neither side will send anything more."""
        side, other = self._sides(from_listener)
        if not (side.ended and other.ended):
            yield self._packet(side, RST | ACK)
            side.ended = other.ended = True

    def _sides(self, from_listener: bool) -> tuple[Side, Side]:
        return (self._listener, self._dialler) if from_listener else (self._dialler, self._listener)

    def _packet(self, side: Side, flags: int, data: bytes = b"", options: bytes = b"") -> bytes:
        other = self._listener if side is self._dialler else self._dialler
        acknowledged = other.next if flags & ACK else 0
        packet = self._ip(side, other, self._tcp(side, other, flags, acknowledged, data, options))
        side.next = (side.next + len(data) + bool(flags & (SYN | FIN))) % (1 << 32)
        return packet

    def _tcp(
        self, side: Side, other: Side, flags: int, acknowledged: int, data: bytes, options: bytes
    ) -> bytes:
        words = (_TCP.size + len(options)) // 4
        ports = side.endpoint.port, other.endpoint.port
        head = _TCP.pack(*ports, side.next, acknowledged, words << 4, flags, _WINDOW, 0, 0) + options
        size = len(head) + len(data)
        pseudo = _PSEUDO.pack(side.endpoint.address, other.endpoint.address, 0, 6, size)
        # An odd last byte counts as the upper half of a word.
        check = checksum(pseudo + head + data + bytes(size % 2))
        return head[:16] + check.to_bytes(2) + head[18:] + data

    def _ip(self, side: Side, other: Side, segment: bytes) -> bytes:
        self._packets += 1
        size, number = _IP.size + len(segment), self._packets % (1 << 16)
        ends = side.endpoint.address, other.endpoint.address
        check = checksum(_IP.pack(0x45, 0, size, number, 0x4000, 64, 6, 0, *ends))
        return _IP.pack(0x45, 0, size, number, 0x4000, 64, 6, check, *ends) + segment


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071) of an even number of bytes.

    The sum of 16-bit words with the carry added at the low end is the number they form modulo 2^16 - 1.
    """
    return -int.from_bytes(data) % 0xFFFF
