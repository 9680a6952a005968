"""The timeline as one HTML file: lanes of clients, bands of faults, no script and nothing from elsewhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from conformance.history.timeline import bands, span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from conformance.history.checker import Verdict
    from conformance.history.operation import Operation
    from conformance.history.timeline import Band
    from conformance.trace.record import Record

PIXELS_PER_OPERATION = 120
WIDTH_MIN, WIDTH_MAX = 900, 24_000
LANE, ROW = 26, 18
"""Heights: of a client's lane, of a band's line"""
LEFT = 76
LABEL_PIXELS = 6.8
"""About what one character of a label takes"""

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --dim: #6b6b6b; --ground: #ffffff; --line: #d8d8d8;
  --ok: #3f7d58; --failed: #8a8a8a; --unknown: #b7791f; --bad: #c22a2a; --band: #e8a33d; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e8e8e8; --dim: #a0a0a0; --ground: #16181c; --line: #3a3d44;
  --ok: #6fbf92; --failed: #8d8d8d; --unknown: #e0b152; --bad: #ff6b6b; --band: #c98a2b; } }
body { margin: 1.5rem; background: var(--ground); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.2rem; } h2 { font-size: 1rem; margin-top: 1.6rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
svg { display: block; font: 11px ui-monospace, monospace; }
svg text { fill: var(--ink); } svg .dim { fill: var(--dim); }
.lane { stroke: var(--line); } .tick { stroke: var(--line); stroke-dasharray: 2 4; }
.bar { fill-opacity: .3; } .head { fill-opacity: 1; }
.ok { fill: var(--ok); stroke: var(--ok); } .failed { fill: var(--failed); stroke: var(--failed); }
.unknown { fill: var(--unknown); }
.impossible { fill: var(--bad); stroke: var(--bad); }
.ring { fill: none; stroke: var(--bad); stroke-width: 2; } .band { fill: var(--band); fill-opacity: .16; }
.verdict { font-weight: 600; } .verdict.bad { color: var(--bad); }
table { border-collapse: collapse; }
td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.bad td { color: var(--bad); font-weight: 600; }
"""


def page(
    operations: Sequence[Operation],
    records: Iterable[Record] = (),
    verdict: Verdict | None = None,
    *,
    title: str = "History",
) -> str:
    """The whole file. Where a verdict names the few operations that contradict each other, they come first."""
    marks = list(records)
    parts = [f"<h1>{escape(title)}</h1>"]
    if verdict is not None:
        bad = " bad" if verdict.impossible is not None else ""
        parts.append(f'<p class="verdict{bad}">{escape(str(verdict.result))}: {escape(verdict.text)}</p>')
    if verdict is not None and verdict.operations:
        parts.append("<h2>The operations that contradict each other</h2>")
        parts.append("<p>Whatever became of those marked with ?, the others do not fit together.</p>")
        parts.append(_picture(verdict.operations, marks, verdict))
        parts.append(_table(verdict.operations, verdict))
    parts += [f"<h2>All {len(operations)} operations</h2>", _picture(operations, marks, verdict)]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(operations: Sequence[Operation], verdict: Verdict) -> str:
    rows = [
        "<tr><th>called</th><th>returned</th><th>client</th><th>asked</th><th>answer</th><th>node</th></tr>"
    ]
    for op in operations:
        bad = ' class="bad"' if op is verdict.impossible else ""
        returned = "?" if op.returned is None else f"{op.returned:.3f}"
        cells = [f"{op.called:.3f}", returned, str(op.client), op.request, op.answer, op.node]
        kinds = ["number", "number", "number", "", "", ""]
        row = "".join(
            f'<td class="{kind}">{escape(cell)}</td>' for kind, cell in zip(kinds, cells, strict=True)
        )
        rows.append(f"<tr{bad}>{row}</tr>")
    return f"<table>{''.join(rows)}</table>"


