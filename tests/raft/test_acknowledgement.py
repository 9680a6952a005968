"""What a leader makes of the answers: the right ones, the late ones, and those of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casty.raft.events import Role
from tests.raft.servers import campaign, leader, sent, steady, win
from tests.raft.shorthand import N2, append, no, noop, server, success, yes

if TYPE_CHECKING:
    from casty.raft.types import ServerId


def test_a_late_acknowledgement_does_not_lower_what_a_follower_has() -> None:
    """LEADER-6: "match_index of a follower never falls": 9, then 3, is 9."""
    n1 = leader(1, size=5)
    (first,) = n1.appends(N2)
    n1.hears(N2, yes(first))
    n1.proposes(b"x")
    second = n1.appends(N2)[-1]
    n1.hears(N2, yes(second), yes(first))
    n1.proposes(b"y")
    assert sent(n1) == [(3, 1)]


def test_an_answer_for_a_smaller_part_does_not_lower_what_a_follower_has() -> None:
    """LEADER-6, APPEND-8: a follower that is writing a snapshot can vouch for nothing at the moment."""
    n1 = steady(1, 1)
    n1.tick()
    (beat,) = n1.appends(N2)
    n1.hears(N2, yes(beat, upto=1))
    n1.disconnects(N2)
    n1.connects(N2)
    assert sent(n1) == [(3, 0)]


def test_a_refusal_of_what_is_known_to_be_there_is_not_answered_at_once() -> None:
    """LEADER-6, LEADER-5: it makes no sense, and sending the same again at once would make a circle of it."""
    n1 = steady(1)
    n1.proposes(b"x")
    (request,) = n1.appends(N2)
    n1.hears(N2, no(request))
    at_once = sent(n1)
    n1.tick()
    assert (at_once, sent(n1)) == ([], [(3, 0)])


def test_a_late_refusal_does_not_take_back_what_a_follower_has() -> None:
    """LEADER-6: next_index "stays above" match_index; the leader neither stalls nor sends it all again."""
    n1 = leader(1, 1, 1)
    (probe,) = n1.appends(N2)
    n1.tick()
    (beat,) = n1.appends(N2)
    n1.hears(N2, yes(probe), no(beat, hint=(1, None)))
    n1.says(N2)
    n1.proposes(b"x")
    assert sent(n1) == [(4, 1)]


def test_an_acknowledgement_of_more_than_was_sent_is_ignored() -> None:
    """LEADER-6: "a response that claims more than was sent to the follower is ignored"; it cannot be true."""
    n1 = leader(1)
    (request,) = n1.appends(N2)
    n1.hears(N2, yes(request, upto=3), yes(request, upto=99))
    assert n1.commit == 0


def test_an_acknowledgement_counts_only_for_the_request_it_answers() -> None:
    """TERM-3, LEADER-6: an unknown seq answers no question, and the same answer twice says nothing new."""
    n1 = leader(1)
    (request,) = n1.appends(N2)
    n1.hears(N2, success(2, 2, seq=request.seq + 1000))
    before = n1.commit
    n1.hears(N2, yes(request), yes(request))
    assert (before, n1.commit) == (0, 2)


def test_an_acknowledgement_of_an_earlier_leadership_commits_nothing() -> None:
    """TERM-3: an answer to term 2 that arrives in term 4 speaks of another log."""
    n1 = leader(1)
    (old,) = n1.appends(N2)
    n1.hears(N2, append(3, noop(3), prev=(1, 1)))
    win(n1, campaign(n1, 3), 3)
    n1.hears(N2, yes(old))
    assert (n1.term, n1.role, n1.commit) == (4, Role.LEADER, 0)


def test_an_acknowledgement_under_the_right_seq_of_the_wrong_term_is_ignored() -> None:
    """TERM-3: "A response whose request_term is not the receiver's current term ... changes nothing"."""
    n1 = leader(1)
    (request,) = n1.appends(N2)
    n1.hears(N2, success(1, 2, seq=request.seq))
    assert n1.commit == 0


@pytest.mark.parametrize("number", [9, 2])
def test_the_acknowledgement_of_a_stranger_counts_for_nothing(number: int) -> None:
    """FORM-7, FORM-1: the pair that the connection announced was not asked."""
    n1 = leader(1)
    (request,) = n1.appends(N2)
    n1.hears(server(number, store=9), yes(request))
    assert n1.commit == 0


def test_a_learner_gets_everything_and_counts_for_nothing() -> None:
    """FORM-9: "the leader replicates to it, ... and its acknowledgements count for nothing"."""
    n1, learner = leader(1, 1), server(2, store=9)
    n1.connects(learner)
    n1.hears(learner, no(n1.appends(learner)[0], hint=(1, None)))
    requests = n1.appends(learner)
    n1.hears(learner, yes(requests[0]))
    assert (requests[0].prev_log_index, len(requests[0].entries), n1.commit) == (0, 3, 0)


def test_the_term_of_a_learner_deposes_nobody() -> None:
    """FORM-7, FORM-9: what a server without a vote says of terms is not read, nor what it says with it: or the
    leader would send it one batch after the other."""
    n1, learner = leader(1), server(2, store=9)
    n1.connects(learner)
    n1.hears(learner, no(n1.appends(learner)[0], term=9))
    assert (n1.role, n1.term, sent(n1, learner)) == (Role.LEADER, 2, [])


def test_a_partial_acknowledgement_counts_for_its_part() -> None:
    """APPEND-8, LEADER-6: the rest is acknowledged when the follower's disk is done."""
    n1 = leader(1, 1, 1)
    n1.hears(N2, no(n1.appends(N2)[0], hint=(1, None)))
    (request,) = n1.appends(N2)
    n1.hears(N2, yes(request, upto=2))
    before = n1.commit
    n1.hears(N2, yes(request))
    assert (before, n1.commit) == (0, 4)


