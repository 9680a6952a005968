"""`wire-dump replay`: sends what a node sent in a recording to a node that runs, and compares what comes back.

Each recorded connection becomes a new one, in the order in which they were opened; its frames go out in their
order, a question waiting for its answer before the next frame leaves. What the nodes draw at random (stores,
boots, ids of entries) is not compared, nor is what they say unasked.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from casty_console import complain
from conformance import _protocol as p
from conformance.addresses import next_address_after
from conformance.proxy.relay import split_address
from conformance.wire.describe import said
from conformance.wire.frame import FrameError, FrameReader
from conformance.wire.message import PayloadError, decode
from wire_dump.arguments import EXIT_FOUND, EXIT_UNAVAILABLE
from wire_dump.events import Seen
from wire_dump.mistakes import UsageError
from wire_dump.selection import opened
from wire_dump.text import Lines, Style
from wire_dump.traces import Clock

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from conformance.wire.frame import Frame
    from conformance.wire.message import Message
    from wire_dump.events import Event

FRAMES_MAX: Final = 100_000
"""A recording is held in memory; a longer one is narrowed with --since, --until, -f or -c."""
_DRAWN: Final = frozenset(("store_id", "boot_id", "cluster_id", "address"))
_PIECE: Final = 1 << 16


class ReplayError(UsageError):
    """A recording without what is asked for."""


@dataclass(slots=True)
class Exchange:
    """A frame to send, and the recorded answer to it."""

    number: int
    frame: Frame
    answer: Frame | None = None


@dataclass(slots=True)
class Recording:
    """What one side said on one connection."""

    connection: int
    exchanges: list[Exchange] = field(default_factory=list[Exchange])


def replay(parsed: argparse.Namespace) -> int:
    """Sends the frames. With --diff, 1 where an answer differs or does not come."""
    try:
        split_address(parsed.target)
    except ValueError as error:
        raise ReplayError(f"--to: {error}") from None
    with opened(parsed) as (source, _):
        recordings = recorded(source.events, parsed.sender, parsed.recorded)
    try:
        return asyncio.run(_replay(recordings, parsed))
    except (OSError, TimeoutError) as error:
        complain(f"wire-dump: {parsed.target}: {error}")
        return EXIT_UNAVAILABLE


def recorded(events: Iterable[Event], sender: str, receiver: str | None) -> list[Recording]:
    """The connections on which the sender spoke to the receiver. Raises `ReplayError`."""
    found: dict[int, Recording] = {}
    waiting: dict[tuple[int, int, Any], Exchange] = {}
    receivers: set[str] = set()
    senders: set[str] = set()
    total = 0
    for event in events:
        if not isinstance(event, Seen):
            continue
        senders.add(event.source or "?")
        if event.source == sender and receiver in (None, event.target):
            receivers.add(event.target or "?")
            exchange = Exchange(event.number, event.frame)
            found.setdefault(event.connection, Recording(event.connection)).exchanges.append(exchange)
            total += 1
            if total > FRAMES_MAX:
                raise ReplayError(
                    f"more than {FRAMES_MAX:,} frames; narrow the recording with --since and --until"
                )
            key = _question(event.frame)
            if key is not None:
                waiting[event.connection, *key] = exchange
        elif event.target == sender and event.connection in found:
            key = _answer(event.frame)
            answered = waiting.pop((event.connection, *key), None) if key is not None else None
            if answered is not None:
                answered.answer = event.frame
    if not found:
        raise ReplayError(
            f"nothing was sent by {sender}; there are {', '.join(sorted(senders)) or 'no frames'}"
        )
    if len(receivers) > 1:
        raise ReplayError(f"{sender} spoke to {', '.join(sorted(receivers))}: choose with --recorded NODE")
    return list(found.values())


def _question(frame: Frame) -> tuple[int, Any] | None:
    """The type of the answer, and what it repeats; None for what is not answered."""
    message = _decoded(frame)
    if message is None or frame.type not in p.REPLIES or message.get("pong"):
        return None
    return p.REPLIES[frame.type], message.get("seq", message.get("id"))


def _answer(frame: Frame) -> tuple[int, Any] | None:
    message = _decoded(frame)
    if message is None or (frame.type == p.PING and not message["pong"]):
        return None
    return frame.type, message.get("seq", message.get("id"))


def _decoded(frame: Frame) -> Message | None:
    try:
        return decode(frame)
    except PayloadError:
        return None


async def _replay(recordings: list[Recording], parsed: argparse.Namespace) -> int:
    lines = Lines(Style(), Clock())
    differences = sent = answered = 0
    for recording in recordings:
        peer = await _Peer.dial(parsed.target, parsed.wait)
        for exchange in recording.exchanges:
            sent += 1
            answer = await peer.ask(exchange.frame)
            answered += answer is not None
            if not parsed.diff:
                _show(lines, parsed, exchange, answer)
            for line in _differences(exchange, answer) if parsed.diff else ():
                differences += 1
                print(f"#{exchange.number} {line}")
            if peer.ended:
                print(f"#{exchange.number} the node closed the connection")
                break
        await peer.close()
    print(
        f"{sent:,} frames sent, {answered:,} answers"
        + (f", {differences:,} differences" if parsed.diff else "")
    )
    return EXIT_FOUND if differences else 0


def _show(lines: Lines, parsed: argparse.Namespace, exchange: Exchange, answer: Frame | None) -> None:
    there = parsed.target
    for source, target, frame in ((parsed.sender, there, exchange.frame), (there, parsed.sender, answer)):
        if frame is not None:
            print(*lines.lines(Seen(0.0, 0, source, target, frame, 0, exchange.number)), sep="\n")


def _differences(exchange: Exchange, answer: Frame | None) -> Iterator[str]:
    """What is not as it was recorded."""
    expected = exchange.answer
    if expected is None:
        return  # the recording has no answer either, or one is not due
    if answer is None:
        yield f"{exchange.frame.kind}: recorded {expected.kind}, now no answer"
        return
    before, now = _decoded(expected), _decoded(answer)
    if before is None or now is None:
        if expected != answer:
            yield f"{expected.kind}: recorded {expected.payload.hex()}, now {answer.payload.hex()}"
        return
    for name in dict.fromkeys([*before.fields, *now.fields]):
        was, came = before.get(name), now.get(name)
        if was != came and name not in _DRAWN:
            yield f"{expected.kind}.{name}: recorded {said(was)}, now {said(came)}"


class _Peer:
    """A connection to the node."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        self._reader = reader
        self._writer = writer
        self._seconds = seconds
        self._waiting: dict[tuple[int, Any], asyncio.Future[Frame]] = {}
        self.ended = False
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def dial(cls, address: str, seconds: float) -> _Peer:
        """Connects. Raises `OSError`."""
        host, port = split_address(address)
        async with asyncio.timeout(seconds + 5):
            peer = cls(
                *await asyncio.open_connection(host, port, happy_eyeballs_delay=next_address_after(host)),
                seconds,
            )
        peer._task = asyncio.create_task(peer._read())
        return peer

    async def ask(self, frame: Frame) -> Frame | None:
        """Sends it; the answer, where one is due and comes in time."""
        key = _question(frame)
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        if key is not None:
            self._waiting[key] = answer
        try:
            self._writer.write(frame.encode())
            await self._writer.drain()
        except OSError:
            self.ended = True
            return None
        if key is None or self.ended:
            return None
        try:
            async with asyncio.timeout(self._seconds):
                return await answer
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(key, None)

    async def close(self) -> None:
        """Ends the connection."""
        self._writer.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        frames = FrameReader()
        try:
            while data := await self._reader.read(_PIECE):
                frames.feed(data)
                while (frame := frames.next_frame()) is not None:
                    key = _answer(frame)
                    if key in self._waiting and not self._waiting[key].done():
                        self._waiting[key].set_result(frame)
        except (OSError, FrameError):
            pass
        self.ended = True
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(TimeoutError())
