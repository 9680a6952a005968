"""What Raft talks about: terms and indexes, servers, entries, and what must survive a crash."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, NewType
from zlib import crc32

Term = NewType("Term", int)
"""An election's number; at most one leader in each (paper §5.1)."""

Index = NewType("Index", int)
"""A place in the log. The first entry has index 1; 0 means "before the log"."""

Millis = NewType("Millis", int)
"""A moment on the caller's monotonic clock, in whole milliseconds."""

NodeId = NewType("NodeId", str)
"""What a node is called: ASCII ``[A-Za-z0-9._:-]{1,64}``, compared and sorted by bytes."""

StoreId = NewType("StoreId", bytes)
"""128 random bits drawn when a data directory is made, or at each boot where there is none."""

ClusterId = NewType("ClusterId", bytes)
"""128 random bits drawn by the first leader; entry 1 and every snapshot carry them."""


class ServerId(NamedTuple):
    """One server in the sense of the paper: a node together with the disk it remembers with.

    A node that lost its disk is another server, for it has forgotten its votes and its acknowledgements.
    """

    node_id: NodeId
    store_id: StoreId

    def __str__(self) -> str:
        return f"{self.node_id}/{self.store_id.hex()[:8]}"


class Boot(NamedTuple):
    """A start of a process on a data directory."""

    boot_id: bytes
    revision: int
    """Of the directory, when that process had made its start durable (spec HELLO-10)."""


class PeerRevision(NamedTuple):
    """What another server said last of its data directory, so that an older copy of it is told apart."""

    server: ServerId
    revision: int
    """The highest it has announced (spec HELLO-10)."""
    boot_id: bytes
    """Of the process that announced it."""
    refused: tuple[bytes, ...] = ()
    """The latest boots on older copies of it, and so of no directory that may come back."""


type Members = tuple[ServerId, ...]
"""The servers that vote, sorted by node id, all ids distinct. A cluster's list never changes."""


class Configuration(NamedTuple):
    """Who belongs to the cluster: what entry 1 holds and every snapshot repeats."""

    cluster_id: ClusterId
    members: Members


class EntryKind(StrEnum):
    """What an entry is for; only commands are shown to the application."""

    MEMBERS = "members"
    NOOP = "noop"
    COMMAND = "command"


class Entry(NamedTuple):
    """One entry of the log. Its index is its place, so an entry does not repeat it."""

    term: Term
    kind: EntryKind
    data: bytes


@dataclass(frozen=True, slots=True)
class HardState:
    """What must be durable before any message that rests on it leaves (paper, Figure 2: persistent state)."""

    term: Term = Term(0)
    voted_for: ServerId | None = None
    lock: Members | None = None
    """The member list this server has bound itself to by a formation vote; set once and never changed."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state machine after `last_included_index`, and what the discarded log said of the cluster."""

    last_included_index: Index
    last_included_term: Term
    configuration: Configuration
    data: bytes
    checksum: int
    """CRC-32 of `data`. It goes with the snapshot, for computing it anew takes as long as reading all of it."""

    @classmethod
    def of(cls, index: Index, term: Term, configuration: Configuration, data: bytes) -> Snapshot:
        """A snapshot with its checksum, which is computed here: a second for each gigabyte or two."""
        return cls(index, term, configuration, data, crc32(data))


@dataclass(frozen=True, slots=True)
class LogBase:
    """The last entry that the log no longer holds, for it was discarded; index 0 where none was."""

    index: Index = Index(0)
    term: Term = Term(0)


@dataclass(frozen=True, slots=True)
class Write:
    """One step's worth of durable state, to be written in the order of the fields.

    Writes are durable in the order of their tokens; a store may make several durable with one fsync.
    """

    token: int
    """Rises by one with each write; handed back in `Persisted`."""
    hard_state: HardState | None = None
    snapshot: Snapshot | None = None
    """Replaces the log up to and including `base`."""
    first_index: Index | None = None
    """The log from here on becomes `entries`, whatever stood there. None leaves the log as it is."""
    entries: tuple[Entry, ...] = ()
    base: LogBase | None = None
    """Goes with `snapshot`: up to where the log is discarded, at most to the snapshot's end; None: up to
    there."""
    peers: tuple[PeerRevision, ...] | None = None
    """All that is remembered of other servers' directories from here on; None leaves it as it is."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a store held when it was opened; the defaults are those of a new one."""

    store_id: StoreId
    hard_state: HardState = HardState()
    snapshot: Snapshot | None = None
    entries: tuple[Entry, ...] = ()
    """The log from index ``base.index + 1`` on. A part of it may be in the snapshot, too."""
    kept_from: LogBase | None = None
    """Where the log begins, if that is before the snapshot's end."""
    peers: tuple[PeerRevision, ...] = ()
    boots: tuple[Boot, ...] = field(default=(), compare=False)
    """The latest starts of a process on the store, newest first. The first is this one; the store drew its id.
    It is no part of what is compared: the same may be found by another boot."""

    @property
    def base(self) -> LogBase:
        """The last entry before the log."""
        if self.kept_from is not None:
            return self.kept_from
        return base_after(self.snapshot)


def base_after(snapshot: Snapshot | None) -> LogBase:
    """Where a log begins of which nothing is kept that the snapshot holds."""
    if snapshot is None:
        return LogBase()
    return LogBase(snapshot.last_included_index, snapshot.last_included_term)
