"""`$kv`, `$echo`, `$sleep` and `$raft`, over the wire as any client would use them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

import msgpack

from casty.errors import CommitUncertainError, StorageError
from casty.services import offer
from casty.wire import _protocol as p
from tests.cluster.harness import cluster, leader_of, others, until
from tests.cluster.peers import Peer, peer_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from casty import DistributedActorSystem


@contextlib.asynccontextmanager
async def served(count: int = 1) -> AsyncIterator[tuple[DistributedActorSystem, Peer]]:
    """A leader that offers all services, and a peer connected with it."""
    async with cluster(count) as nodes:
        for system in nodes:
            await offer(system)
        leader = await leader_of(nodes)
        async with peer_of(leader) as peer:
            yield leader, peer


async def kv(peer: Peer, **request: object) -> dict[str, Any]:
    answer = await peer.ask("$kv", request, timeout_ms=9000)
    value: dict[str, Any] = answer["value"]
    return value


async def test_a_request_is_answered_when_it_is_committed_and_applied() -> None:
    """KV-1, KV-2: each op, with value, index and term."""
    async with served() as (leader, peer):
        steps: list[tuple[dict[str, object], object]] = [
            ({"op": "put", "key": "k", "value": "a"}, None),
            ({"op": "get", "key": "k"}, "a"),
            ({"op": "get", "key": "none"}, None),
            ({"op": "cas", "key": "k", "expect": "b", "value": "c"}, False),
            ({"op": "cas", "key": "k", "expect": "a", "value": "c"}, True),
            ({"op": "append", "key": "k", "value": "de"}, 3),
            ({"op": "incr", "key": "n", "value": 5}, 5),
            ({"op": "incr", "key": "n", "value": -7}, -2),
            ({"op": "delete", "key": "k"}, True),
            ({"op": "delete", "key": "k"}, False),
        ]
        assert leader.raft is not None
        term = leader.raft.status().term
        for index, (request, value) in enumerate(steps, start=2):
            assert await kv(peer, **request) == {"ok": True, "value": value, "index": index, "term": term}


async def test_requests_that_overlap_are_in_the_log_together() -> None:
    """KV-1."""
    async with served(3) as (leader, peer):
        for number in range(200):
            peer.say(p.ASK_REQ, "$kv", {"id": number, "message": {"op": "incr", "key": "n", "value": 1}})
        sums = [(await peer.answer(number)).payload["value"]["value"] for number in range(200)]
        assert sorted(sums) == list(range(1, 201))
        assert leader.commit_index == 201


async def test_what_makes_no_sense_certainly_had_no_effect() -> None:
    """KV-2: definite, with the reason; refused before the log, or by every node alike."""
    async with served() as (leader, peer):
        await kv(peer, op="put", key="s", value="text")
        before = leader.commit_index
        for request, words in (
            ({}, "op must be one of put"),
            ({"op": "fly"}, "not 'fly'"),
            ({"op": "put", "key": "k"}, "put needs value"),
            ({"op": "put", "key": 1, "value": 1}, "a key is a str, not int"),
            ({"op": "put", "key": "k", "value": []}, "value must be nil"),
            (
                {"op": "put", "key": "k", "value": msgpack.ExtType(13, b"\x01" + bytes(8))},
                "does not fit 64 bits",
            ),
            ({"op": "put", "key": "k", "value": bytes(1 << 24)}, ""),
        ):
            if words:
                answer = await kv(peer, **request)
                assert (answer["ok"], answer["code"], answer["definite"]) == (False, "bad_request", True)
                assert words in answer["text"]
        assert leader.commit_index == before
        for op in ("incr", "append"):
            answer = await kv(peer, op=op, key="s", value=1)
            assert (answer["code"], answer["definite"], answer["leader"]) == ("bad_request", True, "n1")
        assert (await kv(peer, op="get", key="s"))["value"] == "text"
        answer = await peer.ask("$kv", "not a map", 5)
        assert (answer["code"], answer["error_type"]) == ("ACTOR_FAILED", "UnhandledMessage")


async def test_a_follower_names_the_leader() -> None:
    """KV-2: not_leader is definite."""
    async with cluster() as nodes:
        for system in nodes:
            await offer(system)
        leader = await leader_of(nodes)
        follower = others(nodes, leader)[0]
        async with peer_of(follower) as peer:
            answer = await kv(peer, op="put", key="k", value=1)
            assert answer == {
                "ok": False,
                "code": "not_leader",
                "definite": True,
                "leader": leader.node_id,
                "text": "ask the leader",
            }


async def test_nobody_knows_what_becomes_of_an_uncertain_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """KV-2: uncertain and stopped are not definite."""
    async with served() as (leader, peer):
        for error, code in ((CommitUncertainError("lost"), "uncertain"), (StorageError("gone"), "stopped")):

            async def fails(*_: object, error: Exception = error, **__: object) -> bool:
                raise error

            monkeypatch.setattr(leader, "append_command", fails)
            answer = await kv(peer, op="put", key="k", value=1)
            assert (answer["ok"], answer["code"], answer["definite"]) == (False, code, False)
            monkeypatch.undo()
        assert (await kv(peer, op="get", key="k"))["ok"]


async def test_echo_and_sleep_do_what_they_are_called() -> None:
    """KV-1, MSG-6: asks that sleep wait side by side, and nonsense harms nobody."""
    async with served() as (_, peer):
        for value in (None, 42, {"a": [b"x"]}, 1.5):
            assert (await peer.ask("$echo", value))["value"] == value
        begun = asyncio.get_running_loop().time()
        for number in range(50):
            peer.say(p.ASK_REQ, "$sleep", {"id": number, "message": 0.2})
        for number in range(50):
            assert (await peer.answer(number)).payload["value"] == 0.2
        assert asyncio.get_running_loop().time() - begun < 9
        for nonsense in (-1, True, 1e9):
            assert (await peer.ask("$sleep", nonsense))["error_type"] == "ValueError"
        for no_number in ("x", None):
            assert (await peer.ask("$sleep", no_number))["error_type"] == "UnhandledMessage"
        assert (await peer.ask("$sleep", 0))["value"] == 0


async def raft(peer: Peer, **request: object) -> Any:
    return (await peer.ask("$raft", request))["value"]


async def test_raft_says_what_the_node_knows() -> None:
    """KV-3: status, log, digest and snapshot."""
    async with served() as (leader, peer):
        await kv(peer, op="put", key="b", value=1)
        await kv(peer, op="put", key="a", value=b"x")
        me = ["n1", leader.me.store_id]
        status = await raft(peer, op="status")
        assert leader.raft is not None
        assert leader.raft.configuration is not None
        assert status == {
            "node_id": "n1",
            "store_id": me[1],
            "standing": "member",
            "role": "leader",
            "term": status["term"],
            "leader": me,
            "voted_for": me,
            "commit_index": 3,
            "last_applied": 3,
            "durable_index": 3,
            "last_log_index": 3,
            "last_log_term": status["term"],
            "snapshot_index": 0,
            "snapshot_term": 0,
            "cluster_id": leader.raft.configuration.cluster_id,
        }
        rows = await raft(peer, **{"op": "log", "from": 0, "to": 99})
        assert [row[:2] for row in rows] == [[index, status["term"]] for index in (1, 2, 3)]
        entry = leader.raft.log.entry(leader.raft.log.last_index)
        assert rows[2][2] == hashlib.sha256(b"command\0" + entry.data).hexdigest()
        packed = msgpack.packb([["a", b"x"], ["b", 1]])
        digest = await raft(peer, op="digest")
        assert digest == {"last_applied": 3, "sha256": hashlib.sha256(packed).hexdigest()}
        assert await raft(peer, op="snapshot") == {"ok": True}
        await until(lambda: leader.raft is not None and leader.raft.log.base_index == 3)
        assert await raft(peer, op="snapshot") == {"ok": False}
        assert await raft(peer, **{"op": "log", "from": 1, "to": 3}) == []
        answer = await peer.ask("$raft", {"op": "fly"})
        assert (answer["code"], answer["error_type"]) == ("ACTOR_FAILED", "ValueError")
        leader.raft = None
        assert (await raft(peer, op="status")) == {"node_id": "n1", "standing": "none", "role": "none"}
        assert await raft(peer, **{"op": "log", "from": 1, "to": 3}) == []
