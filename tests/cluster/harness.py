"""Clusters in one process, on ports of the system's choice and with short timeouts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

from casty import DistributedActorSystem
from casty.raft.types import NodeId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

    from casty.cluster.link import Link
    from casty.cluster.replication import LogReplicationMixin

BOUND = 20.0
"""Seconds within which whatever is waited for has happened, even on a machine with much else to do."""


def node(*seeds: object, size: int = 3, host: str = "127.0.0.1", **options: Any) -> DistributedActorSystem:
    """A node that has not been started, with seeds given as addresses or as nodes.

    It keeps nothing behind a snapshot: logs are short here.
    """
    addresses = [str(seed.listen if isinstance(seed, DistributedActorSystem) else seed) for seed in seeds]
    heartbeat, election = (0.01, 0.02) if size == 1 else (0.05, 0.5)  # alone, nobody can be faster
    options.setdefault("kept_entries", 0)
    options.setdefault("heartbeat_interval", heartbeat)
    options.setdefault("election_timeout", election)
    return DistributedActorSystem(host, options.pop("port", 0), addresses, size, **options)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def client(*seeds: object, **options: Any) -> DistributedActorSystem:
    """A node that has no part in Raft."""
    return node(*seeds, member=False, **options)


@contextlib.asynccontextmanager
async def cluster(
    count: int = 3, *, each: Callable[[int], dict[str, Any]] | None = None, **options: Any
) -> AsyncIterator[list[DistributedActorSystem]]:
    """A cluster that has formed; all nodes have the first for a seed. `each` gives more options."""
    async with contextlib.AsyncExitStack() as stack:
        nodes: list[DistributedActorSystem] = []
        for number in range(count):
            more = each(number) if each is not None else {}
            usual = {"node_id": f"n{number + 1}", "size": count}
            started = node(*nodes[:1], **{**usual, **options, **more})
            nodes.append(await stack.enter_async_context(started))
        for each_node in nodes:
            await each_node.wait_ready(BOUND)
        await meshed(*nodes)
        yield nodes


@contextlib.asynccontextmanager
async def pair(**options: Any) -> AsyncIterator[tuple[DistributedActorSystem, DistributedActorSystem]]:
    """Two nodes without Raft that have reached each other."""
    async with (
        client(node_id="a", **options) as a,
        client(a, node_id="b", **options) as b,
    ):
        await meshed(a, b)
        yield a, b


def dialled(here: DistributedActorSystem, there: str, lane: str = "actor") -> Link:
    """The connection that one node dialled to the other."""
    return here.links.dialled[NodeId(there), lane]


def accepted(here: DistributedActorSystem, there: str, lane: str = "actor") -> Link:
    """The connection that one node accepted of the other."""
    return here.links.accepted[NodeId(there), lane]


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Lets the loop turn until the condition holds."""
    try:
        async with asyncio.timeout(BOUND):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {BOUND} s: {what or condition}") from None


async def within[T](awaitable: Awaitable[T], seconds: float = BOUND) -> T:
    """The result, within a bound that nothing healthy comes near."""
    async with asyncio.timeout(seconds):
        return await awaitable


async def meshed(*nodes: DistributedActorSystem) -> None:
    """Waits until each node has dialled all others."""

    def reached(here: DistributedActorSystem) -> set[str]:
        return {who for (who, lane), link in here.links.dialled.items() if lane == "actor" and link.is_open}

    names = {each.identity.node_id for each in nodes}
    await until(
        lambda: all(names <= reached(each) | {each.identity.node_id} for each in nodes),
        f"all of {sorted(names)} connected",
    )


async def leader_of(nodes: Iterable[DistributedActorSystem]) -> DistributedActorSystem:
    """The node that leads, once all of them agree on it."""
    nodes = list(nodes)

    def agreed() -> list[DistributedActorSystem]:
        leaders = [each for each in nodes if each.is_leader]
        return leaders if {each.leader_id for each in nodes} == {x.node_id for x in leaders} else []

    await until(lambda: len(agreed()) == 1, "one leader")
    return agreed()[0]


def others(
    nodes: Iterable[DistributedActorSystem], leader: DistributedActorSystem
) -> list[DistributedActorSystem]:
    """All nodes but this one."""
    return [each for each in nodes if each is not leader]


def durable(directory: Path) -> Callable[[int], dict[str, Any]]:
    """For `cluster(each=...)`: each node has its disk there, the same one whenever it comes back."""
    return lambda number: {"persistence_dir": directory / f"n{number + 1}"}


async def append(nodes: Iterable[DistributedActorSystem], command: object) -> DistributedActorSystem:
    """Has the command committed by whoever leads, and returns that node."""
    while True:
        leader = await leader_of(nodes)
        if await leader.append_command(command, timeout=BOUND):
            return leader


class Recorder:
    """A state machine that is the list of its commands."""

    def __init__(self, *nodes: LogReplicationMixin) -> None:
        self.commands: list[Any] = []
        for each in nodes:
            each.set_apply_callback(self.apply)

    def apply(self, command: Any) -> None:
        self.commands.append(command)


class Cart:
    """A state machine with snapshots, as the seed describes them."""

    def __init__(self, system: DistributedActorSystem) -> None:
        self.state: dict[str, Any] = {}
        self.restored = 0
        system.set_apply_callback(self.apply)
        system.set_snapshot_callbacks(self.create, self.restore)

    async def apply(self, command: dict[str, Any]) -> None:
        self.state[command["key"]] = command["value"]

    async def create(self) -> bytes:
        return json.dumps(self.state).encode()

    async def restore(self, data: bytes) -> None:
        self.restored += 1
        self.state = json.loads(data)
