"""Timers: messages an actor sends itself later (spec/actors.md)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from casty.system import ActorSystem
from casty.testing import Probe
from tests.support import logged

if TYPE_CHECKING:
    import pytest


async def test_send_after_delivers_to_the_actor_itself() -> None:
    """[ACTOR-28]"""
    async with ActorSystem() as system:
        probe = Probe[str]()
        await system.spawn(lambda: probe)
        probe.context.send_after(0.001, "tick")
        await probe.expect("tick")


async def test_send_after_can_be_cancelled() -> None:
    """[ACTOR-28]"""
    async with ActorSystem() as system:
        probe = Probe[str]()
        await system.spawn(lambda: probe)
        probe.context.send_after(0, "never").cancel()
        probe.context.send_after(0.001, "tick")
        await probe.expect("tick")
        assert probe.unread == 0


async def test_timers_end_with_their_actor() -> None:
    """[ACTOR-28] They are cancelled, and neither they nor later ones become dead letters."""
    async with ActorSystem() as system:
        probe = Probe[str]()
        ref = await system.spawn(lambda: probe)
        context = probe.context
        before = context.send_after(0.01, "never")
        await system.stop(ref)
        after = context.send_after(0.01, "never")
        assert before.cancelled()
        assert after.cancelled()
        assert system.dead_letter_count == 0


async def test_a_timer_that_fires_as_its_actor_stops_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-28] It is due, so nothing can cancel it any more, but its callback has not run yet."""
    async with ActorSystem() as system:
        probe = Probe[str]()
        ref = await system.spawn(lambda: probe)
        timers = [probe.context.send_after(0, "never") for _ in range(100)]
        await system.stop(ref)
        fired = asyncio.Event()
        asyncio.get_running_loop().call_later(0, fired.set)
        await fired.wait()
        assert len(timers) == 100
        assert system.dead_letter_count == 0
    assert logged(caplog, by="asyncio", level=logging.ERROR) == []
