"""What TCP does legally, and captures do to it, changes no frame: nothing is lost without a word."""

from __future__ import annotations

import itertools
import time

import pytest

from conformance.trace.record import Closed, Opened
from tests.wire_dump.packets import (
    ACK,
    FIN,
    RST,
    SYN,
    Packet,
    Talk,
    enhanced,
    events,
    frames,
    interface,
    ipv4,
    opened,
    pcap,
    section,
    segment,
    troubles,
)
from tests.wire_dump.samples import answer, heartbeat, hello
from wire_dump import reassembly
from wire_dump.stream import STOPPED

BEATS = [heartbeat("n1", number) for number in range(12)]
SIZE = len(BEATS[0])
START = 5000


def at(place: int, data: bytes, *, flags: int = ACK, acknowledged: int = 0) -> Packet:
    """Bytes of the stream of heartbeats, from any place on."""
    return Packet(ipv4(segment(data, START + place, flags, acknowledged=acknowledged)))


def back(place: int = 0, data: bytes = b"", *, flags: int = ACK, acknowledged: int = 0) -> Packet:
    """The same in the other direction."""
    numbers = segment(data, 900 + place, flags, ports=(8001, 50000), acknowledged=START + acknowledged)
    return Packet(ipv4(numbers, back=True))


def beats(first: int, last: int) -> list[Packet]:
    """A segment for each heartbeat, `last` not included."""
    return [at(SIZE * number, BEATS[number]) for number in range(first, last)]


PROBES = {
    "one byte of nothing": b"\0",
    "one byte of what was before": BEATS[0][-1:],
    "a byte that is a type of frame": b"\x04",
    "the type of the frame that follows": BEATS[0][:1],
    "the type of a frame without a name": b"\x11",
    "no byte": b"",
}


@pytest.mark.parametrize("garbage", PROBES.values(), ids=PROBES)
@pytest.mark.parametrize("probes", [1, 3])
def test_a_capture_may_begin_with_a_probe_that_keeps_the_connection_alive(garbage: bytes, probes: int) -> None:
    """RFC 9293, 3.8.4: its number is one below the next, with one byte of garbage or none."""
    probe, said = at(-1, garbage), back(acknowledged=0)
    found, unread = opened(pcap([*[probe, said] * probes, *beats(0, 3)]))
    assert (frames(found), troubles(found), unread) == (BEATS[:3], [], "")


@pytest.mark.parametrize("garbage", PROBES.values(), ids=PROBES)
def test_probes_in_the_midst_and_after_the_handshake_change_nothing(garbage: bytes) -> None:
    """Wherever they come, and in both directions."""
    opening = [at(-1, b"", flags=SYN), back(-1, flags=SYN | ACK)]
    probes = [at(-1, garbage), back(-1, garbage)]
    for first in (opening, []):
        packets = [*first, *(probes if first else []), *beats(0, 3), at(3 * SIZE - 1, garbage), *beats(3, 5)]
        found, unread = opened(pcap([*packets, back(0, answer("n2", 1)), back(-1, garbage), *beats(5, 6)]))
        assert frames(found) == [*BEATS[:5], answer("n2", 1), BEATS[5]]
        assert (troubles(found), unread) == ([], "")


def test_a_stream_of_single_bytes_is_no_stream_of_probes() -> None:
    """The first byte of a frame alone in a segment, without a handshake: what follows decides."""
    data = b"".join(BEATS[:2])
    packets = [at(place, data[place : place + 1]) for place in range(len(data))]
    assert frames(events(pcap(packets))) == BEATS[:2]


def test_a_window_of_zero_is_probed_with_the_next_byte() -> None:
    """Which is sent again with the others once there is room."""
    packets = [*beats(0, 1), at(SIZE, BEATS[1][:1]), at(SIZE, BEATS[1][:1]), *beats(1, 3)]
    found, unread = opened(pcap(packets))
    assert (frames(found), troubles(found), unread) == (BEATS[:3], [], "")


@pytest.mark.parametrize("start", [START, 1 << 31, (1 << 32) - SIZE - 3, (1 << 32) - 1])
def test_segments_sent_again_with_other_boundaries_are_told_once(start: int) -> None:
    """Shorter, longer, overlapping on both sides, also where the numbers wrap round."""
    data = b"".join(BEATS[:6])
    cuts = [(0, 50), (30, 90), (200, 330), (80, 210), (0, 90), (90, 340), (330, len(data)), (0, len(data))]
    talk = Talk(start).open()
    for begin, end in cuts:
        talk.again(data[begin:end], talk.next[False] + begin)
    talk.next[False] += len(data)
    found, unread = opened(talk.end().file())
    assert (frames(found), troubles(found), unread) == (BEATS[:6], [], "")


@pytest.mark.parametrize("accepted", [True, False])
def test_data_on_the_syn_counts_once(accepted: bool) -> None:
    """TCP fast open: where the server did not take it, it is sent again."""
    again = [] if accepted else [at(0, BEATS[0])]
    packets = [at(-1, BEATS[0], flags=SYN), back(-1, flags=SYN | ACK), *again, *beats(1, 3)]
    found, unread = opened(pcap(packets))
    assert (frames(found), troubles(found), unread) == (BEATS[:3], [], "")


