"""Old copies: a server's disk as it was a while ago takes the place of the one it has come to.

What is demanded then. No process that was told of a later revision by the server itself lets the copy in
(HELLO-11). A server whose disk is the one it always was is never accused, whatever is late, lost or repeated
(LEADER-10). While no process has let the copy in, every other rule holds as ever. Where one has that could not
know, the rest of the run proves nothing about safety: the server has forgotten votes and acknowledgements,
which is more than the algorithm bears.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.sim.violation import Violation

if TYPE_CHECKING:
    from casty.raft.events import LostData
    from casty.raft.types import ServerId
    from casty.storage.memory import MemoryStore
    from tests.sim.host import Host
    from tests.sim.process import Process
    from tests.sim.tally import Tally
    from tests.sim.trail import Remembered

STRICT = ("old copies are refused", "only old copies are accused")
"""What must hold even where an old copy was let in."""


@dataclass(slots=True)
class OldCopy:
    """A disk as it was at some moment, and what the observer knew of it then."""

    store: MemoryStore
    memory: Remembered
    revision: int


class Copies:
    """Knows which servers run on old copies, who was told what, and who let one in."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.restored: dict[ServerId, OldCopy] = {}
        self.let_in = False
        self._told: dict[tuple[Process, ServerId], int] = {}
        """By a server whose disk was the right one, to a process."""

    def take(self, host: Host, server: ServerId, memory: Remembered) -> OldCopy:
        shared = host.disk.random  # else the copy would draw the ids again that the store has drawn since
        store = deepcopy(host.disk.store, {id(shared): shared})
        store.crash()
        copied = deepcopy(memory)
        copied.on_the_way.clear()
        return OldCopy(store, copied, store.revision)

    def told(self, process: Process, server: ServerId, revision: int) -> None:
        """A server says how far its disk has come."""
        if server not in self.restored:
            before = self._told.get((process, server), 0)
            self._told[process, server] = max(before, revision)

    def came_in(self, process: Process, newcomer: Process) -> None:
        """A process accepts the hello of another."""
        copy = self.restored.get(newcomer.server)
        if copy is None:
            return
        if self._told.get((process, newcomer.server), 0) > copy.revision:
            text = f"{process.server} lets {newcomer.server} in, whose disk is of revision {copy.revision}"
            raise Violation("old copies are refused", text)
        self.let_in = True
        self.tally.add("old copies let in")

    def refused(self, newcomer: Process) -> None:
        if newcomer.server not in self.restored:
            raise Violation("only old copies are accused", f"{newcomer.server} is refused")
        self.tally.add("old copies refused")

    def found(self, lost: tuple[LostData, ...]) -> None:
        for each in lost:
            if each.server not in self.restored:
                raise Violation("only old copies are accused", f"{each}")
            self.tally.add("losses found")
