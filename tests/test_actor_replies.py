"""Replies: the first one counts, whenever it comes and from wherever (spec/actors.md)."""

from __future__ import annotations

import logging

import pytest

from casty.actor import Actor, Context
from casty.errors import AskTimeoutError
from casty.system import ActorSystem
from tests.actors import Keep, Say, make_busy, spawn_server
from tests.support import logged, until_it_waits


async def test_none_is_a_reply() -> None:
    """[ACTOR-11]"""

    class Noner(Actor[str]):
        async def receive(self, msg: str, ctx: Context[str]) -> None:
            ctx.reply(None)

    async with ActorSystem() as system:
        ref = await system.spawn(Noner)
        assert await ref.ask("anything", timeout=1) is None


async def test_the_first_reply_counts_and_a_second_is_a_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-11]"""

    class Twice(Actor[int]):
        async def receive(self, msg: int, ctx: Context[int]) -> None:
            ctx.reply(msg)
            ctx.reply(msg + 1)

    with caplog.at_level(logging.WARNING):
        async with ActorSystem() as system:
            for ref in (await system.spawn(Twice), await system.spawn(Twice)):
                assert await ref.ask(1) == 1
                assert await ref.ask(5) == 5
            assert system.late_reply_count == 0
    (line,) = logged(caplog)
    assert line.startswith("actor @1 replied twice to one message; the first reply counts, for all actors of")
    assert line.endswith(".Twice")


async def test_a_late_reply_is_dropped_and_counted() -> None:
    """[ACTOR-11]"""
    async with ActorSystem() as system:
        server, ref = await spawn_server(system)
        with pytest.raises(AskTimeoutError):
            await ref.ask(Keep(), timeout=0)
        server.kept[0].reply("too late")
        assert system.late_reply_count == 1


async def test_a_reply_nobody_asked_for_does_nothing() -> None:
    """[ACTOR-11]"""
    async with ActorSystem() as system:
        server, ref = await spawn_server(system)
        await ref.send(Say("sent"))
        await ref.ask(Say("asked"))
        server.context.reply("nobody")
        assert server.said == ["sent", "asked"]
        assert system.late_reply_count == 0


async def test_a_reply_finds_its_own_asker_however_late_it_comes() -> None:
    """[ACTOR-12] With one context for all messages, both would be answered to the last asker."""
    async with ActorSystem() as system:
        server, ref = await spawn_server(system)
        first = await until_it_waits(ref.ask(Keep()))
        second = await until_it_waits(ref.ask(Keep()))
        assert await ref.ask(Say("meanwhile")) == "meanwhile"
        server.kept[1].reply("second")
        server.kept[0].reply("first")
        assert await first == "first"
        assert await second == "second"


async def test_an_actor_may_reply_from_another_task_while_it_handles_the_next_message() -> None:
    """[ACTOR-12]"""
    async with ActorSystem() as system:
        server, ref = await spawn_server(system)
        question = await until_it_waits(ref.ask(Keep()))
        pause = await make_busy(ref)
        server.kept[0].reply("from the test's own task")
        assert await question == "from the test's own task"
        pause.go.set()
