"""Those who wait until a server has all that was committed when they asked, and hold it to that (paper §8).

They look on and change nothing: a seed has the same history with them and without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from casty.raft.events import BarrierLifted, BarrierSet, Received, Role
from casty.raft.messages import AppendEntriesRequest
from tests.sim.network import Connection
from tests.sim.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from casty.raft.events import Event, Passed
    from casty.raft.types import Members
    from tests.sim.process import Process
    from tests.sim.world import World

WAITING_MAX = 3
"""At each server; who waits longest then leaves."""


@dataclass(slots=True, eq=False)
class Reader:
    """One who waits; its own ticket."""

    asked_at: int
    settled: dict[Members, int]
    """How many entries of each cluster were committed then, as far as anybody knew."""
    told: int | None = None
    """The term of the first leader whose request left after the question and was read."""


class Readers:
    def __init__(self, world: World, dice: Random) -> None:
        self.world = world
        self.dice = dice
        self.active = True

    def start(self) -> None:
        self.world.schedule.after(self.dice.randint(1, 4 * self.world.plan.command_every), self._ask)

    def _ask(self) -> None:
        if not self.active:
            return
        up = [process for process in self.world.up() if not process.paused]
        if up:
            process = self.dice.choice(up)
            realms = self.world.watch.realms
            settled = {members: len(realm.settled) for members, realm in realms.items()}
            reader = Reader(self.world.schedule.now, settled)
            process.readers.append(reader)
            process.raft.step(BarrierSet(reader), process.clock())
            if len(process.readers) > WAITING_MAX:
                process.raft.step(BarrierLifted(process.readers.pop(0)), process.clock())
        self.start()

    def hears(self, process: Process, event: Event) -> None:
        """Before the server reads a request: if that left after a question, the server is told so."""
        match event:
            case Received(_, AppendEntriesRequest(term=term, seq=seq), Connection() as via):
                sent_at = via.sent.get(seq, 0)
            case _:
                return
        for reader in process.readers:
            if reader.told is None and sent_at > reader.asked_at and term >= process.raft.status().term:
                reader.told = term
                process.raft.step(BarrierSet(reader, via), process.clock())

    def passed(self, process: Process, passed: Iterable[Passed]) -> None:
        """Nothing that was committed before the question may lie above, unless by a successor of who told."""
        for ticket, index in passed:
            if not isinstance(ticket, Reader) or ticket not in process.readers:
                raise Violation("barriers are passed once", f"{process.server} passes one that nobody set")
            process.readers.remove(ticket)
            status, realm = process.raft.status(), process.realm
            term = status.term if status.role is Role.LEADER else ticket.told
            if term is None or realm is None:
                raise Violation(
                    "barriers need a leader's word", f"{process.server} passes one at {index} alone"
                )
            if index > status.commit_index:
                raise Violation(
                    "barriers are passed with the commit", f"{index}, while {status.commit_index} is"
                )
            for missing in range(ticket.settled.get(realm.members, 0), index, -1):
                if realm.settled[missing - 1].commit_term <= term:
                    text = (
                        f"{process.server} is at {index}; {missing} was committed before, told in term {term}"
                    )
                    raise Violation("all that was committed is here", text)
            self.world.tally.add("barriers passed")
