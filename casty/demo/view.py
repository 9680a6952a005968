"""What `casty demo` shows: a live view on a terminal, plain lines everywhere else."""

from __future__ import annotations

import re
import shutil
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

from casty_console import is_coloured, is_live

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Row:
    """One node as it is shown."""

    node_id: str
    state: str
    """leader, follower, candidate …, or what has become of the process."""
    term: int | None = None
    commit: int | None = None
    applied: int | None = None
    snapshot: int | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """The commands so far."""

    acknowledged: int
    refused: int
    uncertain: int


class View(Protocol):
    """Somewhere to show the cluster."""

    def event(self, text: str, kind: str = "") -> None:
        """Something happened."""
        ...

    def update(self, rows: Sequence[Row], tally: Tally) -> None:
        """The nodes as they are now."""
        ...

    def close(self) -> None: ...


class PlainView:
    """One line per event, and the nodes where they have changed in more than their counters."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began = time.monotonic()
        self._shown: list[str] = []

    def event(self, text: str, kind: str = "") -> None:
        self._out.write(f"{time.monotonic() - self._began:6.2f} s  {text}\n")
        self._out.flush()

    def update(self, rows: Sequence[Row], tally: Tally) -> None:
        now = [_in_words(row) for row in rows]
        if now != self._shown:
            self._shown = now
            self.event("    " + "   ".join(now))

    def close(self) -> None:
        self._out.flush()


def _in_words(row: Row) -> str:
    term = f" (term {row.term})" if row.term is not None else ""
    return f"{row.node_id} {row.state}{term}"


def _figure(number: int | None) -> str:
    return "–" if number is None else str(number)


_COLOURS = {
    "leader": "\x1b[1;32m",
    "follower": "\x1b[36m",
    "candidate": "\x1b[33m",
    "pre-candidate": "\x1b[33m",
    "killed": "\x1b[1;31m",
    "starting": "\x1b[33m",
    "good": "\x1b[32m",
    "bad": "\x1b[1;31m",
    "step": "\x1b[1m",
}
_OFF = "\x1b[0m"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_EVENTS_SHOWN = 14
_WIDTH_MIN = 60
"""What the table of nodes takes; a line that is broken cannot be drawn over."""


class LiveView:
    """Redraws one screenful in place; the events stay visible below the nodes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began = time.monotonic()
        self._events: list[tuple[float, str, str]] = []
        self._rows: Sequence[Row] = ()
        self._tally = Tally(0, 0, 0)
        self._drawn = 0
        self._is_coloured = is_coloured(stream=out)
        out.write("\x1b[?25l")

    def event(self, text: str, kind: str = "") -> None:
        self._events.append((time.monotonic() - self._began, text, kind))
        self._draw()

    def update(self, rows: Sequence[Row], tally: Tally) -> None:
        self._rows, self._tally = rows, tally
        self._draw()

    def close(self) -> None:
        self._out.write("\x1b[?25h")
        self._out.flush()

    def _draw(self) -> None:
        width = shutil.get_terminal_size((100, 30)).columns
        lines = self._lines(width)
        if not self._is_coloured:
            lines = [_COLOUR.sub("", line) for line in lines]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._out.write(up + "".join(f"\r{line}\x1b[K\n" for line in lines) + "\x1b[J")
        self._out.flush()
        self._drawn = len(lines)

    def _lines(self, width: int) -> list[str]:
        head = f"  {'node':<6}{'role':<15}{'term':>6}{'commit':>9}{'applied':>9}{'snapshot':>10}"
        lines = ["", f"\x1b[1m{head[:width]}{_OFF}"]
        for row in self._rows:
            colour = _COLOURS.get(row.state, "")
            mark = "●" if row.state == "leader" else "✗" if row.state == "killed" else "○"
            figures = f"{_figure(row.term):>6}{_figure(row.commit):>9}"
            figures += f"{_figure(row.applied):>9}{_figure(row.snapshot):>10}"
            lines.append(f"  {row.node_id:<6}{colour}{mark} {row.state:<13}{_OFF}{figures}")
        done = self._tally
        said = (
            f"  commands acknowledged {done.acknowledged}, refused {done.refused}, uncertain {done.uncertain}"
        )
        lines += ["", said[: width - 1]]
        lines.append("")
        for at, text, kind in self._events[-_EVENTS_SHOWN:]:
            room = max(1, width - 13)
            lines.append(f"  \x1b[2m{at:6.2f} s{_OFF}  {_COLOURS.get(kind, '')}{text[:room]}{_OFF}")
        return lines


def open_view(*, plain: bool) -> View:
    """The live view where there is a terminal to draw it on, else plain lines."""
    is_wide = shutil.get_terminal_size((100, 30)).columns >= _WIDTH_MIN
    return LiveView(sys.stdout) if is_wide and is_live() and not plain else PlainView(sys.stdout)
