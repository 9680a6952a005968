"""Every wrapping that is taken apart carries the same frames, tshark agrees, and what is left out is named."""

from __future__ import annotations

import random
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.wire_dump.packets import (
    HERE,
    SYN,
    THERE,
    Packet,
    enhanced,
    ethernet,
    frames,
    interface,
    ipv4,
    ipv6,
    opened,
    pcap,
    section,
    segment,
)
from tests.wire_dump.samples import DATA, heartbeat, hello
from tests.wire_dump.test_kept_capture import dissected
from wire_dump.links import LINK_NAMES
from wire_dump.packet import LAYERS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

SAID = [hello("n1"), heartbeat("n1", 1)]
SEGMENTS = [segment(sequence=9, flags=SYN), segment(SAID[0], 10), segment(SAID[1], 10 + len(SAID[0]))]
IP4 = [ipv4(content) for content in SEGMENTS]
IP6 = [ipv6(content) for content in SEGMENTS]
MACS = bytes.fromhex("001b21000001 001b21000002")
NAMED = [MACS + ethernet(packet)[12:] for packet in IP4]
ETHERNET = [ethernet(packet) for packet in IP4]


def wrapped(packets: Sequence[bytes], wrap: Callable[[bytes], bytes]) -> list[bytes]:
    return [wrap(packet) for packet in packets]


def on_ethernet(kind: int, head: bytes, packets: Sequence[bytes]) -> list[bytes]:
    """Inside of a layer with this EtherType, on Ethernet."""
    return [ethernet(head + packet, kind) for packet in packets]


def in_ip(protocol: int, head: bytes, packets: Sequence[bytes]) -> list[bytes]:
    """Inside of an IPv4 packet of another protocol."""
    return [ipv4(head + packet, protocol=protocol) for packet in packets]


def in_udp(port: int, head: bytes, packets: Sequence[bytes]) -> list[bytes]:
    return [
        ipv4(struct.pack(">HHHH", 40000, port, 8 + len(head + packet), 0) + head + packet, protocol=17)
        for packet in packets
    ]


def with_extension(number: int, head: bytes, packets: Sequence[bytes]) -> list[bytes]:
    """IPv6 with an extension header, which says that TCP follows."""
    return [ipv6(bytes([6]) + head + packet[40:], following=number) for packet in packets]


def options(packet: bytes) -> bytes:
    """The IPv4 packet with 8 bytes of options."""
    total = struct.unpack(">H", packet[2:4])[0] + 8
    return b"\x47" + packet[1:2] + struct.pack(">H", total) + packet[4:20] + b"\1" * 7 + b"\0" + packet[20:]


PPP4, PPP6 = b"\x00\x21", b"\x00\x57"
LABELS = struct.pack(">II", 16 << 12 | 64, 17 << 12 | 0x100 | 64)
NFLOG = b"\x02\0\0\0" + struct.pack("<HHI", 8, 1, 0) + struct.pack("<HH4s", 8, 10, b"x\0\0\0")
JUMBO = bytes([0, 0xC2, 4])

