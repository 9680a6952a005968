"""One connection between the suite and the node under test, either side having dialled it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from conformance.trace.record import Closed, Opened, Raw, Sent
from conformance.verdict import Unmet
from conformance.wire.describe import summary
from conformance.wire.frame import FrameError, FrameReader
from conformance.wire.message import Message, PayloadError, decode, encode, message

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.trace.store import Trace
    from conformance.wire.frame import Frame

_ENDS: Final = {
    "fin": "was closed by the node",
    "reset": "was closed by the node, with a reset",
    "alert": "was refused by the node, with a TLS alert",
}
HARMLESS: Final = frozenset({"PING", "PEER_LIST.peers", "PEER_LIST.hello", "HEARTBEAT"})
"""What may come at any time and is no answer to anything."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that has arrived, and the frame and the line it came in."""

    line: Line
    frame: Frame
    message: Message

    def __getitem__(self, field: str) -> Any:
        return self.message[field]

    def get(self, field: str, default: Any = None) -> Any:
        """The field, or the default where the message does not have it."""
        return self.message.get(field, default)

    def unmet(self, expected: str, got: str, path: str = "") -> Unmet:
        """A failure that shows in this frame, at the field of that path."""
        start, end = field_range(self.frame, path) if path else (0, 0)
        return Unmet(expected, got, frame=self.frame, start=start, end=end)

    def expect(self, **fields: Any) -> Heard:
        """Itself, if it has these fields. Raises `Unmet` at the first that differs."""
        for name, wanted in fields.items():
            got = self.message.get(name)
            if got != wanted or isinstance(got, bool) != isinstance(wanted, bool):
                shown = f"{self.message.kind} with {name}={got!r} ({summary(self.message)})"
                raise self.unmet(f"{self.message.kind} with {name}={wanted!r}", shown, name)
        return self


class Inbox:
    """Messages in the order of their arrival, and who waits for the next."""

    def __init__(self, name: str, patience: float) -> None:
        self.name = name
        self.all: list[Heard] = []
        """Everything that ever came, for a play that looks back."""
        self._waiting: deque[Heard] = deque()
        self._passed: list[Heard] = []
        """What came and was not what was waited for."""
        self._news = asyncio.Event()
        self._ended = ""
        self._patience = patience
        self.unfinished: Callable[[], bytes] = bytes
        """What has come of a message that is not whole yet."""

    def put(self, heard: Heard) -> None:
        self.all.append(heard)
        self._waiting.append(heard)
        self._news.set()

    def end(self, how: str) -> None:
        """Nothing more will come."""
        self._ended = how
        self._news.set()

    def reopen(self) -> None:
        """Something may come again, on another connection."""
        self._ended = ""

    def skip(self) -> None:
        """Passes over everything that has come so far."""
        self._waiting.clear()
        self._passed.clear()

    async def hear(
        self,
        *kinds: str,
        where: Callable[[Heard], bool] | None = None,
        seconds: float | None = None,
        **fields: Any,
    ) -> Heard:
        """The next message of one of these kinds (any, without) with these fields; those before it are
        passed over.

        Raises `Unmet` when none comes within the bound or the connection ends, telling what came instead.
        """
        wanted = " or ".join(kinds) or "a message"
        if fields:
            wanted += " with " + ", ".join(f"{name}={value!r}" for name, value in fields.items())
        last: Heard | None = None
        bound = self._patience if seconds is None else seconds
        try:
            async with asyncio.timeout(bound):
                while True:
                    heard = await self._next(wanted, last)
                    if _fits(heard, kinds, fields) and (where is None or where(heard)):
                        return heard
                    self._passed.append(heard)
                    if heard.message.kind not in HARMLESS:
                        last = heard
        except TimeoutError:
            raise self._unmet(wanted, f"nothing more on {self.name} for {bound:.1f} s", last) from None

    def nothing(self, *kinds: str, **fields: Any) -> None:
        """Raises `Unmet` if such a message has come since the last `skip` and no `hear` returned it.

        Use it after a fence.
        """
        for heard in (*self._passed, *self._waiting):
            if _fits(heard, kinds, fields):
                raise heard.unmet(f"no {' or '.join(kinds)}", summary(heard.message))

    async def _next(self, wanted: str, last: Heard | None) -> Heard:
        while not self._waiting:
            if self._ended:
                raise self._unmet(wanted, f"{self.name} {self._ended}", last)
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    def _unmet(self, wanted: str, got: str, last: Heard | None) -> Unmet:
        if rest := self.unfinished():
            got += f", after {len(rest):,} bytes that make no whole frame: {rest[:12].hex(' ')} ({rest[:12]!r})"
        if last is None:
            return Unmet(wanted, got)
        return Unmet(wanted, f"{summary(last.message)}, then {got}", frame=last.frame)


