"""Log lines that would come for ever."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from casty.cluster import peer as peer_module
from casty.cluster.repeats import REPEAT_SECONDS, SUBJECTS_MAX, Repeats
from casty.wire import _protocol as p
from casty.wire.frames import encode_frame
from tests.cluster.actors import Echo, Odd
from tests.cluster.harness import client, cluster, node, until
from tests.cluster.peers import Listener, peer_of

if TYPE_CHECKING:
    from pathlib import Path

    from casty import DistributedActorSystem


# Which lines.


def test_a_state_is_told_once_and_seldom_again() -> None:
    """With the number of times it was not told."""
    repeats, about = Repeats(), ("dial", "a:1")
    assert repeats.tell(about, "refused", 0.0) == ""
    assert [repeats.tell(about, "refused", now) for now in (1.0, 2.0, REPEAT_SECONDS - 1)] == [None] * 3
    assert repeats.tell(about, "refused", REPEAT_SECONDS) == " (and 3 more times in the last 5 min)"
    assert repeats.tell(about, "refused", REPEAT_SECONDS + 1) is None


def test_another_state_is_news_and_so_is_one_that_was_over() -> None:
    """And what is said of another subject."""
    repeats = Repeats()
    assert repeats.tell(("dial", "a:1"), "refused", 0.0) == ""
    assert repeats.tell(("dial", "a:1"), "silence", 1.0) == ""
    assert repeats.tell(("dial", "b:1"), "silence", 1.0) == ""
    repeats.settle("dial", "a:1")
    assert repeats.tell(("dial", "a:1"), "silence", 2.0) == ""
    assert repeats.tell(("dial", "b:1"), "silence", 2.0) is None


def test_what_comes_and_goes_is_told_a_few_times() -> None:
    """Or one would read that a node was lost, and never that it came back."""
    repeats = Repeats()
    said = [repeats.tell(("open", "n1"), "", float(now), burst=3) for now in range(5)]
    assert said == ["", "", "", None, None]


def test_a_peer_that_invents_subjects_fills_neither_the_log_nor_the_memory() -> None:
    """One line says that others are left out."""
    repeats = Repeats()
    said = [repeats.tell(("said", number), "", 1.0) for number in range(SUBJECTS_MAX + 100)]
    assert said[:SUBJECTS_MAX] == [""] * SUBJECTS_MAX
    assert "too many different lines" in str(said[SUBJECTS_MAX])
    assert said[SUBJECTS_MAX + 1 :] == [None] * 99
    assert repeats.tell(("said", "later"), "", REPEAT_SECONDS + 2) == ""


# What a peer, a retry or a timer repeats.


def lines(caplog: pytest.LogCaptureFixture, *words: str) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    return [line for line in found if all(word in line for word in words)]


async def failures(system: DistributedActorSystem, count: int) -> None:
    await until(lambda: any(tried.failures >= count for tried in system.book._attempts.values()))


async def test_a_seed_that_is_down_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """However often it is dialled; and again when it was up in between."""
    caplog.set_level(logging.INFO)
    async with Listener() as listener:
        await listener.deafen()
        async with client(listener.address, node_id="a") as a:
            await failures(a, 4)
            assert len(lines(caplog, f"{listener.address} cannot be reached: ")) == 1
            await listener.listen()
            peer = await listener.greeted()
            await until(lambda: a.links.dialled)
            await listener.deafen()
            peer.close()
            await until(lambda: len(lines(caplog, f"{listener.address} cannot be reached: ")) == 2)


async def test_a_refusal_is_told_once_on_both_sides(caplog: pytest.LogCaptureFixture) -> None:
    """SIZE_MISMATCH: the nodes dial each other for ever, for one of them may be started anew."""
    async with node(node_id="one") as one, node(one, node_id="two", size=5) as two:
        await failures(two, 4)
        assert len(lines(caplog, "refuses this node", "SIZE_MISMATCH")) == 1
        assert len(lines(caplog, "closing the connection", "SIZE_MISMATCH")) == 1


async def test_a_seed_that_ends_every_connection_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """It may speak TLS, or be no node at all."""

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with node(f"127.0.0.1:{port}", node_id="a") as a:
            await failures(a, 3)
            said = lines(
                caplog, "closes the connection without a hello: is a node there, and is it one without TLS"
            )
            assert len(said) == 1
            with pytest.raises(TimeoutError, match="without a hello"):
                await a.wait_ready(0)


async def test_mistakes_are_told_once_though_the_peer_connects_anew(caplog: pytest.LogCaptureFixture) -> None:
    """PAYLOAD-2, VALUE-2, MSG-8, ERROR-1, FRAME-6, FRAME-8, HELLO-3."""
    caplog.set_level(logging.INFO)
    boot = b"x" * 16
    async with client(node_id="a", trusted_modules=()) as a:
        await a.spawn(Echo, name="echo")
        await a.spawn(Odd, name="odd")
        for _ in range(3):
            async with peer_of(a, boot_id=boot) as peer:
                unknown = msgpack.ExtType(1, msgpack.packb(["shop:Order", {}]))
                peer.say(p.ACTOR_MSG, "echo", unknown)
                peer.say(p.PING, "", {"id": "no number"})
                peer.say(200)
                peer.say(p.ERROR, "", {"code": "BAD_PAYLOAD", "rule": "FRAME-5", "text": "yours"})
                assert (await peer.ask("odd", "object"))["code"] == "BAD_REPLY"
                peer.send(b"\x01\x00")
                peer.writer.write_eof()
                await peer.refused()
            async with peer_of(a, greet=False) as stranger:
                stranger.send(encode_frame(p.PING, "", b"\xc0"))
                assert await stranger.refused() == "HELLO_EXPECTED"
    for words in (
        ["shop:Order", "was dropped"],
        ["node peer: ", "BAD_PAYLOAD"],
        ["frame type 200"],
        ["node peer says: yours"],
        ["actor odd", "of node peer", "that cannot be sent"],
        ["ended after 2 of at least 7 bytes"],
        ["closing the connection with 127.0.0.1: ", "HELLO_EXPECTED"],
    ):
        assert len(lines(caplog, *words)) == 1, words
    assert len(lines(caplog, "accepted node peer")) == 3, "what comes and goes is told of"


async def test_a_peer_that_comes_and_goes_for_ever_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few times within some minutes, and not for ever."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(peer_module, "FLAPS_MAX", 2)
    async with client(node_id="a") as a:
        for _ in range(5):
            async with peer_of(a, boot_id=b"x" * 16):
                pass
            await until(lambda: not a.peers)
    assert len(lines(caplog, "accepted node peer")) == 2
    assert len(lines(caplog, "lost node peer")) == 2


async def test_actors_of_one_name_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """However often the name is looked up."""
    async with client(node_id="a") as a, client(a, node_id="b") as b, client(a, node_id="c") as c:
        for each in (a, b):
            await each.spawn(Echo, name="echo")
        await until(lambda: len(c.links.dialled) == 2)
        for _ in range(3):
            await c.lookup("echo")
    assert len(lines(caplog, "several nodes have an actor named 'echo': a, b")) == 1


async def test_a_node_outside_is_told_once_and_the_members_tell_of_it_once(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """ERROR-4, FORM-7: the server that was added asks for votes for ever."""
    raft: dict[str, Any] = {"lane": "raft", "member": True, "expected_size": 1}
    async with cluster(1) as (only,), peer_of(only, **raft) as peer:
        request = {"term": 9, "seq": 1, "prev_log_index": 0, "prev_log_term": 0, "leader_commit": 0}
        for _ in range(5):
            peer.say(p.APPEND_ENTRIES_REQ, "peer", {**request, "entries": []})
            assert await peer.ask("nobody", 1)
        boot = peer.boot_id
        peer.close()
        await until(lambda: not only.peers)
        async with peer_of(only, boot_id=boot, **raft) as again:
            again.store_id = peer.store_id
            again.say(p.APPEND_ENTRIES_REQ, "peer", {**request, "entries": []})
            assert (await again.error())[0] == "NOT_A_MEMBER"  # on another connection
    assert 1 <= len(lines(caplog, "refused a request of", "NOT_A_MEMBER")) <= 2
