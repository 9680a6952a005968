"""Logs as chains of hashes, so that two of them are compared in one step, whatever their length.

A link stands for an entry and everything before it: equal links at an index mean equal logs up to there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from casty.raft.types import HardState
from tests.sim.violation import Violation

if TYPE_CHECKING:
    from casty.raft.types import Entry

type Link = int


def link(before: Link, entry: Entry) -> Link:
    """The hash of an entry and all before it. It differs between processes, so it is never printed."""
    return hash((before, entry))


class Delta(NamedTuple):
    """What one write changes, in links; the fields have the order and the meaning of `Write`'s."""

    token: int
    hard_state: HardState | None
    snapshot: tuple[int, int, Link] | None
    first_index: int | None
    terms: list[int]
    links: list[Link]
    base: tuple[int, int, Link] | None


@dataclass(slots=True)
class Trail:
    """A log: the last entry that is gone, then one term and one link for each; and where its snapshot ends."""

    base: int = 0
    base_term: int = 0
    base_link: Link = 0
    covered: int = 0
    covered_term: int = 0
    terms: list[int] = field(default_factory=list[int])
    links: list[Link] = field(default_factory=list[Link])

    @property
    def last(self) -> int:
        return self.base + len(self.links)

    @property
    def last_term(self) -> int:
        return self.terms[-1] if self.terms else self.base_term

    def link_at(self, index: int) -> Link | None:
        """None where there is no entry, or no longer."""
        if self.base < index <= self.base + len(self.links):
            return self.links[index - self.base - 1]
        return self.base_link if index == self.base else None

    def term_at(self, index: int) -> int | None:
        if self.base < index <= self.base + len(self.links):
            return self.terms[index - self.base - 1]
        return self.base_term if index == self.base else None

    def change(self, delta: Delta) -> None:
        if delta.snapshot is not None and delta.base is not None:
            self._cover(delta.snapshot[0], delta.snapshot[1])
            self._rebase(*delta.base)
        if delta.first_index is not None:
            at = delta.first_index - self.base - 1
            if not 0 <= at <= len(self.links):
                text = f"entries from {delta.first_index}, where the log is {self.base + 1}..{self.last}"
                raise Violation("log continuity", text)
            self.terms[at:] = delta.terms
            self.links[at:] = delta.links

    def _cover(self, index: int, term: int) -> None:
        if index <= self.covered:
            raise Violation("snapshot monotonic", f"a snapshot of {index} after one of {self.covered}")
        self.covered, self.covered_term = index, term

    def _rebase(self, index: int, term: int, link: Link) -> None:
        if not self.base <= index <= self.covered:
            raise Violation(
                "entries behind a snapshot", f"from {index + 1}, after {self.base}, to {self.covered}"
            )
        if index < self.covered > self.last:
            raise Violation("entries behind a snapshot", f"a log up to {self.last} for one of {self.covered}")
        del self.links[: index - self.base]
        del self.terms[: index - self.base]
        self.base, self.base_term, self.base_link = index, term, link

    def copy(self) -> Trail:
        covered = self.covered, self.covered_term
        return Trail(self.base, self.base_term, self.base_link, *covered, self.terms[:], self.links[:])


@dataclass(slots=True)
class Remembered:
    """What one server's disk holds, durably. It outlives the disk: what was promised on its strength stands."""

    hard_state: HardState = field(default_factory=HardState)
    trail: Trail = field(default_factory=Trail)
    ever: set[Link] = field(default_factory=set[int])
    """Every link that was durable at some moment; a late acknowledgement may rest on a log since replaced."""
    on_the_way: list[Delta] = field(default_factory=list[Delta])
    """Written, but not known to be durable, oldest first."""

    def sync(self, token: int) -> None:
        """Everything up to `token` is durable. Each write was so by itself for a moment, in order."""
        while self.on_the_way and self.on_the_way[0].token <= token:
            delta = self.on_the_way.pop(0)
            if delta.hard_state is not None:
                self.hard_state = delta.hard_state
            self.trail.change(delta)
            self.ever.update(delta.links)
            if delta.snapshot is not None:
                self.ever.add(delta.snapshot[2])
