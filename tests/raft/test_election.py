"""Elections: terms, votes and who may lead (paper §5.1, §5.2, §5.4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casty.raft.election import TERM_MAX
from casty.raft.events import Role
from casty.raft.messages import Message, VoteRequest
from casty.raft.types import HardState, Index, Term
from tests.raft.servers import campaign, candidate, leader, member, pre_votes, win
from tests.raft.shorthand import (
    ELECTION,
    N1,
    N2,
    N3,
    N4,
    N5,
    append,
    command,
    commands,
    denied,
    granted,
    install,
    members,
    no,
    pre_vote,
    refusal,
    server,
    snapshot,
    success,
    vote,
    wants,
    yes,
)

if TYPE_CHECKING:
    from casty.raft.types import ServerId

# ------------------------------------------------------------------------------------------------ terms


HIGHER_TERM: list[Message] = [
    vote(9, last=(3, 1)),
    append(9, prev=(3, 1)),
    install(9, snapshot(9, 1)),
    denied(9, asked=2),
    refusal(9, asked=2),
    wants(9, 3, 0, asked=2),
]


@pytest.mark.parametrize("role", ["follower", "candidate", "leader"])
@pytest.mark.parametrize("message", HIGHER_TERM, ids=lambda message: type(message).__name__)
def test_a_higher_term_is_adopted_as_a_follower(role: str, message: Message) -> None:
    """TERM-1, §5.1: "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to
    follower"."""
    n1 = {"follower": member, "candidate": lambda *t: candidate(*t)[0], "leader": leader}[role](1, 1, 1)
    n1.hears(N2, message)
    assert (n1.role, n1.term, n1.kept.hard_state.term) == (Role.FOLLOWER, 9, 9)


def test_a_higher_term_brings_no_vote_in_it() -> None:
    """TERM-1: "adopts it and becomes a follower, without a vote in that term"."""
    n1 = member(1, 1, voted_for=N3)
    n1.hears(N2, append(5, prev=(9, 5)))
    assert n1.kept.hard_state == HardState(Term(5), None, members(3))


def test_a_request_of_a_lower_term_is_refused_with_the_receivers_term() -> None:
    """TERM-2, §5.1: "If a server receives a request with a stale term number, it rejects the request"."""
    n1 = member(1, 1, term=5)
    n1.hears(N2, vote(4, last=(9, 4)), append(4, prev=(2, 1)), install(4, snapshot(9, 4)))
    assert n1.says(N2) == [denied(5, asked=4), refusal(5, asked=4), wants(5, 9, 0, asked=4)]


def test_a_vote_request_of_term_0_is_answered_too() -> None:
    """TERM-2: the lowest term there is gets its refusal like any other; it costs nothing and tells the term."""
    n1 = member(1, term=5)
    n1.hears(N2, vote(0))
    assert (n1.says(N2), n1.term) == ([denied(5, asked=0)], 5)


def test_a_late_vote_elects_nobody() -> None:
    """TERM-3, §5.1: a vote of an election that is over is "for another term"."""
    n1, first = candidate(1)
    campaign(n1, 3)
    n1.hears(N2, yes(first))
    n1.hears(N3, yes(first))
    assert (n1.role, n1.term) == (Role.CANDIDATE, 3)


def test_a_vote_for_another_question_elects_nobody() -> None:
    """TERM-3: "whose seq it is not waiting for, changes nothing"."""
    n1, request = candidate(1)
    n1.hears(N2, granted(request.term, seq=request.seq + 1))
    assert n1.role is Role.CANDIDATE


def test_a_vote_under_the_right_seq_of_the_wrong_term_elects_nobody() -> None:
    """TERM-3: "A response whose request_term is not the receiver's current term ... changes nothing"."""
    n1, request = candidate(1)
    n1.hears(N2, granted(1, seq=request.seq))
    assert n1.role is Role.CANDIDATE


def test_a_vote_that_comes_after_the_election_changes_nothing() -> None:
    """TERM-3: a leader waits for no votes, and a follower for none."""
    n1, request = candidate(1)
    win(n1, request, 3)
    n1.forget()
    n1.hears(N3, yes(request))
    assert (n1.role, n1.outbox) == (Role.LEADER, [])


