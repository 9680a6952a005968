"""The entries that are kept: what matches, what conflicts, what can go.

base_index                      last_index
    │                               │
····▪ │ 8 │ 9 │ 10 │ 11 │ 12 │ 13 │ 14
      └────────── entries ──────────┘
················▪ a snapshot may end here, or at the base, and never before it
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING

from casty.raft.types import Index, Term

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casty.raft.types import Entry

_term = attrgetter("term")

ENTRY_OVERHEAD = 48
"""What an entry takes on the wire beside its data, at most."""


def size_of(entry: Entry) -> int:
    """What the entry takes on the wire, at most."""
    return len(entry.data) + ENTRY_OVERHEAD


class Log:
    """A log whose first `base_index` entries are gone: the snapshot holds them. Terms never fall along it."""

    __slots__ = ("_ends", "_entries", "base_index", "base_term")

    def __init__(
        self,
        entries: Sequence[Entry] = (),
        *,
        base_index: Index = Index(0),
        base_term: Term = Term(0),
    ) -> None:
        self.base_index = base_index
        self.base_term = base_term
        self._entries = list(entries)
        self._ends = array("q", accumulate(map(size_of, self._entries), initial=0))
        """The size of all entries so far, before the first of these and after each: what it began with is of no
        account."""

    @property
    def last_index(self) -> Index:
        return Index(self.base_index + len(self._entries))

    @property
    def last_term(self) -> Term:
        return self._entries[-1].term if self._entries else self.base_term

    def term_at(self, index: Index) -> Term | None:
        """The term of the entry at `index`; None where the log has none, or no longer."""
        offset = index - self.base_index
        if 0 < offset <= len(self._entries):
            return self._entries[offset - 1].term
        return self.base_term if offset == 0 else None

    def between(self, first: Index, last: Index) -> tuple[Entry, ...]:
        """The entries `first` to `last`, both included; `first` lies after the snapshot."""
        return tuple(self._entries[first - self.base_index - 1 : last - self.base_index])

    def size_of(self, first: Index, last: Index) -> int:
        """What the entries `first` to `last` take on the wire, at most."""
        return self._ends[last - self.base_index] - self._ends[first - self.base_index - 1]

    def batch(self, first: Index, bytes_max: int) -> tuple[Entry, ...]:
        """Entries from `first` on, as many as fit into `bytes_max` on the wire, but one at least."""
        before = first - self.base_index - 1
        after = bisect_right(self._ends, self._ends[before] + bytes_max, before) - 1
        return tuple(self._entries[before : max(after, before + 1)])

    def begin_of_last(self, bytes_max: int, end: Index) -> Index:
        """The first of the last entries up to `end` that take at most `bytes_max` on the wire together."""
        least = self._ends[end - self.base_index] - bytes_max
        return Index(self.base_index + 1 + bisect_left(self._ends, least, 0, end - self.base_index))

    def entry(self, index: Index) -> Entry:
        return self._entries[index - self.base_index - 1]

    def append(self, entry: Entry) -> Index:
        """Adds one entry and returns its index."""
        self._entries.append(entry)
        self._ends.append(self._ends[-1] + size_of(entry))
        return self.last_index

    def replace_from(self, first: Index, entries: Sequence[Entry]) -> None:
        """From `first` on, the log becomes `entries`."""
        before = first - self.base_index - 1
        self._entries[before:] = entries
        del self._ends[before + 1 :]
        for entry in entries:
            self._ends.append(self._ends[-1] + size_of(entry))

    def first_difference(self, first: Index, entries: Sequence[Entry]) -> int:
        """How many of `entries`, meant to start at `first`, the log already has (spec APPEND-3)."""
        offset = first - self.base_index - 1
        have = self._entries
        for position, entry in enumerate(entries):
            place = offset + position
            if place >= len(have) or have[place].term != entry.term:
                return position
        return len(entries)

    def is_up_to_date(self, last_index: Index, last_term: Term) -> bool:
        """Whether a log that ends so is at least as up to date as this one (paper §5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def first_index_of_term_at(self, index: Index) -> Index:
        """Where the run of entries of the same term as the one at `index` begins, after the snapshot."""
        term = self._entries[index - self.base_index - 1].term
        return Index(self.base_index + 1 + bisect_left(self._entries, term, key=_term))

    def last_index_up_to_term(self, term: Term) -> Index:
        """The last index whose term is not above `term`; the snapshot's where all are."""
        return Index(self.base_index + bisect_right(self._entries, term, key=_term))

    def compact(self, index: Index) -> None:
        """Forgets the entries up to and including `index`, which a snapshot now holds."""
        term = self.term_at(index)
        assert term is not None, f"cannot compact to {index}, outside {self.base_index}..{self.last_index}"
        del self._entries[: index - self.base_index]
        del self._ends[: index - self.base_index]
        self.base_index, self.base_term = index, term

    def restart(self, index: Index, term: Term) -> None:
        """Forgets everything; the log now begins after a snapshot that ends at `index`."""
        self._entries.clear()
        self._ends = array("q", [0])
        self.base_index, self.base_term = index, term
