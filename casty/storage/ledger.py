"""What a series of writes amounts to: the hard state, the snapshot, and the log after it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from casty.raft.types import Boot, HardState, Index, LogBase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casty.raft.types import Entry, PeerRevision, Term

BOOTS_MAX = 32
"""Starts of a process that a store remembers (spec limit boots_max)."""


class Covering(Protocol):
    """A snapshot, or a reference to one."""

    @property
    def last_included_index(self) -> Index: ...
    @property
    def last_included_term(self) -> Term: ...


@dataclass(slots=True)
class Outline[S: Covering]:
    """All that the writes so far amount to, save the entries. It does not grow with the log."""

    hard_state: HardState = field(default_factory=HardState)
    snapshot: S | None = None
    base: LogBase = LogBase()
    """Invariant: not beyond the snapshot's last included entry."""
    last_index: Index = Index(0)
    """Where the log ends. Invariant: not below the snapshot's last included index."""
    peers: tuple[PeerRevision, ...] = ()
    revision: int = 0
    """How many records of changes there have been. It rises with each, at each start too, and never falls."""
    boots: tuple[Boot, ...] = ()
    """The latest starts, newest first."""

    @property
    def first_index(self) -> Index:
        """Where the log begins; one past `last_index` when it is empty."""
        return Index(self.base.index + 1)

    @property
    def kept_from(self) -> LogBase | None:
        """Where the log begins; None where that is behind all that the snapshot holds."""
        return self.base if self.base.index < self.covered_index else None

    @property
    def covered_index(self) -> Index:
        """What the snapshot holds is committed, and stays as it is."""
        return self.snapshot.last_included_index if self.snapshot is not None else Index(0)

    def apply(
        self,
        hard_state: HardState | None,
        snapshot: S | None,
        first_index: Index | None,
        entries: Sequence[Entry],
        base: LogBase | None = None,
        peers: Sequence[PeerRevision] | None = None,
        boot_id: bytes | None = None,
    ) -> None:
        """Adds one write. Raises ValueError, having changed nothing, when it does not fit what is there."""
        if snapshot is not None and base is None:
            base = LogBase(snapshot.last_included_index, snapshot.last_included_term)
        self._check(snapshot, first_index, entries, base)
        if hard_state is not None:
            self.hard_state = hard_state
        if snapshot is not None and base is not None:
            self.snapshot, self.base = snapshot, base
            self.last_index = max(self.last_index, snapshot.last_included_index)
        if first_index is not None:
            self.last_index = Index(first_index + len(entries) - 1)
        if peers is not None:
            self.peers = tuple(peers)
        if boot_id is not None:
            self.boots = (Boot(boot_id, self.revision + 1), *self.boots)[:BOOTS_MAX]

    def copy(self) -> Outline[S]:
        return replace(self)

    def _check(
        self, snapshot: S | None, first_index: Index | None, entries: Sequence[Entry], base: LogBase | None
    ) -> None:
        covered, last = self.covered_index, self.last_index
        if snapshot is not None and base is not None:
            end = snapshot.last_included_index
            if end <= covered:
                raise ValueError(f"snapshot up to {end}; one up to {covered} is there")
            if not self.base.index <= base.index <= end:
                raise ValueError(f"log discarded up to {base.index}; expected {self.base.index} to {end}")
            if base.index < end > last:
                raise ValueError(f"log kept from {base.index + 1}, but it ends at {last}, before the snapshot")
            covered, last = end, max(last, end)
        elif base is not None:
            raise ValueError(f"log discarded up to {base.index} without a snapshot")
        if first_index is None and entries:
            raise ValueError(f"{len(entries)} entries without a first_index")
        if first_index is not None and not covered < first_index <= last + 1:
            raise ValueError(f"entries from {first_index}; the log takes them from {covered + 1} to {last + 1}")


@dataclass(slots=True)
class Ledger[S: Covering]:
    """An outline and its entries, as far as they were seen.

    A reading that begins behind segments that were purged has not seen the entries before it.
    """

    outline: Outline[S]
    entries: list[Entry] = field(default_factory=list["Entry"])
    """Invariant: the last of them is at the outline's `last_index`."""

    @property
    def seen_from(self) -> Index:
        """The index of the first entry that was seen; those of the log before it were not."""
        return Index(self.outline.last_index - len(self.entries) + 1)

    def apply(
        self,
        hard_state: HardState | None,
        snapshot: S | None,
        first_index: Index | None,
        entries: Sequence[Entry],
        base: LogBase | None = None,
        peers: Sequence[PeerRevision] | None = None,
        boot_id: bytes | None = None,
    ) -> None:
        """Adds one write. Raises ValueError, having changed nothing, when it does not fit what is there."""
        seen_from = self.seen_from
        self.outline.apply(hard_state, snapshot, first_index, entries, base, peers, boot_id)
        if snapshot is not None:
            gone = max(self.outline.first_index - seen_from, 0)
            del self.entries[:gone]
            seen_from = Index(seen_from + gone)
        if first_index is not None:
            del self.entries[max(first_index - seen_from, 0) :]
            self.entries += entries
