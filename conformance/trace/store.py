"""A trace: its records in memory, and a file that is whole to the last line whenever its writer is killed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self, overload

from conformance.trace.json_lines import from_line, to_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from conformance.trace.record import Record

VERSION: Final = 1
LINE_CHARS_MAX: Final = 1 << 28
"""The longest line that is read: another file must not fill the memory. A frame of 16 MiB is 2^25."""


class TraceError(Exception):
    """A file that is no trace, or not all of it: `line` says where, `reason` what.

    `is_torn` tells the usual end of a file whose writer was killed within a line: all before it has been read.
    """

    def __init__(self, path: str | Path, line: int, reason: str, *, is_torn: bool = False) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.line = line
        self.reason = reason
        self.is_torn = is_torn


@dataclass(frozen=True, slots=True)
class Header:
    """What a trace says of itself: when it began (with a time zone), and the nodes known then, in order."""

    began: datetime
    nodes: tuple[str, ...] = ()

    def to_line(self) -> str:
        return json.dumps({"casty-trace": VERSION, "began": self.began.isoformat(), "nodes": list(self.nodes)})

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Raises `ValueError` with the reason where the line is no header."""
        try:
            fields: Any = json.loads(line)
            version = fields["casty-trace"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ValueError(f'{line[:60]!r}; expected {{"casty-trace": {VERSION}, …}}') from None
        if version != VERSION:
            raise ValueError(f"a trace of version {version!r}; this reader knows {VERSION}")
        began = fields.get("began")
        nodes: Any = fields.get("nodes", [])
        names = tuple(name for name in nodes if isinstance(name, str)) if hasattr(nodes, "__iter__") else ()
        if list(names) != nodes:
            raise ValueError(f"'nodes' is {nodes!r:.60}; expected a list of node ids")
        try:
            time = datetime.fromisoformat(began)
        except (ValueError, TypeError):
            raise ValueError(f"'began' is {began!r:.60}; expected a time in ISO format") from None
        return cls(time if time.tzinfo else time.replace(tzinfo=UTC), names)


class Trace:
    """Records in the order of their arrival; iterable, and indexed from 0.

    With a `path`, each record is a line of that file before `append` returns. With `keep=False` records are
    written and told to those who watch, but not kept: then the trace takes no memory however long it runs.
    """

    def __init__(self, path: str | Path | None = None, *, nodes: Sequence[str] = (), keep: bool = True) -> None:
        self.header = Header(datetime.now(UTC), tuple(nodes))
        self._zero = monotonic()
        self._keep = keep
        self._records: list[Record] = []
        self._watchers: list[Callable[[Record], None]] = []
        self._connections = 0
        self._file: BinaryIO | None = None
        if path is not None:
            self._file = Path(path).open("wb")  # noqa: SIM115 - closed by `close`
            self._write(self.header.to_line())

    def now(self) -> float:
        """Seconds since the trace began, on a clock that nobody sets."""
        return monotonic() - self._zero

    def next_connection(self) -> int:
        """A number for a connection that no other has: 1, 2, 3 …"""
        self._connections += 1
        return self._connections

    def append(self, record: Record) -> None:
        """Adds a record, and tells those who watch. Records come in the order in which things were seen."""
        if self._keep:
            self._records.append(record)
        if self._file is not None:
            self._write(to_line(record))
        for watcher in tuple(self._watchers):
            watcher(record)

    def watch(self, watcher: Callable[[Record], None]) -> Callable[[], None]:
        """Calls `watcher` with every record from now on, until the returned function is called."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    async def wait(self, wanted: Callable[[Record], bool], *, seconds: float, start: int = 0) -> Record:
        """The first record that is `wanted`, of those from index `start` on or of those to come.

        Raises `TimeoutError` when there is none within the bound.
        """
        for record in islice(self._records, start, None):
            if wanted(record):
                return record
        found: asyncio.Future[Record] = asyncio.get_running_loop().create_future()

        def look(record: Record) -> None:
            if not found.done() and wanted(record):
                found.set_result(record)

        forget = self.watch(look)
        try:
            async with asyncio.timeout(seconds):
                return await found
        except TimeoutError:
            last = self._records[-1] if self._records else None
            raise TimeoutError(f"no such record within {seconds} s; the last was {last!r:.200}") from None
        finally:
            forget()

    def close(self) -> None:
        """Closes the file. What was recorded can still be read; more can be recorded, but in memory only."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, line: str) -> None:
        assert self._file is not None
        # What no UTF-8 can hold, a lone surrogate, becomes the escape that JSON has for it.
        self._file.write(line.encode(errors="backslashreplace") + b"\n")
        self._file.flush()

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self._records[index]


def read_header(path: str | Path) -> Header:
    """The header of a trace's file. Raises `TraceError` where it is none."""
    with Path(path).open("rb") as file:
        return _header(path, _lines(path, file))


def read_trace(path: str | Path) -> Iterator[Record]:
    """The records of a file, one after the other, in the memory of one.

    Raises `TraceError` at the first line that is no record, when all before it have been given.
    """
    with Path(path).open("rb") as file:
        lines = _lines(path, file)
        _header(path, lines)
        for number, line in lines:
            try:
                yield from_line(line)
            except ValueError as error:
                raise TraceError(path, number, str(error)) from None


def _header(path: str | Path, lines: Iterator[tuple[int, str]]) -> Header:
    number, line = next(lines, (1, ""))
    try:
        return Header.from_line(line)
    except ValueError as error:
        raise TraceError(path, number, str(error)) from None


def _lines(path: str | Path, file: Any) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(_raw_lines(file), start=1):
        if len(line) >= LINE_CHARS_MAX:
            raise TraceError(path, number, f"longer than {LINE_CHARS_MAX:,} bytes")
        if not line.endswith(b"\n"):
            raise TraceError(path, number, f"the file ends within a line, {line[-40:]!r}", is_torn=True)
        try:
            yield number, line.decode()
        except UnicodeDecodeError as error:
            raise TraceError(path, number, f"not UTF-8 at byte {error.start}") from None


def _raw_lines(file: Any) -> Iterable[bytes]:
    return iter(lambda: file.readline(LINE_CHARS_MAX), b"")
