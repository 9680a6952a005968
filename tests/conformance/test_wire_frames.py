"""Frames are found however the stream is cut (FRAME-2), and refused by their heads alone (FRAME-4)."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.wire.frame import Frame, FrameError, FrameReader

FRAMES = [Frame(17, b"", b"\x82"), Frame(1, "zähler".encode(), b""), Frame(200, b"x" * 300, b"y" * 70_000)]
STREAM = b"".join(frame.encode() for frame in FRAMES)
SHORT = FRAMES[:2]
SHORT_STREAM = b"".join(frame.encode() for frame in SHORT)


def read(reader: FrameReader) -> list[Frame]:
    return list(iter(reader.next_frame, None))


def test_a_frame_is_its_layout() -> None:
    """FRAME-1, byte by byte."""
    frame = Frame(17, b"ab", b"\xc0")
    assert frame.encode() == bytes.fromhex("11 0002 6162 00000001 c0")
    assert (frame.size, frame.payload_start, frame.kind) == (10, 9, "PING")
    assert Frame(200, b"", b"").kind == "type 200"


@pytest.mark.parametrize("frame", [Frame(256, b"", b""), Frame(-1, b"", b""), Frame(1, b"n" * 65_536, b"")])
def test_what_no_layout_holds_is_not_written(frame: Frame) -> None:
    """A frame of any bytes may be built, but not one that the lengths cannot tell."""
    with pytest.raises(ValueError, match="a frame holds a u8, and lengths of a u16 and a u32"):
        frame.encode()


@pytest.mark.parametrize("cut", range(len(SHORT_STREAM) + 1))
def test_a_stream_may_be_cut_anywhere(cut: int) -> None:
    reader = FrameReader()
    reader.feed(SHORT_STREAM[:cut])
    before = read(reader)
    assert reader.offset == sum(frame.size for frame in before)
    assert reader.rest == SHORT_STREAM[reader.offset : cut]
    reader.feed(SHORT_STREAM[cut:])
    assert before + read(reader) == SHORT
    assert (reader.offset, reader.rest) == (len(SHORT_STREAM), b"")


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_may_be_cut_more_than_once(cuts: list[int]) -> None:
    reader, found = FrameReader(), list[Frame]()
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(edges):
        reader.feed(STREAM[start:end])
        found += read(reader)
    assert found == FRAMES


@pytest.mark.parametrize(
    ("hex", "limit", "needed", "got"),
    [
        ("01 ffff", 65_541, 3, "a name of 65,535 bytes"),
        ("01 0001 61 ffffffff", 1 << 24, 8, "a frame of 4,294,967,303 bytes"),
        ("01 0001 61 0000000b", 18, 8, "a frame of 19 bytes"),
    ],
)
def test_a_head_that_announces_too_much_is_enough(hex: str, limit: int, needed: int, got: str) -> None:
    """The limit counts header and name; a byte earlier nothing is known, a byte later nothing is waited for."""
    data, reader = bytes.fromhex(hex), FrameReader(limit)
    good = Frame(17, b"", b"\xc0")
    reader.feed(good.encode() + data[: needed - 1])
    assert read(reader) == [good]
    reader.feed(data[needed - 1 : needed])
    for _ in range(2):  # and again, for the place of what follows is lost
        with pytest.raises(FrameError) as caught:
            reader.next_frame()
        assert (caught.value.code, caught.value.rule, caught.value.offset) == ("FRAME_TOO_LARGE", "FRAME-4", 8)
        assert caught.value.got == got
    assert reader.rest == data[:needed]
    assert str(caught.value) == (
        f"stream offset 8: expected a frame of at most {limit:,} bytes, got {got} (FRAME_TOO_LARGE, FRAME-4)"
    )


def test_a_frame_of_just_the_limit_is_read_and_the_limit_may_change() -> None:
    """As when a hello was accepted."""
    small, large = Frame(1, b"a", b"b" * 10), Frame(1, b"a", b"b" * 11)
    reader = FrameReader(small.size)
    reader.feed(small.encode())
    assert reader.next_frame() == small
    reader.limit = large.size
    reader.feed(large.encode())
    assert reader.next_frame() == large


def test_what_is_announced_takes_no_memory() -> None:
    """Nor is what was read kept for ever."""
    reader = FrameReader()
    tracemalloc.start()
    try:
        reader.feed(bytes.fromhex("01 0001 61 00fffff8") + b"x" * 100)
        assert reader.next_frame() is None
        many = Frame(17, b"", b"z" * 1000)
        other = FrameReader()
        for _ in range(3000):
            other.feed(many.encode())
            assert other.next_frame() == many
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
