"""`wire-dump check`: whether every frame keeps its schema, and all of them together what must hold between
them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

from casty_console import is_coloured, json_text
from conformance.trace.invariants import Checker
from conformance.trace.record import Marked, Raw
from conformance.wire.hexdump import hexdump
from conformance.wire.message import check as problems_of
from wire_dump.arguments import EXIT_FOUND, EXIT_UNREADABLE
from wire_dump.events import Seen, Trouble, records
from wire_dump.input import Kind
from wire_dump.selection import opened
from wire_dump.text import Lines, Style

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from conformance.trace.invariants import Violation
    from wire_dump.events import Event
    from wire_dump.sources import Source

_RECORD = re.compile(r"\brecord (\d+)\b")
LIVE_MARK = "live"
"""The mark with which `wire-dump live` begins a trace: what was before it, nobody saw."""
OTHERS_MAX = 65_536
"""Of so many records that are no frames, and at most of twice as many, it is remembered where they stood. Those
from before are not named by frames' numbers.
"""


def check(parsed: argparse.Namespace) -> int:
    """Writes what is wrong. 1 where a rule is broken; else 2 where bytes are no frames, or there is no frame at
    all: who checks nothing has found nothing out; else 0.
    """
    with opened(parsed) as (source, watch):
        lines = Lines(Style(is_coloured(parsed.color)), source.clock)
        judge = _Judge(source, complete=parsed.complete)
        as_json = parsed.output == "json"
        for event in source.events:
            if isinstance(event, Trouble) and not as_json:
                print(*lines.lines(event), sep="\n")
            for violation in judge.judge(event):
                if as_json:
                    print(json_text(judge.as_object(violation)))
                else:
                    print(*judge.as_lines(violation, event), sep="\n")
        print(*judge.summary(watch.frames, watch.unreadable, as_json=as_json), sep="\n")
        if judge.found:
            return EXIT_FOUND
        return EXIT_UNREADABLE if watch.unreadable or not watch.frames else 0


class _Judge:
    """Feeds the checker, and knows the frames' numbers for its records."""

    def __init__(self, source: Source, *, complete: bool | None) -> None:
        self._is_trace = source.kind is Kind.TRACE
        self._complete = self._is_trace if complete is None else complete
        self._asked = complete
        self._checker: Checker | None = None
        self._fed = 0
        self._others: list[int] = []  # the indexes of records that are no frames, from `_since` on
        self._others_before = 0
        self._since = 0
        self.found = 0

    def judge(self, event: Event) -> Iterator[Violation]:
        """What this event shows to be wrong."""
        if self._checker is None:
            is_live = isinstance(event, Marked) and event.event == LIVE_MARK
            self._checker = Checker(complete=self._complete and not (is_live and self._asked is None))
        before = len(self._checker.violations)
        for record in records([event]):
            if isinstance(record, Raw) and not self._is_trace:
                continue  # what a capture lacks is no node's fault
            if not isinstance(event, Seen):
                self._remember(self._fed)
            self._fed += 1
            try:
                self._checker.feed(record)
            except ValueError:
                continue  # a mark that somebody else made
        new = [violation for violation in self._checker.violations[before:] if not violation.harness]
        self.found += len(new)
        yield from new

    def _remember(self, index: int) -> None:
        self._others.append(index)
        if len(self._others) > 2 * OTHERS_MAX:
            self._since = self._others[OTHERS_MAX]
            del self._others[:OTHERS_MAX]
            self._others_before += OTHERS_MAX

    def as_lines(self, violation: Violation, event: Event) -> Iterator[str]:
        """The violation, and the bytes where it is about a frame's."""
        frames = " ".join(f"#{number}" for number in self._numbers(violation))
        rules = ", ".join(violation.rules)
        said = self._with_frames(violation.text)
        text = f"{violation.invariant} {violation.node or '?'}: {said} ({rules})"
        yield f"[{violation.time:11.6f}] {_printable(text)}  {frames}".rstrip()
        if violation.invariant == "W12" and isinstance(event, Seen):
            for problem in problems_of(event.frame)[:1]:
                shown = hexdump(event.frame.encode(), problem.start, problem.end, problem.path)
                yield from (f"            {line}" for line in shown.splitlines())

    def as_object(self, violation: Violation) -> dict[str, object]:
        """The violation as JSON."""
        return {
            "invariant": violation.invariant,
            "rules": list(violation.rules),
            "node": violation.node,
            "time": round(violation.time, 9),
            "frames": self._numbers(violation),
            "text": self._with_frames(violation.text),
        }

    def summary(self, frames: int, unreadable: int, *, as_json: bool) -> Iterator[str]:
        """The last line."""
        left_out = self._checker.left_out if self._checker else 0
        if as_json:
            said = {"frames": frames, "violations": self.found, "left_out": left_out, "unreadable": unreadable}
            yield json_text(said)
            return
        more = f" and {left_out:,} more like them" if left_out else ""
        places = "place" if unreadable == 1 else "places"
        tail = f"; {unreadable:,} {places} where bytes are no frames" if unreadable else ""
        noun = "violation" if self.found == 1 else "violations"
        fine = "nothing is wrong" if frames else "nothing was checked"
        counted = f"{frames:,} frame{'s' * (frames != 1)}"
        yield f"{counted}: {f'{self.found:,} {noun}{more}' if self.found else fine}{tail}"

    def _with_frames(self, text: str) -> str:
        """The text with the frames' numbers for those of the records."""
        return _RECORD.sub(lambda found: self._number(int(found[1])) or found[0], text)

    def _numbers(self, violation: Violation) -> list[int]:
        """The frames' numbers; records that are no frames have none."""
        return [int(number[1:]) for index in violation.records if (number := self._number(index))]

    def _number(self, index: int) -> str:
        others = bisect_left(self._others, index)
        is_other = others < len(self._others) and self._others[others] == index
        return "" if is_other or index < self._since else f"#{index - self._others_before - others + 1}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
