"""A history for people: every operation as a bar in its client's lane, faults as bands behind them.

`text` is for a terminal, `page` one HTML file that needs nothing else. Both mark the answer that is impossible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from conformance.trace.record import Marked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from conformance.history.checker import Verdict
    from conformance.history.operation import Operation
    from conformance.trace.record import Record

BEGINS = {"fault": "heal", "kill": "ready", "pause": "resume", "exit": "ready"}
"""Marks that begin something, and what ends it."""
OTHERS = ("start", "reset", "cut", "half-close", "release", "terminate", "note")
"""Marks of a moment that are shown, too."""
TEXT_WIDTH = 60


@dataclass(frozen=True, slots=True)
class Band:
    """Something that was wrong from `begin` to `end`, or at one moment."""

    begin: float
    end: float
    text: str


def bands(records: Iterable[Record], end: float) -> list[Band]:
    """What the marks of a trace say was done to the cluster, in the order of its beginning."""
    found: list[Band] = []
    open_ones: dict[tuple[str | None, str, str], float] = {}
    for record in records:
        if not isinstance(record, Marked):
            continue
        subject = record.text if record.node is None else ""
        for begin, until in BEGINS.items():
            key = (record.node, begin, subject)
            if record.event == until and key in open_ones:
                since = open_ones.pop(key)
                found.append(Band(since, record.time, _named(begin, record.node, subject)))
        if record.event in BEGINS:
            open_ones.setdefault((record.node, record.event, subject), record.time)
        elif record.event in OTHERS:
            found.append(Band(record.time, record.time, _named(record.event, record.node, record.text)))
    found += [Band(since, end, _named(event, node, text)) for (node, event, text), since in open_ones.items()]
    return sorted(found, key=lambda band: (band.begin, band.end))


def _named(event: str, node: str | None, text: str) -> str:
    words = {"kill": "down", "exit": "down", "pause": "paused", "fault": ""}.get(event, event)
    subject = node or ""
    detail = text if event in ("fault", "reset", "cut", "half-close", "release", "note") else ""
    return " ".join(word for word in (subject, words, detail) if word)


def span(operations: Sequence[Operation]) -> tuple[float, float]:
    """From the first call to the last return, or call."""
    if not operations:
        return 0.0, 1.0
    begin = min(operation.called for operation in operations)
    end = max(max(op.called, op.returned or op.called) for op in operations)
    return begin, max(end, begin + 0.001)


def text(
    operations: Sequence[Operation], records: Iterable[Record] = (), verdict: Verdict | None = None
) -> str:
    """One line for each operation, in the order of the calls, with its bar; the impossible one with `<<<`."""
    ordered = sorted(operations, key=lambda operation: operation.called)
    begin, end = span(ordered)
    lines = [] if verdict is None else [verdict.text, ""]
    lines += [f"{'seconds':>17}  {'':{TEXT_WIDTH}}  what"]
    rows = [(op.called, _row(op, begin, end, verdict)) for op in ordered]
    for band in bands(records, end):
        if begin <= band.end and band.begin <= end:
            bar = _bar(band.begin, band.end, begin, end, "░")
            rows.append((band.begin, f"{_times(band.begin, band.end)}  {bar}  -- {band.text}"))
    return "\n".join([*lines, *(row for _, row in sorted(rows, key=lambda row: row[0]))]) + "\n"


def _row(operation: Operation, begin: float, end: float, verdict: Verdict | None) -> str:
    returned = operation.returned if operation.outcome != "unknown" else None
    fill = {"ok": "█", "failed": "×", "unknown": "▒"}[operation.outcome]
    bar = _bar(operation.called, end if returned is None else returned, begin, end, fill)
    mark = "  <<< impossible" if verdict is not None and operation is verdict.impossible else ""
    return f"{_times(operation.called, returned)}  {bar}  {operation}{mark}"


def _times(begin: float, end: float | None) -> str:
    return f"{begin:8.3f} {'?' if end is None else f'{end:.3f}':>8}"


def _bar(start: float, stop: float, begin: float, end: float, fill: str) -> str:
    scale = (TEXT_WIDTH - 1) / (end - begin)
    first = min(max(round((start - begin) * scale), 0), TEXT_WIDTH - 1)
    last = min(max(round((stop - begin) * scale), first), TEXT_WIDTH - 1)
    return (" " * first + fill * (last - first + 1)).ljust(TEXT_WIDTH)