class Line:
    """A connection that speaks frames, or whatever bytes a case wants to send."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        peer: str,
        node: str | None,
        trace: Trace,
        patience: float,
    ) -> None:
        self.peer = peer
        """Whom the suite plays on this connection."""
        self.node = node
        """Who is at the other end: known when the suite dialled, else once it said hello."""
        self.hello: Heard | None = None
        way = f"{peer}→{node}" if node is not None else f"the connection dialled to {peer}"
        self.inbox = Inbox(f"the connection {way}" if node is not None else way, patience)
        self.answers_pings = True
        self.on_heard: Callable[[Heard], bool] = lambda _: False
        """Called with each message; True keeps it out of the inbox."""
        self.closed = asyncio.Event()
        self.closed_how = ""
        self._reader = reader
        self._writer = writer
        self._trace = trace
        self.patience = patience
        self.number = trace.next_connection()
        self._frames = FrameReader()
        self.inbox.unfinished = lambda: self._frames.rest
        self._reads = asyncio.create_task(self._read())

    @property
    def lane(self) -> str | None:
        """As the node's hello says."""
        return None if self.hello is None else self.hello.get("lane")

    @property
    def certificate(self) -> bytes | None:
        """What the node has shown under TLS."""
        tls: ssl.SSLObject | None = self._writer.get_extra_info("ssl_object")
        return None if tls is None else tls.getpeercert(binary_form=True)

    def opened(self, dialler: str | None, listener: str, lane: str | None) -> None:
        """Enters the connection into the trace, once both names are known."""
        self._trace.append(Opened(self._trace.now(), self.number, dialler, listener, lane))

    def send(self, *what: Message | Frame, detail: str = "") -> None:
        """Sends messages or frames, joined. `detail="malformed"` marks those that break the schema on
        purpose."""
        frames = [encode(one) if isinstance(one, Message) else one for one in what]
        for frame in frames:
            self._trace.append(Sent(self._trace.now(), self.number, self.peer, self.node, frame, detail=detail))
        self._write(b"".join(frame.encode() for frame in frames))

    def send_bytes(self, data: bytes, problem: str = "on purpose") -> None:
        """Sends bytes that are no frames, or a part of one."""
        self._trace.append(Raw(self._trace.now(), self.number, self.peer, self.node, data, problem))
        self._write(data)

    async def drain(self) -> None:
        """Waits until the system has taken what was sent."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    def pause(self) -> None:
        """Reads no more, so that the node's writes pile up."""
        cast("asyncio.Transport", self._writer.transport).pause_reading()

    def resume(self) -> None:
        """Reads again."""
        cast("asyncio.Transport", self._writer.transport).resume_reading()

    async def hear(self, *kinds: str, seconds: float | None = None, **fields: Any) -> Heard:
        """As `Inbox.hear`, on this connection."""
        return await self.inbox.hear(*kinds, seconds=seconds, **fields)

    async def ping(self, id: int = 77) -> None:
        """Returns when the node has answered, and so has read everything sent before (PEER-8)."""
        self.send(message("PING", self.peer, id=id, pong=False))
        await self.inbox.hear("PING", id=id, pong=True)

    async def gone(self, expected: str = "the connection to be closed", seconds: float | None = None) -> str:
        """How the node closed it: "fin", "reset" or, under TLS, "alert". Raises `Unmet` if it stays open."""
        bound = self.patience if seconds is None else seconds
        try:
            async with asyncio.timeout(bound):
                await self.closed.wait()
        except TimeoutError:
            raise Unmet(expected, f"{self.inbox.name} still open after {bound:.1f} s") from None
        return self.closed_how

    def put_off_acknowledgements(self) -> None:
        """Lets TCP acknowledge what comes as late as it may, until something is sent: some 40 ms, on Linux."""
        self._writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)

    def finish(self) -> None:
        """Says that nothing more will be sent (FIN), and goes on reading."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write_eof()

    def reset(self) -> None:
        """Cuts the connection with a RST."""
        sock = self._writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def close(self) -> None:
        """Ends it from this side."""
        self._reads.cancel()
        await asyncio.gather(self._reads, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def _write(self, data: bytes) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(data)

    async def _read(self) -> None:
        frames = self._frames
        how = "fin"
        try:
            while data := await self._reader.read(262144):
                frames.feed(data)
                while (frame := frames.next_frame()) is not None:
                    self._take(frame)
        except ConnectionError:
            how = "reset"
        except ssl.SSLError:
            how = "alert"
        except FrameError as error:
            how = f"sent what is no frame: {error}"
            self._trace.append(
                Raw(self._trace.now(), self.number, self.node, self.peer, frames.rest[:65536], str(error))
            )
        self.closed_how = how
        self._trace.append(Closed(self._trace.now(), self.number, self.node, how))
        self.inbox.end(_ENDS.get(how, f"ended: {how}"))
        self.closed.set()

    def _take(self, frame: Frame) -> None:
        try:
            said = decode(frame)
        except PayloadError as error:
            said = Message("MALFORMED", frame.name.decode(errors="replace"), {"error": error})
        heard = Heard(self, frame, said)
        if said.kind == "PEER_LIST.hello" and self.hello is None:
            self.hello = heard
            if self.node is None:
                self.node = said.name
                self.opened(said.name, self.peer, said.get("lane"))
        self._trace.append(Sent(self._trace.now(), self.number, self.node, self.peer, frame))
        if said.kind == "PING" and not said["pong"] and self.answers_pings:
            self.send(message("PING", self.peer, id=said["id"], pong=True))
            return
        if not self.on_heard(heard):
            self.inbox.put(heard)


def field_range(frame: Frame, path: str) -> tuple[int, int]:
    """Where in the frame the field of that path is; (0, 0) where it is not."""
    from conformance.wire.describe import tree

    for line in tree(frame):
        if line.path == path:
            return line.start, line.end
    return 0, 0


def _fits(heard: Heard, kinds: tuple[str, ...], fields: dict[str, Any]) -> bool:
    said = heard.message
    if said.kind == "MALFORMED":
        error: PayloadError = said["error"]
        raise Unmet(
            f"a frame that keeps {error.rule}", str(error), frame=heard.frame, start=error.start, end=error.end
        )
    return (not kinds or said.kind in kinds) and all(
        said.get(name) == value and isinstance(said.get(name), bool) == isinstance(value, bool)
        for name, value in fields.items()
    )
