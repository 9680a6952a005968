"""A node of a cluster: makes all its parts, and knows in which order they start and end."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast, get_origin

from casty.actor import ActorRef
from casty.arguments import checked_count, checked_flag, checked_text
from casty.cluster.address import Address, parse_address
from casty.cluster.alarm import Alarm
from casty.cluster.body import Body, to_the_end
from casty.cluster.book import PeerBook
from casty.cluster.calls import Calls
from casty.cluster.certificates import Certificates
from casty.cluster.dialling import Dialler
from casty.cluster.dice import dice
from casty.cluster.exchange import Exchange
from casty.cluster.handshake import Identity
from casty.cluster.link import Link
from casty.cluster.listener import Listener
from casty.cluster.machine import Machine
from casty.cluster.naming import checked_cluster_name, checked_node_id, default_node_id, is_loopback
from casty.cluster.node import Failure, Links
from casty.cluster.peer import HELLO_SECONDS
from casty.cluster.refusals import Refusals
from casty.cluster.repeats import Repeats
from casty.cluster.revisions import Revisions
from casty.cluster.sizes import core_options
from casty.cluster.skips import Skips
from casty.cluster.storeroom import LEAVE_SECONDS, leave_store, open_store
from casty.cluster.switchboard import Switchboard
from casty.cluster.turn import Turn, millis
from casty.cluster.writer import Writer
from casty.errors import CommitUncertainError, SerializationError, SystemStoppedError
from casty.hooks import is_cancelled
from casty.message_types import message_hint
from casty.paths import absolute
from casty.raft.node import Raft
from casty.raft.types import NodeId
from casty.storage.files import FileStore
from casty.wire import _protocol as p
from casty.wire.messages import MessageCodec
from casty.wire.payload import ValueCodec
from casty.wire.types import CommonTypes, TypeRegistry

if TYPE_CHECKING:
    from types import TracebackType

    from casty.cluster.tls import TLS
    from casty.errors import StorageError

logger = logging.getLogger(__name__)


class DistributedActorSystem(Exchange):
    """An actor system that is one node of a cluster.

    `host` and `port` are where it listens (port 0: one of the system's choice), `seeds` the addresses of other
    nodes, `expected_cluster_size` how many members the cluster is to have; all must be told the same number.

    `node_id` names this node for good; left out, it is the name its `persistence_dir` remembers, or else the
    address it listens on. Without `persistence_dir` it remembers nothing across restarts: such a cluster does
    not outlive the loss of a majority. `advertise` is the address others are told, where it is not the one
    listened on; `member=False` makes a node that hosts actors, looks up and asks, and has no part in Raft.

    `tls` demands certificates of both sides. `trusted_modules` says which packages' dataclasses messages may
    hold: None, those of the types this node registered, spawned with or sent; a tuple, exactly these. Times are
    seconds. `snapshot_every` compacts the log by itself after so many entries at the latest, or commands of 64
    MiB (of the size of the last snapshot, where that is more), if there are snapshot callbacks; None: never. So
    many as `kept_entries` stay behind each snapshot, for nodes that were away for a moment. What lies on the
    disk is verified now and then, at `scrub_rate` bytes a second; None: never. `random_seed` makes election
    timeouts and waits between attempts repeatable; identities never are. `skip_entries` names entries of the
    log that no member can read, as the StorageError of each names them (`"4711:3:9a0b1c2d"`): they are not
    applied. Every member must be told the same. Other keywords are those of `ActorSystem`.

    It may be spawned in before it is started, which binds it to the running event loop, as the start does; from
    any other loop, and any other thread, its calls raise RuntimeError. Properties may be read anywhere.

    Paths are meant from the working directory of this call; `~` is the home directory.

    Raises TypeError and ValueError for what cannot be: an address, a path, a node id, wrong times and counts,
    or do not fit each other.
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
        snapshot_every: int | None = 100_000,
        kept_entries: int = 5000,
        scrub_rate: int | None = 1 << 20,
        random_seed: int | None = None,
        skip_entries: Iterable[str] = (),
        **local_options: Any,
    ) -> None:
        super().__init__(**local_options)
        # Refs outlive a process: its successor must not give the numbers of its actors to others.
        self._registry.uids = itertools.count(int.from_bytes(os.urandom(6)))
        checked_count("port", port, least=0, most=65535)
        if isinstance(seeds, str) or not isinstance(
            cast("object", seeds), Iterable
        ):  # a str is one, of letters
            msg = f"seeds must be a collection of addresses, not {seeds!r}"
            raise TypeError(msg)
        if snapshot_every is not None:
            checked_count("snapshot_every", snapshot_every, least=1)
        checked_count("kept_entries", kept_entries, least=0)
        if scrub_rate is not None:
            checked_count("scrub_rate", scrub_rate, least=1, unit=" bytes a second")
        self._scrub_rate = scrub_rate
        if random_seed is not None:
            checked_count("random_seed", random_seed, least=None)
        self.listen = Address(checked_text("host", host).removeprefix("[").removesuffix("]") or "0.0.0.0", port)
        self.known_as = checked_node_id(checked_text("node_id", node_id)) if node_id is not None else None
        self.options = core_options(
            expected_cluster_size,
            heartbeat_interval=heartbeat_interval,
            election_timeout=election_timeout,
            frame_bytes_max=max_frame_size,
            kept_entries=kept_entries,
        )
        self.directory = absolute(persistence_dir, "persistence_dir") if persistence_dir is not None else None
        self.tls = tls
        self.frame_bytes_max = max_frame_size
        self._advertised = (
            parse_address(checked_text("advertise", advertise)) if advertise is not None else None
        )
        self._seeds = [parse_address(checked_text("a seed", seed)) for seed in seeds]
        self._cluster = checked_cluster_name(checked_text("cluster", cluster))
        self._member = checked_flag("member", member)
        self._random_seed = random_seed
        self.types = TypeRegistry(trusted_modules)
        self.values = ValueCodec(self.types, ref_parts=_ref_parts, make_ref=self._make_ref)
        self.commands = ValueCodec(
            CommonTypes(self.types), ref_parts=_ref_parts, make_ref=self._make_ref, replicated=True
        )
        self.wire = MessageCodec(self.values, max_frame_size)
        self._make_parts()
        self.machine = self._new_machine(snapshot_every, Skips(skip_entries))
        self.failure.listen(self._on_failure)

    def _make_parts(self) -> None:
        """All that does not depend on what the user chose: empty, off, and not started."""
        self.certificates = None
        self.repeats = Repeats()
        self.links = Links()
        self.dialler = Dialler()
        self.revisions = Revisions()
        self.asks = Calls()
        self.searches = Calls()
        self.pings = Calls()
        self.open_searches = set()
        self.reach_waiters = []
        self.reaching = {}
        self.tasks = set()
        self.store = None
        self.writer = None
        self.raft = None
        self.turn = None
        self.proposals = set()
        self.ready_waiters = set()
        self.failure = Failure()
        self.is_ending = False
        self.dial_alarm = Alarm(self._dial_due)
        self.ask_alarm = Alarm(self._give_up_overdue)
        self.sweep_alarm = Alarm(self._sweep)
        self.listener = None
        self.is_started = False
        self.start_over = asyncio.Event()
        self._body: Body | None = None
        self._ended: asyncio.Future[None] | None = None
        self.switchboard = Switchboard(self.wire, self._frame_handlers(), self._note_mistake)

    def _new_machine(self, snapshot_every: int | None, skips: Skips) -> Machine:
        decode, save, fatal = self.commands.decode, self._save_snapshot, self.failure.happen
        chance = dice(self._random_seed, str(self.listen), "snapshots")
        return Machine(decode, save, fatal, snapshot_every=snapshot_every, skips=skips, random=chance)

    # ------------------------------------------------------------------------------------ starting, serving

    async def serve(self) -> None:
        """Starts the node and runs it until `shutdown()`.

        Raises OSError where it cannot listen, UnusableStoreError where its data directory cannot be used,
        StorageError if the disk fails later, SystemStoppedError if it is shut down before it has started, and
        RuntimeError if it was started before, or belongs to another event loop.
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
        self._registry.bind()
        self.is_started = True
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
        finally:
            self.start_over.set()

    def _require_open(self) -> None:
        if self._registry.is_closed:
            msg = "the actor system has been shut down; make a new one"
            raise SystemStoppedError(msg)

    async def _listen(self) -> Address:
        if self.tls is not None:
            self.certificates = Certificates(self.tls, self._note_certificates)
        elif not is_loopback(self.listen.host):
            logger.warning("listening on %s without TLS: all who reach it can join", self.listen.host)
        self.listener = Listener(
            lambda: Link(self),
            self._has_room_for_strangers,
            tls=self.certificates.for_accepting if self.certificates is not None else None,
            tls_seconds=HELLO_SECONDS,
            note=lambda about, text: self.note(logger, logging.WARNING, about, text, state=""),
        )
        return await self.listener.listen(self.listen)

    def _note_certificates(self, text: str, is_trouble: bool) -> None:
        if not is_trouble:
            self.repeats.settle("certificates")
        level = logging.WARNING if is_trouble else logging.INFO
        self.note(logger, level, ("certificates", is_trouble), f"this node {text}")

    async def _open_store(self, bound: Address) -> None:
        """Reads what this node remembers, and knows itself by it."""
        default = default_node_id(self._advertised or bound, socket.gethostname())
        self.store, node_id, recovered = await open_store(self.directory, self.known_as, default)
        if self._member and self.directory is None:
            logger.warning("%s keeps its part of the cluster in memory only", node_id)
        self.known_as = node_id
        self.revisions = Revisions(recovered.peers)
        boots, keeps_data = recovered.boots, self._member and self.directory is not None
        self.identity = Identity(
            node_id,
            recovered.store_id,
            boots[0].boot_id,
            self._cluster,
            self.options.expected_size,
            self._member,
            boots if keeps_data else (),
        )
        if self._member:
            chance = dice(self._random_seed, node_id, "elections")
            self.raft = Raft(self.me, self.options, recovered, chance, millis(self.loop))
            self.turn = Turn(self.raft, self.loop, self._perform, partial(self.failure.crash, "Raft"))
            if self.directory is not None:
                self.writer = Writer(self.store, self.loop, self._persisted, self.failure.happen)
                self.writer.start()
            if isinstance(self.store, FileStore) and self._scrub_rate is not None:
                self.store.scrub(self._scrub_rate)

    async def _serve_on(self, bound: Address) -> None:
        self.listen = bound
        self.advertise = self._advertised or bound
        node_id = self.identity.node_id
        chance = dice(self._random_seed, node_id, "attempts")
        self.book = PeerBook(node_id, self.advertise, self._seeds, member=self._member, random=chance)
        self.refusals = Refusals(seed for seed in self._seeds if seed != self.advertise)
        assert self.listener is not None, "the node listens before it serves"
        self.listener.start()
        self.own(self._run_machine())
        self._dial_due()
        self._sweep()
        if self.turn is not None:
            self.turn.run()
        logger.info("node %s listens on %s", self.node_id, bound)

    async def _run_machine(self) -> None:
        try:
            await self.machine.run()
        except BaseException as error:  # commands would no longer be applied, without a word
            if is_cancelled(error) or isinstance(error, GeneratorExit):
                raise
            self.failure.crash("the state machine's task", error)

    def _on_failure(self, error: StorageError) -> None:
        """Raft is over on this node: it promises nothing more, and whoever waits for it learns why."""
        cause = error.__cause__
        bug = None if isinstance(cause, OSError) else cause  # what a disk says needs no traceback
        logger.error("Raft has ended on node %s: %s", self.node_id, error, exc_info=bug)
        self._end_raft(
            error,
            CommitUncertainError(f"the command may be committed yet; Raft has ended on this node: {error}"),
        )
        if self._body is not None:
            self._body.interrupt()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _make_ref(self, node_id: str, address: str) -> ActorRef[Any]:
        return self._ref(NodeId(node_id), address)

    def _admitted(self, kind: Any) -> None:
        """An actor is spawned: its messages may come from other nodes, and its package is trusted (VALUE-2)."""
        self.types.trust(get_origin(kind) or kind)
        self.types.admit(message_hint(kind))

    # ----------------------------------------------------------------------------------------------- the end

    async def _disconnect(self) -> None:
        """Phases 4 to 7: open asks fail, Raft stops, connections are flushed and closed, the store is left."""
        if not self.is_started:
            return
        self.is_ending = True
        self._give_up_questions(
            SystemStoppedError("this node has shut down; the message may have been handled")
        )
        self._end_raft(
            SystemStoppedError("this node has shut down"),
            CommitUncertainError("this node has shut down; the command may be committed yet"),
        )
        self.dial_alarm.cancel()
        self.ask_alarm.cancel()
        self.sweep_alarm.cancel()
        self._announce_revision()
        if self.listener is not None:
            await self.listener.close()
        await self.links.close()
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        self._remember_peers()  # what they have said since something was last written
        store, self.store = self.store, None
        if store is not None and not await leave_store(store, self.writer):
            text = "the disk of node %s has hung for %g s; what it was to write was not acknowledged"
            logger.error(text, self.node_id, LEAVE_SECONDS)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)


def _ref_parts(value: object) -> tuple[str, str] | None:
    """A ref as it crosses the wire; None for any other value."""
    if not isinstance(value, ActorRef):
        return None
    if value.node_id is None:
        raise SerializationError(f"{value!r} belongs to a system without a cluster; no other node can reach it")
    return value.node_id, value.address
