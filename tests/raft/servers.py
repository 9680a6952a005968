"""Servers in the situations that tests begin with: fresh, locked, member, candidate, leader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.raft.events import Role
from casty.raft.messages import PreVoteRequest, VoteRequest
from casty.raft.options import Options
from casty.raft.types import HardState, Recovered, Term
from tests.raft.harness import Server
from tests.raft.shorthand import N1, N2, REBORN, commands, log, members, yes

if TYPE_CHECKING:
    from casty.raft.messages import Message, Request
    from casty.raft.types import ServerId, Snapshot


def fresh(size: int = 3, *, term: int = 0, me: ServerId = N1, discovered: bool = True) -> Server:
    """A server with nothing on its disk but perhaps a term; it has discovered exactly n1 to n<size>."""
    recovered = Recovered(me.store_id, HardState(Term(term)))
    n = Server(recovered, me=me, options=Options(expected_size=size))
    if discovered:
        n.discovers(me, *(peer for peer in members(size) if peer.node_id != me.node_id))
    n.forget()
    return n


def locked(size: int = 3, *, term: int = 1, voted_for: ServerId | None = None, me: ServerId = N1) -> Server:
    """A server that has bound itself to n1 to n<size>, and has no entry 1 yet."""
    hard = HardState(Term(term), voted_for, members(size))
    n = Server(Recovered(me.store_id, hard), me=me, options=Options(expected_size=size))
    n.discovers(*members(size))
    n.forget()
    return n


def member(
    *terms: int,
    size: int = 3,
    term: int | None = None,
    voted_for: ServerId | None = None,
    after: Snapshot | None = None,
    me: ServerId = N1,
    options: Options | None = None,
) -> Server:
    """A server of a formed cluster with a log of these terms, after the snapshot where one is given.

    Its own term is that of the last entry, unless said otherwise. All peers are connected.
    """
    first = 1 if after is None else after.last_included_index + 1
    entries = log(*terms, size=size) if after is None else commands(first, *terms)
    last_term = terms[-1] if terms else after.last_included_term if after is not None else 0
    hard = HardState(Term(last_term if term is None else term), voted_for, members(size))
    recovered = Recovered(me.store_id, hard, after, entries)
    n = Server(recovered, me=me, options=options or Options(expected_size=size))
    n.connects(*(peer for peer in members(size) if peer != me))
    n.forget()
    return n


def learner(*terms: int) -> Server:
    """n1 of three, which the cluster lists with another disk: a copy without a vote."""
    recovered = Recovered(REBORN.store_id, HardState(Term(terms[-1])), None, log(*terms))
    n = Server(recovered, me=REBORN, options=Options(expected_size=3))
    n.forget()
    return n


def formed(size: int = 3) -> Server:
    """A fresh server that everybody voted for; all it said since it won is still to be read."""
    n = fresh(size)
    peers = members(size)[1:]
    n.connects(*peers)
    ask = pre_votes(n)
    for peer in peers:
        n.hears(peer, yes(ask))
    request = only(n.says(N2), VoteRequest)
    n.forget()
    for peer in peers:
        n.hears(peer, yes(request))
    return n


def candidate(
    *terms: int, size: int = 3, term: int | None = None, after: Snapshot | None = None
) -> tuple[Server, VoteRequest]:
    """A member that has just asked for votes in `term` + 1, and what it asked."""
    n = member(*terms, size=size, term=term, after=after)
    return n, campaign(n, size)


def leader(
    *terms: int,
    size: int = 3,
    term: int | None = None,
    after: Snapshot | None = None,
    options: Options | None = None,
) -> Server:
    """A member that has just been elected in `term` + 1. All it has said since then is still to be read."""
    n = member(*terms, size=size, term=term, after=after, options=options)
    request = campaign(n, size)
    n.forget()
    win(n, request, size)
    return n


def steady(*terms: int, size: int = 3, options: Options | None = None) -> Server:
    """A leader whose followers have everything, and have been told."""
    n = leader(*terms, size=size, options=options)
    for _ in range(3):
        acknowledge(n, *members(size)[1:])
    n.forget()
    return n


def campaign(n: Server, size: int) -> VoteRequest:
    """Times out and gets all the pre-votes; returns the RequestVote it then sends to everybody."""
    peers = [peer for peer in members(size) if peer != n.raft.me]
    ask = pre_votes(n, peers[0])
    for peer in peers[: size // 2]:
        n.hears(peer, yes(ask))
    request = only(n.says(peers[0]), VoteRequest)
    n.forget()
    return request


def pre_votes(n: Server, peer: ServerId = N2) -> PreVoteRequest:
    """Times out; returns the question it then asks `peer`, and everybody."""
    n.tick()
    return only(n.says(peer), PreVoteRequest)


def win(n: Server, request: VoteRequest, size: int) -> None:
    """Just enough peers grant their votes."""
    peers = [peer for peer in members(size) if peer != n.raft.me]
    for peer in peers[: size // 2]:
        n.hears(peer, yes(request))
    assert n.role is Role.LEADER


def only[M: Request](messages: list[Message], kind: type[M]) -> M:
    """The one message of that kind."""
    found = [message for message in messages if isinstance(message, kind)]
    assert len(found) == 1, f"expected one {kind.__name__} in {messages}"
    return found[0]


def acknowledge(n: Server, *peers: ServerId) -> None:
    """Each peer agrees to all the AppendEntries that it was sent since it was last asked."""
    for peer in peers:
        for request in n.appends(peer):
            n.hears(peer, yes(request))


def sent(n: Server, peer: ServerId = N2) -> list[tuple[int, int]]:
    """Where each AppendEntries to `peer` begins, and how many entries it holds."""
    return [(message.prev_log_index, len(message.entries)) for message in n.appends(peer)]
