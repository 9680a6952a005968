"""What the terminal shows of a run: a line or a letter for each case, failures in full, and the sum."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Final, TextIO

from conformance.report.text import failure
from conformance.verdict import Outcome, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conformance.case import Case

_COLOUR: Final = {
    State.PASS: "32", State.FAIL: "1;31", State.NONSTRICT: "33", State.UNSUPPORTED: "2", State.SKIP: "2",
    State.XFAIL: "33", State.XPASS: "1;31", State.INCONCLUSIVE: "1;33", State.HARNESS_ERROR: "1;35",
}  # fmt: skip
_SHOWN_IN_FULL: Final = (State.FAIL, State.NONSTRICT, State.XPASS, State.INCONCLUSIVE, State.HARNESS_ERROR)


class Console:
    """Prints as outcomes come in; quiet unless something is wrong, one line a case when verbose."""

    def __init__(
        self, cases: Mapping[str, Case], selected: int, *, verbose: bool, stream: TextIO | None = None
    ) -> None:
        self._cases = cases
        self._selected = selected
        self._verbose = verbose
        self._out = stream if stream is not None else sys.stdout
        self._coloured = self._out.isatty() and "NO_COLOR" not in os.environ
        self._seen = 0

    def begin(self, impl: str, command: Sequence[str], seed: str, workers: int) -> None:
        """Says what is about to be tested."""
        self._say(f"{impl}: {self._selected} cases, {workers} workers, seed {seed}")
        self._say(f"  {' '.join(command)}\n")

    def show(self, outcome: Outcome) -> None:
        """One case has ended."""
        self._seen += 1
        case = self._cases[outcome.case]
        if outcome.state in _SHOWN_IN_FULL:
            self._clear()
            self._say(self._paint(failure(case, outcome), outcome.state) + "\n")
        elif self._verbose:
            reason = f"  ({outcome.reason})" if outcome.reason else ""
            state = self._paint(f"{outcome.state:<11}", outcome.state)
            self._say(f"{state} {case.id:<5} {case.title}  {outcome.seconds:.2f}s{reason}")
        if self._coloured:
            self._out.write(f"\r{self._seen}/{self._selected} {case.id} ")
            self._out.flush()

    def end(self, outcomes: Sequence[Outcome], seconds: float, reports: Sequence[str]) -> None:
        """The sum, by group, and where the reports are."""
        self._clear()
        groups: dict[str, Counter[State]] = {}
        for outcome in outcomes:
            groups.setdefault(self._cases[outcome.case].group, Counter())[outcome.state] += 1
        states = [state for state in State if any(counts[state] for counts in groups.values())]
        self._say(f"{'':<14}" + "".join(f"{state:>14}" for state in states))
        for group, counts in groups.items():
            cells = "".join(f"{counts[state] or '·':>14}" for state in states)
            self._say(f"{group:<14}{cells}")
        total = Counter(outcome.state for outcome in outcomes)
        self._say(f"{'all':<14}" + "".join(self._paint(f"{total[state]:>14}", state) for state in states))
        ran = len(outcomes) - total[State.UNSUPPORTED] - total[State.SKIP]
        self._say(f"\n{ran} played of {self._selected} selected, {len(self._cases)} in all, in {seconds:.1f} s")
        reasons = Counter(
            f"{o.state}: {o.reason}" for o in outcomes if o.state in (State.SKIP, State.UNSUPPORTED)
        )
        for reason, count in reasons.most_common():
            self._say(f"  {count} × {reason}")
        for line in reports:
            self._say(f"  {line}")

    def _clear(self) -> None:
        if self._coloured:
            self._out.write("\r\x1b[K")

    def _paint(self, text: str, state: State) -> str:
        if not self._coloured:
            return text
        first, newline, rest = text.partition("\n")
        return f"\x1b[{_COLOUR[state]}m{first}\x1b[0m{newline}{rest}"

    def _say(self, text: str) -> None:
        print(text, file=self._out, flush=True)
