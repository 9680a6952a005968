"""Virtual time: a heap of what is to happen, in whole milliseconds, ties in the order of asking."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Schedule:
    """Jumps from one event to the next; nothing happens in between, and nothing ever waits."""

    __slots__ = ("_heap", "_order", "now")

    def __init__(self) -> None:
        self.now = 0
        self._order = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []

    def after(self, delay: int, act: Callable[..., None], *arguments: object) -> None:
        """Calls `act` when `delay` ms have passed. There is no cancelling: what is stale must notice itself."""
        self._order += 1
        heappush(self._heap, (self.now + delay, self._order, act, arguments))

    def run(self, until: int, enough: Callable[[], bool] | None = None) -> bool:
        """Lets things happen up to `until`, or until there has been `enough`; says whether there was."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            time, _, act, arguments = heappop(heap)
            self.now = time
            act(*arguments)
            if enough is not None and enough():
                return True
        self.now = max(self.now, until)
        return enough is not None and enough()
