"""Finds where a network packet begins in a captured one: by the link type, and through all that wraps it."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

type Place = tuple[int, int]
"""The EtherType of what comes next, and where it begins."""

IPV4: Final = 0x0800
IPV6: Final = 0x86DD
TAGS_MAX: Final = 32
"""So many labels of MPLS are followed."""

_BRIDGED: Final = 0x6558
_MPLS: Final = 0x8847
_PPP: Final = 0x880B
_PKTAP: Final = 258
_U16: Final = Struct(">H").unpack_from
_U32: Final = Struct(">I").unpack_from
_LITTLE_U32: Final = Struct("<I").unpack_from


class NotRead(Exception):
    """A packet carries no TCP segment that can be read: the message completes `3 packets …`."""


def place_in(link: int, data: bytes) -> Place:
    """What the captured packet holds behind the header of its link. Raises `NotRead`, or `struct.error` or
    `IndexError` where it ends within the header.
    """
    find = _LINKS.get(link)
    if find is None:
        raise NotRead(f"of link type {link}{_named(LINK_NAMES, link)}")
    return find(data, 0)


def inside(kind: int, data: bytes, at: int) -> Place:
    """What the layer of this EtherType holds. Raises as `place_in` does."""
    find = _WRAPPERS.get(kind)
    if find is None:
        raise NotRead(f"of EtherType 0x{kind:04x}{_named(ETHERTYPE_NAMES, kind)}")
    return find(data, at)


def _named(names: Mapping[int, str], number: int) -> str:
    return f" ({names[number]})" if number in names else ""


def by_version(data: bytes, at: int) -> Place:
    """IP without anything before it that would say which: its first four bits do."""
    version = data[at] >> 4
    if version == 4:
        return IPV4, at
    if version == 6:
        return IPV6, at
    raise NotRead("whose IP version is neither 4 nor 6")


def ethernet(data: bytes, at: int) -> Place:
    """A frame of Ethernet, or of IEEE 802.3 with an LLC header."""
    kind: int = _U16(data, at + 12)[0]
    return (kind, at + 14) if kind >= 0x600 else _llc(data, at + 14)


def _llc(data: bytes, at: int) -> Place:
    if data[at : at + 3] != b"\xaa\xaa\x03":
        raise NotRead("of IEEE 802.2 without a SNAP header")
    return _U16(data, at + 6)[0], at + 8


def _tag(size: int) -> Callable[[bytes, int], Place]:
    """A tag of so many bytes, the last two of which are the EtherType of what comes next."""
    return lambda data, at: (_U16(data, at + size - 2)[0], at + size)


def _ip_after(size: int) -> Callable[[bytes, int], Place]:
    return lambda data, at: by_version(data, at + size)


def _cooked(data: bytes, at: int) -> Place:
    kind: int = _U16(data, at + 14)[0]
    return _llc(data, at + 16) if kind == 4 else (kind, at + 16)


def _cooked2(data: bytes, at: int) -> Place:
    kind: int = _U16(data, at)[0]
    return _llc(data, at + 20) if kind == 4 else (kind, at + 20)


def mpls(data: bytes, at: int) -> Place:
    """Labels, then IP, or Ethernet with or without a control word: nothing says which (RFC 4385, RFC 4448)."""
    for _ in range(TAGS_MAX):
        label: int = _U32(data, at)[0]
        at += 4
        if label & 0x100:
            break
    else:
        raise NotRead(f"of MPLS with more than {TAGS_MAX} labels")
    first = data[at] >> 4
    if first in (4, 6):
        return by_version(data, at)
    for start in (at + 4, at) if first == 0 else (at,):
        if _U16(data, start + 12)[0] in _NETWORKS:
            return ethernet(data, start)
    raise NotRead("of MPLS with neither IP nor Ethernet in it")


def _ppp(data: bytes, at: int) -> Place:
    """PPP: an address and a control byte may come first, and the protocol may have one byte (RFC 1661)."""
    if data[at : at + 2] in (b"\xff\x03", b"\x0f\x00", b"\x8f\x00"):
        is_cisco = data[at] != 0xFF
        at += 2
        if is_cisco:
            return _U16(data, at)[0], at + 2
    protocol, at = (data[at], at + 1) if data[at] & 1 else (_U16(data, at)[0], at + 2)
    kind = _PPP_PROTOCOLS.get(protocol)
    if kind is None:
        raise NotRead(f"of PPP protocol 0x{protocol:04x}")
    return kind, at


def _pppoe(data: bytes, at: int) -> Place:
    return _ppp(data, at + 6)


def _pppd(data: bytes, at: int) -> Place:
    return _ppp(data, at + 1)


def _pflog(data: bytes, at: int) -> Place:
    return by_version(data, at + (data[at] + 3 & ~3))


def _nflog(data: bytes, at: int) -> Place:
    """Fields with a length and a type in the byte order of the machine that captured; 9 is the packet."""
    order: Literal["little", "big"] = "little" if data[at + 4] or not data[at + 5] else "big"
    at += 4
    while True:
        size = int.from_bytes(data[at : at + 2], order)
        if int.from_bytes(data[at + 2 : at + 4], order) & 0x7FFF == 9:
            return by_version(data, at + 4)
        if size < 4:
            raise NotRead("of NFLOG without a packet in it")
        at += size + 3 & ~3


def _pktap(data: bytes, at: int) -> Place:
    """Apple's: its own length, then the link type of the packet behind it."""
    size: int = _LITTLE_U32(data, at)[0]
    link: int = _LITTLE_U32(data, at + 8)[0]
    find = None if size < 12 or link == _PKTAP else _LINKS.get(link)
    if find is None:
        raise NotRead(f"of PKTAP with link type {link}{_named(LINK_NAMES, link)}")
    return find(data, at + size)


