"""Connections: dialled, greeted, refused, replaced, pinged, lost, and made again."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from casty.cluster import link as link_module
from casty.cluster import peer as peer_module
from casty.cluster import system as system_module
from casty.cluster.address import Address
from casty.wire import _protocol as p
from tests.cluster.actors import Echo
from tests.cluster.harness import accepted, client, cluster, dialled, leader_of, meshed, node, until, within
from tests.cluster.peers import Listener, Peer, frame, peer_of
from tests.support import run

if TYPE_CHECKING:
    from casty import DistributedActorSystem


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


# ---------------------------------------------------------------------------------------------- the mesh


def test_one_seed_is_enough_for_everybody_to_reach_everybody() -> None:
    """PEER-1, PEER-2 (conformance D-08): a full mesh from one seed."""

    async def main() -> None:
        async with (
            client(node_id="a") as a,
            client(a, node_id="b") as b,
            client(b, node_id="c") as c,
            client(a, node_id="d") as d,
        ):
            await meshed(a, b, c, d)
            assert dict(a.peers) == {"b": b.listen, "c": c.listen, "d": d.listen}
            assert set(d.peers) == {"a", "b", "c"}

    run(main())


def test_a_seed_that_is_down_is_dialled_until_it_is_up() -> None:
    """PEER-2 (conformance D-06): starting does not wait for it, and nobody starts anything again."""

    async def main() -> None:
        port = free_port()
        async with client(f"127.0.0.1:{port}", node_id="b") as b:
            assert not b.peers
            await until(lambda: any(tried.failures > 1 for tried in b.book._attempts.values()))
            async with client(node_id="a", port=port) as a:
                await meshed(a, b)

    run(main())


def test_a_node_that_comes_back_on_another_port_is_found_there() -> None:
    """PEER-4: its own hello says where; a new boot is no conflict once the old one is gone."""

    async def main() -> None:
        async with client(node_id="b") as b:
            boots: list[bytes] = []
            ports: list[int] = []
            for _ in range(2):
                async with client(b, node_id="a") as a:
                    await meshed(a, b)
                    boots.append(a.identity.boot_id)
                    ports.append(b.peers[a.identity.node_id].port)
                    assert ports[-1] == a.listen.port
                await until(lambda: not b.peers)
            assert boots[0] != boots[1]

    run(main())


def test_a_lost_connection_is_made_again() -> None:
    """PEER-2."""

    async def main() -> None:
        async with client(node_id="a") as a, client(a, node_id="b") as b:
            await meshed(a, b)
            for link in a.links.all():
                link.abort()
            await until(lambda: not a.links.dialled)
            await meshed(a, b)

    run(main())


def test_its_own_address_among_the_seeds_is_no_peer() -> None:
    """PEER-3: as it is written, and as an alias that only the hello tells."""

    async def main() -> None:
        port = free_port()
        async with client(f"127.0.0.1:{port}", f"localhost:{port}", node_id="a", port=port) as a:  # noqa: SIM117 (reads in the order it happens)
            async with client(a, node_id="b") as b:
                await meshed(a, b)
                await until(lambda: Address("localhost", port) in a.book._own)
                assert set(a.peers) == {"b"}
                assert not [dial for dial in a.book._wanted() if dial.address.port == port]

    run(main())


def test_two_names_for_one_node_are_one_connection() -> None:
    """PEER-7: of two connections of one lane the newer stays; neither is dialled again."""

    async def main() -> None:
        async with client(node_id="a") as a:
            port = a.listen.port
            async with client(f"127.0.0.1:{port}", f"localhost:{port}", node_id="b") as b:
                await meshed(a, b)
                await until(lambda: all(who == "a" for who in b.book._seeds.values()))
                await until(lambda: b.book.next_due() is None)
                await a.spawn(Echo, name="echo")
                assert await b.ref("a", "echo").ask(1) == 1
                assert len(b.links.dialled) == 1
                await until(lambda: len(a.links.accepted) == 1)

    run(main())


def test_a_stale_name_for_an_address_does_not_disturb_who_lives_there_now() -> None:
    """PEER-4: gossip that puts somebody else at an open connection's address is not believed."""

    async def main() -> None:
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

    run(main())


