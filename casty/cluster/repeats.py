"""Which log lines are worth writing: each new state once, and seldom again while it lasts. Pure.

A peer, a retry or a timer can give a node the same thing to say for ever. Time is handed in.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

REPEAT_SECONDS = 300.0
"""Between two lines that say the same."""

SUBJECTS_MAX = 1024
"""Different lines within that time; a peer may invent some. Of more, one line tells."""

type Subject = tuple[object, ...]


@dataclass(slots=True)
class _Told:
    """The last line about a subject: what it said, when, and how often it would have been said again since."""

    state: str
    at: float
    lines: int = 1
    more: int = 0


class Repeats:
    """The subjects of a node's log lines, and what was said last of each."""

    def __init__(self) -> None:
        self._told: OrderedDict[Subject, _Told] = OrderedDict()
        self._left_out = _Told("", float("-inf"))

    def tell(self, about: Subject, state: str, now: float, *, burst: int = 1) -> str | None:
        """Whether to write a line: None if not, else what to add to it, which may be nothing.

        A line is written if the subject's last one said another `state`, or was written REPEAT_SECONDS ago;
        and, of those that say the same, the first `burst`.
        """
        told = self._told.get(about)
        if told is None or told.state != state:
            return self._tell_new(about, state, now)
        seconds = now - told.at
        if seconds < REPEAT_SECONDS:
            if told.lines < burst:
                told.lines += 1
                return ""
            told.more += 1
            return None
        more = told.more
        self._told[about] = _Told(state, now)
        self._told.move_to_end(about)
        return f" (and {more} more times in the last {seconds / 60:.0f} min)" if more else ""

    def settle(self, *beginning: object) -> None:
        """What is so no longer: all subjects that begin so. When it happens again, that is new."""
        for about in [about for about in self._told if about[: len(beginning)] == beginning]:
            del self._told[about]

    def _tell_new(self, about: Subject, state: str, now: float) -> str | None:
        if about not in self._told and len(self._told) >= SUBJECTS_MAX:
            oldest = next(iter(self._told.values()))
            if now - oldest.at < REPEAT_SECONDS:
                return self._leave_out(now)
            self._told.popitem(last=False)
        self._told[about] = _Told(state, now)
        self._told.move_to_end(about)
        return ""

    def _leave_out(self, now: float) -> str | None:
        """So many different lines were written lately that this one is not, but for a few that tell of it."""
        if now - self._left_out.at < REPEAT_SECONDS:
            self._left_out.more += 1
            return None
        more, self._left_out = self._left_out.more, _Told("", now)
        return f" (there are too many different lines like this; {more} were left out, and others will be)"