def test_both_may_open_at_once_and_repeat_it() -> None:
    """Two SYNs that cross, then two SYN-ACKs, each captured twice: one connection."""
    both = [side for flags in (SYN, SYN | ACK) for side in (at(-1, b"", flags=flags), back(-1, flags=flags))]
    found = events(pcap([*both, *both, *beats(0, 2), back(0, answer("n2", 1))]))
    assert frames(found) == [*BEATS[:2], answer("n2", 1)]
    assert sum(isinstance(event, Opened) for event in found) == 1


def test_a_syn_that_was_captured_behind_its_data_begins_no_other_connection() -> None:
    """Interfaces are not always captured in the order of time."""
    for late in (at(-1, b"", flags=SYN), at(-1 - SIZE, b"", flags=SYN)):
        found = events(pcap([*beats(0, 1), late, *beats(1, 3)]))
        assert frames(found) == BEATS[:3]
        assert sum(isinstance(event, Opened) for event in found) == 1


def test_one_stream_captured_on_two_interfaces_is_told_once() -> None:
    """The device `any`: each packet twice, at once or a little later, handshake and end included."""
    talk = Talk().open().say(hello("n1")).say(hello("n2"), back=True)
    for beat in BEATS:
        talk.say(beat).say(answer("n2", 1), back=True)
    packets = talk.end().end(back=True).packets
    once = frames(events(pcap(packets)))
    assert len(once) == 2 + 2 * len(BEATS)
    for distance in (1, 5):
        twice = [
            part
            for number in range(0, len(packets), distance)
            for part in packets[number : number + distance] * 2
        ]
        data = section() + interface() + interface()
        data += b"".join(enhanced(packet, number=number % 2) for number, packet in enumerate(twice))
        found, unread = opened(data)
        assert (frames(found), troubles(found), unread) == (once, [], "")
        assert [type(event) for event in found if isinstance(event, Opened | Closed)] == [
            Opened,
            Closed,
            Closed,
        ]


@pytest.mark.parametrize("flags", [FIN | ACK, RST, RST | ACK])
def test_what_is_sent_again_after_the_end_is_no_other_connection(flags: int) -> None:
    """Data and FIN, in both directions."""
    talk = Talk().open().say(hello("n1")).say(hello("n2"), back=True).say(BEATS[0])
    data = talk.packets[2:]
    talk.end(flags=flags)
    if flags & FIN:
        talk.end(back=True)
    found = events(pcap([*talk.packets, *data, *talk.packets[-2:]]))
    assert frames(found) == [hello("n1"), hello("n2"), BEATS[0]]
    assert sum(isinstance(event, Opened) for event in found) == 1


def test_a_fin_may_carry_data_and_may_come_before_what_is_in_front_of_it() -> None:
    """The end is where it says, once all is there."""
    packets = [at(-1, b"", flags=SYN), at(SIZE, BEATS[1], flags=FIN | ACK), *beats(0, 1)]
    found = events(pcap(packets))
    assert frames(found) == BEATS[:2]
    assert [event.how for event in found if isinstance(event, Closed)] == ["fin"]


@pytest.mark.parametrize("with_syn", [True, False])
@pytest.mark.parametrize("distance", [-(1 << 31), -(1 << 28), 1 << 31, 3 << 30])
@pytest.mark.parametrize("has_ended", [True, False])
def test_a_port_that_is_used_again_begins_another_connection(
    with_syn: bool, distance: int, has_ended: bool
) -> None:
    """Also where the capture has neither the first one's end nor the second one's SYN."""
    end = [at(3 * SIZE, b"", flags=FIN | ACK), back(0, flags=FIN | ACK)] if has_ended else []
    syn = [at(distance - 1, b"", flags=SYN)] if with_syn else []
    again = [at(distance + SIZE * number, BEATS[number]) for number in range(4, 8)]
    found = events(pcap([*beats(0, 3), *end, *syn, *again]))
    assert frames(found) == [*BEATS[:3], *BEATS[4:8]]
    assert sum(isinstance(event, Opened) for event in found) == 2


def test_the_answers_of_an_unknown_dialler_end_where_it_dials_again() -> None:
    """Of the first connection, only what the listener said was captured."""
    first = [back(0, answer("n2", 1))]
    second = [at(-1, b"", flags=SYN), *beats(0, 1), back(70_000 - 1, flags=SYN | ACK)]
    found = events(pcap([*first, *second, back(70_000, answer("n2", 2))]))
    assert frames(found) == [answer("n2", 1), BEATS[0], answer("n2", 2)]
    assert sum(isinstance(event, Opened) for event in found) == 2


def test_a_reset_with_a_number_of_another_connection_ends_nothing() -> None:
    """An old duplicate, or a guess; it is counted."""
    found, unread = opened(pcap([*beats(0, 2), at(1 << 30, b"", flags=RST), *beats(2, 4)]))
    assert (frames(found), unread) == (BEATS[:4], "1 TCP reset of another connection")
    assert not any(isinstance(event, Closed) for event in found)


