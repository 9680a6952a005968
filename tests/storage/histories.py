"""Series of writes for the tests of the stores, and a naive account of what they amount to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from casty.raft.types import (
    ClusterId,
    Configuration,
    Entry,
    EntryKind,
    HardState,
    Index,
    LogBase,
    NodeId,
    PeerRevision,
    Recovered,
    ServerId,
    Snapshot,
    StoreId,
    Term,
    Write,
    base_after,
)

if TYPE_CHECKING:
    from random import Random

ME = NodeId("node-1")
SERVERS = tuple(ServerId(NodeId(f"node-{n}"), StoreId(bytes([n]) * 16)) for n in (1, 2, 3))
CONFIGURATION = Configuration(ClusterId(b"c" * 16), SERVERS)


def command(data: bytes = b"x", term: int = 1) -> Entry:
    return Entry(Term(term), EntryKind.COMMAND, data)


def commands(count: int, size: int = 100, term: int = 1) -> tuple[Entry, ...]:
    return tuple(command(bytes([n % 251 + 1]) * size, term) for n in range(count))


def hard_state(term: int, voted_for: ServerId | None = None) -> Write:
    return Write(0, hard_state=HardState(Term(term), voted_for))


def append(first_index: int, *entries: Entry) -> Write:
    return Write(0, first_index=Index(first_index), entries=entries)


def snapshot(index: int, data: bytes = b"state", term: int = 1) -> Snapshot:
    return Snapshot.of(Index(index), Term(term), CONFIGURATION, data)


def compact(index: int, data: bytes = b"state", term: int = 1, *, base: int | None = None) -> Write:
    """Replaces the log up to `index`, or up to `base`, by a snapshot."""
    kept = None if base is None else LogBase(Index(base), Term(1))
    return Write(0, snapshot=snapshot(index, data, term), base=kept)


@dataclass
class Account:
    """What writes amount to, worked out in the simplest way there is."""

    hard_state: HardState = field(default_factory=HardState)
    snapshot: Snapshot | None = None
    log: dict[int, Entry] = field(default_factory=dict[int, Entry])
    base: LogBase = LogBase()
    peers: tuple[PeerRevision, ...] = ()

    @property
    def covered(self) -> int:
        return self.snapshot.last_included_index if self.snapshot is not None else 0

    @property
    def last_index(self) -> int:
        return max(self.log, default=self.covered)

    def add(self, write: Write) -> None:
        if write.peers is not None:
            self.peers = write.peers
        if write.hard_state is not None:
            self.hard_state = write.hard_state
        if write.snapshot is not None:
            self.snapshot = write.snapshot
            self.base = write.base or base_after(write.snapshot)
            self.log = {index: entry for index, entry in self.log.items() if index > self.base.index}
        if write.first_index is not None:
            first = write.first_index
            self.log = {index: entry for index, entry in self.log.items() if index < first}
            self.log.update(enumerate(write.entries, first))

    def recovered(self, store_id: StoreId) -> Recovered:
        entries = tuple(self.log[index] for index in range(self.base.index + 1, self.last_index + 1))
        kept_from = self.base if self.base.index < self.covered else None
        return Recovered(store_id, self.hard_state, self.snapshot, entries, kept_from, self.peers)


def account(*writes: Write) -> Account:
    total = Account()
    for write in writes:
        total.add(write)
    return total


def next_write(random: Random, so_far: Account) -> Write:
    """Some write that fits after `so_far`: each kind of change, alone and together."""
    return replace(_next_change(random, so_far), peers=_peers(random) if random.random() < 0.2 else None)


def _next_change(random: Random, so_far: Account) -> Write:
    state = _hard_state(random) if random.random() < 0.3 else None
    taken = _snapshot(random, so_far) if random.random() < 0.15 else None
    first = (taken.last_included_index if taken is not None else so_far.covered) + 1
    last = max(so_far.last_index, first - 1)
    base = _base(random, so_far, taken) if taken is not None and random.random() < 0.5 else None
    match random.choice(("none", "append", "append", "append", "rewrite", "truncate")):
        case "append":
            return Write(0, state, taken, Index(last + 1), _entries(random, random.randint(1, 6)), base)
        case "rewrite":
            return Write(0, state, taken, Index(random.randint(first, last + 1)), _entries(random, 2), base)
        case "truncate":
            return Write(0, state, taken, Index(random.randint(first, last + 1)), base=base)
        case _:
            return Write(0, state, taken, base=base)


def _base(random: Random, so_far: Account, taken: Snapshot) -> LogBase | None:
    """Where a log that reaches to the snapshot's end may begin after it."""
    end = taken.last_included_index
    if end > so_far.last_index:
        return None
    index = random.randint(so_far.base.index, end)
    return so_far.base if index == so_far.base.index else LogBase(Index(index), Term(random.randrange(9)))


def _hard_state(random: Random) -> HardState:
    voted_for = random.choice((None, *SERVERS))
    return HardState(Term(random.randrange(2**40)), voted_for, random.choice((None, SERVERS)))


def _peers(random: Random) -> tuple[PeerRevision, ...]:
    chosen = random.sample(SERVERS, random.randint(0, len(SERVERS)))
    return tuple(PeerRevision(server, random.randrange(2**63), random.randbytes(16)) for server in chosen)


def _snapshot(random: Random, so_far: Account) -> Snapshot:
    index = random.randint(so_far.covered + 1, so_far.last_index + 5)
    return snapshot(index, random.randbytes(random.choice((0, 1, 600, 3000))), random.randrange(9))


def _entries(random: Random, count: int) -> tuple[Entry, ...]:
    return tuple(
        Entry(Term(random.randrange(9)), random.choice(list(EntryKind)), _data(random)) for _ in range(count)
    )


def _data(random: Random) -> bytes:
    """Zeros among it, in runs of sectors, for those are what a lost sector looks like."""
    size = random.choice((0, 1, 15, 16, 17, 100, 500, 1500))
    return bytes(size) if random.random() < 0.3 else random.randbytes(size)
