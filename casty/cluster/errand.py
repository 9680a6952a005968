"""A call that may block for long, in a thread that nobody has to wait for.

The loop's own executor is no place for one: a process that ends waits for its threads, and a disk may hang.
"""

from __future__ import annotations

import asyncio
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def run_errand[**P, T](call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """What the call returns or raises. Cancelling the future leaves the thread to finish unheard."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = call(*args, **kwargs)
        except BaseException as error:
            _tell(loop, outcome.set_exception, outcome, error)
        else:
            _tell(loop, outcome.set_result, outcome, result)

    Thread(target=run, name="casty-errand", daemon=True).start()
    return outcome


def _tell[V](
    loop: asyncio.AbstractEventLoop, settle: Callable[[V], None], outcome: asyncio.Future[Any], value: V
) -> None:
    def settle_unless_cancelled() -> None:
        if not outcome.done():
            settle(value)

    try:
        loop.call_soon_threadsafe(settle_unless_cancelled)
    except RuntimeError:  # the loop is closed; nobody is left to tell
        pass
