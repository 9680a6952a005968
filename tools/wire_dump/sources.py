"""Opens an input of any kind as events."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from wire_dump.capture import read_pcap
from wire_dump.connections import Connections
from wire_dump.events import Seen, Trouble
from wire_dump.hextext import LINE_BYTES_MAX as HEX_LINE_BYTES_MAX
from wire_dump.hextext import NotHex, read_hex
from wire_dump.input import PEEK_BYTES, Input, Kind, compression_of, kind_of, unpacked
from wire_dump.naming import Names, named
from wire_dump.pcapng import read_pcapng
from wire_dump.stream import Direction, Found
from wire_dump.traces import Clock, from_trace
from wire_dump.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from wire_dump.events import Event
    from wire_dump.stream import Lost


class SourceError(Exception):
    """An input that cannot be opened, or that nothing can be read of."""


@dataclass(slots=True)
class Source:
    """An input: what kind it is of, its events, numbered and named, and when it began, once events have been
    read.
    """

    kind: Kind
    events: Iterator[Event]
    clock: Clock
    data: Input
    unread: Unread
    """What of it was left out; complete once all events have been read."""

    @property
    def began(self) -> datetime | None:
        """The time that the events' times count from; None where the input has none."""
        return self.clock.began


def open_source(
    path: str, *, kind: Kind | None = None, resync: bool = False, names: Mapping[str, str] | None = None
) -> Source:
    """Opens a file, or standard input for `-`. Raises `SourceError`."""
    try:
        if path == "-":
            file: Any = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
        else:
            file = io.FileIO(path)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None
    data = Input(file)
    try:
        return source_of(data, kind=kind, resync=resync, names=names, path=path)
    except SourceError:
        data.close()
        raise


def source_of(
    data: Input,
    *,
    kind: Kind | None = None,
    resync: bool = False,
    names: Mapping[str, str] | None = None,
    path: str = "input",
) -> Source:
    """The events of an input that is open. Raises `SourceError`."""
    try:
        start = data.peek(PEEK_BYTES)
        if (compression := None if kind is Kind.RAW else compression_of(start)) is not None:
            inner = unpacked(data, compression)
            if inner is None or compression_of(start := inner.peek(PEEK_BYTES)) is not None:
                raise SourceError(f"{path} is compressed ({compression}): decompress it into wire-dump -")
            data = inner
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None
    guessed = kind is None
    if kind is None:
        kind = kind_of(start)
    clock, unread = Clock(), Unread()
    if kind in (Kind.PCAP, Kind.PCAPNG):
        events = _from_capture(data, resync, clock, unread, kind)
    else:
        read = _from_guessed if guessed and kind is Kind.RAW else _EVENTS[kind]
        events = read(data, resync, clock)
    events = _with_failure(events, data)
    if kind in (Kind.PCAP, Kind.PCAPNG):
        events = named(events, Names(names))
    elif kind is not Kind.TRACE:
        events = named(_from_sender(events), Names(names))
    return Source(kind, _numbered(events), clock, data, unread)


def _with_failure(events: Iterable[Event], data: Input) -> Iterator[Event]:
    """The events, and what was wrong with what they were read from."""
    time = 0.0
    for event in events:
        time = event.time
        yield event
    if data.failure:
        following = "the rest of the file is not read"
        yield Trouble(time, 0, None, None, data.offset, "compressed data", data.failure, next=following)


def _numbered(events: Iterable[Event]) -> Iterator[Event]:
    number = 0
    for event in events:
        if isinstance(event, Seen):
            number += 1
            event.number = number
        yield event


def _from_capture(data: Input, resync: bool, clock: Clock, unread: Unread, kind: Kind) -> Iterator[Event]:
    connections = Connections(unread, resync=resync)
    packets = read_pcapng(data, unread) if kind is Kind.PCAPNG else read_pcap(data)
    for event in connections.events(packets):
        if clock.began is None and connections.began is not None:
            clock.began = _moment(connections.began)
        yield event


def _moment(nanoseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None


def _from_raw(data: Input, resync: bool, clock: Clock, *, trusted: bool = True) -> Iterator[Event]:
    del clock
    direction = Direction(trusted=trusted, whole=not resync, resync=resync)
    while part := data.some():
        yield from _as_events(direction.feed(part))
    yield from _as_events(direction.finish())


def _from_guessed(data: Input, resync: bool, clock: Clock) -> Iterator[Event]:
    """What is taken for a stream because it is nothing else: its first bytes have to look like one."""
    return _from_raw(data, resync, clock, trusted=False)


def _from_hex(data: Input, resync: bool, clock: Clock) -> Iterator[Event]:
    del clock
    direction = Direction(whole=not resync, resync=resync)
    for item in read_hex(iter(lambda: data.line(HEX_LINE_BYTES_MAX), b"")):
        if isinstance(item, NotHex):
            at = item.column
            got = f"{item.text[at : at + 20]!r} in line {item.line}, column {at + 1}"
            following = "the rest of the text is not read"
            shown, start = _around(item.text, at)
            yield Trouble(
                0.0,
                1,
                None,
                None,
                direction.received,
                item.expected,
                got,
                start=start,
                end=start + 1,
                next=following,
                text=shown,
            )
            return
        yield from _as_events(direction.feed(item))
    yield from _as_events(direction.finish())


def _around(text: str, column: int) -> tuple[str, int]:
    """As much of a line as can be shown, and where the column is in it."""
    start = max(0, column - 60)
    return text[start : start + 100], column - start


def _as_events(items: Iterable[Found | Lost]) -> Iterator[Event]:
    for item in items:
        if isinstance(item, Found):
            yield Seen(0.0, 1, None, None, item.frame, item.offset)
        else:
            yield Trouble(0.0, 1, None, None, *item)


def _from_sender(events: Iterable[Event]) -> Iterator[Event]:
    """One direction has one sender: whoever the frames name."""
    for event in events:
        if isinstance(event, Seen | Trouble):
            event.source = "sender"
        yield event


_EVENTS: Final = {
    Kind.TRACE: from_trace,
    Kind.HEX: _from_hex,
    Kind.RAW: _from_raw,
}
