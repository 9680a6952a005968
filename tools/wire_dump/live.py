"""`wire-dump live`: stands between nodes, alters nothing, and shows every frame as it passes.

The relay is the conformance suite's, without a fault in it. Frames wait a moment to be shown, never to be
passed on.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from casty_console import complain
from conformance.proxy.relay import Relay, split_address
from conformance.trace.pcap import Pcap, Pcapng, PcapWriter
from conformance.trace.record import Marked
from conformance.trace.store import Trace
from wire_dump.arguments import EXIT_UNAVAILABLE
from wire_dump.checking import LIVE_MARK
from wire_dump.events import Seen, records
from wire_dump.filters import parse
from wire_dump.mistakes import UsageError
from wire_dump.naming import Names, Naming
from wire_dump.output import writer
from wire_dump.redaction import parse_marks, redacted
from wire_dump.selection import filtered
from wire_dump.show import style_of
from wire_dump.traces import Clock, Converter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from conformance.trace.record import Record
    from wire_dump.events import Event
    from wire_dump.filters import Filter
    from wire_dump.output import Writer

WAIT_SECONDS: Final = 0.25
"""So long a frame is held back for the hello that says where it went."""


def live(parsed: argparse.Namespace) -> int:
    """Relays until it is interrupted, or `-c` frames have been shown."""
    routes = [_route(text) for text in parsed.relays]
    with ExitStack() as stack:
        tap = Tap(parsed, stack)
        try:
            return asyncio.run(_relay(routes, tap))
        except OSError as error:
            complain(f"wire-dump: cannot listen: {error}")
            return EXIT_UNAVAILABLE
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None


def _route(text: str) -> tuple[str, str]:
    """Reads `[host:]port=host:port`."""
    listen, _, target = text.partition("=")
    if listen.isdigit():
        listen = f"127.0.0.1:{listen}"
    try:
        split_address(listen)
        split_address(target)
    except ValueError as error:
        raise UsageError(f"{text!r}: expected LISTEN=TARGET, [host:]port=host:port; {error}") from None
    return listen, target


async def _relay(routes: Sequence[tuple[str, str]], tap: Tap) -> int:
    loop = asyncio.get_running_loop()
    tap.done = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, tap.done.set)
    relays = [Relay(tap, target, target) for _, target in routes]
    try:
        for (listen, target), relay in zip(routes, relays, strict=True):
            address = await relay.start(listen)
            complain(f"wire-dump: {address} → {target}")
        ticking = asyncio.create_task(tap.tick())
        await tap.done.wait()
        ticking.cancel()
    finally:
        for relay in relays:
            await relay.close()
        tap.flush()
    if tap.failure is not None:
        raise tap.failure
    return 0


class Tap:
    """What the relays tell: keeps it and shows it, with names for addresses."""

    def __init__(self, parsed: argparse.Namespace, stack: ExitStack) -> None:
        self.done: asyncio.Event | None = None
        self.failure: BaseException | None = None
        self._zero = monotonic()
        self._connections = 0
        self._frames = 0
        self._count: int | None = parsed.count
        self._converter = Converter()
        self._naming = Naming(Names())
        self._wanted: Filter | None = parse(parsed.filter) if parsed.filter is not None else None
        self._marks = parse_marks(parsed.redact)
        self._trace = Trace(_checked(parsed.trace), keep=False)
        self._trace.append(Marked(0.0, None, LIVE_MARK, "what was before, nobody saw"))
        stack.callback(self._trace.close)
        clock = Clock()
        clock.began = self._trace.header.began
        self._writer: Writer = writer(parsed.output, style_of(parsed), clock)
        self._capture: PcapWriter | None = None
        self._flushes: list[Callable[[], Any]] = [sys.stdout.flush]
        if parsed.save:
            path = _checked(parsed.save)
            file = stack.enter_context(path.open("wb"))
            form = Pcapng(file) if path.suffix == ".pcapng" else Pcap(file)
            self._capture = PcapWriter(form, self._trace.header)
            self._flushes.append(file.flush)

    def now(self) -> float:
        """Seconds since it began."""
        return monotonic() - self._zero

    def next_connection(self) -> int:
        """A number that no other connection has."""
        self._connections += 1
        return self._connections

    def append(self, record: Record) -> None:
        """Takes what a relay saw."""
        self._pass_on(self._naming.push(self._converter.event(record)))

    def flush(self) -> None:
        """Shows and writes what waits."""
        self._pass_on(self._naming.flush())
        try:
            for flush in self._flushes:
                flush()
        except OSError as error:
            self._fail(error)

    async def tick(self) -> None:
        """Shows now and then what waits, and brings it to the files."""
        while True:
            await asyncio.sleep(WAIT_SECONDS)
            self.flush()

    def _pass_on(self, events: Iterable[Event]) -> None:
        """Whoever reads the output may be gone, or the disk full: the nodes' frames must pass all the same."""
        try:
            for event in events:
                self._one(event)
        except (OSError, ValueError) as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
        if self.done is not None:
            self.done.set()

    def _one(self, event: Event) -> None:
        for record in records([event]):
            self._trace.append(record)
            if self._capture is not None:
                self._capture.write(record)
        if isinstance(event, Seen):
            self._frames += 1
            event.number = self._frames
        shown: Iterable[Event] = [event]
        if self._wanted is not None:
            shown = filtered(shown, self._wanted)
        if self._marks:
            shown = redacted(shown, self._marks)
        for each in shown:
            if self._count is not None and self._count <= 0:
                return
            for line in self._writer.lines(each):
                sys.stdout.write(line + "\n")
            if isinstance(each, Seen) and self._count is not None:
                self._count -= 1
                if not self._count and self.done is not None:
                    self.done.set()


def _checked(text: str | None) -> Any:
    """The path, once it is known that it can be written."""
    if text is None:
        return None
    path = Path(text)
    try:
        path.open("wb").close()
    except OSError as error:
        raise UsageError(f"{text}: {error.strerror}") from None
    return path