# Where tshark is no oracle, because it does not take the packet for what it is without being told so.
ALONE = {
    "an aggregated label of a bridge",
    "NFLOG in the other byte order",
    "PKTAP around raw IP",
    "a length for the card to fill in",
    "an IPv6 length for the card to fill in",
    "IPNET",
    "PPP of pppd, with a direction",
    "ENC",
    "PPP in GRE",
}
CASES: dict[str, tuple[int, list[bytes]]] = {
    "raw": (101, IP4),
    "raw, BSD's own number": (12, IP4),
    "raw, OpenBSD's own number": (14, IP6),
    "IPv4 alone": (228, IP4),
    "IPv6 alone": (229, IP6),
    "null, little": (0, wrapped(IP4, lambda packet: b"\x02\0\0\0" + packet)),
    "null, big, IPv6": (0, wrapped(IP6, lambda packet: b"\0\0\0\x1e" + packet)),
    "loop": (108, wrapped(IP4, lambda packet: b"\0\0\0\x02" + packet)),
    "ethernet": (1, ETHERNET),
    "ethernet, with its checksum": (1, wrapped(ETHERNET, lambda frame: frame + b"\x12\x34\x56\x78")),
    "ethernet, IPv6": (1, [ethernet(packet, 0x86DD) for packet in IP6]),
    "VLANs": (1, [ethernet(packet, vlans=[0x88A8, 0x8100, 0x9100]) for packet in IP4]),
    "IEEE 802.3 with SNAP": (
        1,
        [bytes(12) + struct.pack(">H", 8 + len(p)) + b"\xaa\xaa\x03\0\0\0\x08\x00" + p for p in IP4],
    ),
    "an aggregated label of a bridge": (1, on_ethernet(0x893F, bytes(6) + b"\x08\x00", IP4)),
    "cooked": (113, wrapped(IP4, lambda packet: bytes(14) + b"\x08\x00" + packet)),
    "cooked 2": (276, wrapped(IP4, lambda packet: b"\x08\x00" + bytes(18) + packet)),
    "PPP": (9, wrapped(IP4, lambda packet: PPP4 + packet)),
    "PPP with address and control": (9, wrapped(IP6, lambda packet: b"\xff\x03" + PPP6 + packet)),
    "PPP with a short protocol": (9, wrapped(IP4, lambda packet: b"\x21" + packet)),
    "PPP like HDLC": (50, wrapped(IP4, lambda packet: b"\xff\x03" + PPP4 + packet)),
    "PPP of pppd, with a direction": (204, wrapped(IP4, lambda packet: b"\x01\xff\x03" + PPP4 + packet)),
    "HDLC of Cisco": (104, wrapped(IP4, lambda packet: b"\x0f\x00\x08\x00" + packet)),
    "PPPoE": (
        1,
        [
            ethernet(b"\x11\0\0\7" + struct.pack(">H", 2 + len(packet)) + PPP4 + packet, 0x8864)
            for packet in IP4
        ],
    ),
    "PPPoE as a link": (
        51,
        [b"\x11\0\0\7" + struct.pack(">H", 2 + len(packet)) + PPP6 + packet for packet in IP6],
    ),
    "ENC": (109, wrapped(IP4, lambda packet: struct.pack("<III", 2, 0, 0) + packet)),
    "IPNET": (226, wrapped(IP4, lambda packet: b"\1\2" + bytes(22) + packet)),
    "NFLOG": (239, wrapped(IP4, lambda packet: NFLOG + struct.pack("<HH", 4 + len(packet), 9) + packet)),
    "NFLOG in the other byte order": (
        239,
        wrapped(
            IP4,
            lambda packet: b"\x02\0\0\0" + struct.pack(">HHIHH", 8, 1, 0, 4 + len(packet), 9) + packet,
        ),
    ),
    "PKTAP around raw IP": (
        258,
        wrapped(IP4, lambda packet: struct.pack("<III", 108, 1, 12) + bytes(96) + packet),
    ),
    "MPLS": (1, on_ethernet(0x8847, LABELS, IP4)),
    "MPLS, IPv6": (1, on_ethernet(0x8847, LABELS, IP6)),
    "MPLS with a control word": (
        1,
        on_ethernet(0x8847, LABELS + bytes(4), NAMED),
    ),
    "IP in IP": (101, in_ip(4, b"", IP4)),
    "IPv6 in IPv4": (101, in_ip(41, b"", IP6)),
    "IPv4 in IPv6": (101, [ipv6(packet, following=4) for packet in IP4]),
    "GRE": (101, in_ip(47, b"\0\0\x08\0", IP4)),
    "GRE, IPv6": (101, in_ip(47, b"\0\0\x86\xdd", IP6)),
    "GRE with checksum, key and number": (101, in_ip(47, b"\xb0\0\x08\0" + bytes(12), IP4)),
    "GRE with Ethernet": (101, in_ip(47, b"\0\0\x65\x58", ETHERNET)),
    "GRE with MPLS": (101, in_ip(47, b"\0\0\x88\x47" + LABELS, IP4)),
    "ERSPAN I": (101, in_ip(47, b"\0\0\x88\xbe", ETHERNET)),
    "ERSPAN II": (101, in_ip(47, b"\x10\0\x88\xbe\0\0\0\1\x10\x07\0\1\0\0\0\0", ETHERNET)),
    "ERSPAN III": (101, in_ip(47, b"\x10\0\x22\xeb\0\0\0\1\x20\x07\0\1" + bytes(8), ETHERNET)),
    "PPP in GRE": (
        101,
        [
            ipv4(
                b"\x30\x81\x88\x0b"
                + struct.pack(">HHII", 4 + len(packet), 7, 1, 2)
                + b"\xff\x03"
                + PPP4
                + packet,
                protocol=47,
            )
            for packet in IP4
        ],
    ),
    "VXLAN": (101, in_udp(4789, b"\x08\0\0\0\0\0\x07\0", ETHERNET)),
    "GENEVE": (101, in_udp(6081, b"\x01\0\x65\x58\0\0\x07\0" + bytes(4), ETHERNET)),
    "Ethernet in IP": (101, in_ip(97, b"\x30\0", ETHERNET)),
    "MPLS in IP": (101, in_ip(137, LABELS, IP4)),
    "IPv4 options": (101, wrapped(IP4, options)),
    "IPv4 with an authentication header": (101, in_ip(51, bytes([6, 4]) + bytes(22), SEGMENTS)),
    "hop-by-hop options": (101, with_extension(0, b"\0\1\4\0\0\0\0", IP6)),
    "destination options": (101, with_extension(60, b"\0\1\4\0\0\0\0", IP6)),
    "a routing header": (101, with_extension(43, b"\0\0\0\0\0\0\0", IP6)),
    "IPv6 with an authentication header": (101, with_extension(51, b"\4" + bytes(22), IP6)),
    "a fragment that is the whole": (101, with_extension(44, bytes(7), IP6)),
    "a length for the card to fill in": (101, [ipv4(content, total=0) for content in SEGMENTS]),
    "an IPv6 length for the card to fill in": (101, [p[:4] + bytes(2) + p[6:] for p in IP6]),
}


