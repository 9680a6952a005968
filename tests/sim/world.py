"""Everything of one run: hosts, network, clients, faults and the observer, all drawn from the plan's seed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from casty.raft.events import Role
from tests.sim.clients import Clients
from tests.sim.copies import Copies
from tests.sim.host import Host
from tests.sim.nemesis import Nemesis
from tests.sim.network import Network
from tests.sim.readers import Readers
from tests.sim.schedule import Schedule
from tests.sim.tally import Tally
from tests.sim.trace import Trace
from tests.sim.watch import Watch

if TYPE_CHECKING:
    from casty.raft.events import Notice
    from casty.raft.types import Members, ServerId
    from tests.sim.plan import Plan
    from tests.sim.process import Process

COMMANDS_ENOUGH = 300
"""After so many the clients slow down: more of the same finds nothing new."""
NAMES = "abcdefghijklmnopqrstuvwxyz"


class World:
    """What all parts of a run share. Parts find each other here, and nowhere else."""

    def __init__(self, plan: Plan, *, traced: bool = False) -> None:
        self.plan = plan
        self.schedule = Schedule()
        self.dice = Random(f"world {plan.seed}")
        self.tally = Tally()
        self.trace = Trace(self.schedule) if traced else None
        self.stepped = 0
        self.stalls_allowed = True
        self.clients = Clients(Random(f"clients {plan.seed}"), self.tally)
        self.watch = Watch(self.clients, self.tally, coarse=plan.drain_lag > 0)
        self.copies = Copies(self.tally)
        self.network = Network(self)
        self.readers = Readers(self, Random(f"readers {plan.seed}"))
        self.nemesis = Nemesis(self, Random(f"nemesis {plan.seed}"))
        self.notices: list[tuple[int, Process, Notice]] = []
        self.hosts: list[Host] = []
        self._busy = True
        for name in NAMES[: plan.options.expected_size]:
            self.add_host(name, name)

    # ------------------------------------------------------------------------------------------------ hosts

    def add_host(self, name: str, node_id: str) -> Host:
        host = Host(self, name, node_id)
        self.hosts.append(host)
        return host

    def add_twin(self, host: Host) -> Host:
        """Another machine that claims to be the same node; each twin of a node has a disk of its own."""
        number = sum(other.node_id == host.node_id for other in self.hosts)
        return self.add_host(f"{host.node_id}{number}", host.node_id)

    def add_extra(self) -> Host:
        name = NAMES[len({host.node_id for host in self.hosts})]
        return self.add_host(name, name)

    def up(self) -> list[Process]:
        """The processes that run a server: not dead, not without Raft."""
        return [
            host.process for host in self.hosts if host.process and host.process.alive and not host.process.mute
        ]

    def doubles(self, host: Host) -> bool:
        """Whether the node id of this host is in use twice."""
        return sum(other.node_id == host.node_id and not other.stopped for other in self.hosts) > 1

    def dismiss(self, twin: Host) -> None:
        """Of two hosts of one node id, one goes for good; not the one that a cluster counts on."""
        same = [host for host in self.hosts if host.node_id == twin.node_id and not host.stopped]
        if len(same) < 2:
            return
        counted_on = self.counted_on()
        leaves = next((host for host in reversed(same) if self.server_of(host) not in counted_on), same[-1])
        leaves.crash(power=False)
        leaves.stopped = True
        for host in same:
            host.start()

    def server_of(self, host: Host) -> ServerId | None:
        return host.process.server if host.process is not None else None

    def bound_to(self, server: ServerId) -> Members | None:
        """The list this server is bound to by what its disk holds; None while it is FRESH."""
        memory = self.watch.remembered.get(server)
        if memory is None:
            return None
        if memory.hard_state.lock is not None:
            return memory.hard_state.lock
        if memory.trail.last == 0:
            return None
        return next((m for m, realm in self.watch.realms.items() if realm.holds(memory.trail)), None)

    def counted_on(self) -> set[ServerId]:
        """All servers that somebody's list names."""
        lists = [self.bound_to(server) for server in self.watch.remembered]
        return {server for members in lists if members is not None for server in members}

    # ------------------------------------------------------------------------------------------------ disks

    def disk_failed(self, process: Process) -> None:
        """Raft is over here (spec PERSIST-4). The process may go on, for its actors, or end with status 74."""
        if self.trace is not None:
            self.trace.note(process, "its disk fails")
        self.tally.add("disk errors")
        process.raft_over()
        if self.dice.random() < 0.5:
            process.mute = True
        else:
            process.host.crash(power=self.dice.random() < 0.5)

    def replace_controller(self, host: Host) -> None:
        """Somebody mends the disk and starts the process again."""
        host.disk.fails_next = False
        if host.up is None or host.up.mute:
            host.crash(power=False)
            host.start()

    # --------------------------------------------------------------------------------------------- the phases

    def begin(self) -> None:
        if self.plan.extra_first:
            self.add_extra()
        for host in self.hosts:
            self.schedule.after(self.dice.randint(0, self.plan.late_starts), host.start)
        self.nemesis.start()
        self.readers.start()
        self.schedule.after(self.plan.command_every, self._work)

    def _work(self) -> None:
        if not self._busy:
            return
        up = [process for process in self.up() if not process.paused]
        if up:
            process = self.clients.choose(up)
            burst = self.plan.burst_max if process.status.role is Role.LEADER else 1
            for _ in range(self.dice.randint(1, burst)):
                if process.alive and not process.mute:
                    self.clients.propose(process, self.plan.command_bytes_max)
        enough = self.tally["commands committed"] > COMMANDS_ENOUGH
        self.schedule.after(
            self.dice.randint(1, 2 * self.plan.command_every) * (8 if enough else 1), self._work
        )

    def truce(self) -> None:
        """Everything is mended, for the while that the next faults take to come."""
        self.nemesis.active = False
        self._mend()

    def heal(self) -> None:
        """All faults end for good, and no client is left."""
        self._busy = self.nemesis.active = self.stalls_allowed = self.readers.active = False
        self.network.calm = True
        self._remove_copies()
        self._mend()

    def _mend(self) -> None:
        """What has its disk comes back, nobody is there twice, and nobody is there who is not needed."""
        if self.trace is not None:
            self.trace.world("--- heal")
        self.network.mend_all()
        for host in self.hosts:
            host.disk.stalled_until = 0
            if host.up is not None:
                host.up.resume()
            self.replace_controller(host)
        for host in list(self.hosts):
            self.dismiss(host)
        for host in self.hosts[self.plan.options.expected_size :]:
            self.send_away(host)
        for host in self.hosts:
            host.start()
        self.network.redial_all()

    def _remove_copies(self) -> None:
        """The remedy that needs nothing: who runs on an old copy comes back as a new server."""
        for host in self.hosts:
            if self.server_of(host) in self.copies.restored:
                host.crash(power=False)
                host.lose()

    def send_away(self, extra: Host) -> None:
        """A host too many goes for good, unless a cluster counts on it."""
        if self.server_of(extra) not in self.counted_on():
            extra.crash(power=False)
            extra.stopped = True
