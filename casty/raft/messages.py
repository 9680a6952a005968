"""The Raft RPCs as values, with the paper's names (Figures 2 and 13).

Every message carries its sender's current term. Who sent it, the connection has announced.
`seq` is a number the requester never uses twice in one boot; a reply repeats it, with the request's term, so
that no reply can be taken for an answer to another question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from casty.raft.types import ClusterId, Entry, Index, Members, Term


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """RequestVote: "vote for me in `term`"."""

    term: Term
    seq: int
    last_log_index: Index
    last_log_term: Term
    formation: bool
    """True while the candidate is not yet a member: the vote then binds the voter to `members`."""
    members: Members


@dataclass(frozen=True, slots=True)
class VoteResponse:
    term: Term
    request_term: Term
    seq: int
    vote_granted: bool


@dataclass(frozen=True, slots=True)
class PreVoteRequest:
    """ "Would you vote for me in `term` + 1?" Changes nothing at the receiver (thesis §9.6)."""

    term: Term
    seq: int
    last_log_index: Index
    last_log_term: Term
    formation: bool
    members: Members


@dataclass(frozen=True, slots=True)
class PreVoteResponse:
    term: Term
    request_term: Term
    seq: int
    vote_granted: bool


@dataclass(frozen=True, slots=True)
class AppendEntriesRequest:
    term: Term
    seq: int
    prev_log_index: Index
    prev_log_term: Term
    leader_commit: Index
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class AppendEntriesResponse:
    term: Term
    request_term: Term
    seq: int
    success: bool
    match_index: Index
    """Durable here and equal to the leader's log; at most ``prev_log_index + len(entries)``. 0 if refused."""
    conflict_index: Index | None = None
    """Where the leader may try next: the first index of `conflict_term`, or the end of a log too short."""
    conflict_term: Term | None = None
    """The term found at `prev_log_index`, where there was an entry."""


@dataclass(frozen=True, slots=True)
class InstallSnapshotRequest:
    """One chunk of a snapshot. Every chunk repeats what the snapshot is, so that none can join another's."""

    term: Term
    seq: int
    last_included_index: Index
    last_included_term: Term
    cluster_id: ClusterId
    members: Members
    size: int
    """Bytes in the whole snapshot."""
    checksum: int
    """CRC-32 of the whole snapshot."""
    offset: int
    data: bytes
    done: bool


@dataclass(frozen=True, slots=True)
class InstallSnapshotResponse:
    term: Term
    request_term: Term
    seq: int
    last_included_index: Index
    offset: int
    """The next byte the receiver wants of this snapshot."""
    installed: bool
    """The receiver's log and state reach `last_included_index`, durably."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the receiver of a bad request says besides its response: an ERROR frame for the peer's log."""

    code: str
    rule: str
    text: str


type Request = VoteRequest | PreVoteRequest | AppendEntriesRequest | InstallSnapshotRequest
type Response = VoteResponse | PreVoteResponse | AppendEntriesResponse | InstallSnapshotResponse
type Message = Request | Response
