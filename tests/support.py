"""What most tests share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


def run[T](main: Coroutine[Any, Any, T], *, timeout: float = 30.0) -> T:
    """Runs one test's coroutine in a fresh loop. The timeout is a bound, so that a hang has a traceback."""

    async def bounded() -> T:
        async with asyncio.timeout(timeout):
            return await main

    return asyncio.run(bounded())