def test_a_gap_is_told_and_reading_goes_on_at_the_next_frame() -> None:
    """In the midst of frames on both sides, as soon as the receiver has acknowledged it for a while."""
    data = b"".join(BEATS)
    parts = [(0, 2 * SIZE - 30), (4 * SIZE + 11, 9 * SIZE), (9 * SIZE, 12 * SIZE)]
    packets = [at(-1, b"", flags=SYN), *(at(begin, data[begin:end]) for begin, end in parts)]
    found = events(pcap(packets))
    assert frames(found) == [BEATS[0], *BEATS[5:]]
    assert [trouble.serious for trouble in troubles(found)] == [True, False]
    assert troubles(found)[1].next == f"frames again from offset {5 * SIZE:,} on"


def test_two_gaps_are_two_and_a_frame_between_them_is_found() -> None:
    """Its end is where the second one begins."""
    packets = [*beats(0, 1), *beats(2, 3), *beats(5, 7)]
    found = events(pcap(packets))
    assert frames(found) == [BEATS[0], BEATS[2], *BEATS[5:7]]
    assert [trouble.got for trouble in troubles(found)] == [
        f"{SIZE} bytes are not in the capture",
        f"{2 * SIZE} bytes are not in the capture",
    ]


def test_a_gap_before_the_first_byte_that_was_captured_hides_nothing() -> None:
    """The handshake is there, the hello is not: what follows was dropped without a word."""
    found = events(pcap([at(-1, b"", flags=SYN), *beats(1, 4)]))
    assert frames(found) == BEATS[1:4]
    assert troubles(found)[0].got == f"{SIZE} bytes are not in the capture"


def test_what_comes_when_it_was_given_up_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of order beyond the bound."""
    monkeypatch.setattr(reassembly, "WAITING_SEGMENTS_MAX", 3)
    found, unread = opened(pcap([*beats(0, 1), *beats(2, 9), *beats(1, 2), *beats(9, 10)]))
    assert frames(found) == [BEATS[0], *BEATS[2:10]]
    assert unread == "1 TCP segment that came too late to be put in order"


def test_what_lies_before_the_first_segment_of_the_capture_is_counted() -> None:
    """The capture begins between two segments that changed places."""
    found, unread = opened(pcap([*beats(2, 3), *beats(0, 2), *beats(3, 4)]))
    assert frames(found) == BEATS[2:4]
    assert unread == "2 TCP segments from before the first one that was captured"


def test_what_follows_bytes_that_are_no_frames_is_counted() -> None:
    """That direction is not read on, and the other one is."""
    talk = Talk().open().say(b"GET / HTTP/1.1\r\n").say(b"Host: x\r\n").say(b"\r\n").say(hello("n2"), back=True)
    found, unread = opened(talk.file())
    assert frames(found) == [hello("n2")]
    assert unread == "2 TCP segments behind bytes that are no frames"


def test_a_search_that_finds_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of the stream, and where it has gone far enough."""
    noise = bytes(range(32, 127)) * 20
    [trouble] = troubles(events(pcap([at(0, noise)])))
    assert trouble.got.endswith(f"and no frame in {len(noise):,} bytes")
    [trouble] = troubles(events(pcap([at(0, noise)]), resync=True))
    assert trouble.got == f"no frame in {len(noise):,} bytes"
    monkeypatch.setattr("wire_dump.stream.SEARCHED_BYTES_MAX", 3000)
    found, unread = opened(
        pcap([at(0, noise), at(len(noise), noise), *beats(50, 50), at(2 * len(noise), noise)])
    )
    assert troubles(found)[0].next == STOPPED
    assert unread == "1 TCP segment behind bytes that are no frames"


def test_a_long_stream_that_is_none_of_ours_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a bound is searched of it, and no more than that is held."""
    part = b"\x0c\0\2n1\0\x0f\xff\xf0\x86" * 100
    monkeypatch.setattr("wire_dump.stream.SEARCHED_BYTES_MAX", 1 << 17)
    count = (1 << 19) // len(part)
    began = time.process_time()
    found, unread = opened(pcap([at(0, b"??"), *(at(2 + len(part) * number, part) for number in range(count))]))
    assert frames(found) == [] and "behind bytes that are no frames" in unread
    assert time.process_time() - began < 20


def test_directions_that_take_turns_are_read_side_by_side() -> None:
    """Cut anywhere, one segment of each in turn."""
    here, there = b"".join(BEATS), b"".join(answer("n2", number) for number in range(12))
    packets = [
        packet
        for place in range(0, max(len(here), len(there)), 37)
        for packet in (at(place, here[place : place + 37]), back(place, there[place : place + 37]))
    ]
    assert sorted(frames(events(pcap(packets)))) == sorted([*BEATS, *(answer("n2", n) for n in range(12))])


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))])
def test_any_order_of_four_segments_gives_the_same_frames(order: tuple[int, ...]) -> None:
    """After a handshake."""
    packets = [at(-1, b"", flags=SYN), *(beats(number, number + 1)[0] for number in order)]
    found, unread = opened(pcap(packets))
    assert (frames(found), troubles(found), unread) == (BEATS[:4], [], "")
