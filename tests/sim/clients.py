"""The workload: unique commands to any server, and an exact account of what was said about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from casty.raft.events import Proposed, Role
from casty.raft.types import EntryKind
from tests.sim.violation import Violation

if TYPE_CHECKING:
    from random import Random

    from casty.raft.events import Committed
    from casty.raft.types import Entry
    from tests.sim.process import Process
    from tests.sim.tally import Tally


@dataclass(slots=True, eq=False)
class Command:
    """A proposal; its own ticket. `outcome` is what the server said: committed, refused or lost."""

    number: int
    data: bytes
    process: Process
    outcome: str | None = None
    index: int | None = None


class Clients:
    """Proposes, and holds servers to their word: one true outcome for each ticket (spec COMMIT-4)."""

    def __init__(self, dice: Random, tally: Tally) -> None:
        self.dice = dice
        self.tally = tally
        self.commands: list[Command] = []
        self._seen: set[bytes] = set()
        """The data of all commands that ever stood in a log."""
        self._refused: set[bytes] = set()
        self._index_of: dict[bytes, int] = {}
        """Of those that are committed, the index."""

    def propose(self, process: Process, bytes_max: int) -> Command:
        number = len(self.commands)
        padding = self.dice.randint(0, bytes_max) if bytes_max else 0
        command = Command(number, f"c{number}.".encode() + b"x" * padding, process)
        self.commands.append(command)
        self.tally.add("commands proposed")
        process.happen(Proposed(command, command.data))
        return command

    def choose(self, processes: list[Process]) -> Process:
        """Often somebody who believes to lead, else anybody."""
        leaders = [process for process in processes if process.status.role is Role.LEADER]
        return self.dice.choice(leaders if leaders and self.dice.random() < 0.7 else processes)

    # ------------------------------------------------------------------------------------ what servers say

    def refused(self, process: Process, ticket: object) -> None:
        command = self._resolve(process, ticket, "refused")
        self._refused.add(command.data)
        if command.data in self._seen:
            raise Violation("refused is never appended", f"command {command.number} stands in a log")

    def lost(self, process: Process, ticket: object) -> None:
        self._resolve(process, ticket, "lost")

    def handed(self, process: Process, effect: Committed) -> None:
        """The tickets that come with committed entries belong to those very entries."""
        for index, ticket in effect.tickets.items():
            command = self._resolve(process, ticket, "committed")
            command.index = int(index)
            at = index - effect.first_index
            if not 0 <= at < len(effect.entries) or effect.entries[at].data != command.data:
                text = f"command {command.number} is said to be {index}; the entries start at "
                raise Violation("tickets name their entries", f"{text}{effect.first_index}")

    def _resolve(self, process: Process, ticket: object, outcome: str) -> Command:
        assert isinstance(ticket, Command)
        if ticket.outcome is not None or ticket.process is not process:
            text = f"command {ticket.number} was {ticket.outcome}, and now {outcome} by {process.server}"
            raise Violation("one outcome", text)
        ticket.outcome = outcome
        self.tally.add(f"outcome {outcome}")
        return ticket

    # ---------------------------------------------------------------------------------- what the logs say

    def appeared(self, data: bytes) -> None:
        if data in self._refused:
            raise Violation("refused is never appended", f"{data[:12]!r} appears in a log")
        self._seen.add(data)

    def settled(self, index: int, entry: Entry) -> None:
        """An entry is committed; a command is so only once, for its client proposed it only once."""
        if entry.kind is not EntryKind.COMMAND:
            return
        first = self._index_of.setdefault(entry.data, index)
        if first != index:
            raise Violation("committed once", f"{entry.data[:12]!r} is entry {first} and entry {index}")
        self.tally.add("commands committed")

    def require_outcomes(self) -> None:
        """In the end everybody got an answer, except where the server died with the question."""
        for command in self.commands:
            if command.outcome is None and command.process.alive:
                text = f"command {command.number} to {command.process.server} has no outcome"
                raise Violation("one outcome", text)