def test_the_last_term_there_is_can_be_followed_but_not_campaigned_in() -> None:
    """ELECT-3, limit number_max: no term follows the last; a peer that names it stops no server."""
    n1 = member(1)
    n1.hears(N2, append(TERM_MAX, prev=(1, 1)))
    n1.tick()
    assert (n1.term, n1.role, n1.raft.deadline) == (TERM_MAX, Role.FOLLOWER, None)


# ------------------------------------------------------------------------------------------- giving votes


def test_a_vote_is_given_to_who_asks_first() -> None:
    """VOTE-2, §5.2: "Each server will vote for at most one candidate in a given term, on a
    first-come-first-served basis"."""
    n1 = member(1)
    n1.hears(N2, vote(2, last=(1, 1)))
    n1.hears(N3, vote(2, last=(1, 1)))
    assert (n1.says(N2), n1.says(N3)) == ([granted(2)], [denied(2)])


def test_a_vote_is_given_again_to_the_same_candidate() -> None:
    """VOTE-2, Figure 2, RequestVote 2: "If votedFor is null or candidateId"; the first answer may be lost."""
    n1 = member(1)
    n1.hears(N2, vote(2, last=(1, 1), seq=1), vote(2, last=(1, 1), seq=2))
    assert n1.says(N2) == [granted(2, seq=1), granted(2, seq=2)]


def test_a_candidate_of_a_lower_term_gets_no_vote() -> None:
    """VOTE-1, Figure 2, RequestVote 1: "Reply false if term < currentTerm", however good its log."""
    n1 = member(1, 1, term=5)
    n1.hears(N2, vote(4, last=(9, 4)))
    assert n1.says(N2) == [denied(5, asked=4)]


UP_TO_DATE = [
    ((1, 1), False),
    ((3, 1), False),
    ((4, 1), False),
    ((1, 2), False),
    ((2, 2), False),
    ((3, 2), True),
    ((4, 2), True),
    ((1, 3), True),
    ((3, 3), True),
    ((9, 3), True),
]


@pytest.mark.parametrize(("last", "expected"), UP_TO_DATE)
def test_a_candidate_with_an_older_log_gets_no_vote(last: tuple[int, int], expected: bool) -> None:
    """VOTE-3, §5.4.1: "the voter denies its vote if its own log is more up-to-date than that of the
    candidate"."""
    n1 = member(1, 2, 2)
    n1.hears(N2, vote(5, last=last))
    assert n1.says(N2) == [granted(5) if expected else denied(5)]


@pytest.mark.parametrize(("last", "expected"), UP_TO_DATE)
def test_a_log_that_ends_in_a_snapshot_ends_there(last: tuple[int, int], expected: bool) -> None:
    """VOTE-3, §7: "where the log is empty, the snapshot's last index and term count"."""
    n1 = member(after=snapshot(3, 2))
    n1.hears(N2, vote(5, last=last))
    assert n1.says(N2) == [granted(5) if expected else denied(5)]


def test_a_denied_vote_leaves_the_term_adopted_and_the_vote_free() -> None:
    """TERM-1, VOTE-2, VOTE-3: the stale log of one candidate does not cost another its vote."""
    n1 = member(1, 1)
    n1.hears(N2, vote(9, last=(1, 1)))
    n1.hears(N3, vote(9, last=(2, 1)))
    assert (n1.says(N2), n1.says(N3)) == ([denied(9)], [granted(9)])


def test_following_the_leader_does_not_free_the_vote() -> None:
    """VOTE-2: "A change of role within the term, an AppendEntries or a snapshot does not free the vote"."""
    n1 = member(1)
    n1.hears(N2, vote(3, last=(1, 1)), append(3, prev=(1, 1)), install(3, snapshot(5, 2)))
    n1.hears(N3, vote(3, last=(9, 3)))
    assert n1.says(N3) == [denied(3)]


