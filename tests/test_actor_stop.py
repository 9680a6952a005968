"""How an actor stops, and how often it is told to (spec/actors.md)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.actor import Actor, Context
from casty.errors import ActorNotFoundError, NameTakenError
from casty.system import ActorSystem
from casty.testing import Probe
from tests.actors import Noted
from tests.support import logged, settle


async def test_system_stop_drains_the_mailbox_first() -> None:
    """[ACTOR-22]"""
    notes: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Noted, notes=notes)
        for number in range(3):
            await ref.send(number)
        stopping = asyncio.create_task(system.stop(ref))
        await asyncio.sleep(0)
        await ref.send("too late")
        await stopping
        notes.append("stopped")
        assert system.dead_letter_count == 1
    assert notes == ["starts", "handles 0", "handles 1", "handles 2", "stops", "stopped"]


async def test_ctx_stop_ends_the_actor_after_the_current_message() -> None:
    """[ACTOR-22]"""
    notes: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Noted, notes=notes)

        async def stop(ctx: Context[Any]) -> None:
            ctx.stop()
            await ctx.self_ref.send("too late")
            notes.append("still in the current message")

        await ref.send(stop)
        await ref.send("queued")
        await settle()
        assert system.dead_letter_count == 2
    assert notes == ["starts", "still in the current message", "stops"]


async def test_ctx_stop_works_in_on_start_and_from_elsewhere() -> None:
    """[ACTOR-22]"""
    notes: list[str] = []

    class ShortLived(Noted):
        async def on_start(self) -> None:
            self.note("starts")
            self.context.stop()

    async with ActorSystem() as system:
        await system.spawn(ShortLived, notes=notes, label="first")
        await settle()
        actor = Noted(notes, "second")
        await system.spawn(lambda: actor)
        actor.context.stop()
        actor.context.stop()
        await settle()
    assert notes == ["first starts", "first stops", "second starts", "second stops"]


async def test_stop_cancels_what_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-22] Messages behind it are refused, on_stop is called all the same."""
    notes: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Noted, name="a", notes=notes)
        await ref.send(asyncio.Event())
        await ref.send("queued")
        await settle()
        await system.stop(ref, timeout=0.001)
        assert system.dead_letter_count == 1
    assert notes == ["starts", "waits", "stops"]
    assert "actor a had not stopped in 0.001 s and is cancelled" in logged(caplog)


async def test_stopping_twice_is_stopping_once() -> None:
    """[ACTOR-22]"""
    notes: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Noted, notes=notes)
        await asyncio.gather(system.stop(ref), system.stop(ref), system.stop(ref, timeout=None))
        await system.stop(ref)
    assert notes == ["starts", "stops"]


async def test_a_cancelled_stop_goes_on_without_its_caller() -> None:
    """[ACTOR-22] And without disturbing those who wait for the same."""
    notes: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Noted, notes=notes)
        go = asyncio.Event()
        await ref.send(go)
        first, second = asyncio.create_task(system.stop(ref)), asyncio.create_task(system.stop(ref))
        await settle()
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        go.set()
        await second
    assert notes == ["starts", "waits", "goes on", "stops"]


async def test_only_refs_of_this_system_can_be_stopped() -> None:
    """[ACTOR-22]"""
    async with ActorSystem() as here, ActorSystem() as there:
        ref = await there.spawn(Noted, name="a", notes=[])
        with pytest.raises(ValueError, match="<ActorRef a> does not live in this system"):
            await here.stop(ref)


async def test_a_failing_on_stop_is_logged_and_the_actor_stops(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-23]"""

    class Leaving(Noted):
        async def on_stop(self) -> None:
            raise ValueError("in a huff")

    async with ActorSystem() as system:
        ref = await system.spawn(Leaving, name="a", notes=[])
        await system.stop(ref, timeout=None)
        await system.spawn(Noted, name="a", notes=[])
    assert logged(caplog) == [
        "actor a ended: ValueError('in a huff') in on_stop; messages discarded: 0, asks refused: 0"
    ]


@pytest.mark.parametrize("leak", [False, True])
async def test_an_on_stop_that_takes_too_long_is_cancelled(
    leak: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """[ACTOR-23] Not so one that raises CancelledError or TimeoutError of its own."""

    class Lingering(Noted):
        stop_timeout = 0.001

        async def on_stop(self) -> None:
            if leak:
                raise asyncio.CancelledError
            await asyncio.Event().wait()

    async with ActorSystem() as system:
        ref = await system.spawn(Lingering, name="a", notes=[])
        await system.stop(ref, timeout=None)
    what = "CancelledError()" if leak else "TimeoutError('it took more than 0.001 s')"
    assert logged(caplog) == [f"actor a ended: {what} in on_stop; messages discarded: 0, asks refused: 0"]


def test_five_seconds_is_what_an_on_stop_may_take() -> None:
    """[ACTOR-23]"""
    assert Actor.stop_timeout == 5.0


async def test_the_name_of_an_actor_is_taken_until_on_stop_has_returned() -> None:
    """[ACTOR-30]"""
    async with ActorSystem() as system:
        go = asyncio.Event()

        class Slow(Noted):
            async def on_stop(self) -> None:
                await go.wait()

        ref = await system.spawn(Slow, name="a", notes=[])
        stopping = asyncio.create_task(system.stop(ref))
        await settle()
        with pytest.raises(NameTakenError, match="an actor named 'a' lives on this node already"):
            await system.spawn(Noted, name="a", notes=[])
        with pytest.raises(ActorNotFoundError):
            await system.lookup("a")
        go.set()
        await stopping
        await system.spawn(Noted, name="a", notes=[])


async def test_an_actor_that_has_stopped_keeps_no_state_alive() -> None:
    """[ACTOR-33] However long somebody holds a ref to it."""
    async with ActorSystem() as system:
        probe = Probe[str]()
        ref = await system.spawn(lambda: probe)
        await system.stop(ref)
        cell = ref.cell  # type: ignore[attr-defined]  # what a local ref keeps alive
        assert not hasattr(cell, "actor")
