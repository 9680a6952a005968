"""SIGINT while a case is played: the end of the play, and never an exception in the midst of something else.

Python's own handler raises KeyboardInterrupt wherever the program is: where a loop is being closed, or an
object ends, it is lost or leaves something open. Here it is noted, cancels the play, and is raised when all is
tidy.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


@dataclass(slots=True)
class _State:
    """Of this process: whether SIGINT has come, and what ends the play."""

    came: bool = False
    end_play: Callable[[], object] | None = None


_state = _State()


def note(*_: object) -> None:
    """The handler. Who gets the signal between plays begins no other."""
    if not _state.came:
        _state.came = True
        if _state.end_play is not None:
            _state.end_play()


def run(play: Coroutine[Any, Any, None]) -> None:
    """As `asyncio.run`, but SIGINT cancels the play, once. Raises KeyboardInterrupt when the play has ended,
    also if the signal came before it began."""
    if threading.current_thread() is not threading.main_thread():
        asyncio.run(play)  # signals are the main thread's
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        asyncio.run(_cancelled_by_note(play))
    except asyncio.CancelledError:
        if not _state.came:
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    if _state.came:
        _state.came = before == note  # it is told now, but to a worker it is told for good
        raise KeyboardInterrupt


async def _cancelled_by_note(play: Coroutine[Any, Any, None]) -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None, "run is what awaits this"
    _state.end_play = lambda: loop.call_soon_threadsafe(task.cancel)
    try:
        if _state.came:
            play.close()
        else:
            await play
    finally:
        _state.end_play = None
