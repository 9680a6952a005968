"""The state of one server, on one page: Figure 2 of the paper, and what our additions need."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from casty.raft.events import Notice, Outgoing, Role
from casty.raft.messages import AppendEntriesResponse, Refusal
from casty.raft.types import HardState, Index, Snapshot

if TYPE_CHECKING:
    from collections.abc import Hashable
    from random import Random

    from casty.raft.barrier import Barrier
    from casty.raft.durable import Durable
    from casty.raft.events import Committed, LostData, Passed, Restored
    from casty.raft.log import Log
    from casty.raft.messages import Message, Request, Response
    from casty.raft.options import Options
    from casty.raft.progress import Progress
    from casty.raft.types import (
        Configuration,
        Members,
        Millis,
        NodeId,
        ServerId,
        Term,
    )


@dataclass(slots=True)
class Poll:
    """One round of asking for votes, or for pre-votes."""

    pre: bool
    seq: int
    members: Members
    needed: int
    granted: set[ServerId] = field(default_factory=set["ServerId"])

    @property
    def won(self) -> bool:
        return len(self.granted) >= self.needed


@dataclass(slots=True)
class Leadership:
    """All that a leader knows. Made at the election, dropped on stepping down; the term never changes."""

    term: Term
    members: Members
    progress: dict[NodeId, Progress]
    """Of every other server on the list."""
    heartbeat_deadline: Millis
    uncommitted_bytes: int = 0
    overtaken_index: Index = Index(0)
    overtaken_at: Millis | None = None
    """Since when a majority of the others has had `overtaken_index` durably, and this server has not."""


class SnapshotKey(NamedTuple):
    """Which snapshot a chunk is of. What has the same key is the same, from any sender and in any
    term."""

    last_included_index: Index
    last_included_term: Term
    configuration: Configuration
    size: int
    checksum: int


class Incoming:
    """A snapshot that is arriving in chunks, in the order of their offsets.

    Nothing of it is copied or read twice: its checksum is computed as it comes.
    """

    __slots__ = ("_buffer", "checksum", "key", "size")

    def __init__(self, key: SnapshotKey) -> None:
        self.key = key
        self.size = 0
        """How much has come: the offset that is wanted next."""
        self.checksum = 0
        self._buffer = BytesIO()

    @property
    def is_whole(self) -> bool:
        """Whether all of it is here, and is what was announced."""
        return (self.size, self.checksum) == (self.key.size, self.key.checksum)

    def add(self, data: bytes) -> None:
        self._buffer.write(data)
        self.size += len(data)
        self.checksum = crc32(data, self.checksum)

    def snapshot(self) -> Snapshot:
        """All of it. The buffer gives its bytes away without copying them."""
        index, term, configuration, _, checksum = self.key
        return Snapshot(index, term, configuration, self._buffer.getvalue(), checksum)


@dataclass(slots=True)
class Outbox:
    """What the next `Ready` will hold."""

    free: list[Outgoing] = field(default_factory=list[Outgoing])
    """Messages that rest on nothing but a term that is durable already."""
    gated: list[Outgoing] = field(default_factory=list[Outgoing])
    apply: list[Committed | Restored] = field(default_factory=list["Committed | Restored"])
    refused: list[object] = field(default_factory=list[object])
    overloaded: list[object] = field(default_factory=list[object])
    lost: list[object] = field(default_factory=list[object])
    passed: list[Passed] = field(default_factory=list["Passed"])
    notices: list[Notice] = field(default_factory=list[Notice])
    lost_data: list[LostData] = field(default_factory=list["LostData"])


@dataclass(slots=True)
class State:
    me: ServerId
    options: Options
    random: Random
    now: Millis

    # Durable (Figure 2: persistent state on all servers). `disk` knows how far that is true.
    hard: HardState
    log: Log
    snapshot: Snapshot | None
    configuration: Configuration | None
    """What entry 1 or the snapshot says; None before."""
    disk: Durable

    # Volatile state on all servers. Invariant: handed <= commit_index <= last index.
    commit_index: Index = Index(0)
    handed: Index = Index(0)
    """The last index given to the state machine."""
    restoring: Snapshot | None = None
    """A snapshot the state machine must become, as soon as it is durable."""
    role: Role = Role.FOLLOWER
    leader: ServerId | None = None
    """Of the current term, once known: it stays so until the term ends (spec VOTE-5, APPEND-10)."""
    leader_contact: Millis | None = None
    leader_commit: Index = Index(0)
    """The highest commit index that a leader has told this server; it may lie above its own."""
    election_deadline: Millis | None = None
    """None for servers that cannot campaign, and for leaders."""
    seq: int = 0
    poll: Poll | None = None
    leadership: Leadership | None = None
    incoming: Incoming | None = None
    tickets: dict[Index, object] = field(default_factory=dict[Index, object])
    """Of entries proposed here and not yet handed to the state machine."""
    barriers: dict[Hashable, Barrier] = field(default_factory=dict["Hashable", "Barrier"])
    """The open questions for what was committed when they were asked, by ticket."""

    # Whom the connections know.
    discovered: frozenset[ServerId] = frozenset()
    formed: frozenset[ServerId] = frozenset()
    """Those of them whose cluster has formed."""
    connected: dict[NodeId, tuple[ServerId, bytes]] = field(
        default_factory=dict["NodeId", "tuple[ServerId, bytes]"]
    )

    out: Outbox = field(default_factory=Outbox)

    @property
    def term(self) -> Term:
        return self.hard.term

    @property
    def snapshot_index(self) -> Index:
        """Where the snapshot ends; 0 without one. The log in memory may begin earlier, never later."""
        return self.snapshot.last_included_index if self.snapshot is not None else Index(0)

    def set_hard(self, term: Term, voted_for: ServerId | None, lock: Members | None = None) -> None:
        """Term, vote and lock change together, in one write. A lock once set stays."""
        self.hard = HardState(term, voted_for, self.hard.lock or lock)
        self.disk.hard_state_changed(self.hard)

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def send(self, to: ServerId, message: Request) -> None:
        """Sends a request that may leave before what is being written is durable (spec PERSIST-3)."""
        if message.term <= self.disk.term:
            self.out.free.append(Outgoing(to, message))
        else:
            self.out.gated.append(Outgoing(to, message))

    def send_gated(self, to: ServerId, message: Message, via: object = None) -> None:
        """Sends a request or response that rests on what is being written (spec PERSIST-2)."""
        self.out.gated.append(Outgoing(to, message, via))

    def retract(self, first: Index) -> None:
        """Entries from `first` on are gone: acknowledgements of them that have not left shrink to what stays.

        Such an entry may have been replaced before it was ever written, and what is acknowledged is durable
        (spec APPEND-7).
        """
        before = Index(first - 1)
        self.out.gated = [_for_at_most(before, outgoing) for outgoing in self.out.gated]
        self.disk.gate = deque((token, _for_at_most(before, outgoing)) for token, outgoing in self.disk.gate)

    def send_at_once(self, to: ServerId, message: Response, via: object) -> None:
        """Sends a response that says nothing but what is durable already (spec APPEND-8, TERM-4)."""
        assert message.term <= self.disk.term, f"{message} says more than the disk: term {self.disk.term}"
        self.out.free.append(Outgoing(to, message, via))

    def refuse(self, to: ServerId, via: object, code: str, rule: str, text: str) -> None:
        """Tells the peer, and our own log, what was wrong with its request (spec ERROR-1)."""
        self.out.free.append(Outgoing(to, Refusal(code, rule, text), via))
        about = f"{code} {rule} {to}"
        self.notice("warning", f"refused a request of {to}: {text} [{code}, {rule}]", about)

    def notice(self, level: str, text: str, about: str = "") -> None:
        self.out.notices.append(Notice(level, text, about))


def _for_at_most(index: Index, outgoing: Outgoing) -> Outgoing:
    message = outgoing.message
    if isinstance(message, AppendEntriesResponse) and message.match_index > index:
        return outgoing._replace(message=replace(message, match_index=index))
    return outgoing
