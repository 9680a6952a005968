"""Asking before disturbing: pre-votes (thesis §9.6, §4.2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casty.raft.events import Role
from casty.raft.messages import PreVoteRequest
from casty.raft.types import Index, Term
from tests.raft.servers import candidate, fresh, leader, learner, locked, member, pre_votes
from tests.raft.shorthand import (
    ELECTION,
    N1,
    N2,
    N3,
    N4,
    N5,
    THREE,
    append,
    members,
    no,
    pre_denied,
    pre_granted,
    pre_vote,
    server,
    snapshot,
    vote,
    yes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.raft.harness import Server


def pre_candidate(*terms: int, size: int = 3, term: int | None = None) -> tuple[Server, PreVoteRequest]:
    """A member that has just asked for pre-votes, and what it asked."""
    n1 = member(*terms, size=size, term=term)
    return n1, pre_votes(n1)


# -------------------------------------------------------------------------------------------------- asking


def test_an_election_begins_with_a_question_that_changes_nothing() -> None:
    """PREVOTE-1, thesis §9.6: "a candidate only increments its term if it first learns from a majority of the
    cluster that they would be willing to grant the candidate their votes"."""
    n1 = member(1, 2, 2, term=4)
    n1.tick()
    sent = [(m.to, m.message) for m in n1.outbox]
    request = PreVoteRequest(Term(4), 1, Index(3), Term(2), False, THREE)
    assert (sent, n1.role, n1.term) == ([(N2, request), (N3, request)], Role.PRE_CANDIDATE, 4)
    assert n1.kept == member(1, 2, 2, term=4).kept


@pytest.mark.parametrize(("size", "grants"), [(2, 1), (3, 1), (4, 2), (5, 2)])
def test_a_majority_of_pre_votes_starts_the_election_and_not_one_less(size: int, grants: int) -> None:
    """PREVOTE-1: it "starts it only with the grants FORM-3 asks for": with its own, a majority."""
    n1, request = pre_candidate(1, size=size)
    roles: list[Role] = []
    for peer in members(size)[1 : grants + 1]:
        roles.append(n1.role)
        n1.hears(peer, yes(request))
    assert [*roles, n1.role] == [Role.PRE_CANDIDATE] * grants + [Role.CANDIDATE]


def test_one_pre_voter_counts_once() -> None:
    """PREVOTE-1, VOTE-6: the same grant five times is one grant."""
    n1, request = pre_candidate(1, size=5)
    n1.hears(N2, *[yes(request)] * 5)
    assert (n1.role, n1.term) == (Role.PRE_CANDIDATE, 1)


def test_denied_pre_votes_leave_the_term_as_it_is() -> None:
    """PREVOTE-1: a server that cannot win disturbs nobody, however often it tries."""
    n1, request = pre_candidate(1)
    for _ in range(20):
        n1.hears(N2, no(request))
        n1.hears(N3, no(request))
        n1.says(N2)
        request = pre_votes(n1)
    assert (n1.role, n1.term) == (Role.PRE_CANDIDATE, 1)


def test_a_grant_counts_only_for_its_own_round() -> None:
    """PREVOTE-1: "a grant counts only for the round whose seq it repeats"."""
    n1, first = pre_candidate(1)
    second = pre_votes(n1)
    n1.hears(N2, yes(first))
    assert (n1.role, second.seq > first.seq) == (Role.PRE_CANDIDATE, True)


def test_a_grant_of_an_earlier_term_starts_no_election() -> None:
    """PREVOTE-1, TERM-3: what was granted was the vote of a term that is over."""
    n1, first = pre_candidate(1)
    n1.hears(N3, no(first, term=2))
    n1.tick()
    n1.hears(N2, yes(first))
    assert (n1.role, n1.term) == (Role.PRE_CANDIDATE, 2)


@pytest.mark.parametrize("number", [9, 2])
def test_the_pre_vote_of_a_stranger_counts_for_nothing(number: int) -> None:
    """PREVOTE-1, FORM-7: neither an unlisted node nor a listed one with another disk is asked."""
    n1, request = pre_candidate(1)
    n1.hears(server(number, store=9), yes(request))
    assert n1.role is Role.PRE_CANDIDATE


