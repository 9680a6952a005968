"""One connection, with a transport that writes down what it is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from casty.cluster.address import Address
from casty.cluster.book import Dial
from casty.cluster.link import (
    CONGESTED_AT,
    FULL_AT,
    HOPELESS_AT,
    HOPELESS_SECONDS,
    PAUSE_AT,
    STALL_SECONDS,
    TURN_AT,
    Link,
)
from casty.errors import NodeUnreachableError, ProtocolError
from casty.wire.frames import encode_frame
from tests.cluster.harness import within
from tests.support import run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from casty.wire.frames import Frame

OUT = Dial(Address("host", 1), "actor")


class Transport(asyncio.Transport):
    """Takes everything and sends nothing, until told to."""

    def __init__(self, link: Link, **extra: object) -> None:
        super().__init__(extra)
        self.link = link
        self.writes: list[bytes] = []
        self.unsent = 0
        self.reads = True
        self.keeps = True
        self.ended = ""
        link.connection_made(self)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == PAUSE_AT

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self.keeps:
            self.writes.append(bytes(data))
        self.unsent += len(data)
        if self.unsent > PAUSE_AT:
            self.link.pause_writing()

    def takes(self, count: int) -> None:
        """The kernel has room for so much more."""
        self.unsent -= count
        if self.unsent < PAUSE_AT // 4:
            self.link.resume_writing()

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class Owner:
    """Writes down what links tell it."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.events: list[str] = []
        self.on_frame: Callable[[Link, Frame], None] = lambda link, frame: None

    def link_made(self, link: Link) -> None:
        self.events.append("made")

    def link_frame(self, link: Link, frame: Frame) -> None:
        self.frames.append(frame)
        self.on_frame(link, frame)

    def link_fault(self, link: Link, fault: ProtocolError) -> None:
        self.events.append(fault.code)
        link.close()

    def link_cut(self, link: Link, what: str) -> None:
        self.events.append(what)

    def link_unread(self, link: Link) -> None:
        self.events.append("unread")

    def link_lost(self, link: Link) -> None:
        self.events.append("lost")


def case(
    body: Callable[[Link, Transport, Owner], Coroutine[Any, Any, None]],
    dial: Dial | None = None,
) -> None:
    """Runs the body with a fresh link."""

    async def main() -> None:
        owner = Owner()
        link = Link(owner, dial)
        await body(link, Transport(link), owner)

    run(main())


def test_what_is_sent_in_one_turn_leaves_as_one_write() -> None:
    """Architecture §8: in order; `flush` does not wait for the end of the turn."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        for number in range(5):
            link.send(b"%d" % number)
        assert transport.writes == []
        assert link.backlog == 5
        await asyncio.sleep(0)
        assert transport.writes == [b"01234"]
        link.send(b"a")
        link.flush()
        link.send(b"b")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert transport.writes == [b"01234", b"a", b"b"]

    case(body)


def test_much_in_one_turn_does_not_wait_for_its_end() -> None:
    """MSG-10: or a sender that never waits would fill the memory."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        enough = [link.has_queued_enough]
        link.send(bytes(TURN_AT))
        assert [*enough, link.has_queued_enough] == [False, True]
        link.send(bytes(PAUSE_AT))
        assert [len(data) for data in transport.writes] == [PAUSE_AT + TURN_AT]
        seen = [(link.is_paused, link.is_congested)]
        while link.backlog < CONGESTED_AT:
            link.send(bytes(PAUSE_AT))
        assert [*seen, (link.is_paused, link.is_congested)] == [(True, False), (True, True)]

    case(body, OUT)


