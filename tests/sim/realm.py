"""One cluster as an all-knowing observer sees it: its terms, its one log, and what became of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tests.sim.trail import Link, Remembered, Trail, link
from tests.sim.violation import Violation

if TYPE_CHECKING:
    from casty.raft.types import Entry, Members, ServerId


class Settled(NamedTuple):
    """A committed entry: it can never change."""

    entry: Entry
    link: Link
    commit_term: int
    """Of the leader that announced it first."""


@dataclass(slots=True)
class Realm:
    """Everything ever seen of the cluster with this member list.

    There can be several in one run: a node that lost its disk is another server, and may found another cluster.
    Their lists must not share a server, though.
    """

    members: Members
    remembered: dict[ServerId, Remembered]
    """Of all servers of the run, by pair."""
    forgotten: dict[ServerId, Remembered]
    """What those held whose disk an older copy has replaced. They are kept out; what they acknowledged counts
    on, for of the others any majority has one that holds it."""
    entries: dict[tuple[int, int], tuple[Link, Entry]] = field(
        default_factory=dict[tuple[int, int], "tuple[Link, Entry]"]
    )
    """By index and term."""
    settled: list[Settled] = field(default_factory=list[Settled])
    """By index, from 1."""
    leaders: dict[int, tuple[ServerId, int]] = field(default_factory=dict[int, "tuple[ServerId, int]"])
    """By term: the server, and which of its boots."""
    trails: dict[int, Trail] = field(default_factory=dict[int, Trail])
    """By term: the leader's log; as it was when it ceased to lead, if it did."""
    states: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])
    """By index: the number and the digest of the commands up to there."""

    def enter(self, before: Link, index: int, entry: Entry) -> Link:
        """An entry appears in a log, after the one of link `before`.

        Log matching (Figure 3): equal index and term mean equal entries, there and everywhere before.
        """
        there = link(before, entry)
        known = self.entries.setdefault((index, entry.term), (there, entry))
        if known[0] != there:
            raise Violation("log matching", f"two entries {index} of term {entry.term}, or two histories of it")
        return there

    def settle(self, index: int, there: Link, term: int, leader_term: int) -> None:
        """The leader of `leader_term` announces a commit that nobody announced before."""
        assert index == len(self.settled) + 1
        self.settled.append(Settled(self.entries[index, term][1], there, leader_term))

    def require_durable(self, index: int, there: Link) -> None:
        """A majority of the list has the entry on its disks (spec COMMIT-1)."""
        holders = [
            server
            for server in self.members
            for memory in (self.remembered.get(server), self.forgotten.get(server))
            if memory is not None and (memory.trail.link_at(index) == there or memory.trail.base >= index)
        ]
        if len(set(holders)) <= len(self.members) // 2:
            names = ", ".join(str(server) for server in holders)
            text = f"{index} is announced; of {len(self.members)} only these have it durably: {names or 'none'}"
            raise Violation("committed on a majority", text)

    def last_settled_before(self, term: int) -> tuple[int, Link]:
        """The last index that was committed by a leader of an earlier term, with its link."""
        for index in range(len(self.settled), 0, -1):
            if self.settled[index - 1].commit_term < term:
                return index, self.settled[index - 1].link
        return 0, 0

    def leader_link(self, term: int, index: int) -> Link | None:
        """The link at `index` in the log of the leader of `term`; None where it had no such entry."""
        trail = self.trails.get(term)
        if trail is None:
            return None
        if index < trail.base:
            return self.settled[index - 1].link
        return trail.link_at(index)

    def holds(self, trail: Trail) -> bool:
        """Whether this log is one of this cluster's: its first entry that is known here is in it."""
        index = trail.base + 1 if trail.links else trail.base
        there, term = trail.link_at(index), trail.term_at(index)
        return term is not None and self.entries.get((index, term), (None,))[0] == there
