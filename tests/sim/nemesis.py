"""What goes wrong: one method for each kind of fault in `plan.FAULTS`; each ends by itself, or at the heal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.raft.events import Role
from tests.sim.plan import OLD_COPY

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from casty.raft.types import ServerId
    from tests.sim.copies import OldCopy
    from tests.sim.host import Host
    from tests.sim.process import Process
    from tests.sim.world import World


class Nemesis:
    """Draws faults at random moments while it is `active`."""

    def __init__(self, world: World, dice: Random) -> None:
        self.world = world
        self.dice = dice
        self.active = False
        self._campaign = 0
        self._trapped = False
        self._copied = False
        self._sleeper: Process | None = None
        self._kinds: dict[str, Callable[[], bool]] = {
            "crash": lambda: self._crash(self._any()),
            "crash leader": lambda: self._crash(self._leader()),
            "crash all": self._crash_all,
            "pause": lambda: self._pause(self._any()),
            "pause leader": lambda: self._pause(self._leader()),
            "split": self._split,
            "isolate leader": self._isolate_leader,
            "one way": self._one_way,
            "bridge": self._bridge,
            "ring": self._ring,
            "reset": self._reset,
            "slow links": self._slow_links,
            "stall": lambda: self._stall(self._any()),
            "stall leader": lambda: self._stall(self._leader()),
            "lose disk": self._lose_disk,
            "disk error": self._disk_error,
            "late ack": self._late_ack,
            "ambush": self._ambush,
            "double": self._double,
            "extra": self._extra,
            OLD_COPY: self._old_copy,
        }

    def start(self) -> None:
        self.active = True
        self._campaign += 1
        self.world.schedule.after(self._pause_between(), self._strike, self._campaign)
        if self.world.plan.resets_every:
            self.world.schedule.after(self.world.plan.resets_every, self._reset_now_and_then, self._campaign)

    def strike(self, kind: str) -> bool:
        """One fault of that kind; says whether there was something it could befall."""
        if self.world.trace is not None:
            self.world.trace.world(f"--- {kind}")
        if not self._kinds[kind]():
            return False
        self.world.tally.fault(kind)
        return True

    def depose(self) -> None:
        """Whoever leads is cut off for long enough that another one is elected, or restarted if it is alone."""
        leader = self._leader()
        others = [host for host in self.world.hosts if host is not leader and host.up is not None]
        if leader is None:
            return
        if not others:
            leader.crash(power=True)
            leader.start()
            return
        ways = _between([leader], others)
        for way in ways:
            self.world.network.cut(*way)
        self.world.schedule.run(self.world.schedule.now + 8 * self.world.plan.options.election_ms)
        for way in ways:
            self.world.network.mend(*way)

    def _strike(self, campaign: int) -> None:
        if self.active and campaign == self._campaign:
            if not self.strike(self.dice.choice(self.world.plan.faults)):
                self.strike(self.dice.choice(("reset", "pause")))
            self.world.schedule.after(self._pause_between(), self._strike, campaign)

    def _pause_between(self) -> int:
        return self.dice.randint(1, 2 * self.world.plan.fault_every)

    def _length(self) -> int:
        return self.dice.randint(1, 2 * self.world.plan.fault_length)

    def _later(self, act: Callable[[], None]) -> None:
        """Ends a fault, unless the heal has done so before."""

        def end() -> None:
            if self.active:
                act()

        self.world.schedule.after(self._length(), end)

    def spring(self, process: Process) -> None:
        """It just wrote a lock, or its term's first entry: the moment an ambush waits for."""
        if self._trapped and self.active:
            self._trapped = False
            self.world.schedule.after(
                self.dice.randint(0, 2 * self.world.plan.latency[1]), self._fall_upon, process
            )

    def _fall_upon(self, process: Process) -> None:
        others = [other for other in self.world.hosts if other is not process.host and other.up is not None]
        victim = self.dice.choice(others) if others and self.dice.random() < 0.3 else process.host
        if not self.active or victim.up is None:
            return
        loses = self._may_lose_a_store() and self.dice.random() < 0.5
        if loses or not self.world.plan.memory_only:
            victim.crash(power=True)
            if loses and not self.world.plan.memory_only:
                victim.lose()
            self._later(victim.start)

    # --------------------------------------------------------------------------------------------- victims

    def _any(self) -> Host | None:
        up = [host for host in self.world.hosts if host.up is not None]
        return self.dice.choice(up) if up else None

    def _leader(self) -> Host | None:
        leading = [p.host for p in self.world.up() if p.status.role is Role.LEADER]
        return self.dice.choice(leading) if leading else None

    def _may_lose_a_store(self) -> bool:
        return self.world.tally["lost disks"] < self.world.plan.lost_disks_max

    # ------------------------------------------------------------------------------------ processes and disks

    def _crash(self, host: Host | None) -> bool:
        if host is None or (self.world.plan.memory_only and not self._may_lose_a_store()):
            return False
        host.crash(power=self.dice.random() < 0.7)
        self._later(host.start)
        return True

    def _crash_all(self) -> bool:
        if self.world.plan.memory_only:
            return False
        for host in self.world.hosts:
            self._crash(host)
        return True

    def _pause(self, host: Host | None) -> bool:
        process = host.up if host is not None else None
        if process is None or process.paused:
            return False
        process.pause()
        self._later(process.resume)
        return True

    def _stall(self, host: Host | None) -> bool:
        if host is None or self.world.plan.memory_only:
            return False
        host.disk.stalled_until = self.world.schedule.now + self._length()
        return True

    def _ambush(self) -> bool:
        self._trapped = True
        return True

    def _late_ack(self) -> bool:
        """The leader sleeps until another server campaigns. Then its entries reach some voters just before the
        candidate does, and their disks take so long that acknowledgement and vote leave together."""
        leader = self._leader()
        process = leader.up if leader is not None else None
        if process is None or process.paused or self.world.plan.memory_only:
            return False
        process.pause()
        self._later(process.resume)
        self._sleeper = process
        return True

    def campaigns(self, candidate: Process) -> None:
        """It just wrote a vote for itself: the moment that a sleeping leader waits for."""
        leader, self._sleeper = self._sleeper, None
        if leader is None or leader is candidate or not (self.active and leader.alive and leader.paused):
            return
        others = [host for host in self._shuffled() if host not in (leader.host, candidate.host)]
        reached = self.world.plan.options.expected_size // 2
        election = self.world.plan.options.election_ms
        for voter in others[:reached]:
            voter.disk.stalled_until = self.world.schedule.now + self.dice.randint(1, election)
        self._cut(_between([leader.host], [candidate.host, *others[reached:]]))
        self.world.schedule.after(0, self._rouse, leader)

    def _rouse(self, leader: Process) -> None:
        leader.resume()
        if leader.alive and not leader.mute:
            self.world.clients.propose(leader, 0)

    def _lose_disk(self) -> bool:
        host = self._any()
        if host is None or not self._may_lose_a_store() or host.up is None:
            return False
        host.crash(power=True)
        if not self.world.plan.memory_only:
            host.lose()
        self._later(host.start)
        return True

    def _disk_error(self) -> bool:
        host = self._any()
        if host is None or self.world.plan.memory_only:
            return False
        host.disk.fails_next = True
        self._later(lambda: self.world.replace_controller(host))
        return True

    def _double(self) -> bool:
        """A second process with a node id in use, and a store of its own."""
        host = self._any()
        if host is None or self.world.doubles(host):
            return False
        twin = self.world.add_twin(host)
        twin.start()
        self._later(lambda: self.world.dismiss(twin))
        return True

    def _extra(self) -> bool:
        """A node too many, with an id of its own."""
        if len(self.world.hosts) > 2 * self.world.plan.options.expected_size + 1:
            return False
        extra = self.world.add_extra()
        extra.start()
        if self.dice.random() < 0.7:
            self._later(lambda: self.world.send_away(extra))
        return True

    def _old_copy(self) -> bool:
        """A disk is copied; later the copy takes its place."""
        host = self._any()
        process = host.up if host is not None else None
        if host is None or process is None or self._copied or process.mute:
            return False
        self._copied = True
        copy = self.world.copies.take(host, process.server, self.world.watch.remembered[process.server])
        self._later(lambda: self._put_back(host, process.server, copy))
        return True

    def _put_back(self, host: Host, server: ServerId, copy: OldCopy) -> None:
        """Unless nothing was written since: that is no older copy, and neither is it one of another disk."""
        process = host.process
        if process is None or process.server != server or host.stopped:
            return
        host.crash(power=False)
        if host.disk.store.revision > copy.revision:
            host.disk.store = copy.store
            self.world.watch.forgotten[server] = self.world.watch.remembered[server]
            self.world.watch.remembered[server] = copy.memory
            self.world.copies.restored[server] = copy
        self._later(host.start)

    # ------------------------------------------------------------------------------------------- the network

    def _cut(self, pairs: list[tuple[Host, Host]]) -> bool:
        """Cuts source from target, for a while."""
        network = self.world.network
        for source, target in pairs:
            network.cut(source, target)

        def mend() -> None:
            for source, target in pairs:
                network.mend(source, target)

        self._later(mend)
        return bool(pairs)

    def _shuffled(self) -> list[Host]:
        return self.dice.sample(self.world.hosts, len(self.world.hosts))

    def _split(self) -> bool:
        hosts = self._shuffled()
        at = self.dice.randint(1, max(1, len(hosts) - 1))
        return self._cut(_between(hosts[:at], hosts[at:]))

    def _isolate_leader(self) -> bool:
        leader = self._leader()
        return leader is not None and self._cut(
            _between([leader], [h for h in self.world.hosts if h is not leader])
        )

    def _one_way(self) -> bool:
        host = self._leader() if self.dice.random() < 0.5 else self._any()
        others = [other for other in self._shuffled() if other is not host]
        if host is None or not others:
            return False
        others = others[: self.dice.randint(1, len(others))]
        outward = self.dice.random() < 0.5
        return self._cut([(host, other) if outward else (other, host) for other in others])

    def _bridge(self) -> bool:
        """Two halves, and one node that reaches both."""
        hosts = self._shuffled()
        middle = len(hosts) // 2
        return len(hosts) > 2 and self._cut(_between(hosts[:middle], hosts[middle + 1 :]))

    def _ring(self) -> bool:
        """Everybody sees a majority, no two see the same."""
        hosts = self._shuffled()
        count = len(hosts)
        reach = count // 4 + (count % 4 > 1)
        far = [
            (hosts[i], hosts[j])
            for i in range(count)
            for j in range(count)
            if reach < min((i - j) % count, (j - i) % count)
        ]
        return self._cut(far)

    def _reset(self) -> bool:
        connections = self.world.network.open
        if not connections:
            return False
        for _ in range(self.dice.randint(1, 4)):
            self.world.network.reset(self.dice.choice(connections))
        return True

    def _reset_now_and_then(self, campaign: int) -> None:
        if self.active and campaign == self._campaign:
            if self.world.network.open:
                self.world.network.reset(self.dice.choice(self.world.network.open))
            wait = self.dice.randint(1, 2 * self.world.plan.resets_every)
            self.world.schedule.after(wait, self._reset_now_and_then, campaign)

    def _slow_links(self) -> bool:
        self.world.network.slowed_until = self.world.schedule.now + self._length()
        return True


def _between(these: list[Host], those: list[Host]) -> list[tuple[Host, Host]]:
    """All ways from one group to the other, in both directions."""
    return [pair for one in these for other in those for pair in ((one, other), (other, one))]
