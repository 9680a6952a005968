"""Every limit of `spec/protocol.toml` that the cluster layer enforces: at the limit, and just above.

Others have their tests where they are enforced: hello_* and pending_hellos_max in `test_hello`, peers_max in
`test_gossip` and `test_book`, ping_* in `test_pings`, batches and chunks in `test_address` and `test_restarts`.
"""

from __future__ import annotations

import msgpack
import pytest

from casty import ActorNotFoundError, MessageTooLargeError
from casty.cluster import book, link, peer
from casty.raft.options import Options
from casty.wire import _protocol as p
from casty.wire.frames import encode_frame
from tests.cluster.actors import Echo
from tests.cluster.harness import client, pair
from tests.cluster.peers import frame, peer_of


def test_the_limits_of_the_code_are_those_of_the_specification() -> None:
    """protocol.toml: the constants here are seconds and counts under names of their own."""
    assert p.HELLO_BYTES_MAX == link.HELLO_BYTES_MAX
    assert p.HELLO_SECONDS_MAX == peer.HELLO_SECONDS
    assert p.PENDING_HELLOS_MAX == peer.STRANGERS_MAX
    assert p.PING_IDLE_SECONDS == peer.SWEEP_SECONDS
    assert p.PING_DEAD_SECONDS == peer.DEAD_SECONDS
    assert p.PEERS_MAX == book.PEERS_MAX
    assert Options(expected_size=1).stalled_ms_max == p.STALLED_DISK_SECONDS * 1000


LIMIT = 64 << 10


async def test_a_frame_of_the_limit_is_accepted_and_one_byte_more_is_not() -> None:
    """FRAME-4, frame_bytes_max: header and name included; recognised from the header alone."""
    async with client(node_id="a", max_frame_size=LIMIT) as a:
        await a.spawn(Echo, name="echo")
        async with peer_of(a) as speaker:
            empty = len(frame(p.ASK_REQ, "echo", {"id": 1, "message": bytes(60_000)})) - 60_000
            largest = frame(p.ASK_REQ, "echo", {"id": 1, "message": bytes(LIMIT - empty)})
            assert len(largest) == LIMIT
            speaker.send(largest)
            assert len((await speaker.answer(1)).payload["value"]) == LIMIT - empty
            header = encode_frame(p.ASK_REQ, "echo", b"")[:-4] + (LIMIT - 11 + 1).to_bytes(4, "big")
            speaker.send(header)
            assert await speaker.refused() == "FRAME_TOO_LARGE"


async def test_a_message_of_the_limit_leaves_and_one_byte_more_does_not() -> None:
    """frame_bytes_max at the sender: MessageTooLargeError, and nothing is sent."""
    async with pair(max_frame_size=LIMIT) as (a, b):
        await a.spawn(Echo, name="echo")
        ref = b.ref("a", "echo")
        with pytest.raises(MessageTooLargeError) as refused:
            await ref.ask(bytes(LIMIT - 8))
        over = int(str(refused.value).split(" of ")[1].split(" bytes")[0].replace(",", "")) - LIMIT + 8
        assert len(await ref.ask(bytes(LIMIT - over))) == LIMIT - over
        with pytest.raises(MessageTooLargeError, match="65,537 bytes; the limit is 65,536"):
            await ref.ask(bytes(LIMIT - over + 1))


async def test_a_reply_just_too_large_is_told_to_the_asker() -> None:
    """MSG-8, REPLY_TOO_LARGE: the receiver of the reply may have a lower limit than the message needed."""
    async with client(node_id="a", max_frame_size=LIMIT) as a:
        await a.spawn(lambda: Doubling(), name="twice")
        async with peer_of(a) as speaker:
            assert len((await speaker.ask("twice", LIMIT - 30))["value"]) == LIMIT - 30
            answer = await speaker.ask("twice", LIMIT - 10, 2)
            assert (answer["code"], answer["error_type"]) == ("REPLY_TOO_LARGE", "MessageTooLargeError")


class Doubling(Echo):
    """Replies with so many bytes."""

    async def receive(self, msg: int, ctx: object) -> None:
        getattr(ctx, "reply")(bytes(msg))  # noqa: B009


async def test_an_actors_name_has_a_limit_and_longer_ones_are_found_nowhere() -> None:
    """MSG-11, name_bytes_max: 255 bytes are a name; 65,535 pass as nobody's (conformance F-08)."""
    async with pair() as (a, b):
        longest = "é" * 127 + "x"
        await a.spawn(Echo, name=longest)
        assert await (await b.lookup(longest)).ask(1) == 1
        with pytest.raises(ValueError, match="256 bytes"):
            await a.spawn(Echo, name=longest + "x")
        with pytest.raises(ActorNotFoundError):
            await b.ref("a", "x" * 65_535).ask(1)
        with pytest.raises(MessageTooLargeError):
            await b.ref("a", "x" * 65_536).ask(1)
        assert await b.ref("a", longest).ask(2) == 2


async def test_values_nest_so_deep_and_no_deeper() -> None:
    """PAYLOAD-6, depth_max: 256 levels in a message; one more is refused, and the connection stays."""
    async with client(node_id="a") as a:
        await a.spawn(Echo, name="echo")
        async with peer_of(a) as speaker:
            deep: object = None
            for _ in range(255):
                deep = [deep]
            speaker.send(frame(p.ASK_REQ, "echo", {"id": 1, "message": deep}))
            assert (await speaker.answer(1)).payload["value"] == deep
            speaker.send(frame(p.ASK_REQ, "echo", {"id": 2, "message": [deep]}))
            assert (await speaker.error())[1] == "PAYLOAD-6"
            assert (await speaker.ask("echo", 1, 3))["value"] == 1


@pytest.mark.parametrize("number", [p.NUMBER_MAX, (1 << 64) - 1])
async def test_numbers_go_as_far_as_they_go(number: int) -> None:
    """PAYLOAD-3, number_max: a timeout is a u63, an id a u64."""
    async with client(node_id="a") as a:
        await a.spawn(Echo, name="echo")
        async with peer_of(a) as speaker:
            assert (await speaker.ask("echo", 1, (1 << 64) - 1))["id"] == (1 << 64) - 1
            speaker.say(p.ASK_REQ, "echo", {"id": 1, "timeout_ms": number, "message": number})
            if number == p.NUMBER_MAX:
                assert (await speaker.answer(1)).payload["value"] == number
            else:
                assert await speaker.error() == ("BAD_PAYLOAD", "PAYLOAD-3")
            speaker.send(encode_frame(p.PING, "", msgpack.packb({"id": 1 << 63, "pong": False})))
            assert (await speaker.next()).payload == {"id": 1 << 63, "pong": True}
