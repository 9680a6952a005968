"""What is on the disk, what is on its way there, and who must wait for it.

Everything the core changes is first dirty, then part of a numbered write, then durable. A gated message leaves
when all that was dirty or on its way when it was made is durable (spec PERSIST-2).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from casty.raft.types import HardState, Index, LogBase, Millis, Term, Write

if TYPE_CHECKING:
    from casty.raft.events import Outgoing
    from casty.raft.log import Log
    from casty.raft.types import Snapshot


@dataclass(slots=True)
class _Pending:
    """A write that is not known to be durable: what will be, once it is."""

    token: int
    last_index: Index
    hard: HardState
    since: Millis


@dataclass(slots=True)
class Durable:
    index: Index
    """The log up to here is on the disk as it stands in memory."""
    hard: HardState
    """Term, vote and lock on the disk."""
    written_index: Index
    """The last index that is durable or on its way."""
    token: int = 0
    dirty_hard: HardState | None = None
    dirty_snapshot: Snapshot | None = None
    dirty_from: Index | None = None
    """The log from here on has not been handed to the disk."""
    pending: deque[_Pending] = field(default_factory=deque[_Pending])
    gate: deque[tuple[int, Outgoing]] = field(default_factory=deque["tuple[int, Outgoing]"])

    @property
    def term(self) -> Term:
        """The current term on the disk."""
        return self.hard.term

    @property
    def idle(self) -> bool:
        """Whether nothing is dirty and nothing on its way."""
        return not (
            self.pending
            or self.dirty_from is not None
            or self.dirty_hard is not None
            or self.dirty_snapshot is not None
        )

    def hard_state_changed(self, hard: HardState) -> None:
        self.dirty_hard = hard

    def log_changed_from(self, first: Index) -> None:
        """The log from `first` on is new. What was durable of the old one there no longer counts."""
        self.dirty_from = first if self.dirty_from is None else min(self.dirty_from, first)
        before = Index(first - 1)
        self.index = min(self.index, before)
        for write in reversed(self.pending):  # their last indexes never fall
            if write.last_index <= before:
                break
            write.last_index = before

    def snapshot_changed(self, snapshot: Snapshot) -> None:
        """A snapshot replaces a part of the log that stays what it was."""
        self.dirty_snapshot = snapshot

    def log_replaced_by(self, snapshot: Snapshot) -> None:
        """A snapshot replaces the whole log; nothing of it is durable until the snapshot is."""
        self.log_changed_from(Index(1))
        self.dirty_from = Index(snapshot.last_included_index + 1)
        self.dirty_snapshot = snapshot

    def has_stalled(self, now: Millis, millis: int) -> bool:
        """Whether the oldest write has been on its way for so long."""
        return bool(self.pending) and now - self.pending[0].since >= millis

    def take_write(self, log: Log, now: Millis) -> Write | None:
        """Everything dirty, as one write that is on its way from now on."""
        if self.dirty_hard is None and self.dirty_from is None and self.dirty_snapshot is None:
            return None
        self.token += 1
        first = self.dirty_from
        entries = log.between(first, log.last_index) if first is not None else ()
        if first is not None:
            self.written_index = log.last_index
        base = None if self.dirty_snapshot is None else LogBase(log.base_index, log.base_term)
        write = Write(self.token, self.dirty_hard, self.dirty_snapshot, first, entries, base)
        hard = self.dirty_hard if self.dirty_hard is not None else self._hard_under_way()
        self.pending.append(_Pending(self.token, self.written_index, hard, now))
        self.dirty_hard = self.dirty_snapshot = self.dirty_from = None
        return write

    def persisted(self, token: int) -> None:
        """All writes up to `token` are durable."""
        while self.pending and self.pending[0].token <= token:
            write = self.pending.popleft()
            self.index = max(self.index, write.last_index)
            self.hard = write.hard

    def hold(self, messages: list[Outgoing]) -> None:
        """Keeps messages until everything written so far is durable."""
        self.gate.extend((self.token, message) for message in messages)

    def released(self) -> list[Outgoing]:
        """The gated messages whose writes are durable, oldest first."""
        oldest = self.pending[0].token if self.pending else self.token + 1
        out: list[Outgoing] = []
        while self.gate and self.gate[0][0] < oldest:
            out.append(self.gate.popleft()[1])
        return out

    def _hard_under_way(self) -> HardState:
        return self.pending[-1].hard if self.pending else self.hard
