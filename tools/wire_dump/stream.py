"""Cuts one direction of a connection into frames, through gaps where that is possible, and says where it is
not.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from conformance._protocol import FRAME_BYTES_MAX
from conformance.wire.frame import Frame, FrameError, FrameReader
from wire_dump.events import EXCERPT_BYTES
from wire_dump.plausible import CHAIN, HEAD_BYTES, Search, frame_size
from wire_dump.reassembly import Gap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wire_dump.reassembly import Piece

STOPPED: Final = (
    "nothing marks where a frame begins: this direction is not read on (--resync looks for a place)"
)
SEARCHING: Final = f"looking for {CHAIN} plausible headers in a row"
SEARCHED_BYTES_MAX: Final = 1 << 20
"""So far into a stream that the capture begins in the middle of, frames are looked for without --resync."""


class Found(NamedTuple):
    """A frame, and where in the stream it begins."""

    offset: int
    frame: Frame


class Lost(NamedTuple):
    """A place where bytes are no frames; the fields are those of `events.Trouble`."""

    offset: int
    expected: str
    got: str
    data: bytes = b""
    start: int = 0
    end: int = 0
    next: str = ""
    serious: bool = True


class Direction:
    """Takes the pieces of one direction. `trusted` says that its first byte is known to begin a frame, `whole`
    that it is the stream's first.

    After a gap it looks for the next frame where it has found one before, and in a stream without its beginning
    for the first; with `resync` it looks everywhere.
    """

    def __init__(
        self, *, trusted: bool = True, whole: bool = True, resync: bool = False, limit: int = FRAME_BYTES_MAX
    ) -> None:
        self._resync = resync
        self._limit = limit
        self._fed = 0
        self._reader: FrameReader | None = FrameReader(limit)
        self._base = 0
        self._search: Search | None = None
        self._skipping = 0
        self._judging = not trusted
        self._whole = whole
        self._may_be_probe = False
        self.dropped = 0
        """Pieces that came when it was not read any more."""
        self._has_found = trusted
        self._excerpt = b""
        self._search_max = inf
        if resync and not whole:
            self._look()

    @property
    def is_searching(self) -> bool:
        """Whether it looks for a place where a frame begins."""
        return self._search is not None

    @property
    def received(self) -> int:
        """Bytes of the stream that have been fed, gaps included."""
        return self._fed

    @property
    def held(self) -> int:
        """Bytes that wait for the rest of a frame."""
        if self._search:
            return self._search.held
        return self._fed - self._base - self._reader.offset if self._reader else 0

    def feed(self, piece: Piece) -> Iterator[Found | Lost]:
        """The frames that are whole now."""
        if isinstance(piece, Gap):
            yield from self._gap(piece.size)
            return
        self._fed += len(piece)
        if self._skipping:
            self._skipping, piece = max(0, self._skipping - len(piece)), piece[self._skipping :]
            self._base = self._fed - len(piece)
            if not piece:
                return
        if self._search:
            yield from self._looked(self._search.feed(piece))
            if self._fed - self._base > self._search_max and self.is_searching:
                yield from self._not_found()
        elif self._reader:
            self._reader.feed(piece)
            yield from self._read(self._reader)
        else:
            self.dropped += 1

    def finish(self) -> Iterator[Found | Lost]:
        """What is left at the end of the stream."""
        if self._search:
            yield from self._looked(self._search.finish())
        if self.is_searching:
            yield from self._not_found()
        if self._reader and (rest := self._reader.rest):
            at = self._base + self._reader.offset
            expected = _whole_frame(rest)
            yield Lost(at, expected, f"{len(rest):,}, then the end", rest[:EXCERPT_BYTES], len(rest), len(rest))
        elif self._skipping:
            yield Lost(self._fed, f"{self._skipping:,} more bytes of a frame", "the end")
        self._reader = self._search = None

    def abandon(self, why: str) -> Iterator[Lost]:
        """Gives up what is held."""
        at = self._fed - self.held
        yield Lost(at, "a frame that can be held", f"{self.held:,} bytes of an unfinished one", next=why)
        self._reader = self._search = None

    def _read(self, reader: FrameReader) -> Iterator[Found | Lost]:
        if self._judging:
            rest = reader.rest
            size = frame_size(rest, 0, self._limit)
            if self._fed == 1:
                self._may_be_probe = not self._whole
            if size is None and self._may_be_probe:
                if len(rest) == 1:
                    return
                if frame_size(rest, 1, self._limit) is not None:
                    yield from self._without_probe(rest)
                    return
            if size is None:
                yield from self._no_frame(rest)
                return
            if size == 0:
                return  # not all of the header is there
            self._judging = False
            self._has_found = True
        while True:
            offset = self._base + reader.offset
            try:
                frame = reader.next_frame()
            except FrameError as error:
                yield from self._over_limit(reader, error)
                return
            if frame is None:
                return
            yield Found(offset, frame)

    def _without_probe(self, rest: bytes) -> Iterator[Found | Lost]:
        """Goes on behind the byte with which TCP asks whether the other side is there (RFC 9293, 3.8.4)."""
        self._may_be_probe = False
        self._base += 1
        self._reader = FrameReader(self._limit)
        self._reader.feed(rest[1:])
        yield from self._read(self._reader)

    def _no_frame(self, rest: bytes) -> Iterator[Found | Lost]:
        if not self._whole and not self._resync:
            self._look(rest, SEARCHED_BYTES_MAX)
            yield from self._looked(self._search.feed(rest[1:]) if self._search else None)
            return
        expected = "the header of a frame"
        if self._whole:
            expected += ", 04 00 if it is a connection's first"
        end = min(len(rest), HEAD_BYTES)
        yield Lost(self._base, expected, _shown(rest[:8]), rest[:EXCERPT_BYTES], 0, end, self._next)
        yield from self._stop(rest)

    def _over_limit(self, reader: FrameReader, error: FrameError) -> Iterator[Found | Lost]:
        rest = reader.rest
        name_end = 3 + int.from_bytes(rest[1:3])
        start, end = (name_end, name_end + 4) if len(rest) >= name_end + 4 else (1, 3)
        if start >= EXCERPT_BYTES:
            start, end = 1, 3
        yield Lost(
            self._base + error.offset,
            f"{error.expected} ({error.code}, {error.rule})",
            error.got,
            rest[:EXCERPT_BYTES],
            start,
            end,
            self._next,
        )
        yield from self._stop(rest)

    def _gap(self, size: int) -> Iterator[Found | Lost]:
        """Bytes are missing.

        What is known of the frame they are in decides whether the next one can be found.
        """
        if self._search:
            yield from self._looked(self._search.finish())
            searched = self._fed - self._base if self.is_searching else 0
            if searched:
                yield Lost(self._base, "frames", f"{searched:,} bytes that are none", serious=False)
        at, self._fed = self._fed, self._fed + size
        if self._skipping:
            over = size - self._skipping
            self._skipping = max(0, -over)
            if over <= 0:
                self._base = self._fed
                return
        elif self._reader:
            rest = self._reader.rest
            whole = frame_size(rest, 0, self._limit) if rest else None
            if whole and len(rest) + size <= whole:
                kind = Frame(rest[0], b"", b"").kind
                yield Lost(
                    at - len(rest),
                    f"all {whole:,} bytes of this {kind}",
                    f"{len(rest):,}, then {size:,} that were not captured",
                    rest[:EXCERPT_BYTES],
                    min(len(rest), EXCERPT_BYTES),
                    min(len(rest), EXCERPT_BYTES),
                    "the frame is skipped; the next one begins where its lengths say",
                )
                self._skipping = whole - len(rest) - size
                self._reader, self._base = FrameReader(self._limit), self._fed
                return
        elif not self._search:
            return
        yield Lost(at, "the bytes that follow", f"{size:,} bytes are not in the capture", next=SEARCHING)
        self._skipping = 0
        self._look(b"", inf if self._has_found or self._resync else SEARCHED_BYTES_MAX)

    @property
    def _next(self) -> str:
        return SEARCHING if self._resync else STOPPED

    def _stop(self, rest: bytes) -> Iterator[Found | Lost]:
        """Reads no frames any more, or looks for the place where it can, after the first byte of `rest`."""
        self._reader = None
        self._skipping = 0
        if self._resync:
            self._look(rest)
            yield from self._looked(self._search.feed(rest[1:]) if self._search else None)

    def _look(self, rest: bytes = b"", most: float = inf) -> None:
        """Looks for frames behind the first byte of `rest`, no further than `most` bytes on."""
        self._reader, self._search = None, Search(self._limit, skipped=len(rest[:1]))
        self._search_max = most
        self._judging = False
        self._base = self._fed - len(rest)
        self._excerpt = rest[:EXCERPT_BYTES]

    def _not_found(self) -> Iterator[Lost]:
        """Gives the search up."""
        size = self._fed - self._base
        if size:
            shown = f"{_shown(self._excerpt[:8])} and " if self._excerpt else ""
            got = f"{shown}no frame in {size:,} byte{'s' * (size != 1)}"
            yield Lost(self._base, "the header of a frame", got, self._excerpt, 0, 0, STOPPED)
        self._search = None

    def _looked(self, found: bytes | None) -> Iterator[Found | Lost]:
        """Goes on from what the search found, if it did."""
        if found is None or self._search is None:
            return
        skipped = self._search.skipped
        self._search, self._reader = None, FrameReader(self._limit)
        at, self._base = self._base, self._fed - len(found)
        if skipped:
            following = f"frames again from offset {self._base:,} on"
            yield Lost(at, "frames", f"{skipped:,} bytes that are none", next=following, serious=False)
        self._reader.feed(found)
        yield from self._read(self._reader)


def _whole_frame(rest: bytes) -> str:
    size = frame_size(rest, 0)
    return f"all {size:,} bytes of this {Frame(rest[0], b'', b'').kind}" if size else "a whole frame"


def _shown(data: bytes) -> str:
    text = data.decode("ascii", "replace")
    return f"{data.hex(' ')} ({text!r})" if text.isprintable() and text.isascii() else data.hex(" ")