def test_a_vote_is_no_pre_vote() -> None:
    """PREVOTE-1: only the answer to the question counts, not one of another kind with its seq."""
    n1, request = pre_candidate(1)
    n1.hears(N2, yes(vote(1, seq=request.seq)))
    assert n1.role is Role.PRE_CANDIDATE


def test_a_pre_candidate_follows_a_leader_that_turns_up() -> None:
    """PREVOTE-1, §5.2: to others it was a follower all along."""
    n1, request = pre_candidate(1)
    n1.hears(N3, append(1, prev=(1, 1)))
    n1.hears(N2, yes(request))
    assert (n1.role, n1.raft.leader, n1.term) == (Role.FOLLOWER, N3, 1)


def test_a_pre_candidate_that_grants_a_vote_asks_no_longer() -> None:
    """PREVOTE-1, VOTE-2: it has given its vote to somebody who got further."""
    n1, request = pre_candidate(1, term=1)
    n1.hears(N3, vote(1, last=(1, 1)))
    n1.hears(N2, yes(request))
    assert (n1.role, n1.kept.hard_state.voted_for) == (Role.FOLLOWER, N3)


# ------------------------------------------------------------------------------------------------- answering


def test_a_pre_vote_changes_nothing_at_the_receiver() -> None:
    """PREVOTE-1: "A pre-vote changes neither term nor vote nor timer at the receiver"."""
    n1 = member(1, term=3, voted_for=N3)
    n1.later(900)
    before = (n1.raft.status(), n1.raft.deadline, n1.kept)
    n1.hears(N2, *[pre_vote(term, last=(9, 9)) for term in (2, 3, 50)])
    after = (n1.raft.status(), n1.raft.deadline, n1.kept)
    assert (before, n1.says(N2)) == (after, [pre_denied(3, asked=2), pre_granted(3), pre_granted(3, asked=50)])


def test_any_number_of_pre_votes_may_be_granted() -> None:
    """PREVOTE-1: a pre-vote is no promise, so nothing is given away."""
    n1 = member(1)
    n1.hears(N2, pre_vote(1, last=(1, 1)))
    n1.hears(N3, pre_vote(1, last=(1, 1)))
    assert (n1.says(N2), n1.says(N3)) == ([pre_granted(1)], [pre_granted(1)])


@pytest.mark.parametrize(
    ("last", "expected"),
    [((9, 1), False), ((1, 2), False), ((2, 2), True), ((3, 2), True), ((1, 3), True)],
)
def test_a_pre_vote_is_denied_to_an_older_log(last: tuple[int, int], expected: bool) -> None:
    """PREVOTE-2: granted "if the receiver could grant the vote": "the log is up to date"."""
    n1 = member(1, 2)
    n1.hears(N2, pre_vote(5, last=last))
    assert n1.says(N2) == [pre_granted(2, asked=5) if expected else pre_denied(2, asked=5)]


@pytest.mark.parametrize(("last", "expected"), [((7, 2), False), ((6, 3), False), ((7, 3), True)])
def test_a_pre_vote_compares_with_the_snapshot_where_the_log_is_empty(
    last: tuple[int, int], expected: bool
) -> None:
    """PREVOTE-2, VOTE-3: the restriction survives a compaction."""
    n1 = member(after=snapshot(7, 3))
    n1.hears(N2, pre_vote(3, last=last))
    assert n1.says(N2) == [pre_granted(3) if expected else pre_denied(3)]


def test_a_pre_vote_is_denied_to_a_term_that_is_over() -> None:
    """PREVOTE-2: "its own term is not above the sender's"."""
    n1 = member(1, term=5)
    n1.hears(N2, pre_vote(4, last=(9, 4)))
    assert n1.says(N2) == [pre_denied(5, asked=4)]


