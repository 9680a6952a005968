"""A bag for things that end by themselves, such as timers: it forgets them without being told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SWEEP_SIZE_MIN = 32
"""Below this a sweep is not worth its walk."""


class Bag[T]:
    """Holds at most about twice as many things as are still going on; adding one is O(1) on average."""

    __slots__ = ("_is_over", "_sweep_size", "_things")

    def __init__(self, is_over: Callable[[T], bool]) -> None:
        self._is_over = is_over
        self._things: list[T] = []
        self._sweep_size = SWEEP_SIZE_MIN

    def add(self, thing: T) -> None:
        self._things.append(thing)
        if len(self._things) >= self._sweep_size:
            self._things = [thing for thing in self._things if not self._is_over(thing)]
            self._sweep_size = max(SWEEP_SIZE_MIN, 2 * len(self._things))

    def empty(self) -> list[T]:
        """Takes out everything that is still going on."""
        things, self._things = self._things, []
        return [thing for thing in things if not self._is_over(thing)]

    def __len__(self) -> int:
        return len(self._things)
