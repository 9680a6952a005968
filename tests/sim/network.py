"""Connections between processes: dialled, answered with a hello, slow, cut, held up, and reset.

A connection has two ends, and each may think it open when the other knows better. Requests travel from the
dialler, replies on the same connection back (spec PEER-6). Within a connection frames keep their order and none
is lost, unless the plan goes beyond TCP.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from casty.raft.events import Connected, Disconnected, Discovered

if TYPE_CHECKING:
    from collections.abc import Callable

    from casty.raft.events import LostData
    from casty.raft.messages import Message
    from casty.raft.types import NodeId, ServerId
    from tests.sim.host import Host
    from tests.sim.process import Process
    from tests.sim.world import World

REMEMBERED_MS = 3000
"""A node without a connection is forgotten after this (spec FORM-4)."""
REDIAL_MS, REDIAL_MS_MAX = 100, 1600
CONNECT_MS = 500
SAY_MS = 1000
DEAD_MS = (1000, 5000)
"""When a silent connection is given up (spec PEER-9)."""


@dataclass(slots=True, eq=False)
class Connection:
    number: int
    dialler: Process
    acceptor: Process
    dialler_open: bool = True
    acceptor_open: bool = True
    there_by: int = 0
    back_by: int = 0
    """When the last frame in that direction arrives: the next cannot be there earlier."""
    sent: dict[int, int] = field(default_factory=dict[int, int])
    """When each request left, by its seq."""
    held: list[tuple[bool, Message]] = field(default_factory=list["tuple[bool, Message]"])
    """Frames that wait for a partition to heal; True for those to the acceptor."""

    def is_open_at(self, process: Process) -> bool:
        return self.dialler_open if process is self.dialler else self.acceptor_open

    def other(self, process: Process) -> Process:
        return self.acceptor if process is self.dialler else self.dialler


@dataclass(slots=True, eq=False)
class Peer:
    """What a process knows of one node id: who said hello under it last."""

    process: Process
    connections: list[Connection] = field(default_factory=list[Connection])
    left_at: int = 0


class Network:
    def __init__(self, world: World) -> None:
        self.world = world
        self.calm = False
        """Nothing is lost, doubled or reordered any more."""
        self.slowed_until = 0
        self.open: list[Connection] = []
        self._made = 0
        self._cut: dict[tuple[Host, Host], int] = {}
        self._dialled: dict[tuple[Process, Process], Connection] = {}
        self._peers: dict[Process, dict[NodeId, Peer]] = {}

    # ------------------------------------------------------------------------------------- who can reach whom

    def cut(self, source: Host, target: Host) -> None:
        """Nothing from `source` reaches `target`, till `mend` has been called as often."""
        self._cut[source, target] = self._cut.get((source, target), 0) + 1
        for connection in self.open:
            if {connection.dialler.host, connection.acceptor.host} == {source, target}:
                for process in (connection.dialler, connection.acceptor):
                    self._after(self._patience(), self._give_up, connection, process)

    def mend(self, source: Host, target: Host) -> None:
        left = self._cut.get((source, target), 0) - 1
        if left > 0:
            self._cut[source, target] = left
            return
        self._cut.pop((source, target), None)
        for connection in self.open:
            self._release(connection)

    def mend_all(self) -> None:
        for source, target in list(self._cut):
            self._cut[source, target] = 1
            self.mend(source, target)

    def reaches(self, source: Host, target: Host) -> bool:
        return (source, target) not in self._cut

    def _both_ways(self, one: Host, other: Host) -> bool:
        return self.reaches(one, other) and self.reaches(other, one)

    # --------------------------------------------------------------------------------------------- dialling

    def joined(self, process: Process) -> None:
        self._peers[process] = {}
        self.discover(process)
        self._say(process)
        for host in self.world.hosts:
            if host is not process.host and host.process is not None:
                self._after(self._delay(), self._dial, process, host, REDIAL_MS)
                self._after(self._delay(), self._dial, host.process, process.host, REDIAL_MS)

    def redial_all(self) -> None:
        for host in self.world.hosts:
            for other in self.world.hosts:
                if host is not other and host.up is not None:
                    self._after(self._delay(), self._dial, host.up, other, REDIAL_MS)

    def _dial(self, process: Process, host: Host, wait: int) -> None:
        if not process.alive or self._has_dialled(process, host):
            return
        target = host.up
        if target is None:
            return  # it dials when it comes back, and so does everybody else
        if process.paused or target.paused or not self._both_ways(process.host, host):
            self._after(
                CONNECT_MS + self._jitter(wait), self._dial, process, host, min(2 * wait, REDIAL_MS_MAX)
            )
            return
        if not (self._admits(process, target) and self._admits(target, process)):
            self._after(self._jitter(wait), self._dial, process, host, min(2 * wait, REDIAL_MS_MAX))
            return
        self._connect(process, target)

    def _has_dialled(self, process: Process, host: Host) -> bool:
        return host.process is not None and (process, host.process) in self._dialled

    def _admits(self, process: Process, newcomer: Process) -> bool:
        """Whether the hello is accepted (spec HELLO-4, HELLO-6, HELLO-7)."""
        if newcomer.server.node_id == process.server.node_id:
            return False
        mine, theirs = process.raft.configuration, newcomer.raft.configuration
        if mine is not None and theirs is not None and mine.cluster_id != theirs.cluster_id:
            return False
        peer = self._peers[process].get(newcomer.server.node_id)
        if peer is None or peer.process is newcomer or not peer.connections:
            return not self._is_stale(process, newcomer)
        earlier = peer.process
        if earlier.alive and not earlier.paused and self._both_ways(process.host, earlier.host):
            return False
        for connection in list(peer.connections):
            self._close(connection, process)
        return not self._is_stale(process, newcomer)

    def _is_stale(self, process: Process, newcomer: Process) -> bool:
        """Whether the newcomer's disk is an older copy, for all that this process was told (spec HELLO-11)."""
        said = newcomer.server, newcomer.boot_id, newcomer.revision, newcomer.boots
        if process.revisions.objection(*said) is None:
            return False
        self.world.copies.refused(newcomer)
        return True

    def keep_out(self, process: Process, lost: LostData) -> None:
        """It was found without what it had acknowledged (spec LEADER-10)."""
        peer = self._peers[process].get(lost.server.node_id)
        if peer is not None and peer.process.server == lost.server:
            for connection in list(peer.connections):
                self._close(connection, process)

    def _say(self, process: Process) -> None:
        """Once a second: how far its disk has come (spec PEER-11)."""
        revision = process.revision
        if not process.alive or revision is None:
            return
        if not process.paused and not process.mute and process.revisions.is_news(revision):
            for connection in self.open:
                if process in (connection.dialler, connection.acceptor):
                    self._after(self.world.plan.latency[1], self._heard, connection, process, revision)
        self._after(SAY_MS, self._say, process)

    def _heard(self, connection: Connection, source: Process, revision: int) -> None:
        target = connection.other(source)
        if target.alive and connection.is_open_at(target) and self.reaches(source.host, target.host):
            target.revisions.note(source.server, revision, source.boot_id)
            self.world.copies.told(target, source.server, revision)

    def _connect(self, dialler: Process, acceptor: Process) -> None:
        self._made += 1
        for older in self.open:
            if older.dialler is dialler and older.acceptor is acceptor and older.acceptor_open:
                self._close(older, acceptor)
                break
        connection = Connection(self._made, dialler, acceptor)
        self.open.append(connection)
        self._dialled[dialler, acceptor] = connection
        for process in (dialler, acceptor):
            self._say_hello(process, connection)
        dialler.happen(Connected(acceptor.server, acceptor.boot_id))
        for process in (dialler, acceptor):
            self.discover(process)

    def _say_hello(self, process: Process, connection: Connection) -> None:
        other = connection.other(process)
        peers = self._peers[process]
        peer = peers.get(other.server.node_id)
        if peer is None or peer.process is not other:
            peer = peers[other.server.node_id] = Peer(other)
        peer.connections.append(connection)
        self.world.copies.came_in(process, other)
        if other.revision is not None:
            process.revisions.note(other.server, other.revision, other.boot_id)
            self.world.copies.told(process, other.server, other.revision)

    def discover(self, process: Process) -> None:
        """Tells the core whom the hellos announced (spec FORM-4)."""
        if not process.alive:
            return
        now = self.world.schedule.now
        known = {process.server}
        for peer in self._peers[process].values():
            if peer.connections or now - peer.left_at < REMEMBERED_MS:
                known.add(peer.process.server)
        process.happen(Discovered(frozenset(known)))

    # ---------------------------------------------------------------------------------------------- closing

    def reset(self, connection: Connection) -> None:
        self.world.tally.add("resets")
        for process in (connection.dialler, connection.acceptor):
            self._after(self._delay(), self._give_up_now, connection, process)

    def left(self, process: Process, *, silently: bool) -> None:
        """A process is gone. Its kernel says so, or with the power gone nobody does."""
        for connection in [c for c in self.open if process in (c.dialler, c.acceptor)]:
            other = connection.other(process)
            self._close(connection, process)
            reachable = self._both_ways(process.host, other.host)
            patience = self._patience() if silently or not reachable else self._delay()
            self._after(patience, self._give_up_now, connection, other)

    def _give_up(self, connection: Connection, process: Process) -> None:
        if not self._both_ways(connection.dialler.host, connection.acceptor.host):
            self._give_up_now(connection, process)

    def _give_up_now(self, connection: Connection, process: Process) -> None:
        if connection.is_open_at(process):
            self._close(connection, process)

    def _close(self, connection: Connection, process: Process) -> None:
        """One end closes. The other learns of it when that can reach it, or finds out by itself."""
        if not connection.is_open_at(process):
            return
        other = connection.other(process)
        if process is connection.dialler:
            connection.dialler_open = False
            self._dialled.pop((process, other), None)
        else:
            connection.acceptor_open = False
        if not (connection.dialler_open or connection.acceptor_open):
            self.open.remove(connection)
        elif self.reaches(process.host, other.host):
            self._after(self._delay(), self._give_up_now, connection, other)
        else:
            self._after(self._patience(), self._give_up_now, connection, other)
        self._forget(process, connection)
        if process is connection.dialler and process.alive:
            process.happen(Disconnected(other.server))
            self._after(self._jitter(REDIAL_MS), self._dial, process, other.host, REDIAL_MS)

    def _forget(self, process: Process, connection: Connection) -> None:
        peer = self._peers[process].get(connection.other(process).server.node_id)
        if peer is None or connection not in peer.connections:
            return
        peer.connections.remove(connection)
        if not peer.connections:
            peer.left_at = self.world.schedule.now
            self._after(REMEMBERED_MS, self.discover, process)

    # ------------------------------------------------------------------------------------------- travelling

    def request(self, process: Process, to: ServerId, message: Message) -> None:
        """On the connection this process dialled to that very server; nowhere if there is none."""
        peer = self._peers[process].get(to.node_id)
        connection = self._dialled.get((process, peer.process)) if peer is not None else None
        if connection is not None and connection.acceptor.server == to:
            connection.sent.setdefault(message.seq, self.world.schedule.now)
            self._send(connection, True, message)

    def reply(self, connection: Connection, process: Process, message: Message) -> None:
        if connection.acceptor is process and connection.acceptor_open:
            self._send(connection, False, message)

    def _send(self, connection: Connection, there: bool, message: Message) -> None:
        self.world.tally.add("messages")
        plan, dice = self.world.plan, self.world.dice
        if not self.calm:
            if plan.loss and dice.random() < plan.loss:
                return
            if plan.duplication and dice.random() < plan.duplication:
                self._after(self._delay(), self._arrive, connection, there, message)
        now = self.world.schedule.now
        at = now + self._delay()
        if self.calm or not plan.reordering or dice.random() >= plan.reordering:
            at = max(at, connection.there_by if there else connection.back_by)
            if there:
                connection.there_by = at
            else:
                connection.back_by = at
        self._after(at - now, self._arrive, connection, there, message)

    def _arrive(self, connection: Connection, there: bool, message: Message) -> None:
        source, target = connection.dialler, connection.acceptor
        if not there:
            source, target = target, source
        if not connection.is_open_at(target) or not target.alive:
            return
        waits = any(direction is there for direction, _ in connection.held)
        if waits or not self.reaches(source.host, target.host):
            if self.world.plan.holds:
                connection.held.append((there, message))
            return
        target.receive(source.server, message, connection)

    def _release(self, connection: Connection) -> None:
        """A partition healed: what TCP had kept arrives, in its order."""
        held, connection.held = connection.held, []
        for there, message in held:
            self._arrive(connection, there, message)

    # ------------------------------------------------------------------------------------------------- times

    def _after(self, delay: int, act: Callable[..., None], *arguments: object) -> None:
        self.world.schedule.after(delay, act, *arguments)

    def _delay(self) -> int:
        low, high = self.world.plan.latency
        if self.calm:
            return low
        if self.world.schedule.now < self.slowed_until:
            high *= 12
        return self.world.dice.randint(low, high)

    def _jitter(self, wait: int) -> int:
        return self.world.dice.randint(wait // 2, wait)

    def _patience(self) -> int:
        return self.world.dice.randint(*DEAD_MS)