@pytest.mark.parametrize("name", CASES)
def test_every_wrapping_carries_the_same_frames(name: str) -> None:
    """Nothing is left out, nothing is added."""
    link, packets = CASES[name]
    found, unread = opened(pcap(map(Packet, packets), link))
    assert (frames(found), unread) == (SAID, "")


@pytest.mark.parametrize("name", CASES)
def test_a_packet_cut_anywhere_is_read_or_named(name: str) -> None:
    """Each prefix of what was captured: no exception, and what is not read is counted."""
    link, packets = CASES[name]
    whole = packets[1]
    data = pcap([Packet(whole, captured=size) for size in range(len(whole) - len(SAID[0]))], link)
    found, unread = opened(data)
    assert frames(found) == []
    assert "cut off within their headers" in unread


@pytest.mark.needs("tshark")
def test_tshark_finds_the_same_bytes_in_every_wrapping(tmp_path: Path) -> None:
    """One file with an interface for each; the oracle of the table above."""
    names = [name for name in CASES if name not in ALONE]
    parts = [section(), *(interface(CASES[name][0]) for name in names)]
    parts += [
        enhanced(Packet(packet), number=number)
        for number, name in enumerate(names)
        for packet in CASES[name][1][1:]
    ]
    path = tmp_path / "all.pcapng"
    path.write_bytes(b"".join(parts))
    found: dict[str, list[str]] = {name: [] for name in names}
    for number, payload in dissected(path, "frame.interface_id", "tcp.payload", only="tcp.payload"):
        found[names[int(number)]].append(payload)
    assert found == {name: [said.hex() for said in SAID] for name in names}