def test_senders_wait_in_one_line_until_the_peer_reads_or_is_gone() -> None:
    """MSG-2, MSG-10: first come, first served; one that leaves the line has sent nothing."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        def waiting(data: bytes) -> asyncio.Task[None]:
            return asyncio.create_task(link.in_turn(lambda: link.send(data)))

        link.send(bytes(2 * PAUSE_AT))
        ending = asyncio.create_task(link.closed())
        first, second, third = (waiting(data) for data in (b"1", b"2", b"3"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        assert (link.is_busy, first.done(), len(transport.writes)) == (True, False, 1)
        transport.takes(2 * PAUSE_AT)
        seen = [link.is_busy]  # or a newcomer would overtake those who wait
        await within(asyncio.gather(first, third))
        assert transport.writes[1:] == [b"13"]
        assert [*seen, link.is_busy] == [True, False]
        link.send(bytes(2 * PAUSE_AT))
        late = waiting(b"late")
        await asyncio.sleep(0)
        assert not ending.done()
        link.connection_lost(OSError("gone"))
        with pytest.raises(NodeUnreachableError, match="ended before this left"):
            await within(late)
        await within(ending)
        assert link.backlog == 2 * PAUSE_AT + len(b"13")  # the transport's own

    case(body)


def test_a_line_goes_on_as_the_peer_reads_and_leaves_others_their_share() -> None:
    """MSG-6, MSG-10: each turn of the loop sends a little, and nothing beyond what the peer has room for."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        link.send(bytes(2 * PAUSE_AT))
        large = [asyncio.create_task(link.in_turn(lambda: link.send(bytes(PAUSE_AT + 1)))) for _ in range(2)]
        small = [asyncio.create_task(link.in_turn(lambda: link.send(bytes(TURN_AT)))) for _ in range(3)]
        await asyncio.sleep(0)
        transport.takes(2 * PAUSE_AT)
        for each in large:
            await within(each)
            await asyncio.sleep(0)
            assert link.backlog == PAUSE_AT + 1
            transport.takes(PAUSE_AT + 1)
        await within(small[0])
        assert not small[1].done()
        await within(asyncio.gather(*small))

    case(body)


def test_what_a_waiting_sender_cannot_send_is_its_own_trouble() -> None:
    """MSG-10: the next in the line is served."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        def fail() -> None:
            raise ValueError("mine")

        link.send(bytes(2 * PAUSE_AT))
        wrong = asyncio.create_task(link.in_turn(fail))
        right = asyncio.create_task(link.in_turn(lambda: link.send(b"x")))
        await asyncio.sleep(0)
        transport.takes(2 * PAUSE_AT)
        with pytest.raises(ValueError, match="mine"):
            await within(wrong)
        await within(right)
        assert transport.writes[-1] == b"x"

    case(body)


def test_a_peer_that_takes_nothing_is_waited_for_for_a_stated_time() -> None:
    """MSG-10: as long as it takes something, senders wait; then they, and all who come, are told so."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        clock, loop = [100.0], asyncio.get_running_loop()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "time", lambda: clock[0])
            link.send(bytes(4 * PAUSE_AT))
            waiting = asyncio.create_task(link.in_turn(lambda: link.send(b"x")))
            await asyncio.sleep(0)
            link.note_progress()
            for _ in range(3):
                clock[0] += STALL_SECONDS - 1
                transport.takes(PAUSE_AT)
                link.note_progress()
                await asyncio.sleep(0)
                assert not waiting.done()
            clock[0] += STALL_SECONDS
            link.note_progress()
            for each in (waiting, link.in_turn(lambda: link.send(b"x"))):
                with pytest.raises(NodeUnreachableError, match="has read nothing for 10 s"):
                    await each
            assert not link.is_over

    case(body)


def test_who_does_not_read_its_answers_is_not_read_from() -> None:
    """MSG-10: what has arrived already waits, too, and goes on in order."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        owner.on_frame = lambda link, frame: link.send(bytes(PAUSE_AT + 1))
        link.accept_frames_up_to(1 << 20)
        link.data_received(b"".join(encode_frame(1, str(n), b"\xc0") for n in range(3)))
        assert [frame.name for frame in owner.frames] == ["0"]
        assert not transport.reads
        transport.takes(PAUSE_AT + 1)
        await asyncio.sleep(0)
        assert transport.reads is False  # the second answer has filled it again
        transport.takes(PAUSE_AT + 1)
        await asyncio.sleep(0)
        transport.takes(PAUSE_AT + 1)
        assert [frame.name for frame in owner.frames] == ["0", "1", "2"]
        assert transport.reads

    case(body)


def test_on_a_connection_it_dialled_a_node_always_reads() -> None:
    """MSG-10: else two busy nodes could wait for each other for ever."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        link.send(bytes(2 * PAUSE_AT))
        link.flush()
        assert link.is_paused
        assert transport.reads
        link.data_received(encode_frame(1, "x", b"\xc0"))
        assert len(owner.frames) == 1

    case(body, OUT)


