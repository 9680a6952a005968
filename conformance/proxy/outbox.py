"""What waits to be written to one socket, in order: at once, later, in pieces, or when it is released."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from conformance.proxy.faults import Hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conformance.proxy.faults import Fault, Plan

type End = Literal["fin", "reset"]

JOINED_BYTES: Final = 1 << 18
"""Small writes are joined up to about this size."""


class Sink(Protocol):
    """Where an outbox writes to."""

    @property
    def is_open(self) -> bool: ...
    @property
    def is_congested(self) -> bool: ...
    def open(self) -> None: ...
    def write(self, data: bytes) -> None: ...
    def end(self, how: End) -> None: ...


@dataclass(slots=True)
class _Item:
    data: bytes
    due: float = 0.0
    hold: Fault | None = None
    written: int = 0
    """Bytes of `data` that went in earlier pieces."""
    piece: int = 0
    pause: float = 0.0
    rate: float = 0.0
    end: End | None = None

    @property
    def is_plain(self) -> bool:
        return not self.piece and self.end is None


class Outbox:
    """The queue before a sink. `on_progress` is called when it has become shorter."""

    def __init__(self, sink: Sink, on_progress: Callable[[], None]) -> None:
        self.waiting = 0
        """Bytes in the queue."""
        self.is_ended = False
        """Whether the end was passed on, or there is nobody to pass it to."""
        self._sink = sink
        self._on_progress = on_progress
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Item] = deque()
        self._aside: deque[_Item] = deque()
        """Held items that others may overtake."""
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None

    @property
    def is_empty(self) -> bool:
        return not self._queue and not self._aside

    @property
    def has_only_the_end(self) -> bool:
        return not self._aside and all(item.end for item in self._queue)

    def put(self, data: bytes) -> None:
        """Queues bytes that go as they are. Nothing is written before `pump`."""
        if not self.is_ended and data:
            self._queue.append(_Item(data))
            self.waiting += len(data)

    def put_planned(self, plan: Plan) -> None:
        """Queues bytes that go as planned; none if they are lost."""
        if self.is_ended or plan.is_lost or not plan.data:
            return
        due = self._loop.time() + plan.delay if plan.delay else 0.0
        item = _Item(plan.data, due, plan.hold, 0, plan.piece, plan.pause, plan.rate)
        is_overtaken = plan.hold is not None and plan.hold.action == Hold(overtaken=True)
        (self._aside if is_overtaken else self._queue).append(item)
        self.waiting += len(item.data)

    def put_end(self, how: End, keeper: Fault | None = None) -> None:
        """Queues the end, which follows everything queued; with a keeper, until that is released."""
        if not self.is_ended:
            self._queue.append(_Item(b"", hold=keeper, end=how))
        elif how == "reset" and self._sink.is_open:
            self._sink.end("reset")

    def release(self, fault: Fault) -> int:
        """Lets go what this fault holds, in order, and returns how many frames that were."""
        freed = [item for item in self._queue if item.hold is fault]
        late = [item for item in self._aside if item.hold is fault]
        if late:
            ends = [item for item in self._queue if item.end]
            rest = [item for item in self._queue if not item.end]
            self._queue = deque(rest + late + ends)
            self._aside = deque(item for item in self._aside if item.hold is not fault)
        for item in freed + late:
            item.hold = None
        self.pump()
        return sum(1 for item in freed + late if item.end is None)

    def discard(self) -> None:
        """Throws everything away: there is nobody to write to any more."""
        self._queue.clear()
        self._aside.clear()
        self.waiting = 0
        self.is_ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pump(self) -> None:
        """Writes what may be written now."""
        before = self.waiting
        while (item := self._ready()) is not None:
            if item.end:
                self._queue.popleft()
                self.is_ended = True
                self._sink.end(item.end)
            elif item.piece:
                self._write_piece(item)
            else:
                self._write_joined()
        if self.waiting != before or self.is_ended:
            self._on_progress()

    def _ready(self) -> _Item | None:
        """The first item, if it may go now. What is merely early sets the clock."""
        if not self._queue or self._timer is not None:
            return None
        item = self._queue[0]
        if item.hold is not None or (item.end and self._aside):
            return None
        if item.due > self._loop.time():
            self._timer = self._loop.call_at(item.due, self._wake)
            return None
        if not self._sink.is_open:
            self._sink.open()
            return None
        return item if item.end or not self._sink.is_congested else None

    def _write_piece(self, item: _Item) -> None:
        piece = item.data[item.written : item.written + item.piece]
        item.written += len(piece)
        self._write(piece)
        if item.written == len(item.data):
            self._queue.popleft()
        # The clock runs after the last piece as well, so that a rate holds across frames.
        seconds = item.pause + (len(piece) / item.rate if item.rate else 0.0)
        self._timer = (
            self._loop.call_later(seconds, self._wake) if seconds else self._loop.call_soon(self._wake)
        )

    def _write_joined(self) -> None:
        parts = list(self._take_plain())
        self._write(parts[0] if len(parts) == 1 else b"".join(parts))

    def _take_plain(self) -> Iterator[bytes]:
        now = self._loop.time()
        size = 0
        while self._queue and size < JOINED_BYTES:
            item = self._queue[0]
            if not item.is_plain or item.hold is not None or item.due > now:
                return
            self._queue.popleft()
            size += len(item.data)
            yield item.data

    def _write(self, data: bytes) -> None:
        self.waiting -= len(data)
        self._sink.write(data)

    def _wake(self) -> None:
        self._timer = None
        self.pump()
