"""Finds the TCP segment in a captured packet: through IP in all its forms, tunnels and fragments."""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct, error
from typing import TYPE_CHECKING, Final, NamedTuple

from wire_dump.fragments import Fragments
from wire_dump.links import IPV4, IPV6, NotRead, Place, ethernet, gre, in_udp, inside, mpls, place_in

if TYPE_CHECKING:
    from collections.abc import Callable

LAYERS_MAX: Final = 16
"""More tunnels, tags and headers in each other are the work of somebody who wants to keep us busy."""

_TCP: Final = 6
_FRAGMENT: Final = 44
_AUTHENTICATION: Final = 51
_EXTENSIONS: Final = frozenset((0, 43, 60, 135, 139, 140))

_INSIDE: Final[dict[int, Callable[[bytes, int], Place]]] = {
    4: lambda _, at: (IPV4, at),
    94: lambda _, at: (IPV4, at),
    41: lambda _, at: (IPV6, at),
    47: gre,
    17: in_udp,
    97: lambda data, at: ethernet(data, at + 2),
    137: mpls,
    143: ethernet,
}
"""What is inside of an IP packet that is no TCP segment, by its protocol."""
_PROTOCOLS: Final = {
    1: "ICMP",
    2: "IGMP",
    17: "UDP",
    50: "ESP, encrypted",
    58: "ICMPv6",
    59: "no content",
    88: "EIGRP",
    89: "OSPF",
    103: "PIM",
    108: "IPComp",
    112: "VRRP",
    115: "L2TP",
    132: "SCTP",
    136: "UDP-Lite",
}

_IPV4_HEADER: Final = Struct(">BxHHHxB2x4s4s").unpack_from
_IPV6_HEADER: Final = Struct(">4xHBx16s16s").unpack_from
_TCP_HEADER: Final = Struct(">2s2sIIBB").unpack_from
_FRAGMENT_HEADER: Final = Struct(">BxH4s").unpack_from

FIN: Final = 1
SYN: Final = 2
RST: Final = 4
ACK: Final = 16


class Segment(NamedTuple):
    """One TCP segment. `source` and `target` are the bytes of an address, then two of the port."""

    source: bytes
    target: bytes
    sequence: int
    acknowledged: int
    flags: int
    data: bytes
    missing: int
    """Bytes at its end that were sent but not captured."""


type _Content = tuple[int, bytes, bytes, bytes, int, int]
"""The protocol in an IP packet, source and target, and where in which bytes it begins and ends."""


class Packets:
    """Takes captured packets; remembers fragments until they are whole."""

    def __init__(self) -> None:
        self.fragments = Fragments()

    def segment(self, link: int, data: bytes, size: int) -> Segment | None:
        """The segment in what was captured of a packet of `size` bytes; None for a fragment that waits for
        others. Raises `NotRead` for a packet without one.
        """
        try:
            kind, at = place_in(link, data)
            for _ in range(LAYERS_MAX):
                if kind == IPV4:
                    content = self._in_ipv4(data, at, size)
                elif kind == IPV6:
                    content = self._in_ipv6(data, at, size)
                else:
                    kind, at = inside(kind, data, at)
                    continue
                if content is None:
                    return None
                protocol, source, target, data, at, end = content
                if protocol == _TCP:
                    return _tcp(data, at, end, source, target)
                find = _INSIDE.get(protocol)
                if find is None:
                    name = _PROTOCOLS.get(protocol)
                    raise NotRead(f"of {name}" if name else f"of IP protocol {protocol}")
                kind, at = find(data, at)
        except (error, IndexError):
            cut = len(data) < size
            raise NotRead("cut off within their headers" if cut else "with an end inside of a header") from None
        raise NotRead(f"with more than {LAYERS_MAX} layers")

    def _in_ipv4(self, data: bytes, at: int, size: int) -> _Content | None:
        first, total, identity, place, protocol, source, target = _IPV4_HEADER(data, at)
        start = at + (first & 0x0F) * 4
        # A length of 0 is left for the network card to fill in: the packet is as long as the captured one.
        end = at + total if total else size
        if not 0x45 <= first <= 0x4F or end < start:
            raise NotRead("with an IPv4 header that contradicts itself")
        if place & 0x3FFF:
            key = source + target + bytes((protocol,)) + identity.to_bytes(2)
            whole = self._whole(key, place & 0x1FFF, place & 0x2000, data[start:end], end - start)
            if whole is None:
                return None
            data, start, end = whole, 0, len(whole)
        if protocol == _AUTHENTICATION:
            protocol, start = _after_extensions(protocol, data, start)
        return protocol, source, target, data, start, end

    def _in_ipv6(self, data: bytes, at: int, size: int) -> _Content | None:
        length, protocol, source, target = _IPV6_HEADER(data, at)
        end = at + 40 + length if length else size  # a jumbogram, or one for the card to fill in
        if protocol == _TCP:
            return protocol, source, target, data, at + 40, end
        protocol, at = _after_extensions(protocol, data, at + 40)
        if protocol == _FRAGMENT:
            protocol, place, identity = _FRAGMENT_HEADER(data, at)
            at += 8
            if place & 0xFFF9:
                key = source + target + bytes((protocol,)) + identity
                whole = self._whole(key, place >> 3, place & 1, data[at:end], end - at)
                if whole is None:
                    return None
                data, at, end = whole, 0, len(whole)
            protocol, at = _after_extensions(protocol, data, at)
        return protocol, source, target, data, at, end

    def _whole(self, key: bytes, place: int, more: int, part: bytes, size: int) -> bytes | None:
        if len(part) < size:
            raise NotRead("with a fragment that was cut off")
        return self.fragments.add(key, place * 8, part, is_last=not more)


def _after_extensions(protocol: int, data: bytes, at: int) -> tuple[int, int]:
    for _ in range(LAYERS_MAX):
        if protocol in _EXTENSIONS:
            protocol, at = data[at], at + 8 + 8 * data[at + 1]
        elif protocol == _AUTHENTICATION:
            protocol, at = data[at], at + 8 + 4 * data[at + 1]
        else:
            return protocol, at
    raise NotRead(f"with more than {LAYERS_MAX} IPv6 extension headers")


def _tcp(data: bytes, at: int, end: int, source: bytes, target: bytes) -> Segment:
    """The segment at `at`; the packet, padding apart, ends at `end`."""
    source_port, target_port, sequence, acknowledged, offset, flags = _TCP_HEADER(data, at)
    start = at + (offset >> 4) * 4
    if start < at + 20 or end < start:
        raise NotRead("with a TCP header that contradicts itself")
    content = data[start:end]
    return Segment(
        source + source_port,
        target + target_port,
        sequence,
        acknowledged,
        flags,
        content,
        end - start - len(content),
    )


def address(endpoint: bytes) -> str:
    """`host:port`, or `[v6]:port`."""
    host, port = endpoint[:-2], int.from_bytes(endpoint[-2:])
    if len(host) == 4:
        return f"{inet_ntop(AF_INET, host)}:{port}"
    return f"[{inet_ntop(AF_INET6, host)}]:{port}"
