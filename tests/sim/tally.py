"""What a run went through, for the summary and for the floor that every run has to reach."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from casty.raft.types import Members, ServerId


class Tally:
    """Counts by name, so that a summary of many runs is their sum."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._last_leader: dict[Members, ServerId] = {}

    def add(self, name: str, count: int = 1) -> None:
        self.counts[name] += count

    def fault(self, kind: str) -> None:
        self.counts["faults"] += 1
        self.counts[f"fault: {kind}"] += 1

    def elected(self, members: Members, leader: ServerId) -> None:
        """A change of leader is an election after the cluster's first."""
        self.add("elections")
        if members in self._last_leader:
            self.add("leader changes")
        self._last_leader[members] = leader

    def __getitem__(self, name: str) -> int:
        return self.counts[name]
