"""A machine: a name, a clock that runs as it likes, a disk, and at most one process."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from casty.errors import StorageError
from casty.raft.types import NodeId
from casty.storage.memory import MemoryStore
from tests.sim.process import Process

if TYPE_CHECKING:
    from casty.raft.types import Write
    from tests.sim.world import World


@dataclass(frozen=True, slots=True)
class Clock:
    """Monotonic, but neither at the world's rate nor with its zero."""

    rate: int
    """Its milliseconds in a thousand of the world's."""
    offset: int

    def read(self, now: int) -> int:
        return self.offset + now * self.rate // 1000

    def when(self, local: int) -> int:
        """The first moment of the world at which this clock shows `local`."""
        return -(-(local - self.offset) * 1000 // self.rate)


class Disk:
    """A `MemoryStore` whose syncs take time: what arrives during one is made durable by the next."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.random = Random(f"disk {world.plan.seed} {name}")
        self.store = MemoryStore(self.random)
        self.stalled_until = 0
        self.fails_next = False
        self._waiting: list[Write] = []
        self._syncing: list[Write] = []
        self._opened = 0

    @property
    def syncing(self) -> int:
        """How many writes have been handed to the store and are not known to be durable."""
        return len(self._syncing)

    def opened(self) -> None:
        """A new process uses it; what the last one waited for is of no interest."""
        self._waiting, self._syncing = [], []
        self._opened += 1

    def latency(self) -> int:
        plan, dice, now = self.world.plan, self.world.dice, self.world.schedule.now
        took = dice.randint(*plan.fsync)
        if plan.stalls and self.world.stalls_allowed and dice.random() < plan.stalls:
            took += dice.randint(plan.options.election_ms // 2, 3 * plan.options.election_ms)
        return max(took, self.stalled_until - now)

    def submit(self, process: Process, write: Write) -> None:
        self._waiting.append(write)
        if not self._syncing:
            self._begin(process)

    def _begin(self, process: Process) -> None:
        self._syncing, self._waiting = self._waiting, []
        self.store.stage(self._syncing)
        self.world.schedule.after(self.latency(), self._end, process, self._opened)

    def _end(self, process: Process, opened: int) -> None:
        if opened != self._opened or not process.alive:
            return
        if self.fails_next:
            self.fails_next = False
            self.store.fail_next_sync()
        try:
            self.store.sync()
        except StorageError:
            self.world.disk_failed(process)
            return
        token = self._syncing[-1].token
        self._syncing = []
        self.world.watch.synced(process.server, token)
        if self._waiting:
            self._begin(process)
        process.persisted(token)


class Host:
    """Where processes of one node id come and go."""

    def __init__(self, world: World, name: str, node_id: str) -> None:
        self.world = world
        self.name = name
        self.node_id = NodeId(node_id)
        self.disk = Disk(world, name)
        self.process: Process | None = None
        self.boots = 0
        self.stopped = False
        """It is not to be started again."""
        self.clock = Clock(1000, 0)

    @property
    def up(self) -> Process | None:
        return self.process if self.process is not None and self.process.alive else None

    def start(self) -> None:
        if self.up is not None or self.stopped:
            return
        world, dice = self.world, self.world.dice
        skew = world.plan.skew
        self.boots += 1
        self.clock = Clock(1000 + dice.randint(-skew, skew), dice.randint(0, 1 << 20))
        self.disk.opened()
        recovered = self.disk.store.load()
        self.process = process = Process(world, self, recovered, self.boots)
        world.watch.booted(process, recovered)
        if world.trace is not None:
            world.trace.note(process, f"starts as {process.server}, boot {self.boots}")
        process.start()
        world.network.joined(process)

    def crash(self, *, power: bool) -> None:
        """Ends the process; with the power goes what the disk had not synced, or some of it."""
        process = self.up
        if process is None:
            return
        if self.world.trace is not None:
            self.world.trace.note(process, "loses power" if power else "is killed")
        process.die()
        memory = self.world.watch.remembered[process.server]
        staged = self.disk.syncing
        kept = staged
        if power:
            kept = (
                self.world.dice.randint(0, staged)
                if self.world.dice.random() < self.world.plan.keeps_staged
                else 0
            )
            self.disk.store.crash(kept)
        if kept:
            memory.sync(memory.on_the_way[kept - 1].token)
        self.disk.opened()
        self.world.network.left(process, silently=power and self.world.dice.random() < 0.5)
        if self.world.plan.memory_only:
            self.lose()

    def lose(self) -> None:
        """A new disk, empty, and so another server."""
        self.disk.store.lose()
        self.world.tally.add("lost disks")
