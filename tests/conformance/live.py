"""A real cluster of `casty node` behind the suite's network, in one trace."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from conformance.history.talk import Talk
from conformance.node.contract import Launch
from conformance.node.node import Node
from conformance.proxy.network import Network
from conformance.trace.record import Marked

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from conformance.trace.store import Trace

COMMAND = (sys.executable, "-m", "casty.cli", "node")
ELECTION_MS, HEARTBEAT_MS = 400, 80


class Live:
    """Nodes n1 … that know each other by the network's addresses only."""

    def __init__(self, folder: Path, trace: Trace, chance: Random, *, size: int = 3) -> None:
        self.names = tuple(f"n{number}" for number in range(1, size + 1))
        self.trace = trace
        self.network = Network(trace, chance)
        self.addresses: dict[str, str] = {}
        """Where clients reach the nodes: through the network, too"""
        self.nodes: dict[str, Node] = {}
        self._folder = folder
        self._chance = chance
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self.network.close)
        for name in self.names:
            self.addresses[name] = await self.network.listen(name)
        for name in self.names:
            launch = Launch(
                node_id=name,
                data_dir=str(self._folder / name / "data"),
                advertise=self.addresses[name],
                seeds=tuple(self.addresses[other] for other in self.names if other != name),
                n=len(self.names),
                heartbeat_ms=HEARTBEAT_MS,
                election_ms=ELECTION_MS,
                seed=self._chance.randrange(1 << 30),
                snapshot_every=40,
            )
            node = Node(COMMAND, launch, self._folder / name, self.trace, ready_seconds=30, environment={})
            self._stack.push_async_callback(node.end)
            self.nodes[name] = node
            await self.start(name)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(self, name: str) -> None:
        await self.nodes[name].start()
        self.network.serve(name, self.nodes[name].address)

    async def restart(self, name: str) -> None:
        """SIGKILL, and a start on the same directory."""
        self.network.serve(name, None)
        await self.nodes[name].kill()
        await self.start(name)

    async def introspect(self, name: str, op: str) -> dict[str, Any]:
        """What `$raft` of a node says, asked directly."""
        boot = self._chance.randbytes(16)
        asker = f"asker-{boot.hex()[:8]}"
        talk = await Talk.begin(asker, boot, "casty", len(self.names), self.nodes[name].address, 10)
        try:
            said: dict[str, Any] = (await talk.ask("$raft", {"op": op}, 10))["value"]
        finally:
            await talk.close()
        return said

    async def note_digest(self, name: str) -> tuple[int, str]:
        """Enters the digest of a node's state in the trace."""
        said = await self.introspect(name, "digest")
        text = f"applied={said['last_applied']} sha256={said['sha256']}"
        self.trace.append(Marked(self.trace.now(), name, "digest", text))
        return said["last_applied"], said["sha256"]
