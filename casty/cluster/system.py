"""A node of a cluster: makes all its parts, and is the one place that knows the order of things."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import random
import socket
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from casty.actor import ActorRef
from casty.cluster.address import Address, parse_address
from casty.cluster.alarm import Alarm
from casty.cluster.book import PeerBook
from casty.cluster.calls import Calls
from casty.cluster.election import ElectionMixin
from casty.cluster.handshake import Identity
from casty.cluster.link import Link
from casty.cluster.machine import Machine
from casty.cluster.messaging import MessagingMixin
from casty.cluster.node import Failure, Links, Turn
from casty.cluster.peer import PeerMixin
from casty.cluster.persistence import PersistenceMixin
from casty.cluster.replication import LogReplicationMixin
from casty.cluster.snapshot import SnapshotMixin
from casty.cluster.writer import Writer
from casty.errors import ProtocolError, StorageError, SystemStoppedError
from casty.message_types import message_types
from casty.raft.events import Committed, Restored, Ticked
from casty.raft.node import Raft
from casty.raft.options import Options
from casty.raft.types import Millis, NodeId
from casty.storage.files import FileStore
from casty.storage.memory import MemoryStore
from casty.wire import _protocol as p
from casty.wire.messages import MessageCodec
from casty.wire.payload import ValueCodec
from casty.wire.types import TypeRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from casty.cluster.tls import TLS
    from casty.raft.events import Ready
    from casty.storage.api import Store
    from casty.wire.frames import Frame

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
"""How long connections have to send what is queued when the node shuts down."""


class DistributedActorSystem(
    PeerMixin, MessagingMixin, ElectionMixin, PersistenceMixin, LogReplicationMixin, SnapshotMixin
):
    """An actor system that is one node of a cluster.

    `host` and `port` are where it listens (port 0: one of the system's choice), `seeds` the addresses of other
    nodes, `expected_cluster_size` how many members the cluster is to have; all must be told the same number.

    `node_id` names this node for good; left out, it is the name its `persistence_dir` remembers, or else the
    address it listens on. Without `persistence_dir` it remembers nothing across restarts: such a cluster does
    not outlive the loss of a majority. `advertise` is the address others are told, where it is not the one
    listened on; `member=False` makes a node that hosts actors, looks up and asks, and has no part in Raft.

    `tls` demands certificates of both sides. `trusted_modules` says which packages' dataclasses messages may
    hold: None, those of the types this node registered, spawned with or sent; a tuple, exactly these. Times are
    seconds. `snapshot_every` compacts the log by itself after so many entries, if there are snapshot callbacks.
    Other keywords are those of `ActorSystem`.

    Raises ValueError for what cannot be: an address, a node id, times that do not fit each other.
    """

    def __init__(
        self,
        host: str,
        port: int,
        seeds: Iterable[str] = (),
        expected_cluster_size: int = 3,
        *,
        node_id: str | None = None,
        persistence_dir: str | os.PathLike[str] | None = None,
        advertise: str | None = None,
        cluster: str = "casty",
        member: bool = True,
        tls: TLS | None = None,
        trusted_modules: Iterable[str] | None = None,
        max_frame_size: int = p.FRAME_BYTES_MAX,
        heartbeat_interval: float = 0.3,
        election_timeout: float = 1.0,
        snapshot_every: int | None = None,
        **local_options: Any,
    ) -> None:
        super().__init__(**local_options)
        if not 0 <= port < 65536:
            msg = f"port must be 0 to 65535, not {port}"
            raise ValueError(msg)
        if node_id is not None:
            check_node_id(node_id)
        self.listen = Address(host, port)
        self.options = Options(
            expected_size=expected_cluster_size,
            election_ms=round(election_timeout * 1000),
            heartbeat_ms=round(heartbeat_interval * 1000),
        )
        self.directory = Path(persistence_dir) if persistence_dir is not None else None
        self.tls = tls
        self.frame_bytes_max = max_frame_size
        self._advertised = parse_address(advertise) if advertise is not None else None
        self._seeds = [parse_address(seed) for seed in seeds]
        self._given_node_id = NodeId(node_id) if node_id is not None else None
        self._cluster = cluster
        self._member = member
        self.types = TypeRegistry(trusted_modules)
        self.values = ValueCodec(self.types, ref_parts=_ref_parts, make_ref=self._make_ref)
        self.wire = MessageCodec(self.values, max_frame_size)
        self.links = Links()
        self.asks = Calls()
        self.searches = Calls()
        self.open_searches = set()
        self.tasks = set()
        self.store = None
        self.writer = None
        self.raft = None
        self.inbox = deque()
        self.proposals = set()
        self.ready_waiters = set()
        self.failure = Failure()
        self.turn = Turn(self._turn)
        self.raft_alarm = Alarm(self._ring)
        self.dial_alarm = Alarm(self._dial_due)
        self.sweep_alarm = Alarm(self._sweep)
        self.machine = Machine(
            self.values.decode, self._save_snapshot, self.failure.happen, snapshot_every=snapshot_every
        )
        self._server: asyncio.Server | None = None
        self._started = False
        self._body: asyncio.Task[Any] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._handlers = self._frame_handlers()
        self.failure.listen(self._on_failure)

    # ------------------------------------------------------------------------------------ starting, serving

    async def serve(self) -> None:
        """Starts the node and runs it until `shutdown()`.

        Raises OSError where it cannot listen, UnusableStoreError where its data directory cannot be used,
        StorageError if the disk fails later, and RuntimeError if it was started before.
        """
        await self._start()
        self._ended = self.loop.create_future()
        try:
            await self._ended
        finally:
            await self.shutdown()
        if self.failure.error is not None:
            raise self.failure.error

    async def __aenter__(self) -> Self:
        """Starts the node; on return it listens, and joins the others in the background."""
        await self._start()
        self._body = asyncio.current_task()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        body, self._body = self._body, None
        await self.shutdown()
        error = self.failure.error
        if error is None:
            return
        if isinstance(exc, asyncio.CancelledError) and body is not None and body.uncancel() > 0:
            return  # somebody else cancelled it, too
        if exc is None or isinstance(exc, asyncio.CancelledError):
            raise error from None

    async def _start(self) -> None:
        if self._started:
            msg = "this node has been started already; make a new DistributedActorSystem to start again"
            raise RuntimeError(msg)
        if self._registry.is_closed:
            msg = "the actor system has been shut down; make a new one"
            raise SystemStoppedError(msg)
        self._started = True
        self._registry.bind()
        self.loop = asyncio.get_running_loop()
        try:
            bound = await self._listen()
            await self._open_store(bound)
            await self._serve_on(bound)
        except BaseException:
            await self._disconnect()
            raise

    async def _listen(self) -> Address:
        context = self.tls.server_context() if self.tls is not None else None
        self._server = await self.loop.create_server(
            lambda: Link(self), *self.listen, ssl=context, start_serving=False
        )
        port = self._server.sockets[0].getsockname()[1]
        if context is None and not _is_loopback(self.listen.host):
            logger.warning("listening on %s without TLS: whoever reaches it can join", self.listen.host)
        return Address(self.listen.host, port)

    async def _open_store(self, bound: Address) -> None:
        """Reads what this node remembers, and knows itself by it."""
        boot_id = os.urandom(16)
        if self.directory is None:
            node_id = self._given_node_id or _default_node_id(self._advertised or bound)
            store: Store = MemoryStore(random.SystemRandom())
            if self._member:
                logger.warning("%s keeps its part of the cluster in memory only", node_id)
        else:
            store, node_id = await self.loop.run_in_executor(None, self._open_directory, bound)
        self.store = store
        recovered = await self.loop.run_in_executor(None, store.load)
        store_id = recovered.store_id
        self.identity = Identity(
            node_id, store_id, boot_id, self._cluster, self.options.expected_size, self._member
        )
        if self._member:
            now = Millis(round(self.loop.time() * 1000))
            self.raft = Raft(self.me, self.options, recovered, random.SystemRandom(), now)
            if self.directory is not None:
                self.writer = Writer(store, self.loop, self._persisted, self.failure.happen)
                self.writer.start()

    def _open_directory(self, bound: Address) -> tuple[Store, NodeId]:
        assert self.directory is not None, "only a node with a directory opens it"
        default = _default_node_id(self._advertised or bound)
        store = FileStore.open(self.directory, self._given_node_id, default_node_id=default)
        return store, store.node_id

    async def _serve_on(self, bound: Address) -> None:
        self.listen = bound
        self.advertise = self._advertised or bound
        self.book = PeerBook(
            self.node_id, self.advertise, self._seeds, member=self._member, random=random.SystemRandom()
        )
        assert self._server is not None, "the node listens before it serves"
        await self._server.start_serving()
        self.own(self.machine.run())
        self._dial_due()
        self._sweep()
        self._turn()
        logger.info("node %s listens on %s", self.node_id, bound)

    # ---------------------------------------------------------------------------------- the turn of the core

    def _turn(self) -> None:
        """Steps the core through everything that has happened, and does what it wants done."""
        raft = self.raft
        if raft is None:
            return
        now = Millis(int(self.loop.time() * 1000))
        try:
            while self.inbox:
                raft.step(self.inbox.popleft(), now)
            while (ready := raft.ready()) is not None:
                self._perform(ready)
                while self.inbox:
                    raft.step(self.inbox.popleft(), now)
        except StorageError as error:
            self.failure.happen(error)
        except Exception as error:  # a bug in the core: better no server than a wrong one
            logger.exception("Raft has failed on node %s", self.node_id)
            failure = StorageError(f"Raft has failed on this node: {error!r}")
            failure.__cause__ = error
            self.failure.happen(failure)
        self._arm()

    def _perform(self, ready: Ready) -> None:
        if ready.write is not None:
            self._persist(ready.write)
        self._send(ready.messages)
        for item in ready.apply:
            match item:
                case Committed():
                    self._apply(item)
                case Restored():
                    self._install(item)
        if ready.refused or ready.lost:
            self._tell(ready.refused, ready.lost)
        self._announce(ready.notices)

    def _ring(self) -> None:
        self.post(Ticked())

    def _on_failure(self, error: StorageError) -> None:
        """Raft is over on this node: it promises nothing more, and whoever waits for it learns why."""
        logger.error("Raft has ended on node %s: %s", self.node_id, error)
        self.raft = None
        self.inbox.clear()
        self._fail_proposals(error)
        for waiter in self.ready_waiters:
            if not waiter.done():
                waiter.set_exception(error)
        if self._body is not None:
            self._body.cancel()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    # --------------------------------------------------------------------------------- frames to their slice

    def _frame_handlers(self) -> dict[int, Callable[[Link, Any], None]]:
        return {
            p.ACTOR_MSG: self._on_actor_message,
            p.LOOKUP_REQ: self._on_lookup_request,
            p.LOOKUP_RES: self._on_lookup_response,
            p.PEER_LIST: self._on_peers,
            p.ASK_REQ: self._on_ask_request,
            p.ASK_RES: self._on_ask_response,
            p.VOTE_REQUEST: self._on_vote,
            p.VOTE_RESPONSE: self._on_vote,
            p.PRE_VOTE_REQUEST: self._on_vote,
            p.PRE_VOTE_RESPONSE: self._on_vote,
            p.APPEND_ENTRIES_REQ: self._on_append,
            p.APPEND_ENTRIES_RES: self._on_append,
            p.INSTALL_SNAPSHOT_REQ: self._on_install,
            p.INSTALL_SNAPSHOT_RES: self._on_install,
            p.ERROR: self._on_error,
            p.PING: self._on_ping,
        }

    def link_frame(self, link: Link, frame: Frame) -> None:
        """Hands a frame to the slice that handles it. Raises ProtocolError where it ends the connection."""
        if link.hello is None:
            self._greet(link, frame)
            return
        handler = self._handlers.get(frame.type)
        if handler is None:
            self._skip(link, frame.type)
            return
        try:
            if frame.type in NODE_NAMED and frame.name != link.node_id:
                text = f"a frame of {frame.name!r:.80} on the connection of {link.node_id}"
                raise ProtocolError("IDENTITY_CHANGED", "HELLO-8", text)
            handler(link, self.wire.decode(frame))
        except ProtocolError as fault:
            if fault.code not in KEEPS_CONNECTION:
                raise
            self._complain(link, fault)

    def _skip(self, link: Link, kind: int) -> None:
        """A type this version does not know: said once, and read over (spec FRAME-6, FRAME-7)."""
        if kind != p.HEARTBEAT and kind not in link.unknown_types:
            link.unknown_types.add(kind)
            self._complain(link, ProtocolError("UNKNOWN_FRAME_TYPE", "FRAME-6", f"frame type {kind}"))

    def _complain(self, link: Link, fault: ProtocolError) -> None:
        logger.warning("node %s: %s", link.node_id, fault)
        link.send(self.wire.encode_error(fault))

    def _accept(self, link: Link, hello: Any) -> None:
        super()._accept(link, hello)
        if link.dial is not None and link.dial.lane == "actor":
            self._ask_open_searches(link)

    def link_lost(self, link: Link) -> None:
        super().link_lost(link)
        self._fail_asks_on(link)

    def _make_ref(self, node_id: str, address: str) -> ActorRef[Any]:
        return self._ref(NodeId(node_id), address)

    def _admitted(self, kind: Any) -> None:
        """An actor is spawned: its messages may come from other nodes (spec VALUE-2)."""
        self.types.admit(*(message_types(kind) or ()))

    # -------------------------------------------------------------------------------------------- the end

    async def _disconnect(self) -> None:
        """Phases 4 to 7: open asks fail, Raft stops, connections are flushed and closed, then the port."""
        if not self._started:
            return
        for ask in self.asks.drain():
            ask.fail(SystemStoppedError("this node has shut down; the message may have been handled"))
        await self._stop_raft()
        for alarm in (self.raft_alarm, self.dial_alarm, self.sweep_alarm):
            alarm.cancel_handle()
        if self._server is not None:
            self._server.close()
        links = self.links.all()
        for link in links:
            link.close()
        await self._until_lost(links)
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        if self.store is not None:
            self.store.close()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def _stop_raft(self) -> None:
        self.raft = None
        self.inbox.clear()
        self._fail_proposals(StorageError("this node has shut down; the command may be committed yet"))
        if self.writer is not None:
            self.writer.stop()
            await self.loop.run_in_executor(None, self.writer.join)

    async def _until_lost(self, links: list[Link]) -> None:
        """Waits until the connections have sent what was queued, but not for ever."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(link.closed() for link in links))
        except TimeoutError:
            for link in links:
                link.abort()


NODE_NAMED = frozenset({p.PEER_LIST, *range(p.VOTE_REQUEST, p.VOTE_RESPONSE + 1), *range(12, 16), 18, 19})
"""Types whose frame name is their sender's node id (spec HELLO-8)."""

KEEPS_CONNECTION = frozenset({"BAD_PAYLOAD"})
"""Faults of a single frame, after which the next one is read all the same."""


def check_node_id(node_id: str) -> None:
    """Raises ValueError unless `node_id` can name a node (spec HELLO-5)."""
    if not 1 <= len(node_id) <= p.NODE_ID_BYTES_MAX or not all(
        c.isascii() and (c.isalnum() or c in "._:-") for c in node_id
    ):
        limit = p.NODE_ID_BYTES_MAX
        msg = f"a node id is 1 to {limit} of the characters A-Z a-z 0-9 . _ : -, not {node_id!r:.100}"
        raise ValueError(msg)


def _default_node_id(address: Address) -> NodeId:
    """The address a node is known by; a wildcard host names no node, so the machine's name stands for it."""
    host = socket.gethostname() if address.is_wildcard else address.host
    text = f"{host}:{address.port}"
    return NodeId("".join(c if c.isascii() and (c.isalnum() or c in "._:-") else "-" for c in text)[-64:])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _ref_parts(value: object) -> tuple[str, str] | None:
    """A ref as it crosses the wire; None for any other value."""
    if isinstance(value, ActorRef) and value.node_id is not None:
        return value.node_id, value.address
    return None
