"""Raft's values, said shortly, so that a test shows what it means and no wrapping.

A place in a log is a pair, index first: ``last=(3, 2)`` is entry 3 of term 2. Entry 1 of a log is the one that
says who belongs; every other entry is a command that names its own place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from casty.raft.configuration import encode_configuration
from casty.raft.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
    PreVoteResponse,
    VoteRequest,
    VoteResponse,
)
from casty.raft.types import (
    ClusterId,
    Configuration,
    Entry,
    EntryKind,
    Index,
    NodeId,
    ServerId,
    Snapshot,
    StoreId,
    Term,
)

if TYPE_CHECKING:
    from casty.raft.messages import Request, Response
    from casty.raft.types import Members

ELECTION = 1000
HEARTBEAT = 300
"""The defaults of `Options`, in milliseconds."""

SEQ = 77
"""The seq of a request the test makes, where it does not matter."""


def server(number: int, store: int | None = None) -> ServerId:
    """Server n<number> with the disk it was born with, or with another."""
    return ServerId(NodeId(f"n{number}"), StoreId(bytes([store or number]) * 16))


N1, N2, N3, N4, N5 = (server(number) for number in range(1, 6))

REBORN = server(1, store=9)
"""n1 after it lost its disk."""


def members(size: int) -> Members:
    return tuple(server(number) for number in range(1, size + 1))


THREE = members(3)


# ------------------------------------------------------------------------------------------- logs and snapshots


def configuration(size: int = 3, *, servers: Members | None = None) -> Configuration:
    return Configuration(ClusterId(b"c" * 16), servers or members(size))


def entry_one(term: int, size: int = 3, *, servers: Members | None = None) -> Entry:
    data = encode_configuration(configuration(size, servers=servers))
    return Entry(Term(term), EntryKind.MEMBERS, data)


def command(index: int, term: int) -> Entry:
    return Entry(Term(term), EntryKind.COMMAND, f"{index}@{term}".encode())


def noop(term: int) -> Entry:
    return Entry(Term(term), EntryKind.NOOP, b"")


def commands(first: int, *terms: int) -> tuple[Entry, ...]:
    """Commands of these terms, from index `first` on."""
    return tuple(command(first + place, term) for place, term in enumerate(terms))


def log(*terms: int, size: int = 3) -> tuple[Entry, ...]:
    """A whole log of entries with these terms; entry 1 lists n1 to n<size>."""
    return (entry_one(terms[0], size), *commands(2, *terms[1:])) if terms else ()


def snapshot(
    index: int, term: int, data: bytes = b"state", *, size: int = 3, servers: Members | None = None
) -> Snapshot:
    return Snapshot.of(Index(index), Term(term), configuration(size, servers=servers), data)


# ------------------------------------------------------------------------------------ requests the test makes


def vote(
    term: int,
    *,
    last: tuple[int, int] = (0, 0),
    formation: bool = False,
    members: Members = THREE,
    seq: int = SEQ,
) -> VoteRequest:
    return VoteRequest(Term(term), seq, Index(last[0]), Term(last[1]), formation, members)


def pre_vote(
    term: int,
    *,
    last: tuple[int, int] = (0, 0),
    formation: bool = False,
    members: Members = THREE,
    seq: int = SEQ,
) -> PreVoteRequest:
    """ "Would you vote for me in `term` + 1?" """
    return PreVoteRequest(Term(term), seq, Index(last[0]), Term(last[1]), formation, members)


def append(
    term: int,
    *entries: Entry,
    prev: tuple[int, int] = (0, 0),
    commit: int = 0,
    seq: int = SEQ,
) -> AppendEntriesRequest:
    """AppendEntries; without entries, a heartbeat."""
    return AppendEntriesRequest(Term(term), seq, Index(prev[0]), Term(prev[1]), Index(commit), entries)


def install(
    term: int,
    snapshot: Snapshot,
    *,
    offset: int = 0,
    length: int | None = None,
    size: int | None = None,
    checksum: int | None = None,
    seq: int = SEQ,
) -> InstallSnapshotRequest:
    """The chunk of the snapshot at `offset`, up to its end where no length is given."""
    data = snapshot.data[offset:] if length is None else snapshot.data[offset : offset + length]
    return InstallSnapshotRequest(
        term=Term(term),
        seq=seq,
        last_included_index=snapshot.last_included_index,
        last_included_term=snapshot.last_included_term,
        cluster_id=snapshot.configuration.cluster_id,
        members=snapshot.configuration.members,
        size=len(snapshot.data) if size is None else size,
        checksum=crc32(snapshot.data) if checksum is None else checksum,
        offset=offset,
        data=data,
        done=offset + len(data) >= len(snapshot.data),
    )


# ------------------------------------------------------------------------------- answers to the test's requests


def granted(term: int, *, seq: int = SEQ) -> VoteResponse:
    return VoteResponse(Term(term), Term(term), seq, True)


def denied(term: int, *, asked: int | None = None, seq: int = SEQ) -> VoteResponse:
    """No vote, from a server in `term`; the request's term was `asked`, or the same."""
    return VoteResponse(Term(term), Term(term if asked is None else asked), seq, False)


