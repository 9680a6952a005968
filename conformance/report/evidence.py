"""What a page shows of one outcome: wanted and got, bytes, the frames around them, a picture, last words."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from conformance import artifacts
from conformance.node.process import last_words
from conformance.report.html import text
from conformance.trace.picture import svg
from conformance.trace.record import Closed, Marked, Opened, Raw, Sent
from conformance.verdict import State
from conformance.wire.describe import summary, tree
from conformance.wire.message import PayloadError, decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from conformance.trace.record import Record
    from conformance.wire.frame import Frame

_BEFORE: Final = 10
_AFTER: Final = 4
"""So many records around the one in question are listed."""
_TREE_LINES_MAX: Final = 120
_DRAWN_MAX: Final = 400
"""So many records before the end of a long trace are drawn."""
_PICTURE_BYTES_MAX: Final = 6_000_000
"""Of all pictures together: a page must still open on a phone. The others are files of their own."""


class Evidence:
    """Reads what was kept, and remembers how much of it is in the page already."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pictured = 0

    def of(self, outcome: Mapping[str, Any], case: Mapping[str, Any]) -> Iterator[str]:
        """The parts for one outcome; nothing where there is nothing to say."""
        if outcome["reason"]:
            yield f"<p><b>{outcome['state']}</b>: {text(outcome['reason'])}</p>"
        if outcome["expected"] or outcome["got"]:
            yield (
                f'<div class="versus"><div><b>wanted</b>{text(outcome["expected"])}</div>'
                f'<div class="got"><b>got</b>{text(outcome["got"])}</div></div>'
            )
        if outcome["hexdump"]:
            yield f"<h3>{text(outcome['frame'])}</h3><pre>{_carets(outcome['hexdump'])}</pre>"
        # What the nodes said last comes below, in full.
        notes = [note.rstrip() for note in outcome["notes"] if not (outcome["artifacts"] and " said: " in note)]
        if notes:
            yield f'<pre class="wraps">{text(chr(10).join(notes))}</pre>'
        if not outcome["artifacts"] or outcome["state"] == State.PASS:
            return
        kept = self._folder / outcome["artifacts"]
        records = list(artifacts.records(kept))
        yield from _frames(records, outcome)
        yield from self._picture(records, outcome, case)
        yield from _said(kept)
        for place in sorted(kept.glob("timeline*.html")):
            link = text(f"{outcome['artifacts']}/{place.name}")
            yield f'<p>What the clients asked and learned: <a href="{link}">{link}</a></p>'
        yield (
            f'<p>Kept in <a href="{text(outcome["artifacts"])}/">{text(outcome["artifacts"])}</a>, with '
            f"<code>wire.pcap</code> for Wireshark. Again: <code>conformance replay "
            f"{text(shlex.quote(str(kept)))}</code></p>"
        )

    def _picture(
        self, records: Sequence[Record], outcome: Mapping[str, Any], case: Mapping[str, Any]
    ) -> Iterator[str]:
        if not any(isinstance(record, Sent | Raw) for record in records):
            return
        yield "<h3>Who said what to whom</h3>"
        if self._pictured > _PICTURE_BYTES_MAX:
            place = text(f"{outcome['artifacts']}/picture.html")
            yield f'<p>The page is large already: <a href="{place}">{place}</a></p>'
            return
        focus = _focus(records, outcome)
        begin = max(0, focus - _DRAWN_MAX)
        shown = [
            *records[: focus + 1],
            _remark(records[focus], outcome),
            *records[focus + 1 : focus + 1 + _AFTER * 5],
        ]
        drawn = svg(shown, since=records[begin].time if begin else None)
        drawn = drawn.replace('aria-labelledby="t d"', f'aria-label="{text(case["title"])}"', 1)
        drawn = drawn.replace('<title id="t">', "<title>", 1).replace('<desc id="d">', "<desc>", 1)
        self._pictured += len(drawn)
        yield f'<div class="scrolls drawn" tabindex="0">{drawn}</div>'


def _remark(record: Record, outcome: Mapping[str, Any]) -> Marked:
    """A line in the picture, where the case saw what it did not want."""
    said = outcome["expected"] or outcome["reason"]
    return Marked(record.time, None, outcome["state"], f"wanted {said}" if outcome["expected"] else said)


