"""The questions this node has asked and not had answered. Pure."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

SWEEP_SIZE_MIN = 64
"""Below this many deadlines it is not worth looking which of them are over."""


class Calls[W]:
    """Open questions by number. Each waits on one connection, and dies with it (spec MSG-9).

    A number is never used twice, so a late or second answer finds nothing (spec MSG-5).
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[int, tuple[Hashable, W]] = {}
        # A heap, of which nothing is taken when a question is answered, as nearly all are long before their
        # deadline. Those are swept out together, so it is at most about twice as long as it must be.
        self._deadlines: list[tuple[float, int]] = []
        self._sweep_size = SWEEP_SIZE_MIN

    def __len__(self) -> int:
        return len(self._open)

    def open(self, connection: Hashable, waiter: W, deadline: float | None = None) -> int:
        """Opens a question that leaves on this connection, and returns its number."""
        number = next(self._numbers)
        self._open[number] = (connection, waiter)
        if deadline is not None:
            heappush(self._deadlines, (deadline, number))
            if len(self._deadlines) > self._sweep_size:
                self._sweep()
        return number

    def close(self, connection: Hashable, number: int) -> W | None:
        """The question is answered or given up; who waited, or None if it is not open on this connection."""
        found = self._open.get(number)
        if found is None or found[0] is not connection:
            return None
        del self._open[number]
        return found[1]

    def overdue(self, now: float) -> list[W]:
        """Closes the questions whose deadline has come; who waited."""
        waiters: list[W] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            found = self._open.pop(heappop(self._deadlines)[1], None)
            if found is not None:
                waiters.append(found[1])
        return waiters

    def next_deadline(self) -> float | None:
        """When `overdue` will have something, if nothing is answered before."""
        while self._deadlines and self._deadlines[0][1] not in self._open:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def lost(self, connection: Hashable) -> list[W]:
        """The connection has ended; who waited for answers on it."""
        numbers = [number for number, (where, _) in self._open.items() if where is connection]
        return [self._open.pop(number)[1] for number in numbers]

    def drain(self) -> list[W]:
        """Gives up every question; who waited."""
        waiters = [waiter for _, waiter in self._open.values()]
        self._open.clear()
        self._deadlines.clear()
        return waiters

    def _sweep(self) -> None:
        self._deadlines = [entry for entry in self._deadlines if entry[1] in self._open]
        heapify(self._deadlines)
        self._sweep_size = max(SWEEP_SIZE_MIN, 2 * len(self._deadlines))
