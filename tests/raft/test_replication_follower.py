"""What a follower makes of AppendEntries (paper §5.3; Figure 2, AppendEntries RPC)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from casty.raft.events import Committed, Role
from casty.raft.messages import AppendEntriesRequest, AppendEntriesResponse
from tests.raft.servers import candidate, fresh, leader, locked, member
from tests.raft.shorthand import (
    ELECTION,
    N2,
    N3,
    append,
    command,
    commands,
    entry_one,
    install,
    log,
    noop,
    refusal,
    snapshot,
    success,
    vote,
    wants,
)

if TYPE_CHECKING:
    from tests.raft.harness import Server


def answer(n1: Server, request: AppendEntriesRequest) -> object:
    """The one answer that n2 gets."""
    n1.hears(N2, request)
    (message,) = n1.says(N2)
    return message


# --------------------------------------------------------------------------- 1. a term that is over


def test_a_lower_term_is_refused_and_changes_nothing() -> None:
    """APPEND-1, Figure 2, AppendEntries 1: "Reply false if term < currentTerm"."""
    n1 = member(1, 1, term=5)
    n1.later(900)
    before = (n1.raft.status(), n1.raft.deadline, n1.kept)
    said = answer(n1, append(4, *commands(2, 4), prev=(1, 1), commit=2))
    assert (said, (n1.raft.status(), n1.raft.deadline, n1.kept)) == (refusal(5, asked=4), before)


# ---------------------------------------------------------------------- 2. the entry before the new ones


def test_the_first_heartbeat_finds_an_empty_log_equal() -> None:
    """APPEND-2: "Index 0 ... count[s] as had"; and whoever sends it is known as the leader."""
    n1 = locked()
    assert (answer(n1, append(1)), n1.raft.leader) == (success(1, 0), N2)


@pytest.mark.parametrize(
    ("prev", "hint"),
    [((4, 2), (4, None)), ((9, 2), (4, None)), ((4, 0), (4, None)), ((3, 1), (2, 2)), ((2, 1), (2, 2))],
    ids=["beyond the end", "far beyond", "beyond, of no term", "another term", "another term earlier"],
)
def test_entries_that_follow_an_unknown_one_are_refused(
    prev: tuple[int, int], hint: tuple[int, int | None]
) -> None:
    """APPEND-2, Figure 2, AppendEntries 2: "Reply false if log doesn't contain an entry at prevLogIndex whose
    term matches prevLogTerm"; the hints of LEADER-5 say where to try next."""
    n1 = member(1, 2, 2, term=3)
    said = answer(n1, append(3, command(prev[0] + 1, 3), prev=prev, commit=9))
    assert (said, n1.terms, n1.commit) == (refusal(3, hint=hint), (1, 2, 2), 0)


def test_the_hint_names_where_the_conflicting_term_begins() -> None:
    """LEADER-5, §5.3: "the term of the conflicting entry and the first index it stores for that term"."""
    n1 = member(1, 2, 2, 2, 3, term=5)
    assert answer(n1, append(5, prev=(4, 4))) == refusal(5, hint=(2, 2))


def test_index_0_has_term_0_and_no_other() -> None:
    """APPEND-2, APPEND-9: before the log there is nothing that could have a term; "has no effect at all", the
    term included."""
    n1 = member(1)
    n1.hears(N2, append(2, prev=(0, 1)))
    assert (n1.says(N2), n1.objects(), n1.term) == ([], [("BAD_PAYLOAD", "APPEND-9")], 1)


@pytest.mark.parametrize("prev", [(5, 2), (4, 9), (1, 1), (0, 0)])
def test_what_the_snapshot_holds_counts_as_had(prev: tuple[int, int]) -> None:
    """APPEND-2, §7: "what the receiver has only in its snapshot, count[s] as had"; it is committed."""
    n1 = member(2, after=snapshot(5, 2))
    assert answer(n1, append(2, prev=prev)) == success(2, prev[0])


def test_the_snapshots_last_entry_is_compared_by_its_term() -> None:
    """APPEND-2, APPEND-6: "the snapshot's own last entry is compared by its term", and it is committed."""
    n1 = member(2, after=snapshot(5, 2))
    assert answer(n1, append(3, prev=(5, 1))) == refusal(3)
    assert n1.objects() == [("COMMITTED_CONFLICT", "APPEND-6")]


# ------------------------------------------------------------------------------- 3 and 4. the new entries


def test_a_conflicting_entry_and_all_that_follow_are_removed() -> None:
    """APPEND-3, Figure 2, AppendEntries 3: "delete the existing entry and all that follow it"."""
    n1 = member(1, 1, 1, 1, 1)
    said = answer(n1, append(2, command(3, 2), prev=(2, 1)))
    assert (said, n1.terms, n1.kept.entries) == (success(2, 3), (1, 1, 2), (*log(1, 1), command(3, 2)))


