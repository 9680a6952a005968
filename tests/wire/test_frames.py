"""Frames: layout, pieces, limits, ends (spec FRAME-*)."""

from __future__ import annotations

import tracemalloc

import pytest

from casty.errors import MessageTooLargeError, ProtocolError
from casty.wire.frames import Frame, FrameDecoder, encode_frame
from tests.wire.nodes import frames_in
from tests.wire.vectors import VALID, wire_of

ASK = encode_frame(5, "echo", b"\xc0")
FRAMES = [
    Frame(5, "echo", b"\xc0"),
    Frame(200, "", b""),
    Frame(1, "☃", b"x" * 300),
    Frame(6, "n" * 300, b"\xc3"),
]
STREAM = b"".join(encode_frame(*frame) for frame in FRAMES)


def decoder_after(*pieces: bytes, frame_bytes_max: int = 1 << 24) -> tuple[FrameDecoder, list[Frame]]:
    """A decoder that was given the pieces one after the other, and the frames that it gave back meanwhile."""
    decoder = FrameDecoder(frame_bytes_max)
    frames: list[Frame] = []
    for piece in pieces:
        decoder.receive_data(piece)
        while (frame := decoder.next_frame()) is not None:
            frames.append(frame)
    return decoder, frames


def test_a_frame_is_type_name_length_name_payload_length_payload() -> None:
    """FRAME-1: in network byte order, with nothing around it."""
    assert encode_frame(5, "é", b"\x01\x02\x03").hex(" ") == "05 00 02 c3 a9 00 00 00 03 01 02 03"


def test_a_stream_means_the_same_however_it_is_cut_in_three() -> None:
    """FRAME-2: TCP may cut anywhere."""
    for first in range(len(STREAM) + 1):
        for second in range(first, len(STREAM) + 1, 13):
            decoder, frames = decoder_after(STREAM[:first], STREAM[first:second], STREAM[second:])
            assert frames == FRAMES
            assert decoder.receive_eof() is None


