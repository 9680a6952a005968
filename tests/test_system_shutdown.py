"""How a system ends (spec/actors.md)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.actor import Actor, Context
from casty.errors import ActorStoppedError, SystemStoppedError
from casty.system import ActorSystem
from tests.support import logged, run


class Worker(Actor[Any]):
    """Notes what it handles and when it stops; waits for events; calls what can be called."""

    def __init__(self, notes: list[str], label: str = "worker") -> None:
        self.notes = notes
        self.label = label

    async def on_stop(self) -> None:
        self.notes.append(f"{self.label} stops")

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        match msg:
            case asyncio.Event():
                await msg.wait()
            case _ if callable(msg):
                ctx.reply(await msg(ctx))
            case _:
                self.notes.append(f"{self.label} handles {msg}")


async def test_leaving_the_block_drains_and_stops_the_actors_the_youngest_first() -> None:
    """[ACTOR-26] So an actor outlives those that were handed its ref when they were spawned."""
    notes: list[str] = []
    async with ActorSystem() as system:
        older = await system.spawn(Worker, notes=notes, label="older")
        younger = await system.spawn(Worker, notes=notes, label="younger")

        async def pass_on(ctx: Context[Any]) -> None:
            await older.send("work")

        await younger.send(pass_on)
    assert notes == ["younger stops", "older handles work", "older stops"]


def test_an_exception_in_the_block_stops_the_actors_too() -> None:
    """[ACTOR-26]"""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            await system.spawn(Worker, notes=notes)
            raise ValueError("in the block")

    with pytest.raises(ValueError, match="in the block"):
        run(main())
    assert notes == ["worker stops"]


async def test_a_cancelled_block_stops_the_actors_too() -> None:
    """[ACTOR-26]"""
    notes: list[str] = []

    async def block() -> None:
        async with ActorSystem() as system:
            await system.spawn(Worker, notes=notes)
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert notes == ["worker stops"]


async def test_actors_that_take_too_long_are_cancelled_all_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-26] Their on_stop is called all the same."""
    notes: list[str] = []
    async with ActorSystem(shutdown_timeout=0.001) as system:
        for label in ("first", "second"):
            worker = await system.spawn(Worker, notes=notes, label=label)
            await worker.send(asyncio.Event())
            await worker.send("queued")
        await asyncio.sleep(0)
    assert sorted(notes) == ["first stops", "second stops"]
    assert logged(caplog) == [
        "2 actors had not stopped in 0.001 s and are cancelled; busy: @1, @2",
        "actor @1 ended: its task was cancelled in receive of Event; messages discarded: 1, asks refused: 0",
        "actor @2 ended: its task was cancelled in receive of Event; messages discarded: 1, asks refused: 0",
    ]


async def test_a_shutdown_without_a_timeout_waits_for_the_actors() -> None:
    """[ACTOR-26]"""
    notes: list[str] = []
    async with ActorSystem(shutdown_timeout=None) as system:
        worker = await system.spawn(Worker, notes=notes)
        go = asyncio.Event()
        await worker.send(go)
        await worker.send("work")
        asyncio.get_running_loop().call_later(0.001, go.set)
    assert notes == ["worker handles work", "worker stops"]


async def test_after_shutdown_nothing_can_be_spawned_or_entered() -> None:
    """[ACTOR-26]"""
    async with ActorSystem() as system:
        worker = await system.spawn(Worker, notes=[])
    with pytest.raises(SystemStoppedError, match="spawns no more actors"):
        await system.spawn(Worker, notes=[])
    with pytest.raises(SystemStoppedError, match="make a new one"):
        await system.__aenter__()
    with pytest.raises(ActorStoppedError):
        await worker.ask("a")


async def test_no_actor_is_spawned_while_the_system_shuts_down() -> None:
    """[ACTOR-26] Not even a child."""
    outcomes: list[Exception] = []
    async with ActorSystem() as system:
        worker = await system.spawn(Worker, notes=[])

        async def spawn(ctx: Context[Any]) -> None:
            try:
                await ctx.spawn(Worker, notes=[])
            except Exception as error:
                outcomes.append(error)

        go = asyncio.Event()
        await worker.send(go)
        await worker.send(spawn)
        asyncio.get_running_loop().call_soon(go.set)
    assert [type(error) for error in outcomes] == [SystemStoppedError]


