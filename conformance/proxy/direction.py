"""One direction of a relayed connection: bytes become frames, are entered in the trace, and go on or do not.

A frame that no fault can hit is not waited for: its bytes go on as they come, in the pieces in which they come.
Any other is kept until it is whole, and then planned. Both happen on one connection as faults come and go;
`_settled` is the place in the stream up to which it is decided what becomes of the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance._protocol import HELLO_BYTES_MAX, PEER_LIST
from conformance.proxy.faults import Plan
from conformance.proxy.outbox import Outbox
from conformance.wire.frame import FrameError, FrameReader

if TYPE_CHECKING:
    from conformance.proxy.connection import Connection
    from conformance.proxy.endpoint import Endpoint
    from conformance.proxy.faults import Way
    from conformance.proxy.outbox import End
    from conformance.wire.frame import Frame

WAITING_BYTES_MAX: Final = 4 << 20
"""Bytes that wait for one receiver, from which on its sender is not read any more. With one unfinished frame of
the largest size this is what a direction holds in memory; the last read and duplicates come on top."""

_DONE: Final = Plan(b"")
"""Nothing is left to do."""

OPAQUE: Final = "not read as frames"


class Direction:
    """From `source` to `sink`, of a connection that knows who they are."""

    def __init__(self, connection: Connection, source: Endpoint, sink: Endpoint, *, from_dialler: bool) -> None:
        self.source = source
        self.sink = sink
        self.from_dialler = from_dialler
        self.outbox = Outbox(sink, self._progress)
        self.swallows = ""
        """Why nothing of this direction is delivered any more; empty while it is."""
        self._connection = connection
        self._reader = FrameReader(connection.limit)
        self._fed = 0
        """Bytes of the stream that have arrived."""
        self._settled = 0
        self._kind: int | None = None
        """Type of the unfinished frame at the end of what has arrived."""
        self._problem = OPAQUE if connection.is_opaque else ""
        """Why the stream is not read as frames; empty while it is."""

    @property
    def way(self) -> Way:
        """Who sends to whom here, as far as is known."""
        return self._connection.way(from_dialler=self.from_dialler)

    def receive(self, data: bytes) -> None:
        """Takes what the source has sent next."""
        self._fed += len(data)
        if self._problem:
            self._take_raw(data)
        elif self._is_free() and self._settled == self._fed - len(data):
            self.outbox.put(data)
            self._settled = self._fed
            self._sort(data)
        else:
            self._sort(data)
        self.outbox.pump()
        self.balance()

    def end(self, how: End) -> None:
        """The source has ended this direction, or both by a reset."""
        rest = b"" if self._problem else self._reader.rest
        if rest:
            self._problem = f"the stream ends within a frame, after {len(rest):,} bytes of it"
            self._take_raw(rest)
        self._connection.note_end(self, how)
        judge = self._connection.judge
        self.outbox.put_end(how, judge.keeper_of_the_end(self.way) if judge is not None else None)
        self.outbox.pump()

    def finish(self, why: str) -> None:
        """Ends this direction in the source's stead: the sink sees a FIN, and nothing that comes later."""
        self.outbox.put_end("fin")
        self.outbox.pump()
        self.swallows = self.swallows or why

    def abandon(self, why: str) -> None:
        """The sink is gone: what waits for it and what will come is swallowed."""
        self.swallows = self.swallows or why
        self.outbox.discard()
        self.balance()

    def balance(self) -> None:
        """Reads from the source while the sink takes what it sends and not too much waits."""
        is_full = self.outbox.waiting >= WAITING_BYTES_MAX
        self.source.read_while(bool(self.swallows) or not (is_full or self.sink.is_congested))

    def _progress(self) -> None:
        self.balance()
        self._connection.settle()

    def _is_free(self) -> bool:
        """Whether no fault can hit whatever arrives now."""
        judge = self._connection.judge
        if self.swallows:
            return False
        if judge is None:
            return True
        if self._awaits_hello():
            return not judge.may_touch(self._connection.listener)
        return not judge.concern(self.way)

    def _awaits_hello(self) -> bool:
        return self.from_dialler and not self._connection.is_identified

    def _sort(self, data: bytes) -> None:
        """Cuts what has arrived into frames; `data` is the end of it."""
        self._reader.feed(data)
        start = self._reader.offset
        try:
            while (frame := self._reader.next_frame()) is not None:
                self._take_frame(frame, start)
                start = self._reader.offset
        except FrameError as error:
            self._problem = str(error)
            self._take_raw(self._reader.rest)
            self._reader = FrameReader()
        else:
            self._take_part(data)

    def _take_frame(self, frame: Frame, start: int) -> None:
        if self._awaits_hello():
            self._connection.identify(frame)
        end = self._reader.offset
        if self._settled > start:
            # Some of it has gone on already, so that the rest must.
            plan = Plan(frame.encode()[self._settled - start :]) if self._settled < end else _DONE
        else:
            plan = self._plan(frame.type, frame.encode())
        self._connection.note_frame(self, frame, plan)
        self._settled = max(self._settled, end)
        self.outbox.put_planned(plan)

    def _take_part(self, data: bytes) -> None:
        """Lets the beginning of an unfinished frame go on, if it may."""
        unfinished = self._fed - self._reader.offset
        if 0 < unfinished <= len(data):
            self._kind = data[-unfinished]
        unsettled = self._fed - self._settled
        if unsettled and not self._is_kept(unfinished):
            self.outbox.put(data[-unsettled:] if unsettled <= len(data) else self._reader.rest[-unsettled:])
            self._settled = self._fed

    def _is_kept(self, unfinished: int) -> bool:
        """Whether the unfinished frame, of which so many bytes are here, waits until it is whole."""
        judge = self._connection.judge
        if self._settled > self._reader.offset:
            return False
        if self._awaits_hello():
            if self._kind == PEER_LIST and unfinished <= HELLO_BYTES_MAX:
                return judge is not None and judge.may_touch(self._connection.listener)
            self._connection.identify(None)
        return bool(self.swallows) or (judge is not None and judge.concern_kind(self.way, self._kind))

    def _take_raw(self, data: bytes) -> None:
        """Deals with bytes that are no frames; the end of them may have to go on still."""
        if self._awaits_hello():
            self._connection.identify(None)
        unsettled = self._fed - self._settled
        self._settled = self._fed
        plan = self._plan(None, data[-unsettled:] if unsettled else b"") if unsettled else Plan(b"")
        self._connection.note_raw(self, data, self._problem, plan)
        self.outbox.put_planned(plan)
        if plan.is_lost:
            self.swallows = self.swallows or "after a gap in a stream that is not read as frames"

    def _plan(self, kind: int | None, data: bytes) -> Plan:
        judge = self._connection.judge
        if self.swallows:
            return Plan(data, "dropped", self.swallows, is_lost=True)
        return Plan(data) if judge is None else judge.plan(self.way, kind, data)
