"""Voters: who gets a vote, and what a vote binds (Raft §5.2, §5.4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Harm, case
from conformance.peer.troupe import entries

if TYPE_CHECKING:
    from conformance.stage import Stage


@case("E-01", "VOTE-2", "VOTE-3", "TERM-1", harm=Harm.LIVENESS)
async def first_candidate_is_granted(stage: Stage) -> None:
    """The first candidate of a new term whose log is as good as the voter's gets its vote.

    given: n1, a follower in term 1, whose log ends at (1, 1)
    when: n3 asks for its vote in term 2 with the last entry (1, 1)
    expect: VOTE_RESPONSE, term 2, vote_granted true
    why: a voter that refuses a good candidate keeps the cluster without a leader
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    (await n3.ask(n3.request_vote(2, (1, 1), troupe.members))).expect(term=2, vote_granted=True)


@case("E-02", "VOTE-2")
async def second_candidate_of_a_term_is_denied(stage: Stage) -> None:
    """A voter gives its vote once in a term.

    given: n1 has voted for n2 in term 2
    when: n3 asks for its vote in term 2
    expect: VOTE_RESPONSE, term 2, vote_granted false
    why: two votes in one term make two leaders in one term
    hint: voted_for stays until the term rises
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    (await n2.ask(n2.request_vote(2, (1, 1), troupe.members))).expect(vote_granted=True)
    (await n3.ask(n3.request_vote(2, (1, 1), troupe.members))).expect(term=2, vote_granted=False)


@case("E-03", "VOTE-2", harm=Harm.LIVENESS)
async def same_candidate_is_granted_again(stage: Stage) -> None:
    """A candidate that asks again in the same term is granted again.

    given: n1 has voted for n3 in term 2
    when: n3, who may have missed the answer, asks again in term 2
    expect: VOTE_RESPONSE, term 2, vote_granted true
    why: a lost answer would cost the election, and again the next
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    for _ in range(3):
        (await n3.ask(n3.request_vote(2, (1, 1), troupe.members))).expect(term=2, vote_granted=True)


@case("E-04", "VOTE-1", "TERM-2")
async def lower_term_is_denied(stage: Stage) -> None:
    """No vote is given in a term that is over.

    given: n1, in term 5, restarted, which knows no leader and has voted for nobody
    when: n3 asks for its vote in term 4
    expect: VOTE_RESPONSE, term 5, vote_granted false
    why: a leader of an old term would be elected beside the present one
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, term=5)
    await troupe.restart()
    (await n3.ask(n3.request_vote(4, (9, 4), troupe.members))).expect(term=5, vote_granted=False)


@case("E-05", "TERM-1", "VOTE-3", harm=Harm.LIVENESS)
async def denied_candidate_leaves_the_vote_free(stage: Stage) -> None:
    """A denied candidate raises the term, but takes no vote.

    given: n1, a follower whose log ends at (2, 2)
    when: n3 asks in term 9 with the last entry (1, 1); then n2 does in term 9 with (2, 2)
    expect: n3 is denied in term 9, n2 is granted in term 9
    why: a term whose only able candidate cannot win is lost time, and such terms can repeat
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(2))
    (await n3.ask(n3.request_vote(9, (1, 1), troupe.members))).expect(term=9, vote_granted=False)
    (await n2.ask(n2.request_vote(9, (2, 2), troupe.members))).expect(term=9, vote_granted=True)


@case("E-06", "VOTE-3")
async def older_last_term_is_denied(stage: Stage) -> None:
    """A candidate whose last term is older is denied, however long its log.

    given: n1, a follower whose log ends at (2, 2)
    when: n3 asks for its vote in term 3 with the last entry (9, 1)
    expect: VOTE_RESPONSE, term 3, vote_granted false
    why: n3 could win without what is committed, and overwrite it
    hint: compare the last terms first, the last indexes only where those are equal
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(2))
    (await n3.ask(n3.request_vote(3, (9, 1), troupe.members))).expect(term=3, vote_granted=False)


@case("E-07", "VOTE-3")
async def shorter_log_of_the_same_term_is_denied(stage: Stage) -> None:
    """With equal last terms, the shorter log is denied.

    given: n1, a follower whose log ends at (4, 2)
    when: n3 asks for its vote in term 3 with the last entry (3, 2)
    expect: VOTE_RESPONSE, term 3, vote_granted false
    why: entry 4 may be committed, and n3 does not have it
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(2, 2, 2))
    (await n3.ask(n3.request_vote(3, (3, 2), troupe.members))).expect(term=3, vote_granted=False)


@case("E-08", "VOTE-3", harm=Harm.LIVENESS)
async def equal_log_is_granted(stage: Stage) -> None:
    """A candidate with the same last entry is granted.

    given: n1, a follower whose log ends at (3, 2)
    when: n3 asks for its vote in term 3 with the last entry (3, 2)
    expect: VOTE_RESPONSE, term 3, vote_granted true
    why: "more up to date" instead of "as up to date" elects nobody among equals
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(2, 2))
    (await n3.ask(n3.request_vote(3, (3, 2), troupe.members))).expect(term=3, vote_granted=True)


@case("E-09", "VOTE-3", harm=Harm.LIVENESS)
async def newer_last_term_is_granted(stage: Stage) -> None:
    """A candidate with a newer last term is granted, however short its log.

    given: n1, a follower whose log ends at (5, 2)
    when: n3 asks for its vote in term 4 with the last entry (2, 3)
    expect: VOTE_RESPONSE, term 4, vote_granted true
    why: a long tail that no majority has would keep out those who have what is committed
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(2, 2, 2, 2))
    (await n3.ask(n3.request_vote(4, (2, 3), troupe.members))).expect(term=4, vote_granted=True)