@pytest.mark.parametrize(
    "request_",
    [
        append(1, prev=(1, 1)),
        append(1, *commands(2, 1), prev=(1, 1)),
        append(1, *commands(2, 1, 1), prev=(1, 1)),
        append(1, *log(1)),
        append(1),
    ],
    ids=["heartbeat", "one entry", "two entries", "from the beginning", "nothing at all"],
)
def test_an_old_or_short_request_removes_nothing(request_: AppendEntriesRequest) -> None:
    """APPEND-3: "Without a conflict nothing is removed, however short or old the request"; it may have been
    late, and its sender may count on what was acknowledged since."""
    n1 = member(1, 1, 1, 1, 1)
    said = answer(n1, request_)
    end = request_.prev_log_index + len(request_.entries)
    assert (said, n1.terms) == (success(1, end), (1, 1, 1, 1, 1))


def test_entries_not_yet_in_the_log_are_appended() -> None:
    """APPEND-4, Figure 2, AppendEntries 4: "Append any new entries not already in the log"."""
    n1 = member(1, 1)
    said = answer(n1, append(2, *commands(2, 1, 2, 2), prev=(1, 1)))
    assert (said, n1.terms) == (success(2, 4), (1, 1, 2, 2))


def test_entries_within_the_snapshot_are_skipped() -> None:
    """APPEND-4: "those that the receiver has only in its snapshot are skipped"; the rest goes to its place."""
    n1 = member(after=snapshot(5, 1))
    said = answer(n1, append(2, *commands(4, 1, 1, 2, 2), prev=(3, 1)))
    assert (said, n1.terms, n1.raft.log.last_index) == (success(2, 7), (2, 2), 7)


def test_a_request_that_ends_within_the_snapshot_is_agreed_to_up_to_its_end() -> None:
    """APPEND-4, APPEND-7: nothing is appended, and no more is acknowledged than was asked about."""
    n1 = member(1, after=snapshot(5, 1))
    assert (answer(n1, append(1, *commands(2, 1, 1), prev=(1, 1))), n1.terms) == (success(1, 3), (1,))


def all_logs() -> list[tuple[int, ...]]:
    return [terms for n in range(1, 5) for terms in product((1, 2), repeat=n) if list(terms) == sorted(terms)]


def figure_2(have: tuple[int, ...], prev: int, theirs: tuple[int, ...]) -> tuple[int, ...]:
    """The terms of the receiver's log after entries prev + 1 to the end of `theirs`, step by step."""
    if prev > 0 and have[prev - 1 : prev] != theirs[prev - 1 : prev]:  # step 2
        return have
    terms = list(have)
    for index, term in enumerate(theirs[prev:], prev + 1):
        if terms[index - 1 :] and terms[index - 1] != term:  # step 3
            del terms[index - 1 :]
        if len(terms) < index:  # step 4
            terms.append(term)
    return tuple(terms)


@pytest.mark.parametrize("have", all_logs())
def test_every_small_request_leaves_the_log_that_figure_2_describes(have: tuple[int, ...]) -> None:
    """APPEND-2, APPEND-3, APPEND-4: all requests of a leader of term 3, against Figure 2 written down
    naively."""
    for theirs in all_logs():
        for prev in range(len(theirs) + 1):
            n1 = member(*have)
            n1.hears(N2, append(3, *log(*theirs)[prev:], prev=(prev, theirs[prev - 1] if prev else 0)))
            assert n1.terms == figure_2(have, prev, theirs), (theirs, prev)


# ------------------------------------------------------------------------------------------ 5. the commit index


def test_the_commit_index_follows_the_leaders_up_to_the_last_new_entry() -> None:
    """APPEND-5, Figure 2, AppendEntries 5: "commitIndex = min(leaderCommit, index of last new entry)"."""
    n1 = member(1)
    commits: list[int] = []
    for request in (
        append(1, *commands(2, 1, 1), prev=(1, 1), commit=1),
        append(1, prev=(3, 1), commit=2),
        append(1, prev=(3, 1), commit=99),
    ):
        n1.hears(N2, request)
        commits.append(n1.commit)
    assert commits == [1, 2, 3]


def test_a_stale_tail_is_not_committed_by_a_heartbeat_that_does_not_cover_it() -> None:
    """APPEND-5: "min(leader_commit, prev_log_index + len(entries))", not the log's own end; entries 3 to 5 may
    be another leader's."""
    n1 = member(1, 1, 1, 1, 1)
    n1.hears(N2, append(2, prev=(2, 1), commit=5))
    assert (n1.commit, len(n1.applied_data)) == (2, 2)


