"""One timer that can be moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Alarm:
    """Rings at the time it was last set to. Setting it later costs nothing: an early handle looks again."""

    def __init__(self, ring: Callable[[], object]) -> None:
        self._ring = ring
        self._when: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, loop: asyncio.AbstractEventLoop, when: float | None) -> None:
        """Rings at `when` on the loop's clock and at no other time; None: never."""
        self._when = when
        if when is None or (self._handle is not None and self._handle.when() <= when):
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle = loop.call_at(when, self._fire, loop)

    def hasten(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        """Rings at `when` unless it would ring earlier."""
        if self._when is None or when < self._when:
            self.set(loop, when)

    def cancel(self) -> None:
        """Lets go of the loop; it does not ring until it is set again."""
        self._when = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = None
        if self._when is None:
            return
        if loop.time() < self._when:
            self._handle = loop.call_at(self._when, self._fire, loop)
            return
        self._when = None
        self._ring()
