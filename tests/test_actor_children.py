"""Children: who stops before whom, and who hears of it (spec/actors.md)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from casty.errors import ActorStartError, ActorStoppedError
from casty.system import ActorSystem
from tests.actors import Gated, Noted, Sturdy, spawn_child
from tests.support import logged, settle

if TYPE_CHECKING:
    from casty.actor import ActorRef, Context


async def test_children_stop_before_their_parent_the_youngest_first() -> None:
    """[ACTOR-24]"""
    notes: list[str] = []
    async with ActorSystem() as system:
        parent = await system.spawn(Noted, notes=notes, label="parent")
        older = await parent.ask(spawn_child(notes, "older"))
        await parent.ask(spawn_child(notes, "younger"))
        await older.ask(spawn_child(notes, "grandchild"))
        notes.clear()
        await parent.send("a")
        await system.stop(parent)
    assert notes == [
        "parent handles a",
        "younger stops",
        "grandchild stops",
        "older stops",
        "parent stops",
    ]


async def test_a_stopping_actor_spawns_no_children() -> None:
    """[ACTOR-24] Nor does one that has stopped."""
    async with ActorSystem() as system:
        actor = Noted([])
        ref = await system.spawn(lambda: actor, name="a")

        async def stop_and_spawn(ctx: Context[Any]) -> None:
            ctx.stop()
            with pytest.raises(ActorStoppedError, match="actor a has stopped"):
                await ctx.spawn(Noted, notes=[])

        await ref.ask(stop_and_spawn)
        context = actor.context
        await system.stop(ref)
        with pytest.raises(ActorStoppedError):
            await context.spawn(Noted, notes=[])


async def test_a_child_that_is_starting_stops_with_its_parent() -> None:
    """[ACTOR-24] [ACTOR-16] Whoever spawned it learns why it has no actor."""
    notes: list[str] = []
    async with ActorSystem() as system:
        actor = Noted(notes, "parent")
        parent = await system.spawn(lambda: actor)
        gate = asyncio.Event()
        spawning = asyncio.create_task(actor.context.spawn(Gated, name="child", notes=notes, gate=gate))
        await settle()
        await system.stop(parent, timeout=0.001)
        with pytest.raises(ActorStartError, match="on_start of actor child raised CancelledError"):
            await spawning
    assert notes == ["parent starts", "starts", "parent stops"]


async def test_a_child_may_finish_starting_while_its_parent_stops() -> None:
    """[ACTOR-24] Then it is stopped like any other: it has started, so on_stop is called."""
    notes: list[str] = []
    async with ActorSystem() as system:
        actor = Noted(notes, "parent")
        parent = await system.spawn(lambda: actor)
        gate = asyncio.Event()
        spawning = asyncio.create_task(actor.context.spawn(Gated, notes=notes, gate=gate))
        await settle()
        stopping = asyncio.create_task(system.stop(parent))
        await settle()
        gate.set()
        await stopping
        with pytest.raises(ActorStoppedError):
            await (await spawning).ask("a")
    assert notes == ["parent starts", "starts", "has started", "stops", "parent stops"]


class Parent(Noted):
    """Notes its children's ends, and spawns them again while there are lives left."""

    lives = 1

    async def on_child_stopped(self, child: ActorRef[Any], exc: Exception | None) -> None:
        self.note(f"loses {child.name}: {exc!r}")
        if self.lives and exc is not None:
            self.lives -= 1
            await self.context.spawn(Noted, name=child.name, notes=self.notes, label="second")


async def test_a_parent_hears_of_a_child_that_failed_and_may_spawn_it_again() -> None:
    """[ACTOR-25] [ACTOR-33] Whoever holds a ref to the child needs no new one."""
    notes: list[str] = []
    async with ActorSystem() as system:
        parent = await system.spawn(Parent, notes=notes, label="parent")
        child = await parent.ask(spawn_child(notes))
        notes.clear()
        await child.send(ValueError("oh"))
        await settle()
        assert await child.ask("a") == "a"
    assert notes == [
        "child stops",
        "parent loses child: ValueError('oh')",
        "second starts",
        "second handles a",
        "second stops",
        "parent stops",
    ]


