"""A leader that slept while another was elected: it wakes up sure of itself, with questions waiting."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any

import pytest

from casty.wire import _protocol as p
from tests.cluster.peers import gone
from tests.processes.nodes import node
from tests.support import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.peers import Peer
    from tests.processes.nodes import NodeProcess

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

THREE = ("--size", "3", "--election-ms", "300", "--heartbeat-ms", "60", "--log-level", "warning")
QUESTIONS = 50


async def put(peers: list[Peer], value: str) -> Peer:
    """Has the value set by whoever leads; at which node that was."""
    for number in range(1, 10_000):
        for peer in peers:
            request = {"op": "put", "key": "k", "value": value}
            payload = await peer.ask("$kv", request, number, timeout_ms=20_000)
            if payload["value"]["ok"]:
                return peer
        await asyncio.sleep(0.02)
    raise AssertionError("nobody leads")


async def answers(peer: Peer) -> list[dict[str, Any]]:
    """What the questions were answered."""
    return [(await peer.answer(number)).payload for number in range(20_000, 20_000 + QUESTIONS)]


def test_a_leader_that_was_deposed_in_its_sleep_answers_no_read(tmp_path: Path) -> None:
    """KV-1, COMMIT-4: a read is a command. What it is asked as it wakes up, it answers well or not at all."""

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            nodes: list[NodeProcess] = []
            for number in range(3):
                seeds = ("--seeds", nodes[0].listen) if nodes else ()
                member = node(tmp_path, *THREE, *seeds, node_id=f"n{number}")
                nodes.append(await stack.enter_async_context(member))
                await nodes[-1].ready()
            peers = [await each.connect(f"peer{number}") for number, each in enumerate(nodes)]
            for peer in peers:
                await peer.greet()

            at_leader = await put(peers, "old")
            leader = nodes[peers.index(at_leader)]
            leader.signal(signal.SIGSTOP)
            await put([peer for peer in peers if peer is not at_leader], "new")
            for number in range(20_000, 20_000 + QUESTIONS):
                question = {"id": number, "message": {"op": "get", "key": "k"}, "timeout_ms": 20_000}
                at_leader.say(p.ASK_REQ, "$kv", question)
            leader.signal(signal.SIGCONT)
            for answer in await answers(at_leader):
                value = answer["value"]
                assert value["value"] == "new" if value["ok"] else value["code"] in ("uncertain", "not_leader")
            for peer in peers:
                peer.close()
                await gone(peer)

    run(main(), timeout=100)