@pytest.mark.parametrize(
    "message",
    [append(2, prev=(1, 1)), append(2, prev=(9, 1)), install(2, snapshot(9, 1))],
    ids=["AppendEntries", "refused AppendEntries", "InstallSnapshot"],
)
def test_a_candidate_that_steps_down_keeps_its_vote_for_itself(message: Message) -> None:
    """VOTE-2: the term had one vote, and it is given; with a second one two leaders could win."""
    n1, _ = candidate(1)
    n1.hears(N2, message)
    n1.hears(N3, vote(2, last=(9, 2)))
    assert (n1.role, n1.says(N3)) == (Role.FOLLOWER, [denied(2)])
    assert n1.kept.hard_state.voted_for == N1


def test_a_leader_that_steps_down_keeps_its_vote_for_itself() -> None:
    """VOTE-2, LEADER-4: losing touch with the majority changes the role, not the vote."""
    n1 = leader(1)
    n1.wait(3 * ELECTION)
    n1.hears(N3, vote(2, last=(9, 9)))
    assert (n1.role is Role.LEADER, denied(2) in n1.says(N3)) == (False, True)
    assert n1.kept.hard_state.voted_for == N1


def test_a_leader_grants_nobody_a_vote_in_its_term() -> None:
    """VOTE-5, VOTE-2: it voted for itself."""
    n1 = leader(1)
    n1.forget()
    n1.hears(N3, vote(2, last=(9, 9)))
    assert (n1.says(N3), n1.role) == ([denied(2)], Role.LEADER)


def test_a_follower_of_the_terms_leader_grants_no_other_a_vote() -> None:
    """VOTE-5, §5.2: it did not vote in this term, but it knows who won."""
    n1 = member(1)
    n1.hears(N2, append(2, prev=(1, 1)))
    n1.hears(N3, vote(2, last=(9, 2)))
    assert n1.says(N3) == [denied(2)]


def test_a_follower_whose_leader_fell_silent_still_grants_no_other_a_vote_in_its_term() -> None:
    """VOTE-5: "A voter that knows the leader of the term grants no other candidate its vote in it"."""
    n1 = member(1)
    n1.hears(N2, append(2, prev=(1, 1)))
    n1.tick()
    n1.forget()
    n1.hears(N3, vote(2, last=(9, 2)))
    assert n1.says(N3) == [denied(2)]


def test_a_vote_names_the_disk_and_not_only_the_node() -> None:
    """FORM-1, VOTE-2: n2 with another disk is another candidate, and this term's vote is given."""
    n1 = member(1)
    n1.hears(N2, vote(2, last=(1, 1)))
    n1.hears(server(2, store=9), vote(2, last=(1, 1)))
    assert n1.says(server(2, store=9)) == []
    assert n1.kept.hard_state.voted_for == N2


# ------------------------------------------------------------------------------------------ getting votes


def test_a_follower_that_hears_nothing_asks_everybody_for_votes_in_the_next_term() -> None:
    """ELECT-3, Figure 2, Candidates: "Increment currentTerm; Vote for self; Send RequestVote RPCs to all other
    servers", with "candidate's last log entry"."""
    n1, request = candidate(1, 2, 2, term=4)
    assert request == VoteRequest(Term(5), request.seq, Index(3), Term(2), False, members(3))
    assert n1.kept.hard_state == HardState(Term(5), N1, members(3))


def test_a_candidate_asks_all_other_servers_on_the_list() -> None:
    """ELECT-3: every other one, once."""
    n1 = member(1, size=5)
    pre = pre_votes(n1)
    n1.hears(N2, yes(pre))
    n1.hears(N3, yes(pre))
    asked = [m.to for m in n1.outbox if isinstance(m.message, VoteRequest)]
    assert asked == [N2, N3, N4, N5]


def test_a_candidate_whose_log_is_compacted_names_its_snapshots_end() -> None:
    """ELECT-3: "the index and term of its last entry, the snapshot's where the log is empty"."""
    _, request = candidate(after=snapshot(7, 3), term=5)
    assert (request.term, request.last_log_index, request.last_log_term) == (6, 7, 3)