def test_every_valid_vector_survives_being_cut_in_two_anywhere() -> None:
    """FRAME-2, with the golden frames, each followed by another."""
    for vector in VALID:
        wire = wire_of(vector)
        [whole] = frames_in(wire)
        step = max(1, len(wire) // 200)
        for cut in range(0, len(wire), step):
            decoder, frames = decoder_after(wire[:cut], wire[cut:] + ASK)
            assert frames == [whole, Frame(5, "echo", b"\xc0")], vector["id"]
            assert decoder.receive_eof() is None


def test_a_byte_at_a_time_is_enough() -> None:
    """FRAME-2: nothing is lost between reads, and nothing but frames comes out."""
    _, frames = decoder_after(*(STREAM[at : at + 1] for at in range(len(STREAM))))
    assert frames == FRAMES


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_can_be_received_and_reused(kind: type[bytes | bytearray | memoryview]) -> None:
    """FRAME-2: transports hand over bytes, and some a buffer of their own that they write to again."""
    buffer = bytearray(ASK)
    decoder = FrameDecoder()
    decoder.receive_data(kind(buffer))
    if kind is not bytes:
        buffer[:] = bytes(len(buffer))
    frame = decoder.next_frame()
    assert frame == Frame(5, "echo", b"\xc0")
    assert type(frame.payload) is bytes


def test_the_payload_of_an_assembled_frame_is_bytes_too() -> None:
    """FRAME-2: what came in pieces is no bytearray that could change."""
    _, frames = decoder_after(ASK[:5], ASK[5:])
    assert [type(frame.payload) for frame in frames] == [bytes]


def test_a_good_frame_ahead_of_a_bad_one_is_delivered() -> None:
    """FRAME-3: the error comes in its turn, and then every time."""
    decoder = FrameDecoder()
    decoder.receive_data(ASK + encode_frame(2, "a", b"").replace(b"a", b"\xff") + ASK)
    assert decoder.next_frame() == Frame(5, "echo", b"\xc0")
    for _ in range(3):
        with pytest.raises(ProtocolError, match="is not UTF-8 at byte 0") as caught:
            decoder.next_frame()
        assert (caught.value.code, caught.value.rule) == ("BAD_NAME", "FRAME-3")
        decoder.receive_data(ASK)
    assert decoder.receive_eof() is None


@pytest.mark.parametrize("pieces", [1, 2, 18])
def test_the_limit_counts_the_whole_frame(pieces: int) -> None:
    """FRAME-4: a frame of exactly the limit is accepted, one of a byte more is not, however they come."""
    frame = encode_frame(17, "", b"p" * 11)
    step = -(-len(frame) // pieces)
    parts = [frame[at : at + step] for at in range(0, len(frame), step)]
    assert decoder_after(*parts, frame_bytes_max=18)[1] == [Frame(17, "", b"p" * 11)]
    with pytest.raises(ProtocolError, match="frame of 18 bytes; the limit is 17") as caught:
        decoder_after(*parts, frame_bytes_max=17)
    assert (caught.value.code, caught.value.rule) == ("FRAME_TOO_LARGE", "FRAME-4")


def test_a_frame_too_large_is_known_by_its_header() -> None:
    """FRAME-4: seven bytes are enough to refuse four gigabytes; three, if the name alone is too long."""
    with pytest.raises(ProtocolError, match=r"frame of 4,294,967,302 bytes; the limit is 16,777,216"):
        decoder_after(b"\x01\x00\x00\xff\xff\xff\xff")
    with pytest.raises(ProtocolError, match=r"frame of at least 65,542 bytes; the limit is 4,096"):
        decoder_after(b"\x01\xff\xff", frame_bytes_max=4096)


def test_no_memory_is_used_for_what_has_not_arrived() -> None:
    """FRAME-4: a header that announces 16 MiB costs nothing."""
    tracemalloc.start()
    decoder, frames = decoder_after(b"\x01\x00\x00\x00\xff\xff\xf0", b"some of it")
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frames == []
    assert used < 10_000
    assert decoder.receive_eof() == "stream ended after 17 of 16,777,207 bytes"


def test_a_large_frame_in_small_reads_is_copied_a_few_times_only() -> None:
    """FRAME-2: memory for a frame stays near its size, so no read copies all that came before it."""
    frame = encode_frame(1, "a", b"x" * 1_000_000)
    tracemalloc.start()
    _, frames = decoder_after(*(frame[at : at + 100] for at in range(0, len(frame), 100)))
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(frames[0].payload) == 1_000_000
    assert used < 4 * len(frame)


def test_the_limit_can_change_between_two_frames_of_one_read() -> None:
    """HELLO-3: 4096 bytes for the hello, and more as soon as it is accepted."""
    decoder = FrameDecoder(4096)
    decoder.receive_data(ASK + encode_frame(1, "a", b"x" * 5000))
    assert decoder.next_frame() is not None
    decoder.frame_bytes_max = 10_000
    assert decoder.next_frame() == Frame(1, "a", b"x" * 5000)


def test_a_bad_name_is_reported_before_its_payload_comes() -> None:
    """FRAME-3: nothing is kept of a frame that cannot be good any more."""
    with pytest.raises(ProtocolError, match="BAD_NAME"):
        decoder_after(b"\x01\x00\x01\xff\x00\x01\x00\x00")


@pytest.mark.parametrize(
    ("arrived", "text"),
    [
        (0, None),
        (1, "stream ended after 1 of at least 7 bytes"),
        (3, "stream ended after 3 of at least 11 bytes"),
        (10, "stream ended after 10 of at least 11 bytes"),
        (11, "stream ended after 11 of 12 bytes"),
        (12, None),
    ],
)
def test_the_end_of_the_stream_says_what_it_cut_off(arrived: int, text: str | None) -> None:
    """FRAME-8: an end inside a frame is an end, and what arrived of the frame has no effect."""
    decoder, _ = decoder_after(ASK[:arrived])
    assert decoder.receive_eof() == text


def test_what_the_lengths_cannot_say_is_not_encoded() -> None:
    """FRAME-1: the name length has two bytes."""
    assert len(encode_frame(1, "n" * 65_535, b"")) == 65_542
    with pytest.raises(MessageTooLargeError, match=r"a name of 65,536 bytes"):
        encode_frame(1, "n" * 65_536, b"")