def _carets(dump: str) -> str:
    """The dump with the lines of carets, which alone begin with a space, set apart."""
    return "\n".join(
        f'<span class="caret">{text(line)}</span>' if line.lstrip().startswith("^") else text(line)
        for line in dump.splitlines()
    )


def _focus(records: Sequence[Record], outcome: Mapping[str, Any]) -> int:
    """The record in question, or the last one before the case ended."""
    number, last = int(outcome["record"]), len(records) - 1
    return number if 0 <= number <= last else min(last, max(0, int(outcome["seen"]) - 1))


def _frames(records: Sequence[Record], outcome: Mapping[str, Any]) -> Iterator[str]:
    """The records around the one in which it shows, or the last ones; and that frame field by field."""
    if not records:
        return
    number = outcome["record"] if 0 <= outcome["record"] < len(records) else -1
    focus = _focus(records, outcome)
    around = range(max(0, focus - _BEFORE), min(len(records), focus + _AFTER + 1))
    yield f"<h3>{'The frames around it' if number >= 0 else 'The last frames'}</h3>"
    yield '<div class="scrolls" tabindex="0"><table class="frames mono"><tbody>'
    yield "<tr><th>#</th><th>time</th><th></th><th>message</th></tr>"
    for at in around:
        record = records[at]
        kind = "here" if at == number else "" if isinstance(record, Sent | Raw) else "act"
        way, said = _line(record)
        yield (
            f'<tr class="{kind}"><td class="num">{at}</td><td class="num">{record.time:.3f}</td>'
            f'<td class="way">{text(way)}</td><td>{text(said)}</td></tr>'
        )
    yield "</tbody></table></div>"
    if number >= 0 and isinstance(in_question := records[number], Sent):
        yield from _tree(in_question.frame, outcome["start"], outcome["end"])


def _line(record: Record) -> tuple[str, str]:
    match record:
        case Sent():
            fate = "" if record.fate == "passed" else f" · {record.fate}"
            return f"{record.source or '?'} → {record.target or '?'}", f"{_summary(record.frame)}{fate}"
        case Raw():
            way = f"{record.source or '?'} → {record.target or '?'}"
            return way, f"{len(record.data):,} bytes, no frame ({record.problem}): {record.data[:24].hex(' ')}"
        case Opened():
            lane = f", lane {record.lane}" if record.lane else ""
            return (
                f"{record.dialler or '?'} → {record.listener}",
                f"connection {record.connection} opened{lane}",
            )
        case Closed():
            return record.source or "", f"connection {record.connection} closed: {record.how}"
        case Marked():
            return record.node or "", f"{record.event} {record.text}".strip()


def _summary(frame: Frame) -> str:
    try:
        return summary(decode(frame))
    except PayloadError as error:
        return f"{frame.kind}, malformed: {error}"


def _tree(frame: Frame, start: int, end: int) -> Iterator[str]:
    """Every field of the frame with its bytes; those in question marked."""
    yield "<details><summary>The frame, field by field</summary>"
    yield '<div class="scrolls" tabindex="0"><table class="frames mono"><tbody>'
    lines = list(tree(frame))
    for line in lines[:_TREE_LINES_MAX]:
        kind = "here" if start < end and line.start >= start and line.end <= end else ""
        yield (
            f'<tr class="{kind}"><td class="num">{line.start:04x}–{line.end:04x}</td>'
            f'<td style="padding-left:{0.7 + line.depth:.1f}rem">{text(line.path)}</td>'
            f"<td>{text(line.text)}</td></tr>"
        )
    if len(lines) > _TREE_LINES_MAX:
        yield f'<tr><td></td><td colspan="2">… {len(lines) - _TREE_LINES_MAX:,} more</td></tr>'
    yield "</tbody></table></div></details>"


def _said(kept: Path) -> Iterator[str]:
    """The end of what each node wrote to its standard error."""
    for errors in sorted(kept.glob("nodes/*/stderr.txt")):
        lines = last_words(errors, 12)
        if lines:
            yield f"<details><summary>The last words of {text(errors.parent.name)}</summary>"
            yield f'<pre class="wraps">{text(chr(10).join(lines))}</pre></details>'
