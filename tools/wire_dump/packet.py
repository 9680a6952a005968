"""Finds the TCP segment in a captured packet: through the link's header, VLAN tags, IPv4 or IPv6."""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_ntop
from typing import Final, NamedTuple

LINK_NULL: Final = 0
LINK_ETHERNET: Final = 1
LINK_RAW: Final = 101
LINK_LOOP: Final = 108
LINK_SLL: Final = 113
LINK_SLL2: Final = 276

_IP_LINKS: Final = frozenset((LINK_RAW, 12, 14, 228, 229))
"""No header of the link: IP comes first. 12 and 14 are what some systems call LINK_RAW themselves."""
LINKS: Final = _IP_LINKS | {LINK_NULL, LINK_ETHERNET, LINK_LOOP, LINK_SLL, LINK_SLL2}

_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_VLAN: Final = frozenset((0x8100, 0x88A8, 0x9100))
_VLANS_MAX: Final = 4
_TCP: Final = 6
_EXTENSIONS: Final = frozenset((0, 43, 60, 135))
_FRAGMENT: Final = 44
_EXTENSIONS_MAX: Final = 8

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


class Fragment(NamedTuple):
    """A part of an IP packet, which is not put together here."""


def segment_in(link: int, data: bytes) -> Segment | Fragment | None:
    """The segment, or None for a packet without one: another protocol, or cut off before its data."""
    at = _ip_start(link, data)
    if at is None or at >= len(data):
        return None
    version = data[at] >> 4
    if version == 4:
        return _in_ipv4(data, at)
    return _in_ipv6(data, at) if version == 6 else None


def _ip_start(link: int, data: bytes) -> int | None:
    if link in _IP_LINKS:
        return 0
    if link in (LINK_NULL, LINK_LOOP):
        return 4  # the family differs from system to system; the version in the IP header does not
    if link == LINK_ETHERNET:
        return _after_ethertype(data, 12)
    if link == LINK_SLL:
        return _after_ethertype(data, 14)
    if link == LINK_SLL2:
        return 20 if data[:2] in (b"\x08\x00", b"\x86\xdd") else _after_vlans(data, data[:2], 20)
    return None


def _after_ethertype(data: bytes, at: int) -> int | None:
    return _after_vlans(data, data[at : at + 2], at + 2)


def _after_vlans(data: bytes, ethertype: bytes, at: int) -> int | None:
    """Where IP begins: `at`, or after the VLAN tags there."""
    kind = int.from_bytes(ethertype)
    for _ in range(_VLANS_MAX):
        if kind not in _VLAN:
            break
        kind = int.from_bytes(data[at + 2 : at + 4])
        at += 4
    return at if kind in (_IPV4, _IPV6) else None


def _in_ipv4(data: bytes, at: int) -> Segment | Fragment | None:
    if len(data) < at + 20 or data[at + 9] != _TCP:
        return None
    if int.from_bytes(data[at + 6 : at + 8]) & 0x3FFF:
        return Fragment()
    header = (data[at] & 0x0F) * 4
    # A length of 0 is left for the network card to fill in; then the packet is as long as what was captured.
    total = int.from_bytes(data[at + 2 : at + 4]) or len(data) - at
    return _tcp(data, at + header, at + total, data[at + 12 : at + 16], data[at + 16 : at + 20])


def _in_ipv6(data: bytes, at: int) -> Segment | Fragment | None:
    if len(data) < at + 40:
        return None
    source, target = data[at + 8 : at + 24], data[at + 24 : at + 40]
    length = int.from_bytes(data[at + 4 : at + 6])
    end = at + 40 + length if length else len(data)
    following, at = data[at + 6], at + 40
    for _ in range(_EXTENSIONS_MAX):
        if following == _FRAGMENT:
            return Fragment()
        if following not in _EXTENSIONS or len(data) < at + 2:
            break
        following, at = data[at], at + 8 + 8 * data[at + 1]
    return _tcp(data, at, end, source, target) if following == _TCP else None


def _tcp(data: bytes, at: int, end: int, source: bytes, target: bytes) -> Segment | None:
    """The segment at `at`; the packet, padding apart, ends at `end`."""
    if len(data) < at + 20:
        return None
    start = at + (data[at + 12] >> 4) * 4
    if start < at + 20 or end < start:
        return None
    content = data[start:end]
    return Segment(
        source + data[at : at + 2],
        target + data[at + 2 : at + 4],
        int.from_bytes(data[at + 4 : at + 8]),
        int.from_bytes(data[at + 8 : at + 12]),
        data[at + 13],
        content,
        end - start - len(content),
    )


def address(endpoint: bytes) -> str:
    """`host:port`, or `[v6]:port`."""
    host, port = endpoint[:-2], int.from_bytes(endpoint[-2:])
    if len(host) == 4:
        return f"{inet_ntop(AF_INET, host)}:{port}"
    return f"[{inet_ntop(AF_INET6, host)}]:{port}"
