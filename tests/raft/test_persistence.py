"""The gate: what must be on the disk before what leaves (Figure 2: "Updated on stable storage before
responding")."""

from __future__ import annotations

import pytest

from casty.raft.messages import Message, PreVoteRequest, VoteRequest
from casty.raft.types import HardState, Index, Term, Write
from tests.raft.servers import acknowledge, candidate, leader, locked, member, only, pre_votes
from tests.raft.shorthand import (
    ELECTION,
    N1,
    N2,
    N3,
    THREE,
    append,
    command,
    commands,
    denied,
    granted,
    install,
    installed,
    log,
    no,
    pre_denied,
    pre_vote,
    refusal,
    snapshot,
    success,
    vote,
    wants,
    yes,
)

# ------------------------------------------------------------------------------------------- what must wait


PROMISES: list[tuple[str, Message, Message]] = [
    ("a granted vote", vote(2, last=(9, 9)), granted(2)),
    ("a denied vote in a new term", vote(9, last=(0, 0)), denied(9)),
    ("entries", append(1, *commands(3, 1, 1), prev=(2, 1)), success(1, 4)),
    ("a heartbeat in a new term", append(9, prev=(2, 1)), success(9, 2)),
    ("a refusal in a new term", append(9, prev=(7, 9)), refusal(9, hint=(3, None))),
    ("a conflict removed", append(2, command(2, 2), prev=(1, 1)), success(2, 2)),
    ("a snapshot", install(1, snapshot(9, 1)), installed(1, 9, 5)),
    ("a chunk in a new term", install(9, snapshot(9, 1), length=2), wants(9, 9, 2)),
]


@pytest.mark.parametrize(("request_", "answer"), [p[1:] for p in PROMISES], ids=[p[0] for p in PROMISES])
def test_a_reply_waits_for_what_it_promises(request_: Message, answer: Message) -> None:
    """PERSIST-1, PERSIST-2, VOTE-4, TERM-4, SNAP-4: "what a message promised is durable before it leaves"."""
    n1 = member(1, 1)
    n1.slow = True
    n1.hears(N2, request_)
    before = n1.says(N2)
    n1.fsync()
    assert (before, n1.says(N2)) == ([], [answer])


@pytest.mark.parametrize("request_", [p[1] for p in PROMISES], ids=[p[0] for p in PROMISES])
def test_what_was_promised_is_there_after_a_crash(request_: Message) -> None:
    """PERSIST-1: "currentTerm, votedFor, the locked list and the log survive a crash"."""
    n1 = member(1, 1)
    n1.hears(N2, request_)
    again = n1.restarted()
    same = [(n.raft.status().term, n.raft.status().voted_for, n.terms, n.kept.snapshot) for n in (n1, again)]
    assert same[0] == same[1]


def test_a_vote_survives_a_crash() -> None:
    """PERSIST-1, VOTE-2: the same term, another candidate, no second vote."""
    n1 = member(1)
    n1.hears(N2, vote(2, last=(1, 1)))
    again = n1.restarted()
    again.hears(N3, vote(2, last=(1, 1)))
    again.hears(N2, vote(2, last=(1, 1)))
    assert (again.says(N3), again.says(N2)) == ([denied(2)], [granted(2)])


def test_a_term_told_in_any_reply_survives_a_crash() -> None:
    """PERSIST-1, TERM-4: a server whose term falls could vote, or lead, twice in one."""
    n1 = member(1)
    n1.hears(N2, append(50, prev=(9, 9)))
    again = n1.restarted()
    again.hears(N2, append(49, prev=(1, 1)))
    assert again.says(N2) == [refusal(50, asked=49)]


def test_a_term_learned_from_a_response_is_written_down_too() -> None:
    """PERSIST-1, TERM-1: stepping down because of an answer is no smaller change than because of a request."""
    n1, request = candidate(1)
    n1.hears(N2, no(request, term=50))
    assert n1.restarted().term == 50