@pytest.mark.parametrize(("size", "votes"), [(2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3)])
def test_a_candidate_leads_with_a_majority_and_not_one_vote_less(size: int, votes: int) -> None:
    """VOTE-6, §5.2: "A candidate wins an election if it receives votes from a majority of the servers"."""
    n1, request = candidate(1, size=size)
    roles: list[Role] = []
    for peer in members(size)[1 : votes + 1]:
        roles.append(n1.role)
        n1.hears(peer, yes(request))
    assert [*roles, n1.role] == [Role.CANDIDATE] * votes + [Role.LEADER]


def test_one_voter_counts_once() -> None:
    """VOTE-6: "each server counted once", however often its answer arrives."""
    n1, request = candidate(1, size=5)
    n1.hears(N2, *[yes(request)] * 5)
    assert n1.role is Role.CANDIDATE


def test_a_denial_is_no_vote() -> None:
    """VOTE-6: four that say no elect nobody."""
    n1, request = candidate(1, size=5)
    for peer in (N2, N3, N4, N5):
        n1.hears(peer, no(request))
    assert n1.role is Role.CANDIDATE


def test_the_candidates_own_vote_counts_only_when_it_is_durable() -> None:
    """VOTE-6: "its own only when durable"; neither two others of five are three, nor is an older write the
    vote."""
    n1 = member(1, size=5)
    n1.slow = True
    n1.hears(N2, append(1, command(2, 1), prev=(1, 1)))
    ask = pre_votes(n1)
    n1.hears(N2, yes(ask))
    n1.hears(N3, yes(ask))
    for peer in (N2, N3):
        n1.hears(peer, granted(2, seq=ask.seq + 1))
    roles: list[Role] = [n1.role]
    for _ in range(2):
        n1.fsync(1)
        roles.append(n1.role)
    assert roles == [Role.CANDIDATE, Role.CANDIDATE, Role.LEADER]


@pytest.mark.parametrize("stranger", [server(9), server(2, store=9)], ids=["unknown", "another disk"])
def test_the_vote_of_a_stranger_counts_for_nothing(stranger: ServerId) -> None:
    """VOTE-6, FORM-7, FORM-9: only servers on the list vote; a learner is none of them."""
    n1, request = candidate(1)
    n1.hears(stranger, yes(request))
    assert n1.role is Role.CANDIDATE


def test_a_pre_vote_is_no_vote() -> None:
    """VOTE-6, PREVOTE-1: a pre-vote that comes late, or under a vote's seq, elects nobody."""
    n1, request = candidate(1)
    n1.hears(N2, yes(pre_vote(2, seq=request.seq)), yes(pre_vote(1, seq=request.seq)))
    assert n1.role is Role.CANDIDATE


def test_a_candidate_follows_the_leader_of_its_term() -> None:
    """VOTE-7, §5.2: "If the leader's term is at least as large as the candidate's current term, then the
    candidate recognizes the leader as legitimate and returns to follower state"."""
    n1, request = candidate(1)
    n1.hears(N2, append(2, prev=(1, 1)))
    n1.hears(N3, yes(request))
    assert (n1.role, n1.raft.leader, n1.says(N2)) == (Role.FOLLOWER, N2, [success(2, 1)])


def test_a_candidate_refuses_a_leader_of_a_lower_term() -> None:
    """VOTE-7, §5.2: "If the term in the RPC is smaller than the candidate's current term, then the candidate
    rejects the RPC and continues in candidate state"."""
    n1, _ = candidate(1)
    n1.hears(N2, append(1, *commands(2, 1), prev=(1, 1)))
    assert (n1.role, n1.says(N2), n1.terms) == (Role.CANDIDATE, [refusal(2, asked=1)], (1,))


def test_an_election_without_a_winner_is_followed_by_another_in_a_higher_term() -> None:
    """ELECT-1, §5.2: "each candidate will time out and start a new election by incrementing its term"."""
    n1, first = candidate(1)
    second = campaign(n1, 3)
    assert (second.term, second.seq > first.seq) == (first.term + 1, True)


def test_a_server_alone_leads_and_commits_alone() -> None:
    """VOTE-6, COMMIT-1: of one server, one is a majority."""
    n1 = member(1, size=1)
    n1.tick()
    assert (n1.role, n1.term, n1.commit, n1.terms) == (Role.LEADER, 2, 2, (1, 2))