def pre_granted(term: int, *, asked: int | None = None, seq: int = SEQ) -> PreVoteResponse:
    return PreVoteResponse(Term(term), Term(term if asked is None else asked), seq, True)


def pre_denied(term: int, *, asked: int | None = None, seq: int = SEQ) -> PreVoteResponse:
    return PreVoteResponse(Term(term), Term(term if asked is None else asked), seq, False)


def success(term: int, match: int, *, seq: int = SEQ) -> AppendEntriesResponse:
    return AppendEntriesResponse(Term(term), Term(term), seq, True, Index(match))


def refusal(
    term: int,
    *,
    asked: int | None = None,
    hint: tuple[int, int | None] | None = None,
    seq: int = SEQ,
) -> AppendEntriesResponse:
    """No, from a server in `term`. The hint is conflict_index and conflict_term."""
    index, hint_term = hint or (None, None)
    return AppendEntriesResponse(
        Term(term),
        Term(term if asked is None else asked),
        seq,
        False,
        Index(0),
        None if index is None else Index(index),
        None if hint_term is None else Term(hint_term),
    )


def installed(term: int, index: int, size: int, *, seq: int = SEQ) -> InstallSnapshotResponse:
    return InstallSnapshotResponse(Term(term), Term(term), seq, Index(index), size, True)


def wants(
    term: int, index: int, offset: int, *, asked: int | None = None, seq: int = SEQ
) -> InstallSnapshotResponse:
    """Not installed: the byte at `offset` is wanted next."""
    request_term = Term(term if asked is None else asked)
    return InstallSnapshotResponse(Term(term), request_term, seq, Index(index), offset, False)


# -------------------------------------------------------------------------- what a peer answers to the server


def yes(request: Request, *, upto: int | None = None) -> Response:
    """The answer of a peer that agrees: grants, has all the entries durably, wants no more of the snapshot."""
    term, seq = request.term, request.seq
    match request:
        case VoteRequest():
            return VoteResponse(term, term, seq, True)
        case PreVoteRequest():
            return PreVoteResponse(term, term, seq, True)
        case AppendEntriesRequest():
            end = request.prev_log_index + len(request.entries)
            return AppendEntriesResponse(term, term, seq, True, Index(end if upto is None else upto))
        case InstallSnapshotRequest():
            end = request.offset + len(request.data)
            return InstallSnapshotResponse(term, term, seq, request.last_included_index, end, request.done)


def no(request: Request, *, term: int | None = None, hint: tuple[int, int | None] | None = None) -> Response:
    """The answer of a peer that refuses, from its own term where that is another."""
    own, seq = Term(term or request.term), request.seq
    match request:
        case VoteRequest():
            return VoteResponse(own, request.term, seq, False)
        case PreVoteRequest():
            return PreVoteResponse(own, request.term, seq, False)
        case AppendEntriesRequest():
            return refusal(own, asked=request.term, hint=hint, seq=seq)
        case InstallSnapshotRequest():
            return wants(own, request.last_included_index, 0, asked=request.term, seq=seq)
