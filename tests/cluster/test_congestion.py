"""Peers that read too slowly, and senders that are too fast."""

from __future__ import annotations

import asyncio

import pytest

from casty import DeadLetter, NodeUnreachableError
from casty.cluster import link as link_module
from casty.cluster import peer as peer_module
from casty.wire import _protocol as p
from tests.cluster.actors import Echo, Keeper, Mute, Odd, spawned
from tests.cluster.harness import accepted, client, cluster, dialled, others, pair, until, within
from tests.cluster.peers import Listener, clogged, peer_of


async def test_a_fast_sender_lets_the_loop_turn_and_loses_nothing() -> None:
    """MSG-6: a loop of sends that never has to wait must not starve everybody else."""
    async with pair() as (a, b):
        keeper = await spawned(a, Keeper(), "keeper")
        ref = await b.lookup("keeper")
        turns = 0

        async def tick() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        for number in range(20_000):
            await ref.send(number)
        assert turns > 3
        ticking.cancel()
        assert await keeper.until(20_000) == list(range(20_000))


async def test_a_sender_waits_for_a_node_that_does_not_read() -> None:
    """MSG-10: what cannot leave is bounded; the sender goes on when the node reads, or is gone."""
    letters: list[DeadLetter] = []
    async with (
        Listener() as listener,
        client(listener.address, node_id="a", on_dead_letter=letters.append) as a,
    ):
        peer = await listener.greeted()
        peer.stop_reading()
        await until(lambda: ("peer", "actor") in a.links.dialled)
        link = dialled(a, "peer")
        ref = a.ref("peer", "x")
        sending = [asyncio.create_task(ref.send(bytes(1 << 20))) for _ in range(40)]
        await until(lambda: letters)
        assert not all(send.done() for send in sending)
        assert link.backlog < 18 << 20
        assert "reads too slowly" in letters[0].reason
        with pytest.raises(NodeUnreachableError, match="reads too slowly; x was not asked"):
            await ref.ask(1)
        await listener.deafen()
        peer.close()
        await within(asyncio.gather(*sending))


async def test_replies_to_a_peer_that_does_not_read_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """MSG-10: the node reads no more asks of it, and serves others on."""
    monkeypatch.setattr(peer_module, "DEAD_SECONDS", 60.0)  # it may take its time to read again
    async with client(node_id="a") as a:
        await a.spawn(Odd, name="odd")
        async with peer_of(a, "idle") as idle, peer_of(a, "busy") as busy:
            idle.stop_reading()
            for number in range(2000):
                idle.say(p.ASK_REQ, "odd", {"id": number, "message": 1 << 20})
            link = accepted(a, "idle")
            await until(lambda: link.is_paused)
            assert (await busy.ask("odd", 3))["value"] == bytes(3)
            assert link.backlog < 8 << 20
            # It reads after all, and gets every answer.
            idle.read_again()
            for number in (0, 50):
                assert len((await idle.answer(number)).payload["value"]) == 1 << 20


async def test_a_peer_that_asks_and_never_reads_is_closed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """MSG-10: answers that cannot be refused end the connection when they are too many."""
    monkeypatch.setattr(link_module, "HOPELESS_AT", 4 << 20)
    async with client(node_id="a") as a:
        mute = await spawned(a, Mute(), "mute")
        async with peer_of(a, "idle") as idle:
            idle.stop_reading()
            for number in range(40):
                idle.say(p.ASK_REQ, "mute", {"id": number, "message": 1})
            await until(lambda: len(mute.asked) == 40)
            for ctx in mute.asked:
                ctx.reply(bytes(1 << 20))
            await until(lambda: not a.links.accepted)


async def test_a_connection_whose_peer_does_not_read_is_not_closed_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ERROR-2: what is queued gets a moment to leave, and no more."""
    monkeypatch.setattr(link_module, "LINGER_SECONDS", 0.05)
    async with clogged() as clog:
        clog.link.close()
        await within(clog.link.closed())
        await within(clog.sending)


async def test_asks_never_hold_up_raft() -> None:
    """MSG-6: a leader stays one while actors are asked for all they are worth."""
    async with cluster(election_timeout=0.8) as nodes:
        leader = next(node for node in nodes if node.is_leader)
        other = others(nodes, leader)[0]
        await leader.spawn(Echo, name="echo")
        raft = leader.raft
        assert raft is not None
        term = raft.status().term
        ref = await other.lookup("echo")
        for _ in range(20):
            await asyncio.gather(*(ref.ask(bytes(10_000)) for _ in range(50)))
        assert await leader.append_command("still here")
        assert raft.status().term == term
