"""Asks: every one ends, with an answer or with what went wrong (spec/actors.md)."""

from __future__ import annotations

import pytest

from casty.actor import Actor, Context
from casty.errors import (
    ActorFailedError,
    ActorStoppedError,
    ActorUnavailableError,
    AskTimeoutError,
    CastyError,
    ReentrancyError,
)
from casty.system import ActorSystem
from tests.actors import Fail, Keep, Pause, Say, make_busy, spawn_server
from tests.support import until_it_waits


async def test_an_ask_returns_what_the_actor_replies() -> None:
    """[ACTOR-8]"""
    async with ActorSystem() as system:
        _, ref = await spawn_server(system)
        assert await ref.ask(Say("hello")) == "hello"


async def test_a_failure_reaches_the_asker_at_once() -> None:
    """[ACTOR-8] With `timeout=None`, waiting for it would take for ever."""
    async with ActorSystem() as system:
        _, ref = await spawn_server(system)
        original = ZeroDivisionError("division by zero")
        with pytest.raises(ActorFailedError, match="ZeroDivisionError: division by zero") as caught:
            await ref.ask(Fail(original), timeout=None)
        assert caught.value.error_type == "ZeroDivisionError"
        assert caught.value.message == "division by zero"
        assert caught.value.node_id is None
        assert caught.value.__cause__ is original


async def test_a_failure_reaches_an_asker_who_had_to_wait_for_it() -> None:
    """[ACTOR-8]"""
    async with ActorSystem() as system:
        _, ref = await spawn_server(system)
        pause = await make_busy(ref)
        question = await until_it_waits(ref.ask(Fail(ValueError("no")), timeout=None))
        pause.go.set()
        with pytest.raises(ActorFailedError, match="ValueError: no"):
            await question


async def test_a_failure_after_the_reply_does_not_change_it() -> None:
    """[ACTOR-8]"""
    async with ActorSystem() as system:
        _, ref = await spawn_server(system)
        assert await ref.ask(Fail(ValueError("later"), reply="done")) == "done"


async def test_an_ask_to_a_stopped_actor_fails_at_once() -> None:
    """[ACTOR-9]"""
    async with ActorSystem() as system:
        _, ref = await spawn_server(system)
        await system.stop(ref)
        with pytest.raises(ActorStoppedError, match="actor server has stopped"):
            await ref.ask(Say("hello"), timeout=None)


async def test_when_an_actor_stops_all_it_has_not_answered_fails_at_once() -> None:
    """[ACTOR-9] Queued, being handled, and handled without a reply."""
    async with ActorSystem() as system:
        _, ref = await spawn_server(system)
        handled = await until_it_waits(ref.ask(Keep(), timeout=None))
        pause = Pause.new()
        running = await until_it_waits(ref.ask(pause, timeout=None))
        queued = await until_it_waits(ref.ask(Say("hello"), timeout=None))
        await system.stop(ref, timeout=0)
        with pytest.raises(ActorStoppedError, match="actor server stopped before it replied"):
            await handled
        with pytest.raises(ActorStoppedError, match="actor server was stopped while it handled Pause"):
            await running
        with pytest.raises(ActorStoppedError, match="actor server has stopped"):
            await queued


async def test_asks_that_were_answered_later_are_not_failed_when_the_actor_stops() -> None:
    """[ACTOR-9] However many there were: what is over is forgotten."""
    async with ActorSystem() as system:
        server, ref = await spawn_server(system)
        for number in range(200):
            question = await until_it_waits(ref.ask(Keep()))
            server.kept[-1].reply(number)
            assert await question == number
        cell = system._registry.find("server")
        assert cell is not None
        assert cell._deferred is not None
        assert len(cell._deferred) <= 32


def test_every_error_of_an_ask_says_what_kind_it_is() -> None:
    """[ACTOR-10] So that a caller can catch the builtin, or all of Casty's at once."""
    assert issubclass(AskTimeoutError, TimeoutError)
    assert issubclass(ActorStoppedError, ActorUnavailableError)
    for error in (ActorFailedError, ActorUnavailableError, AskTimeoutError, ReentrancyError):
        assert issubclass(error, CastyError)


async def test_an_asked_message_may_be_one_without_a_request() -> None:
    """[ACTOR-8] `Request` is for type checkers; any message can be asked."""

    class Echo(Actor[int]):
        async def receive(self, msg: int, ctx: Context[int]) -> None:
            ctx.reply(msg)

    async with ActorSystem() as system:
        echo = await system.spawn(Echo)
        assert await echo.ask(3) == 3
