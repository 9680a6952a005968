"""Captures of every make give the same frames; damaged ones say where the damage is."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from typing import TYPE_CHECKING

import pytest

from tests.wire_dump.packets import (
    FIN,
    RST,
    SYN,
    Packet,
    Talk,
    block,
    enhanced,
    ethernet,
    events,
    frames,
    interface,
    ipv4,
    ipv6,
    opened,
    pcap,
    section,
    segment,
    troubles,
)
from tests.wire_dump.samples import answer, heartbeat, hello
from wire_dump.capture import PACKET_BYTES_MAX
from wire_dump.events import Seen, Trouble
from wire_dump.sources import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

SAID = hello("n1") + heartbeat("n1", 1)
PLAIN = [ipv4(segment(sequence=9, flags=SYN)), ipv4(segment(SAID, 10))]
PLAIN6 = [ipv6(segment(sequence=9, flags=SYN)), ipv6(segment(SAID, 10))]
EXTENDED6 = [
    ipv6(bytes([43, 0]) + bytes(6) + bytes([6, 1]) + bytes(14) + content, following=0)
    for content in (segment(sequence=9, flags=SYN), segment(SAID, 10, options=bytes(12)))
]
SLL = [bytes(14) + b"\x08\x00" + packet for packet in PLAIN]
SLL_VLAN = [bytes(14) + b"\x81\x00\x00\x07\x08\x00" + packet for packet in PLAIN]
SLL2 = [b"\x08\x00" + bytes(18) + packet for packet in PLAIN]
SLL2_VLAN = [b"\x81\x00" + bytes(18) + b"\x00\x07\x08\x00" + packet for packet in PLAIN]

LINKS = {
    "raw": (101, PLAIN),
    "raw, IPv6": (101, PLAIN6),
    "IPv6 extension headers": (229, EXTENDED6),
    "null": (0, [b"\x02\0\0\0" + packet for packet in PLAIN]),
    "loop": (108, [b"\0\0\0\x1e" + packet for packet in PLAIN6]),
    "ethernet": (1, [ethernet(packet) for packet in PLAIN]),
    "ethernet, IPv6": (1, [ethernet(packet, 0x86DD) for packet in PLAIN6]),
    "one VLAN": (1, [ethernet(packet, vlans=[0x8100]) for packet in PLAIN]),
    "two VLANs": (1, [ethernet(packet, vlans=[0x88A8, 0x8100]) for packet in PLAIN]),
    "cooked": (113, SLL),
    "cooked, VLAN": (113, SLL_VLAN),
    "cooked 2": (276, SLL2),
    "cooked 2, VLAN": (276, SLL2_VLAN),
    "a length for the card to fill in": (101, [ipv4(packet[20:], total=0) for packet in PLAIN]),
}


@pytest.mark.parametrize("name", LINKS)
def test_every_link_layer_carries_the_same_frames(name: str) -> None:
    """Headers, tags and padding are no part of the stream."""
    link, packets = LINKS[name]
    assert frames(events(pcap(map(Packet, packets), link))) == [hello("n1"), heartbeat("n1", 1)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_both_byte_orders_and_both_resolutions_tell_the_time(order: str, nano: bool) -> None:
    """Times count from the first packet."""
    packets = [Packet(PLAIN[0], 5_000_000_000), Packet(PLAIN[1], 5_250_001_000)]
    times = [event.time for event in events(pcap(packets, order=order, nano=nano)) if isinstance(event, Seen)]
    assert times == pytest.approx([0.250001, 0.250001], abs=1e-9)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_gives_the_same_frames(order: str) -> None:
    """Enhanced, simple and old packets, several interfaces and sections, blocks of other kinds between."""
    resolution = struct.pack(order + "HHB3x", 9, 1, 9) + struct.pack(order + "HHq", 14, 8, 100)
    data = (
        section(order)
        + interface(101, order, options=resolution + struct.pack(order + "HH", 0, 0))
        + interface(1, order, options=struct.pack(order + "HHB3x", 9, 1, 0x80 | 10))
        + enhanced(Packet(PLAIN[0], 1_000_000_000), order, 0, 1_000_000_000)
        + block(4, b"names", order)
        + block(0x40000000, bytes(4000), order)
        + enhanced(Packet(ethernet(ipv4(segment(hello("n1"), 10))), 1_500_000_000), order, 1, 1 << 10)
        + section(order)
        + interface(101, order, snap=65535)
        + block(
            3,
            struct.pack(order + "I", len(ipv4(segment(heartbeat("n1", 1), 10 + len(hello("n1"))))))
            + ipv4(segment(heartbeat("n1", 1), 10 + len(hello("n1")))),
            order,
        )
        + old_packet(ipv4(segment(heartbeat("n1", 2), 10 + len(SAID))), order)
    )
    assert frames(events(data)) == [hello("n1"), heartbeat("n1", 1), heartbeat("n1", 2)]


def old_packet(data: bytes, order: str) -> bytes:
    """The block that later versions replaced."""
    return block(2, struct.pack(order + "HHIIII", 0, 7, 0, 0, len(data), len(data)) + data, order)


WHOLE = pcap(map(Packet, PLAIN))
WHOLE_NG = section() + interface() + b"".join(enhanced(Packet(packet)) for packet in PLAIN)
DAMAGED = {
    "a file header cut off": (WHOLE[:20], "24 bytes of the header of a pcap file"),
    "a packet header cut off": (WHOLE[:30], "16 bytes of the header of a packet"),
    "a packet cut off": (WHOLE[:-3], "bytes of a packet"),
    "a packet of 4 GB": (
        WHOLE[:24] + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 1),
        "a packet of at most 16,777,216",
    ),
    "a block header cut off": (WHOLE_NG[: 28 + 20 + 5], "8 bytes of the header of a block"),
    "a block cut off": (WHOLE_NG[:-3], "bytes of a block"),
    "a block too small": (section() + struct.pack("<II", 6, 8), "a block of 12 to 16,777,216 bytes"),
    "a block too large": (
        section() + struct.pack("<II", 6, PACKET_BYTES_MAX + 4),
        "a block of 12 to 16,777,216",
    ),
    "two lengths that differ": (WHOLE_NG[:-4] + b"\1\0\0\0", "the block's length again"),
    "no byte order": (block(0x0A0D0D0A, b"none" + bytes(12)), "a byte-order magic"),
    "a section cut off": (section()[:20], "a whole section header"),
    "a packet of no interface": (section() + enhanced(Packet(PLAIN[0])), "one of 0 interfaces"),
    "a packet longer than its block": (
        section() + interface() + block(6, struct.pack("<IIIII", 0, 0, 0, 99, 99)),
        "at most 0 captured bytes",
    ),
    "a packet without its header": (
        section() + interface() + block(6, b"1234"),
        "20 bytes of a packet's header",
    ),
    "an interface cut off": (section() + block(1, b"1234"), "an interface"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named_and_ends_the_reading(name: str) -> None:
    """What was before it has been read."""
    data, expected = DAMAGED[name]
    last = events(data)[-1]
    assert isinstance(last, Trouble)
    assert expected in last.expected
    assert last.next == "the rest of the file is not read"


def test_what_is_no_tcp_is_left_out_and_counted() -> None:
    """Datagrams say nothing to us, nor does what is empty or cut off."""
    other = [ipv4(b"datagram", protocol=17), b"", b"\x45", ipv4(segment(b"x")[:12])]
    found, unread = opened(pcap(map(Packet, [*other, *PLAIN])))
    assert (len(frames(found)), troubles(found)) == (2, [])
    assert unread == "3 packets with an end inside of a header, 1 packet of UDP"


def test_headers_that_lie_about_their_length_are_no_segments() -> None:
    """A data offset below 20, or beyond the packet."""
    short = bytearray(segment(SAID, 10))
    short[12] = 0x40
    long = bytearray(segment(b"", 10))
    long[12] = 0xF0
    found, unread = opened(pcap([Packet(ipv4(bytes(short))), Packet(ipv4(bytes(long)))]))
    assert (found, unread) == ([], "2 packets with a TCP header that contradicts itself")


def test_the_snap_length_cuts_only_the_frames_it_cuts() -> None:
    """The header says how much is missing; the frame after it is whole again."""
    long = hello("n1") + heartbeat("n1", 1)
    talk = Talk().open().say(long, captured=len(hello("n1")) + 30).say(heartbeat("n1", 2)).end()
    found = events(talk.file())
    assert frames(found) == [hello("n1"), heartbeat("n1", 2)]
    [trouble] = troubles(found)
    assert trouble.expected == f"all {len(heartbeat('n1', 1))} bytes of this APPEND_ENTRIES_REQ"
    assert trouble.offset == len(hello("n1"))


def test_connections_end_as_they_ended() -> None:
    """FIN from both, a reset, and the same ports again."""
    first = Talk().open().say(hello("n1")).say(hello("n2"), back=True).end().end(back=True)
    second = Talk(500_000).open().say(hello("n1")).end(flags=RST)
    third = Talk(900_000).open().say(hello("n3")).say(answer("n3", 1))
    packets = [*first.packets, *second.packets, *third.packets]
    found = events(pcap(packets))
    ends = [
        (type(event).__name__, getattr(event, "connection", 0), getattr(event, "how", "")) for event in found
    ]
    assert [end for end in ends if end[0] == "Closed"] == [
        ("Closed", 1, "fin"),
        ("Closed", 1, "fin"),
        ("Closed", 2, "reset"),
    ]
    assert [event.connection for event in found if isinstance(event, Seen)] == [1, 1, 2, 3, 3]


def test_a_new_syn_begins_a_new_connection_though_the_old_one_never_ended() -> None:
    """The old one's unfinished frame is told."""
    old = Talk().open().say(hello("n1")[:30])
    new = Talk(70_000).open().say(hello("n1"))
    found = events(pcap([*old.packets, *new.packets]))
    assert frames(found) == [hello("n1")]
    assert troubles(found)[0].got == "30, then the end"