@case("E-11", "VOTE-2", "VOTE-5")
async def append_entries_frees_no_vote(stage: Stage) -> None:
    """Hearing from the leader it voted for does not give a voter its vote back.

    given: n1 voted for n2 in term 3 and took an AppendEntries of it
    when: n3 asks for its vote in term 3
    expect: VOTE_RESPONSE, term 3, vote_granted false
    why: a second leader of term 3 (zeebe issue 5356)
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    (await n2.ask(n2.request_vote(3, (1, 1), troupe.members))).expect(vote_granted=True)
    troupe.term = 3
    await troupe.replicate(n2, (1, 1), entries(3))
    (await n3.ask(n3.request_vote(3, (9, 3), troupe.members))).expect(term=3, vote_granted=False)


@case("E-36", "VOTE-5")
async def follower_of_a_leader_grants_nobody_else(stage: Stage) -> None:
    """A voter that learned of the leader without having voted gives nobody else its vote in that term.

    given: n1 adopted term 5 from an AppendEntries of n2; it never voted in term 5
    when: n3 asks for its vote in term 5 with a longer log
    expect: VOTE_RESPONSE, term 5, vote_granted false
    why: it would help elect a second leader of term 5
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, term=5)
    (await n3.ask(n3.request_vote(5, (9, 5), troupe.members))).expect(term=5, vote_granted=False)


@case("E-38", "FORM-7")
async def stranger_moves_no_term(stage: Stage) -> None:
    """A vote request from a node that is not on the list is dropped before its term is read.

    given: n1, a member of n1 to n3 in term 1
    when: n9, a stranger, asks for its vote in term 50, and then n3 does in term 2
    expect: no answer to n9; n3 is granted in term 2
    why: anybody could depose any leader for ever
    hint: look at the pair the connection announced before anything else
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    stranger = stage.peer("n9")
    await troupe.meet(stranger)
    stranger.request(stranger.request_vote(50, (9, 49), troupe.members))
    await stranger.raft.ping()
    (await n3.ask(n3.request_vote(2, (1, 1), troupe.members))).expect(term=2, vote_granted=True)
    stranger.raft.inbox.nothing("VOTE_RESPONSE", vote_granted=True)


@case("E-29", "PREVOTE-1")
async def pre_vote_changes_nothing(stage: Stage) -> None:
    """A granted pre-vote changes neither term nor vote.

    given: n1, a member in term 1, restarted, who has heard from no leader since
    when: n3 asks for a pre-vote in term 7, which is granted; then n2 asks for its vote in term 2
    expect: n2 is granted in term 2
    why: nodes that cannot win would raise the term of all others, which pre-votes are there to prevent
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    await troupe.restart()
    (await n3.ask(n3.request_vote(7, (1, 1), troupe.members, pre=True))).expect(vote_granted=True)
    (await n2.ask(n2.request_vote(2, (1, 1), troupe.members))).expect(term=2, vote_granted=True)


@case("E-30", "PREVOTE-2", harm=Harm.LIVENESS)
async def pre_vote_is_denied_while_there_is_a_leader(stage: Stage) -> None:
    """Who has just heard from the leader grants no pre-vote.

    given: n1, whose election timeout is 30 s, has just heard from its leader n2
    when: n3 asks for a pre-vote with as good a log
    expect: PRE_VOTE_RESPONSE, vote_granted false
    why: a node that lost its own link would depose a leader that all others still hear
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(1))
    (await n3.ask(n3.request_vote(1, (2, 1), troupe.members, pre=True))).expect(vote_granted=False)


@case("E-31", "PREVOTE-2", "VOTE-3")
async def pre_vote_looks_at_the_log(stage: Stage) -> None:
    """A pre-vote is denied where the vote would be: for a log that is less up to date.

    given: n1, a member whose log ends at (3, 2), restarted, who has heard from no leader since
    when: n3 asks for pre-votes with the last entries (2, 2), (9, 1) and (3, 2)
    expect: denied, denied, granted
    why: an election that cannot be won would disturb all others
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(2, 2))
    await troupe.restart()
    for last, granted in (((2, 2), False), ((9, 1), False), ((3, 2), True)):
        (await n3.ask(n3.request_vote(2, last, troupe.members, pre=True))).expect(vote_granted=granted)


@case("E-37", "PREVOTE-2", "PREVOTE-3")
async def pre_vote_of_a_lower_term_is_denied(stage: Stage) -> None:
    """A pre-vote request of a server whose term is behind is denied, with the receiver's term.

    given: n1, a member in term 5, restarted
    when: n3 asks for a pre-vote in term 3
    expect: PRE_VOTE_RESPONSE, term 5, vote_granted false
    why: n3 has to learn of term 5 before it can ask for votes that count
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, term=5)
    await troupe.restart()
    (await n3.ask(n3.request_vote(3, (9, 3), troupe.members, pre=True))).expect(term=5, vote_granted=False)
