"""The `async with` block of a node: what runs in it is interrupted when the node's disk fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from casty.cluster.node import Failure


async def to_the_end(shutdown: Callable[[], Awaitable[None]]) -> None:
    """Shuts down; a cancellation meanwhile comes after the end, or sockets and locks would be left behind."""
    try:
        await shutdown()
    except asyncio.CancelledError:
        await shutdown()
        raise


class Body:
    """Made by the task that runs the block, when it enters it."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = asyncio.current_task()
        self._interrupted: asyncio.Task[Any] | None = None

    def interrupt(self) -> None:
        """Cancels what runs in the block, unless it is being left already."""
        if self._task is not None:
            self._interrupted = self._task
            self._task.cancel()

    async def leave(
        self, exc: BaseException | None, failure: Failure, shutdown: Callable[[], Awaitable[None]]
    ) -> None:
        """Shuts the node down. Raises what its failure was, unless the block ends in an error of its own.

        `exc` is what the block raised. A cancellation that did not come from here passes through.
        """
        self._task = None
        interrupted = self._interrupted
        is_cancelled = interrupted is not None and interrupted.uncancel() > 0
        try:
            await to_the_end(shutdown)
        except asyncio.CancelledError:
            if interrupted is None or is_cancelled or exc is not None:
                raise
            # Else it was our own interruption, which came when the block had just ended.
        is_ours = interrupted is not None and not is_cancelled and isinstance(exc, asyncio.CancelledError)
        if failure.error is not None and (exc is None or is_ours):
            raise failure.error from None
