"""What of an input is asked for: by time, by filter, by count, and without what is to be hidden."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from casty_console import complain
from wire_dump.events import Seen, Trouble
from wire_dump.filters import parse
from wire_dump.input import Kind
from wire_dump.naming import parse_names
from wire_dump.redaction import parse_marks, redacted
from wire_dump.sources import open_source

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Iterable, Iterator

    from wire_dump.events import Event
    from wire_dump.filters import Filter
    from wire_dump.sources import Source


class Watch:
    """Sees all events of an input go by, and remembers what the exit status depends on."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.frames = 0
        self.unreadable = 0
        self.has_ended = False
        """Whether the input has been read to its end."""

    def over(self, events: Iterable[Event]) -> Iterator[Event]:
        """The same events."""
        for event in events:
            if isinstance(event, Seen):
                self.frames += 1
            elif isinstance(event, Trouble) and event.serious:
                self.unreadable += 1
            yield event
        self.has_ended = True

    @property
    def is_barren(self) -> bool:
        """Whether there was something to read, and nothing of it was understood."""
        return self.has_ended and not self.frames and bool(self.unreadable or self._source.unread.counts)

    def remark(self) -> str:
        """What was left out, in one line; empty if the input was read, and there were frames in it."""
        left_out = self._source.unread.text()
        parts = [f"not read: {left_out}"] if left_out else []
        if self.has_ended and not self.frames:
            parts.insert(0, self._without_frames())
        return "; ".join(parts)

    def _without_frames(self) -> str:
        if not self._source.data.offset:
            return "the input is empty"
        packets = self._source.unread.packets
        if self.is_barren or packets is None:
            return "no frame was found"
        return "no frame was found: no TCP segment carries data" if packets else "there are no packets in it"


@contextmanager
def opened(arguments: argparse.Namespace) -> Generator[tuple[Source, Watch]]:
    """The input that the command line names, narrowed to what it asks for, until the context ends.

    Raises `SourceError` for an input that cannot be read, `ValueError` for options that make no sense.
    """
    wanted = parse(arguments.filter) if arguments.filter is not None else None
    marks = parse_marks(arguments.redact)
    kind = Kind(arguments.input) if arguments.input else None
    names = parse_names(arguments.names)
    source = open_source(arguments.file, kind=kind, resync=arguments.resync, names=names)
    watch = Watch(source)
    events = within(watch.over(source.events), arguments.since, arguments.until)
    if wanted is not None:
        events = filtered(events, wanted)
    if marks:
        events = redacted(events, marks)
    if arguments.count is not None:
        events = first(events, arguments.count)
    source.events = events
    try:
        yield source, watch
    finally:
        source.data.close()
        if not isinstance(sys.exception(), BrokenPipeError) and (remark := watch.remark()):
            sys.stdout.flush()  # so that it stands behind what was read
            complain(f"wire-dump: {arguments.file}: {remark}")


def within(events: Iterable[Event], since: float | None, until: float | None) -> Iterator[Event]:
    """The events between two times."""
    for event in events:
        if (since is None or event.time >= since) and (until is None or event.time <= until):
            yield event


def filtered(events: Iterable[Event], wanted: Filter) -> Iterator[Event]:
    """The frames that are wanted. What cannot be read is told all the same; what is about no frame is not."""
    for event in events:
        if wanted(event) if isinstance(event, Seen) else isinstance(event, Trouble):
            yield event


def first(events: Iterable[Event], count: int) -> Iterator[Event]:
    """The events up to the `count`th frame; nothing after it is read."""
    if not count:
        return
    for event in events:
        yield event
        if isinstance(event, Seen):
            count -= 1
            if not count:
                return
