"""The hello: who is let in, who is refused, and with what reason."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from casty.cluster import book as book_module
from casty.cluster import peer as peer_module
from casty.wire import _protocol as p
from casty.wire.frames import encode_frame
from tests.cluster.actors import Echo
from tests.cluster.harness import client, cluster, node, until
from tests.cluster.peers import Listener, Peer, frame, peer_of


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
        ("BAD_PAYLOAD", {"expected_size": 0}),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_hello_that_does_not_fit_is_refused_with_its_reason(code: str, hello: dict[str, Any]) -> None:
    """HELLO-4, HELLO-5, HELLO-6, ERROR-2; ERROR-3: others are served on."""
    async with node(node_id="a") as a, peer_of(a, "good", member=False) as good:
        async with peer_of(a, greet=False) as peer:
            peer.send(peer.hello(**hello))
            assert await peer.refused() == code
        assert (await good.ask("nobody", 1))["code"] == "ACTOR_NOT_FOUND"
        assert set(a.peers) == {"good"}
        await until(lambda: not a.links.strangers)


@pytest.mark.parametrize(
    "payload",
    [{"code": "X", "rule": "X-1", "text": "over there"}, {"code": 1}, None],
    ids=["good", "bad", "nil"],
)
async def test_an_error_before_the_hello_closes_without_an_answer(
    payload: object, caplog: pytest.LogCaptureFixture
) -> None:
    """HELLO-1, ERROR-1: it is logged, even where it does not say why."""
    async with client(node_id="a") as a, peer_of(a, greet=False) as peer:
        peer.say(p.ERROR, "", payload)
        assert await peer.refused() is None
    assert "refuses this node: " in caplog.text


async def test_an_error_is_not_answered_even_if_it_is_malformed() -> None:
    """ERROR-1: two nodes of which one is at fault must not go on about it."""
    async with client(node_id="a") as a, peer_of(a) as peer:
        malformed: tuple[object, ...] = (None, [], {"code": None}, {"code": "X", "rule": "X-1"})
        for payload in malformed:
            peer.say(p.ERROR, "", payload)
        for content in (b"", b"\xc1", b"\x91" * 10_000 + b"\xc0", b"\xdd\xff\xff\xff\xff"):
            peer.send(encode_frame(p.ERROR, "", content))
        peer.say(p.PING, "", {"id": 7, "pong": False})
        assert (await peer.next()).payload == {"id": 7, "pong": True}


async def test_a_hello_with_our_own_boot_id_is_our_own() -> None:
    """HELLO-6, PEER-3."""
    async with client(node_id="a") as a, peer_of(a, greet=False) as peer:
        peer.send(peer.hello(boot_id=a.identity.boot_id, name="a"))
        assert await peer.refused() == "SELF_CONNECTION"


@pytest.mark.parametrize(
    ("theirs", "words"),
    [({"cluster": "other"}, "belongs to cluster"), ({"size": 4}, "expected_cluster_size")],
    ids=["cluster", "size"],
)
async def test_both_sides_say_why_they_will_not_talk(
    theirs: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """HELLO-4, ERROR-2; rule 52: a wrong setting must be found in either log."""
    async with node(node_id="a") as a, node(a, node_id="b", **theirs) as b:
        await until(lambda: "refuses this node" in caplog.text and "closing the connection" in caplog.text)
        assert not a.peers
        assert not b.peers
    assert caplog.text.count(words) >= 2


async def test_another_cluster_with_the_same_name_is_refused_by_its_id() -> None:
    """HELLO-4: both have formed, so they can tell."""
    async with cluster(1, node_id="a") as (a,):
        async with peer_of(a, greet=False) as peer:
            peer.send(peer.hello(cluster_id=os.urandom(16), member=True, expected_size=1))
            assert await peer.refused() == "CLUSTER_MISMATCH"
        raft = a.raft
        assert raft is not None
        assert raft.configuration is not None
        async with peer_of(a, cluster_id=raft.configuration.cluster_id) as peer:
            assert await peer.ask("nobody", 1)


@pytest.mark.parametrize("kind", [*range(1, 4), *range(5, 10), *range(12, 20), 0, 200])
async def test_anything_before_the_hello_ends_the_connection(kind: int) -> None:
    """HELLO-1; ERROR-1: an ERROR is not answered."""
    async with client(node_id="a") as a, peer_of(a, greet=False) as peer:
        peer.say(kind, "x", {"code": "X", "rule": "Y", "text": "Z"})
        assert await peer.refused() == (None if kind == p.ERROR else "HELLO_EXPECTED")


async def test_the_dialler_says_hello_first_and_nothing_else_before_the_answer() -> None:
    """HELLO-2."""
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


async def test_a_connection_that_refuses_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """PEER-2: a seed is never given up, whatever it says."""
    monkeypatch.setattr(book_module, "BACKOFF_MIN", 0.005)
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


async def test_a_hello_has_a_size_and_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """HELLO-3: 4,096 bytes are accepted, one more is not, and a stranger does not stay for ever."""
    monkeypatch.setattr(peer_module, "HELLO_SECONDS", 0.4)
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


async def test_sixty_four_strangers_are_let_in_and_no_more() -> None:
    """The limit pending_hellos_max; those that have said hello do not count."""
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
