"""A node whose seeds will not talk to it, and what whoever waits for its cluster learns of that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from casty import HandshakeError, SystemStoppedError
from casty.cluster.address import Address
from casty.cluster.refusals import TEXT_MAX, Refusals
from casty.wire import _protocol as p
from tests.cluster.harness import BOUND, client, node, until, within
from tests.cluster.peers import Listener, Peer

if TYPE_CHECKING:
    from casty import DistributedActorSystem

A, B, C = Address("a", 1), Address("b", 2), Address("c", 3)


# What counts as a refusal.


def test_a_verdict_takes_the_refusal_of_every_seed() -> None:
    """One that has not said anything yet may be the one that talks."""
    refusals = Refusals([A, B])
    assert refusals.verdict() is None
    refusals.note(A, "SIZE_MISMATCH", "three, not five")
    assert refusals.verdict() is None
    assert refusals.reasons() == ["a:1 and this node refuse each other: three, not five"]
    refusals.note(B, "CLUSTER_MISMATCH", "another")
    assert str(refusals.verdict()) == (
        "a:1 and this node refuse each other: three, not five; b:2 and this node refuse each other: another"
    )
    refusals.forget(A)
    assert refusals.verdict() is None
    assert refusals.reasons() == ["b:2 and this node refuse each other: another"]


def test_a_node_without_seeds_is_refused_by_nobody() -> None:
    """Nor does it matter what others than the seeds say."""
    refusals = Refusals([])
    refusals.note(C, "SIZE_MISMATCH", "no seed")
    refusals.forget(C)
    assert refusals.verdict() is None
    assert refusals.reasons() == []


def test_its_own_address_is_no_seed() -> None:
    """PEER-3: all nodes may be given the same seeds."""
    refusals = Refusals([A, B])
    refusals.note(B, "NODE_ID_IN_USE", "taken")
    refusals.note(A, "SELF_CONNECTION", "it is me")
    assert isinstance(refusals.verdict(), HandshakeError)


@pytest.mark.parametrize("code", ["HELLO_TIMEOUT", "BAD_PAYLOAD", "HELLO_EXPECTED", "something else"])
def test_what_may_pass_is_no_refusal(code: str) -> None:
    """A seed that hangs, or is no node at all, may be another the next time."""
    refusals = Refusals([A])
    refusals.note(A, code, "nothing decided")
    assert refusals.verdict() is None


def test_what_a_seed_says_is_cut_and_made_fit_to_be_printed() -> None:
    """An error of ours may end up in a terminal."""
    refusals = Refusals([A])
    refusals.note(A, "SIZE_MISMATCH", "\x1b[2J" + "x" * 10_000)
    verdict = str(refusals.verdict())
    assert "\\x1b[2Jxxx" in verdict
    assert len(verdict) < TEXT_MAX + 100


# What a node learns.


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"size": 5}, "expects a cluster of 5, this node one of 3: give all the same expected_cluster_size"),
        ({"cluster": "other"}, "belongs to cluster 'other', this node to 'casty'"),
        ({"node_id": "seed"}, "this node is called seed, too"),
    ],
    ids=["size", "cluster", "node id"],
)
async def test_a_seed_that_refuses_ends_the_wait_at_once(told: dict[str, Any], words: str) -> None:
    """HELLO-4, HELLO-6: with the seed's own words, however long one would have waited."""
    async with node(node_id="seed") as seed, node(seed, **{"node_id": "n", **told}) as refused:
        with pytest.raises(HandshakeError) as raised:
            await within(refused.wait_ready())
        assert str(raised.value).startswith(f"{seed.listen} and this node refuse each other: ")
        assert words in str(raised.value)
        with pytest.raises(HandshakeError):  # it is still so
            await refused.wait_ready()
        with pytest.raises(TimeoutError) as late:
            await seed.wait_ready(0)  # it dialled nobody, and those who come may be wrong
        said = "the cluster has not formed within 0 s: of 3 members seed are connected; this node refuses 127."
        assert str(late.value).startswith(said)


async def test_a_seed_that_this_node_refuses_ends_the_wait_too() -> None:
    """HELLO-4: an acceptor may be less particular than its dialler."""
    async with Listener() as listener, node(listener.address, node_id="n") as refused:
        waiting = asyncio.create_task(refused.wait_ready())
        peer = await listener.next()
        await peer.next()
        peer.send(peer.hello(cluster="other"))
        with pytest.raises(HandshakeError, match="node peer belongs to cluster 'other', this node to 'casty'"):
            await within(waiting)


async def test_one_seed_that_may_come_yet_is_hope() -> None:
    """The timeout says what is known meanwhile."""
    async with Listener() as absent, node(node_id="seed", size=5) as wrong:
        await absent.deafen()
        async with node(wrong, absent.address, node_id="n") as refused:
            await until(refused.refusals.reasons)
            with pytest.raises(TimeoutError) as raised:
                await refused.wait_ready(0.01)
    assert str(raised.value).startswith(
        "the cluster has not formed within 0.01 s: of 3 members n are connected; "
    )
    assert f"{wrong.listen} and this node refuse each other: node n expects a cluster of 3" in str(raised.value)


async def test_the_same_seeds_for_all_may_hold_the_nodes_own_address() -> None:
    """PEER-3: what is at its own address is neither hope nor refusal, whether it knows the address or not."""
    async with Listener() as place, node(node_id="seed", size=5) as wrong:
        await place.deafen()
        for advertise in (None, "127.0.0.2:9"):
            seeds = [wrong.listen, place.address]
            async with node(*seeds, node_id="n", port=place.port, advertise=advertise) as refused:
                with pytest.raises(HandshakeError):
                    await within(refused.wait_ready())


async def test_a_seed_that_was_put_right_is_welcome() -> None:
    """PEER-2: the node goes on dialling, and forms the cluster with who is there then."""

    async def answer(peer: Peer, listener: Listener) -> None:
        hello = await peer.next()
        if hello.type == p.PEER_LIST:
            peer.send(peer.hello(lane=hello.payload["lane"], address=listener.address, member=True))

    async with Listener() as listener, node(listener.address, node_id="n") as patient:
        waiting = asyncio.create_task(patient.wait_ready())
        first = await listener.next()
        await first.next()
        first.say(p.ERROR, "", {"code": "SIZE_MISMATCH", "rule": "HELLO-4", "text": "five"})
        with pytest.raises(HandshakeError, match="five"):
            await within(waiting)
        await answer(await listener.next(), listener)
        await until(lambda: not patient.refusals.reasons())
        with pytest.raises(TimeoutError, match=r"of 3 members n, peer are connected$"):
            await patient.wait_ready(0.01)
        waiting = asyncio.create_task(patient.wait_ready())
        await until(lambda: patient.ready_waiters)
        ended = asyncio.create_task(_shut_down(patient))
        with pytest.raises(SystemStoppedError):
            await within(waiting)
        await ended


async def _shut_down(system: DistributedActorSystem) -> None:
    async with asyncio.timeout(BOUND):
        await system.shutdown()


async def test_a_client_that_is_refused_may_wait_for_nothing() -> None:
    """FORM-10: it has no part in the cluster's forming."""
    async with node(node_id="seed") as seed, client(seed, node_id="c", cluster="other") as refused:
        await until(refused.refusals.reasons)
        with pytest.raises(RuntimeError, match="member=True"):
            await refused.wait_ready()
