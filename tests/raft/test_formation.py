"""Formation: from strangers to a cluster whose list never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casty.raft.events import Role
from casty.raft.messages import PreVoteRequest, VoteRequest
from casty.raft.types import HardState, Index, Term
from tests.raft.servers import formed, fresh, learner, locked, member, only, pre_votes
from tests.raft.shorthand import (
    N1,
    N2,
    N3,
    N4,
    REBORN,
    THREE,
    append,
    denied,
    entry_one,
    granted,
    members,
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

    from casty.raft.messages import Message
    from casty.raft.types import ServerId
    from tests.raft.harness import Server


# --------------------------------------------------------------------------------------------- who is what


def test_a_servers_standing_is_what_its_disk_says() -> None:
    """FORM-2: "FRESH (no list), LOCKED (a durable member list, no entry 1) or MEMBER (entry 1, or a snapshot,
    names its pair)"; FORM-9: listed with another store id, it is a learner."""
    servers = [fresh(), locked(), member(1), member(after=snapshot(5, 1)), learner(1)]
    assert [n.standing for n in servers] == ["fresh", "locked", "member", "member", "learner"]


def test_a_restart_changes_no_standing() -> None:
    """FORM-2: list, entry 1 and snapshot are durable, and nothing else counts."""
    servers = [fresh(), locked(), member(1), member(after=snapshot(5, 1)), learner(1), formed()]
    assert [n.restarted().standing for n in servers] == [n.standing for n in servers]


def test_a_server_that_lost_its_disk_is_another_server() -> None:
    """FORM-1: "A server is the pair of node id and store id"; n1 with a new disk is not the n1 that voted."""
    n2 = member(1, me=N2)
    n2.hears(REBORN, vote(2, last=(9, 9)))
    assert (n2.says(REBORN), n2.objects(), n2.term) == ([], [("NOT_A_MEMBER", "FORM-7")], 1)


# ------------------------------------------------------------------------------------------------ discovery


@pytest.mark.parametrize(
    "discovered",
    [(N1,), (N1, N2), (N1, N2, N3, N4), (N2, N3, N4), (N1, N2, server(2, store=9))],
    ids=["alone", "one missing", "one too many", "itself missing", "one id twice"],
)
def test_a_fresh_server_waits_until_it_has_discovered_exactly_its_cluster(
    discovered: tuple[ServerId, ...],
) -> None:
    """FORM-4: "itself and the servers that said hello to it as members ..., exactly expected_cluster_size
    pairs of distinct node ids"."""
    n1 = fresh(3)
    n1.discovers(*discovered)
    assert n1.raft.deadline is None


def test_a_fresh_server_asks_for_the_list_it_discovered() -> None:
    """FORM-4, FORM-3: the list is sorted, and the election one of formation."""
    n1 = fresh(3, discovered=False)
    n1.discovers(N3, N1, N2)
    assert pre_votes(n1) == PreVoteRequest(Term(0), 1, Index(0), Term(0), True, THREE)


def test_what_is_discovered_again_does_not_put_off_the_election() -> None:
    """FORM-4, ELECT-2: a hello is no leader."""
    n1 = fresh(3)
    before = n1.raft.deadline
    n1.later(900)
    n1.discovers(N1, N2, N3)
    assert n1.raft.deadline == before


@pytest.mark.parametrize("others", [(N1, N2), (N1, N2, N3, N4), (N1, N2, N4)])
def test_a_question_about_a_list_that_is_no_longer_there_is_withdrawn(others: tuple[ServerId, ...]) -> None:
    """FORM-4: late grants for a list that discovery has left behind lock nothing."""
    n1 = fresh(3)
    ask = pre_votes(n1)
    n1.hears(N2, yes(ask))
    n1.discovers(*others)
    n1.hears(N3, yes(ask))
    assert (n1.role, n1.standing) == (Role.FOLLOWER, "fresh")


# --------------------------------------------------------------------------------------------- campaigning


def test_formation_needs_every_single_vote() -> None:
    """FORM-3: "win only with the grant of every server on the list"; with a majority alone two lists could
    win."""
    n1 = fresh(3)
    ask = pre_votes(n1)
    n1.hears(N2, yes(ask))
    n1.hears(N3, yes(ask))
    request = only(n1.says(N2), VoteRequest)
    n1.hears(N2, yes(request))
    before = n1.role
    n1.hears(N3, yes(request))
    assert (request.formation, before, n1.role) == (True, Role.CANDIDATE, Role.LEADER)


def test_no_list_is_locked_before_a_unanimous_pre_vote() -> None:
    """FORM-3: a fourth server that turns up before it costs nothing but patience."""
    n1 = fresh(3)
    ask = pre_votes(n1)
    n1.hears(N2, yes(ask))
    before = n1.kept.hard_state.lock
    n1.hears(N3, yes(ask))
    assert (before, n1.kept.hard_state) == (None, HardState(Term(1), N1, THREE))


def test_a_locked_server_campaigns_for_its_own_list_whatever_it_discovers() -> None:
    """FORM-2, FORM-3: "A member list, once locked, never changes", and it still takes everybody."""
    n1 = locked(3, term=4)
    n1.discovers(N1, N2, N4)
    ask = pre_votes(n1)
    n1.hears(N2, yes(ask))
    before = n1.role
    n1.hears(N3, yes(ask))
    assert ask == PreVoteRequest(Term(4), 1, Index(0), Term(0), True, THREE)
    assert (before, n1.role) == (Role.PRE_CANDIDATE, Role.CANDIDATE)