class _Scale:
    """From seconds to pixels."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.begin, self.end = span(operations)
        clients = len({operation.client for operation in operations}) or 1
        wanted = PIXELS_PER_OPERATION * len(operations) / clients
        self.width = min(max(wanted, WIDTH_MIN), WIDTH_MAX)

    def x(self, time: float) -> float:
        inside = min(max(time, self.begin), self.end)
        return LEFT + (inside - self.begin) / (self.end - self.begin) * self.width


def _picture(operations: Sequence[Operation], records: Iterable[Record], verdict: Verdict | None) -> str:
    scale = _Scale(operations)
    faults = [b for b in bands(records, scale.end) if b.end >= scale.begin and b.begin <= scale.end]
    lines = _stacked(faults, scale)
    top = 22 + ROW * (max(lines, default=-1) + 1)
    clients = sorted({operation.client for operation in operations})
    height = top + LANE * len(clients) + 10
    parts = [*_ticks(scale, height), *_bands(faults, lines, scale, height)]
    for number, client in enumerate(clients):
        middle = top + LANE * number + LANE / 2
        parts.append(f'<text x="4" y="{middle + 4:.0f}">client {client}</text>')
        parts.append(_line("lane", LEFT, middle, LEFT + scale.width, middle))
        own = sorted((op for op in operations if op.client == client), key=lambda op: op.called)
        for at, operation in enumerate(own):
            after = scale.x(own[at + 1].called) if at + 1 < len(own) else LEFT + scale.width + 40
            is_bad = verdict is not None and operation is verdict.impossible
            parts += _bar(operation, scale, middle, after, is_bad=is_bad)
    size = f'width="{LEFT + scale.width + 40:.0f}" height="{height:.0f}"'
    return f'<div class="scroll"><svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg></div>'


def _bar(operation: Operation, scale: _Scale, middle: float, after: float, *, is_bad: bool) -> list[str]:
    """One operation: as long as it took; of unknown outcome, fading to where the client went on."""
    left = scale.x(operation.called)
    returned = operation.returned if operation.outcome != "unknown" else None
    right = after - 2 if returned is None else scale.x(returned)
    width, height = max(right - left, 3), LANE - 10
    kind = "impossible" if is_bad else operation.outcome
    returns = "nobody knows" if returned is None else f"{returned:.3f} s"
    place = f", index {operation.index} of term {operation.term}" if operation.index is not None else ""
    times = f"called {operation.called:.3f} s, returned {returns}"
    story = f"{operation}\n{times}\n{operation.node or 'no node'}{place}"
    shape = f'x="{left:.1f}" y="{middle - height / 2:.1f}" height="{height}" rx="3"'
    parts = [f'<rect class="bar {kind}" {shape} width="{width:.1f}"><title>{escape(story)}</title></rect>']
    if operation.outcome == "unknown":
        parts.append(f'<rect class="unknown head" {shape} width="3"/>')
    label = f"{operation.request} {operation.answer}"
    if is_bad:
        ring = f'x="{left - 4:.1f}" y="{middle - LANE / 2:.1f}" width="{width + 8:.1f}" height="{LANE}" rx="5"'
        parts.append(f'<rect class="ring" {ring}/>')
    if is_bad or len(label) * LABEL_PIXELS < max(width, after - left - width) - 6:
        x = left + 5 if len(label) * LABEL_PIXELS < width - 6 else left + width + 4
        parts.append(f'<text x="{x:.1f}" y="{middle + 4:.1f}">{escape(label)}</text>')
    return parts


def _ticks(scale: _Scale, height: float) -> list[str]:
    """A time every hundred pixels or so, at a round number."""
    rough = (scale.end - scale.begin) * 110 / scale.width
    power = 10.0 ** _exponent(rough)
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    number = int(scale.begin / step) + 1
    parts: list[str] = []
    while number * step <= scale.end:
        x = scale.x(number * step)
        parts.append(_line("tick", x, 16, x, height))
        parts.append(f'<text class="dim" x="{x + 3:.1f}" y="12">{number * step:g} s</text>')
        number += 1
    return parts


def _exponent(value: float) -> int:
    exponent = 0
    while 10.0**exponent > value:
        exponent -= 1
    while 10.0 ** (exponent + 1) <= value:
        exponent += 1
    return exponent


def _stacked(faults: Sequence[Band], scale: _Scale) -> list[int]:
    """For each band a line for its words, so that no two words stand on each other."""
    ends: list[float] = []
    lines: list[int] = []
    for band in faults:
        left = scale.x(band.begin)
        line = next((number for number, end in enumerate(ends) if end <= left), len(ends))
        right = max(scale.x(band.end), left + LABEL_PIXELS * len(band.text) + 10)
        ends[line : line + 1] = [right]
        lines.append(line)
    return lines


def _bands(faults: Sequence[Band], lines: Sequence[int], scale: _Scale, height: float) -> list[str]:
    parts: list[str] = []
    for band, line in zip(faults, lines, strict=True):
        left, right, top = scale.x(band.begin), scale.x(band.end), 18 + ROW * line
        shape = f'x="{left:.1f}" y="{top}" width="{max(right - left, 2):.1f}" height="{height - top:.0f}"'
        title = f"{band.text}\n{band.begin:.3f} to {band.end:.3f} s"
        parts.append(f'<rect class="band" {shape}><title>{escape(title)}</title></rect>')
        parts.append(f'<text class="dim" x="{left + 4:.1f}" y="{top + 12}">{escape(band.text)}</text>')
    return parts


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
