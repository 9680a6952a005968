"""Dead letters: what nobody will handle is counted and told to the hook (spec/actors.md)."""

from __future__ import annotations

import logging

import pytest

from casty.dead_letters import DeadLetter
from casty.errors import ActorStoppedError
from casty.system import ActorSystem
from tests.actors import Recorder
from tests.support import logged


async def test_sending_to_a_stopped_actor_makes_a_dead_letter(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-3]"""
    letters: list[DeadLetter] = []
    with caplog.at_level(logging.DEBUG, logger="casty"):
        async with ActorSystem(on_dead_letter=letters.append) as system:
            recorder = await system.spawn(Recorder, name="recorder")
            await system.stop(recorder)
            await recorder.send("too late")
            assert system.dead_letter_count == 1
    assert letters == [DeadLetter("too late", "recorder", None, "actor recorder has stopped")]
    assert "dead letter for recorder: str (actor recorder has stopped)" in logged(caplog, level=logging.DEBUG)


async def test_sending_after_the_system_has_shut_down_makes_a_dead_letter() -> None:
    """[ACTOR-3]"""
    async with ActorSystem() as system:
        recorder = await system.spawn(Recorder)
    await recorder.send("too late")
    assert system.dead_letter_count == 1


async def test_a_dead_letter_hook_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-3]"""

    def hook(letter: DeadLetter) -> None:
        raise ValueError(letter.message)

    async with ActorSystem(on_dead_letter=hook) as system:
        recorder = await system.spawn(Recorder)
        await system.stop(recorder)
        await recorder.send("too late")
    assert logged(caplog) == ["on_dead_letter raised on str for @1"]


async def test_an_ask_to_a_stopped_actor_is_no_dead_letter() -> None:
    """[ACTOR-3] Its asker knows."""
    async with ActorSystem() as system:
        recorder = await system.spawn(Recorder)
        await system.stop(recorder)
        with pytest.raises(ActorStoppedError):
            await recorder.ask("list")
        assert system.dead_letter_count == 0
