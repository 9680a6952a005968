"""How an actor starts, and what is left where it does not (spec/actors.md)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.actor import Actor, ActorRef, Context
from casty.errors import ActorNotFoundError, ActorStartError, ActorStoppedError
from casty.system import ActorSystem
from tests.actors import Gated, Noted
from tests.support import settle


async def test_spawn_returns_when_on_start_has() -> None:
    """[ACTOR-16]"""
    notes: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Noted, notes=notes)
        notes.append("spawned")
        await ref.ask("a")
    assert notes == ["starts", "spawned", "handles a", "stops"]


async def test_messages_sent_while_an_actor_starts_wait_for_it() -> None:
    """[ACTOR-16] It is not found before it has started, but it may have handed out its ref."""
    notes: list[str] = []
    async with ActorSystem() as system:
        gate = asyncio.Event()
        actor = Gated(notes, gate)
        spawning = asyncio.create_task(system.spawn(lambda: actor, name="gated"))
        await settle()
        with pytest.raises(ActorNotFoundError):
            await system.lookup("gated")
        early = actor.context.self_ref
        await early.send("a")
        question = asyncio.create_task(early.ask("b"))
        await settle()
        gate.set()
        ref = await spawning
        assert await question == "b"
        assert await system.lookup("gated") == ref
    assert notes == ["starts", "has started", "handles a", "handles b", "stops"]


class Unwilling(Noted):
    """Spawns a child and raises while it starts."""

    async def on_start(self) -> None:
        self.note("starts")
        self.child = await self.context.spawn(Noted, name="child", notes=self.notes, label="child")
        raise ValueError("no, thanks")


async def test_a_failing_on_start_leaves_nothing_behind() -> None:
    """[ACTOR-16]"""
    notes: list[str] = []
    async with ActorSystem() as system:
        with pytest.raises(ActorStartError, match="on_start of actor a raised ValueError") as caught:
            await system.spawn(Unwilling, name="a", notes=notes)
        assert isinstance(caught.value.__cause__, ValueError)
        for name in ("a", "child"):
            with pytest.raises(ActorNotFoundError):
                await system.lookup(name)
        await system.spawn(Noted, name="a", notes=[])
    assert notes == ["starts", "child starts", "child stops"]


async def test_asks_of_an_actor_that_does_not_start_fail_at_once() -> None:
    """[ACTOR-16]"""
    async with ActorSystem() as system:
        gate = asyncio.Event()
        actor = Gated([], gate)
        spawning = asyncio.create_task(system.spawn(lambda: actor))
        await settle()
        question = asyncio.create_task(actor.context.self_ref.ask("a", timeout=None))
        await settle()
        spawning.cancel()
        with pytest.raises(ActorStoppedError):
            await question


async def test_a_failing_constructor_fails_spawn() -> None:
    """[ACTOR-16]"""
    async with ActorSystem() as system:
        with pytest.raises(ActorStartError, match="TypeError") as caught:
            await system.spawn(Noted, name="a", nonsense=1)
        assert isinstance(caught.value.__cause__, TypeError)
        await system.spawn(Noted, name="a", notes=[])


async def test_a_cancelled_error_that_leaks_out_of_on_start_fails_spawn() -> None:
    """[ACTOR-16] [ACTOR-21] The spawner was not cancelled, so it must not look as if it were."""

    class Leaky(Noted):
        async def on_start(self) -> None:
            raise asyncio.CancelledError

    async with ActorSystem() as system:
        with pytest.raises(ActorStartError, match="CancelledError"):
            await system.spawn(Leaky, notes=[])


async def test_a_cancelled_spawn_leaves_no_actor_behind() -> None:
    """[ACTOR-17] Cancelled while on_start waits, which is cancelled with it."""
    notes: list[str] = []
    async with ActorSystem() as system:
        spawning = asyncio.create_task(system.spawn(Gated, name="a", notes=notes, gate=asyncio.Event()))
        await settle()
        spawning.cancel()
        await asyncio.wait([spawning])
        assert spawning.cancelled()
        await system.spawn(Noted, name="a", notes=[])
    assert notes == ["starts"]


async def test_a_spawn_cancelled_as_the_actor_has_started_stops_it_again() -> None:
    """[ACTOR-17] on_start has returned, so on_stop is called."""
    notes: list[str] = []
    async with ActorSystem() as system:
        gate = asyncio.Event()
        spawning = asyncio.create_task(system.spawn(Gated, name="a", notes=notes, gate=gate))
        await settle()
        gate.set()
        await asyncio.sleep(0)
        assert notes == ["starts", "has started"]
        spawning.cancel()
        await asyncio.wait([spawning])
        assert spawning.cancelled()
        await settle()
        assert notes == ["starts", "has started", "stops"]


async def test_spawn_takes_a_function() -> None:
    """[ACTOR-18] For a constructor that wants a `name` of its own, say."""

    class User(Actor[str]):
        def __init__(self, name: str) -> None:
            self.name = name

        async def receive(self, msg: str, ctx: Context[str]) -> None:
            ctx.reply(self.name)

    async with ActorSystem() as system:
        user = await system.spawn(lambda: User(name="Ada"), name="user")
        assert user.name == "user"
        assert await user.ask("name?") == "Ada"


async def test_any_keyword_but_name_goes_to_the_constructor() -> None:
    """[ACTOR-18] One that is called as what `spawn` itself takes, too."""

    class Friend(Noted):
        def __init__(self, actor: list[str]) -> None:
            super().__init__(actor)

    notes: list[str] = []
    async with ActorSystem() as system:
        parent = await system.spawn(Friend, actor=notes)
        await parent.ask(lambda ctx: ctx.spawn(Friend, actor=notes))
    assert notes == ["starts", "starts", "stops", "stops"]


async def test_spawn_refuses_what_is_no_actor() -> None:
    """[ACTOR-18]"""
    async with ActorSystem() as system:
        spawn: Any = system.spawn
        with pytest.raises(TypeError, match=r"function that returns one; .* gave 'text'"):
            await spawn(lambda: "text")
        with pytest.raises(TypeError, match=r"not <.*Noted.*>; an object .* `spawn\(lambda: actor\)`"):
            await spawn(Noted([]))


async def test_an_actor_object_is_spawned_once() -> None:
    """[ACTOR-18] Two actors with one state would handle two messages at a time."""
    async with ActorSystem() as system:
        actor = Noted([])
        await system.spawn(lambda: actor)
        with pytest.raises(ValueError, match="has a `context` already"):
            await system.spawn(lambda: actor)


async def test_the_context_is_there_in_on_start_without_any_constructor() -> None:
    """[ACTOR-19] `Early` does not call `super().__init__()`."""

    class Early(Actor[str]):
        def __init__(self) -> None:
            self.ref: ActorRef[str] | None = None

        async def on_start(self) -> None:
            self.ref = self.context.self_ref
            self.system = self.context.system

        async def receive(self, msg: str, ctx: Context[str]) -> None:
            ctx.reply((self.ref == ctx.self_ref, self.system is ctx.system))

    async with ActorSystem() as system:
        early = await system.spawn(Early, name="early")
        assert await early.ask("?") == (True, True)
        actor = Early()
        await system.spawn(lambda: actor)
        assert actor.system is system
