"""Formation, searched: every order of deliveries, timeouts, crashes and losses that the bounds allow.

Mail is a set that only grows: what was sent may arrive at any time, twice, or never. That is more than a
network does, and it makes loss, delay, duplication and reordering one thing. A store is synced within the step,
except in the crash that strikes between a step and its sync: then only what the core lets go early has left.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from casty.raft.configuration import decode_configuration
from casty.raft.events import Received, Ticked
from casty.raft.options import Options
from casty.raft.types import NodeId, Recovered, ServerId, StoreId
from tests.sim.lone import Book, Place
from tests.sim.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from casty.raft.events import Event
    from casty.raft.types import ClusterId, Members
    from tests.sim.lone import Acquaintances, Lone


class Bounds(NamedTuple):
    """How many nodes, and how much may happen in one history."""

    size: int
    timeouts: int
    crashes: int = 0
    lost_disks: int = 0
    doubles: int = 0
    depth: int = 99


class Scene(NamedTuple):
    """Everything there is at a moment. `leaders` and `founded` are history that the future is held against."""

    servers: tuple[int, ...]
    """By machine, the number of its state."""
    mail: frozenset[int]
    """Everything sent to those who are there, by number."""
    left: Bounds
    leaders: frozenset[tuple[Members, int, Place]] = frozenset()
    founded: frozenset[tuple[Members, ClusterId]] = frozenset()
    """The clusters whose entry 1 a leader has seen committed."""


type Move = tuple[str, Scene]


class Search:
    """Breadth first, so that the first history that breaks a rule is a shortest one."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.book = Book(Options(expected_size=bounds.size))
        self.scenes = 0
        self.founded = 0
        """Scenes in which a cluster exists: a search that never got there has shown nothing."""

    def run(self) -> None:
        """Visits everything. Raises Violation, with the history in its text."""
        first = self._first()
        came_from: dict[Scene, tuple[Scene, str] | None] = {first: None}
        frontier = [first]
        for _ in range(self.bounds.depth):
            following: list[Scene] = []
            for scene in frontier:
                for what, after in self._moves(scene):
                    if after not in came_from:
                        came_from[after] = (scene, what)
                        following.append(after)
                        self._check(after, came_from)
            frontier = following
        self.scenes = len(came_from)
        self.founded = sum(bool(scene.founded) for scene in came_from)

    # ---------------------------------------------------------------------------------------- what may happen

    def _first(self) -> Scene:
        servers = [_server(machine, machine, 0) for machine in range(self.bounds.size)]
        places = [Place(machine, 0) for machine in range(self.bounds.size)]
        all_met = tuple(zip(servers, places, strict=True))
        numbers = [
            self.book.boot(place, Recovered(me.store_id), me, tuple(met for met in all_met if met[0] != me))
            for me, place in all_met
        ]
        return Scene(tuple(numbers), frozenset(), self.bounds)

    def _moves(self, scene: Scene) -> Iterator[Move]:
        for number in scene.mail:
            yield from self._arrivals(scene, number)
        for machine in range(len(scene.servers)):
            yield from self._moves_of(scene, machine)
        if scene.left.doubles:
            yield self._double(scene)

    def _arrivals(self, scene: Scene, letter: int) -> Iterator[Move]:
        mail = self.book.mail[letter]
        event = Received(mail.sender, mail.message, mail.origin)
        what = self.book.told(letter)
        number = scene.servers[mail.to.machine]
        after, sent = self.book.step(number, event, synced=True)
        yield what, self._with(scene, mail.to.machine, after, sent)
        if scene.left.crashes and self.book.lone[after].disk != self.book.lone[number].disk:
            yield f"{what}, and a crash before the sync", self._crash(scene, mail.to.machine, event)

    def _moves_of(self, scene: Scene, machine: int) -> Iterator[Move]:
        lone, left = self._at(scene, machine), scene.left
        if lone.core is None:
            yield f"{machine} starts", self._start(scene, machine, lone.disk)
            if left.lost_disks:
                spent = scene._replace(left=left._replace(lost_disks=left.lost_disks - 1))
                store = StoreId(bytes([lone.me.store_id[0], lone.place.boot + 1]) * 8)
                yield f"{machine} starts with an empty disk", self._start(spent, machine, Recovered(store))
            return
        if left.timeouts:
            spent = scene._replace(left=left._replace(timeouts=left.timeouts - 1))
            after, sent = self.book.step(scene.servers[machine], Ticked(), synced=True)
            yield f"{machine} times out", self._with(spent, machine, after, sent)
        if left.crashes:
            yield f"{machine} crashes", self._crash(scene, machine, None)
        yield from self._meetings(scene, machine)

    def _meetings(self, scene: Scene, machine: int) -> Iterator[Move]:
        """It hears the hello of somebody who is there, in place of what it knew under that node id."""
        lone = self._at(scene, machine)
        for other in range(len(scene.servers)):
            stranger = self._at(scene, other)
            if stranger.core is None or stranger.me.node_id == lone.me.node_id:
                continue
            met = _and(lone.met, stranger)
            if met != lone.met:
                number = self.book.meet(scene.servers[machine], met)
                yield f"{machine} meets {stranger.place}", self._with(scene, machine, number, frozenset())

    def _crash(self, scene: Scene, machine: int, event: Event | None) -> Scene:
        number, sent = scene.servers[machine], frozenset[int]()
        if event is not None:
            _, sent = self.book.step(number, event, synced=False)
        spent = scene._replace(left=scene.left._replace(crashes=scene.left.crashes - 1))
        return self._with(spent, machine, self.book.down(number, self.book.lone[number].disk), sent)

    def _start(self, scene: Scene, machine: int, disk: Recovered) -> Scene:
        """It comes back, and has met everybody who is there."""
        lone = self._at(scene, machine)
        place = Place(machine, lone.place.boot + 1)
        me = ServerId(lone.me.node_id, disk.store_id)
        number = self.book.boot(place, disk, me, self._everybody_but(scene, me))
        return self._with(scene, machine, number, frozenset())

    def _double(self, scene: Scene) -> Move:
        """A second process with the first node's id, on a machine and a disk of its own."""
        machine = len(scene.servers)
        twin = _server(0, machine, 0)
        number = self.book.boot(
            Place(machine, 0), Recovered(twin.store_id), twin, self._everybody_but(scene, twin)
        )
        left = scene.left._replace(doubles=scene.left.doubles - 1)
        return "0 runs twice", scene._replace(servers=(*scene.servers, number), left=left)

    def _everybody_but(self, scene: Scene, me: ServerId) -> Acquaintances:
        met: Acquaintances = ()
        for machine in range(len(scene.servers)):
            lone = self._at(scene, machine)
            if lone.core is not None and lone.me.node_id != me.node_id:
                met = _and(met, lone)
        return met

    def _at(self, scene: Scene, machine: int) -> Lone:
        return self.book.lone[scene.servers[machine]]

    # ------------------------------------------------------------------------------------- what came of it

    def _with(self, scene: Scene, machine: int, number: int, sent: frozenset[int]) -> Scene:
        servers = (*scene.servers[:machine], number, *scene.servers[machine + 1 :])
        lone = self.book.lone[number]
        mail = scene.mail | sent
        if len(mail) > len(scene.mail) or lone.core is None:
            here = {self.book.lone[n].place for n in servers if self.book.lone[n].core is not None}
            mail = frozenset(letter for letter in mail if self.book.mail[letter].to in here)
        leaders, founded = scene.leaders, scene.founded
        if lone.leads and lone.configuration is not None:
            leaders |= {(lone.configuration.members, lone.leads, lone.place)}
            if lone.committed:
                founded |= {(lone.configuration.members, lone.configuration.cluster_id)}
        return Scene(servers, mail, scene.left, leaders, founded)

    def _check(self, scene: Scene, came_from: dict[Scene, tuple[Scene, str] | None]) -> None:
        problem = self._problem(scene) if scene.leaders else None
        if problem is not None:
            raise Violation(problem, "\n".join(_history(came_from, scene)))

    def _problem(self, scene: Scene) -> str | None:
        """What is wrong here, if anything."""
        terms = [(members, term) for members, term, _ in scene.leaders]
        if len(set(terms)) < len(terms):
            return "two leaders in a term"
        if not all(self._is_bound(scene, members) for members, _ in terms):
            return "a leader by a list that is not locked"
        named = [server for members, _ in scene.founded for server in members]
        if len(set(named)) < len(named):
            return "two entries 1 committed"
        for members, cluster_id in scene.founded:
            for machine in range(len(scene.servers)):
                lone = self._at(scene, machine)
                if lone.leads and lone.me in members and lone.configuration != (cluster_id, members):
                    return "a leader without the committed entry 1"
            if not self._is_kept(scene, members, cluster_id):
                return "a committed entry 1 is lost"
        return None

    def _is_bound(self, scene: Scene, members: Members) -> bool:
        """Everybody on a leader's list is bound to it for ever, durably (spec FORM-3, FORM-5)."""
        lone = [self._at(scene, machine) for machine in range(len(scene.servers))]
        return all(one.disk.hard_state.lock == members for one in lone if one.me in members)

    def _is_kept(self, scene: Scene, members: Members, cluster_id: ClusterId) -> bool:
        """A majority of the list has it durably, where the lost disks count as if they were still there."""
        without = 0
        for machine in range(len(scene.servers)):
            lone = self._at(scene, machine)
            if lone.me in members:
                entries = lone.disk.entries
                without += not entries or decode_configuration(entries[0].data) != (cluster_id, members)
        return without <= (len(members) - 1) // 2

    def main(self) -> None:
        self.run()
        print(f"{self.bounds}: {self.scenes} scenes, in {self.founded} of them a cluster")


def _server(node: int, machine: int, disk: int) -> ServerId:
    return ServerId(NodeId("abc"[node]), StoreId(bytes([machine, disk]) * 8))


def _and(met: Acquaintances, newcomer: Lone) -> Acquaintances:
    others = [pair for pair in met if pair[0].node_id != newcomer.me.node_id]
    return tuple(sorted([*others, (newcomer.me, newcomer.place)]))


def _history(came_from: dict[Scene, tuple[Scene, str] | None], scene: Scene) -> list[str]:
    """The moves that led there, first to last."""
    moves: list[str] = []
    step = came_from[scene]
    while step is not None:
        before, what = step
        moves.append(what)
        step = came_from[before]
    return moves[::-1]


if __name__ == "__main__":
    Search(Bounds(*map(int, sys.argv[1:]))).main()
