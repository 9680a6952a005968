"""One TCP connection: frames in, frames out, and who is at the other end.

Writes of one turn of the loop leave as one; several frames of one read are handled as one.

What a link cannot send, because its peer does not read, is bounded:

- Senders that can wait do, in one line, from `PAUSE_AT` on: see `in_turn`. So their share of the backlog is at
  most `PAUSE_AT` and one frame. Each message that waits in the line is kept by its own sender.
- Raft's messages are dropped from `CONGESTED_AT` on; Raft sends them again.
- Answers can neither wait nor be dropped. The peer is not read from while it leaves them (spec MSG-10), so
  there are only those to what it asked before. Beyond `HOPELESS_AT` the peer must keep reading, and `FULL_AT`
  ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol, cast

from casty import descriptors
from casty.errors import NodeUnreachableError, ProtocolError
from casty.raft.types import NodeId, ServerId
from casty.wire.frames import FrameDecoder

if TYPE_CHECKING:
    from collections.abc import Buffer, Callable

    from casty.cluster.book import Dial
    from casty.wire.frames import Frame
    from casty.wire.messages import Hello

logger = logging.getLogger(__name__)

HELLO_BYTES_MAX = 4096
"""Until the peer has said who it is (spec HELLO-3)."""

PAUSE_AT = 1 << 20
"""Unsent bytes from which senders that can wait do, and from which a peer that does not read its replies is
not read from, either (spec MSG-10)."""

CONGESTED_AT = 16 << 20
"""Unsent bytes from which nothing more that can be refused is taken. A frame of the largest size still gets
through."""

HOPELESS_AT = 64 << 20
HOPELESS_SECONDS = 2.0
"""Unsent bytes at which the connection ends if the peer has taken nothing for so long: answers cannot be
refused, but a peer must not fill our memory by asking without reading (spec MSG-10)."""

FULL_AT = 256 << 20
"""Unsent bytes at which the connection ends although the peer reads."""

STALL_SECONDS = 10.0
"""A peer that takes nothing for so long is waited for no longer: messages for it become dead letters, and asks
fail, until it reads again."""

READ_BYTES = 64 << 10
"""The most that one read takes: some hundred small frames, or a good part of a large one."""

BATCH_MAX = 4
"""Frames that count as having come together. What they ask for may be answered together, so these must be few,
or much would be answered before it is seen that the peer does not read (spec MSG-10)."""

TURN_AT = 64 << 10
"""Bytes queued in one turn of the loop from which a sender lets it turn, so that others have their share."""

COMPLAINTS_MAX = 300
"""Mistakes of one peer that are told apart: as many as there are frame types, and some of its users'."""

TLS_RECORD = b"\x16\x03"
"""How a TLS handshake begins. As a frame it would be of no known type, and wait for bytes that never come."""

LINGER_SECONDS = 2.0
"""How long a connection that is being closed has to send what is queued."""


class Owner(Protocol):
    """What a link tells of itself."""

    def link_made(self, link: Link) -> None: ...
    def link_frame(self, link: Link, frame: Frame) -> None: ...
    def link_fault(self, link: Link, fault: ProtocolError) -> None: ...
    def link_cut(self, link: Link, what: str) -> None: ...
    def link_unread(self, link: Link) -> None: ...
    def link_lost(self, link: Link) -> None: ...


