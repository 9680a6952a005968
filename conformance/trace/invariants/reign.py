"""What one server said about its log as the leader of one term. Its log only grows then, so all of it holds
at once."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from conformance.trace.invariants.memory import trim

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from conformance.wire.message import Entry, Server

    type Key = tuple[Server, int]


class Run(NamedTuple):
    """Neighbouring entries of one term, and the records that say so of the first and of the last."""

    low: int
    high: int
    term: int
    low_record: int
    high_record: int

    def record_of(self, index: int) -> int:
        """The record to show for an index within the run."""
        return self.low_record if index == self.low else self.high_record


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a log as elections compare them: the term counts first (VOTE-3)."""

    term: int
    index: int

    def __str__(self) -> str:
        return f"({self.index}, term {self.term})"


class Terms:
    """The terms of a log's entries, as far as they were told.

    Terms never fall along a log, so between two entries of one term all are of that term, and a run of
    neighbours is all that has to be remembered."""

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def tell(self, new: Run) -> tuple[int, Run] | None:
        """Adds what was said; an index and the run that contradict it, if any do, and then nothing is added."""
        runs = self._runs
        at = bisect_right(runs, new.term, key=lambda run: run.term)
        same = runs[at - 1] if at and runs[at - 1].term == new.term else None
        before = at - 1 - (same is not None)
        if before >= 0 and runs[before].high >= new.low:
            return new.low, runs[before]
        if at < len(runs) and runs[at].low <= new.high:
            return new.high, runs[at]
        if same is None:
            runs.insert(at, new)
            return None
        low, low_record = min((same.low, same.low_record), (new.low, new.low_record))
        high, high_record = (
            (new.high, new.high_record) if new.high > same.high else (same.high, same.high_record)
        )
        runs[at - 1] = Run(low, high, new.term, low_record, high_record)
        return None

    def run_at(self, index: int) -> Run | None:
        """The run that holds this index; None where nobody said."""
        run = self.run_before(index)
        return run if run is not None and run.high >= index else None

    def run_before(self, index: int) -> Run | None:
        """The last run that begins at or before an index."""
        at = bisect_right(self._runs, index, key=lambda run: run.low)
        return self._runs[at - 1] if at else None


def runs_of(prev: tuple[int, int], entries: Iterable[Entry], record: int) -> list[Run]:
    """What an AppendEntries says of terms, the entry before the new ones included."""
    index, term = prev
    runs = [Run(index, index, term, record, record)] if index else []
    for entry in entries:
        index += 1
        if runs and runs[-1].term == entry.term:
            runs[-1] = runs[-1]._replace(high=index)
        else:
            runs.append(Run(index, index, entry.term, record, record))
    return runs


@dataclass(slots=True, eq=False)
class Reign:
    """One server in one term: its candidacy, and its leadership if it came to that."""

    key: Key
    term: int
    members: tuple[Server, ...] | None = None
    """Whose votes it asked for, and who counts: None where its VOTE_REQUEST was not seen"""
    formation: bool = False
    last: Position | None = None
    """The end of its log when it asked for votes"""
    asked_record: int = -1
    grants: dict[Server, int] = field(default_factory=dict["Server", int])
    """Who granted, with the record"""
    led_record: int | None = None
    """Where it first spoke as a leader"""
    terms: Terms = field(default_factory=Terms)
    is_unreliable: bool = False
    """It contradicted itself: nothing follows from its log any more"""
    commit: int = 0
    """The highest commit index it announced"""
    commit_record: int = -1
    sent: dict[str, int] = field(default_factory=dict[str, int])
    """The last index it sent to each node"""
    matches: dict[Server, tuple[int, int]] = field(default_factory=dict["Server", tuple[int, int]])
    """How far each server acknowledged, with the record"""

    @property
    def server(self) -> Server:
        return self.key[0]

    @property
    def name(self) -> str:
        return self.server.node_id

    @property
    def needed(self) -> int:
        """Votes to win with (FORM-3)."""
        assert self.members is not None
        return len(self.members) if self.formation else self.majority

    @property
    def majority(self) -> int:
        assert self.members is not None
        return len(self.members) // 2 + 1

    @property
    def first_own(self) -> int:
        """Its first entry of its own term stands here or later. Where nobody said how its log ended, 1."""
        earlier = [run.high for run in self.terms if run.term < self.term]
        return max([*earlier, self.last.index if self.last is not None else 0]) + 1

    @property
    def replicated(self) -> int:
        """Up to here a majority of the list acknowledged, itself counted once; 0 while its list is not
        known."""
        if self.members is None:
            return 0
        reached = [
            math.inf if member == self.server else self.matches.get(member, (0, 0))[0]
            for member in self.members
        ]
        index = sorted(reached, reverse=True)[self.majority - 1]
        return 0 if index == math.inf else int(index)

    def position(self, index: int) -> Position:
        """At least so far does a log reach that has this leader's entries up to an index."""
        run = self.terms.run_before(index)
        return Position(run.term if run is not None else 0, index)


REIGNS_MAX = 256
"""Reigns remembered. A cluster that lives has one; in the worst of chaos a term lasts longer than its
frames."""


class Reigns:
    """All of them, by server and term, the latest last."""

    def __init__(self) -> None:
        self._all: dict[tuple[Key, int], Reign] = {}
        self.forgot = False
        """Whether some are not remembered any more"""

    def get(self, key: Key, term: int) -> Reign | None:
        return self._all.get((key, term))

    def of(self, key: Key, term: int) -> Reign:
        """The reign, made if it is new."""
        found = self._all.get((key, term))
        if found is None:
            found = self._all[key, term] = Reign(key, term)
            self.forgot |= trim(self._all, REIGNS_MAX)
        return found

    def __iter__(self) -> Iterator[Reign]:
        return iter(self._all.values())
