"""The probe that users' tests have for an actor."""

from __future__ import annotations

import asyncio

import pytest

from casty.system import ActorSystem
from casty.testing import Probe


async def test_a_probe_compares_what_it_is_sent() -> None:
    """The helper for users' tests, not a rule."""
    async with ActorSystem() as system:
        probe = Probe[str]()
        ref = await system.spawn(lambda: probe)
        question = asyncio.create_task(ref.ask("how much?"))
        (await probe.expect("how much?")).reply(5)
        assert await question == 5
        await ref.send("b")
        with pytest.raises(AssertionError, match="expected 'a', but 'b' came"):
            await probe.expect("a")
        with pytest.raises(AssertionError, match="none came in 0 s"):
            await probe.expect("c", timeout=0)
