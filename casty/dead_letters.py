"""What becomes of messages that nobody will handle: counted, logged, and shown to a hook."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from casty.hooks import ENDS_PROGRAM, raise_from_loop

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

    @property
    def place(self) -> str:
        """The actor it was for, as log lines name it."""
        return self.address if self.node_id is None else f"{self.address} on node {self.node_id}"


class DeadLetters:
    """One system's dead letters. Only the count is kept, so that no message outlives its delivery."""

    __slots__ = ("_hook", "count")

    def __init__(self, hook: Callable[[DeadLetter], object] | None = None) -> None:
        self.count = 0
        self._hook = hook

    def add(self, letter: DeadLetter) -> None:
        self.count += 1
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("dead letter for %s: %s (%s)", letter.place, _kind(letter.message), letter.reason)
        if self._hook is not None:
            try:
                self._hook(letter)
            except BaseException as error:
                # Not the sender's fault, nor that of the actor that ends: whatever it is, they go on.
                if isinstance(error, ENDS_PROGRAM):
                    raise_from_loop(error)
                logger.exception("on_dead_letter raised on %s for %s", _kind(letter.message), letter.place)


def _kind(message: object) -> str:
    return type(message).__qualname__
