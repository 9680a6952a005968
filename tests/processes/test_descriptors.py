"""A process that runs out of descriptors, or is about to: its part in Raft does not notice."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from casty.cluster.listener import RESERVE_MIN
from casty.wire import _protocol as p
from tests.cluster.peers import Peer, gone
from tests.processes.nodes import limited, node
from tests.support import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.processes.nodes import NodeProcess

pytestmark = [pytest.mark.processes, pytest.mark.timeout(150)]

DESCRIPTORS = 128
IDLE = 220
"""Far more than there are descriptors, and than PENDING_HELLOS_MAX."""

FEW = limited("RLIMIT_NOFILE", DESCRIPTORS)
TWO = ("--size", "2", "--election-ms", "400", "--heartbeat-ms", "100")


class Crowd:
    """Connections that do nothing."""

    def __init__(self, crowded: NodeProcess) -> None:
        self.open: list[Peer] = []
        self.refused = 0
        self._node = crowded

    async def grow(self, *, greeting: bool) -> None:
        """One more, which the node may accept or close."""
        peer = await self._node.connect(f"idle{len(self.open) + self.refused}")
        try:
            if greeting:
                await peer.greet()
            self.open.append(peer)
        except (AssertionError, ConnectionError):
            self.refused += 1
            peer.close()
            await gone(peer)

    async def closed(self) -> list[str | None]:
        """Waits until the node has closed them all; with which ERROR each."""
        return list(await asyncio.gather(*(peer.refused() for peer in self.open)))

    async def leave(self) -> None:
        for peer in self.open:
            peer.close()
        for peer in self.open:
            await gone(peer)
        self.open.clear()


@contextlib.asynccontextmanager
async def two_nodes(folder: Path, **first: Any) -> AsyncIterator[tuple[NodeProcess, NodeProcess, Peer, Peer]]:
    """A cluster of a node with few descriptors and one with many, and a greeted peer of each."""
    extra = first.pop("arguments", ())
    async with node(folder, *extra, *TWO, under=FEW, **first) as poor:
        await poor.ready()
        async with node(folder, *TWO, "--seeds", poor.listen, node_id="n2") as rich:
            await rich.ready()
            peers = [await each.connect(f"peer{place}") for place, each in enumerate((poor, rich))]
            for peer in peers:
                await peer.greet()
            yield poor, rich, peers[0], peers[1]
            for peer in peers:
                peer.close()
                await gone(peer)


async def committed(*peers: Peer) -> int:
    """Has a command committed by whichever node leads; its index."""
    number = 1
    while True:
        for peer in peers:
            payload = await peer.ask(
                "$kv", {"op": "put", "key": "k", "value": number}, number, timeout_ms=20_000
            )
            if payload["value"]["ok"]:
                return int(payload["value"]["index"])
            number += 1
        await asyncio.sleep(0.05)


async def status(peer: Peer) -> dict[str, Any]:
    payload = await peer.ask("$raft", {"op": "status"}, 77)
    return dict(payload["value"])


def test_idle_connections_take_no_descriptor_that_raft_needs(tmp_path: Path) -> None:
    """PEER-5's spirit: what is over the limit is closed, with one line for all, and what is there stays."""

    async def main() -> None:
        async with two_nodes(tmp_path) as (poor, _, at_poor, at_rich):
            first = await committed(at_poor, at_rich)
            term = (await status(at_rich))["term"]
            crowd = Crowd(poor)
            for _ in range(IDLE):
                await crowd.grow(greeting=True)
            assert crowd.refused > IDLE - DESCRIPTORS + RESERVE_MIN
            assert len(crowd.open) > DESCRIPTORS // 2

            assert await committed(at_poor, at_rich) > first
            assert (await at_poor.ask("$raft", {"op": "snapshot"}, 78))["value"] == {"ok": True}
            assert (await status(at_rich))["term"] == term  # no election: no link of Raft was lost
            assert poor.log.count("this node closes new connections: ") == 1
            assert "lost node n2" not in poor.log
            assert "Traceback" not in poor.log

            await crowd.leave()
            while crowd.open == []:
                await crowd.grow(greeting=True)
            await crowd.leave()
            assert poor.log.count("new connections") == 1

    run(main(), timeout=120)


def test_connections_without_a_hello_are_few_and_do_not_last(tmp_path: Path) -> None:
    """HELLO-3, limits pending_hellos_max and hello_seconds_max; who says hello gets in when they are gone."""

    async def main() -> None:
        async with two_nodes(tmp_path) as (poor, rich, at_poor, at_rich):
            await committed(at_poor, at_rich)
            began = asyncio.get_running_loop().time()
            crowd = Crowd(poor)
            for _ in range(IDLE):
                await crowd.grow(greeting=False)
            codes = await crowd.closed()
            passed = asyncio.get_running_loop().time() - began
            assert codes.count("HELLO_TIMEOUT") == p.PENDING_HELLOS_MAX
            assert codes.count(None) == IDLE - p.PENDING_HELLOS_MAX
            assert passed >= p.HELLO_SECONDS_MAX
            await crowd.leave()
            await crowd.grow(greeting=True)
            assert len(crowd.open) == 1
            await crowd.leave()
            late = (
                await poor.connect("late0"),
                await rich.connect("late1"),
            )  # the others were silent too long
            for peer in late:
                await peer.greet()
            await committed(*late)
            for peer in late:
                peer.close()
                await gone(peer)
            assert "Traceback" not in poor.log

    run(main(), timeout=120)


def test_a_process_without_a_single_descriptor_accepts_again_when_it_has_one(tmp_path: Path) -> None:
    """accept() itself fails: the connection waits in the kernel, one line says so, and Raft goes on."""

    async def main() -> None:
        own = ("--node-id", "n1", "--data-dir", str(tmp_path / "n1"))
        async with two_nodes(tmp_path, arguments=own, module="tests.processes.hoarder") as nodes:
            poor, _, at_poor, at_rich = nodes
            await committed(at_poor, at_rich)
            term = (await status(at_rich))["term"]
            poor.tell("hoard")
            assert (await poor.line()).startswith("HOARDED ")
            waiting = [await poor.connect(f"waiting{number}") for number in range(5)]
            greeted = [asyncio.create_task(peer.greet()) for peer in waiting]
            while "this node accepts nothing for now: " not in poor.log:
                await committed(at_poor, at_rich)
            poor.tell("let go")
            assert await poor.line() == "LET GO\n"
            await asyncio.gather(*greeted)
            assert (await status(waiting[0]))["term"] == term
            assert (await status(at_rich))["term"] == term
            assert poor.log.count("Too many open files") == 1
            assert "Traceback" not in poor.log
            for peer in waiting:
                peer.close()
                await gone(peer)

    run(main(), timeout=120)
