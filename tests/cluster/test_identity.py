"""One name, two holders: which connection has it."""

from __future__ import annotations

import asyncio

import pytest

from casty.cluster import peer as peer_module
from casty.wire import _protocol as p
from tests.cluster.harness import accepted, client, node, until
from tests.cluster.peers import frame, peer_of


async def test_a_newer_connection_of_the_same_boot_and_lane_replaces_the_older() -> None:
    """PEER-7 (conformance D-04)."""
    async with client(node_id="a") as a, peer_of(a) as older, peer_of(a, boot_id=older.boot_id) as newer:
        assert await older.refused() is None
        assert await newer.ask("nobody", 1)
        async with peer_of(a, boot_id=older.boot_id, lane="raft") as other_lane:
            assert await other_lane.ask("nobody", 1)
            assert await newer.ask("nobody", 1, 2)
            assert {lane for _, lane in a.links.accepted} == {"actor", "raft"}


async def test_a_node_id_stays_with_whoever_has_it_and_is_alive() -> None:
    """HELLO-7."""
    async with client(node_id="a") as a, peer_of(a) as holder:
        async with peer_of(a, greet=False) as newcomer:
            newcomer.send(newcomer.hello())
            assert (await holder._frame()) is not None  # a ping
            holder.say(p.PING, "", {"id": 0, "pong": True})
            assert await newcomer.refused() == "NODE_ID_IN_USE"
        assert await holder.ask("nobody", 1)


async def test_a_node_id_goes_to_the_newcomer_when_its_holder_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HELLO-7: a restart need not wait until the old connection times out; what it sends waits."""
    monkeypatch.setattr(peer_module, "CONTEST_SECONDS", 0.05)
    async with client(node_id="a") as a, peer_of(a) as silent, peer_of(a, greet=False) as newcomer:
        newcomer.send(newcomer.hello(), frame(p.LOOKUP_REQ, "x", {"id": 3}))
        assert (await newcomer.next()).name == "a"
        assert (await newcomer.next()).type == p.PEER_LIST
        assert (await newcomer.next()).payload == {"id": 3, "found": False}
        assert await silent.refused() is None
        assert accepted(a, "peer").hello is not None
        assert not a.links.contested


async def test_of_two_newcomers_only_one_gets_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """HELLO-7: who came second is measured against who has just won."""
    monkeypatch.setattr(peer_module, "CONTEST_SECONDS", 0.5)
    async with client(node_id="a") as a, peer_of(a), peer_of(a, greet=False) as one:
        one.send(one.hello())
        await until(lambda: len(a.links.contested) == 1)
        async with peer_of(a, greet=False) as two:
            two.send(two.hello())
            await one.next()
            await one.next()
            answering = asyncio.create_task(one.error())  # answers pings while it waits for what never comes
            assert await two.refused() == "NODE_ID_IN_USE"
            boots = {link.hello.boot_id for link in a.links.accepted.values() if link.hello is not None}
            assert boots == {one.boot_id}
            answering.cancel()


async def test_a_newcomer_that_hangs_up_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """HELLO-7: nobody is closed for somebody who has gone."""
    monkeypatch.setattr(peer_module, "CONTEST_SECONDS", 0.5)
    async with client(node_id="a") as a, peer_of(a) as holder:
        async with peer_of(a, greet=False) as newcomer:
            newcomer.send(newcomer.hello())
            assert (await holder._frame()) is not None  # a ping: the contest has begun
        await until(lambda: not a.links.contested)
        assert await holder.ask("nobody", 1)


@pytest.mark.parametrize("kind", [4, 7, 8, 12, 13, 14, 15, 18, 19])
async def test_a_frame_in_another_name_ends_the_connection(kind: int) -> None:
    """HELLO-8."""
    async with node(node_id="a") as a, peer_of(a) as peer:
        peer.say(kind, "other", {})
        assert await peer.refused() == "IDENTITY_CHANGED"
