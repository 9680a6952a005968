"""Failures of actors on other nodes: each is answered, and its text says who, what and where."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import pytest

from casty import (
    Actor,
    ActorFailedError,
    ActorNotFoundError,
    ActorStoppedError,
    AskTimeoutError,
    Context,
    NodeUnreachableError,
    SerializationError,
)
from tests.cluster.actors import Mute, spawned
from tests.cluster.harness import client, dialled, pair, until, within
from tests.cluster.peers import Listener
from tests.raising import EXCEPTIONS, WAYS, OutcomeError, Raising
from tests.support import logged


@pytest.mark.parametrize("way", WAYS)
async def test_whatever_an_actor_raises_its_remote_asker_is_told(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """MSG-3, actors.md rules 8 and 21: the one that is handled, and the one behind it."""
    caplog.set_level(logging.CRITICAL, "casty")  # the runner cannot pass on half a surrogate pair
    async with pair() as (a, b):
        for name, error in EXCEPTIONS.items():
            await a.spawn(Raising, name=name, error=error(), way=way)
            ref = b.ref("a", name)
            asking = [asyncio.create_task(ref.ask("raise", timeout=None)) for _ in range(2)]
            first, second = await within(asyncio.gather(*asking, return_exceptions=True))
            assert isinstance(first, ActorFailedError), (name, first)
            assert str(first).endswith(f" on node a (actor {name}, message str)")
            assert isinstance(second, Exception), (name, second)


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_node_s_program_is_no_silence_for_its_askers(fatal: type[BaseException]) -> None:
    """MSG-3, actors.md rule 21: it goes out of the loop, and the ask has been answered."""
    asking: list[asyncio.Task[Any]] = []
    loop = asyncio.new_event_loop()
    end = asyncio.Event()

    async def main() -> None:
        async with pair() as (a, b):
            await a.spawn(Raising, name="fatal", error=fatal(), way="later")
            asking.append(asyncio.create_task(b.ref("a", "fatal").ask("raise", timeout=None)))
            await within(end.wait())

    running = loop.create_task(main())
    with pytest.raises(fatal):
        loop.run_until_complete(running)
    with pytest.raises(ActorStoppedError, match="actor fatal on node a was stopped while it handled str"):
        loop.run_until_complete(asyncio.wait_for(asking[0], 20))
    end.set()
    loop.run_until_complete(running)
    loop.close()


@dataclass
class Sly:
    """Taken apart, it raises."""

    error: BaseException

    def __getattribute__(self, name: str) -> Any:
        if name == "error":
            raise OutcomeError("not to be seen")
        return super().__getattribute__(name)


class Replying(Actor[str]):
    async def receive(self, msg: str, ctx: Context[str]) -> None:
        ctx.reply(Sly(ValueError()) if msg == "sly" else object() if msg == "object" else msg)


async def test_a_reply_that_cannot_be_sent_names_its_actor(caplog: pytest.LogCaptureFixture) -> None:
    """MSG-8: to the asker and in the log, whatever went wrong; the actor is not harmed."""
    async with pair() as (a, b):
        await a.spawn(Replying, name="r")
        ref = b.ref("a", "r")
        for message, why in [("object", "cannot send a value of type object"), ("sly", "OutcomeError")]:
            with pytest.raises(SerializationError) as failed:
                await ref.ask(message, timeout=None)
            text = str(failed.value)
            assert text.startswith("the reply cannot be sent: ")
            assert why in text
            assert text.endswith(" (actor r on node a, message str)")
        assert await ref.ask("hello") == "hello"
    one, two = logged(caplog)
    assert one.startswith("actor r on node a replied to str of node b with a object that cannot be sent: ")
    assert two.startswith("actor r on node a replied to str of node b with a Sly that cannot be sent: ")


async def test_a_timeout_says_whether_the_ask_has_left() -> None:
    """actors.md rule 10: what this node can know of an ask to another one."""
    async with pair() as (a, b):
        await spawned(a, Mute(), "mute")
        text = r"in 0\.02 s: sent; node a was last heard from 0\.\d s ago$"
        with pytest.raises(AskTimeoutError, match=text):
            await b.ref("a", "mute").ask(1, timeout=0.02)
    async with Listener() as listener, client(listener.address, node_id="a") as a:
        peer = await listener.greeted()
        peer.stop_reading()
        await until(lambda: ("peer", "actor") in a.links.dialled)
        link, ref = dialled(a, "peer"), a.ref("peer", "x")
        while link.backlog == 0:
            await asyncio.wait([asyncio.create_task(ref.send(bytes(1 << 16)))], timeout=0.001)
        with pytest.raises(AskTimeoutError, match="peer"):
            await ref.ask(1, timeout=0.02)


async def test_what_is_said_of_an_ask_that_failed_names_the_actor_the_message_and_the_node_once() -> None:
    """MSG-9 and the table of ask errors."""
    async with pair() as (a, b):
        await spawned(a, Mute(), "mute")
        with pytest.raises(ActorNotFoundError) as absent:
            await b.ref("a", "x").ask(1, timeout=None)
        asking = asyncio.create_task(b.ref("a", "mute").ask(1, timeout=None))
        await until(lambda: len(b.asks) == 1)
        dialled(b, "a").abort()
        with pytest.raises(NodeUnreachableError) as lost:
            await within(asking)
    assert str(absent.value) == "there is no actor x on node a (message int)"
    assert str(lost.value) == (
        "the connection with node a was lost; the message may have been handled "
        "(actor mute on node a, message int)"
    )


async def test_a_lookup_without_other_nodes_says_so() -> None:
    """Plain words where nothing is connected."""
    async with client(node_id="a") as a:
        with pytest.raises(ActorNotFoundError) as absent:
            await a.lookup("x", timeout=0.01)
    assert str(absent.value) == "there is no actor named 'x' here, and no other node is connected, after 0.01 s"