def test_a_fin_with_data_and_a_syn_with_data_lose_nothing() -> None:
    """TCP fast open puts data on the SYN."""
    packets = [
        ipv4(segment(hello("n1"), 9, SYN)),
        ipv4(segment(heartbeat("n1", 1), 10 + len(hello("n1")), FIN)),
    ]
    assert frames(events(pcap(map(Packet, packets)))) == [hello("n1"), heartbeat("n1", 1)]


def test_the_file_format_of_a_changed_libpcap_is_read() -> None:
    """Its magic is another, and there are 8 bytes more before each packet."""
    for order in "<>":
        data = struct.pack(order + "IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 101)
        for packet in PLAIN:
            data += struct.pack(order + "IIIIIHBx", 0, 0, len(packet), len(packet), 3, 0x0800, 0) + packet
        assert frames(events(data)) == [hello("n1"), heartbeat("n1", 1)]
        assert "24 bytes of the header of a packet" in troubles(events(data[:40]))[0].expected


def test_sections_of_a_pcapng_file_may_differ_in_their_byte_order() -> None:
    """As those of files that were put behind each other do; blocks that are not known are counted."""
    data = b"".join(
        section(order) + block(number, b"?", order) + interface(101, order) + enhanced(Packet(packet), order)
        for order, number, packet in (("<", 9, PLAIN[0]), (">", 0xBAD, PLAIN[1]))
    )
    found, unread = opened(data)
    assert frames(found) == [hello("n1"), heartbeat("n1", 1)]
    assert unread == "1 pcapng block of type 0x00000009, 1 pcapng block of type 0x00000bad"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_captures_are_read_as_they_are(pack: Callable[[bytes], bytes]) -> None:
    """In one member or several; damage is told with what was read before it."""
    talk = Talk().open().say(hello("n1"))
    for number in range(3000):
        talk.say(heartbeat("n1", number))
    data = talk.file()
    assert frames(events(pack(data))) == frames(events(data))
    assert frames(events(pack(data[:1000]) + pack(data[1000:]))) == frames(events(data))
    packed = pack(data)
    found = events(packed[: len(packed) // 2])
    assert frames(found) == frames(events(data))[: len(frames(found))]
    assert [trouble.expected for trouble in troubles(found)][-1] == "compressed data"
    with pytest.raises(SourceError, match="is compressed"):
        events(pack(packed))


def test_a_damaged_compressed_file_is_no_accident() -> None:
    """Any byte of it may be wrong."""
    packed = bytearray(gzip.compress(WHOLE))
    for at in range(2, len(packed)):
        wrong = bytes(packed[:at]) + bytes([packed[at] ^ 0xFF]) + bytes(packed[at + 1 :])
        assert isinstance(events(wrong), list)
    assert troubles(events(bytes(packed[:-4]) + b"xxxx"))[-1].expected == "compressed data"
