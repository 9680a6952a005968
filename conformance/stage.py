"""What a case is given: nodes, peers, clusters, a trace of everything, and randomness that can be replayed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from random import Random
from typing import TYPE_CHECKING, Final

from conformance.cluster import Cluster
from conformance.node.contract import Launch
from conformance.node.node import Node
from conformance.peer.peer import Peer
from conformance.peer.troupe import LEADER_MS, Troupe
from conformance.proxy.network import Network
from conformance.trace.record import Marked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from conformance.case import Case
    from conformance.settings import Settings
    from conformance.trace.store import Trace

PASSIVE_MS: Final = 30_000
"""The election timeout of a node that is not to campaign while a case lasts."""
PATIENCE: Final = 10.0
"""Seconds that the suite waits for what must come, on a machine of ordinary speed. A bound, never a wait."""
READY_SECONDS: Final = 15.0
CLUSTER_MS: Final = 500
"""The election timeout of the nodes of a live cluster, on a machine of ordinary speed."""
CLUSTER_PATIENCES: Final = 3
"""A cluster may need several elections, and a node a while between two attempts to dial (PEER-2)."""


class Stage:
    """Everything a case opens is closed with it, whatever happens."""

    def __init__(self, case: Case, settings: Settings, trace: Trace, folder: Path, seed: str) -> None:
        self.case = case
        self.settings = settings
        self.trace = trace
        self.folder = folder
        """Kept when the case fails: logs, traces, data directories."""
        self.rng = Random(seed)
        self.nodes: list[Node] = []
        self.closing = AsyncExitStack()
        """What is to be closed at the end, last opened first."""

    @property
    def patience(self) -> float:
        """Seconds to wait for what must come, on this machine."""
        return PATIENCE * self.settings.scale

    def scaled(self, seconds: float) -> float:
        """A bound for an ordinary machine, on this one."""
        return seconds * self.settings.scale

    def note(self, text: str) -> None:
        """Leaves a mark in the trace."""
        self.trace.append(Marked(self.trace.now(), None, "note", text))

    def launch(
        self,
        node_id: str = "n1",
        *,
        size: int = 3,
        election_ms: int = PASSIVE_MS,
        heartbeat_ms: int | None = None,
        seeds: Sequence[str] = (),
        advertise: str = "",
        snapshot_every: int = 0,
        cluster: str = "casty",
        caps: Sequence[str] = (),
        data: str = "data",
    ) -> Launch:
        """The parameters of one node, with a data directory of its own, called `data`, in this case's
        folder."""
        return Launch(
            node_id=node_id,
            data_dir=str(self.folder / "nodes" / node_id / data),
            advertise=advertise,
            seeds=tuple(seeds),
            n=size,
            heartbeat_ms=heartbeat_ms if heartbeat_ms is not None else max(20, min(election_ms // 4, 1000)),
            election_ms=election_ms,
            seed=self.rng.randrange(2**31),
            snapshot_every=snapshot_every,
            cluster=cluster,
            caps=tuple(caps),
        )

    def node(
        self,
        launch: Launch,
        *,
        command: Sequence[str] | None = None,
        under: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Node:
        """A node under test (or, with another command, one of another implementation), not yet started."""
        node = Node(
            command or self.settings.command,
            launch,
            self.folder / "nodes" / launch.node_id,
            self.trace,
            ready_seconds=self.scaled(READY_SECONDS),
            environment=environment or {},
            under=under,
        )
        self.nodes.append(node)
        self.closing.push_async_callback(node.end)
        return node

    def peer(self, node_id: str, *, size: int = 3, member: bool = True) -> Peer:
        """A scripted node, which has done nothing yet."""
        self.trace.append(Marked(self.trace.now(), node_id, "scripted", ""))
        peer = Peer(node_id, size=size, trace=self.trace, rng=self.rng, patience=self.patience, member=member)
        self.closing.push_async_callback(peer.leave)
        return peer

    async def troupe(
        self,
        size: int = 3,
        *,
        eager: bool = False,
        launch: Launch | None = None,
        under: Sequence[str] = (),
        snapshot_every: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> Troupe:
        """The node n1 (or as `launch` names it), started, and peers n2 … that have done nothing yet.

        An `eager` node campaigns after 400 to 800 ms, any other waits for a leader for as long as a case lasts.
        """
        if launch is None:
            election = round(LEADER_MS * self.settings.scale) if eager else PASSIVE_MS
            launch = self.launch(size=size, election_ms=election, snapshot_every=snapshot_every)
        node = self.node(launch, under=under, environment=environment)
        names = [f"n{number}" for number in range(1, size + 1)]
        peers = [self.peer(name, size=size) for name in names if name != launch.node_id]
        troupe = Troupe(node, peers, self.trace, self.rng, self.patience)
        troupe.scale = self.settings.scale
        self.closing.push_async_callback(troupe.leave)
        await node.start()
        return troupe

    async def cluster(
        self,
        size: int = 3,
        *,
        election_ms: int = CLUSTER_MS,
        heartbeat_ms: int | None = None,
        snapshot_every: int = 0,
        seeds: Mapping[str, Sequence[str]] | None = None,
        commands: Mapping[str, Sequence[str]] | None = None,
        is_started: bool = True,
    ) -> Cluster:
        """Nodes n1 … behind a network of their own; started, unless a case starts them itself.

        `election_ms` is for a machine of ordinary speed. `seeds` names the nodes that each is told of (all
        others, without), `commands` those that are not the implementation under test.
        """
        network = Network(self.trace, self.rng)
        self.closing.push_async_callback(network.close)
        names = [f"n{number}" for number in range(1, size + 1)]
        addresses = {name: await network.listen(name) for name in names}
        nodes: dict[str, Node] = {}
        for name in names:
            known = [other for other in names if other != name] if seeds is None else seeds.get(name, ())
            launch = self.launch(
                name,
                size=size,
                election_ms=round(election_ms * self.settings.scale),
                heartbeat_ms=None if heartbeat_ms is None else round(heartbeat_ms * self.settings.scale),
                seeds=[addresses[other] for other in known],
                advertise=addresses[name],
                snapshot_every=snapshot_every,
            )
            nodes[name] = self.node(launch, command=(commands or {}).get(name))
        patience = CLUSTER_PATIENCES * self.patience
        scale = self.settings.scale
        cluster = Cluster(
            nodes, network, addresses, self.trace, self.rng, self.folder, scale=scale, patience=patience
        )
        self.closing.push_async_callback(cluster.leave)
        if is_started:
            await cluster.start()
        return cluster

    async def close(self) -> None:
        """Ends every connection and every process."""
        await asyncio.shield(self.closing.aclose())
