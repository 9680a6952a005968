"""What an input holds, one thing after another, whatever kind of input it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conformance.trace.record import Closed, Marked, Opened, Raw, Record, Sent
from conformance.wire.message import Message, decode
from conformance.wire.problem import PayloadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from conformance.trace.record import Fate
    from conformance.wire.frame import Frame

EXCERPT_BYTES = 64
"""As much of bytes that are no frames is kept to be shown."""


@dataclass(slots=True)
class Seen:
    """One frame: who sent it to whom, when, and where in the stream of its direction it began."""

    time: float
    connection: int
    source: str | None
    target: str | None
    frame: Frame
    offset: int
    number: int = 0
    fate: Fate = "passed"
    detail: str = ""
    _decoded: Message | PayloadError | None = field(default=None, repr=False, compare=False)
    _size: int | None = field(default=None, repr=False, compare=False)

    @property
    def size(self) -> int:
        """Bytes of the whole frame, as it was sent."""
        return self.frame.size if self._size is None else self._size

    def redact(self, frame: Frame) -> None:
        """Puts a frame that hides something in the place of the one that was sent."""
        self._size = self.size
        self.frame = frame
        self._decoded = None

    @property
    def decoded(self) -> Message | PayloadError:
        """The message, or what is wrong with the payload. Decodes when it is first asked for."""
        if self._decoded is None:
            try:
                self._decoded = decode(self.frame)
            except PayloadError as error:
                self._decoded = error
        return self._decoded


@dataclass(slots=True)
class Trouble:
    """Bytes that are no frames: where they are, what was expected, what is there, and what happens next.

    `data` is an excerpt that begins at `offset`; `start` and `end` are the bytes of it that are wrong.
    """

    time: float
    connection: int
    source: str | None
    target: str | None
    offset: int
    expected: str
    got: str
    data: bytes = b""
    start: int = 0
    end: int = 0
    next: str = ""
    serious: bool = True
    """False for what is only worth knowing, such as a connection that the capture begins in the middle of."""
    text: str = ""
    """In an input of text, the line; `start` and `end` are columns of it then."""


type Event = Seen | Trouble | Opened | Closed | Marked


def records(events: Iterable[Event]) -> Iterator[Record]:
    """The same, as the records of a trace."""
    for event in events:
        match event:
            case Seen():
                yield Sent(
                    event.time,
                    event.connection,
                    event.source,
                    event.target,
                    event.frame,
                    event.fate,
                    event.detail,
                )
            case Trouble():
                problem = f"offset {event.offset}: expected {event.expected}, got {event.got}"
                yield Raw(event.time, event.connection, event.source, event.target, event.data, problem)
            case _:
                yield event