# ------------------------------------------------------------------------------------------- connections, boots


def test_a_lost_connection_loses_what_was_in_flight() -> None:
    """LEADER-7: "the leader probes again from what is known to match"."""
    n1 = steady(1)
    n1.proposes(b"x", b"y")
    n1.forget()
    n1.disconnects(N2)
    n1.connects(N2)
    assert sent(n1) == [(2, 2)]


def test_an_answer_does_not_outlive_its_connection() -> None:
    """LEADER-7: what was in flight is forgotten, and its answers with it."""
    n1 = leader(1)
    (request,) = n1.appends(N2)
    n1.disconnects(N2)
    n1.connects(N2)
    n1.hears(N2, yes(request))
    assert n1.commit == 0


def test_nothing_is_sent_without_a_connection_and_everything_after() -> None:
    """LEADER-7: what became due meanwhile is sent when the follower can be reached."""
    n1 = steady(1)
    n1.disconnects(N2)
    n1.proposes(b"x")
    n1.tick()
    before = sent(n1)
    n1.connects(N2)
    assert (before, sent(n1)) == ([], [(2, 1)])


@pytest.mark.parametrize(("peer", "hint"), [(N2, None), (server(2, store=9), (1, None))], ids=["boot", "disk"])
def test_another_boot_or_disk_remembers_nothing_of_what_matched(
    peer: ServerId, hint: tuple[int, int | None] | None
) -> None:
    """LEADER-7: "A new store or boot of the node resets that, too"."""
    n1 = steady(1, size=5)
    n1.connects(peer, boot=b"boot 2")
    (probe,) = n1.appends(peer)
    n1.hears(peer, no(probe, hint=hint))
    while (probe := n1.appends(peer)[0]).prev_log_index and hint is None:
        n1.hears(peer, no(probe))
    assert (probe.prev_log_index, len(probe.entries)) == (0, 2)


def test_the_end_of_an_old_connection_does_not_end_the_new_one() -> None:
    """LEADER-7: n2 came back with another disk before the old connection was given up."""
    n1 = steady(1)
    reborn = server(2, store=9)
    n1.connects(reborn)
    n1.disconnects(N2)
    n1.forget()
    n1.tick()
    assert len(n1.appends(reborn)) == 1


def test_a_connection_that_nobody_knew_may_end() -> None:
    """LEADER-7, FORM-10: also that of a node which is not on the list."""
    n1 = steady(1)
    n1.disconnects(server(9))
    n1.connects(server(9))
    n1.disconnects(server(9))
    assert n1.outbox == []
