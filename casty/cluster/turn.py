"""The core's turn: what has happened goes in, and what the core wants done comes out, in its order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from casty.cluster.alarm import Alarm
from casty.raft.events import Ticked
from casty.raft.types import Millis

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from casty.raft.events import Event, Ready
    from casty.raft.node import Raft


def millis(loop: asyncio.AbstractEventLoop) -> Millis:
    """The loop's clock, as the core reads it."""
    return Millis(int(loop.time() * 1000))


class Turn:
    """Steps the core once in a turn of the loop, through all that was posted until then.

    So one write, one fsync and one request for each peer serve everything that arrived together. `perform` does
    what the core wants done. `failed` is told what that raises, or the core; nothing is stepped after it.
    """

    def __init__(
        self,
        raft: Raft,
        loop: asyncio.AbstractEventLoop,
        perform: Callable[[Ready], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._raft = raft
        self._loop = loop
        self._perform = perform
        self._failed = failed
        self._inbox: deque[Event] = deque()
        self._alarm = Alarm(self._ring)
        self._is_due = False
        self._is_over = False

    def post(self, event: Event) -> None:
        """Adds to what the next turn goes through."""
        self._inbox.append(event)
        self._take_another()

    def run(self) -> None:
        """Takes the turn now, and sets the alarm to the core's next deadline."""
        self._is_due = False
        try:
            self._step()
        except Exception as error:
            self.end()
            self._failed(error)
        if not self._is_over:
            deadline = self._raft.deadline
            self._alarm.set(self._loop, None if deadline is None else deadline / 1000)

    def _step(self) -> None:
        raft, inbox, now = self._raft, self._inbox, millis(self._loop)
        while not self._is_over:
            while inbox:
                raft.step(inbox.popleft(), now)
            ready = raft.ready()
            if ready is None:
                return
            self._perform(ready)  # what that posts, a write without a wait for instance, is of this turn still
            if not inbox:
                self._take_another()  # for the next request of those that are far behind
                return

    def _take_another(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self.run)

    def end(self) -> None:
        """Nothing is stepped any more."""
        self._is_over = True
        self._inbox.clear()
        self._alarm.cancel()

    def _ring(self) -> None:
        self.post(Ticked())