def test_a_member_campaigns_without_formation_and_needs_a_majority() -> None:
    """FORM-3: "a MEMBER campaigns with formation false and needs a majority of the list"."""
    n1 = member(1)
    ask = pre_votes(n1)
    n1.hears(N2, yes(ask))
    request = only(n1.says(N2), VoteRequest)
    n1.hears(N2, yes(request))
    assert (ask.formation, request.formation, n1.role) == (False, False, Role.LEADER)


def test_a_server_that_expects_only_itself_forms_alone() -> None:
    """FORM-3, FORM-6: of a list of one, one is everybody."""
    n1 = fresh(1)
    n1.tick()
    assert (n1.role, n1.standing, n1.commit) == (Role.LEADER, "member", 1)


# ------------------------------------------------------------------------------------------------- granting


def test_a_fresh_server_votes_for_the_list_it_discovered_and_is_bound_to_it() -> None:
    """FORM-5, FORM-4: "A grant of a FRESH server's vote locks the list"."""
    n1 = fresh(3)
    n1.hears(N2, vote(1, formation=True))
    assert (n1.says(N2), n1.standing) == ([granted(1)], "locked")
    assert n1.kept.hard_state == HardState(Term(1), N2, THREE)


def test_list_term_and_vote_are_durable_before_the_grant_leaves() -> None:
    """FORM-5: "list, term and vote are durable before the grant leaves"."""
    n1 = fresh(3)
    n1.slow = True
    n1.hears(N2, vote(1, formation=True))
    before = n1.says(N2)
    write = n1.writes[0].hard_state
    n1.fsync()
    assert (before, write, n1.says(N2)) == ([], HardState(Term(1), N2, THREE), [granted(1)])


def test_a_pre_vote_locks_nothing_at_the_voter() -> None:
    """FORM-3, PREVOTE-1: a question binds nobody."""
    n1 = fresh(3)
    n1.hears(N2, pre_vote(0, formation=True))
    assert (n1.says(N2), n1.standing) == ([pre_granted(0)], "fresh")


NOT_FOR_FRESH = [
    vote(1),
    vote(1, formation=True, members=members(4)),
    vote(1, formation=True, members=(N1, N2)),
    vote(1, formation=True, members=(N1, N2, server(3, store=9))),
]


@pytest.mark.parametrize("request_", NOT_FOR_FRESH, ids=["no formation", "longer", "shorter", "another store"])
def test_a_fresh_server_answers_for_no_other_list_and_no_other_kind(request_: VoteRequest) -> None:
    """FORM-4: it "answers vote and pre-vote requests only with formation true for, a list equal to the one it
    discovered"."""
    n1 = fresh(3)
    n1.hears(N2, request_)
    n1.hears(N2, PreVoteRequest(request_.term, 2, Index(0), Term(0), request_.formation, request_.members))
    assert (n1.says(N2), n1.term, n1.standing) == ([], 0, "fresh")


def test_a_fresh_server_answers_nobody_who_is_not_on_the_list() -> None:
    """FORM-4, FORM-7: the candidate itself must be one of those it names."""
    n1 = fresh(3)
    n1.hears(N4, vote(1, formation=True))
    assert (n1.says(N4), n1.term) == ([], 0)


@pytest.mark.parametrize("formation", [True, False])
def test_a_locked_server_votes_in_either_kind_of_election_for_its_own_list(formation: bool) -> None:
    """FORM-5: a member that has entry 1 already campaigns without formation, and needs the locked ones."""
    n1 = locked(3)
    n1.hears(N2, vote(2, last=(2, 2), formation=formation), pre_vote(2, last=(2, 2), formation=formation))
    assert n1.says(N2) == [granted(2), pre_granted(2)]


def test_a_locked_server_votes_for_no_other_list() -> None:
    """FORM-5: "only for its own list"."""
    n1 = locked(3)
    n1.hears(N2, vote(2, last=(2, 2), members=members(4)), pre_vote(2, last=(2, 2), members=(N1, N2)))
    assert n1.says(N2) == [denied(2), pre_denied(2)]
    assert n1.kept.hard_state == HardState(Term(2), None, THREE)


def test_a_lock_outlives_votes_terms_and_entry_one() -> None:
    """FORM-2: "A member list, once locked, never changes"."""
    n1 = locked(3)
    n1.hears(N2, vote(2, formation=True), append(3, entry_one(3)), append(4))
    n1.hears(N3, vote(9, last=(9, 9)))
    assert (n1.kept.hard_state, n1.standing) == (HardState(Term(9), N3, THREE), "member")


MISFITS: list[tuple[str, Callable[[], Server], Message, Message]] = [
    ("locked, longer list", locked, vote(9, last=(9, 9), members=members(4)), denied(9)),
    ("locked, pre-vote", locked, pre_vote(9, last=(9, 9), members=members(4)), pre_denied(1, asked=9)),
    ("member, longer list", lambda: member(1), vote(9, last=(9, 9), members=members(4)), denied(9)),
    ("learner", lambda: learner(1), vote(9, last=(9, 9)), denied(9)),
    ("learner, pre-vote", lambda: learner(1), pre_vote(9, last=(9, 9)), pre_denied(1, asked=9)),
]


@pytest.mark.parametrize(("make", "request_", "answer"), [m[1:] for m in MISFITS], ids=[m[0] for m in MISFITS])
def test_a_listed_candidate_that_cannot_have_the_vote_is_told_so(
    make: Callable[[], Server], request_: Message, answer: Message
) -> None:
    """TERM-2: "Every request from a server on the list gets a response", be it for another list or to a
    learner."""
    n1 = make()
    n1.hears(N2, request_)
    assert n1.says(N2) == [answer]
