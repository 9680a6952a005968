"""What a leader knows of one other server of its list.

    match < next                     known to be equal, and the next entry to send
    flights                          requests without a final answer, oldest first

The modes are those of a conversation. PROBE: where do our logs part? One request at a time. REPLICATE: entries
flow without waiting for answers. SNAPSHOT: the entries it needs are gone; it gets the snapshot, chunk by chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from casty.raft.types import Index

if TYPE_CHECKING:
    from casty.raft.types import Millis, ServerId, Snapshot

FLIGHTS_REMEMBERED = 256
"""Heartbeats to a silent peer pile up here; an answer older than this many requests is not missed."""


class Mode(Enum):
    PROBE = auto()
    REPLICATE = auto()
    SNAPSHOT = auto()


class Flight(NamedTuple):
    """One AppendEntries on its way: it claims `prev`, and after it the follower's log reaches `last`."""

    prev: Index
    last: Index
    size: int = 0
    """What its entries take on the wire."""
    is_sure: bool = False
    """When it left, the server had acknowledged `prev`: it cannot refuse, unless it has lost that."""


class Inflight:
    """The requests to one follower without a final answer, oldest first, and the bytes of their entries."""

    __slots__ = ("_by_seq", "size")

    def __init__(self) -> None:
        self._by_seq: dict[int, Flight] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._by_seq)

    def get(self, seq: int) -> Flight | None:
        return self._by_seq.get(seq)

    def add(self, seq: int, flight: Flight) -> None:
        """A request left; its answer will carry `seq`."""
        self._by_seq[seq] = flight
        self.size += flight.size
        if len(self._by_seq) > FLIGHTS_REMEMBERED:
            self.remove(next(iter(self._by_seq)))

    def remove(self, seq: int) -> None:
        """Its final answer has come."""
        self.size -= self._by_seq.pop(seq).size

    def acked(self, index: Index) -> None:
        """The follower has everything up to `index`: what asked for no more is answered with it."""
        while self._by_seq:
            seq, flight = next(iter(self._by_seq.items()))
            if flight.last > index:
                return
            self.remove(seq)

    def clear(self) -> None:
        """What is on its way is no longer waited for."""
        self._by_seq.clear()
        self.size = 0


@dataclass(slots=True)
class Transfer:
    """A snapshot on its way to one follower.

    It stays this one, also over a lost connection, even if the leader takes a newer meanwhile.
    """

    snapshot: Snapshot
    offset: int | None = None
    """What the follower wants next; None until it has said so."""
    seqs: set[int] = field(default_factory=set[int])
    """Of its chunks; an answer to anything else is not about this transfer."""
    sent_at: Millis | None = None
    """When the chunk at `offset` left; None while it has not."""


@dataclass(slots=True)
class Progress:
    member: ServerId
    """Who is on the list."""
    next: Index
    contact: Millis
    """When it last answered; counts for the leader's own right to lead (spec LEADER-4)."""
    peer: ServerId | None = None
    """Who is connected under that node id; None while nobody is."""
    boot_id: bytes = b""
    match: Index = Index(0)
    """Invariant: match < next. Durable there, and equal to our log."""
    acknowledged: Index = Index(0)
    """The highest `match` of the listed server in this term, over all its boots. Invariant: match <= it."""
    has_lost_data: bool = False
    """The listed server, in this boot, does not have what it acknowledged (spec LEADER-10)."""
    mode: Mode = Mode.PROBE
    flights: Inflight = field(default_factory=Inflight)
    probing: bool = False
    """A probe is out; the next waits for its answer or for the heartbeat."""
    due: bool = False
    """A request is to be sent whatever else is on its way: a heartbeat."""
    news: bool = False
    """Of a commit: to be told as soon as another request may be on its way, also without new entries."""
    transfer: Transfer | None = None

    @property
    def counts(self) -> bool:
        """Whether its answers count: it is the listed server, not a learner in its place (spec FORM-9), and
        still has what it acknowledged."""
        return (self.peer is None or self.peer == self.member) and not self.has_lost_data

    def heard(self, now: Millis) -> None:
        """It answered. A learner's answer is no sign of life of the member whose place it has."""
        if self.counts:
            self.contact = now

    def connect(self, peer: ServerId, boot_id: bytes, base_index: Index) -> None:
        """Its connection is open. Another store or boot remembers nothing of what was sent before.

        A new boot of the listed server is asked for what it has acknowledged, if our log, which begins after
        `base_index`, still has that (spec LEADER-10).
        """
        begin = Index(max(self.next, self.match + 1))
        if (peer, boot_id) != (self.peer, self.boot_id):
            self.match = Index(0)
            self.has_lost_data = False
            if peer == self.member and 0 < self.acknowledged >= base_index:
                begin = Index(self.acknowledged + 1)
        self.peer, self.boot_id = peer, boot_id
        self.probe(begin)
        self.due = True

    def disconnect(self) -> None:
        """What was in flight is lost, with its answers: back to what is known to match, if anything is."""
        self.probe(Index(self.match + 1) if self.match else self.next)

    def probe(self, next_index: Index) -> None:
        """Back to asking where the logs part, at `next_index`; what is in flight is no longer waited for."""
        self.mode = Mode.PROBE
        self.next = next_index
        self.flights.clear()
        self.probing = False

    def replicate(self, seq: int, flight: Flight) -> None:
        """A probe was answered: entries may flow. Other probes may be lost, and must take no room."""
        self.mode = Mode.REPLICATE
        self.transfer = None
        self.next = max(self.next, Index(flight.last + 1))
        self.flights.clear()
        self.flights.add(seq, flight)
        self.probing = False
        self.due = True  # what it was not told while it was probed

    def lose(self) -> None:
        """It does not have what it acknowledged: nothing more is sent to this boot of it, or believed."""
        self.has_lost_data = True
        self.match = Index(0)
        self.probe(Index(self.acknowledged + 1))

    def has(self, prev: Index) -> bool:
        """Whether this very server has acknowledged the entry `prev`, in this term."""
        return self.peer == self.member and 0 < prev <= self.acknowledged

    def took(self, index: Index) -> None:
        """The follower has everything up to `index`, durably."""
        self.match = max(self.match, index)
        self.flights.acked(index)
        if self.peer == self.member:
            self.acknowledged = max(self.acknowledged, index)