async def _echo(here: DistributedActorSystem, there: DistributedActorSystem) -> Any:
    await there.spawn(Echo, name="echo")
    return await here.ref(there.identity.node_id, "echo").ask("hi")


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6_addresses_go_in_brackets() -> None:
    """PEER-4; actors.md rule 49."""

    async def main() -> None:
        try:
            a = await client(host="[::1]", node_id="a").__aenter__()
        except OSError as error:
            pytest.skip(f"no IPv6 loopback here: {error}")
        try:
            async with client(f"[::1]:{a.listen.port}", host="::1") as b:
                assert b.node_id == f"::1:{b.listen.port}"
                await meshed(a, b)
                assert str(b.peers[a.identity.node_id]) == f"[::1]:{a.listen.port}"
        finally:
            await a.shutdown()

    run(main())


def test_a_wildcard_host_is_dialled_where_its_connection_came_from() -> None:
    """PEER-4; rule 61: the default node id is not 0.0.0.0, or three such nodes would clash."""

    async def main() -> None:
        async with client(node_id="a") as a, client(a, host="0.0.0.0") as b, client(a, host="") as c:
            await meshed(a, b, c)
            assert a.peers[b.identity.node_id] == Address("127.0.0.1", b.listen.port)
            assert "0.0.0.0" not in b.identity.node_id
            assert b.identity.node_id.endswith(f":{b.listen.port}")
            assert b.identity.node_id != c.identity.node_id

    run(main())


def test_what_is_advertised_is_what_others_dial() -> None:
    """LAUNCH-3, PEER-4 (conformance D-01)."""

    async def main() -> None:
        async with Listener() as listener, client(advertise=listener.address) as a:
            assert a.node_id == listener.address
            async with client(a, node_id="b") as b:
                await until(lambda: dict(b.book.known()))
                assert dict(b.book.known()) == {a.node_id: Address("127.0.0.1", listener.port)}
            async with peer_of(a, greet=False) as peer:
                hello = await peer.greet()
                assert hello.payload["address"] == listener.address

    run(main())


def test_known_peers_are_told_after_both_hellos() -> None:
    """PEER-1, HELLO-2 (conformance D-02): and what is learned is dialled."""

    async def main() -> None:
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

    run(main())


def test_malformed_addresses_in_gossip_are_ignored() -> None:
    """PEER-5: and so are names that are no node ids; a host that DNS cannot ask for does no harm."""

    async def main() -> None:
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

    run(main())


def test_ten_thousand_bogus_addresses_cost_little() -> None:
    """PEER-5 (conformance D-05): dials under way and addresses remembered are bounded; Raft goes on."""

    async def main() -> None:
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

    run(main())


def test_the_members_of_the_cluster_are_never_forgotten() -> None:
    """PEER-2: however long they are away."""

    async def main() -> None:
        async with cluster(2) as (one, two):
            one._sweep()
            await two.shutdown()
            await until(lambda: not one.peers)
            one.book._forget(one.loop.time() + 1e6)
            assert set(dict(one.book.known())) == {"n2"}

    run(main())


# ------------------------------------------------------------------------------------------ hellos refused