def fragmented(packet: bytes, size: int) -> list[bytes]:
    """The IPv4 packet in fragments of so many bytes."""
    content, identity = packet[20:], packet[26:28]
    parts = [(at, content[at : at + size]) for at in range(0, len(content), size)]
    return [
        struct.pack(
            ">BBHHHBBH4s4s",
            0x45,
            0,
            20 + len(part),
            int.from_bytes(identity),
            at // 8 | (0x2000 if at + size < len(content) else 0),
            64,
            6,
            0,
            HERE,
            THERE,
        )
        + part
        for at, part in parts
    ]


def fragmented6(packet: bytes, size: int) -> list[bytes]:
    content = packet[40:]
    return [
        ipv6(
            struct.pack(">BBHI", 6, 0, at | (at + size < len(content)), int.from_bytes(packet[44:48]))
            + content[at : at + size],
            following=44,
        )
        for at in range(0, len(content), size)
    ]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("cut", [fragmented, fragmented6])
def test_fragments_are_put_together_in_any_order(seed: int, cut: Callable[[bytes, int], list[bytes]]) -> None:
    """Swapped, sent twice, of several packets at a time."""
    rng = random.Random(seed)
    first, *packets = IP4 if cut is fragmented else IP6
    parts = [part for packet in packets for part in cut(packet, rng.choice((8, 24, 64)))]
    parts += rng.choices(parts, k=3)
    rng.shuffle(parts)
    found, unread = opened(pcap(map(Packet, [first, *parts])))
    assert frames(found) == SAID
    assert unread == "" or unread.endswith("without the others of their packets")


def test_fragments_whose_others_are_missing_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end, when too many packets are unfinished, and where one has too many parts."""
    from wire_dump import fragments

    parts = fragmented(IP4[1], 24)
    missing = f"{len(parts) - 1} IP fragments without the others of their packets"
    assert opened(pcap(map(Packet, parts[1:])))[1] == missing
    monkeypatch.setattr(fragments, "UNFINISHED_MAX", 1)
    others = fragmented(IP4[2], 24)[1:]
    found, unread = opened(pcap(map(Packet, [*parts[1:], *others, *parts[:1]])))
    assert frames(found) == []
    assert unread == f"{len(parts) + len(others)} IP fragments without the others of their packets"
    monkeypatch.setattr(fragments, "PARTS_MAX", 2)
    assert opened(pcap(map(Packet, parts)))[1].endswith("without the others of their packets")


def test_a_long_packet_of_the_card_is_cut_where_the_capture_cut_it() -> None:
    """Its own length is 0: the capture's says how much is missing."""
    packet = ipv4(segment(b"".join(SAID) + bytes(500), 10), total=0)
    data = pcap([Packet(ipv4(SEGMENTS[0])), Packet(packet, captured=40 + sum(map(len, SAID)))])
    found, _ = opened(data)
    assert frames(found) == SAID
    assert any("500 bytes" in getattr(event, "got", "") for event in found)


def stacked(levels: int) -> bytes:
    """Tags in tags."""
    return ethernet(IP4[1], vlans=[0x8100] * levels)