async def test_shutting_down_twice_is_shutting_down_once() -> None:
    """[ACTOR-26] Both calls return at the end."""
    notes: list[str] = []
    system = ActorSystem()
    await system.spawn(Worker, notes=notes)
    await asyncio.gather(system.shutdown(), system.shutdown())
    assert notes == ["worker stops"]
    await system.shutdown()
    assert notes == ["worker stops"]


def test_a_system_that_was_never_used_shuts_down_too() -> None:
    """[ACTOR-26]"""
    run(ActorSystem().shutdown())


async def test_a_cancelled_shutdown_goes_on_without_its_caller() -> None:
    """[ACTOR-26]"""
    notes: list[str] = []
    async with ActorSystem() as system:
        worker = await system.spawn(Worker, notes=notes)
        go = asyncio.Event()
        await worker.send(go)
        calling = asyncio.create_task(system.shutdown())
        await asyncio.sleep(0)
        calling.cancel()
        await asyncio.wait([calling])
        assert calling.cancelled()
        go.set()
    assert notes == ["worker stops"]


async def test_an_actor_may_shut_its_system_down() -> None:
    """[ACTOR-26] [ACTOR-27] It finishes its message, handles what it has, and is stopped."""
    notes: list[str] = []
    async with ActorSystem() as system:
        worker = await system.spawn(Worker, notes=notes)

        async def shut_down(ctx: Context[Any]) -> None:
            await ctx.system.shutdown()
            notes.append("goes on")

        await worker.send(shut_down)
        await worker.send("queued")
        await asyncio.sleep(0)
    assert notes == ["goes on", "worker handles queued", "worker stops"]


async def test_an_actor_may_stop_itself_or_its_parent_through_the_system() -> None:
    """[ACTOR-27]"""
    notes: list[str] = []
    async with ActorSystem() as system:
        parent = await system.spawn(Worker, notes=notes, label="parent")

        async def spawn(ctx: Context[Any]) -> Any:
            return await ctx.spawn(Worker, notes=notes, label="child")

        async def stop_parent(ctx: Context[Any]) -> None:
            await ctx.system.stop(parent, timeout=None)
            notes.append("child goes on")

        async def stop_itself(ctx: Context[Any]) -> None:
            await ctx.system.stop(ctx.self_ref, timeout=None)
            notes.append("goes on")

        child = await parent.ask(spawn)
        await child.ask(stop_parent)
        await system.stop(parent)
        other = await system.spawn(Worker, notes=notes, label="other")
        await other.ask(stop_itself)
    assert notes == ["child goes on", "child stops", "parent stops", "goes on", "other stops"]


def test_the_phases_of_a_shutdown_come_in_order_whatever_fails() -> None:
    """[ACTOR-26] What a cluster adds to them, it adds here."""
    phases: list[str] = []

    class Phased(ActorSystem):
        def _refuse_work(self) -> None:
            phases.append("refuse")
            super()._refuse_work()

        async def _announce_leave(self) -> None:
            phases.append("announce")
            raise OSError("nobody listens")

        async def _stop_actors(self) -> None:
            phases.append("stop")
            await super()._stop_actors()
            raise OSError("nobody stops")

        async def _disconnect(self) -> None:
            phases.append("disconnect")
            await super()._disconnect()

    async def main() -> None:
        async with Phased() as system:
            await system.spawn(Worker, notes=phases)

    with pytest.raises(OSError, match="nobody stops"):
        run(main())
    assert phases == ["refuse", "announce", "stop", "worker stops", "disconnect"]


async def test_a_hundred_thousand_idle_actors_stop_in_no_time() -> None:
    """[ACTOR-26] [ACTOR-15] Without a task each; a tenth of that number is enough to see it."""

    class Idle(Actor[Any]):
        async def receive(self, msg: Any, ctx: Context[Any]) -> None: ...

    async with ActorSystem() as system:
        for _ in range(10_000):
            await system.spawn(Idle)
        shutdown = asyncio.create_task(system.shutdown())
        turns = 0
        while not shutdown.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns < 10
