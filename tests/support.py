"""What most tests share."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import pytest


def run[T](main: Coroutine[Any, Any, T], *, timeout: float = 30.0) -> T:
    """Runs one test's coroutine in a fresh loop. The timeout is a bound, so that a hang has a traceback."""

    async def bounded() -> T:
        async with asyncio.timeout(timeout):
            return await main

    return asyncio.run(bounded())


async def settle() -> None:
    """Lets everything happen that needs no clock."""
    for _ in range(10):
        await asyncio.sleep(0)


async def until_it_waits[T](coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task for the coroutine, which has come as far as it can."""
    task = asyncio.create_task(coroutine)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
    return task


def logged(caplog: pytest.LogCaptureFixture, by: str = "casty", level: int = logging.WARNING) -> list[str]:
    """What was logged. Without asyncio's debug mode, which has much to say on a busy machine."""
    found = [record for record in caplog.records if record.name.partition(".")[0] == by]
    return [record.getMessage() for record in found if record.levelno >= level]


class UnspeakableError(Exception):
    """One whose text fails, as of a class that asks for what was never set."""

    def __str__(self) -> str:
        raise AttributeError

    __repr__ = __str__