LEFT_OUT: dict[str, tuple[int, Iterable[bytes]]] = {
    "2 packets of link type 127 (IEEE 802.11 with radiotap)": (127, [b"", b"x"]),
    "1 packet of link type 147 (private use)": (147, [b"x"]),
    "1 packet of link type 65000": (65000, [b"x"]),
    "1 packet of EtherType 0x0806 (ARP)": (1, [ethernet(b"arp", 0x0806)]),
    "1 packet of EtherType 0x1234": (1, [ethernet(b"?", 0x1234)]),
    "1 packet of IEEE 802.2 without a SNAP header": (1, [ethernet(b"\x42\x42\x03", 38)]),
    "1 packet of UDP, 1 packet of ESP, encrypted, 1 packet of IP protocol 200": (
        101,
        [ipv4(bytes(8), protocol=number) for number in (17, 50, 200)],
    ),
    "1 packet of UDP": (101, [ipv6(bytes(16), following=17)]),
    "1 packet of PPP protocol 0xc021": (9, [b"\xc0\x21\1"]),
    "1 packet of GRE with source routing": (101, in_ip(47, b"\x40\0\x08\0", IP4[:1])),
    "1 packet of MPLS with neither IP nor Ethernet in it": (
        1,
        on_ethernet(0x8847, LABELS + b"\xf0", [bytes(40)]),
    ),
    "1 packet of MPLS with more than 32 labels": (1, on_ethernet(0x8847, bytes(400), IP4[:1])),
    "1 packet of NFLOG without a packet in it": (239, [bytes(40)]),
    "1 packet of PKTAP with link type 258": (258, [struct.pack("<III", 12, 1, 258) + IP4[0]]),
    "1 packet whose IP version is neither 4 nor 6": (101, [b"\x50" + bytes(40)]),
    "1 packet with an IPv4 header that contradicts itself": (101, [b"\x44" + IP4[0][1:]]),
    "1 packet with a TCP header that contradicts itself": (101, [IP4[0][:32] + b"\x10" + IP4[0][33:]]),
    "1 packet with a fragment that was cut off": (101, [fragmented(IP4[1], 24)[0][:-1]]),
    "1 packet with an end inside of a header": (101, [IP4[0][:30]]),
    f"1 packet with more than {LAYERS_MAX} layers": (1, [stacked(40)]),
    f"1 packet with more than {LAYERS_MAX} IPv6 extension headers": (
        101,
        [ipv6(bytes(400), following=0)],
    ),
}


@pytest.mark.parametrize("expected", LEFT_OUT)
def test_what_is_left_out_is_named(expected: str) -> None:
    """With its number, and with its name where it has one that is known."""
    link, packets = LEFT_OUT[expected]
    found, unread = opened(pcap(map(Packet, packets), link))
    assert (frames(found), unread) == ([], expected)


def test_the_bits_that_tell_of_a_checksum_are_no_part_of_the_link_type() -> None:
    """4 bytes behind each packet (RFC draft of pcap): padding, as far as the IP packet is concerned."""
    data = pcap(map(Packet, [frame + b"\1\2\3\4" for frame in ETHERNET]), 1 | 0x04000000 | 4 << 28)
    assert opened(data)[1] == "" and frames(opened(data)[0]) == SAID


def test_no_link_type_has_two_meanings() -> None:
    """What is read has no name in the table of what is not."""
    assert not LINK_NAMES.keys() & {link for link, _ in CASES.values()}


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("form", ["pcap", "nsecpcap", "pcapng", "modpcap"])
def test_editcap_writes_what_is_read(form: str, tmp_path: Path) -> None:
    """Each format of files that says what it is."""
    path = tmp_path / "again"
    subprocess.run(["editcap", "-F", form, DATA / "cluster.pcap", path], check=True, timeout=50)
    expected, found = (opened(each.read_bytes()) for each in (DATA / "cluster.pcap", path))
    assert frames(found[0]) == frames(expected[0]) and found[1] == ""


@pytest.mark.needs("tshark")
def test_text2pcap_makes_packets_that_are_read(tmp_path: Path) -> None:
    """Of hex, with headers of its own, for IPv4 and for IPv6."""
    rows = [(at, said[at : at + 16]) for said in SAID for at in range(0, len(said), 16)]
    text = "".join(f"{at:06x} {row.hex(' ')}\n" for at, row in rows)
    (tmp_path / "hex").write_text(text, encoding="ascii")
    for headers in (["-T", "50000,8001"], ["-6", "::1,::2", "-T", "50000,8001"]):
        command = ["text2pcap", "-q", *headers, str(tmp_path / "hex"), str(tmp_path / "made.pcap")]
        subprocess.run(command, check=True, timeout=50, capture_output=True)
        assert frames(opened((tmp_path / "made.pcap").read_bytes())[0]) == SAID
