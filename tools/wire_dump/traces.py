"""Reads a trace of the conformance suite, or of `wire-dump live`, as events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.trace.json_lines import from_line
from conformance.trace.record import Opened, Raw, Sent
from conformance.trace.store import Header
from wire_dump.events import EXCERPT_BYTES, Seen, Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from conformance.trace.record import Record
    from wire_dump.events import Event
    from wire_dump.input import Input

TRACE_LINE_BYTES_MAX: Final = 1 << 26
"""A frame of 16 MiB is 32 MiB of hex digits."""
CONNECTIONS_MAX: Final = 65_536


class Clock:
    """When the input began."""

    def __init__(self) -> None:
        self.began: datetime | None = None
        self.nodes: tuple[str, ...] = ()


def from_trace(data: Input, resync: bool, clock: Clock) -> Iterator[Event]:
    del resync
    converted = Converter()
    time = 0.0
    number = 0
    while line := data.line(TRACE_LINE_BYTES_MAX):
        number += 1
        try:
            text = _text_of(line)
            if number == 1:
                header = Header.from_line(text)
                clock.began, clock.nodes = header.began, header.nodes
                continue
            record = from_line(text)
        except ValueError as error:
            at, following = data.offset - len(line), "the rest of the trace is not read"
            expected = f"a record in line {number}" if number > 1 else "the first line of a trace"
            yield Trouble(time, 0, None, None, at, expected, str(error), line[:EXCERPT_BYTES], next=following)
            return
        time = record.time
        yield converted.event(record)


def _text_of(line: bytes) -> str:
    if not line.endswith(b"\n"):
        longer = len(line) >= TRACE_LINE_BYTES_MAX
        raise ValueError(f"more than {len(line):,} bytes" if longer else "the file ends within the line")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"byte {line[error.start]:02x}, which is no UTF-8, in column {error.start + 1}"
        ) from None


class Converter:
    """Makes events of records, and counts where in its stream each frame begins."""

    def __init__(self) -> None:
        self._offsets: dict[int, dict[str | None, int]] = {}

    def event(self, record: Record) -> Event:
        """The event that the record tells of."""
        match record:
            case Sent(time, connection, source, target, frame, fate, detail):
                offset = self._advance(connection, source, frame.size)
                return Seen(time, connection, source, target, frame, offset, fate=fate, detail=detail)
            case Raw(time, connection, source, target, data, problem):
                offset = self._advance(connection, source, len(data))
                excerpt = data[:EXCERPT_BYTES]
                return Trouble(
                    time, connection, source, target, offset, "a frame", problem, excerpt, 0, len(excerpt)
                )
            case Opened(_, connection, _, _, _):
                self._offsets[connection] = {}
                return record
            case _:
                return record

    def _advance(self, connection: int, source: str | None, size: int) -> int:
        ends = self._offsets.setdefault(connection, {})
        if len(self._offsets) > CONNECTIONS_MAX:
            del self._offsets[next(iter(self._offsets))]
        offset = ends.get(source, 0)
        ends[source] = offset + size
        return offset
