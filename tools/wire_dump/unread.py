"""Counts what of an input was not read, by reason, so that nothing is left out without a word."""

from __future__ import annotations

from collections import Counter
from typing import Final

REASONS_MAX: Final = 64
"""A damaged input may have any number of reasons; those after so many are counted together."""
SHOWN_MAX: Final = 12
OTHERS: Final = "packets or blocks for other reasons"


class Unread:
    """What was not read. A reason begins with the plural of what is counted: `packets of …`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.packets: int | None = None
        """Packets in the input, read or not; None where the input is not made of packets."""

    def add(self, reason: str, count: int = 1) -> None:
        """Counts something that was not read."""
        if reason not in self.counts and len(self.counts) >= REASONS_MAX:
            reason = OTHERS
        self.counts[reason] += count

    def text(self) -> str:
        """All of it in one line, the most frequent first; empty if everything was read."""
        ranked = self.counts.most_common()
        parts = [_counted(reason, count) for reason, count in ranked[:SHOWN_MAX]]
        if more := sum(count for _, count in ranked[SHOWN_MAX:]):
            parts.append(f"{more:,} more for {len(ranked) - SHOWN_MAX} other reasons")
        return ", ".join(parts)


def _counted(reason: str, count: int) -> str:
    return f"{count:,} {reason if count != 1 else reason.replace('s ', ' ', 1)}"
