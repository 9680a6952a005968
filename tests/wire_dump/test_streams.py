"""A stream comes out whole however its segments lie in the capture, and a gap is told where there is one."""

from __future__ import annotations

import random

import pytest

from tests.wire_dump.packets import RST, Packet, Talk, events, frames, ipv4, pcap, segment, troubles
from tests.wire_dump.samples import answer, heartbeat, hello
from wire_dump import connections, reassembly
from wire_dump.events import Seen
from wire_dump.packet import Segment
from wire_dump.plausible import Search
from wire_dump.reassembly import Gap, Stream

BEATS = [heartbeat("n1", number) for number in range(40)]
SAID = hello("n1") + b"".join(BEATS)


@pytest.mark.parametrize("seed", range(30))
def test_any_cut_order_and_repetition_gives_the_same_frames(seed: int) -> None:
    """Segments cut anywhere, swapped, sent again, overlapping; sequence numbers that wrap round."""
    rng = random.Random(seed)
    start = rng.choice([1, 1000, (1 << 32) - 200, (1 << 32) - 1])
    talk = Talk(start).open()
    base, at, parts = talk.next[False], 0, []
    while at < len(SAID):
        size = rng.randint(1, 90)
        parts.append((max(0, at - rng.randint(0, 20)), at + size))
        at += size
    parts += rng.choices(parts, k=8)
    order = sorted(range(len(parts)), key=lambda index: index % (len(parts) - 8) + rng.uniform(0, 6))
    for index in order:
        begin, end = parts[index]
        talk.again(SAID[begin:end], base + begin)
    talk.next[False] += len(SAID)
    found = events(talk.end().file())
    assert frames(found) == [hello("n1"), *BEATS]
    assert troubles(found) == []


def test_both_directions_are_told_apart_and_in_the_order_of_time() -> None:
    """Each frame has the offset in its own direction."""
    talk = (
        Talk().open().say(hello("n1")).say(hello("n2"), back=True).say(BEATS[0]).say(answer("n2", 0), back=True)
    )
    found = [event for event in events(talk.file()) if isinstance(event, Seen)]
    assert [(event.source, event.target, event.offset) for event in found] == [
        ("n1", "n2", 0),
        ("n2", "n1", 0),
        ("n1", "n2", len(hello("n1"))),
        ("n2", "n1", len(hello("n2"))),
    ]


def test_a_gap_costs_what_is_lost_in_it_and_nothing_of_the_other_direction() -> None:
    """Reading goes on where three plausible headers stand in a row."""
    talk = Talk().open().say(hello("n1")).say(hello("n2"), back=True).skip(1000).say(BEATS[0])
    talk.later(2).say(answer("n2", 0), back=True).say(BEATS[1]).say(answer("n2", 1), back=True).say(BEATS[2])
    found = events(talk.file())
    expected = [hello("n1"), hello("n2"), answer("n2", 0), answer("n2", 1), *BEATS[:3]]
    assert frames(found) == expected
    [gap] = troubles(found)
    assert (gap.offset, gap.got) == (len(hello("n1")), "1,000 bytes are not in the capture")
    assert gap.next == "looking for 3 plausible headers in a row"


def test_a_gap_within_a_known_frame_costs_only_that_frame() -> None:
    """Its header said where the next one begins."""
    talk = (
        Talk()
        .open()
        .say(hello("n1"))
        .say(BEATS[0][:20])
        .skip(len(BEATS[0]) - 30)
        .say(BEATS[0][-10:] + BEATS[1])
    )
    found = events(talk.end().file())
    assert frames(found) == [hello("n1"), BEATS[1]]
    assert troubles(found)[0].next.startswith("the frame is skipped")


def test_resync_goes_on_after_a_gap() -> None:
    """Three plausible headers in a row."""
    talk = Talk().open().say(hello("n1")).skip(1000).say(BEATS[0][7:] + b"".join(BEATS[1:6])).end()
    found = events(talk.file(), resync=True)
    assert frames(found) == [hello("n1"), *BEATS[1:6]]
    assert [(trouble.serious, trouble.next) for trouble in troubles(found)][1][0] is False


@pytest.mark.parametrize("cut", [0, 1, 7, 40, 75])
def test_a_capture_that_starts_mid_stream_can_be_read(cut: int) -> None:
    """At a frame's beginning as it is; anywhere else behind the frame that is cut."""
    data = b"".join(BEATS[:5])[cut:]
    capture = pcap([Packet(ipv4(segment(data, 5000)))])
    for resync in (False, True):
        found = events(capture, resync=resync)
        assert frames(found) == BEATS[bool(cut) : 5]
        assert [(trouble.serious, trouble.offset) for trouble in troubles(found)] == [(False, 0)] * bool(cut)


