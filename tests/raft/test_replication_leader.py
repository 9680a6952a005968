"""What a leader sends, and what it makes of the answers (paper §5.2, §5.3; thesis §6.2, §10.2.1)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from casty.raft.events import Role, Ticked
from casty.raft.messages import AppendEntriesRequest
from casty.raft.options import Options
from tests.raft.servers import acknowledge, campaign, leader, member, pre_votes, sent, steady, win
from tests.raft.shorthand import (
    ELECTION,
    HEARTBEAT,
    N2,
    N3,
    N4,
    N5,
    append,
    command,
    no,
    noop,
    server,
    snapshot,
    vote,
    yes,
)

if TYPE_CHECKING:
    from casty.raft.types import ServerId

# ----------------------------------------------------------------------------------------------- heartbeats


def test_a_new_leader_at_once_sends_its_no_op_to_everybody() -> None:
    """LEADER-1, LEADER-2, Figure 2, Leaders: "Upon election: send initial empty AppendEntries RPCs (heartbeat)
    to each server"; ours carries the no-op."""
    n1 = leader(1, 1, size=5)
    said = [(m.to, m.message) for m in n1.outbox]
    seqs = [message.seq for _, message in said if isinstance(message, AppendEntriesRequest)]
    first = [append(2, noop(2), prev=(2, 1), seq=seq) for seq in seqs]
    assert said == list(zip((N2, N3, N4, N5), first, strict=True))


def test_heartbeats_are_repeated_each_interval_to_everybody() -> None:
    """LEADER-1, §5.3: "again each heartbeat interval, to prevent elections", whether they are answered or
    not."""
    n1 = steady(1)
    beats: list[tuple[int, int, int]] = []
    start = n1.now
    for _ in range(3):
        n1.tick()
        beats.append((n1.now - start, len(n1.says(N3)), len(n1.appends(N2))))
    assert [b - a for (a, _, _), (b, _, _) in pairwise(beats)] == [HEARTBEAT, HEARTBEAT]
    assert {beat[1:] for beat in beats} == {(1, 1)}


def test_a_leaders_timer_that_fires_early_sends_nothing() -> None:
    """LEADER-1: what counts is the interval, not how often the shell looks at the clock."""
    n1 = steady(1)
    n1.step(Ticked())
    assert n1.outbox == []


def test_a_compacted_leader_appends_after_its_snapshot() -> None:
    """LEADER-2, §7: the no-op stands at last_included_index + 1 and follows an entry of that term."""
    n1 = leader(after=snapshot(7, 3))
    (first,) = n1.appends(N2)
    assert (first.prev_log_index, first.prev_log_term, first.entries) == (7, 3, (noop(4),))


def test_a_leader_never_changes_its_own_log() -> None:
    """LEADER-3, Figure 3, Leader Append-Only: "a leader never overwrites or deletes entries in its log"."""
    n1 = steady(1, 1)
    n1.proposes(b"a", b"b")
    before = n1.kept.entries
    n1.hears(N2, append(2, command(2, 2), prev=(1, 1)), append(1, prev=(0, 0)), vote(2, last=(9, 9)))
    n1.hears(N3, no(n1.appends(N3)[-1], hint=(1, 1)))
    assert (n1.kept.entries, n1.role) == (before, Role.LEADER)


# ---------------------------------------------------------------------------------- a leader without followers


def test_a_leader_that_hears_from_no_majority_steps_down() -> None:
    """LEADER-4, thesis §6.2: "a leader ... steps down if an election timeout elapses without a successful
    round of heartbeats to a majority"; here two timeouts, and it stays in its term."""
    n1 = leader(1, size=5)
    n1.later(500)
    acknowledge(n1, N2, N3)
    n1.wait(2 * ELECTION - 1)
    before = n1.role
    n1.wait(HEARTBEAT + 1)
    assert (before, n1.role is Role.LEADER, n1.term) == (Role.LEADER, False, 2)
    assert n1.warned("no majority")


