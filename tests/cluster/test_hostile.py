"""Peers that send what nobody should: the node refuses it, and serves the others on (spec ERROR-3)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from casty.wire import _protocol as p
from casty.wire.frames import encode_frame
from tests.cluster.actors import Echo, Point
from tests.cluster.harness import cluster, within
from tests.cluster.peers import Peer, frame, gone, peer_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from casty import DistributedActorSystem


@contextlib.asynccontextmanager
async def served(**options: Any) -> AsyncIterator[tuple[DistributedActorSystem, Peer]]:
    """A node with a leader and an actor, and a well-behaved peer; both are still well in the end."""
    async with cluster(1, **options) as (system,):
        await system.spawn(Echo, name="echo")
        async with peer_of(system, "good") as good:
            assert system.raft is not None
            term = system.raft.status().term
            yield system, good
            assert (await good.ask("echo", "well", 99))["value"] == "well"
            assert await system.append_command("well")
            assert system.failure.error is None
            assert system.raft.status().term == term


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PING\r\n*1\r\n$4\r\nPING\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(2000),
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x04\x00\x01x\xff\xff\xff\xff",
        b"\x04\xff\xff" + b"x" * 100,
        b"\x04\x00\x02\xff\xfe\x00\x00\x00\x01\xc0",
        bytes(5000),
        b"\xff" * 5000,
    ],
    ids=["http", "redis", "tls", "ssh", "huge payload", "huge name", "bad name", "zeros", "ones"],
)
async def test_what_other_protocols_say_is_refused(data: bytes) -> None:
    """HELLO-1, FRAME-3, FRAME-4 (conformance X-01, F-07)."""
    async with served() as (system, _), peer_of(system, greet=False) as stranger:
        stranger.send(data)
        code = await stranger.refused() if data[:3] != b"\x04\xff\xff" else "FRAME_TOO_LARGE"
        assert code in ("HELLO_EXPECTED", "FRAME_TOO_LARGE", "BAD_NAME", None)


def _replay(seed: int) -> str:
    """The one command that runs this seed again, for whoever reads the failure."""
    return f"python -m pytest 'tests/cluster/test_hostile.py::test_random_bytes_do_no_harm[{seed}]'"


@pytest.mark.parametrize("seed", range(12))
async def test_random_bytes_do_no_harm(seed: int) -> None:
    """ERROR-3 (conformance X-01): before the hello and after it, as noise and as damaged frames."""
    dice = random.Random(seed)
    try:
        async with served() as (system, _):
            for _ in range(8):
                greeted = dice.random() < 0.7
                async with peer_of(
                    system, "hostile", greet=greeted, lane=dice.choice(["actor", "raft"])
                ) as peer:
                    for _ in range(dice.randrange(1, 20)):
                        peer.send(_noise(dice))
                    await asyncio.sleep(0)
                    with contextlib.suppress(ConnectionError):
                        await within(peer.writer.drain())
    except BaseException as error:
        error.add_note(f"replay: {_replay(seed)}")
        raise


def _noise(dice: random.Random) -> bytes:
    if dice.random() < 0.1:
        return dice.randbytes(dice.randrange(1, 200))
    kind = dice.choice([*range(20), 200])
    name = dice.choice(["hostile", "echo", "", "x"])
    payload = _value(dice, 3) if dice.random() < 0.5 else _shaped(dice, kind)
    data = bytearray(frame(kind, name, payload))
    if dice.random() < 0.2:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data)


def _shaped(dice: random.Random, kind: int) -> object:
    """The fields of that type with something in each that may be right."""
    shape = p.SHAPES.get(p.TYPE_NAMES.get(kind, ""), ())
    return {field.name: _value(dice, 2) for field in shape if dice.random() < 0.9}


def _value(dice: random.Random, depth: int) -> Any:
    scalars = [None, True, 0, 1, -1, 1 << 62, (1 << 64) - 1, 1.5, "", "x", "hostile", b"", bytes(16), bytes(17)]
    if depth == 0 or dice.random() < 0.6:
        return dice.choice(scalars)
    if dice.random() < 0.2:
        return msgpack.ExtType(dice.randrange(20), dice.randbytes(dice.randrange(8)))
    count = dice.randrange(4)
    if dice.random() < 0.5:
        return [_value(dice, depth - 1) for _ in range(count)]
    return {dice.choice(["id", "term", "x", "members"]): _value(dice, depth - 1) for _ in range(count)}


_GOOD: dict[str, object] = {
    "u63": 1,
    "u64": 1,
    "bool": True,
    "str": "x",
    "bin": b"x",
    "bin16": bytes(16),
    "value": 1,
    "list<server>": [["x", bytes(16)]],
    "list<entry>": [],
    "list<peer>": [],
}
_WRONG: dict[str, list[object]] = {
    "u63": [None, "1", True, 1.0, -1, 1 << 63, [], {}],
    "u64": [None, "1", False, 1.5, -1, []],
    "bool": [None, 0, "true"],
    "str": [None, 1, b"x", []],
    "bin": [None, "x", []],
    "bin16": [None, "x" * 16, bytes(15), bytes(17)],
    "value": [],
    "list<server>": [None, {}, [1], [["x"]], [["x", b"short"]], [[1, bytes(16)]], [["no id", bytes(16)]]],
    "list<entry>": [None, {}, [1], [{"term": 1}], [{"term": 1, "kind": "what", "data": b""}]],
    "list<peer>": [None, {}, [1], [["x"]], [["x", 1]]],
}
_TYPES = [2, 3, 5, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19]
"""All but ERROR, which is never answered (ERROR-1): see test_hello."""


@pytest.mark.parametrize("kind", _TYPES, ids=lambda kind: p.TYPE_NAMES[kind])
async def test_a_field_of_the_wrong_kind_is_refused_and_the_next_frame_is_read(kind: int) -> None:
    """PAYLOAD-1, PAYLOAD-2, PAYLOAD-3, PAYLOAD-4 (conformance X-05, X-06)."""
    async with served() as (system, _), peer_of(system) as peer:
        fields = p.SHAPES[p.TYPE_NAMES[kind]]
        good = {field.name: _GOOD[field.kind] for field in fields}
        name = "peer" if kind not in (2, 3, 5, 6, 17) else ""
        wrong: list[object] = [None, 1, [], "x", {1: 2}]
        for field in fields:
            wrong += [{**good, field.name: value} for value in _WRONG[field.kind]]
            if not field.optional:
                wrong.append({key: value for key, value in good.items() if key != field.name})
        for payload in wrong:
            peer.say(kind, name, payload)
            assert (await peer.error())[0] == "BAD_PAYLOAD", payload
        assert await peer.ask("echo", 1, 7) == {"id": 7, "value": 1}


async def test_wrong_peer_lists_are_refused() -> None:
    """PAYLOAD-2: a second hello is none."""
    async with served() as (system, _), peer_of(system) as peer:
        for payload in ({}, {"peers": None}, {"peers": [["x"]]}, {"peers": [[1, "x:1"]]}):
            peer.say(p.PEER_LIST, "peer", payload)
            assert (await peer.error())[0] == "BAD_PAYLOAD"
        peer.send(peer.hello())
        assert (await peer.error())[0] == "BAD_PAYLOAD"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\xc0\xc0",
        b"\x91" * 10_000 + b"\xc0",
        b"\x81\xa1x" * 10_000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xa2\xff\xff",
    ],
    ids=["empty", "never used", "two values", "deep", "deep map", "array", "map", "bin", "ext", "not utf-8"],
)
async def test_a_payload_that_is_no_value_is_refused(payload: bytes) -> None:
    """PAYLOAD-5, PAYLOAD-6 (conformance X-02, X-03): without recursion, or memory for what it announces."""
    async with served() as (system, _), peer_of(system) as peer:
        for kind in _TYPES if payload == b"\xa2\xff\xff" else (p.ACTOR_MSG, *_TYPES):
            name = "peer" if kind not in (1, 2, 3, 5, 6, 17) else "echo"
            peer.send(encode_frame(kind, name, payload))
            assert (await peer.error())[0] == "BAD_PAYLOAD", kind
        peer.send(encode_frame(p.HEARTBEAT, "whoever", payload))
        assert (await peer.ask("echo", 1))["value"] == 1


async def test_values_that_cannot_be_made_are_told_to_the_asker() -> None:
    """VALUE-3, VALUE-4 (conformance X-04, T-03): the connection stays."""
    async with served() as (system, _), peer_of(system) as peer:
        system.register_type(Point)

        def dataclass(name: object, fields: object) -> msgpack.ExtType:
            return msgpack.ExtType(1, msgpack.packb([name, fields]))

        point = "tests.cluster.actors:Point"
        wrong: list[tuple[object, str]] = [
            (dataclass("os:system", {"command": "x"}), "UNKNOWN_TYPE"),
            (dataclass(point, {}), "BAD_MESSAGE"),
            (dataclass(point, {1: 2}), "BAD_MESSAGE"),
            (dataclass(1, {}), "BAD_MESSAGE"),
            (msgpack.ExtType(1, b""), "BAD_MESSAGE"),
            (msgpack.ExtType(99, b""), "BAD_MESSAGE"),
            (msgpack.ExtType(13, b""), "BAD_MESSAGE"),
            (msgpack.ExtType(2, msgpack.packb(["n"])), "BAD_MESSAGE"),
            (msgpack.ExtType(12, b"short"), "BAD_MESSAGE"),
        ]
        for number, (value, code) in enumerate(wrong):
            assert (await peer.ask("echo", value, number))["code"] == code, value
            peer.say(p.ACTOR_MSG, "echo", value)
        more = dataclass(point, {"x": 1, "unknown": 2})
        assert (await peer.ask("echo", more, 50))["value"] == msgpack.ExtType(
            1, msgpack.packb([point, {"x": 1, "y": 0}])
        )
        assert system.dead_letter_count == len(wrong)


async def test_unknown_types_are_said_once_and_read_over(caplog: pytest.LogCaptureFixture) -> None:
    """FRAME-6, FRAME-7 (conformance F-09); one line in the log however often."""
    async with served() as (system, _), peer_of(system) as peer:
        for kind in (0, 10, 11, 200, 255, 0, 200):
            peer.send(encode_frame(kind, "é", b"anything"))
        for _ in range(3):
            peer.send(encode_frame(p.HEARTBEAT, "any", b"\xc1"))
        for _ in range(5):
            assert await peer.error() == ("UNKNOWN_FRAME_TYPE", "FRAME-6")
        peer.say(p.LOOKUP_REQ, "echo", {"id": 1})
        assert (await peer.next()).payload["found"] is True
    assert caplog.text.count("frame type 200") == 1


async def test_an_error_frame_is_logged_escaped_and_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    """ERROR-1."""
    with caplog.at_level(logging.WARNING):
        async with served() as (system, _), peer_of(system) as peer:
            peer.say(p.ERROR, "", {"code": "X" * 1000, "rule": "\n", "text": "one\ntwo\x1b[31m" + "y" * 5000})
            assert await peer.ask("nobody", 1)
    line = next(record.getMessage() for record in caplog.records if "says" in record.getMessage())
    assert "one\\ntwo\\x1b[31m" in line
    assert "\n" not in line
    assert len(line) < 1000


async def test_frames_may_be_cut_anywhere() -> None:
    """FRAME-2 (conformance F-02, F-03, F-04): byte by byte, and many in one segment."""
    async with served() as (system, _), peer_of(system, greet=False) as peer:
        for byte in peer.hello():
            peer.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await peer.next()).type == p.PEER_LIST
        assert (await peer.next()).type == p.PEER_LIST
        peer.send(b"".join(frame(p.LOOKUP_REQ, "é" * 30, {"id": n}) for n in range(50)))
        for number in range(50):
            assert (await peer.next()).payload == {"id": number, "found": False}
        request = frame(p.ASK_REQ, "echo", {"id": 1, "message": "slow"})
        for byte in request:
            peer.send(bytes([byte]))
            await within(peer.writer.drain())
            await asyncio.sleep(0)
        assert (await peer.answer(1)).payload["value"] == "slow"
        peer.send(request[:-1])
        peer.writer.write_eof()
        assert await peer.refused() is None


async def test_unasked_raft_answers_change_nothing() -> None:
    """TERM-3, FORM-7 (conformance X-07): from somebody who is not on the list."""
    async with served() as (system, _), peer_of(system, lane="raft", member=True, expected_size=1) as peer:
        big = (1 << 63) - 1
        common = {"term": big, "request_term": big, "seq": 1}
        peer.say(p.VOTE_RESPONSE, "peer", {**common, "vote_granted": True})
        peer.say(p.PRE_VOTE_RESPONSE, "peer", {**common, "vote_granted": True})
        peer.say(p.APPEND_ENTRIES_RES, "peer", {**common, "success": True, "match_index": big})
        peer.say(
            p.INSTALL_SNAPSHOT_RES,
            "peer",
            {**common, "last_included_index": 1, "offset": 0, "installed": True},
        )
        request = {"term": big, "seq": 1, "prev_log_index": 0, "prev_log_term": 0, "leader_commit": big}
        peer.say(p.APPEND_ENTRIES_REQ, "peer", {**request, "entries": []})
        assert (await peer.error())[0] == "NOT_A_MEMBER"
        assert await peer.ask("nobody", 1)


async def test_half_closed_and_aborted_connections_are_let_go() -> None:
    """FRAME-8, ERROR-3."""
    async with served() as (system, _):
        for end in ("abort", "close"):
            for data in (b"", b"\x04", frame(1, "echo", "x")):
                async with peer_of(system, "hostile") as peer:
                    peer.send(data)
                    getattr(peer.writer.transport, end)()
                    await gone(peer)
        reader, writer = await asyncio.open_connection(*system.listen)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
