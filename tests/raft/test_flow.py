"""How much is on its way at a time: batches, flights, and what a leader takes on (spec LEADER-8)."""

from __future__ import annotations

import pytest

from casty.raft.log import ENTRY_OVERHEAD
from casty.raft.messages import AppendEntriesRequest, PreVoteRequest
from casty.raft.options import Options
from casty.raft.progress import FLIGHTS_REMEMBERED
from tests.raft.servers import acknowledge, leader, member, sent, steady
from tests.raft.shorthand import ELECTION, N2, N3, append, no, snapshot, yes


def test_no_seq_is_used_twice() -> None:
    """LEADER-8: "seq is never used twice in one boot", whoever is asked and whatever for."""
    n1 = steady(1)
    n1.proposes(*[b"x"] * 10)
    n1.wait(ELECTION)
    n1.hears(N2, append(9))
    n1.wait(3 * ELECTION)
    requests = [
        (m.to, m.message.seq) for m in n1.outbox if isinstance(m.message, AppendEntriesRequest | PreVoteRequest)
    ]
    assert len(requests) > 20
    assert len(set(requests)) == len(requests)


def test_entries_flow_without_waiting_for_answers() -> None:
    """LEADER-8, PERSIST-3: once the logs are known to agree, each step sends what is new."""
    n1 = steady(1)
    n1.proposes(b"a", b"b", b"c")
    assert sent(n1) == [(2, 1), (3, 1), (4, 1)]


def test_one_request_at_a_time_seeks_where_the_logs_part() -> None:
    """LEADER-5, LEADER-8: until then more would only be refused more often."""
    n1 = leader(1)
    n1.proposes(b"a", b"b")
    before = sent(n1)
    n1.tick()
    assert (before, sent(n1)) == ([(1, 1)], [(1, 0)])


def test_a_batch_stays_within_its_limit() -> None:
    """LEADER-8: "Entries of more than one in a request stay within batch_bytes_max"."""
    n1 = steady(1, options=Options(expected_size=3, batch_bytes_max=3 * (100 + ENTRY_OVERHEAD)))
    n1.disconnects(N2)
    n1.proposes(*[bytes(100)] * 8)
    n1.connects(N2)
    (first,) = n1.appends(N2)
    n1.hears(N2, yes(first))
    assert [len(first.entries), *[count for _, count in sent(n1)]] == [3, 3, 2]


def test_a_command_larger_than_a_batch_travels_alone() -> None:
    """LEADER-8, limit batch_bytes_max: "one entry larger than this travels alone"."""
    n1 = steady(1, options=Options(expected_size=3, batch_bytes_max=1000))
    n1.disconnects(N2)
    n1.proposes(b"small", bytes(5000), b"small")
    n1.connects(N2)
    n1.hears(N2, yes(n1.appends(N2)[0]))
    assert sent(n1) == [(3, 1), (4, 1)]


def test_no_more_bytes_are_on_the_way_than_a_connection_takes() -> None:
    """LEADER-12: what is acknowledged makes room for as much."""
    entry = 100 + ENTRY_OVERHEAD
    n1 = steady(1, options=Options(expected_size=3, batch_bytes_max=2 * entry, inflight_bytes_max=5 * entry))
    n1.proposes(*[bytes(100)] * 10)
    first = n1.appends(N2)
    n1.hears(N2, yes(first[0]))
    assert [len(r.entries) for r in first] == [1, 1, 1, 1, 1]
    assert [len(r.entries) for r in n1.appends(N2)] == [1]


def test_heartbeats_leave_while_the_window_is_full() -> None:
    """LEADER-12, LEADER-1: a follower that is slow to answer must not look for another leader."""
    n1 = steady(1, options=Options(expected_size=3, inflight_bytes_max=100))
    n1.proposes(bytes(100), bytes(100))
    before = sent(n1)
    n1.tick()
    assert (before, sent(n1)) == ([(2, 1)], [(3, 0)])


def test_an_entry_larger_than_the_window_travels_alone() -> None:
    """LEADER-12: "one entry larger than that travels alone"."""
    n1 = steady(1, options=Options(expected_size=3, inflight_bytes_max=100))
    n1.proposes(b"small", bytes(500), b"small")
    first = n1.appends(N2)
    n1.hears(N2, *map(yes, first))
    second = n1.appends(N2)
    n1.hears(N2, *map(yes, second))
    assert [[len(e.data) for r in some for e in r.entries] for some in (first, second, n1.appends(N2))] == [
        [5],
        [500],
        [5],
    ]


def test_a_lost_connection_empties_the_window() -> None:
    """LEADER-12, LEADER-7: what was on the way is forgotten, and sent again."""
    n1 = steady(1, options=Options(expected_size=3, inflight_bytes_max=100))
    n1.proposes(bytes(100))
    n1.forget()
    n1.disconnects(N2)
    n1.connects(N2)
    assert [len(r.entries) for r in n1.appends(N2)] == [1]