def test_the_commit_index_never_falls() -> None:
    """APPEND-5: "It never falls", and nothing is applied twice."""
    n1 = member(1, 1, 1)
    n1.hears(N2, append(1, prev=(3, 1), commit=3), append(1, prev=(3, 1), commit=1), append(1, prev=(1, 1)))
    assert (n1.commit, n1.applied_data[1:]) == (3, [b"2@1", b"3@1"])


def test_a_refused_request_commits_nothing() -> None:
    """APPEND-5: step 5 comes after the steps that may refuse."""
    n1 = member(1, 1)
    n1.hears(N2, append(1, prev=(5, 1), commit=2))
    assert n1.commit == 0


# -------------------------------------------------------------------------------- what no leader would send


def committed() -> Server:
    """A follower that knows entries 1 and 2 to be committed, of three."""
    n1 = member(1, 1, 1)
    n1.hears(N2, append(1, prev=(2, 1), commit=2))
    n1.forget()
    return n1


def test_a_new_entry_in_place_of_a_committed_one_is_refused() -> None:
    """APPEND-6, §5.4.3: "COMMITTED_CONFLICT: refused, the log untouched"; somebody broke Leader
    Completeness."""
    n1 = committed()
    said = answer(n1, append(2, *commands(2, 2, 2), prev=(1, 1)))
    assert (said, n1.objects()) == (refusal(2), [("COMMITTED_CONFLICT", "APPEND-6")])
    assert (n1.terms, n1.kept.entries, n1.commit) == ((1, 1, 1), log(1, 1, 1), 2)
    assert n1.warned("entry 2", "commit index 2")


def test_another_term_for_a_committed_entry_is_refused() -> None:
    """APPEND-6: "A request that contradicts an entry at or below the receiver's commit index"; no hint
    helps."""
    n1 = committed()
    said = answer(n1, append(3, command(3, 3), prev=(2, 2)))
    assert (said, n1.objects(), n1.terms) == (refusal(3), [("COMMITTED_CONFLICT", "APPEND-6")], (1, 1, 1))


def test_the_entry_after_the_committed_ones_may_be_replaced() -> None:
    """APPEND-6, APPEND-3: at the commit index is the border, not beyond it."""
    n1 = committed()
    assert (answer(n1, append(2, command(3, 2), prev=(2, 1))), n1.terms) == (success(2, 3), (1, 1, 2))


@pytest.mark.parametrize(
    "request_",
    [
        append(3, command(2, 3), command(3, 2), prev=(1, 1)),
        append(3, command(3, 1), prev=(2, 2)),
        append(3, command(2, 4), prev=(1, 1)),
        append(1, command(2, 1), prev=(1, 2)),
    ],
    ids=["terms fall", "below prev_log_term", "above the request's term", "below, in a lower term"],
)
def test_entries_whose_terms_no_log_can_have_are_malformed(request_: AppendEntriesRequest) -> None:
    """APPEND-9: "Entries whose terms fall, start below prev_log_term or exceed the request's term are
    BAD_PAYLOAD; the log is unchanged", and so is everything else."""
    n1 = member(1, 2, term=2)
    before = (n1.raft.status(), n1.raft.deadline)
    n1.hears(N2, request_)
    assert (n1.says(N2), n1.objects()) == ([], [("BAD_PAYLOAD", "APPEND-9")])
    assert (n1.raft.status(), n1.raft.deadline) == before


def test_a_second_leader_of_a_term_is_refused() -> None:
    """APPEND-10, Figure 3: "at most one leader can be elected in a given term", so one of the two is none."""
    n1 = member(1, 1)
    n1.hears(N2, append(1, prev=(2, 1)))
    n1.hears(N3, append(1, command(2, 1), prev=(1, 1)), install(1, snapshot(9, 1)))
    assert n1.says(N3) == [refusal(1), wants(1, 9, 0)]
    assert n1.objects() == [("TWO_LEADERS", "APPEND-10")] * 2
    assert (n1.raft.leader, n1.kept.entries) == (N2, log(1, 1))


def test_a_leader_refuses_another_of_its_term_and_stays() -> None:
    """APPEND-10: it knows who won this term."""
    n1 = leader(1)
    n1.forget()
    n1.hears(N3, append(2, prev=(1, 1)))
    assert (n1.says(N3), n1.objects(), n1.role) == (
        [refusal(2)],
        [("TWO_LEADERS", "APPEND-10")],
        Role.LEADER,
    )


