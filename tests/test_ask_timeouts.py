"""Asks that are given up, by the clock or by whoever asked (spec/actors.md)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest

from casty.actor import Actor, ActorRef, Context
from casty.errors import ActorFailedError, AskTimeoutError
from casty.system import ActorSystem
from tests.actors import Fail, Keep, Pause, Say, make_busy, spawn_server
from tests.support import logged, run, until_it_waits

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_an_ask_waits_five_seconds_by_default() -> None:
    """[ACTOR-10]"""
    async with ActorSystem() as system:
        _, ref = await spawn_server(system)
        loop = asyncio.get_running_loop()
        deadlines: list[float] = []
        call_later = loop.call_later

        def spy(delay: float, callback: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
            deadlines.append(delay)
            return call_later(0, callback, *args)

        loop.call_later = spy  # type: ignore[method-assign, assignment]  # the loop's clock, on a leash
        with pytest.raises(AskTimeoutError, match=re.escape("in 5 s")):
            await ref.ask(Keep())
        loop.call_later = call_later  # type: ignore[method-assign]  # and off it again
        assert deadlines == [5.0]


async def test_a_timeout_says_how_far_the_message_has_come() -> None:
    """[ACTOR-10]"""
    async with ActorSystem() as system:
        _, ref = await spawn_server(system)
        text = "actor server gave no answer to Keep in 0.001 s: handled without a reply"
        with pytest.raises(AskTimeoutError, match=text):
            await ref.ask(Keep(), timeout=0.001)
        pause = Pause.new()
        text = "actor server gave no answer to Pause in 0.001 s: still being handled"
        with pytest.raises(AskTimeoutError, match=text):
            await ref.ask(pause, timeout=0.001)
        text = "actor server gave no answer to Say in 0.001 s: still queued"
        with pytest.raises(AskTimeoutError, match=text):
            await ref.ask(Say("hello"), timeout=0.001)
        pause.go.set()


async def test_a_reply_just_before_the_timeout_is_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-10] The timer is due, but the reply was first in the same turn of the loop."""
    async with ActorSystem() as system:
        server, ref = await spawn_server(system)
        question = asyncio.create_task(ref.ask(Keep(), timeout=0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        server.kept[0].reply("in time")
        assert await question == "in time"
    assert logged(caplog, by="asyncio", level=logging.ERROR) == []


async def test_the_timer_of_an_answered_ask_is_cancelled() -> None:
    """[ACTOR-10] A million answered asks must not leave a million timers."""
    async with ActorSystem() as system:
        server, ref = await spawn_server(system)
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []
        call_later = loop.call_later

        def spy(*args: Any) -> asyncio.TimerHandle:
            timers.append(call_later(*args))
            return timers[-1]

        loop.call_later = spy  # type: ignore[method-assign, assignment]  # to see the timers
        question = await until_it_waits(ref.ask(Keep()))
        server.kept[0].reply("done")
        assert await question == "done"
        loop.call_later = call_later  # type: ignore[method-assign]  # to leave the loop as it was
        assert [timer.cancelled() for timer in timers] == [True]


async def test_an_ask_given_up_before_it_was_started_is_skipped() -> None:
    """[ACTOR-13] Whether by timeout or by cancellation."""
    async with ActorSystem() as system:
        server, ref = await spawn_server(system)
        pause = await make_busy(ref)
        with pytest.raises(AskTimeoutError):
            await ref.ask(Say("timed out"), timeout=0)
        cancelled = await until_it_waits(ref.ask(Say("cancelled")))
        cancelled.cancel()
        await asyncio.wait([cancelled])
        pause.go.set()
        assert await ref.ask(Say("wanted")) == "wanted"
        assert server.said == ["wanted"]


async def test_an_ask_given_up_after_it_was_started_is_not_interrupted() -> None:
    """[ACTOR-13]"""

    class Careful(Actor[asyncio.Event]):
        async def receive(self, msg: asyncio.Event, ctx: Context[asyncio.Event]) -> None:
            try:
                await msg.wait()
                steps.append("done")
            except asyncio.CancelledError:
                steps.append("cancelled")
                raise

    steps: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Careful)
        go = asyncio.Event()
        with pytest.raises(AskTimeoutError):
            await ref.ask(go, timeout=0)
        go.set()
    assert steps == ["done"]


def test_an_asker_cancelled_at_the_moment_of_a_failure_is_cancelled(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[ACTOR-13] And asyncio has no reason to report an exception that nobody looked at."""

    async def ask_on(ref: ActorRef[Any]) -> None:
        for _ in range(256):  # the last of them pauses, with its answer in hand
            with contextlib.suppress(ActorFailedError):
                await ref.ask(Fail(ValueError()))

    async def main() -> None:
        async with ActorSystem() as system:
            _, ref = await spawn_server(system)
            pausing = asyncio.create_task(ask_on(ref))
            await asyncio.sleep(0)
            pausing.cancel()
            waiting = await until_it_waits(ref.ask(Keep()))
            stopping = asyncio.create_task(system.stop(ref))
            await asyncio.sleep(0)  # the ask has failed, the asker has not run yet
            waiting.cancel()
            await asyncio.wait([pausing, waiting, stopping])
            assert pausing.cancelled()
            assert waiting.cancelled()

    # The records of the failures would keep the futures alive, and asyncio reports when it drops them.
    monkeypatch.setattr(logging.getLogger("casty.cell"), "disabled", True)
    gc.collect()  # what other tests have left is not our subject
    caplog.clear()
    run(main())
    gc.collect()
    assert logged(caplog, by="asyncio", level=logging.ERROR) == []
