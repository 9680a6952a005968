"""What the terminal shows of a run: how far it is, failures in full, and the sum."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, TextIO

from casty_console import is_coloured, is_live
from conformance.case import GROUPS
from conformance.report.text import WIDTH, failure, printable
from conformance.verdict import Outcome, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from conformance.case import Case

_COLOUR: Final = {
    State.PASS: "32", State.FAIL: "1;31", State.NONSTRICT: "33", State.UNSUPPORTED: "2", State.SKIP: "2",
    State.XFAIL: "33", State.XPASS: "1;31", State.INCONCLUSIVE: "1;33", State.HARNESS_ERROR: "1;35",
}  # fmt: skip
_SHOWN_IN_FULL: Final = (State.FAIL, State.NONSTRICT, State.XPASS, State.INCONCLUSIVE, State.HARNESS_ERROR)
_LABELS: Final = (
    "rule", "given", "when", "expect", "wanted", "got", "reason", "note", "why it matters", "hint", "kept",
    "again",
)  # fmt: skip
_WIDTH_MIN: Final = 60
_QUIET_STEP: Final = 25
"""Where nobody watches, so many cases go by without a word."""


class Console:
    """Prints as outcomes come in: a line that is rewritten on a terminal, a line now and then elsewhere.

    Colours are for terminals, and not where `NO_COLOR` is set. A reader that goes away is no error: the run
    goes on without.
    """

    def __init__(
        self, cases: Mapping[str, Case], selected: int, *, verbose: bool, stream: TextIO | None = None
    ) -> None:
        self._cases = cases
        self._selected = selected
        self._verbose = verbose
        self._out = stream if stream is not None else sys.stdout
        self._live = is_live(self._out)
        self._coloured = is_coloured(stream=self._out)
        self._states: Counter[State] = Counter()
        self._playing: list[str] = []
        self._began = time.monotonic()
        self._is_heard = True

    def begin(self, impl: str, command: Sequence[str], seed: str, workers: int) -> None:
        """Says what is about to be tested."""
        cases = _counted(self._selected, "case")
        self._say(f"{printable(impl)}: {cases}, {_counted(workers, 'worker')}, seed {seed}")
        self._say(f"  {printable(' '.join(command))}\n")

    def started(self, case_id: str) -> None:
        """A case is being played."""
        self._playing.append(case_id)
        self._progress()

    def show(self, outcome: Outcome) -> None:
        """One case has ended."""
        self._states[outcome.state] += 1
        if outcome.case in self._playing:
            self._playing.remove(outcome.case)
        case = self._cases[outcome.case]
        if outcome.state in _SHOWN_IN_FULL:
            self._clear()
            self._say(self._painted(failure(case, outcome, self._width()), outcome.state) + "\n")
        elif self._verbose:
            self._clear()
            reason = f"  ({printable(outcome.reason)})" if outcome.reason else ""
            state = self._paint(f"{outcome.state:<11}", _COLOUR[outcome.state])
            self._say(f"{state} {case.id:<5} {case.title}  {outcome.seconds:.2f}s{reason}")
        self._progress()
        seen = self._states.total()
        if not self._live and not self._verbose and seen % _QUIET_STEP == 0 and seen < self._selected:
            self._say(f"{seen}/{self._selected}  {self._tally()}".rstrip())

    def end(self, outcomes: Sequence[Outcome], seconds: float, verdict: str, reports: Iterable[str]) -> None:
        """The sum, by group in the order of the catalogue, the verdict, and where the reports are."""
        self._clear()
        if outcomes:
            self._table(outcomes)
        total = Counter(outcome.state for outcome in outcomes)
        ran = len(outcomes) - total[State.UNSUPPORTED] - total[State.SKIP]
        self._say(f"\n{ran} played of {self._selected} selected, {len(self._cases)} in all, in {seconds:.1f} s")
        reasons = Counter(
            f"{o.state}: {o.reason}" for o in outcomes if o.state in (State.SKIP, State.UNSUPPORTED)
        )
        for reason, count in reasons.most_common():
            self._say(f"  {count} × {printable(reason)}")
        self._say(self._paint(printable(verdict), "1"))
        for line in reports:
            self._say(f"  {line}")

    def _table(self, outcomes: Sequence[Outcome]) -> None:
        groups = {group: Counter[State]() for group in GROUPS.values()}
        times: Counter[str] = Counter()
        for outcome in outcomes:
            groups[self._cases[outcome.case].group][outcome.state] += 1
            times[self._cases[outcome.case].group] += round(outcome.seconds * 1000)
        states = [state for state in State if any(counts[state] for counts in groups.values())]
        self._say(f"{'':<12}" + "".join(self._cell(state, state) for state in states) + f"{'time':>10}")
        for group, counts in groups.items():
            if counts:
                cells = (
                    self._cell(counts[state] or "·", state, is_quiet=not counts[state]) for state in states
                )
                self._say(f"{group:<12}{''.join(cells)}{times[group] / 1000:>8.1f} s")
        if sum(map(bool, groups.values())) > 1:
            sums = (self._cell(sum(counts[state] for counts in groups.values()), state) for state in states)
            self._say(f"{'all':<12}{''.join(sums)}{times.total() / 1000:>8.1f} s")

    def _cell(self, what: object, state: State, *, is_quiet: bool = False) -> str:
        text = f"{what!s:>{max(6, len(state) + 2)}}"
        return self._paint(text, "2" if is_quiet else _COLOUR[state])

    def _progress(self) -> None:
        """The line that is rewritten."""
        if self._live:
            passed = round(time.monotonic() - self._began)
            playing = " ".join(self._playing[-8:])
            seen = f"{self._states.total()}/{self._selected}"
            text = "  ".join(filter(None, (seen, self._tally(), f"{passed // 60}:{passed % 60:02d}", playing)))
            self._write(f"\r\x1b[K{text[: max(1, shutil.get_terminal_size().columns - 1)]}")

    def _tally(self) -> str:
        """How many are not as they should be."""
        return ", ".join(f"{self._states[state]} {state}" for state in _SHOWN_IN_FULL if self._states[state])

    def _width(self) -> int:
        if not self._out.isatty():
            return WIDTH
        return max(_WIDTH_MIN, min(WIDTH, shutil.get_terminal_size().columns))

    def _painted(self, text: str, state: State) -> str:
        """A failure with its state in colour and the names of its parts set back."""
        if not self._coloured:
            return text
        first, *rest = text.split("\n")
        lines = [self._paint(first, _COLOUR[state])]
        for line in rest:
            label = next((label for label in _LABELS if line.startswith(f"  {label} ")), "")
            lines.append(f"  {self._paint(label, '2')}{line[2 + len(label) :]}" if label else line)
        return "\n".join(lines)

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text

    def _clear(self) -> None:
        if self._live:
            self._write("\r\x1b[K")

    def _say(self, text: str) -> None:
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        if not self._is_heard:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:
            self._is_heard = False


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