@pytest.mark.parametrize(("silence", "expected"), [(0, False), (ELECTION - 1, False), (ELECTION, True)])
def test_a_pre_vote_is_denied_while_a_leader_is_heard(silence: int, expected: bool) -> None:
    """PREVOTE-2, thesis §4.2.3: it "has not heard from one within the election timeout"."""
    n1 = member(1)
    n1.hears(N3, append(1, prev=(1, 1)))
    n1.later(silence)
    n1.hears(N2, pre_vote(1, last=(1, 1)))
    assert n1.says(N2) == [pre_granted(1) if expected else pre_denied(1)]


def test_a_leader_denies_pre_votes() -> None:
    """PREVOTE-2: "it is not a leader"; who has one at hand needs no other."""
    n1 = leader(1)
    n1.forget()
    n1.hears(N2, pre_vote(2, last=(9, 9)))
    assert n1.says(N2) == [pre_denied(2)]


def test_a_candidate_may_grant_a_pre_vote() -> None:
    """PREVOTE-2: in the next term it may well vote for another."""
    n1, _ = candidate(1)
    n1.hears(N2, pre_vote(2, last=(1, 1)))
    assert n1.says(N2) == [pre_granted(2)]


def test_a_pre_vote_for_another_list_is_not_granted() -> None:
    """PREVOTE-2, FORM-5: "the list fits"."""
    n1 = member(1)
    n1.hears(N2, pre_vote(1, last=(9, 9), members=members(5)))
    assert n1.says(N2) == [pre_denied(1)]


def test_a_stranger_gets_no_pre_vote() -> None:
    """PREVOTE-2, FORM-7: dropped, and the peer is told why."""
    n1 = member(1)
    n1.hears(N4, pre_vote(1, last=(9, 9)))
    assert (n1.says(N4), n1.objects()) == ([], [("NOT_A_MEMBER", "FORM-7")])


def test_a_learner_grants_no_pre_vote() -> None:
    """PREVOTE-2, FORM-9: it "never campaigns or grants a vote"."""
    n1 = learner(1)
    n1.hears(N2, pre_vote(1, last=(9, 9)))
    assert n1.says(N2) == [pre_denied(1)]


# --------------------------------------------------------------------------------------------- catching up


def test_a_denied_pre_vote_tells_the_term_and_it_is_adopted() -> None:
    """PREVOTE-3: "A denied pre-vote carries the receiver's term, and the sender adopts a higher one"."""
    n1, request = pre_candidate(1, 1)
    n1.hears(N2, no(request, term=50))
    assert (n1.role, n1.term) == (Role.FOLLOWER, 50)


def test_a_long_log_of_an_old_term_beats_a_short_log_of_a_new_term_in_two_rounds() -> None:
    """PREVOTE-3: "Otherwise a server with a long log and an old term never catches up" (a real deadlock)."""
    n1, n2 = member(1, 1, 1, term=2), member(1, term=50, me=N2)
    for _ in range(2):
        request = pre_votes(n1)
        n1.says(N3)
        n2.hears(N1, request)
        n1.hears(N2, *n2.says(N1))
    assert (n1.role, n1.term) == (Role.CANDIDATE, 51)


def test_a_rejoining_server_disturbs_nobody() -> None:
    """PREVOTE-1, PREVOTE-2, thesis §9.6: cut off for a minute, it comes back with the term it left with."""
    lone, n2 = member(1, 1, me=N3), member(1, 1, me=N2)
    lone.wait(60_000)
    n2.hears(N1, append(1, prev=(2, 1)))
    questions = [message for message in lone.says(N2) if isinstance(message, PreVoteRequest)]
    n2.hears(N3, questions[-1])
    assert (n2.says(N3), n2.term, lone.term) == ([no(questions[-1])], 1, 1)


@pytest.mark.parametrize("make", [fresh, locked])
def test_before_formation_every_single_pre_vote_is_needed(make: Callable[[int], Server]) -> None:
    """PREVOTE-1, FORM-3: "win only with the grant of every server on the list, in the pre-vote as in the
    vote"."""
    n1 = make(5)
    request = pre_votes(n1)
    for peer in (N2, N3, N4):
        n1.hears(peer, yes(request))
    before = n1.role
    n1.hears(N5, yes(request))
    assert (before, n1.role) == (Role.PRE_CANDIDATE, Role.CANDIDATE)
