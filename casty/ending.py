"""How an actor came to its end, for its parent and for the one line of the log that tells it."""

from __future__ import annotations

import logging
from typing import NamedTuple

from casty.hooks import for_actor, line_of


class Fault(NamedTuple):
    """What was raised, and in which hook, or in the `receive` of which message."""

    error: BaseException
    where: str


class Ending:
    """Filled in while an actor ends: the faults in their order, what was interrupted, what was discarded."""

    __slots__ = ("_faults", "asks", "cause", "interrupted", "messages")

    def __init__(self) -> None:
        self.messages = 0
        """Sent messages that were in the mailbox and were not handled."""
        self.asks = 0
        """Asks that had no reply: queued, or handled without one."""
        self.cause: Exception | None = None
        """What made the actor stop, as its parent is told it; None for a stop that was asked for."""
        self.interrupted: str | None = None
        """What the actor did when its task was cancelled from outside."""
        self._faults: list[Fault] = []

    def blame(self, fault: Fault) -> None:
        """A fault made the actor stop."""
        if self.cause is None:
            self.cause = for_actor(fault.error)
        self.note(fault)

    def note(self, fault: Fault) -> None:
        """A fault came as well, perhaps of an actor that stopped for another reason."""
        if all(fault.error is not known.error for known in self._faults):
            self._faults.append(fault)

    @property
    def level(self) -> int:
        """ERROR for a fault, WARNING where work was interrupted, DEBUG for a stop that was asked for."""
        if self._faults:
            return logging.ERROR
        return logging.DEBUG if self.interrupted is None else logging.WARNING

    def text(self, *, has_started: bool) -> str:
        """What happened, without the actor's name."""
        what = "ended" if has_started else "did not start"
        if self._faults:
            what += ": " + self.faults_text()
        elif self.interrupted is not None:
            what += f": its task was cancelled in {self.interrupted}"
        return f"{what}; messages discarded: {self.messages}, asks refused: {self.asks}"

    def faults_text(self) -> str:
        """The faults in one line."""
        return ", then ".join(f"{line_of(error)} in {where}" for error, where in self._faults)

    @property
    def traceback(self) -> BaseException | None:
        """The exception whose traceback says where it was; a group for several."""
        errors = [fault.error for fault in self._faults]
        if len(errors) > 1:
            return BaseExceptionGroup("an actor failed more than once", errors)
        return errors[0] if errors else None