def test_too_much_unread_ends_the_connection_unless_the_peer_reads() -> None:
    """MSG-10: answers cannot be refused, so their reader is: after a moment without reading."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        clock, loop = [100.0], asyncio.get_running_loop()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "time", lambda: clock[0])
            for _ in range(HOPELESS_AT // PAUSE_AT + 1):
                link.send(bytes(PAUSE_AT))
            for _ in range(3):
                clock[0] += HOPELESS_SECONDS - 0.1
                transport.takes(1)
                link.send(b"the peer reads")
            assert (transport.ended, owner.events.count("unread")) == ("", 0)
            clock[0] += HOPELESS_SECONDS
            link.send(b"one more")
            assert (transport.ended, owner.events.count("unread")) == ("aborted", 1)
            link.send(b"nothing more")
            assert link.is_over

    case(body)


def test_nobody_reads_fast_enough_for_any_amount() -> None:
    """MSG-10: the memory for what one peer asked at once is bounded."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        transport.keeps = False
        for _ in range(FULL_AT // (4 * PAUSE_AT)):
            link.send(bytes(4 * PAUSE_AT))
        assert transport.ended == ""
        link.send(b"one more")
        assert transport.ended == "aborted"

    case(body)


def test_what_arrives_while_held_waits_and_not_without_bound() -> None:
    """HELLO-7."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        link.hold()
        link.data_received(encode_frame(1, "a", b"\xc0"))
        reads = [transport.reads]
        link.data_received(bytes(4096))
        assert [*reads, transport.reads] == [True, False]  # at first its end is to be noticed
        assert owner.frames == []
        link.accept_frames_up_to(1 << 20)
        link.release()
        await asyncio.sleep(0)
        assert transport.reads
        assert owner.frames[0].name == "a"

    case(body)


def test_a_fault_ends_it_after_the_good_frames_before() -> None:
    """FRAME-3, ERROR-2."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        link.data_received(encode_frame(1, "a", b"\xc0") + b"\x01\x00\x01\xff\x00\x00\x00\x00" + b"more")
        assert [frame.name for frame in owner.frames] == ["a"]
        assert owner.events == ["made", "BAD_NAME"]
        assert transport.ended == "closed"
        link.data_received(encode_frame(1, "b", b"\xc0"))
        assert len(owner.frames) == 1

    case(body)


def test_closing_flushes_first_and_lingers_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """ERROR-2; a peer that does not read does not keep the connection."""
    monkeypatch.setattr("casty.cluster.link.LINGER_SECONDS", 0.01)

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        link.is_open = True
        link.send(b"last")
        link.close()
        link.close()
        link.send(b"too late")
        assert transport.writes == [b"last"]
        assert (transport.ended, link.is_open) == ("closed", False)
        async with asyncio.timeout(10):
            while transport.ended != "aborted":
                await asyncio.sleep(0.001)

    case(body)


def test_the_owner_hears_of_the_end_once() -> None:
    """`disown` tells it at once; the transport's own word comes later and changes nothing."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        link.disown()
        assert owner.events == ["made", "lost"]
        assert (transport.ended, link.lost) == ("aborted", True)
        link.connection_lost(None)
        link.resume_writing()
        assert owner.events == ["made", "lost"]

    case(body)


def test_the_end_of_the_stream_inside_a_frame_is_noted() -> None:
    """FRAME-8."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        link.data_received(b"\x01\x00")
        assert not link.eof_received()
        assert "ended after 2 of at least 7 bytes" in owner.events[-1]

    case(body)


def test_progress_is_a_sign_of_life() -> None:
    """PEER-9: only of a backlog, for what leaves at once proves nothing."""

    async def body(link: Link, transport: Transport, owner: Owner) -> None:
        link.heard_at = -100.0
        link.send(b"ping")
        link.flush()
        transport.takes(4)
        link.note_progress()
        assert link.heard_at == -100.0
        link.send(bytes(1000))
        link.flush()
        link.note_progress()
        link.note_progress()
        assert link.heard_at == -100.0
        transport.takes(10)
        link.note_progress()
        assert link.heard_at > 0

    case(body)


async def test_a_link_without_a_connection_has_no_ends() -> None:
    """It is asked before it is made, and by addresses the system does not say."""
    owner = Owner()
    link, other = Link(owner), Link(owner, OUT)
    assert (link.peer_host, link.certificate, link.backlog) == ("", None, 0)
    assert repr(link) == "<Link from ? not open>"
    assert not link.is_other_end_of(other)
    link.close()
    link.abort()
    link.hold()
    link.release()
    Transport(other, peername=("host", 1), sockname=("here", 2), peercert={"a": 1})
    assert (other.peer_host, other.certificate) == ("host", {"a": 1})
    assert repr(other) == "<Link to host not open>"
    mirror = Link(owner)
    Transport(mirror, peername=("here", 2), sockname=("host", 1))
    assert mirror.is_other_end_of(other)
    assert not other.is_other_end_of(other)
    nameless = Link(owner)
    Transport(nameless)
    assert nameless.peer_host == ""
    assert not nameless.is_other_end_of(nameless)
    assert cast("Any", nameless).certificate is None