def test_removed_entries_do_not_come_back_after_a_crash() -> None:
    """PERSIST-1, APPEND-3: the removal was acknowledged with the new entries."""
    n1 = member(1, 1, 1, 1)
    n1.hears(N2, append(2, command(2, 2), prev=(1, 1)))
    assert n1.restarted().terms == (1, 2)


def test_a_crash_before_the_disk_was_done_leaves_a_prefix() -> None:
    """PERSIST-1, PERSIST-2: none of it was promised, so all of it may be gone."""
    n1 = member(1)
    n1.slow = True
    n1.hears(N2, append(1, command(2, 1), prev=(1, 1)), append(1, command(3, 1), prev=(2, 1)))
    n1.fsync(1)
    assert (n1.says(N2), n1.restarted().terms) == ([success(1, 2)], (1, 1))


def test_term_and_vote_are_one_write() -> None:
    """PERSIST-1: "Term and vote change together": no crash can come between them."""
    n1 = member(1)
    n1.slow = True
    n1.hears(N2, vote(5, last=(1, 1)))
    assert n1.writes == [Write(1, HardState(Term(5), N2, THREE))]


def test_removal_and_entries_are_one_write() -> None:
    """APPEND-3: removed "atomically with the appending of the new ones", term included."""
    n1 = member(1, 1, 1)
    n1.slow = True
    n1.hears(N2, append(2, command(2, 2), prev=(1, 1)))
    hard = HardState(Term(2), None, THREE)
    assert n1.writes == [Write(1, hard, None, Index(2), (command(2, 2),))]


def test_request_vote_waits_for_the_candidates_own_vote() -> None:
    """VOTE-4: "a RequestVote only when term and self-vote are" durable; else a crash forgets whom it voted
    for."""
    n1 = member(1)
    ask = pre_votes(n1)
    n1.slow = True
    n1.hears(N2, yes(ask))
    before = n1.says(N2)
    n1.fsync()
    request = only(n1.says(N2), VoteRequest)
    assert (before, request.term, n1.kept.hard_state) == ([], 2, HardState(Term(2), N1, THREE))


def test_a_refusal_waits_even_when_it_changes_nothing_itself() -> None:
    """PERSIST-2: "Every Raft response, refusals included, leaves only when all that was written before it is
    durable"."""
    n1 = member(1, 1)
    n1.slow = True
    n1.hears(N2, append(1, command(3, 1), prev=(2, 1), seq=1), append(1, prev=(9, 1), seq=2))
    n1.hears(N3, vote(0, seq=3), append(0, seq=4), install(0, snapshot(9, 0), seq=5))
    before = (n1.says(N2), n1.says(N3))
    n1.fsync()
    assert before == ([], [])
    assert n1.says(N2) == [success(1, 3, seq=1), refusal(1, hint=(4, None), seq=2)]
    assert n1.says(N3) == [
        denied(1, asked=0, seq=3),
        refusal(1, asked=0, seq=4),
        wants(1, 9, 0, asked=0, seq=5),
    ]


@pytest.mark.parametrize("request_", [vote(2, last=(1, 1)), pre_vote(1, last=(1, 1))], ids=["vote", "pre-vote"])
def test_entries_that_are_still_being_written_count_in_votes(request_: VoteRequest | PreVoteRequest) -> None:
    """VOTE-3: "The voter compares with its log in memory, entries not yet durable included": their
    acknowledgement may be on its way already."""
    n1 = member(1)
    n1.slow = True
    n1.hears(N2, append(1, command(2, 1), prev=(1, 1)))
    n1.later(2 * ELECTION)
    n1.hears(N3, request_)
    n1.fsync()
    assert [getattr(answer, "vote_granted", None) for answer in n1.says(N3)] == [False]


