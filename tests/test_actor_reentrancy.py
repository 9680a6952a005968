"""Actors that ask themselves, or each other in a circle (spec/actors.md)."""

from __future__ import annotations

import asyncio

import pytest

from casty.actor import Actor, ActorRef, Context
from casty.errors import ActorFailedError, ReentrancyError
from casty.system import ActorSystem


class Selfish(Actor[str]):
    """Asks itself, directly or from another task."""

    async def receive(self, msg: str, ctx: Context[str]) -> None:
        match msg:
            case "own task":
                try:
                    await ctx.self_ref.ask("name", timeout=None)
                except ReentrancyError as error:
                    ctx.reply(error)
            case "side task":
                self.side = asyncio.create_task(self.ask_aside(ctx))
            case _:
                ctx.reply("selfish")

    async def ask_aside(self, ctx: Context[str]) -> None:
        ctx.reply(await ctx.self_ref.ask("name"))


async def test_an_actor_that_asks_itself_fails_at_once() -> None:
    """[ACTOR-14] Whether it was idle before or busy."""
    async with ActorSystem() as system:
        selfish = await system.spawn(Selfish, name="selfish")
        idle = await selfish.ask("own task", timeout=None)
        await selfish.send("name")
        busy = await selfish.ask("own task", timeout=None)
        for error in (idle, busy):
            text = "actor selfish asked itself from its own task, which would never answer"
            assert (type(error), str(error)) == (ReentrancyError, text)


async def test_an_actor_may_ask_itself_from_another_task() -> None:
    """[ACTOR-14]"""
    async with ActorSystem() as system:
        selfish = await system.spawn(Selfish)
        assert await selfish.ask("side task") == "selfish"


async def test_an_actor_that_asks_itself_while_it_starts_fails_at_once() -> None:
    """[ACTOR-14] Else `spawn` would wait for an answer that can come only after it."""

    class Hasty(Actor[str]):
        async def on_start(self) -> None:
            with pytest.raises(ReentrancyError):
                await self.context.self_ref.ask("anything", timeout=None)

        async def receive(self, msg: str, ctx: Context[str]) -> None: ...

    async with ActorSystem() as system:
        await system.spawn(Hasty)


class Circle(Actor[str]):
    """Asks the next one in the circle."""

    def __init__(self, patience: float | None) -> None:
        self.patience = patience
        self.next: ActorRef[str] | None = None

    async def receive(self, msg: str, ctx: Context[str]) -> None:
        assert self.next is not None
        ctx.reply(await self.next.ask(msg, timeout=self.patience))


async def test_a_circle_of_asks_ends_with_a_timeout_that_names_the_busy_actor() -> None:
    """[ACTOR-14]"""
    async with ActorSystem() as system:
        first, second = Circle(patience=None), Circle(patience=0.001)
        second.next = await system.spawn(lambda: first, name="first")
        first.next = await system.spawn(lambda: second, name="second")
        text = "AskTimeoutError: actor first gave no answer to str in 0.001 s: still queued"
        with pytest.raises(ActorFailedError, match=text):
            await second.next.ask("round")
