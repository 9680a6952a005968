"""Peers that read too slowly, and senders that are too fast."""

from __future__ import annotations

import asyncio

import pytest

from casty import AskTimeoutError, DeadLetter, NodeUnreachableError
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


async def test_senders_wait_for_a_node_that_reads_however_many_there_are() -> None:
    """MSG-2, MSG-10: of twelve messages of 3 MiB at once none is lost, and they keep their order."""
    letters: list[DeadLetter] = []
    async with pair(on_dead_letter=letters.append) as (a, b):
        keeper = await spawned(a, Keeper(), "keeper")
        ref = await b.lookup("keeper")
        await asyncio.gather(*(ref.send(bytes([number]) + bytes(3 << 20)) for number in range(12)))
        assert [message[0] for message in await keeper.until(12)] == list(range(12))
        assert letters == []


async def test_messages_and_asks_wait_in_one_line() -> None:
    """MSG-2: large and small, sent and asked, they arrive in the order of the calls."""
    async with pair() as (a, b):
        keeper = await spawned(a, Keeper(), "keeper")
        ref = await b.lookup("keeper")
        sizes = [3 << 20 if number % 5 == 0 else 100 for number in range(200)]
        calls = [
            (ref.ask if number % 2 else ref.send)(number.to_bytes(2) + bytes(size))
            for number, size in enumerate(sizes)
        ]
        await asyncio.gather(*calls)
        kept = await keeper.until(200)
        assert [int.from_bytes(message[:2]) for message in kept] == list(range(200))


async def test_a_sender_waits_for_a_node_that_does_not_read_until_that_is_gone() -> None:
    """MSG-10: what cannot leave is bounded; a message becomes a dead letter when its node is gone."""
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
        await until(lambda: link.is_busy)
        assert link.backlog < 3 << 20
        with pytest.raises(AskTimeoutError, match=r"reads too slowly; actor x was not asked within 0\.05 s"):
            await ref.ask(1, timeout=0.05)
        asking = asyncio.create_task(ref.ask(1))
        await asyncio.sleep(0)
        assert letters == []
        await listener.deafen()
        peer.close()
        await within(asyncio.gather(*sending))
        with pytest.raises(NodeUnreachableError, match="ended before this left; actor x was not asked"):
            await within(asking)
        assert 25 <= len(letters) < 40  # the others are in the kernel's buffers
        assert all("ended before this left" in letter.reason for letter in letters)


async def test_a_node_that_talks_and_never_reads_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MSG-10: after a stated time without a byte read, what waits is a dead letter; until it reads again."""
    monkeypatch.setattr(link_module, "STALL_SECONDS", 0.3)
    monkeypatch.setattr(peer_module, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(peer_module, "DEAD_SECONDS", 60.0)
    letters: list[DeadLetter] = []
    async with (
        Listener() as listener,
        client(listener.address, node_id="a", on_dead_letter=letters.append) as a,
    ):
        peer = await listener.greeted()
        await until(lambda: ("peer", "actor") in a.links.dialled)
        peer.stop_reading()
        ref = a.ref("peer", "x")
        await within(asyncio.gather(*(ref.send(bytes(15 << 20)) for _ in range(3))))
        assert len(letters) == 2
        assert letters[0].reason == "node peer reads too slowly: it has read nothing for 0.3 s"
        await within(ref.send("at once"))
        assert len(letters) == 3
        with pytest.raises(NodeUnreachableError, match=r"has read nothing for 0\.3 s; actor x was not asked"):
            await within(ref.ask(1))
        peer.read_again()
        link = dialled(a, "peer")
        first = asyncio.create_task(peer.next())
        await until(lambda: not link.is_busy)
        await ref.send("it reads again")
        assert len((await first).payload) == 15 << 20
        assert (await peer.next()).payload == "it reads again"
        assert len(letters) == 3


async def test_a_sender_that_is_cancelled_while_it_waits_has_sent_nothing() -> None:
    """MSG-10: and those after it are served all the same; an ask that is given up leaves no trace, either."""
    async with clogged() as clog:
        a, peer = clog.node, clog.peer
        ref = a.ref("peer", "x")
        calls = [ref.send("first"), ref.send("second"), ref.ask("third"), ref.send("fourth")]
        tasks = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(0)
        tasks[1].cancel()
        tasks[2].cancel()
        await asyncio.wait(tasks[1:3])
        peer.read_again()
        assert len((await peer.next()).payload) == 15 << 20
        assert [(await peer.next()).payload for _ in range(2)] == ["first", "fourth"]
        await within(asyncio.gather(tasks[0], tasks[3]))
        assert len(a.asks) == 0


async def test_many_small_messages_wait_and_none_is_lost() -> None:
    """MSG-10."""
    async with clogged() as clog:
        ref = clog.node.ref("peer", "x")
        sending = [asyncio.create_task(ref.send(number)) for number in range(5000)]
        await asyncio.sleep(0)
        assert clog.link.backlog < 16 << 20
        clog.peer.read_again()
        assert len((await clog.peer.next()).payload) == 15 << 20
        assert [(await clog.peer.next()).payload for _ in range(5000)] == list(range(5000))
        await within(asyncio.gather(*sending))


async def test_who_comes_when_a_connection_is_made_overtakes_nobody_who_waits_for_it() -> None:
    """MSG-2: not even if its message is sent before the others have gone on."""
    async with (
        client(node_id="a") as a,
        Listener() as listener,
        peer_of(a, "peer", boot_id=listener.boot_id, address=listener.address),
    ):
        ref = a.ref("peer", "x")
        waiting = [asyncio.create_task(ref.send(number)) for number in range(3)]
        await until(lambda: len(a.reach_waiters) == 3)
        look_again = a._look_again

        def newcomer() -> None:
            look_again()
            waiting.append(asyncio.Task(ref.send(3), loop=a.loop, eager_start=True))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(a), "_look_again", lambda self: newcomer())
            peer = await listener.greeted()
            await until(lambda: len(waiting) > 3)
        assert [(await peer.next()).payload for _ in range(4)] == list(range(4))
        await within(asyncio.gather(*waiting))


async def test_replies_to_a_peer_that_reads_may_be_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """MSG-10: an answer cannot wait, so what a peer that reads has coming may be more than others are given."""
    monkeypatch.setattr(link_module, "HOPELESS_AT", 4 << 20)
    async with pair() as (a, b):
        mute = await spawned(a, Mute(), "mute")
        ref = await b.lookup("mute")
        asking = [asyncio.create_task(ref.ask(number)) for number in range(16)]
        await until(lambda: len(mute.asked) == 16)
        for number, ctx in enumerate(mute.asked):
            ctx.reply(bytes([number]) + bytes(1 << 20))
        assert accepted(a, "b").backlog > 4 << 20
        assert [answer[0] for answer in await within(asyncio.gather(*asking))] == list(range(16))


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


async def test_a_peer_that_asks_and_never_reads_is_closed_in_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """MSG-10: answers that cannot be refused end the connection when they are too many."""
    monkeypatch.setattr(link_module, "HOPELESS_AT", 4 << 20)
    monkeypatch.setattr(link_module, "HOPELESS_SECONDS", 0.1)
    monkeypatch.setattr(peer_module, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(peer_module, "DEAD_SECONDS", 60.0)
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
    assert "does not read" in caplog.text


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
        for _ in range(3):
            await asyncio.gather(*(ref.ask(bytes(2 << 20), timeout=None) for _ in range(20)))
        assert await leader.append_command("still here")
        assert raft.status().term == term