def gre(data: bytes, at: int) -> Place:
    """Its header is as long as its flags say (RFC 2784, RFC 2890, RFC 2637)."""
    flags, kind = _U16(data, at)[0], _U16(data, at + 2)[0]
    if flags & 0x4000:
        raise NotRead("of GRE with source routing")
    start = at + 4 + 4 * ((flags >> 15 & 1) + (flags >> 13 & 1) + (flags >> 12 & 1))
    if flags & 7 == 1:
        start += 4 * (flags >> 7 & 1)
    if kind == 0x88BE:  # ERSPAN I has no header, and no number in a sequence
        return ethernet(data, start + 8 if flags & 0x1000 else start)
    if kind == 0x22EB:
        return ethernet(data, start + (20 if data[start + 11] & 1 else 12))
    return kind, start


def in_udp(data: bytes, at: int) -> Place:
    """A tunnel in UDP, by its port: VXLAN (RFC 7348) or GENEVE (RFC 8926)."""
    port: int = _U16(data, at + 2)[0]
    at += 8
    if port in _VXLAN_PORTS and data[at] & 0x08:
        return ethernet(data, at + 8)
    if port == _GENEVE_PORT and data[at] >> 6 == 0:
        return _U16(data, at + 2)[0], at + 8 + 4 * (data[at] & 0x3F)
    raise NotRead("of UDP")


_VXLAN_PORTS: Final = frozenset((4789, 8472))
_GENEVE_PORT: Final = 6081
_PPP_PROTOCOLS: Final = {0x21: IPV4, 0x57: IPV6, 0x281: _MPLS, 0x283: 0x8848, 0x31: _BRIDGED}
_WRAPPERS: Final[dict[int, Callable[[bytes, int], Place]]] = {
    **dict.fromkeys((0x8100, 0x88A8, 0x9100, 0x9200, 0x9300), _tag(4)),
    0x8926: _tag(6),
    0x893F: _tag(8),
    _MPLS: mpls,
    0x8848: mpls,
    0x8864: _pppoe,
    _PPP: _ppp,
    _BRIDGED: ethernet,
    0x8870: _llc,
}
"""What is inside of something else, by its EtherType."""
_NETWORKS: Final = frozenset((IPV4, IPV6, *_WRAPPERS))
_LINKS: Final[dict[int, Callable[[bytes, int], Place]]] = {
    **dict.fromkeys((12, 14, 101, 228, 229), by_version),
    **dict.fromkeys((0, 108), _ip_after(4)),  # the family differs from system to system, the version does not
    1: ethernet,
    **dict.fromkeys((9, 50), _ppp),
    51: _pppoe,
    104: _tag(4),
    109: _ip_after(12),
    113: _cooked,
    117: _pflog,
    138: _tag(18),
    **dict.fromkeys((166, 204), _pppd),
    226: _ip_after(24),
    239: _nflog,
    _PKTAP: _pktap,
    276: _cooked2,
}
"""Where the packet begins, by link type (the registry of tcpdump.org). 12 and 14 are what some systems call
the raw one (101) themselves."""
LINK_NAMES: Final = {
    6: "Token Ring",
    7: "ARCNET",
    8: "SLIP",
    10: "FDDI",
    100: "ATM, RFC 1483",
    105: "IEEE 802.11",
    107: "Frame Relay",
    114: "LocalTalk",
    119: "IEEE 802.11 with Prism",
    122: "Fibre Channel with IP",
    123: "ATM, SunATM",
    127: "IEEE 802.11 with radiotap",
    143: "DOCSIS",
    **dict.fromkeys(range(147, 163), "private use"),
    163: "IEEE 802.11 with AVS",
    187: "Bluetooth HCI",
    189: "USB of Linux",
    192: "PPI",
    195: "IEEE 802.15.4",
    197: "ERF",
    201: "Bluetooth HCI with direction",
    220: "USB of Linux, mapped",
    224: "Fibre Channel",
    227: "CAN",
    230: "IEEE 802.15.4 without FCS",
    242: "InfiniBand",
    247: "InfiniBand",
    249: "USBPcap",
    252: "Wireshark's upper PDU",
    253: "Netlink",
    271: "vsock",
}
ETHERTYPE_NAMES: Final = {
    0x0806: "ARP",
    0x0842: "Wake-on-LAN",
    0x22EB: "ERSPAN III",
    0x8035: "RARP",
    0x8137: "IPX",
    0x8809: "LACP",
    0x8863: "PPPoE discovery",
    0x888E: "EAPOL",
    0x88B7: "OUI extended",
    0x88BE: "ERSPAN",
    0x88CC: "LLDP",
    0x88E5: "MACsec",
    0x88F7: "PTP",
    0x8906: "FCoE",
    0x894F: "NSH",
    0x8915: "RoCE",
    0x9000: "loopback test",
}
