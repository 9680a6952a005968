"""Messages are handled one at a time, in the order of the calls, and passed as they are (spec/actors.md)."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from casty.actor import Actor, Context
from casty.errors import AskTimeoutError, SerializationError
from casty.system import ActorSystem
from tests.actors import Recorder
from tests.support import logged


async def test_a_message_is_handled_after_the_one_before_it_has_been() -> None:
    """[ACTOR-1]"""

    class Slow(Actor[str]):
        async def receive(self, msg: str, ctx: Context[str]) -> None:
            steps.append(f"{msg} begins")
            await asyncio.sleep(0)
            steps.append(f"{msg} ends")

    steps: list[str] = []
    async with ActorSystem() as system:
        slow = await system.spawn(Slow)
        await asyncio.gather(slow.send("a"), slow.send("b"))
    assert steps == ["a begins", "a ends", "b begins", "b ends"]


async def test_messages_of_many_senders_are_handled_in_the_order_of_the_calls() -> None:
    """[ACTOR-2]"""
    async with ActorSystem() as system:
        recorder = await system.spawn(Recorder)
        await asyncio.gather(*(recorder.send(number) for number in range(3000)))
        assert await recorder.ask("list") == list(range(3000))


async def test_an_ask_does_not_overtake_the_messages_sent_before_it() -> None:
    """[ACTOR-2] Although the actor, woken by the first message, has not run yet when the ask comes."""
    async with ActorSystem() as system:
        recorder = await system.spawn(Recorder)
        await recorder.send("first")
        assert await recorder.ask("list") == ["first"]


async def test_an_unknown_message_is_delivered_and_its_ask_ends_without_a_reply() -> None:
    """[ACTOR-6]"""

    class Picky(Actor[int]):
        async def receive(self, msg: int, ctx: Context[int]) -> None:
            match msg:
                case int():
                    ctx.reply(msg)

    async with ActorSystem() as system:
        picky: Any = await system.spawn(Picky)
        with pytest.raises(AskTimeoutError, match="handled without a reply"):
            await picky.ask("not an int", timeout=0.01)


class Copying(ActorSystem):
    """Copies only lists, so that there is something that cannot be copied."""

    def _copy(self, message: Any) -> Any:
        if not isinstance(message, list):
            raise SerializationError(f"{message!r} is not a list")
        return list(message)


class Keeper(Actor[list[int]]):
    """Keeps the first list it is sent, and replies with it, or with something that cannot be copied."""

    def __init__(self) -> None:
        self.kept: list[int] = []

    async def receive(self, msg: list[int], ctx: Context[list[int]]) -> None:
        self.kept = self.kept or msg
        ctx.reply("not a list" if msg == [0] else self.kept)


async def test_messages_are_passed_by_reference() -> None:
    """[ACTOR-7]"""
    async with ActorSystem() as system:
        keeper = await system.spawn(Keeper)
        numbers = [1]
        assert await keeper.ask(numbers) is numbers


async def test_messages_and_replies_are_copied_where_that_is_asked_for() -> None:
    """[ACTOR-7]"""
    async with Copying(copy_messages=True) as system:
        keeper = await system.spawn(Keeper)
        numbers = [1]
        await keeper.send(numbers)
        numbers.append(2)
        reply = await keeper.ask([])
        assert reply == [1]
        reply.append(3)
        assert await keeper.ask([]) == [1]


async def test_a_message_that_cannot_be_copied_raises_in_its_sender_and_is_not_sent() -> None:
    """[ACTOR-7]"""
    async with Copying(copy_messages=True) as system:
        keeper: Any = await system.spawn(Keeper)
        with pytest.raises(SerializationError, match="'text' is not a list"):
            await keeper.send("text")
        with pytest.raises(SerializationError, match="'text' is not a list"):
            await keeper.ask("text")
        assert await keeper.ask([5]) == [5]


async def test_a_reply_that_cannot_be_copied_raises_in_the_asker_and_spares_the_actor(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """[ACTOR-7]"""
    async with Copying(copy_messages=True) as system:
        keeper = await system.spawn(Keeper)
        with pytest.raises(SerializationError, match="'not a list' is not a list"):
            await keeper.ask([0])
        assert await keeper.ask([5]) == [0]
    (line,) = logged(caplog)
    assert re.fullmatch(r"actor @1 replied to list with a str that cannot be copied: .+", line)
