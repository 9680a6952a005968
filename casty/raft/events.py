"""What can happen to a Raft server, and what it wants done about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable

    from casty.raft.messages import Message, Refusal
    from casty.raft.types import Entry, Index, NodeId, ServerId, Snapshot, Term, Write


class Role(StrEnum):
    """What a server is doing in its term. A pre-candidate is still a follower to everybody else."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


# ------------------------------------------------------------------------------------------- what goes in


class Received(NamedTuple):
    """A message arrived. `via` is whatever the shell needs to send the reply back the same way."""

    sender: ServerId
    message: Message
    via: object = None


class Proposed(NamedTuple):
    """The application wants `data` in the log; `ticket` comes back with the outcome."""

    ticket: object
    data: bytes


class Persisted(NamedTuple):
    """All writes up to this token are durable."""

    token: int


class Connected(NamedTuple):
    """The connection on which this server sends its requests to that node is open."""

    server: ServerId
    boot_id: bytes


class Disconnected(NamedTuple):
    """That connection is gone, and with it whatever was in flight on it."""

    server: ServerId


class Discovered(NamedTuple):
    """Who said hello as a member, this server included; everything that formation may consider.

    `formed` are those of them that said they belong to a cluster that has formed. It decides nothing: it is for
    what people are told.
    """

    servers: frozenset[ServerId]
    formed: frozenset[ServerId] = frozenset()


class SnapshotTaken(NamedTuple):
    """The state machine was serialised, and the store has saved the bytes."""

    snapshot: Snapshot


class BarrierSet(NamedTuple):
    """The shell waits until this server has everything that is committed now.

    `ticket` comes back in `Ready.passed`. On a leader nothing else is needed. A follower must be told by its
    leader, in a request that left after the question: `via` is a connection on which all that comes from here
    on did so (None: no such connection yet). The same ticket may be given more of them.
    """

    ticket: Hashable
    via: Hashable | None = None


class BarrierLifted(NamedTuple):
    """The shell no longer waits."""

    ticket: Hashable


class Ticked(NamedTuple):
    """Time passed. Early or stale ticks are harmless."""


type Event = (
    Received
    | Proposed
    | Persisted
    | Connected
    | Disconnected
    | Discovered
    | SnapshotTaken
    | BarrierSet
    | BarrierLifted
    | Ticked
)


# ------------------------------------------------------------------------------------------ what comes out


class Outgoing(NamedTuple):
    """A message that may leave now: a request goes to `to`, a reply back `via` where its request came from."""

    to: ServerId
    message: Message | Refusal
    via: object = None


class Committed(NamedTuple):
    """Entries to apply, in order, the first at `first_index`; all are committed and durable here."""

    first_index: Index
    entries: tuple[Entry, ...]
    tickets: dict[Index, object]
    """Of those entries that were proposed here, the tickets."""


class Restored(NamedTuple):
    """The state machine must become what this snapshot holds before anything later is applied."""

    snapshot: Snapshot


class Passed(NamedTuple):
    """All that was committed when the barrier was set is committed here, too, at `commit_index` or before."""

    ticket: Hashable
    commit_index: Index


class Notice(NamedTuple):
    """A line for the log, at the level of that name: info, warning or error.

    `about` stands for the text where peers choose that, so that one of them cannot fill the log.
    """

    level: str
    text: str
    about: str = ""


class LostData(NamedTuple):
    """A member, in this boot of it, does not have what it acknowledged: its data is an older copy."""

    server: ServerId
    boot_id: bytes
    acknowledged: Index
    """How far it acknowledged this leader's log, in term `term`."""
    term: Term


@dataclass(frozen=True, slots=True)
class Ready:
    """What to do now. The fields do not depend on each other's order, except `apply` within itself.

    The core itself holds back what must not leave yet (spec PERSIST-2): every message here may be sent at once,
    while `write` is still on its way to the disk.
    """

    write: Write | None = None
    messages: tuple[Outgoing, ...] = ()
    apply: tuple[Committed | Restored, ...] = ()
    refused: tuple[object, ...] = ()
    """Tickets of proposals that were certainly not appended, for this server does not lead."""
    overloaded: tuple[object, ...] = ()
    """Tickets of proposals that were certainly not appended, for too much is not committed yet."""
    lost: tuple[object, ...] = ()
    """Tickets of proposals that were appended, but this server will not learn what becomes of them."""
    passed: tuple[Passed, ...] = ()
    """The barriers that this server has passed."""
    notices: tuple[Notice, ...] = ()
    lost_data: tuple[LostData, ...] = ()
    """Members to be told, and to be kept out, for they would vote and count by what they have forgotten."""


@dataclass(frozen=True, slots=True)
class Status:
    """A server at a glance, for people and tools; the fields are those of Figure 2."""

    node_id: NodeId
    standing: str
    role: Role
    term: Term
    leader: ServerId | None
    voted_for: ServerId | None
    commit_index: Index
    durable_index: Index
    last_log_index: Index
    last_log_term: Term
    snapshot_index: Index
    snapshot_term: Term
