"""One run of one server: the shell around the core, as thin as the real one, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from casty.cluster.revisions import Revisions
from casty.raft.events import Committed, Discovered, Persisted, Received, Restored, SnapshotTaken, Ticked
from casty.raft.messages import PreVoteRequest, Refusal, VoteRequest, VoteResponse
from casty.raft.node import Raft
from casty.raft.types import EntryKind, Index, Millis, ServerId, Snapshot, Term
from tests.sim.machine import StateMachine
from tests.sim.network import Connection
from tests.sim.trail import Trail
from tests.sim.violation import Violation

if TYPE_CHECKING:
    from casty.raft.events import Event, Outgoing, Ready, Status
    from casty.raft.messages import Message, Request
    from casty.raft.types import Configuration, Recovered, Write
    from tests.sim.host import Host
    from tests.sim.readers import Reader
    from tests.sim.realm import Realm
    from tests.sim.world import World

READIES_MAX = 100
"""More in a row, without an event in between, is a loop: a leader fills 64 flights with one request each."""


class Process:
    """Steps the core, does what `ready` says, and keeps what the observer wants to know of this run.

    Needs: its host's disk and clock, the world's network and schedule. Provides: `happen`, `pause`, `resume`,
    `die`. After `die`, nothing that was on its way to it has any effect.
    """

    def __init__(self, world: World, host: Host, recovered: Recovered, boot: int) -> None:
        self.world = world
        self.host = host
        self.boot = boot
        self.server = ServerId(host.node_id, recovered.store_id)
        self.boot_id = recovered.boots[0].boot_id
        self.boots = recovered.boots if world.plan.says_revisions else ()
        self.revisions = Revisions(recovered.peers)
        self.alive = True
        self.mute = False
        """Its disk failed: Raft is over here, the process goes on (spec PERSIST-4)."""
        self.paused = False
        self._inbox: list[Event] = []
        self._wake_at: int | None = None
        self._drain_due = False
        self.machine = StateMachine()
        self._machine_busy: list[Committed | Restored] = []
        self._saving = False
        # What the observer keeps here.
        self.asked: dict[tuple[ServerId, int], Request] = {}
        self.granted: dict[int, set[ServerId]] = {}
        self.discovered: list[frozenset[ServerId]] = [frozenset({self.server})]
        self.fresh_when_asked: dict[Request, set[frozenset[ServerId]]] = {}
        """Whom it had discovered when that request came (which may be more than once), if it was FRESH then."""
        self.readers: list[Reader] = []
        self.realm: Realm | None = None
        self.trail = Trail()
        self.status: Status
        self.led = 0
        self.commit = 0
        self.handed = 0
        dice = Random(f"core {world.plan.seed} {host.name} {boot}")
        self.raft = Raft(self.server, world.plan.options, recovered, dice, self.clock())

    @property
    def revision(self) -> int | None:
        """How far its disk has come; None where it has none, or does not say (spec HELLO-10)."""
        return self.host.disk.store.revision if self.boots else None

    def start(self) -> None:
        """The observer knows it by now; what the core wants at once, it gets."""
        self._settle()

    def clock(self) -> Millis:
        return Millis(self.host.clock.read(self.world.schedule.now))

    # -------------------------------------------------------------------------------------------- events in

    def happen(self, event: Event) -> None:
        if not self.alive or self.mute:
            return
        if self.paused:
            self._inbox.append(event)
            return
        self.world.stepped += 1
        self._note(event)
        if self.readers:
            self.world.readers.hears(self, event)
        self.raft.step(event, self.clock())
        lag = self.world.plan.drain_lag
        if not lag:
            self._settle()
        elif not self._drain_due:
            self._drain_due = True
            self.world.schedule.after(self.world.dice.randint(0, lag), self._drain)

    def _note(self, event: Event) -> None:
        """What the observer wants to know of an event before the core does."""
        match event:
            case Received(sender, VoteResponse(vote_granted=True) as response, _):
                self.granted.setdefault(response.request_term, set()).add(sender)
            case Received(_, VoteRequest() | PreVoteRequest() as request, _):
                if self.raft.status().standing == "fresh":
                    self.fresh_when_asked.setdefault(request, set()).add(self.discovered[-1])
            case Discovered(servers):
                self.discovered.append(servers)
            case _:
                pass

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        if not self.paused:
            return
        self.paused = False
        inbox, self._inbox = self._inbox, []
        for event in inbox:
            self.happen(event)
        self.wake()

    def die(self) -> None:
        self.alive = False
        self.world.watch.left(self)
        self.raft_over()

    def raft_over(self) -> None:
        """Nobody will ever again hear from this core."""
        self.world.watch.left(self)

    # ------------------------------------------------------------------------------------------ effects out

    def _drain(self) -> None:
        self._drain_due = False
        if self.alive and not self.paused and not self.mute:
            self._settle()
        elif self.alive and self.paused:
            self._drain_due = True
            self.world.schedule.after(50, self._drain)

    def _settle(self) -> None:
        for _ in range(READIES_MAX):
            ready = self.raft.ready()
            if ready is None:
                break
            self._do(ready)
        else:
            raise Violation("ready ends", f"{self.server} is never done: {ready}")
        self._set_alarm()

    def _do(self, ready: Ready) -> None:
        world = self.world
        world.watch.ready(self, ready)
        if world.trace is not None:
            world.trace.ready(self, ready)
        if ready.write is not None:
            peers = self.revisions.to_write()
            self.host.disk.submit(self, ready.write if peers is None else replace(ready.write, peers=peers))
            self._betray(ready.write)
        for outgoing in ready.messages:
            self._send(outgoing)
        for effect in ready.apply:
            self._queue(effect)
        for ticket in (*ready.refused, *ready.overloaded):
            world.clients.refused(self, ticket)
        for ticket in ready.lost:
            world.clients.lost(self, ticket)
        world.readers.passed(self, ready.passed)
        for notice in ready.notices:
            world.notices.append((world.schedule.now, self, notice))
        world.copies.found(ready.lost_data)
        for lost in ready.lost_data:
            self.revisions.lose(lost)
            world.network.keep_out(self, lost)

    def _betray(self, write: Write) -> None:
        """Some faults wait for a certain moment."""
        hard, nemesis = write.hard_state, self.world.nemesis
        locks = hard is not None and hard.lock is not None and self.trail.last == 0
        if locks or (write.entries and write.entries[0].kind is not EntryKind.COMMAND):
            nemesis.spring(self)
        if hard is not None and hard.voted_for == self.server:
            nemesis.campaigns(self)

    def _send(self, outgoing: Outgoing) -> None:
        if isinstance(outgoing.message, Refusal):
            self.world.tally.add("refusals")
            return
        if isinstance(outgoing.via, Connection):
            self.world.network.reply(outgoing.via, self, outgoing.message)
        else:
            self.world.network.request(self, outgoing.to, outgoing.message)

    def receive(self, sender: ServerId, message: Message, via: Connection) -> None:
        if self.world.trace is not None:
            self.world.trace.received(self, sender, message)
        self.happen(Received(sender, message, via))

    def question(self, via: object, seq: int) -> Request | None:
        """What was asked, on the connection that the answer goes back on."""
        assert isinstance(via, Connection), f"an answer without a connection: {via}"
        return via.dialler.asked.get((self.server, seq))

    def persisted(self, token: int) -> None:
        self.happen(Persisted(token))

    # ------------------------------------------------------------------------------------------------- time

    def _set_alarm(self) -> None:
        """One timer. A deadline that moved away leaves the old alarm standing; it finds nothing to do."""
        deadline = self.raft.deadline
        if deadline is None:
            return
        at = self.host.clock.when(deadline)
        if self._wake_at is None or at < self._wake_at:
            now = self.world.schedule.now
            self._wake_at = max(at, now)
            self.world.schedule.after(self._wake_at - now, self._alarm, self._wake_at)

    def _alarm(self, at: int) -> None:
        if self._wake_at == at:
            self._wake_at = None
            self.wake()

    def wake(self) -> None:
        if not self.alive or self.paused or self.mute:
            return
        deadline = self.raft.deadline
        if deadline is not None and deadline <= self.clock():
            self.happen(Ticked())
            after = self.raft.deadline
            if after is not None and after <= self.clock():
                raise Violation("the deadline moves on", f"{after} at {self.clock()}, after a tick")
        self._set_alarm()

    # ---------------------------------------------------------------------------------------- state machine

    def _queue(self, effect: Committed | Restored) -> None:
        """Applying may take its time; the order stays."""
        self._machine_busy.append(effect)
        lag = self.world.plan.apply_lag
        if not lag:
            self._apply_next()
        elif len(self._machine_busy) == 1:
            self.world.schedule.after(self.world.dice.randint(0, lag), self._apply_next)

    def _apply_next(self) -> None:
        if not self.alive:
            return
        effect = self._machine_busy.pop(0)
        if isinstance(effect, Restored):
            self.machine.restore(effect.snapshot.data)
            self.world.tally.add("snapshots restored")
        else:
            for index, entry in enumerate(effect.entries, effect.first_index):
                self.machine.apply(index, entry)
                self.world.watch.applied(self)
        self.world.watch.applied(self)
        self._consider_snapshot()
        if self._machine_busy:
            self.world.schedule.after(self.world.dice.randint(0, self.world.plan.apply_lag), self._apply_next)

    def _consider_snapshot(self) -> None:
        plan, applied = self.world.plan, self.machine.applied
        behind = applied - self.raft.status().snapshot_index
        if not plan.snapshot_every or self._saving or behind < plan.snapshot_every or self.mute:
            return
        term, configuration = self.raft.log.term_at(Index(applied)), self.raft.configuration
        if term is None or configuration is None:
            return  # the log has moved past what the state machine has applied: a restore is on its way
        self._saving = True
        snapshot = self._snapshot(applied, term, configuration)
        self.world.schedule.after(self.host.disk.latency(), self._saved, snapshot)

    def _snapshot(self, applied: int, term: Term, configuration: Configuration) -> Snapshot:
        data = self.machine.serialise(self.world.plan.snapshot_padding)
        return Snapshot.of(Index(applied), term, configuration, data)

    def _saved(self, snapshot: Snapshot) -> None:
        if not self.alive or self.mute:
            return
        self._saving = False
        self.host.disk.store.save_snapshot(snapshot)
        self.world.tally.add("snapshots taken")
        self.happen(SnapshotTaken(snapshot))