def test_a_leader_that_hears_from_a_bare_majority_stays() -> None:
    """LEADER-4: itself and two of four others are enough, for ever."""
    n1 = steady(1, size=5)
    for _ in range(50):
        n1.tick()
        acknowledge(n1, N2, N3)
    assert n1.role is Role.LEADER


def test_a_leader_whose_disk_hangs_steps_down() -> None:
    """LEADER-9: it answers its heartbeats, and no client."""
    n1 = steady(1)
    n1.slow = True
    n1.proposes(b"x")
    begun = n1.now
    while n1.role is Role.LEADER:
        acknowledge(n1, N2)
        n1.tick()
    late = n1.now - begun - n1.options.stalled_ms_max
    assert (0 <= late <= HEARTBEAT, n1.term) == (True, 2)
    assert n1.warned("the disk does not answer")
    n1.forget()
    n1.hears(N2, yes(pre_votes(n1)))
    assert n1.says(N2) == []  # its vote for itself would have to be durable


def test_a_leader_whose_disk_is_slower_than_a_majority_of_the_others_steps_down() -> None:
    """LEADER-11: they have had for two election timeouts what its own disk has not."""
    n1 = steady(1)
    n1.slow = True
    n1.proposes(b"x")
    acknowledge(n1, N2, N3)
    n1.wait(HEARTBEAT)
    begun = n1.now
    while n1.role is Role.LEADER:
        acknowledge(n1, N2, N3)
        n1.proposes(b"y")
        n1.tick()
    late = n1.now - begun - 2 * ELECTION
    assert (0 <= late <= HEARTBEAT, n1.term) == (True, 2)
    assert n1.warned("majority are faster")


