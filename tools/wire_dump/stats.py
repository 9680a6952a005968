"""`wire-dump stats`: how many frames of what type, how large, and how long answers took."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Any, Final

from casty_console import json_text
from conformance import _protocol as p
from conformance.trace.record import Closed, Opened
from conformance.wire.problem import PayloadError
from wire_dump.events import Seen, Trouble
from wire_dump.selection import opened
from wire_dump.show import status_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from wire_dump.events import Event

OPEN_MAX: Final = 65_536
"""Requests whose answers are waited for; of more, the oldest is taken for unanswered."""
PAIRS_MAX: Final = 1024
_PRECISION: Final = log(1.02)
"""Buckets of latencies grow by 2 %, and so exact are the percentiles."""
_TIME_MIN: Final = 1e-6


def stats(parsed: argparse.Namespace) -> int:
    """Writes the tables."""
    with opened(parsed) as (source, watch):
        totals = Totals()
        for event in source.events:
            totals.add(event)
        if parsed.output == "json":
            print(json_text(totals.as_object()))
        else:
            print(*totals.lines(), sep="\n")
        return status_of(parsed, watch)


@dataclass(slots=True)
class Sizes:
    """Frames of one kind."""

    count: int = 0
    bytes: int = 0
    least: int = 0
    most: int = 0

    def add(self, size: int) -> None:
        """Counts one."""
        self.least = size if not self.count else min(self.least, size)
        self.count, self.bytes, self.most = self.count + 1, self.bytes + size, max(self.most, size)


@dataclass(slots=True)
class Latencies:
    """Times from requests to their answers, in buckets."""

    count: int = 0
    most: float = 0.0
    buckets: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, seconds: float) -> None:
        """Counts one."""
        bucket = round(log(max(seconds, _TIME_MIN) / _TIME_MIN) / _PRECISION)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.count, self.most = self.count + 1, max(self.most, seconds)

    def percentile(self, share: float) -> float:
        """The time that this share of the answers took at most, within 2 %."""
        left = share * self.count
        for bucket in sorted(self.buckets):
            left -= self.buckets[bucket]
            if left <= 0:
                return min(self.most, _TIME_MIN * 1.02**bucket)
        return self.most


class Totals:
    """Counts events, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self.types: dict[str, Sizes] = {}
        self.pairs: dict[tuple[str, str], Sizes] = {}
        self.latencies: dict[str, Latencies] = {}
        self.connections = self.resets = self.troubles = self.malformed = self.unanswered = 0
        self.first: float | None = None
        self.last = 0.0
        self._open: OrderedDict[tuple[object, ...], float] = OrderedDict()

    def add(self, event: Event) -> None:
        """Counts one."""
        self.first = event.time if self.first is None else self.first
        self.last = max(self.last, event.time)
        match event:
            case Seen():
                self._frame(event)
            case Opened():
                self.connections += 1
            case Closed(_, _, _, how):
                self.resets += how == "reset"
            case Trouble():
                self.troubles += event.serious
            case _:
                pass

    def _frame(self, event: Seen) -> None:
        self.types.setdefault(event.frame.kind, Sizes()).add(event.size)
        pair = (event.source or "?", event.target or "?")
        if pair in self.pairs or len(self.pairs) < PAIRS_MAX:
            self.pairs.setdefault(pair, Sizes()).add(event.size)
        if isinstance(message := event.decoded, PayloadError):
            self.malformed += 1
            return
        key = message.get("seq", message.get("id"))
        if key is None:
            return
        kind = event.frame.type
        if kind in p.REPLIES and not message.get("pong"):
            self._open[event.connection, event.source, p.REPLIES[kind], key] = event.time
            if len(self._open) > OPEN_MAX:
                self._open.popitem(last=False)
                self.unanswered += 1
            return
        asked = self._open.pop((event.connection, event.target, kind, key), None)
        if asked is not None:
            question = next(p.TYPE_NAMES[type] for type, reply in p.REPLIES.items() if reply == kind)
            name = "PING" if question == "PING" else f"{question} → {event.frame.kind}"
            self.latencies.setdefault(name, Latencies()).add(event.time - asked)

    @property
    def seconds(self) -> float:
        """From the first event to the last."""
        return self.last - (self.first or 0.0)

    def lines(self) -> Iterator[str]:
        """The tables for people."""
        frames = sum(sizes.count for sizes in self.types.values())
        size = sum(sizes.bytes for sizes in self.types.values())
        yield f"{frames:,} frames, {size:,} bytes, {self.connections:,} connections in {self.seconds:,.3f} s"
        yield ""
        yield f"{'type':<22}{'frames':>11}{'bytes':>15}{'least':>9}{'mean':>9}{'most':>12}"
        for name, sizes in sorted(self.types.items(), key=lambda item: (-item[1].count, item[0])):
            mean = sizes.bytes / sizes.count
            yield (
                f"{name:<22}{sizes.count:>11,}{sizes.bytes:>15,}{sizes.least:>9,}{mean:>9,.0f}{sizes.most:>12,}"
            )
        if self.latencies:
            yield ""
            yield f"{'answer, milliseconds':<46}{'answers':>9}{'p50':>9}{'p99':>9}{'most':>10}"
            for name, times in sorted(self.latencies.items(), key=lambda item: -item[1].count):
                half, most = times.percentile(0.5) * 1000, times.percentile(0.99) * 1000
                yield f"{name:<46}{times.count:>9,}{half:>9.2f}{most:>9.2f}{times.most * 1000:>10.2f}"
        yield ""
        yield f"{'from → to':<32}{'frames':>11}{'bytes':>15}"
        for (source, target), sizes in sorted(self.pairs.items()):
            yield f"{f'{source} → {target}':<32}{sizes.count:>11,}{sizes.bytes:>15,}"
        unanswered = self.unanswered + len(self._open)
        yield ""
        yield (
            f"unanswered {unanswered:,}, malformed {self.malformed:,}, resets {self.resets:,}, "
            f"places where bytes are no frames {self.troubles:,}"
        )

    def as_object(self) -> dict[str, Any]:
        """The same as JSON, with times in seconds."""
        return {
            "seconds": round(self.seconds, 6),
            "connections": self.connections,
            "resets": self.resets,
            "malformed": self.malformed,
            "troubles": self.troubles,
            "unanswered": self.unanswered + len(self._open),
            "types": {
                name: {"frames": s.count, "bytes": s.bytes, "least": s.least, "most": s.most}
                for name, s in sorted(self.types.items())
            },
            "latencies": {
                name: {
                    "count": t.count,
                    "p50": round(t.percentile(0.5), 6),
                    "p99": round(t.percentile(0.99), 6),
                    "most": round(t.most, 6),
                }
                for name, t in sorted(self.latencies.items())
            },
            "pairs": [
                {"src": source, "dst": target, "frames": s.count, "bytes": s.bytes}
                for (source, target), s in sorted(self.pairs.items())
            ],
        }
