"""An actor whose task is cancelled from outside stops all the same (spec/actors.md)."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest

from casty.errors import ActorStoppedError
from casty.system import ActorSystem
from tests.actors import Gated, Noted, spawn_child
from tests.support import logged, run, settle, until_it_waits


async def test_an_actor_cancelled_in_on_error_stops() -> None:
    """[ACTOR-29] That it was about to decide makes no difference."""
    notes: list[str] = []

    class Deciding(Noted):
        async def on_error(self, exc: Exception) -> bool:
            await asyncio.Event().wait()
            return True

    async with ActorSystem() as system:
        ref = await system.spawn(Deciding, name="a", notes=notes)
        await ref.send(ValueError())
        await settle()
        await system.stop(ref, timeout=0)
    assert notes == ["starts", "stops"]


def test_a_loop_that_is_closed_under_its_actors_wakes_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-29] There is no loop any more to tell anyone; asyncio says what there is to say."""
    notes: list[str] = []

    async def main() -> tuple[Any, ...]:
        system = ActorSystem()
        ref = await system.spawn(Noted, name="running", notes=notes)
        asking = asyncio.create_task(ref.ask(asyncio.Event(), timeout=None))
        queued = asyncio.create_task(ref.ask("queued", timeout=None))
        spawning = system.spawn(Gated, name="starting", notes=notes, gate=asyncio.Event())
        asyncio.create_task(spawning, name="spawner").add_done_callback(lambda _: None)
        await settle()
        return ref, asking, queued

    gc.collect()  # what other tests have left is not our subject
    caplog.clear()
    loop = asyncio.new_event_loop()
    kept = loop.run_until_complete(main())
    loop.close()
    del loop, kept
    gc.collect()
    assert notes == ["starts", "waits", "starts"]
    assert all(
        message.startswith("Task was destroyed but it is pending!")
        for message in logged(caplog, by="asyncio", level=logging.ERROR)
    )


async def test_the_on_stop_of_a_cancelled_actor_is_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-23] [ACTOR-21] The cancellation ended what the actor was doing; it is over when on_stop begins."""

    class Leaking(Noted):
        async def on_stop(self) -> None:
            raise asyncio.CancelledError

    async with ActorSystem() as system:
        ref = await system.spawn(Leaking, name="a", notes=[])
        await ref.send(asyncio.Event())
        await settle()
        await system.stop(ref, timeout=0)
    assert logged(caplog) == [
        "actor a had not stopped in 0 s and is cancelled",
        "actor a ended: CancelledError() in on_stop; messages discarded: 0, asks refused: 0",
    ]


async def test_a_cancelled_task_stops_its_actor() -> None:
    """[ACTOR-29] As a loop does when it is torn down; on_stop may wait even then."""
    notes: list[str] = []

    class Patient(Noted):
        async def on_stop(self) -> None:
            await asyncio.sleep(0)
            self.note("stops")

    system = ActorSystem()
    ref = await system.spawn(Patient, notes=notes)
    await system.spawn(Noted, notes=notes, label="other")
    question = asyncio.create_task(ref.ask(asyncio.Event(), timeout=None))
    await settle()
    everything = asyncio.all_tasks() - {asyncio.current_task(), question}
    for task in everything:
        task.cancel()
        task.cancel()  # once or more makes no difference
    with pytest.raises(ActorStoppedError):
        await question
    await settle()
    assert all(task.cancelled() for task in everything)
    assert notes == ["starts", "other starts", "waits", "stops"]


def task_of(name: str) -> asyncio.Task[Any]:
    """The task of the one actor of this name that has one at the moment."""
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == name]
    return task


async def test_an_actor_cancelled_in_on_stop_is_over_at_once() -> None:
    """[ACTOR-29] [ACTOR-24] Its children, too, though nobody waits for them any more."""
    system = ActorSystem()
    hanging = asyncio.Event()

    class Hanging(Noted):
        async def on_stop(self) -> None:
            hanging.set()
            await asyncio.Event().wait()

    ref = await system.spawn(Hanging, name="a", notes=[])
    stopping = asyncio.create_task(system.stop(ref))
    await hanging.wait()
    task = task_of("a")
    task.cancel()
    await stopping
    assert task.cancelled()


async def test_a_parent_cancelled_while_its_children_stop_takes_them_along() -> None:
    """[ACTOR-29] [ACTOR-24] [ACTOR-23] Its own `on_stop` comes after theirs, as ever."""
    notes: list[str] = []
    system = ActorSystem()
    parent = await system.spawn(Noted, name="parent", notes=notes, label="parent")
    child = await parent.ask(spawn_child(notes))
    await child.send(asyncio.Event())
    stopping = asyncio.create_task(system.stop(parent, timeout=None))
    await settle()
    task_of("parent").cancel()
    await stopping
    assert notes == ["parent starts", "child starts", "child waits", "child stops", "parent stops"]


def test_a_loop_torn_down_during_a_shutdown_leaves_no_on_stop_out() -> None:
    """[ACTOR-29] [ACTOR-23] As Ctrl-C does, while parents wait for their children."""
    notes: list[str] = []

    async def main() -> None:
        system = ActorSystem()
        parent = await system.spawn(Noted, name="parent", notes=notes, label="parent")
        child = await parent.ask(spawn_child(notes))
        await child.send(asyncio.Event())
        await until_it_waits(system.shutdown())

    run(main())
    assert notes == ["parent starts", "child starts", "child waits", "child stops", "parent stops"]
