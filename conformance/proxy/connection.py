"""One relayed connection: two sockets, a direction each way, and what the trace is told of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from conformance._protocol import PEER_LIST
from conformance.proxy.direction import Direction
from conformance.proxy.endpoint import Endpoint
from conformance.proxy.faults import Way
from conformance.trace.record import Closed, Marked, Opened, Raw, Sent
from conformance.wire.message import PayloadError, decode

if TYPE_CHECKING:
    from conformance.proxy.faults import Faults, Plan
    from conformance.proxy.outbox import End
    from conformance.trace.record import Record
    from conformance.wire.frame import Frame


class Recorder(Protocol):
    """What takes down what is seen; a `Trace` is one."""

    def now(self) -> float: ...
    def next_connection(self) -> int: ...
    def append(self, record: Record) -> None: ...


class Host(Protocol):
    """What a connection needs of its relay."""

    trace: Recorder
    listener: str
    dialler: str | None
    judge: Faults | None
    limit: int
    is_opaque: bool

    async def dial(self, endpoint: Endpoint) -> None: ...
    def forget(self, connection: Connection) -> None: ...


class Connection:
    """Accepted from a dialler, and dialled onwards to the listener.

    It is dialled onwards at once, unless a fault may concern it: then when the first bytes get through, so that
    a listener does not hear of a connection whose hello is lost.
    """

    def __init__(self, host: Host) -> None:
        self.judge = host.judge
        self.limit = host.limit
        self.is_opaque = host.is_opaque
        self.listener = host.listener
        self.dialler = host.dialler
        self.lane: str | None = None
        self.is_identified = False
        """Whether it is known who dialled, or that this cannot be known."""
        self.gone = asyncio.Event()
        """Set when both sockets are closed."""
        self.dialling: asyncio.Task[None] | None = None
        self.dialler_end = Endpoint(self)
        self.listener_end = Endpoint(self)
        self.out = Direction(self, self.dialler_end, self.listener_end, from_dialler=True)
        self.back = Direction(self, self.listener_end, self.dialler_end, from_dialler=False)
        self._host = host
        self._trace = host.trace
        self._number = host.trace.next_connection()
        self._is_recorded = False

    def way(self, *, from_dialler: bool) -> Way:
        """Who sends to whom in a direction."""
        source, target = (self.dialler, self.listener) if from_dialler else (self.listener, self.dialler)
        return Way(source, target, self.lane)

    def is_between(self, a: str, b: str) -> bool:
        return {self.dialler, self.listener} == {a, b}

    def direction_from(self, node: str) -> Direction:
        """Where this node sends."""
        return self.out if node == self.dialler else self.back

    def identify(self, first: Frame | None) -> None:
        """Learns from the first frame who dialled; None: there will be none."""
        self.is_identified = True
        name, lane = _introduction(first)
        self.dialler, self.lane = self.dialler or name, lane
        self._record()
        self._refuse_if_asked(early=False)

    def reset(self) -> None:
        """Cuts both sides at once with a RST, in nobody's name."""
        self._record()
        self._trace.append(Closed(self._trace.now(), self._number, None, "reset"))
        self.dialler_end.reset()
        self.listener_end.reset()

    def cut(self, node: str) -> Endpoint:
        """Resets this node's side only. What waits for the other is the last that it hears."""
        end = self.direction_from(node).source
        end.reset()
        return end

    def settle(self) -> None:
        """Closes what has no more to do. Called whenever something has ended."""
        if self.dialler_end.is_lost and self.listener_end.is_lost:
            self.gone.set()
            self._host.forget(self)
        elif self.out.outbox.is_ended and self.back.outbox.is_ended:
            self.dialler_end.close()
            self.listener_end.close()
        else:
            self._close_what_is_left(self.out)
            self._close_what_is_left(self.back)

    def _close_what_is_left(self, direction: Direction) -> None:
        """After a cut: when the side that was left has ended, too, and nothing waits for it."""
        if direction.source.is_lost and direction.sink.has_ended and direction.outbox.is_empty:
            direction.sink.close()

    # What the directions tell.

    def note_frame(self, direction: Direction, frame: Frame, plan: Plan) -> None:
        self._record()
        source, target, _ = direction.way
        self._trace.append(Sent(self._trace.now(), self._number, source, target, frame, plan.fate, plan.detail))

    def note_raw(self, direction: Direction, data: bytes, problem: str, plan: Plan) -> None:
        self._record()
        source, target, _ = direction.way
        done = "" if plan.fate == "passed" else f" [{plan.fate}{': ' if plan.detail else ''}{plan.detail}]"
        self._trace.append(Raw(self._trace.now(), self._number, source, target, data, problem + done))

    def note_end(self, direction: Direction, how: End) -> None:
        self._record()
        self._trace.append(Closed(self._trace.now(), self._number, direction.way.source, how))

    def _record(self) -> None:
        if not self._is_recorded:
            self._is_recorded = True
            self._trace.append(Opened(self._trace.now(), self._number, self.dialler, self.listener, self.lane))

    # What the endpoints tell.

    def endpoint_open(self, endpoint: Endpoint) -> None:
        if endpoint is self.listener_end:
            self.out.outbox.pump()
            self.out.balance()
        elif not self._refuse_if_asked(early=True):
            if self.is_opaque:
                self.identify(None)
            if self.judge is None or not self.judge.may_touch(self.listener):
                self._begin_dial()

    def endpoint_wanted(self, endpoint: Endpoint) -> None:
        if self.dialling is not None:
            return
        if self.out.outbox.has_only_the_end:
            # Nothing got through, so that there is nobody to tell.
            self.listener_end.reset()
            self.dialler_end.close()
        else:
            self._begin_dial()

    def endpoint_data(self, endpoint: Endpoint, data: bytes) -> None:
        self._fed_by(endpoint).receive(data)

    def endpoint_end(self, endpoint: Endpoint, how: End) -> None:
        self._fed_by(endpoint).end(how)
        self.settle()

    def endpoint_flow(self, endpoint: Endpoint) -> None:
        direction = self._feeding(endpoint)
        direction.outbox.pump()
        direction.balance()

    def endpoint_lost(self, endpoint: Endpoint) -> None:
        name = self.listener if endpoint is self.listener_end else self.dialler
        self._feeding(endpoint).abandon(f"{name or 'the dialler'} is gone")
        self.settle()

    def _fed_by(self, endpoint: Endpoint) -> Direction:
        return self.out if endpoint is self.dialler_end else self.back

    def _feeding(self, endpoint: Endpoint) -> Direction:
        return self.back if endpoint is self.dialler_end else self.out

    def _refuse_if_asked(self, *, early: bool) -> bool:
        if self.judge is None:
            return False
        known = self._host.dialler is not None
        fault = self.judge.refusal(self.way(from_dialler=True), early=early, is_dialler_known=known)
        if fault is None:
            return False
        self.out.swallows = "refused"
        # Soon, not now: the trace has to hold the hello before the end.
        asyncio.get_running_loop().call_soon(self.reset)
        return True

    def _begin_dial(self) -> None:
        self.dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        try:
            await self._host.dial(self.listener_end)
        except OSError as error:
            self._trace.append(Marked(self._trace.now(), self.listener, "refused", str(error)))
            if self._is_recorded:
                self._trace.append(Closed(self._trace.now(), self._number, self.listener, "reset"))
            self.listener_end.reset()
            self.dialler_end.reset()


def _introduction(first: Frame | None) -> tuple[str | None, str | None]:
    """The node id and the lane of a hello; None for what it does not tell, or where it is no hello."""
    if first is None or first.type != PEER_LIST:
        return None, None
    try:
        hello = decode(first)
    except PayloadError:
        # A hello with a mistake has a sender all the same; scripted peers send such, and say who they are.
        return _node_id(first.name), None
    return (_node_id(first.name), hello.get("lane")) if hello.kind == "PEER_LIST.hello" else (None, None)


def _node_id(name: bytes) -> str | None:
    try:
        return name.decode() or None
    except UnicodeDecodeError:
        return None
