"""Asks between nodes: each ends once, with an answer or with what went wrong."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from casty import (
    ActorFailedError,
    ActorNotFoundError,
    ActorStoppedError,
    AskTimeoutError,
    MessageTooLargeError,
    NodeUnreachableError,
    SerializationError,
)
from casty.wire import _protocol as p
from tests.cluster.actors import Clumsy, Counter, Echo, Mute, Odd, Quitter, spawned
from tests.cluster.harness import client, dialled, meshed, pair, until, within
from tests.cluster.peers import Listener, peer_of


async def test_each_way_an_ask_can_fail_has_its_exception_at_once() -> None:
    """MSG-3, MSG-8, MSG-12, the table of ask errors: only silence waits for the timeout."""
    async with pair() as (a, b):
        for kind in (Clumsy, Quitter, Odd, Echo, Counter):
            await a.spawn(kind, name=kind.__name__)
        with pytest.raises(
            ActorFailedError, match=r"RuntimeError: no, never on node a \(actor Clumsy, message str\)"
        ) as failed:
            await b.ref("a", "Clumsy").ask("no, never", timeout=None)
        assert (failed.value.error_type, failed.value.node_id) == ("RuntimeError", "a")
        with pytest.raises(ActorStoppedError, match="node a"):
            await b.ref("a", "Quitter").ask(1, timeout=None)
        with pytest.raises(ActorNotFoundError, match=r"^there is no actor Nobody on node a \(message int\)$"):
            await b.ref("a", "Nobody").ask(1, timeout=None)
        with pytest.raises(
            ActorFailedError, match="UnhandledMessage: actor Counter takes Add or Total, not str"
        ):
            await b.ref("a", "Counter").ask("what", timeout=None)
        with pytest.raises(SerializationError, match="cannot send a value of type object"):
            await b.ref("a", "Odd").ask("object", timeout=None)
        with pytest.raises(MessageTooLargeError, match="limit is 16,777,216"):
            await b.ref("a", "Odd").ask(17 << 20, timeout=None)
        assert await b.ref("a", "Odd").ask(3) == bytes(3)
        with pytest.raises(SerializationError, match=r"\[1\]"):
            await b.ref("a", "Echo").ask([1, object()], timeout=None)
        with pytest.raises(MessageTooLargeError, match="ASK_REQ frame of 16,777,2"):
            await b.ref("a", "Echo").ask(bytes(16 << 20), timeout=None)
        with pytest.raises(MessageTooLargeError):
            await b.ref("a", "Echo").send(bytes(16 << 20))
        with pytest.raises(
            NodeUnreachableError, match=r"node x is not connected; actor Echo was not asked \(message int\)"
        ):
            await b.ref("x", "Echo").ask(1)
        assert len(a.asks) == len(b.asks) == 0


async def test_what_an_actor_raises_may_say_anything(caplog: pytest.LogCaptureFixture) -> None:
    """MSG-3: half a surrogate pair in an exception's text reaches the asker, escaped."""
    caplog.set_level(logging.CRITICAL, "casty")  # the runner cannot pass on such a line

    class Rude(Clumsy):
        async def receive(self, msg: Any, ctx: Any) -> None:
            raise ValueError("\udcff" + "x" * 20_000)

    async with pair(max_frame_size=64 << 10) as (a, b):
        await a.spawn(Rude, name="rude")
        with pytest.raises(ActorFailedError, match=r"ValueError: \\udcffx") as failed:
            await b.ref("a", "rude").ask(1)
        assert len(failed.value.message) < 11_000
        with pytest.raises(ActorFailedError):
            await b.ref("a", "rude").ask(2)


async def test_silence_ends_at_the_timeout_and_a_late_answer_finds_nobody() -> None:
    """MSG-5; actors.md rules 5 and 6."""
    async with pair() as (a, b):
        mute = await spawned(a, Mute(), "mute")
        await a.spawn(Echo, name="echo")
        ref = b.ref("a", "mute")
        with pytest.raises(
            AskTimeoutError,
            match=r"^actor mute on node a gave no answer to int in 0\.02 s: sent; node a was last",
        ):
            await ref.ask(1, timeout=0.02)
        assert len(b.asks) == 0
        patient = asyncio.create_task(ref.ask(2, timeout=None))
        await until(lambda: len(mute.asked) == 2)
        for ctx in mute.asked:
            ctx.reply("late")
        assert await patient == "late"
        assert await b.ref("a", "echo").ask(3) == 3
        assert a.late_reply_count == 1