def test_a_term_has_one_leader_even_when_it_fell_silent() -> None:
    """APPEND-10: "a second leader of the receiver's term"; the election timeout ends no term."""
    n1 = member(1)
    n1.hears(N2, append(1, prev=(1, 1)))
    n1.tick()
    n1.hears(N3, append(1, prev=(1, 1)))
    assert n1.objects() == [("TWO_LEADERS", "APPEND-10")]


def test_a_term_has_one_leader_even_when_that_was_this_server() -> None:
    """APPEND-10, LEADER-4: a leader without a majority steps down "in the same term", and nobody else can have
    won that one."""
    n1 = leader(1)
    n1.wait(3 * ELECTION)
    n1.hears(N3, append(2, prev=(1, 1)))
    assert n1.objects() == [("TWO_LEADERS", "APPEND-10")]


def test_a_new_term_may_have_a_new_leader() -> None:
    """APPEND-10, TERM-1: in the next term, another leader is nothing strange."""
    n1 = member(1)
    n1.hears(N2, append(1, prev=(1, 1)))
    n1.hears(N3, append(2, prev=(1, 1)))
    assert (n1.says(N3), n1.raft.leader, n1.objects()) == ([success(2, 1)], N3, [])


# -------------------------------------------------------------------------------------------- the answer


def test_a_success_claims_no_more_than_the_request_covers() -> None:
    """APPEND-7, Figure 2: "It is never the receiver's own last index"; entries 3 to 5 are somebody else's."""
    n1 = member(1, 1, 1, 1, 1)
    assert answer(n1, append(2, prev=(2, 1))) == success(2, 2)


def test_a_reply_goes_back_the_way_its_request_came() -> None:
    """PEER-6, APPEND-7: an acknowledgement dies with its connection."""
    n1 = member(1)
    n1.hears(N2, append(1, prev=(1, 1)), via="the connection")
    n1.hears(N3, append(1, prev=(1, 1)), via="another")
    assert [m.via for m in n1.outbox] == ["the connection", "another", "another"]


def test_every_answer_repeats_term_and_seq_of_its_request() -> None:
    """TERM-3: what the requester needs to know which question this answers."""
    n1 = member(1, term=5)
    n1.hears(N2, append(4, seq=11), append(5, prev=(1, 1), seq=12), append(5, prev=(9, 1), seq=13))
    answers = [m for m in n1.says(N2) if isinstance(m, AppendEntriesResponse)]
    assert [(a.term, a.request_term, a.seq) for a in answers] == [(5, 4, 11), (5, 5, 12), (5, 5, 13)]


def test_a_fresh_server_answers_a_heartbeat_and_learns_the_term() -> None:
    """TERM-1, FORM-9: how a server that lost its disk finds the cluster again: the leader then sends entry
    1."""
    n1 = fresh()
    assert (answer(n1, append(4, prev=(7, 4))), n1.term) == (refusal(4, hint=(1, None)), 4)


def test_committed_entries_are_handed_over_once_and_in_order() -> None:
    """COMMIT-3, Figure 2, All Servers: "increment lastApplied, apply log[lastApplied] to state machine"."""
    n1 = member(1)
    n1.hears(N2, append(1, *commands(2, 1, 1), prev=(1, 1), commit=2))
    n1.hears(N2, append(1, command(4, 1), prev=(3, 1), commit=4))
    handed = [item for item in n1.applied if isinstance(item, Committed)]
    indexes = [item.first_index + place for item in handed for place in range(len(item.entries))]
    assert (indexes, n1.applied_data[1:]) == ([1, 2, 3, 4], [b"2@1", b"3@1", b"4@1"])


def test_a_candidate_takes_the_entries_of_the_leader_that_beat_it() -> None:
    """VOTE-7, APPEND-4: it is a follower from the first word on."""
    n1, _ = candidate(1)
    assert (answer(n1, append(2, noop(2), prev=(1, 1))), n1.terms) == (success(2, 2), (1, 2))


def test_a_follower_answers_vote_requests_and_entries_in_their_order() -> None:
    """PERSIST-2: "responses on one connection leave in the order of their requests"."""
    n1 = member(1)
    n1.hears(N2, append(1, prev=(9, 1), seq=1), vote(1, last=(0, 0), seq=2), append(1, prev=(1, 1), seq=3))
    assert [getattr(message, "seq", 0) for message in n1.says(N2)] == [1, 2, 3]


def test_entry_one_is_appended_once() -> None:
    """FORM-8, APPEND-3: a leader may send it again from the beginning; it is the same entry."""
    n1 = member(1)
    assert (answer(n1, append(1, entry_one(1))), n1.kept.entries) == (success(1, 1), log(1))