@pytest.mark.parametrize(
    ("code", "hello"),
    [
        ("VERSION_MISMATCH", {"version": 2}),
        ("CLUSTER_MISMATCH", {"cluster": "other"}),
        ("SIZE_MISMATCH", {"member": True, "expected_size": 5}),
        ("NODE_ID_IN_USE", {"name": "a"}),
        ("BAD_PAYLOAD", {"name": "no node id"}),
        ("BAD_PAYLOAD", {"name": "x" * 65}),
        ("BAD_PAYLOAD", {"name": "../../x"}),
        ("BAD_PAYLOAD", {"name": ""}),
        ("BAD_PAYLOAD", {"address": "nowhere"}),
        ("BAD_PAYLOAD", {"lane": "fast"}),
        ("BAD_PAYLOAD", {"boot_id": b"short"}),
        ("BAD_PAYLOAD", {"member": "yes"}),
        ("BAD_PAYLOAD", {"without": "store_id"}),
        ("BAD_PAYLOAD", {"expected_size": -1}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_hello_that_does_not_fit_is_refused_with_its_reason(code: str, hello: dict[str, Any]) -> None:
    """HELLO-4, HELLO-5, HELLO-6, ERROR-2; ERROR-3: others are served on."""

    async def main() -> None:
        async with node(node_id="a") as a, peer_of(a, "good", member=False) as good:
            async with peer_of(a, greet=False) as peer:
                peer.send(peer.hello(**hello))
                assert await peer.refused() == code
            assert (await good.ask("nobody", 1))["code"] == "ACTOR_NOT_FOUND"
            assert set(a.peers) == {"good"}
            await until(lambda: not a.links.strangers)

    run(main())


def test_a_hello_with_our_own_boot_id_is_our_own() -> None:
    """HELLO-6, PEER-3."""

    async def main() -> None:
        async with client(node_id="a") as a, peer_of(a, greet=False) as peer:
            peer.send(peer.hello(boot_id=a.identity.boot_id, name="a"))
            assert await peer.refused() == "SELF_CONNECTION"

    run(main())


@pytest.mark.parametrize(
    ("theirs", "words"),
    [({"cluster": "other"}, "belongs to cluster"), ({"size": 4}, "expected_cluster_size")],
    ids=["cluster", "size"],
)
def test_both_sides_say_why_they_will_not_talk(
    theirs: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """HELLO-4, ERROR-2; rule 52: a wrong setting must be found in either log."""

    async def main() -> None:
        async with node(node_id="a") as a, node(a, node_id="b", **theirs) as b:
            await until(lambda: "refuses this node" in caplog.text and "closing the connection" in caplog.text)
            assert not a.peers
            assert not b.peers

    run(main())
    assert caplog.text.count(words) >= 2


def test_another_cluster_with_the_same_name_is_refused_by_its_id() -> None:
    """HELLO-4: both have formed, so they can tell."""

    async def main() -> None:
        async with cluster(1, node_id="a") as (a,):
            async with peer_of(a, greet=False) as peer:
                peer.send(peer.hello(cluster_id=os.urandom(16), member=True, expected_size=1))
                assert await peer.refused() == "CLUSTER_MISMATCH"
            raft = a.raft
            assert raft is not None
            assert raft.configuration is not None
            async with peer_of(a, cluster_id=raft.configuration.cluster_id) as peer:
                assert await peer.ask("nobody", 1)

    run(main())


@pytest.mark.parametrize("kind", [*range(1, 4), *range(5, 10), *range(12, 20), 0, 200])
def test_anything_before_the_hello_ends_the_connection(kind: int) -> None:
    """HELLO-1; ERROR-1: an ERROR is not answered."""

    async def main() -> None:
        async with client(node_id="a") as a, peer_of(a, greet=False) as peer:
            peer.say(kind, "x", {"code": "X", "rule": "Y", "text": "Z"})
            assert await peer.refused() == (None if kind == p.ERROR else "HELLO_EXPECTED")

    run(main())


def test_the_dialler_says_hello_first_and_nothing_else_before_the_answer() -> None:
    """HELLO-2."""

    async def main() -> None:
        async with Listener() as listener, node(listener.address, node_id="a") as a:
            peer = await listener.next()
            hello = await peer.next()
            assert (hello.type, hello.name, hello.payload["lane"]) == (p.PEER_LIST, "a", "actor")
            await a.spawn(Echo, name="x")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await peer.next()
            peer.send(peer.hello(address=listener.address, member=True))
            assert (await peer.next()).payload == {"peers": [["peer", listener.address]]}
            # Now that it is known as a member, it is dialled for Raft, too.
            second = await listener.greeted(member=True)
            assert second is not peer

    run(main())


def test_a_connection_that_refuses_is_tried_again() -> None:
    """PEER-2: a seed is never given up, whatever it says."""

    async def main() -> None:
        async with Listener() as listener, client(listener.address, node_id="a") as a:
            for refusal in (
                frame(p.ERROR, "", {"code": "X", "rule": "Y", "text": "not\nyou"}),
                frame(p.ERROR, "", None),
                b"\x04\xff\xff",
                b"",
            ):
                peer = await listener.next()
                await peer.next()
                peer.send(refusal)
                await asyncio.sleep(0)
                peer.writer.close()
            await listener.greeted("late")
            await until(lambda: set(a.peers) == {"late"})

    run(main())


def test_a_hello_has_a_size_and_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """HELLO-3: 4,096 bytes are accepted, one more is not, and a stranger does not stay for ever."""
    monkeypatch.setattr(peer_module, "HELLO_SECONDS", 0.4)

    async def main() -> None:
        async with client(node_id="a") as a:
            async with peer_of(a, greet=False) as peer:
                short = len(peer.hello(padding=""))
                assert short < 4000
                largest = peer.hello(padding="x" * (4096 - short - 2))
                assert len(largest) == 4096
                peer.send(largest)
                assert (await peer.next()).type == p.PEER_LIST
            async with peer_of(a, greet=False) as peer:
                peer.send(peer.hello(padding="x" * (4096 - short - 1)))
                assert await peer.refused() == "FRAME_TOO_LARGE"
            async with peer_of(a, greet=False) as peer:
                peer.send(peer.hello()[:-1])
                assert await peer.refused() == "HELLO_TIMEOUT"
            # Once accepted, half a frame may take as long as it likes.
            async with peer_of(a) as peer:
                request = frame(p.LOOKUP_REQ, "x", {"id": 9})
                peer.send(request[:5])
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await peer.next()
                peer.send(request[5:])
                assert (await peer.next()).payload == {"id": 9, "found": False}

    run(main())


def test_sixty_four_strangers_are_let_in_and_no_more() -> None:
    """The limit pending_hellos_max; those that have said hello do not count."""

    async def main() -> None:
        async with client(node_id="a") as a:
            strangers: list[Peer] = []
            for number in range(64):
                reader, writer = await asyncio.open_connection(*a.listen)
                strangers.append(Peer(reader, writer, f"s{number}"))
            await until(lambda: len(a.links.strangers) == 64)
            async with peer_of(a, greet=False) as one_more:
                assert await one_more.refused() is None
            for stranger in strangers:
                await stranger.greet()
            async with peer_of(a) as peer:
                assert await peer.ask("nobody", 1)
            for stranger in strangers:
                stranger.close()
            await until(lambda: not a.links.all())

    run(main())


# ----------------------------------------------------------------------------------- one name, two holders


def test_a_newer_connection_of_the_same_boot_and_lane_replaces_the_older() -> None:
    """PEER-7 (conformance D-04)."""

    async def main() -> None:
        async with client(node_id="a") as a, peer_of(a) as older, peer_of(a, boot_id=older.boot_id) as newer:
            assert await older.refused() is None
            assert await newer.ask("nobody", 1)
            async with peer_of(a, boot_id=older.boot_id, lane="raft") as other_lane:
                assert await other_lane.ask("nobody", 1)
                assert await newer.ask("nobody", 1, 2)
                assert {lane for _, lane in a.links.accepted} == {"actor", "raft"}

    run(main())


def test_a_node_id_stays_with_whoever_has_it_and_is_alive() -> None:
    """HELLO-7."""

    async def main() -> None:
        async with client(node_id="a") as a, peer_of(a) as holder:
            async with peer_of(a, greet=False) as newcomer:
                newcomer.send(newcomer.hello())
                assert (await holder._frame()) is not None  # a ping
                holder.say(p.PING, "", {"id": 0, "pong": True})
                assert await newcomer.refused() == "NODE_ID_IN_USE"
            assert await holder.ask("nobody", 1)

    run(main())


def test_a_node_id_goes_to_the_newcomer_when_its_holder_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """HELLO-7: a restart need not wait until the old connection times out; what it sends waits."""
    monkeypatch.setattr(peer_module, "CONTEST_SECONDS", 0.05)

    async def main() -> None:
        async with client(node_id="a") as a, peer_of(a) as silent, peer_of(a, greet=False) as newcomer:
            newcomer.send(newcomer.hello(), frame(p.LOOKUP_REQ, "x", {"id": 3}))
            assert (await newcomer.next()).name == "a"
            assert (await newcomer.next()).type == p.PEER_LIST
            assert (await newcomer.next()).payload == {"id": 3, "found": False}
            assert await silent.refused() is None
            assert accepted(a, "peer").hello is not None
            assert not a.links.contested

    run(main())


def test_of_two_newcomers_only_one_gets_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """HELLO-7: who came second is measured against who has just won."""
    monkeypatch.setattr(peer_module, "CONTEST_SECONDS", 0.5)

    async def main() -> None:
        async with client(node_id="a") as a, peer_of(a), peer_of(a, greet=False) as one:
            one.send(one.hello())
            await until(lambda: len(a.links.contested) == 1)
            async with peer_of(a, greet=False) as two:
                two.send(two.hello())
                await one.next()
                await one.next()
                answering = asyncio.create_task(
                    one.error()
                )  # answers pings while it waits for what never comes
                assert await two.refused() == "NODE_ID_IN_USE"
                boots = {link.hello.boot_id for link in a.links.accepted.values() if link.hello is not None}
                assert boots == {one.boot_id}
                answering.cancel()

    run(main())


def test_a_newcomer_that_hangs_up_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """HELLO-7: nobody is closed for somebody who has gone."""
    monkeypatch.setattr(peer_module, "CONTEST_SECONDS", 0.05)

    async def main() -> None:
        async with client(node_id="a") as a, peer_of(a) as holder:
            async with peer_of(a, greet=False) as newcomer:
                newcomer.send(newcomer.hello())
                await until(lambda: a.links.contested)
            await until(lambda: not a.links.contested)
            assert await holder.ask("nobody", 1)

    run(main())


@pytest.mark.parametrize("kind", [4, 7, 8, 12, 13, 14, 15, 18, 19])
def test_a_frame_in_another_name_ends_the_connection(kind: int) -> None:
    """HELLO-8."""

    async def main() -> None:
        async with node(node_id="a") as a, peer_of(a) as peer:
            peer.say(kind, "other", {})
            assert await peer.refused() == "IDENTITY_CHANGED"

    run(main())


# ------------------------------------------------------------------------------------------- pings, silence


def test_a_ping_is_answered_at_once() -> None:
    """PEER-8."""

    async def main() -> None:
        async with client(node_id="a") as a, peer_of(a) as peer:
            peer.say(p.PING, "", {"id": 7, "pong": False})
            answer = await peer.next()
            assert (answer.type, answer.payload) == (p.PING, {"id": 7, "pong": True})

    run(main())


def test_who_is_silent_is_pinged_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """PEER-9: who answers stays."""
    monkeypatch.setattr(peer_module, "SWEEP_SECONDS", 0.02)
    monkeypatch.setattr(peer_module, "DEAD_SECONDS", 1.0)

    async def main() -> None:
        async with client(node_id="a") as a, peer_of(a, "silent") as silent, peer_of(a, "alive") as alive:
            answering = asyncio.create_task(alive.error())
            ping = await silent._frame()
            assert ping is not None
            assert ping.type == p.PING
            assert await silent.refused() is None
            assert set(a.peers) == {"alive"}
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)

    run(main())


def test_a_node_that_did_not_listen_blames_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """PEER-9: after a pause of its own it pings before it gives up."""

    async def main() -> None:
        async with client(node_id="a") as a, peer_of(a) as peer:
            link = accepted(a, "peer")
            link.heard_at -= 60
            a._sweep()
            assert link.is_open
            assert link.pinged_at is not None
            assert await peer.ask("nobody", 1)
            assert link.pinged_at is None

    run(main())


def test_a_large_frame_on_a_slow_network_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """PEER-9: as long as the peer takes bytes, it lives, though its pong is behind them."""

    async def main() -> None:
        async with Listener() as listener, client(listener.address, node_id="a") as a:
            peer = await listener.greeted()
            await until(lambda: ("peer", "actor") in a.links.dialled)
            peer.stop_reading()
            sending = asyncio.create_task(a.ref("peer", "x").send(bytes(15 << 20)))
            link = dialled(a, "peer")
            await until(lambda: link.is_paused)
            a._sweep()
            before = link.backlog
            peer.read_again()
            reading = asyncio.create_task(peer.next())
            await until(lambda: link.backlog < before)
            link.heard_at -= 60
            link.pinged_at = None
            a._sweep()
            assert link.pinged_at is None
            assert len((await within(reading)).payload) == 15 << 20
            await within(sending)

    run(main())


# ------------------------------------------------------------------------------------------------- ending


def test_a_connection_whose_peer_does_not_read_is_not_closed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """ERROR-2: what is queued gets a moment to leave, and no more."""
    monkeypatch.setattr(link_module, "LINGER_SECONDS", 0.05)

    async def main() -> None:
        async with Listener() as listener, client(listener.address, node_id="a") as a:
            peer = await listener.greeted()
            await until(lambda: ("peer", "actor") in a.links.dialled)
            peer.stop_reading()
            sending = asyncio.create_task(a.ref("peer", "x").send(bytes(15 << 20)))
            link = dialled(a, "peer")
            await until(lambda: link.is_paused)
            link.close()
            await within(link.closed())
            await within(sending)

    run(main())


def test_a_node_that_cannot_listen_says_so_and_leaves_nothing() -> None:
    """Rule 50: a bind error is raised, and the actors spawned before are stopped."""

    async def main() -> None:
        stopped = asyncio.Event()

        class Last(Echo):
            async def on_stop(self) -> None:
                stopped.set()

        async with client(node_id="a") as a:
            for start in ("serve", "__aenter__"):
                stopped.clear()
                other = client(node_id="b", port=a.listen.port)
                await other.spawn(Last)
                with pytest.raises(OSError, match="address already in use"):
                    await getattr(other, start)()
                assert stopped.is_set()
                with pytest.raises(RuntimeError, match="started already"):
                    await other.serve()

    run(main())


def test_impossible_settings_are_refused_in_the_constructor() -> None:
    """Rule 49: with the value and what was expected."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"port": 65536}, "port must be 0 to 65535, not 65536"),
        ({"port": -1}, "port must be"),
        ({"seeds": ["x"]}, "host:port"),
        ({"seeds": ["::1:80"]}, r"needs brackets, \[::1\]:80"),
        ({"advertise": "x:0"}, "not 'x:0'"),
        ({"node_id": ""}, "a node id is 1 to 64"),
        ({"node_id": "a\n"}, "not 'a"),
        ({"node_id": "é"}, "a node id"),
        ({"node_id": "x" * 65}, "a node id"),
        ({"expected_cluster_size": 0}, "at least 1, not 0"),
        ({"heartbeat_interval": 1.0}, "more frequent than elections"),
        ({"max_frame_size": 65535}, "max_frame_size must be 65,536 to"),
        ({"snapshot_every": 0}, "snapshot_every must be at least 1"),
    ]
    for options, words in wrong:
        given: dict[str, Any] = {"host": "127.0.0.1", "port": 0, **options}
        with pytest.raises(ValueError, match=words):
            system_module.DistributedActorSystem(**given)