@pytest.mark.parametrize(("size", "ahead"), [(3, [N2]), (5, [N2, N3])])
def test_a_leader_that_is_needed_for_the_majority_stays(size: int, ahead: list[ServerId]) -> None:
    """LEADER-11: without it nothing could be committed, so no other leader would be faster."""
    n1 = steady(1, size=size, options=Options(expected_size=size, stalled_ms_max=60_000))
    n1.slow = True
    n1.proposes(b"x")
    for _ in range(10 * ELECTION // HEARTBEAT):
        acknowledge(n1, *ahead)
        n1.tick()
    assert n1.role is Role.LEADER


def test_a_leader_whose_disk_always_lags_by_the_last_writes_stays() -> None:
    """LEADER-11: what counts is how old that is which it lacks, not whether it lacks something."""
    n1 = steady(1)
    n1.slow = True
    n1.proposes(b"x")
    for _ in range(10 * ELECTION // HEARTBEAT):
        n1.proposes(b"y")
        acknowledge(n1, N2, N3)
        n1.tick()
        n1.fsync(len(n1.writes) - 1)
    assert n1.role is Role.LEADER


def test_a_leader_whose_disk_is_slow_but_gets_on_stays() -> None:
    """LEADER-9: what counts is how long the oldest write takes, not whether there always is one."""
    n1 = steady(1)
    n1.slow = True
    for _ in range(5 * n1.options.stalled_ms_max // HEARTBEAT):
        n1.proposes(b"x")
        acknowledge(n1, N2, N3)
        n1.tick()
        n1.fsync()
    assert n1.role is Role.LEADER


def test_a_refusal_is_a_sign_of_life() -> None:
    """LEADER-4: a follower whose log differs still follows."""
    n1 = leader(1, 1)
    for _ in range(20):
        n1.tick()
        for request in n1.appends(N2):
            n1.hears(N2, no(request, hint=(1, None)))
    assert n1.role is Role.LEADER


def test_the_answers_of_a_learner_keep_no_leader_in_office() -> None:
    """LEADER-4, FORM-9: its acknowledgements count for nothing."""
    n1 = leader(1)
    learner = server(2, store=9)
    n1.connects(learner)
    for _ in range(20):
        n1.later(HEARTBEAT)
        n1.wait(0)
        acknowledge(n1, learner)
    assert n1.role is not Role.LEADER


def test_a_new_leader_gets_its_two_election_timeouts_even_if_the_connections_just_broke() -> None:
    """LEADER-4: a majority was heard when it voted; that was not two election timeouts ago."""
    n1 = member(1)
    request = campaign(n1, 3)
    n1.disconnects(N2)
    n1.disconnects(N3)
    win(n1, request, 3)
    n1.wait(2 * ELECTION - 1)
    assert n1.role is Role.LEADER


def test_a_learner_in_a_members_place_does_not_end_a_leadership_at_once() -> None:
    """LEADER-4: the member was heard a moment ago; that was not two election timeouts ago."""
    n1 = steady(1)
    for _ in range(10):
        n1.tick()
        acknowledge(n1, N2)
    n1.connects(server(2, store=9))
    n1.tick()
    assert n1.role is Role.LEADER


def test_what_a_learner_said_is_no_sign_of_life_of_the_member_it_replaces() -> None:
    """LEADER-4, FORM-9: for two election timeouts no member was heard; that one of them connects is no
    answer."""
    n1 = leader(1)
    n1.disconnects(N3)
    learner = server(2, store=9)
    n1.connects(learner)
    n1.later(HEARTBEAT - 1)
    acknowledge(n1, learner)
    n1.connects(N2, boot=b"boot 2")
    n1.wait(2 * ELECTION)
    assert n1.role is not Role.LEADER


# ------------------------------------------------------------------------------------- finding where logs part


def test_without_hints_the_leader_goes_back_one_entry_at_a_time() -> None:
    """LEADER-5, §5.3: "After a rejection, the leader decrements nextIndex and retries"."""
    n1 = leader(1, 1, 1, 1)
    tried: list[int] = []
    while request := next(iter(n1.appends(N2)), None):
        tried.append(request.prev_log_index)
        n1.hears(N2, yes(request) if request.prev_log_index == 1 else no(request))
    assert tried[:4] == [4, 3, 2, 1]
    assert n1.commit == 5


def test_a_hint_of_a_shorter_log_is_followed() -> None:
    """LEADER-5: the follower's log ends before; everything between is skipped in one step."""
    n1 = leader(*[1] * 50)
    (request,) = n1.appends(N2)
    n1.hears(N2, no(request, hint=(3, None)))
    assert sent(n1) == [(2, 49)]


def test_a_hint_of_a_term_the_leader_has_leads_to_its_own_last_entry_of_it() -> None:
    """LEADER-5, §5.3: "one AppendEntries RPC will be required for each term with conflicting entries"."""
    n1 = leader(1, 2, 2, 3, 3, 3)
    (request,) = n1.appends(N2)
    n1.hears(N2, no(request, hint=(2, 2)))
    assert sent(n1) == [(3, 4)]


def test_a_hint_of_a_term_the_leader_lacks_skips_the_whole_term() -> None:
    """LEADER-5: no entry of that term can be right."""
    n1 = leader(1, 1, 1, 4, 4, 4)
    (request,) = n1.appends(N2)
    n1.hears(N2, no(request, hint=(3, 2)))
    assert sent(n1) == [(2, 5)]


@pytest.mark.parametrize("hint", [(99, None), (7, None), (99, 1), (0, None), (0, 9)])
def test_no_hint_makes_the_leader_try_the_same_again_or_leave_its_log(hint: tuple[int, int | None]) -> None:
    """LEADER-5: "the leader tries an earlier prev_log_index", whatever the follower says."""
    n1 = leader(1, 1, 1, 1)
    (request,) = n1.appends(N2)
    n1.hears(N2, no(request, hint=hint))
    ((prev, _),) = sent(n1)
    assert 0 <= prev < request.prev_log_index


def test_a_thousand_conflicting_entries_cost_a_few_requests() -> None:
    """LEADER-5: as many rounds as there are terms, not as there are entries."""
    n1, n2 = leader(1, *[4] * 1000), member(1, *[2] * 500, *[3] * 500, me=N2)
    rounds = 0
    while n1.commit < 1002:
        for request in n1.appends(N2):
            rounds += 1
            n2.hears(server(1), request)
        n1.hears(N2, *n2.says(server(1)))
    assert (rounds <= 6, n2.terms) == (True, n1.terms)
