"""Everything a clustered node is made of, declared once, so that each slice sees it with its type.

The six slices (`PeerMixin`, `MessagingMixin`, …) subclass `ClusterNode`. A slice has no `__init__`, assigns no
attribute and calls no other slice; what it wants of another part it posts to the core, or leaves to
`casty.cluster.exchange`, which connects them. `casty.cluster.system` makes all of this.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from casty.cluster.link import LINGER_SECONDS, Link
from casty.errors import StorageError, SystemStoppedError
from casty.raft.types import ServerId
from casty.system import ActorSystem
from casty.wire.words import text_of

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from casty.cluster.address import Address
    from casty.cluster.alarm import Alarm
    from casty.cluster.book import PeerBook
    from casty.cluster.calls import Calls
    from casty.cluster.certificates import Certificates
    from casty.cluster.dialling import Dialler
    from casty.cluster.handshake import Identity
    from casty.cluster.listener import Listener
    from casty.cluster.lookup import Search
    from casty.cluster.machine import Machine
    from casty.cluster.readiness import ReadyWaiter
    from casty.cluster.refusals import Refusals
    from casty.cluster.remote import RemoteAsk
    from casty.cluster.repeats import Repeats, Subject
    from casty.cluster.revisions import Revisions
    from casty.cluster.switchboard import Switchboard
    from casty.cluster.tls import TLS
    from casty.cluster.turn import Turn
    from casty.cluster.writer import Writer
    from casty.raft.events import Event
    from casty.raft.node import Raft
    from casty.raft.options import Options
    from casty.raft.types import NodeId
    from casty.storage.api import Store
    from casty.wire.frames import Frame
    from casty.wire.messages import MessageCodec
    from casty.wire.payload import ValueCodec
    from casty.wire.types import TypeRegistry


@dataclass(slots=True)
class Links:
    """The connections of a node: those it dialled, by node and lane, and those it accepted."""

    dialled: dict[tuple[NodeId, str], Link] = field(default_factory=dict["tuple[NodeId, str]", Link])
    accepted: dict[tuple[NodeId, str], Link] = field(default_factory=dict["tuple[NodeId, str]", Link])
    strangers: set[Link] = field(default_factory=set[Link])
    """Those that have not been accepted yet."""
    contested: set[Link] = field(default_factory=set[Link])
    """Of these, the ones whose node id another connection has (spec HELLO-7)."""

    def all(self) -> list[Link]:
        return [*self.strangers, *self.dialled.values(), *self.accepted.values()]

    def of(self, node_id: NodeId) -> list[Link]:
        """The open connections with that node, whoever dialled."""
        both = [*self.dialled.items(), *self.accepted.items()]
        return [link for (who, _), link in both if who == node_id]

    async def close(self) -> None:
        """Closes them all, and waits until they have sent what was queued; not for ever."""
        links = self.all()
        for link in links:
            link.close()
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                await asyncio.gather(*(link.closed() for link in links))
        except TimeoutError:
            for link in links:
                link.disown()

    def to(self, node_id: NodeId, lane: str) -> Link | None:
        """The connection this node sends its own frames to that node on (spec PEER-6)."""
        return self.dialled.get((node_id, lane))


class Failure:
    """What ended Raft on this node, if anything did: the first reason counts, and somebody may wait for it."""

    def __init__(self) -> None:
        self.error: StorageError | None = None
        self._listeners: list[Callable[[StorageError], None]] = []

    def listen(self, listener: Callable[[StorageError], None]) -> None:
        self._listeners.append(listener)

    def happen(self, error: StorageError) -> None:
        if self.error is None:
            self.error = error
            for listener in self._listeners:
                listener(error)

    def crash(self, what: str, error: BaseException) -> None:
        """Something raised: the disk, or what never should. Better no server than a wrong one."""
        if isinstance(error, StorageError):
            self.happen(error)
            return
        failure = StorageError(f"{what} has failed on this node: {text_of(error, repr)}")
        failure.__cause__ = error
        self.happen(failure)


class ClusterNode(ActorSystem):
    """The state that the slices share. All of it lives on one event loop."""

    known_as: NodeId | None
    identity: Identity
    """From the start on, like all without a word of its own here."""
    options: Options
    listen: Address
    advertise: Address
    tls: TLS | None
    certificates: Certificates | None
    """What `tls` names, as the files are now; None without TLS."""
    repeats: Repeats
    loop: asyncio.AbstractEventLoop

    book: PeerBook
    dialler: Dialler
    listener: Listener | None
    links: Links
    switchboard: Switchboard
    refusals: Refusals
    revisions: Revisions
    values: ValueCodec
    commands: ValueCodec
    """For what is appended to the log: types that any member admits."""
    wire: MessageCodec
    types: TypeRegistry
    asks: Calls[RemoteAsk]
    searches: Calls[Search]
    open_searches: set[Search]
    reach_waiters: list[asyncio.Future[None]]
    """Who waits for a connection that is being made; all look again when one was, or was not."""
    reaching: dict[NodeId, int]
    """How many wait for which node's first connection."""
    tasks: set[asyncio.Task[Any]]
    """The tasks this node owns besides its actors'; all end with it."""
    frame_bytes_max: int
    dial_alarm: Alarm
    ask_alarm: Alarm
    sweep_alarm: Alarm

    directory: Path | None
    store: Store | None
    writer: Writer | None
    """None for a store that needs no waiting."""
    raft: Raft | None
    """None where this node takes no part in Raft, before it has started, and after it has failed."""
    machine: Machine
    turn: Turn | None
    """None where there is no `raft`."""
    proposals: set[asyncio.Future[bool]]
    ready_waiters: set[ReadyWaiter]
    pings: Calls[ReadyWaiter]
    failure: Failure
    is_started: bool
    start_over: asyncio.Event
    """Set when the start has succeeded or failed."""
    is_ending: bool
    """Connections are closing; no new ones are made."""

    def require_not_over(self, call: str) -> None:
        """Raises what ended Raft here, SystemStoppedError after the end, RuntimeError outside the loop."""
        if self.failure.error is not None:
            raise self.failure.error
        if self.is_ending or (self._registry.is_closed and not self.is_started):
            raise SystemStoppedError(f"{call} was called on a node that has shut down; nothing was done")
        self._registry.check_loop()

    async def require_running(self, call: str) -> None:
        """As `require_not_over`; also raises RuntimeError before the start."""
        try:
            self.require_not_over(call)
            if not self.is_started:
                msg = f"{call} needs a started node: one in its `async with` block, or whose serve() has begun"
                raise RuntimeError(msg)
        except Exception:
            await asyncio.sleep(0)  # a loop of retries must let others run
            raise

    def post(self, event: Event) -> None:
        """Hands an event to the core, which takes all that came in one turn of the loop together."""
        if self.turn is not None:
            self.turn.post(event)

    def note(
        self,
        log: logging.Logger,
        level: int,
        about: Subject,
        text: str,
        *,
        state: str | None = None,
        burst: int = 1,
    ) -> None:
        """Writes a line that may come again and again: see `Repeats`. What is left out has level DEBUG.

        `state` stands for the text where a peer chooses that, or where it is never the same.
        """
        added = self.repeats.tell(about, text if state is None else state, self.loop.time(), burst=burst)
        log.log(logging.DEBUG if added is None else level, "%s%s", text, added or "", stacklevel=2)

    def _formed(self) -> frozenset[ServerId]:
        """The members that are connected and said that their cluster has formed."""
        links = self.links.all()
        return frozenset(
            link.server
            for link in links
            if link.server is not None
            and link.hello is not None
            and link.hello.member
            and link.hello.cluster_id
        )

    def link_frame(self, link: Link, frame: Frame) -> None:
        """Hands a frame to the slice that handles it."""
        raise NotImplementedError

    def own(self, work: Coroutine[Any, Any, object]) -> None:
        """Runs work in a task that ends with this node."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._disowned)

    def _disowned(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task of this node failed", exc_info=error)

    @property
    def node_id(self) -> NodeId | None:
        """What this node is called; None before it has started, unless it was given a name."""
        return self.known_as

    @property
    def me(self) -> ServerId:
        """This node together with its store."""
        return ServerId(self.identity.node_id, self.identity.store_id)

    @property
    def revision(self) -> int | None:
        """How far this node's data directory has come, durably; None where there is none (spec HELLO-10)."""
        if self.store is None or self.directory is None or not self.identity.member:
            return None
        return self.store.revision
