"""One real server; the test plays all the others.

    n1 = member(1, 1, 2)                              # formed, with a log of these terms
    n1.hears(N2, append(2, prev=(3, 2)))              # one message in ...
    assert n1.says(N2) == [success(2, match=3)]       # ... all that it has said to n2 since it was last asked

Every write is durable at once, unless the disk is `slow`: then `fsync` says when. Time stands still until
`tick`, `wait` or `later` moves it.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from casty.raft.events import (
    Committed,
    Connected,
    Disconnected,
    Discovered,
    Persisted,
    Proposed,
    Received,
    Restored,
    Role,
    SnapshotTaken,
    Ticked,
)
from casty.raft.messages import AppendEntriesRequest, Refusal
from casty.raft.node import Raft
from casty.raft.types import Index, Millis, Recovered, base_after
from tests.raft.shorthand import N1

if TYPE_CHECKING:
    from collections.abc import Iterable

    from casty.raft.events import Event, LostData, Notice, Outgoing, Passed, Ready
    from casty.raft.messages import Message
    from casty.raft.options import Options
    from casty.raft.types import ServerId, Snapshot, Write


class Server:
    """A server, its disk and its clock, and what it said, applied and reported so far."""

    def __init__(self, recovered: Recovered, *, me: ServerId = N1, options: Options, seed: int = 1) -> None:
        self.raft = Raft(me, options, recovered, Random(seed), Millis(0))
        self.options = options
        self.now = 0
        self.slow = False
        self.kept = recovered
        """What the disk holds durably."""
        self.writes: list[Write] = []
        """What is on its way to the disk."""
        self.outbox: list[Outgoing] = []
        self.applied: list[Committed | Restored] = []
        self.refused: list[object] = []
        self.overloaded: list[object] = []
        self.lost: list[object] = []
        self.passed: list[Passed] = []
        self.notices: list[Notice] = []
        self.lost_data: list[LostData] = []
        self._settle()

    # ------------------------------------------------------------------------------------------ events in

    def hears(self, sender: ServerId, *messages: Message, via: object = None) -> None:
        for message in messages:
            self.step(Received(sender, message, via))

    def proposes(self, *data: bytes) -> None:
        """The application proposes these; each is its own ticket."""
        for item in data:
            self.step(Proposed(item, item))

    def connects(self, *peers: ServerId, boot: bytes = b"boot 1") -> None:
        for peer in peers:
            self.step(Connected(peer, boot))

    def disconnects(self, peer: ServerId) -> None:
        self.step(Disconnected(peer))

    def discovers(self, *servers: ServerId, formed: Iterable[ServerId] = ()) -> None:
        """These, and no others, have said hello; some of them in a cluster that has formed."""
        self.step(Discovered(frozenset(servers), frozenset(formed)))

    def compacts(self, snapshot: Snapshot) -> None:
        self.step(SnapshotTaken(snapshot))

    def tick(self) -> None:
        """Time passes until the server wants to be woken."""
        assert self.raft.deadline is not None, "nothing is to happen by time alone"
        self.now = max(self.now, self.raft.deadline)
        self.step(Ticked())

    def later(self, ms: int) -> None:
        """Time passes, and the server has not noticed yet."""
        self.now += ms

    def wait(self, ms: int) -> None:
        """Time passes; the server is woken whenever it wants to be."""
        end = self.now + ms
        while self.raft.deadline is not None and self.raft.deadline <= end:
            self.tick()
        self.now = end

    def fsync(self, count: int | None = None) -> None:
        """The oldest writes, or all, become durable."""
        done = self.writes[:count]
        if done:
            del self.writes[: len(done)]
            for write in done:
                self.kept = _written(self.kept, write)
            self.step(Persisted(done[-1].token))

    def step(self, event: Event) -> None:
        self.raft.step(event, Millis(self.now))
        self._settle()

    def restarted(self) -> Server:
        """What a crash leaves: another run of the server, with what was durable and nothing else."""
        return Server(self.kept, me=self.raft.me, options=self.options, seed=2)

    # ---------------------------------------------------------------------------------------- effects out

    def _settle(self) -> None:
        while ready := self.raft.ready():
            self._perform(ready)
        if not self.slow:
            self.fsync()

    def _perform(self, ready: Ready) -> None:
        if ready.write is not None:
            self.writes.append(ready.write)
        self.outbox += ready.messages
        self.applied += ready.apply
        self.refused += ready.refused
        self.overloaded += ready.overloaded
        self.lost += ready.lost
        self.passed += ready.passed
        self.notices += ready.notices
        self.lost_data += ready.lost_data

    # --------------------------------------------------------------------------------------- what to look at

    def says(self, peer: ServerId) -> list[Message]:
        """All that it said to `peer` since it was last asked, ERRORs aside."""
        said = [m.message for m in self.outbox if m.to == peer and not isinstance(m.message, Refusal)]
        self.outbox = [m for m in self.outbox if m.to != peer or isinstance(m.message, Refusal)]
        return said

    def objects(self) -> list[tuple[str, str]]:
        """Code and rule of each ERROR it sent since it was last asked."""
        said = [m.message for m in self.outbox if isinstance(m.message, Refusal)]
        self.outbox = [m for m in self.outbox if not isinstance(m.message, Refusal)]
        return [(error.code, error.rule) for error in said]

    def appends(self, peer: ServerId) -> list[AppendEntriesRequest]:
        """The AppendEntries among what it says to `peer`."""
        return [message for message in self.says(peer) if isinstance(message, AppendEntriesRequest)]

    def forget(self) -> None:
        """What was said so far is of no interest."""
        self.outbox.clear()

    @property
    def role(self) -> Role:
        return self.raft.role

    @property
    def term(self) -> int:
        return self.raft.status().term

    @property
    def standing(self) -> str:
        return self.raft.status().standing

    @property
    def commit(self) -> int:
        return self.raft.commit_index

    @property
    def terms(self) -> tuple[int, ...]:
        """The terms of the entries in its log, after the snapshot."""
        log = self.raft.log
        return tuple(entry.term for entry in log.between(Index(log.base_index + 1), log.last_index))

    @property
    def applied_data(self) -> list[bytes]:
        """The data of the entries handed to the state machine."""
        done = [item for item in self.applied if isinstance(item, Committed)]
        return [entry.data for item in done for entry in item.entries]

    def warned(self, *words: str) -> bool:
        """Whether one log line above info holds all these words."""
        lines = [notice.text for notice in self.notices if notice.level != "info"]
        return any(all(word in line for word in words) for line in lines)


def _written(kept: Recovered, write: Write) -> Recovered:
    """The disk's contents after one more write, as `Write` describes it."""
    entries, snapshot = list(kept.entries), kept.snapshot
    base = kept.base
    if write.snapshot is not None:
        snapshot, before = write.snapshot, base.index
        base = write.base or base_after(snapshot)
        entries = entries[base.index - before :]
    if write.first_index is not None:
        entries[write.first_index - base.index - 1 :] = write.entries
    return Recovered(kept.store_id, write.hard_state or kept.hard_state, snapshot, tuple(entries), base)
