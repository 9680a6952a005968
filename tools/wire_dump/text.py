"""Events as lines for people: aligned, coloured on a terminal, and the same every time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from conformance import _protocol as p
from conformance.trace.record import Closed, Marked, Opened
from conformance.wire.describe import details, hexdump, tree
from conformance.wire.problem import PayloadError
from wire_dump.events import Seen, Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.wire.frame import Frame
    from wire_dump.events import Event
    from wire_dump.traces import Clock

_KIND_WIDTH: Final = max(len(name) for name in p.TYPE_NAMES.values())
_NODE_WIDTH_MAX: Final = 21
"""An address takes no more; longer names are not aligned."""
_FRAME_BYTES_SHOWN: Final = 4096

_RED, _GREEN, _YELLOW, _BLUE, _MAGENTA, _CYAN, _DIM = "31", "32", "33", "34", "35", "36", "2"
_COLOURS: Final = {
    p.VOTE_REQUEST: _YELLOW,
    p.VOTE_RESPONSE: _YELLOW,
    p.PRE_VOTE_REQUEST: _YELLOW,
    p.PRE_VOTE_RESPONSE: _YELLOW,
    p.APPEND_ENTRIES_REQ: _GREEN,
    p.APPEND_ENTRIES_RES: _GREEN,
    p.INSTALL_SNAPSHOT_REQ: _CYAN,
    p.INSTALL_SNAPSHOT_RES: _CYAN,
    p.ERROR: _RED,
    p.PEER_LIST: _MAGENTA,
    p.PING: _DIM,
    p.HEARTBEAT: _DIM,
}
"""By the type of frame; what people send each other is blue."""


@dataclass(slots=True)
class Style:
    """How lines look."""

    colour: bool = False
    detail: int = 1
    """0 types and sizes, 1 the fields that matter, 2 all fields, 3 the bytes, 4 connections as they open, too.
    """
    times: str = "rel"
    """rel from the beginning of the input, abs as the clock showed, delta from the line before."""
    characters_max: int | None = None
    """Of the fields in a line, so many characters are shown."""


class Lines:
    """Makes lines of events. Columns grow with the names seen so far, and never shrink."""

    def __init__(self, style: Style, clock: Clock) -> None:
        self._style = style
        self._clock = clock
        self._width = 2
        self._last = 0.0

    def lines(self, event: Event) -> Iterator[str]:
        """The lines of one event; none where the detail asked for leaves it out."""
        match event:
            case Seen():
                yield from self._frame(event)
            case Trouble():
                yield from self._trouble(event)
            case Marked(_, node, name, text):
                said = " ".join(filter(None, (f"{node}:" if node else "", name, text)))
                yield f"{self._time(event.time)} {self._paint(f'── {_safe(said)}', _MAGENTA)}"
            case Opened(_, connection, dialler, listener, lane) if self._style.detail >= 4:
                said = f"connection {connection} opened" + (f", lane {lane}" if lane else "")
                route = self._route(dialler, listener)
                yield f"{self._time(event.time)} {route} {self._paint(_safe(said), _DIM)}"
            case Closed(_, connection, source, how) if self._style.detail >= 4:
                said = f"connection {connection} closed: {how}"
                yield f"{self._time(event.time)} {self._route(source, None)} {self._paint(_safe(said), _DIM)}"
            case _:
                return

    def _frame(self, event: Seen) -> Iterator[str]:
        frame, detail = event.frame, self._style.detail
        decoded = event.decoded if detail else None
        colour = _COLOURS.get(frame.type, _BLUE if frame.type in p.TYPE_NAMES else _RED)
        if isinstance(decoded, PayloadError):
            said, colour = self._paint(_problem(decoded), _RED), _RED
        else:
            said = self._cut(details(decoded)) if decoded else ""
            said = self._paint(said, _DIM) if " heartbeat " in said else said
        name = frame.kind if decoded is None or isinstance(decoded, PayloadError) else decoded.kind
        kind = self._paint(f"{name:<{_KIND_WIDTH}}", colour)
        fate = "" if event.fate == "passed" else self._paint(f"  {event.fate.upper()}", _RED)
        end = self._paint(f"<{event.size:,} B #{event.number}>", _DIM)
        yield f"{self._time(event.time)} {self._route(event.source, event.target)} {kind} {said}{fate}  {end}"
        if isinstance(decoded, PayloadError):
            yield from self._excerpt(frame, decoded)
        if detail >= 2:
            yield from self._fields(frame)
        if detail >= 3:
            yield from self._bytes(frame)

    def _excerpt(self, frame: Frame, problem: PayloadError) -> Iterator[str]:
        shown = hexdump(frame.encode(), problem.start, problem.end, problem.path or problem.expected)
        yield from (f"            {line}" for line in shown.splitlines())

    def _fields(self, frame: Frame) -> Iterator[str]:
        for line in tree(frame):
            text = self._cut(line.text)
            shown = line.path or ("payload" if line.depth == 0 else "")
            place = self._paint(f"{line.start:04x}", _DIM)
            yield f"            {place} {'  ' * line.depth}{_safe(shown)} = {text}"

    def _bytes(self, frame: Frame) -> Iterator[str]:
        data = frame.encode()
        for line in hexdump(data[:_FRAME_BYTES_SHOWN]).splitlines():
            yield "            " + self._paint(line, _DIM)
        if len(data) > _FRAME_BYTES_SHOWN:
            yield f"            … {len(data) - _FRAME_BYTES_SHOWN:,} more bytes"

    def _trouble(self, event: Trouble) -> Iterator[str]:
        where = f"offset {event.offset:,}"
        said = _safe(f"{where}: expected {event.expected}; got {event.got}")
        mark = "!!" if event.serious else "--"
        colour = _RED if event.serious else _YELLOW
        route = self._route(event.source, event.target)
        yield f"{self._time(event.time)} {route} {self._paint(f'{mark} {said}', colour)}"
        if event.text:
            yield "            " + "".join(c if c.isprintable() else " " for c in event.text)
            yield "            " + " " * event.start + "^" * max(1, event.end - event.start)
        elif event.data:
            label = f"stream offset {event.offset + event.start:,}"
            for line in hexdump(event.data, event.start, event.end, label).splitlines():
                yield "            " + line
        if event.next:
            yield "            " + self._paint(event.next, _DIM)

    def _route(self, source: str | None, target: str | None) -> str:
        if source is None and target is None:
            return " " * (2 * self._width + 3) if self._width > 2 else ""
        left, right = _safe(source or "?"), _safe(target or "?")
        self._width = max(self._width, *(min(len(name), _NODE_WIDTH_MAX) for name in (left, right)))
        return f"{left:>{self._width}} → {right:<{self._width}}"

    def _time(self, time: float) -> str:
        last, self._last = self._last, time
        if self._style.times == "abs" and self._clock.began is not None:
            try:
                return (self._clock.began + timedelta(seconds=time)).strftime("%Y-%m-%d %H:%M:%S.%f")
            except OverflowError:
                return f"[{time:11.6f}]"
        return f"[{time - last if self._style.times == 'delta' else time:11.6f}]"

    def _cut(self, text: str) -> str:
        most = self._style.characters_max
        return text if most is None or len(text) <= most else text[:most] + "…"

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._style.colour and text else text


def _problem(problem: PayloadError) -> str:
    place = problem.path or "payload" if problem.stage != "frame" else ""
    text = f"{place}: expected {problem.expected}, got {problem.got} ({problem.code}, {problem.rule})"
    return _safe(text.removeprefix(": "))


def _safe(text: str) -> str:
    """What a stranger wrote must not move the reader's cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
