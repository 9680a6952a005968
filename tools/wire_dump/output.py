"""Writes events to standard output, in the form that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from casty_console import json_text
from conformance.trace.record import Closed, Marked, Opened
from conformance.wire.problem import PayloadError
from wire_dump.events import Seen, Trouble
from wire_dump.fields import ABOUT, SPECIFIED, is_known, shown
from wire_dump.jsonform import frame_object
from wire_dump.mistakes import UsageError
from wire_dump.text import Lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from wire_dump.events import Event
    from wire_dump.text import Style
    from wire_dump.traces import Clock

FORMS = "text, json, hex, or fields=NAME,NAME…"


class Writer(Protocol):
    """Makes lines of events."""

    def lines(self, event: Event) -> Iterable[str]: ...


def writer(form: str, style: Style, clock: Clock) -> Writer:
    """The writer for what `-o` says. Raises `ValueError` for what it may not say."""
    if form == "text":
        return Lines(style, clock)
    if form == "json":
        return _JsonLines(style.detail)
    if form == "hex":
        return _HexLines()
    if form.startswith("fields="):
        return _Columns(form.removeprefix("fields=").split(","))
    raise UsageError(f"-o {form}: expected {FORMS}")


class _JsonLines:
    """One object a line. A frame's can be given to `encode` again."""

    def __init__(self, detail: int) -> None:
        self._detail = detail

    def lines(self, event: Event) -> Iterator[str]:
        found = _object(event)
        if found is not None and (self._detail >= 4 or not isinstance(event, Opened | Closed)):
            yield json_text(found)


def _object(event: Event) -> dict[str, Any] | None:
    match event:
        case Seen():
            frame = frame_object(event.frame)
            head: dict[str, Any] = {
                "number": event.number,
                "time": round(event.time, 9),
                "conn": event.connection,
            }
            head |= {"src": event.source, "dst": event.target, "size": event.size, "offset": event.offset}
            if event.fate != "passed":
                head |= {"fate": event.fate, "detail": event.detail}
            if isinstance(problem := event.decoded, PayloadError):
                return head | frame | {"error": error_object(problem)}
            return head | frame
        case Trouble():
            wrong: dict[str, Any] = {"offset": event.offset, "expected": event.expected, "got": event.got}
            wrong |= {"bytes": event.data.hex(), "start": event.start, "end": event.end, "next": event.next}
            wrong |= {"serious": event.serious}
            place: dict[str, Any] = {"time": round(event.time, 9), "conn": event.connection}
            return place | {"src": event.source, "dst": event.target, "trouble": wrong}
        case Marked(time, node, name, text):
            return {"time": round(time, 9), "node": node, "mark": name, "text": text}
        case Opened(time, connection, dialler, listener, lane):
            ends = {"dialler": dialler, "listener": listener, "lane": lane}
            return {"time": round(time, 9), "conn": connection, "opened": ends}
        case Closed(time, connection, source, how):
            return {"time": round(time, 9), "conn": connection, "closed": {"src": source, "how": how}}


def error_object(problem: PayloadError) -> dict[str, Any]:
    """What is wrong with a payload."""
    return {
        "code": problem.code,
        "rule": problem.rule,
        "path": problem.path,
        "expected": problem.expected,
        "got": problem.got,
        "start": problem.start,
        "end": problem.end,
    }


class _HexLines:
    """The frames' bytes alone, one a line; what is none is a comment. `wire-dump -` reads it again."""

    def lines(self, event: Event) -> Iterator[str]:
        if isinstance(event, Seen):
            yield event.frame.encode().hex()
        elif isinstance(event, Trouble):
            said = f"# offset {event.offset}: expected {event.expected}; got {event.got}"
            yield said if said.isprintable() else ascii(said)[1:-1]


class _Columns:
    """The fields that were asked for, with tabs between them."""

    def __init__(self, names: Sequence[str]) -> None:
        for name in names:
            if not is_known(name):
                known = ", ".join([*ABOUT, *sorted(SPECIFIED)])
                raise UsageError(f"-o fields={name}: there is no such field; there are {known}")
        self._names = names

    def lines(self, event: Event) -> Iterator[str]:
        if isinstance(event, Seen):
            yield "\t".join(shown(event, name) for name in self._names)