def test_a_pre_vote_reply_waits_like_any_other() -> None:
    """PERSIST-2, TERM-4: it tells a term."""
    n1 = member(1, 1)
    n1.slow = True
    n1.hears(N2, vote(5, last=(0, 0)), pre_vote(5, last=(0, 0)))
    before = n1.says(N2)
    n1.fsync()
    assert (before, n1.says(N2)) == ([], [denied(5), pre_denied(5)])


def test_replies_leave_in_the_order_of_their_requests_as_the_disk_gets_on() -> None:
    """PERSIST-2: each waits for the writes before it, and for no later one."""
    n1 = member(1)
    n1.slow = True
    for index in (2, 3, 4):
        n1.hears(N2, append(1, command(index, 1), prev=(index - 1, 1), seq=index))
    said: list[list[Message]] = []
    for _ in range(3):
        n1.fsync(1)
        said.append(n1.says(N2))
    assert said == [[success(1, index, seq=index)] for index in (2, 3, 4)]


def test_one_fsync_may_free_many_replies() -> None:
    """PERSIST-2: group commit; whatever arrived while the disk was busy is made durable together."""
    n1 = member(1)
    n1.slow = True
    for index in (2, 3, 4):
        n1.hears(N2, append(1, command(index, 1), prev=(index - 1, 1)))
    n1.fsync()
    assert n1.says(N2) == [success(1, index) for index in (2, 3, 4)]


# --------------------------------------------------------------------------------------- the leader's own disk


def test_the_leader_counts_itself_only_for_what_is_on_its_disk() -> None:
    """COMMIT-2, thesis §10.2.1: with one of three acknowledgements missing, its own fsync decides."""
    n1 = leader(1)
    acknowledge(n1, N2, N3)
    n1.slow = True
    n1.proposes(b"x")
    acknowledge(n1, N2)
    before = n1.commit
    n1.fsync()
    assert (before, n1.commit) == (2, 3)


def test_a_majority_without_the_leader_commits_as_well() -> None:
    """COMMIT-2, COMMIT-1, thesis §10.2.1: "the leader may even commit an entry before it has been written to
    its own disk, if a majority of followers have"."""
    n1 = leader(1)
    acknowledge(n1, N2, N3)
    n1.slow = True
    n1.proposes(b"x")
    acknowledge(n1, N2, N3)
    assert n1.commit == 3


def test_nothing_is_applied_that_is_not_durable_here() -> None:
    """COMMIT-3: a state machine ahead of its own log would have no way back after a crash."""
    n1 = leader(1)
    acknowledge(n1, N2, N3)
    n1.slow = True
    n1.proposes(b"x")
    acknowledge(n1, N2, N3)
    before = n1.applied_data[-1]
    n1.fsync()
    assert (before, n1.applied_data[-1]) == (b"", b"x")


def test_a_server_alone_commits_when_its_disk_is_done_and_no_earlier() -> None:
    """COMMIT-2: its own disk is the whole majority."""
    n1 = member(1, size=1)
    n1.tick()
    n1.slow = True
    n1.proposes(b"x")
    before = n1.commit
    n1.fsync()
    assert (before, n1.commit) == (2, 3)


def test_an_entry_one_that_was_accepted_binds_after_a_crash() -> None:
    """PERSIST-1, FORM-8: the standing of a member rests on its log."""
    n1 = locked()
    n1.hears(N2, append(1, *log(1)))
    assert n1.restarted().standing == "member"


@pytest.mark.parametrize("at", [1, 2])
def test_a_restart_applies_everything_again_from_its_snapshot_on(at: int) -> None:
    """COMMIT-3: "each once per run of the server ...; after a restart from the snapshot's index on"."""
    n1 = member(1, 1, 1, after=snapshot(at, 1))
    n1.hears(N2, append(1, prev=(at + 2, 1), commit=at + 2))
    again = n1.restarted()
    restored = len(again.applied)
    again.hears(N2, append(1, prev=(at + 3, 1), commit=at + 3))
    assert (restored, again.applied_data) == (1, [f"{at + i}@1".encode() for i in (1, 2, 3)])
