"""Pings: who is silent is asked, and given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from casty.cluster import peer as peer_module
from casty.wire import _protocol as p
from tests.cluster.harness import accepted, client, until, within
from tests.cluster.peers import clogged, peer_of

if TYPE_CHECKING:
    import pytest

    from casty.cluster.link import Link


async def test_a_ping_is_answered_at_once() -> None:
    """PEER-8."""
    async with client(node_id="a") as a, peer_of(a) as peer:
        peer.say(p.PING, "", {"id": 7, "pong": False})
        answer = await peer.next()
        assert (answer.type, answer.payload) == (p.PING, {"id": 7, "pong": True})


async def test_who_is_silent_is_pinged_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """PEER-9: who answers stays."""
    monkeypatch.setattr(peer_module, "SWEEP_SECONDS", 0.02)
    monkeypatch.setattr(peer_module, "DEAD_SECONDS", 1.0)
    async with client(node_id="a") as a, peer_of(a, "silent") as silent, peer_of(a, "alive") as alive:
        answering = asyncio.create_task(alive.error())
        ping = await silent._frame()
        assert ping is not None
        assert ping.type == p.PING
        assert await silent.refused() is None
        assert set(a.peers) == {"alive"}
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


async def test_a_node_that_did_not_listen_blames_nobody() -> None:
    """PEER-9: after a pause of its own it pings before it gives up."""
    async with client(node_id="a") as a, peer_of(a) as peer:
        link = accepted(a, "peer")
        link.heard_at -= 60
        a._sweep()
        assert link.is_open
        assert link.pinged_at is not None
        assert await peer.ask("nobody", 1)
        assert link.pinged_at is None


def ping_long_ago(link: Link) -> None:
    """As if the peer had been pinged, and nothing had come from it since."""
    link.heard_at -= 60
    link.pinged_at = link.heard_at


async def test_a_large_frame_on_a_slow_network_is_no_silence() -> None:
    """PEER-9: as long as the peer takes bytes, it lives, though its pong is behind them."""
    async with clogged() as clog:
        a, link = clog.node, clog.link
        a._sweep()
        before = link.backlog
        clog.peer.read_again()
        reading = asyncio.create_task(clog.peer.next())
        await until(lambda: link.backlog < before)
        ping_long_ago(link)  # when nothing moved for a moment
        a._sweep()
        assert (link.is_open, link.pinged_at) == (True, None)
        assert len((await within(reading)).payload) == 15 << 20
        await within(clog.sending)