async def test_a_parent_hears_of_a_child_that_was_stopped() -> None:
    """[ACTOR-25] It is told before the messages that wait, and outlives the end."""
    notes: list[str] = []
    async with ActorSystem() as system:
        parent = await system.spawn(Parent, notes=notes, label="parent")
        child = await parent.ask(spawn_child(notes))
        go = asyncio.Event()
        await parent.send(go)
        await parent.send("a")
        await settle()
        await system.stop(child)
        notes.clear()
        go.set()
        await settle()
        assert notes == ["parent goes on", "parent loses child: None", "parent handles a"]
        # Stopped because its parent stops: that is no news.
        await parent.ask(spawn_child(notes))
        notes.clear()
    assert notes == ["child stops", "parent stops"]


async def test_a_busy_parent_hears_of_each_of_its_children() -> None:
    """[ACTOR-25] In the order in which they stopped."""
    notes: list[str] = []
    async with ActorSystem() as system:
        parent = await system.spawn(Parent, notes=notes, label="parent")
        children = [await parent.ask(spawn_child([], name)) for name in ("a", "b", "c")]
        go = asyncio.Event()
        await parent.send(go)
        await settle()
        for child in (children[1], children[0], children[2]):
            await system.stop(child)
        notes.clear()
        go.set()
        await settle()
        assert notes == [
            "parent goes on",
            "parent loses b: None",
            "parent loses a: None",
            "parent loses c: None",
        ]


async def test_a_child_that_could_not_start_has_not_stopped() -> None:
    """[ACTOR-16] [ACTOR-25] Else a parent that replaces its children would go round for ever."""

    class Unwilling(Noted):
        async def on_start(self) -> None:
            raise ValueError("no, thanks")

    class Patient(Noted):
        async def on_child_stopped(self, child: ActorRef[Any], exc: Exception | None) -> None:
            self.note(f"loses {child.name}: {exc!r}")
            if len(self.notes) < 9:  # or a failure of this test would hang instead
                with pytest.raises(ActorStartError):
                    await self.context.spawn(Unwilling, name=child.name, notes=[])

    notes: list[str] = []
    async with ActorSystem() as system:
        parent = await system.spawn(Patient, notes=notes)
        child = await parent.ask(spawn_child([]))
        await system.stop(child)
        assert await parent.ask("a") == "a"
    assert notes == ["starts", "loses child: None", "handles a", "stops"]


async def test_a_failing_on_child_stopped_is_a_failure_of_the_parent(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-25] [ACTOR-20]"""

    class Heartbroken(Sturdy):
        async def on_child_stopped(self, child: ActorRef[Any], exc: Exception | None) -> None:
            raise ValueError("alone")

    notes: list[str] = []
    async with ActorSystem() as system:
        parent = await system.spawn(Heartbroken, name="parent", notes=notes)
        await system.stop(await parent.ask(spawn_child([])))
        await settle()
        assert await parent.ask("a") == "a"
    assert notes == ["starts", "on_error ValueError('alone')", "handles a", "stops"]
    assert logged(caplog) == ["actor parent failed in on_child_stopped and goes on: ValueError('alone')"]


async def test_a_parent_hears_of_a_child_that_stops_while_it_starts_itself() -> None:
    """[ACTOR-25] After on_start has returned."""
    notes: list[str] = []

    class Impatient(Parent):
        async def on_start(self) -> None:
            child = await self.context.spawn(Noted, name="child", notes=self.notes, label="child")
            await self.context.system.stop(child)
            self.note("has started")

    async with ActorSystem() as system:
        await system.spawn(Impatient, notes=notes, label="parent")
        await settle()
    assert notes[2:4] == ["parent has started", "parent loses child: None"]
