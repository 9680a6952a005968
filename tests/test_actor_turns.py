"""When an actor runs: fair turns, no task while idle, and no stack that grows (spec/actors.md)."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

from casty.actor import Actor, Context
from casty.system import ActorSystem
from tests.actors import Recorder


async def test_a_busy_actor_lets_others_run_after_128_messages() -> None:
    """[ACTOR-4]"""
    async with ActorSystem() as system:
        recorder = await system.spawn(Recorder)
        for number in range(400):
            await recorder.send(number)
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # one turn in which the actor starts, and one batch
        cell = system._registry.find(recorder.address)
        assert cell is not None
        assert isinstance(cell.actor, Recorder)
        assert len(list(cell.actor.seen)) in (128, 256)


async def test_awaiting_sends_in_a_loop_does_not_starve_the_receiver() -> None:
    """[ACTOR-4] With a plain queue, 10,000 awaited puts leave the consumer without a single turn."""
    async with ActorSystem() as system:
        recorder = await system.spawn(Recorder)
        backlog_max = 0
        cell = system._registry.find(recorder.address)
        assert cell is not None
        for number in range(10_000):
            await recorder.send(number)
            backlog_max = max(backlog_max, len(cell.inbox or ()))
        assert backlog_max <= 1025 + 128


async def test_asking_in_a_loop_does_not_starve_the_others() -> None:
    """[ACTOR-4] Though none of these asks needs a turn of the loop."""
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        loop.call_soon(turn)

    loop = asyncio.get_running_loop()
    loop.call_soon(turn)
    async with ActorSystem() as system:
        recorder = await system.spawn(Recorder)
        for _ in range(2560):
            await recorder.ask("list")
    assert turns >= 10


request: ContextVar[str] = ContextVar("request", default="none")


class Reader(Actor[str]):
    """Replies with the context variable, and sets it when told to."""

    async def receive(self, msg: str, ctx: Context[str]) -> None:
        if msg != "read":
            request.set(msg)
        ctx.reply(request.get())


async def test_an_actor_has_the_context_variables_of_its_spawner_whoever_wakes_it() -> None:
    """[ACTOR-15]"""
    async with ActorSystem() as system:
        request.set("the spawner's")
        reader = await system.spawn(Reader)
        request.set("the asker's")
        assert await reader.ask("read") == "the spawner's"
        await reader.send("its own")
        assert await reader.ask("read") == "its own"
        assert request.get() == "the asker's"


async def test_an_idle_actor_has_no_task() -> None:
    """[ACTOR-15]"""
    async with ActorSystem() as system:
        recorders = [await system.spawn(Recorder) for _ in range(100)]
        for recorder in recorders:
            await recorder.send("work")
            await recorder.ask("list")
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_asking_an_idle_actor_takes_no_turn_of_the_loop() -> None:
    """[ACTOR-15]"""
    async with ActorSystem() as system:
        recorder = await system.spawn(Recorder)
        turned = False

        def turn() -> None:
            nonlocal turned
            turned = True

        asyncio.get_running_loop().call_soon(turn)
        assert await recorder.ask("list") == []
        assert not turned


class Link(Actor[str]):
    """One of a chain; passes the ask on to the next, and replies with how long the chain is from here."""

    def __init__(self, next_link: Any) -> None:
        self.next_link = next_link

    async def receive(self, msg: str, ctx: Context[str]) -> None:
        ctx.reply(1 if self.next_link is None else 1 + await self.next_link.ask(msg, timeout=None))


async def test_a_long_chain_of_asks_does_not_overflow_the_stack() -> None:
    """[ACTOR-15] Three hundred actors, each asking the next from within its own receive."""
    async with ActorSystem() as system:
        link: Any = None
        for _ in range(300):
            link = await system.spawn(Link, next_link=link)
        assert await link.ask("how long?") == 300


class Nested(Actor[int]):
    """Spawns another one inside its `on_start`, and that one another, `depth` times."""

    def __init__(self, depth: int) -> None:
        self.depth = depth

    async def on_start(self) -> None:
        if self.depth:
            await self.context.spawn(Nested, name=f"nested-{self.depth}", depth=self.depth - 1)

    async def receive(self, msg: int, ctx: Context[int]) -> None: ...


async def test_starting_actors_inside_one_another_does_not_overflow_the_stack() -> None:
    """[ACTOR-15]"""
    async with ActorSystem() as system:
        await system.spawn(Nested, depth=300)
        await system.lookup("nested-1")