async def test_a_cancelled_ask_leaves_nothing_behind() -> None:
    """Rule 8: the asker goes; what was sent is handled or not."""
    async with pair() as (a, b):
        mute = await spawned(a, Mute(), "mute")
        asking = asyncio.create_task(b.ref("a", "mute").ask(1))
        await within(mute.came.wait())
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert len(b.asks) == 0
        mute.asked[0].reply("too late")
        await b.lookup("mute")


async def test_asks_fail_when_the_connection_does_and_nothing_is_sent_again() -> None:
    """MSG-9: the outcome is unknown, and the text says so."""
    async with pair() as (a, b):
        mute = await spawned(a, Mute(), "mute")
        asking = [asyncio.create_task(b.ref("a", "mute").ask(n, timeout=None)) for n in range(3)]
        await until(lambda: len(mute.asked) == 3)
        dialled(b, "a").abort()
        for ask in asking:
            with pytest.raises(NodeUnreachableError, match="may have been handled"):
                await within(ask)
        await meshed(a, b)
        assert (await b.lookup("mute")).name == "mute"
        assert len(mute.asked) == 3


async def test_answers_to_no_question_are_ignored() -> None:
    """MSG-5: unknown, second and foreign ids; unasked lookups and pongs (PEER-8)."""
    async with Listener() as listener, client(listener.address, node_id="a") as a:
        peer = await listener.greeted()
        await until(lambda: "peer" in a.peers)
        asking = asyncio.create_task(a.ref("peer", "x").ask(1))
        request = await peer.next()
        number = request.payload["id"]
        async with peer_of(a, "other") as other:
            for speaker in (peer, other):
                for unknown in (0, number + 1, (1 << 64) - 1):
                    speaker.say(p.ASK_RES, "", {"id": unknown, "value": "wrong"})
                    speaker.say(p.LOOKUP_RES, "x", {"id": unknown, "found": True, "actor_class": "a:b"})
                    speaker.say(p.PING, "", {"id": unknown, "pong": True})
            other.say(p.ASK_RES, "", {"id": number, "value": "of another connection"})
            await other.ask("nobody", 1)
            peer.say(p.ASK_RES, "", {"id": number, "value": "right"})
            peer.say(p.ASK_RES, "", {"id": number, "value": "twice"})
            assert await within(asking) == "right"
            assert (await other.ask("nobody", 1, 2))["code"] == "ACTOR_NOT_FOUND"


async def test_an_ask_that_is_too_old_is_not_started() -> None:
    """MSG-4: its asker has gone."""
    async with client(node_id="a") as a, peer_of(a) as peer:
        started = asyncio.Event()
        free = asyncio.Event()
        handled: list[Any] = []

        class Slow(Echo):
            async def receive(self, msg: Any, ctx: Any) -> None:
                handled.append(msg)
                started.set()
                await free.wait()
                ctx.reply(msg)

        await a.spawn(Slow, name="slow")
        peer.say(p.ASK_REQ, "slow", {"id": 1, "message": "first"})
        await within(started.wait())
        peer.say(p.ASK_REQ, "slow", {"id": 2, "timeout_ms": 0, "message": "too old"})
        peer.say(p.ASK_REQ, "slow", {"id": 3, "timeout_ms": (1 << 63) - 1, "message": "patient"})
        await peer.ask("nobody", 1, 4)
        free.set()
        assert (await peer.answer(3)).payload["value"] == "patient"
        assert handled == ["first", "patient"]


async def test_a_thousand_asks_at_once_are_each_answered_once() -> None:
    """MSG-3 (conformance M-03)."""
    async with pair() as (a, b):
        await a.spawn(Echo, name="echo")
        ref = b.ref("a", "echo")
        replies = await asyncio.gather(*(ref.ask(number) for number in range(1000)))
        assert replies == list(range(1000))
        assert len(b.asks) == 0
