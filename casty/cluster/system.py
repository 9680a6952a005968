"""A node of a cluster: makes all its parts, and is the one place that knows the order of things."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_origin

from casty.actor import ActorRef
from casty.cluster.address import Address, parse_address
from casty.cluster.alarm import Alarm
from casty.cluster.body import Body, to_the_end
from casty.cluster.book import PeerBook
from casty.cluster.calls import Calls
from casty.cluster.election import ElectionMixin
from casty.cluster.handshake import Identity
from casty.cluster.link import Link
from casty.cluster.machine import Machine
from casty.cluster.messaging import MessagingMixin
from casty.cluster.naming import checked_node_id, default_node_id, is_loopback
from casty.cluster.node import Failure, Links, Turn
from casty.cluster.peer import HELLO_SECONDS, PeerMixin
from casty.cluster.persistence import PersistenceMixin
from casty.cluster.replication import LogReplicationMixin
from casty.cluster.sizes import core_options
from casty.cluster.snapshot import SnapshotMixin
from casty.cluster.storeroom import open_store
from casty.cluster.switchboard import Switchboard
from casty.cluster.writer import Writer
from casty.errors import CommitUncertainError, SerializationError, StorageError, SystemStoppedError
from casty.message_types import message_types
from casty.raft.events import Committed, Restored, Ticked
from casty.raft.node import Raft
from casty.raft.types import Millis, NodeId
from casty.wire import _protocol as p
from casty.wire.messages import MessageCodec
from casty.wire.payload import ValueCodec
from casty.wire.types import TypeRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from casty.cluster.tls import TLS
    from casty.raft.events import Ready
    from casty.wire.frames import Frame

logger = logging.getLogger(__name__)


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
        if snapshot_every is not None and snapshot_every < 1:
            msg = f"snapshot_every must be at least 1, or None for never, not {snapshot_every}"
            raise ValueError(msg)
        self.listen = Address(host.removeprefix("[").removesuffix("]") or "0.0.0.0", port)
        self.known_as = checked_node_id(node_id) if node_id is not None else None
        self.options = core_options(
            expected_cluster_size,
            heartbeat_interval=heartbeat_interval,
            election_timeout=election_timeout,
            frame_bytes_max=max_frame_size,
        )
        self.directory = Path(persistence_dir) if persistence_dir is not None else None
        self.tls = tls
        self.frame_bytes_max = max_frame_size
        self._advertised = parse_address(advertise) if advertise is not None else None
        self._seeds = [parse_address(seed) for seed in seeds]
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
        self.is_ending = False
        self.turn = Turn(self._turn)
        self.raft_alarm = Alarm(self._ring)
        self.dial_alarm = Alarm(self._dial_due)
        self.sweep_alarm = Alarm(self._sweep)
        self.machine = Machine(
            self.values.decode, self._save_snapshot, self.failure.happen, snapshot_every=snapshot_every
        )
        self._server: asyncio.Server | None = None
        self.is_started = False
        self._body: Body | None = None
        self._ended: asyncio.Future[None] | None = None
        self._switchboard = Switchboard(self.wire, self._frame_handlers())
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
            await to_the_end(self.shutdown)
        if self.failure.error is not None:
            raise self.failure.error

    async def __aenter__(self) -> Self:
        """Starts the node; on return it listens, and joins the others in the background."""
        await self._start()
        self._body = Body()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._body is not None:
            await self._body.leave(exc, self.failure, self.shutdown)

    async def _start(self) -> None:
        if self.is_started:
            msg = "this node has been started already; make a new DistributedActorSystem to start again"
            raise RuntimeError(msg)
        self._require_open()
        self.is_started = True
        self._registry.bind()
        self.loop = asyncio.get_running_loop()
        try:
            bound = await self._listen()
            self._require_open()
            await self._open_store(bound)
            self._require_open()
            await self._serve_on(bound)
            if self.failure.error is not None:
                raise self.failure.error
        except BaseException:
            await self.shutdown()
            await self._disconnect()  # of what the start has made since, if it was shut down meanwhile
            raise

    def _require_open(self) -> None:
        if self._registry.is_closed:
            msg = "the actor system has been shut down; make a new one"
            raise SystemStoppedError(msg)

    async def _listen(self) -> Address:
        context = self.tls.server_context() if self.tls is not None else None
        self._server = await self.loop.create_server(
            lambda: Link(self),
            *self.listen,
            ssl=context,
            ssl_handshake_timeout=HELLO_SECONDS if context is not None else None,
            start_serving=False,
        )
        port = self._server.sockets[0].getsockname()[1]
        if context is None and not is_loopback(self.listen.host):
            logger.warning("listening on %s without TLS: whoever reaches it can join", self.listen.host)
        return Address(self.listen.host, port)

    async def _open_store(self, bound: Address) -> None:
        """Reads what this node remembers, and knows itself by it."""
        default = default_node_id(self._advertised or bound, socket.gethostname())
        self.store, node_id, recovered = await open_store(self.directory, self.known_as, default)
        if self._member and self.directory is None:
            logger.warning("%s keeps its part of the cluster in memory only", node_id)
        self.known_as = node_id
        self.identity = Identity(
            node_id, recovered.store_id, os.urandom(16), self._cluster, self.options.expected_size, self._member
        )
        if self._member:
            now = Millis(int(self.loop.time() * 1000))
            self.raft = Raft(self.me, self.options, recovered, random.SystemRandom(), now)
            if self.directory is not None:
                self.writer = Writer(self.store, self.loop, self._persisted, self.failure.happen)
                self.writer.start()

    async def _serve_on(self, bound: Address) -> None:
        self.listen = bound
        self.advertise = self._advertised or bound
        dice = random.SystemRandom()
        self.book = PeerBook(
            self.identity.node_id, self.advertise, self._seeds, member=self._member, random=dice
        )
        assert self._server is not None, "the node listens before it serves"
        await self._server.start_serving()
        self.own(self._run_machine())
        self._dial_due()
        self._sweep()
        self._turn()
        logger.info("node %s listens on %s", self.node_id, bound)

    async def _run_machine(self) -> None:
        try:
            await self.machine.run()
        except Exception as error:  # a bug: commands would no longer be applied, and nobody would know
            self.failure.crash("the state machine's task", error)

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
            self.failure.crash("Raft", error)
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
        logger.error("Raft has ended on node %s: %s", self.node_id, error, exc_info=error.__cause__)
        self.raft = None
        self.inbox.clear()
        self._fail_proposals(error)
        self._fail_ready_waiters(error)
        self.machine.end(error)
        if self._body is not None:
            self._body.interrupt()
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
        else:
            self._switchboard.put_through(link, frame)

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
        """An actor is spawned: its messages may come from other nodes, and its package is trusted (VALUE-2)."""
        self.types.trust(get_origin(kind) or kind)
        self.types.admit(*(message_types(kind) or ()))

    # ----------------------------------------------------------------------------------------------- the end

    async def _disconnect(self) -> None:
        """Phases 4 to 7: open asks fail, Raft stops, connections are flushed and closed, the store is left."""
        if not self.is_started:
            return
        self.is_ending = True
        self._give_up_questions(
            SystemStoppedError("this node has shut down; the message may have been handled")
        )
        await self._stop_raft()
        for alarm in (self.raft_alarm, self.dial_alarm, self.sweep_alarm):
            alarm.cancel()
        if self._server is not None:
            for listener in self._server.sockets:
                self.loop.remove_reader(listener.fileno())
            for _ in range(2):
                await asyncio.sleep(0)  # what asyncio has accepted becomes a link, and is closed as one
            self._server.close()  # which would lose track of it
        await self.links.close()
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
        stopped = SystemStoppedError("this node has shut down")
        self._fail_proposals(CommitUncertainError("this node has shut down; the command may be committed yet"))
        self._fail_ready_waiters(stopped)
        self.machine.end(stopped)
        if self.writer is not None:
            self.writer.stop()
            await self.loop.run_in_executor(None, self.writer.join)


def _ref_parts(value: object) -> tuple[str, str] | None:
    """A ref as it crosses the wire; None for any other value."""
    if not isinstance(value, ActorRef):
        return None
    if value.node_id is None:
        raise SerializationError(f"{value!r} belongs to a system without a cluster; no other node can reach it")
    return value.node_id, value.address
