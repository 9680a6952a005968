"""How a link reads and writes when frames come together: through a buffer of its own, answered in one write."""

from __future__ import annotations

import asyncio

from casty.cluster.link import BATCH_MAX, HELLO_BYTES_MAX, READ_BYTES, Link
from casty.wire.frames import Frame, encode_frame
from tests.cluster.test_link import OUT, Owner, Transport, case


def arrive(link: Link, data: bytes) -> None:
    """As a loop brings it: piece by piece, each in the link's buffer."""
    while data:
        room = link.get_buffer(-1)
        size = min(len(room), len(data))
        room[:size] = data[:size]
        link.buffer_updated(size)
        data = data[size:]


def test_frames_of_any_size_come_out_of_the_buffer_whole() -> None:
    """FRAME-2: what has been handed on does not change when the next bytes take its place."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        assert len(link.get_buffer(-1)) == HELLO_BYTES_MAX
        arrive(link, encode_frame(1, "first", bytes(1000)))
        link.accept_frames_up_to(1 << 20)
        assert len(link.get_buffer(-1)) == READ_BYTES
        expected = [Frame(1, str(n), bytes([n]) * size) for n, size in enumerate((0, 1, 70_000, 5, 200_000))]
        arrive(link, b"".join(encode_frame(*frame) for frame in expected))
        assert owner.frames[1:] == expected

    case(body)


def test_answers_to_what_came_together_leave_together_and_at_once() -> None:
    """Architecture §8: one write for all of a read, without a further turn of the loop."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        owner.on_frame = lambda link, frame: link.send(frame.name.encode())
        arrive(link, b"".join(encode_frame(1, str(n), b"\xc0") for n in range(3)))
        assert transport.writes == [b"012"]
        link.send(b"later")
        assert transport.writes == [b"012"]
        await asyncio.sleep(0)
        assert transport.writes == [b"012", b"later"]

    case(body)


def test_a_lone_frame_leaves_at_once_with_what_is_before_it() -> None:
    """MSG-2: nothing overtakes."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        link.send(b"a")
        link.send(b"b", at_once=True)
        assert transport.writes == [b"ab"]
        await asyncio.sleep(0)
        assert transport.writes == [b"ab"]

    case(body, OUT)


def test_few_frames_count_as_having_come_together() -> None:
    """MSG-10: the last of a read, or of so many that their answers show whether the peer reads."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        ends: list[bool] = []
        owner.on_frame = lambda link, frame: ends.append(link.ends_batch)
        arrive(link, encode_frame(1, "a", b"\xc0") * (BATCH_MAX + 2))
        assert ends == [*(False,) * (BATCH_MAX - 1), True, False, True]
        arrive(link, encode_frame(1, "a", b"\xc0"))
        assert ends[-1] is True

    case(body)
