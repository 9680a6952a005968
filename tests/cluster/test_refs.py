"""Refs: one node's actor as another node sees it, wherever the ref has been."""

from __future__ import annotations

from typing import Any, cast

import pytest

from casty import (
    Actor,
    ActorNotFoundError,
    ActorRef,
    ActorSystem,
    Context,
    DeadLetter,
    NodeUnreachableError,
    SerializationError,
)
from tests.cluster.actors import Add, Counter, Echo, Host, Introduce, Keeper, Total, spawned
from tests.cluster.harness import BOUND, client, free_port, meshed, pair, until, within
from tests.cluster.peers import Listener, peer_of


async def test_a_remote_ref_is_used_like_a_local_one() -> None:
    """VALUE-1, MSG-3; the seed: a RemoteRef behaves exactly like a local ActorRef."""
    async with pair() as (a, b):
        local = await a.spawn(Counter, name="counter")
        remote = await b.lookup("counter", Counter)
        await remote.send(Add(2))
        await local.send(Add(3))
        assert await remote.ask(Total()) == await local.ask(Total()) == 5
        assert (remote.name, remote.node_id, remote.address) == ("counter", "a", "counter")
        assert (str(remote), repr(remote)) == (str(local), repr(local))
        assert remote == local
        assert hash(remote) == hash(local)
        assert remote != await b.spawn(Counter, name="counter")


async def test_refs_in_messages_and_replies_come_home() -> None:
    """VALUE-5: a ref that names the receiving node is local again."""
    async with pair() as (a, b):
        await a.spawn(Host, name="host")
        keeper = Keeper()
        mine = await b.spawn(lambda: keeper)
        host = await b.lookup("host")
        back = await host.ask(Introduce(mine))
        assert await keeper.until(1) == ["hello"]
        assert back is mine
        worker = cast("ActorRef[Any]", await host.ask("spawn"))
        assert (worker.node_id, worker.name) == ("a", None)
        await worker.send(Add(3))
        assert await worker.ask(Total()) == 3
        assert await host.ask("self") == host


async def test_a_third_node_reaches_the_ref_on_its_own_connection() -> None:
    """VALUE-5."""
    async with pair() as (a, b), client(a, node_id="c") as c:
        await meshed(a, b, c)
        keeper = await spawned(a, Keeper(), "keeper")
        await b.spawn(Host, name="host")
        await (await c.lookup("host")).ask(Introduce(await c.lookup("keeper")))
        assert await keeper.until(1) == ["hello"]


async def test_a_ref_survives_the_restart_of_its_node_and_of_its_actor() -> None:
    """actors.md rule 32: a ref is a node and a name, not a connection."""
    async with client(node_id="b") as b:
        port = 0
        ref = b.ref("a", "counter")
        for _ in range(2):
            async with client(b, node_id="a", port=port) as a:
                port = a.listen.port
                counter = await a.spawn(Counter, name="counter")
                await meshed(a, b)
                await ref.send(Add(1))
                assert await ref.ask(Total()) == 1
                await a.stop(counter)
                with pytest.raises(ActorNotFoundError):
                    await ref.ask(Total())
                await a.spawn(Counter, name="counter")
                assert await ref.ask(Total()) == 0
            await until(lambda: not b.peers)


class Answering(Actor[ActorRef[Any]]):
    """Answers through the ref it is sent, and replies with what that replies."""

    async def receive(self, msg: ActorRef[Any], ctx: Context[ActorRef[Any]]) -> None:
        await msg.send("a message")
        ctx.reply(await msg.ask("an ask", timeout=None))


async def test_who_has_just_come_is_answered_through_its_ref() -> None:
    """Rule 33: a node that sends a ref as soon as it has connected is not dialled back yet."""
    async with client(node_id="a") as a:
        await a.spawn(Answering, name="answering")
        async with client(a, node_id="b") as b:
            keeper = Keeper()
            me = await b.spawn(lambda: keeper)
            answering = await b.lookup("answering", timeout=BOUND)
            assert await within(answering.ask(me)) is None
            assert keeper.kept == ["a message", "an ask"]


async def test_nobody_waits_for_long_for_who_cannot_be_dialled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 51: what is for it is a dead letter, an ask fails."""
    letters: list[DeadLetter] = []
    async with client(node_id="a", on_dead_letter=letters.append) as a:
        refusing = f"127.0.0.1:{free_port()}"
        async with peer_of(a, address=refusing):
            await within(a.ref("peer", "x").send("refused"))
            with pytest.raises(NodeUnreachableError, match="not connected"):
                await within(a.ref("peer", "x").ask("refused", timeout=None))
        monkeypatch.setattr("casty.cluster.messaging.REACH_SECONDS", 0.05)
        async with Listener() as silent, peer_of(a, "silent", address=silent.address):
            await silent.next()
            await within(a.ref("silent", "x").send("unheard"))
            with pytest.raises(NodeUnreachableError, match="not connected"):
                await within(a.ref("silent", "x").ask("unheard", timeout=None))
    assert [letter.message for letter in letters] == ["refused", "unheard"]


async def test_a_ref_to_an_actor_without_a_name_reaches_no_other_after_a_restart() -> None:
    """[ACTOR-31] Its number ends with it: what was meant for one actor must not be handled by another."""
    async with client(node_id="b") as b:
        async with client(b, node_id="a") as a:
            port = a.listen.port
            address = (await a.spawn(Counter)).address
            await meshed(a, b)
            ref = b.ref("a", address)
            assert await ref.ask(Total()) == 0
        async with client(b, node_id="a", port=port) as a:
            await a.spawn(Counter)
            await meshed(a, b)
            with pytest.raises(ActorNotFoundError):
                await ref.ask(Total())


async def test_a_ref_to_this_node_finds_an_actor_spawned_later() -> None:
    """VALUE-5: at home, a ref needs no connection."""
    letters: list[DeadLetter] = []
    async with client(node_id="a", on_dead_letter=letters.append) as a:
        ref = a.ref("a", "late")
        await ref.send(Add(1))
        with pytest.raises(ActorNotFoundError, match="no actor late on node a, which is this one"):
            await ref.ask(Total())
        await a.spawn(Counter, name="late")
        await ref.send(Add(2))
        assert await ref.ask(Total()) == 2
        assert [letter.message for letter in letters] == [Add(1)]


async def test_a_ref_of_a_system_without_a_cluster_cannot_be_sent() -> None:
    """VALUE-1: it would name nothing elsewhere."""
    async with pair() as (a, b), ActorSystem() as alone:
        await a.spawn(Echo, name="echo")
        ref = await b.lookup("echo")
        await ref.ask(ref)  # the codec has met refs before
        with pytest.raises(SerializationError, match="system without a cluster"):
            await ref.ask([await alone.spawn(Echo)])


def test_refs_to_one_name_on_very_many_nodes_can_be_in_one_set() -> None:
    """ACTOR-33, VALUE-1: their hashes differ as they do, so no receiver takes them for an attack."""
    here = client(node_id="here")
    refs = {here.ref(f"n{number}", "counter") for number in range(200)}
    assert len(set(map(hash, refs))) == 200
    assert here.values.decode(here.values.encode(refs)) == refs