class Link(asyncio.BufferedProtocol):
    """A connection that was dialled (`dial` says to where, and for which lane) or accepted (`dial` is None).

    It reads into a buffer of its own: for an `asyncio.Protocol`, the loop makes room for 256 KiB at each read,
    which can cost more than all that is done with a small frame.
    """

    def __init__(self, owner: Owner, dial: Dial | None = None) -> None:
        self.dial = dial
        self.hello: Hello | None = None
        """What the peer said of itself, once that was accepted."""
        self.node_id = NodeId("")
        self.server: ServerId | None = None
        self.heard_at = 0.0
        """When bytes last arrived, on the loop's clock."""
        self.pinged_at: float | None = None
        """When a ping left that nothing has followed yet."""
        self.is_open = False
        """Both sides accepted each other, and neither has ended it."""
        self.is_over = False
        """Either side has ended it."""
        self.lost = False
        self.has_failed = False
        """Either side has said what is wrong with the other."""
        self.cause: Exception | None = None
        """What the system said when the connection was lost; None if nothing."""
        self._has_begun = False
        self.ends_batch = True
        """The frame that is being handled is the last of those that came together."""
        self.is_busy = False
        """Who wants to send has to wait for its turn: see `in_turn`."""
        self.complaints: set[str] = set()
        """What the peer, or the log, has been told of already."""
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._decoder = FrameDecoder(HELLO_BYTES_MAX)
        self._room = memoryview(bytearray(HELLO_BYTES_MAX))
        """Where the loop puts the bytes of one read."""
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._flush_due = False
        self._paused = False
        self._held = False
        self._held_bytes = 0
        self._handed = 0
        """Bytes given to the transport so far."""
        self._taken = 0
        """Of those, the bytes the kernel had taken when `note_progress` last looked, and what it had left."""
        self._left = 0
        self._moved_at = 0.0
        """When the peer was last seen to take some of what waited for it, or when that began to wait."""
        self._line: OrderedDict[asyncio.Future[None], Callable[[], object]] = OrderedDict()
        """Who waits for a turn, in the order in which they came, and what each wants to do then."""
        self._is_served = False
        self._waiters: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        way = "to" if self.dial is not None else "from"
        return f"<Link {way} {self.node_id or self.peer_host or '?'} {'open' if self.is_open else 'not open'}>"

    def is_news(self, complaint: str) -> bool:
        """Whether the complaint is new here. After very many of them nothing is, for a peer may invent some."""
        is_news = complaint not in self.complaints and len(self.complaints) < COMPLAINTS_MAX
        if is_news:
            self.complaints.add(complaint)
        return is_news

    # -------------------------------------------------------------------------------------------- sending

    def send(self, data: bytes, *, at_once: bool = False) -> None:
        """Queues an encoded frame for the end of this turn of the loop. Never waits; does nothing once lost.

        What is sent while frames are handled leaves when all that came in one read are. `at_once` spares a
        frame that nothing will join the turn of the loop that it would wait.
        """
        if self.is_over:
            return
        if self._paused and self.backlog >= HOPELESS_AT and self._is_unread():
            return
        self._out.append(data)
        self._out_bytes += len(data)
        if at_once or self._out_bytes >= PAUSE_AT:
            self.flush()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush_now)

    def flush(self) -> None:
        """Hands what is queued to the kernel now."""
        if self._out and self._transport is not None:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self._out_bytes = 0
            self._handed += len(data)
            self._transport.write(data)

    def _flush_now(self) -> None:
        self._flush_due = False
        self.flush()

    @property
    def backlog(self) -> int:
        """Bytes that the kernel has not taken."""
        return self._out_bytes + self._unwritten()

    def _unwritten(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    @property
    def queued_bytes(self) -> int:
        """Bytes that this link was given to send so far."""
        return self._handed + self._out_bytes

    def has_left(self, queued_bytes: int) -> bool:
        """Whether the kernel has taken what had been queued when there were so many."""
        return self._handed - self._unwritten() >= queued_bytes

    @property
    def has_queued_enough(self) -> bool:
        """Whether a sender should let the loop turn before it sends more."""
        return self._out_bytes >= TURN_AT

    @property
    def is_congested(self) -> bool:
        """Whether so much is unsent that nothing more should be queued of what can be dropped."""
        return self._paused and self.backlog >= CONGESTED_AT

    @property
    def is_paused(self) -> bool:
        """Whether the peer reads too slowly."""
        return self._paused

    # ----------------------------------------------------------------------------------------- waiting to send

    async def in_turn(self, put: Callable[[], object]) -> None:
        """Calls `put`, which sends, once the peer has read enough and all who came before have had their turn.

        A sender that is cancelled before its turn has sent nothing, and one after it everything. Raises what
        `put` raises, and NodeUnreachableError if nothing was sent: the connection ended, or the peer has read
        nothing for STALL_SECONDS.
        """
        if self._is_stalled:
            raise self._stalled()
        turn: asyncio.Future[None] = self._loop.create_future()
        self._line[turn] = put
        try:
            await turn
        finally:
            self._line.pop(turn, None)

    def _serve_line(self) -> None:
        """Lets those who wait send, first come, first served, until the peer has enough again.

        In one turn of the loop they send little more than `TURN_AT`, so that others have their share.
        """
        self._is_served = False
        limit = self._handed + self._out_bytes + TURN_AT
        while self._line and not (self._paused or self.is_over) and self._handed + self._out_bytes < limit:
            turn, put = self._line.popitem(last=False)
            if turn.done():
                continue  # cancelled
            try:
                put()
            except Exception as error:
                _fail(turn, error)
            else:
                turn.set_result(None)
        self.flush()
        if not (self._paused or self.is_over):
            self._go_on()

    def _go_on(self) -> None:
        """The peer takes more."""
        self.is_busy = bool(self._line)
        if self.is_busy and not self._is_served:
            self._is_served = True
            self._loop.call_soon(self._serve_line)

    def _dismiss(self, error: NodeUnreachableError) -> None:
        """Those who wait wait in vain."""
        line = list(self._line)
        self._line.clear()
        for turn in line:
            if not turn.done():
                _fail(turn, error)

    @property
    def _is_stalled(self) -> bool:
        return self._paused and self._loop.time() - self._moved_at >= STALL_SECONDS

    def _stalled(self) -> NodeUnreachableError:
        return NodeUnreachableError(
            f"node {self.node_id} reads too slowly: it has read nothing for {STALL_SECONDS:g} s"
        )

    # ---------------------------------------------------------------------------------------------- ending

    def accept_frames_up_to(self, frame_bytes_max: int) -> None:
        """The peer's hello is accepted; larger frames may come."""
        self._decoder.frame_bytes_max = frame_bytes_max
        self._room = memoryview(bytearray(READ_BYTES))

    def close(self) -> None:
        """Ends the connection after what is queued has been sent, if the peer takes it soon."""
        if self.is_over or self._transport is None:
            return
        self.flush()
        self.is_over = True
        self.is_open = False
        unwritten = self._unwritten()
        self._transport.close()  # under TLS, what is unwritten may not be known any more then
        if unwritten:
            self._loop.call_later(LINGER_SECONDS, self.abort)

    def abort(self) -> None:
        """Ends the connection at once; its owner hears of that in the loop's next turn."""
        self.is_over = True
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def disown(self) -> None:
        """Ends the connection at once, and its owner hears of that now."""
        self.abort()
        self._end()

    async def closed(self) -> None:
        """Waits until the connection is gone."""
        while not self.lost:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

    @property
    def peer_host(self) -> str:
        """The address this connection comes from or goes to; empty where the system does not say."""
        if self._transport is None:
            return ""
        name = cast("tuple[str, int] | None", self._transport.get_extra_info("peername"))
        return name[0] if name else ""

    def is_other_end_of(self, other: Link) -> bool:
        """Whether both are ends of one connection: of this node with itself."""
        if self._transport is None or other._transport is None:
            return False
        here, there = self._transport.get_extra_info, other._transport.get_extra_info
        ends = here("sockname"), here("peername")
        return None not in ends and ends == (there("peername"), there("sockname"))

    @property
    def certificate(self) -> dict[str, Any] | None:
        """What the peer proved of itself under TLS."""
        if self._transport is None:
            return None
        return cast("dict[str, Any] | None", self._transport.get_extra_info("peercert"))

    # -------------------------------------------------------------------- asyncio.BufferedProtocol's methods

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=PAUSE_AT)
        if self.dial is not None and (made := transport.get_extra_info("socket")) is not None:
            descriptors.claim(made.fileno())  # the listener has claimed the others
        self.heard_at = self._loop.time()
        self._owner.link_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self._room[:nbytes])

    def data_received(self, data: Buffer) -> None:
        """Handles what the peer has sent, as far as it makes whole frames."""
        self.heard_at = self._loop.time()
        self.pinged_at = None
        if self.hello is None and not self._has_begun:
            self._has_begun = True
            if bytes(memoryview(data)[:2]) == TLS_RECORD:
                text = "it speaks TLS, and this node does not"
                self._owner.link_fault(self, ProtocolError("HELLO_EXPECTED", "HELLO-1", text))
                return
        self._decoder.receive_data(data)
        if self._held:
            self._held_bytes += memoryview(data).nbytes
            self._read_or_wait()
        else:
            self.handle_frames()

    def handle_frames(self) -> None:
        """Handles what has arrived, as far as it is complete and not held."""
        decoder, owner = self._decoder, self._owner
        was_due, self._flush_due = self._flush_due, True
        count = 0
        try:
            while not (self.is_over or self._held or (self._paused and self._is_read_later())):
                frame = decoder.next_frame()
                if frame is None:
                    break
                count += 1
                self.ends_batch = count % BATCH_MAX == 0 or not decoder.has_more
                owner.link_frame(self, frame)
        except ProtocolError as fault:
            owner.link_fault(self, fault)
        finally:
            self._flush_due = was_due
            self.flush()

    def hold(self) -> None:
        """What arrives waits until `release`."""
        self._held = True

    def release(self) -> None:
        """Handles what has waited, and goes on."""
        self._held = False
        self._held_bytes = 0
        self._read_or_wait()

    def _is_read_later(self) -> bool:
        """Whether the peer must wait: to be accepted, or until it has read its answers (spec MSG-10).

        On a connection that this node dialled it never waits for the latter, or two busy nodes might for each
        other, and for ever.
        """
        return self._held_bytes > HELLO_BYTES_MAX or (self._paused and self.dial is None)

    def _read_or_wait(self) -> None:
        if self._transport is None or self.is_over:
            return
        if self._is_read_later():
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
            self._loop.call_soon(self.handle_frames)

    def note_progress(self) -> None:
        """Counts it as a sign of life when the peer has taken some of what waited for it.

        A large frame on a slow network can hold up the answer to a ping for longer than anybody waits for it.
        """
        now = self._loop.time()
        left = self._unwritten()
        taken = self._handed - left
        if self._left and taken > self._taken:
            self.heard_at = self._moved_at = now
            self.pinged_at = None
        self._taken, self._left = taken, left
        if self._paused:
            self._give_up_if_unread(now)

    def _is_unread(self) -> bool:
        """Whether the connection has ended now, for so much is unread."""
        self.note_progress()
        return self.is_over

    def _give_up_if_unread(self, now: float) -> None:
        if self._is_stalled:
            self._dismiss(self._stalled())
        backlog = self.backlog
        if backlog >= FULL_AT or (backlog >= HOPELESS_AT and now - self._moved_at >= HOPELESS_SECONDS):
            self._owner.link_unread(self)
            self.abort()

    def eof_received(self) -> bool:
        cut = self._decoder.receive_eof()
        if cut is not None:
            self._owner.link_cut(self, cut)
        return False  # close our side, too (spec FRAME-8)

    def pause_writing(self) -> None:
        self._paused = self.is_busy = True
        self._moved_at = self._loop.time()
        self._read_or_wait()

    def resume_writing(self) -> None:
        self._paused = False
        self._read_or_wait()
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            logger.debug("%r lost: %r", self, exc)
        self.cause = exc
        self._end()

    def _end(self) -> None:
        if self.lost:
            return
        self.lost = True
        self.is_open = False
        self.is_over = True
        self._out.clear()
        self._out_bytes = 0
        self._dismiss(NodeUnreachableError(f"the connection with node {self.node_id} ended before this left"))
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._owner.link_lost(self)


def _fail(turn: asyncio.Future[None], error: Exception) -> None:
    turn.set_exception(error)
    turn.exception()  # seen: should the sender leave this very moment, asyncio has nothing to complain about