def test_the_end_of_the_stream_may_stand_for_the_missing_headers() -> None:
    """A single frame after a cut, whose end is the end."""
    capture = pcap(
        [Packet(ipv4(segment(BEATS[0][9:] + BEATS[1], 5000))), Packet(ipv4(segment(b"", 9999, RST)))]
    )
    assert frames(events(capture, resync=True)) == [BEATS[1]]


def test_frames_inside_of_data_are_not_taken_for_the_stream_s_own() -> None:
    """A chain has to begin before them: the earliest that is found wins, and false ones are given up."""
    search = Search()
    noise = random.Random(5).randbytes(3000)
    found = None
    for at in range(0, len(noise), 100):
        found = found or search.feed(noise[at : at + 100])
    found = found or search.feed(b"".join(BEATS[:4]))
    assert found == b"".join(BEATS[:4])
    assert search.skipped == 3000


def test_a_frame_over_the_limit_stops_the_direction_with_its_lengths_marked() -> None:
    """FRAME-4: recognised from the header."""
    large = b"\x0c\0\2n1" + (1 << 30).to_bytes(4) + b"x" * 100
    found = events(Talk().open().say(hello("n1")).say(large).say(BEATS[0]).file())
    [trouble] = troubles(found)
    assert "16,777,216" in trouble.expected and "FRAME-4" in trouble.expected
    assert (trouble.start, trouble.end) == (5, 9)
    resumed = events(Talk().open().say(hello("n1")).say(large + b"".join(BEATS[:3])).file(), resync=True)
    assert frames(resumed) == [hello("n1"), *BEATS[:3]]


def test_what_does_not_begin_like_casty_is_not_read_as_casty() -> None:
    """Other protocols are on the same wires."""
    found = events(Talk().open().say(b"GET / HTTP/1.1\r\n\r\n").say(b"HTTP/1.1 200 OK\r\n", back=True).file())
    assert [trouble.got for trouble in troubles(found)] == [
        "47 45 54 20 2f 20 48 54 ('GET / HT')",
        "48 54 54 50 2f 31 2e 31 ('HTTP/1.1')",
    ]


def test_early_segments_are_bounded_in_bytes_and_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole that is never filled becomes a gap."""
    stream = Stream()
    out = list(stream.accept(Segment(b"", b"", 0, 0, 0, b"first", 0), 0))
    for number in range(reassembly.WAITING_SEGMENTS_MAX + 1):
        out += stream.accept(Segment(b"", b"", 1000 + 2 * number, 0, 0, b"x", 0), 0)
    assert out == [b"first", Gap(995), b"x"]
    monkeypatch.setattr(reassembly, "WAITING_BYTES_MAX", 100)
    other = Stream()
    out = list(other.accept(Segment(b"", b"", 0, 0, 0, b"first", 0), 0))
    out += other.accept(Segment(b"", b"", 500, 0, 0, bytes(101), 0), 0)
    assert out == [b"first", Gap(495), bytes(101)]


def test_the_bytes_held_are_bounded_over_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest holder is given up, and the others are read on."""
    monkeypatch.setattr(connections, "HELD_BYTES_MAX", 20_000)
    large = b"\x01\0\1a" + (1 << 20).to_bytes(4) + bytes(1000)
    greedy = Talk().open()
    for _ in range(30):
        greedy.say(large if greedy.next[False] == 1001 else bytes(1000))
    found = events(greedy.say(hello("n2"), back=True).file())
    assert "in all" in troubles(found)[0].next
    assert frames(found) == [hello("n2")]


def test_connections_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was silent the longest is taken for ended."""
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 3)
    packets = [Packet(ipv4(segment(BEATS[0][:20], 1, ports=(50000 + n, 8001)))) for n in range(5)]
    packets += [Packet(ipv4(segment(BEATS[0][20:], 21, ports=(50004, 8001))))]
    found = events(pcap(packets))
    assert frames(found) == [BEATS[0]]
    assert len(troubles(found)) == 4


def test_what_is_missing_before_the_end_is_told() -> None:
    """The FIN says how long the stream was."""
    found = events(Talk().open().say(hello("n1")).skip(50).end().file())
    assert [trouble.got for trouble in troubles(found)] == ["50 bytes are not in the capture"]
