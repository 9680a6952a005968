"""The questions this node has asked and not had answered. Pure."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable


class Calls[W]:
    """Open questions by number. Each waits on one connection, and dies with it (spec MSG-9).

    A number is never used twice, so a late or second answer finds nothing (spec MSG-5).
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[int, tuple[Hashable, W]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, connection: Hashable, waiter: W) -> int:
        """Opens a question that leaves on this connection, and returns its number."""
        number = next(self._numbers)
        self._open[number] = (connection, waiter)
        return number

    def close(self, connection: Hashable, number: int) -> W | None:
        """The question is answered or given up; who waited, or None if it is not open on this connection."""
        found = self._open.get(number)
        if found is None or found[0] is not connection:
            return None
        del self._open[number]
        return found[1]

    def lost(self, connection: Hashable) -> list[W]:
        """The connection has ended; who waited for answers on it."""
        numbers = [number for number, (where, _) in self._open.items() if where is connection]
        return [self._open.pop(number)[1] for number in numbers]

    def drain(self) -> list[W]:
        """Gives up every question; who waited."""
        waiters = [waiter for _, waiter in self._open.values()]
        self._open.clear()
        return waiters
