"""A live cluster: nodes under test that reach each other only through the suite's network."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from conformance import work
from conformance._protocol import APPEND_ENTRIES_RES, VOTE_REQUEST
from conformance.history.client import Client as Hand
from conformance.peer.client import Client
from conformance.peer.peer import Peer
from conformance.proxy.faults import Drop, Fault
from conformance.trace.record import Marked
from conformance.verdict import Unmet
from conformance.witness import RAFT, Reign, Witness

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from random import Random

    from conformance.history.operation import Operation
    from conformance.history.workload import Load
    from conformance.node.node import Node
    from conformance.proxy.network import Network
    from conformance.trace.store import Trace
    from conformance.work import Work

INTROSPECTION: Final = "introspect"


class Cluster:
    """Nodes by name, the network between them, and what the wires show. Clients go through the network, too.

    All bounds are `patience`; a cluster may need several elections for what a single node does at once.
    """

    def __init__(
        self,
        nodes: Mapping[str, Node],
        network: Network,
        addresses: Mapping[str, str],
        trace: Trace,
        rng: Random,
        folder: Path,
        *,
        scale: float,
        patience: float,
    ) -> None:
        self.nodes = dict(nodes)
        self.names = tuple(self.nodes)
        self.network = network
        self.addresses = dict(addresses)
        """Where clients and nodes reach each node, in all its lives."""
        self.wires = Witness(trace, len(self.names), patience)
        self.patience = patience
        self.scale = scale
        self.trace = trace
        self._rng = rng
        self._folder = folder
        self._hand = Hand(
            0,
            self.addresses,
            trace.now,
            rng,
            size=len(self.names),
            attempt_seconds=1.0 * scale,
            patience=patience,
        )
        self._askers: dict[str, tuple[str, Client]] = {}
        self._asked = 0
        self._callers: list[Peer] = []

    def others(self, *but: str) -> list[str]:
        """All names except these."""
        return [name for name in self.names if name not in but]

    # ------------------------------------------------------------------------------------------- nodes' lives

    async def start(self, *names: str) -> None:
        """Starts these nodes (all, without) side by side, and lets the network find them."""
        await asyncio.gather(*(self._start(name) for name in names or self.names))

    async def _start(self, name: str) -> None:
        await self.nodes[name].start()
        self.network.serve(name, self.nodes[name].address)

    async def kill(self, *names: str) -> None:
        """`kill -9` for these nodes (all, without), side by side."""
        for name in names or self.names:
            self.network.serve(name, None)
        await asyncio.gather(*(self.nodes[name].kill() for name in names or self.names))

    async def restart(self, *names: str) -> None:
        """Kills these nodes (all, without) and starts them again on their directories."""
        await self.kill(*names)
        await self.start(*names)

    def pause(self, *names: str) -> None:
        """SIGSTOP."""
        for name in names:
            self.nodes[name].pause()

    def resume(self, *names: str) -> None:
        """SIGCONT."""
        for name in names:
            self.nodes[name].resume()

    def lose(self, sources: Iterable[str], targets: Iterable[str]) -> None:
        """From now on no frame of Raft gets from any of the sources to any of the targets.

        Their connections live on, as they would not for long if everything were lost (PEER-9): so what is asked
        in vain can still be seen.
        """
        targets = tuple(targets)
        for source in sources:
            for target in targets:
                if source != target:
                    self.network.add(Fault(Drop(), source, target, kinds=RAFT))

    # --------------------------------------------------------------------------------------------- commands

    async def leader(self, *, besides: Iterable[str] = (), since: int | None = None) -> Reign:
        """Who leads from now on (or from record `since` on): see `Witness.leader`.

        Nodes that do not run are not meant.
        """
        down = {name for name, node in self.nodes.items() if not node.runs}
        return await self.wires.leader(since=since, besides=down | set(besides))

    async def campaign_in_vain(self, *names: str, rounds: int = 2) -> None:
        """Returns when each of these, who cannot win, has asked for pre-votes in so many rounds.

        Raises `Unmet` if one asked for votes.
        """
        await self.wires.rounds(1, *names)  # what was granted before counts no more
        since = self.wires.now
        await self.wires.rounds(rounds, *names)
        for seen in self.wires.frames(VOTE_REQUEST, since=since):
            if seen.source in names:
                raise seen.unmet(f"no election by {seen.source} without a majority (PREVOTE-1)")

    async def put(self, key: str, value: object) -> Operation:
        """Puts a value, again and again until that succeeds; raises `Unmet` if it does not in time."""
        return await self._insist("put", key, value)

    async def get(self, key: str) -> Operation:
        """The value of a key, asked again and again; raises `Unmet` if there is no answer in time."""
        return await self._insist("get", key)

    async def _insist(self, op: str, key: str, argument: object = None) -> Operation:
        give_up = self.trace.now() + self.patience
        while True:
            done = await self._hand.run(op, key, argument)
            if done.outcome == "ok":
                return done
            if self.trace.now() >= give_up:
                raise Unmet(f"{op} {key} to succeed within {self.patience:.1f} s", f"{done}, from {done.node}")

    async def client(self, name: str) -> Client:
        """A connection of somebody who is no member to one node, in its present life, past the network."""
        self._asked += 1
        caller = Peer(
            f"caller-{self._asked}",
            size=len(self.names),
            trace=self.trace,
            rng=self._rng,
            patience=self.patience,
            member=False,
        )
        self._callers.append(caller)
        return Client(caller, await caller.dial(self.nodes[name].address, name, "actor"))

    async def raft(self, name: str, op: str, **rest: Any) -> Any:
        """What `$raft` of a node says (capability `introspect`)."""
        address = self.nodes[name].address
        known = self._askers.get(name)
        if known is None or known[0] != address or known[1].line.closed.is_set():
            known = self._askers[name] = (address, await self.client(name))
        return await known[1].raft(op, **rest)

    # -------------------------------------------------------------------------------------- under load

    def work(self, load: Load = work.LOAD) -> AbstractAsyncContextManager[Work]:
        """Clients that work for as long as the block lasts."""
        return work.work(
            self.addresses, self.trace, self._rng, scale=self.scale, patience=self.patience, load=load
        )

    async def conclude(self, *works: Work) -> None:
        """What must be true in the end, when everything is healed: commands succeed, all states agree, what was
        acknowledged is there, and one dictionary explains every answer."""
        self.network.heal()
        await self.put("conclusion", "reached")
        history = [done for each in works for done in each.history]
        reads = [await self.get(key) for key in sorted({done.key for done in history})]
        await self.agree()
        work.expect_kept(history, {read.key: read.value for read in reads})
        work.judge([*history, *reads], self.trace, self._folder, self.scale)

    async def agree(self) -> None:
        """Returns when all running nodes have applied the same and are in the same state (R-27).

        Asks those that declare `introspect`; without two of them there is nothing to compare, which the trace
        notes. The digests are entered there, too.
        """
        give_up = self.trace.now() + self.patience
        while True:
            applied = await self.note_digests()
            if len(applied) < 2:
                note = "no states are compared: fewer than two nodes declare introspect"
                self.trace.append(Marked(self.trace.now(), None, "note", note))
                return
            if len({index for index, _ in applied.values()}) == 1:
                break
            if self.trace.now() >= give_up:
                raise Unmet(f"all nodes to apply the same within {self.patience:.1f} s", repr(applied))
            await self.wires.pass_by(1, APPEND_ENTRIES_RES)
        if len(set(applied.values())) > 1:
            raise Unmet("equal states where all have applied the same (COMMIT-3)", repr(applied))

    async def note_digests(self) -> dict[str, tuple[int, str]]:
        """What each running node that declares `introspect` has applied, and the digest of its state; both go
        into the trace, where W11 compares what can be compared."""
        found: dict[str, tuple[int, str]] = {}
        for name, node in self.nodes.items():
            if node.runs and INTROSPECTION in node.description.caps:
                said = await self.raft(name, "digest")
                found[name] = said["last_applied"], said["sha256"]
                text = f"applied={said['last_applied']} sha256={said['sha256']}"
                self.trace.append(Marked(self.trace.now(), name, "digest", text))
        return found

    async def leave(self) -> None:
        """Ends the connections of all clients."""
        await self._hand.close()
        await asyncio.gather(*(caller.leave() for caller in self._callers))
