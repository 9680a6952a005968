"""What peers tell about other peers: what is believed, dialled, bounded and forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casty.wire import _protocol as p
from tests.cluster.actors import Echo
from tests.cluster.harness import client, cluster, dialled, free_port, leader_of, meshed, until, within
from tests.cluster.peers import Listener, peer_of

if TYPE_CHECKING:
    from casty import DistributedActorSystem


async def test_a_stale_name_for_an_address_does_not_disturb_who_lives_there_now() -> None:
    """PEER-4: gossip that puts somebody else at an open connection's address is not believed."""
    async with Listener() as listener, client(node_id="a") as a, client(a, node_id="b") as b:
        await meshed(a, b)
        link = dialled(a, b.identity.node_id)
        async with peer_of(a, "gossip", address=listener.address, boot_id=listener.boot_id) as peer:
            ghosts = [["ghost", str(b.listen)], ["gossip2", str(b.listen)], ["me", str(a.listen)]]
            peer.say(p.PEER_LIST, "gossip", {"peers": ghosts})
            await peer.ask("nobody", 1)
            await listener.greeted("gossip")
            assert dialled(a, b.identity.node_id) is link
            assert not [who for who, _ in a.book.known() if who in ("ghost", "gossip2", "me")]
    async with client(node_id="a") as a:
        port = free_port()
        async with client(a, node_id="old", port=port) as old:
            await meshed(a, old)
        async with client(a, node_id="new", port=port) as new:
            await meshed(a, new)
            link = dialled(a, new.identity.node_id)
            assert "old" in dict(a.book.known())
            a._dial_due()
            a._dial_due()
            assert await within(_echo(a, new)) == "hi"
            assert dialled(a, new.identity.node_id) is link


async def _echo(here: DistributedActorSystem, there: DistributedActorSystem) -> Any:
    await there.spawn(Echo, name="echo")
    return await here.ref(there.identity.node_id, "echo").ask("hi")


async def test_known_peers_are_told_after_both_hellos() -> None:
    """PEER-1, HELLO-2 (conformance D-02): and what is learned is dialled."""
    async with Listener() as one, Listener() as two, client(node_id="a") as a:  # noqa: SIM117 (reads in the order it happens)
        async with peer_of(a, "one", address=one.address, boot_id=one.boot_id):
            await one.greeted("one")
            async with peer_of(a, "two", greet=False) as other:
                other.send(other.hello())
                hello = await other.next()
                assert (hello.name, hello.payload["lane"]) == ("a", "actor")
                assert hello.payload["boot_id"] == a.identity.boot_id
                peers = await other.next()
                assert (peers.name, peers.payload) == (
                    "a",
                    {"peers": [["one", one.address], ["two", "127.0.0.1:1"]]},
                )
                other.say(p.PEER_LIST, "two", {"peers": [["three", two.address]]})
                met = await two.greeted("three")
                assert met.node_id == "three"


async def test_malformed_addresses_in_gossip_are_ignored() -> None:
    """PEER-5: and so are names that are no node ids; a host that DNS cannot ask for does no harm."""
    async with Listener() as listener, client(node_id="a") as a, peer_of(a, "x") as peer:
        wrong = [
            ["b", ""],
            ["b", "nowhere"],
            ["b", "host:0"],
            ["b", "host:65536"],
            ["b", "::1:80"],
            ["b", "a b:80"],
            ["b", "x" * 300 + ":80"],
            ["b", "0.0.0.0:80"],
            ["no node id", "127.0.0.1:1"],
            ["", "127.0.0.1:1"],
            ["a", "127.0.0.1:1"],
            ["c", "a..b:80"],
            ["d", "é" * 100 + ".example:80"],
        ]
        peer.say(p.PEER_LIST, "x", {"peers": [*wrong, ["good", listener.address]]})
        met = await listener.greeted("good")
        assert met.node_id == "good"
        assert {who for who, _ in a.book.known()} == {"x", "c", "d", "good"}
        await until(lambda: all(not tried.under_way for tried in a.book._attempts.values()))
        assert await peer.ask("nobody", 1)


async def test_ten_thousand_bogus_addresses_cost_little() -> None:
    """PEER-5 (conformance D-05): dials under way and addresses remembered are bounded; Raft goes on."""
    async with cluster(election_timeout=0.8) as nodes:
        leader = await leader_of(nodes)
        raft = leader.raft
        assert raft is not None
        term = raft.status().term
        async with peer_of(leader, "x") as peer:
            bogus = [[f"bogus{n}", f"127.{n % 200}.{n // 200}.9:9"] for n in range(10_000)]
            peer.say(p.PEER_LIST, "x", {"peers": bogus})
            await peer.ask("nobody", 1)
            assert len(leader.book.known()) <= 1024
            under_way = sum(tried.under_way for tried in leader.book._attempts.values())
            assert under_way <= 64
            for number in range(5):
                assert await leader.append_command(number)
        assert raft.status().term == term
        assert leader.is_leader


async def test_more_nodes_than_fit_a_frame_shut_nobody_off() -> None:
    """PEER-1: "or as many of them as fit a frame"; a client that tells of many must not keep others away."""
    async with client(node_id="a", max_frame_size=64 << 10) as a, peer_of(a, "x") as peer:
        for batch in range(8):
            told = [[f"node{batch}-{n}", f"{'h' * 240}{batch}-{n}:9"] for n in range(128)]
            peer.say(p.PEER_LIST, "x", {"peers": told})
        await peer.ask("nobody", 1)
        assert sum(len(str(address)) for _, address in a.book.known()) > 64 << 10
        async with peer_of(a, "y", greet=False) as other:
            other.send(other.hello())
            assert (await other.next()).name == "a"
            assert 100 < len((await other.next()).payload["peers"]) < 300
            await other.ask("nobody", 1)


async def test_the_members_of_the_cluster_are_never_forgotten() -> None:
    """PEER-2: however long they are away."""
    async with cluster(2) as (one, two):
        one._sweep()
        await two.shutdown()
        await until(lambda: not one.peers)
        one.book._forget(one.loop.time() + 1e6)
        assert set(dict(one.book.known())) == {"n2"}
