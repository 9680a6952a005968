"""`wire-dump FILE` and `wire-dump follow`: frames, line by line."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from casty_console import is_coloured
from conformance.trace.record import Closed, Marked, Opened
from wire_dump.arguments import EXIT_UNREADABLE
from wire_dump.events import Seen, Trouble
from wire_dump.mistakes import UsageError
from wire_dump.output import writer
from wire_dump.selection import first, opened
from wire_dump.text import Style

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from wire_dump.events import Event
    from wire_dump.output import Writer
    from wire_dump.selection import Watch

LISTED_MAX = 65_536


def style_of(parsed: argparse.Namespace) -> Style:
    """How lines look, by the command line, the terminal and NO_COLOR."""
    return Style(is_coloured(parsed.color), parsed.detail, parsed.times, parsed.show_payload)


def show(parsed: argparse.Namespace) -> int:
    """Writes every event that is asked for."""
    with opened(parsed) as (source, watch):
        out = writer(parsed.output, style_of(parsed), source.clock)
        write(source.events, out)
        return status_of(parsed, watch)


def write(events: Iterable[Event], out: Writer) -> None:
    """The lines of the events, each at once where somebody is watching."""
    stream = sys.stdout
    prompt = stream.isatty()
    for event in events:
        for line in out.lines(event):
            stream.write(line + "\n")
        if prompt:
            stream.flush()


def status_of(parsed: argparse.Namespace, watch: Watch) -> int:
    """The exit status after reading: bytes that are no frames count where the command line says so, and where
    there was nothing else.
    """
    return EXIT_UNREADABLE if watch.is_barren or (parsed.strict and watch.unreadable) else 0


def follow(parsed: argparse.Namespace) -> int:
    """Writes the events of one connection; without its number, a line for each that there is."""
    count = parsed.count
    if parsed.connection is not None:
        parsed.count = None  # it is about the frames of that connection
    with opened(parsed) as (source, watch):
        if parsed.connection is None:
            for line in _listed(source.events):
                print(line)
        else:
            out = writer(parsed.output, style_of(parsed), source.clock)
            is_whole = parsed.filter is None and parsed.since is None and parsed.until is None
            write(_of(source.events, parsed.connection, count, must_be=is_whole), out)
        return status_of(parsed, watch)


def _of(events: Iterable[Event], connection: int, count: int | None, *, must_be: bool) -> Iterator[Event]:
    """The events of one connection, up to its `count`th frame."""
    found = (event for event in events if _is_about(event, connection))
    is_there = False
    for event in found if count is None else first(found, count):
        is_there = True
        yield event
    if must_be and not is_there and count != 0:
        raise UsageError(f"there is no connection {connection}; without a number, all are listed")


def _is_about(event: Event, connection: int) -> bool:
    return not isinstance(event, Marked) and event.connection == connection


@dataclass(slots=True)
class _Connection:
    began: float
    dialler: str = "?"
    listener: str = "?"
    ended: str = "open"
    frames: int = 0
    bytes: int = 0
    troubles: int = field(default=0)


def _listed(events: Iterable[Event]) -> Iterator[str]:
    found: dict[int, _Connection] = {}
    for event in events:
        if isinstance(event, Marked) or (event.connection not in found and len(found) >= LISTED_MAX):
            continue
        one = found.setdefault(event.connection, _Connection(event.time))
        match event:
            case Opened(_, _, dialler, listener, _):
                one.dialler, one.listener = dialler or "?", listener
            case Seen():
                one.frames, one.bytes = one.frames + 1, one.bytes + event.size
                if one.dialler == "?":
                    one.dialler, one.listener = event.source or "?", event.target or "?"
            case Trouble():
                one.troubles += 1
            case Closed(_, _, _, how):
                one.ended = how
    yield f"{'conn':>5} {'began':>11}  {'dialler':>21} → {'listener':<21} {'frames':>9} {'bytes':>12}  ended"
    for number, one in sorted(found.items()):
        ends = f"{one.dialler:>21} → {one.listener:<21}"
        trouble = f", {one.troubles} trouble{'s' * (one.troubles > 1)}" if one.troubles else ""
        yield f"{number:>5} {one.began:11.6f}  {ends} {one.frames:>9,} {one.bytes:>12,}  {one.ended}{trouble}"
