"""The election timer: when it runs, what restarts it, how long it is (paper §5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casty.raft.events import Role, Ticked
from casty.raft.messages import PreVoteRequest, VoteRequest
from tests.raft.harness import Server
from tests.raft.servers import fresh, member, only
from tests.raft.shorthand import (
    ELECTION,
    N2,
    N3,
    append,
    commands,
    granted,
    install,
    pre_vote,
    snapshot,
    vote,
    yes,
)

if TYPE_CHECKING:
    from casty.raft.messages import Message
    from casty.raft.types import ServerId


def drawn(n1: Server) -> int:
    """How long the server will now wait for a leader."""
    assert n1.raft.deadline is not None
    return n1.raft.deadline - n1.now


def test_election_timeouts_are_drawn_anew_from_the_whole_range() -> None:
    """ELECT-1, §5.2: "election timeouts are chosen randomly from a fixed interval", here [election, 2 ×
    election]."""
    n1 = member(1)
    timeouts: set[int] = set()
    for _ in range(500):
        n1.hears(N2, append(1, prev=(1, 1)))
        timeouts.add(drawn(n1))
    assert min(timeouts) >= ELECTION
    assert max(timeouts) <= 2 * ELECTION
    assert max(timeouts) - min(timeouts) > 0.95 * ELECTION
    assert len(timeouts) > 200


def test_two_servers_draw_different_timeouts() -> None:
    """ELECT-1, §5.2: "This spreads out the servers so that in most cases only a single server will time
    out"."""
    recovered, options = member(1).kept, member(1).options
    timeouts = {drawn(Server(recovered, options=options, seed=seed)) for seed in range(50)}
    assert len(timeouts) > 40


def test_a_candidates_timer_starts_when_its_requests_leave() -> None:
    """ELECT-5: however long its vote takes to the disk, it then has a whole timeout to be elected in."""
    n1 = member(1)
    n1.slow = True
    n1.tick()
    n1.hears(N2, yes(only(n1.says(N2), PreVoteRequest)))
    n1.wait(10 * ELECTION)
    before = (n1.role, n1.term, n1.says(N2))
    n1.fsync()
    request = only(n1.says(N2), VoteRequest)
    assert (before, drawn(n1) >= ELECTION) == ((Role.CANDIDATE, 2, []), True)
    n1.wait(ELECTION - 1)
    n1.hears(N2, yes(request))
    assert (n1.role, n1.term) == (Role.LEADER, 2)


def test_a_voters_timer_starts_when_its_grant_leaves() -> None:
    """ELECT-5: the candidate hears of it only then."""
    n1 = member(1)
    n1.slow = True
    n1.hears(N2, vote(2, last=(1, 1)))
    n1.wait(10 * ELECTION)
    before = (n1.role, n1.term, n1.says(N2))
    n1.fsync()
    assert (before, len(n1.says(N2)), drawn(n1) >= ELECTION) == ((Role.FOLLOWER, 2, []), 1, True)


def test_a_timer_that_a_leader_restarted_is_left_alone_by_the_disk() -> None:
    """ELECT-5, ELECT-2: a vote that becomes durable late says nothing about a leader known by then."""
    n1 = member(1)
    n1.slow = True
    n1.hears(N2, vote(2, last=(1, 1)), append(2, prev=(1, 1)))
    n1.later(ELECTION - 1)
    before = n1.raft.deadline
    n1.fsync()
    assert n1.raft.deadline == before


RESTARTS: list[tuple[str, Message, bool]] = [
    ("AppendEntries", append(2, prev=(2, 2)), True),
    ("a refused AppendEntries of the leader", append(2, prev=(9, 2)), True),
    ("InstallSnapshot", install(2, snapshot(9, 2), length=1), True),
    ("a granted vote", vote(3, last=(2, 2)), True),
    ("a lower term", append(1, prev=(1, 1)), False),
    ("a lower term's vote request", vote(1, last=(9, 2)), False),
    ("a lower term's snapshot", install(1, snapshot(9, 1)), False),
    ("a denied vote", vote(3, last=(1, 1)), False),
    ("a malformed AppendEntries", append(2, *commands(1, 2)), False),
    ("a pre-vote", pre_vote(2, last=(2, 2)), False),
    ("a late vote", granted(2), False),
]


@pytest.mark.parametrize(("message", "restarts"), [case[1:] for case in RESTARTS], ids=[c[0] for c in RESTARTS])
def test_only_a_leader_or_a_granted_vote_restarts_the_timer(message: Message, restarts: bool) -> None:
    """ELECT-2: "Only an AppendEntries or InstallSnapshot of the current term's leader (refused ones included)
    and a granted vote restart the election timer"."""
    n1 = member(1, 2)
    n1.later(ELECTION - 1)
    before = n1.raft.deadline
    n1.hears(N2, message)
    assert (n1.raft.deadline != before) is restarts


def test_a_second_leader_of_the_term_does_not_restart_the_timer() -> None:
    """ELECT-2, APPEND-10: it is refused, and it is not the leader this server hears."""
    n1 = member(1)
    n1.hears(N2, append(1, prev=(1, 1)))
    before = n1.raft.deadline
    n1.later(500)
    n1.hears(N3, append(1, prev=(1, 1)))
    assert n1.raft.deadline == before


def test_a_steady_leader_prevents_elections() -> None:
    """ELECT-1, LEADER-1, §5.2: followers remain so "as long as they receive valid RPCs from a leader"."""
    n1 = member(1)
    for _ in range(100):
        n1.hears(N2, append(1, prev=(1, 1)))
        n1.wait(ELECTION - 1)
    assert (n1.role, n1.term) == (Role.FOLLOWER, 1)


def test_a_timer_that_fires_early_or_again_changes_nothing() -> None:
    """ELECT-1: what counts is the time, not how often the shell looks at the clock."""
    n1 = member(1)
    n1.step(Ticked())
    early = (n1.role, n1.outbox)
    n1.tick()
    n1.forget()
    n1.step(Ticked())
    assert (early, n1.role, n1.outbox) == ((Role.FOLLOWER, []), Role.PRE_CANDIDATE, [])


def test_a_leader_that_fell_silent_is_named_no_longer() -> None:
    """ELECT-1: who asks this server for the leader must not be sent to one that is gone; it is back when
    heard."""
    n1 = member(1)
    n1.hears(N2, append(1, prev=(1, 1)))
    named: list[ServerId | None] = [n1.raft.leader]
    n1.tick()
    named.append(n1.raft.leader)
    n1.hears(N2, append(1, prev=(1, 1)))
    assert [*named, n1.raft.leader] == [N2, None, N2]


def test_a_fresh_server_alone_is_not_a_follower_for_ever() -> None:
    """ELECT-1, FORM-4: it has found all it waited for, and nothing but the timer is missing."""
    n1 = fresh(size=1)
    assert ELECTION <= drawn(n1) <= 2 * ELECTION
