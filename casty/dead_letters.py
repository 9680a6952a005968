"""What becomes of messages that nobody will handle: counted, logged, and shown to a hook."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A sent message that surely was not handled. A failed ask is none: its asker knows."""

    message: object
    address: str
    """The name or `@` number it was sent to."""
    node_id: str | None
    """The node it was sent to; None in a system without a cluster."""
    reason: str


class DeadLetters:
    """One system's dead letters. Only the count is kept, so that no message outlives its delivery."""

    __slots__ = ("_hook", "count")

    def __init__(self, hook: Callable[[DeadLetter], object] | None = None) -> None:
        self.count = 0
        self._hook = hook

    def add(self, letter: DeadLetter) -> None:
        self.count += 1
        logger.debug("dead letter for %s: %s (%s)", letter.address, _kind(letter.message), letter.reason)
        if self._hook is not None:
            try:
                self._hook(letter)
            except Exception:
                logger.exception("on_dead_letter raised on %s", _kind(letter.message))


def _kind(message: object) -> str:
    return type(message).__qualname__