def test_a_follower_that_does_not_answer_gets_only_so_much() -> None:
    """LEADER-8: requests beyond flights_max would only queue in the kernel; one answer makes room for one."""
    n1 = steady(1, options=Options(expected_size=3, flights_max=4))
    n1.proposes(*[b"x"] * 10)
    requests = n1.appends(N2)
    n1.hears(N2, yes(requests[0]))
    assert (len(requests), sent(n1)) == (4, [(6, 6)])


def test_a_full_pipeline_stops_no_heartbeat() -> None:
    """LEADER-1, LEADER-8: what is due is sent, empty."""
    n1 = steady(1, options=Options(expected_size=3, flights_max=2))
    n1.proposes(*[b"x"] * 5)
    n1.forget()
    n1.tick()
    assert sent(n1) == [(4, 0)]


def test_a_follower_without_room_is_not_sent_every_commit() -> None:
    """LEADER-8, COMMIT-1: each would queue in its kernel as the entries would; one tells of all, when there is
    room again."""
    n1 = steady(1, options=Options(expected_size=3, flights_max=4))
    for _ in range(10):
        n1.proposes(b"x")
        acknowledge(n1, N2)
    requests = n1.appends(N3)
    assert (len(requests), n1.commit) == (4, 12)
    n1.hears(N3, yes(requests[-1]))
    news = n1.appends(N3)[-1]
    assert (news.prev_log_index + len(news.entries), news.leader_commit) == (12, 12)


def test_a_follower_that_is_probed_is_not_sent_every_commit() -> None:
    """LEADER-5, LEADER-8: "one request at a time", however much the others commit meanwhile."""
    n1 = leader(1)
    n1.hears(N2, yes(n1.appends(N2)[0]))
    for _ in range(10):
        n1.proposes(b"x")
        acknowledge(n1, N2)
    assert (sent(n1, N3), n1.commit) == ([(1, 1)], 12)


def test_a_follower_that_gets_the_snapshot_is_not_sent_every_commit() -> None:
    """LEADER-1, SNAP-8: beside the chunks there are heartbeats, which can tell it nothing of a commit."""
    n1 = leader(1, 1, after=snapshot(9, 1))
    n1.hears(N2, yes(n1.appends(N2)[0]))
    n1.hears(N3, no(n1.appends(N3)[0], hint=(1, None)))
    n1.forget()
    for _ in range(10):
        n1.proposes(b"x")
        acknowledge(n1, N2)
    quiet = sent(n1, N3)
    n1.tick()
    assert (quiet, sent(n1, N3)) == ([], [(0, 0)])


@pytest.mark.parametrize("hint", [None, (3, None), (1, None), (1, 1)])
def test_a_lost_request_is_noticed_by_the_next_heartbeat(hint: tuple[int, int | None] | None) -> None:
    """LEADER-5, LEADER-6: the follower refuses what does not follow, and gets it again; what it acknowledged
    it has, whatever it says now."""
    n1 = steady(1)
    n1.proposes(b"lost")
    n1.forget()
    n1.tick()
    (beat,) = n1.appends(N2)
    n1.hears(N2, no(beat, hint=hint))
    assert (beat.prev_log_index, sent(n1)) == (3, [(2, 1)])


def test_a_silent_follower_is_no_leak() -> None:
    """LEADER-1, LEADER-8: heartbeats to it go on, but the leader remembers a bounded number of them."""
    n1 = steady(1)
    leadership = n1.raft._state.leadership
    assert leadership is not None
    flights = leadership.progress[N3.node_id].flights
    for _ in range(2 * FLIGHTS_REMEMBERED):
        n1.tick()
        acknowledge(n1, N2)
    silent = len(flights)
    n1.hears(N3, yes(n1.appends(N3)[-1]))
    assert (silent, len(flights)) == (FLIGHTS_REMEMBERED, 0)


def test_a_leader_that_commits_nothing_takes_no_more_than_its_limit() -> None:
    """LEADER-8: uncommitted_bytes_max; cut off from its majority it must not eat its memory."""
    n1 = steady(1, options=Options(expected_size=3, uncommitted_bytes_max=2 * ENTRY_OVERHEAD + 10))
    for ticket in (b"12345", b"123456", b"1"):
        n1.proposes(ticket)
    before = n1.overloaded
    acknowledge(n1, N2, N3)
    n1.proposes(b"2")
    assert (before, n1.overloaded, n1.terms) == ([b"1"], [b"1"], (1, 2, 2, 2, 2))


def test_entries_of_earlier_leaders_do_not_count_against_the_limit() -> None:
    """LEADER-8: what this leader did not take on it does not subtract either."""
    n1 = leader(1, 1, 1, options=Options(expected_size=3, uncommitted_bytes_max=2 * ENTRY_OVERHEAD + 10))
    for _ in range(2):
        acknowledge(n1, N2, N3)
    n1.proposes(b"123456", b"123456", b"1")
    assert (n1.overloaded, n1.commit) == ([b"1"], 4)


def test_a_server_that_does_not_lead_takes_no_proposals() -> None:
    """COMMIT-4, §8: what is refused was certainly not appended."""
    n1 = member(1)
    n1.proposes(b"x")
    assert (n1.refused, n1.lost, n1.terms) == ([b"x"], [], (1,))
