"""What leaves while the disk is still at work: requests, and answers for what is durable (APPEND-8)."""

from __future__ import annotations

from dataclasses import replace

from casty.raft.events import Role
from casty.raft.types import Term
from tests.raft.servers import acknowledge, leader, member, pre_votes
from tests.raft.shorthand import (
    ELECTION,
    HEARTBEAT,
    N1,
    N2,
    N3,
    N4,
    N5,
    append,
    command,
    commands,
    granted,
    install,
    installed,
    noop,
    snapshot,
    success,
    yes,
)


def test_a_reply_leaves_at_once_when_nothing_is_being_written() -> None:
    """PERSIST-2: then all that was written before it is durable."""
    n1 = member(1, 1)
    n1.slow = True
    n1.hears(N2, append(1, prev=(2, 1)))
    assert n1.says(N2) == [success(1, 2)]


def test_the_leaders_entries_leave_while_it_still_writes_them() -> None:
    """PERSIST-3, thesis §10.2.1: "AppendEntries requests may leave before the leader's own write is
    durable"."""
    n1 = leader(1)
    acknowledge(n1, N2, N3)
    n1.forget()
    n1.slow = True
    n1.proposes(b"x")
    assert [entry.data for request in n1.appends(N2) for entry in request.entries] == [b"x"]
    assert [entry.data for write in n1.writes for entry in write.entries] == [b"x"]


def test_no_request_leaves_before_its_term_is_durable() -> None:
    """TERM-4, PERSIST-3: "if their term is"; here three of five vote for a candidate whose own disk lags
    behind."""
    n1 = member(1, size=5)
    ask = pre_votes(n1)
    n1.hears(N2, yes(ask))
    n1.slow = True
    n1.hears(N3, yes(ask))
    for peer in (N2, N3, N4):
        n1.hears(peer, granted(2, seq=ask.seq + 1))
    before = (n1.role, n1.says(N5))
    n1.fsync()
    assert (before, {message.term for message in n1.says(N5)}) == ((Role.LEADER, [ask]), {2})


def test_a_heartbeat_is_answered_at_once_for_the_durable_part() -> None:
    """APPEND-8: "at once for the part that is durable, and again when the rest is"."""
    n1 = member(1, 1)
    n1.slow = True
    n1.hears(N2, append(1, *commands(3, 1, 1), prev=(2, 1), seq=1))
    n1.hears(N2, append(1, prev=(4, 1), seq=2))
    before = n1.says(N2)
    n1.fsync()
    assert before == [success(1, 2, seq=2)]
    assert n1.says(N2) == [success(1, 4, seq=1), success(1, 4, seq=2)]


def test_a_heartbeat_is_answered_at_once_while_a_snapshot_is_written() -> None:
    """APPEND-8, SNAP-8: beside a snapshot it claims nothing, and nothing is durable; a large one takes long."""
    n1 = member(1, term=2)
    n1.slow = True
    n1.hears(N2, install(2, snapshot(4, 2), seq=1))
    n1.hears(N2, append(2, seq=2))
    before = n1.says(N2)
    n1.fsync()
    assert before == [success(2, 0, seq=2)]
    assert n1.says(N2) == [installed(2, 4, 5, seq=1), success(2, 0, seq=2)]


def test_a_follower_that_writes_a_snapshot_for_long_keeps_its_leader() -> None:
    """APPEND-8, LEADER-4: "A slow disk must not look like a dead follower", here the only one that is left."""
    n1 = leader(after=snapshot(9, 1))
    n1.disconnects(N3)
    n2 = member(1, term=n1.term, me=N2)
    n2.slow = True
    for _ in range(20):
        for message in n1.says(N2):
            n2.hears(N1, message)
        n1.hears(N2, *n2.says(N1))
        n1.tick()
    assert (len(n2.writes), n1.role) == (1, Role.LEADER)


def test_an_early_answer_never_claims_what_is_not_durable() -> None:
    """APPEND-8, APPEND-7: after a conflict was removed, the old entries' durability is worth nothing."""
    n1 = member(1, 1, 1, 1)
    n1.slow = True
    n1.hears(N2, append(1, *commands(2, 1, 1), prev=(1, 1)))
    n1.hears(N2, append(1, prev=(4, 1)))
    n1.forget()
    n1.hears(N3, append(2, command(3, 2), prev=(2, 1), seq=1), append(2, prev=(3, 2), seq=2))
    assert n1.says(N3) == [replace(success(2, 2, seq=2), term=Term(1))]


def test_what_was_replaced_before_it_was_written_is_not_acknowledged() -> None:
    """APPEND-7: "of at most what is durable": entry 3 of term 1 is never on the disk, whoever else's is."""
    n1 = member(1, 1)
    n1.slow = True
    n1.hears(N2, append(1, *commands(3, 1, 1), prev=(2, 1), seq=1))
    n1.forget()
    n1.hears(N3, append(2, command(3, 2), prev=(2, 1), seq=2))
    n1.fsync()
    assert (n1.says(N2), n1.says(N3)) == ([success(1, 2, seq=1)], [success(2, 3, seq=2)])


def test_what_a_snapshot_replaced_is_not_acknowledged() -> None:
    """APPEND-7, SNAP-6: the whole log is gone with what was on its way to the disk."""
    n1 = member(1, 1)
    n1.slow = True
    n1.hears(N2, append(1, *commands(3, 1, 1), prev=(2, 1), commit=2, seq=1))
    n1.hears(N3, install(2, snapshot(4, 2), seq=2))
    n1.fsync()
    assert n1.says(N2) == [success(1, 2, seq=1)]


def test_an_early_answer_does_not_tell_a_term_that_is_not_durable() -> None:
    """APPEND-8, TERM-4: a disk that stalls just after an election looks slow, too, and not dead."""
    n1 = member(1)
    n1.slow = True
    n1.hears(N2, append(2, noop(2), prev=(1, 1), seq=1), append(2, prev=(2, 2), seq=2))
    before = n1.says(N2)
    n1.fsync()
    early = replace(success(2, 1, seq=2), term=Term(1))
    assert (before, n1.says(N2)) == ([early], [success(2, 2, seq=1), success(2, 2, seq=2)])


def test_a_request_that_brings_a_new_term_waits_for_the_disk() -> None:
    """APPEND-8, PERSIST-2: its write has only just begun, and is no sign of a slow disk."""
    n1 = member(1)
    n1.slow = True
    n1.hears(N2, append(2, prev=(1, 1), seq=1))
    before = n1.says(N2)
    n1.fsync()
    assert (before, n1.says(N2)) == ([], [success(2, 1, seq=1)])


def test_a_leader_takes_an_early_answer_of_an_older_term_for_a_sign_of_life() -> None:
    """APPEND-8, LEADER-4, TERM-3: it answers a request of the present term."""
    n1 = leader(1)
    for _ in range(20):
        n1.tick()
        for request in n1.appends(N2):
            n1.hears(N2, replace(success(2, 1, seq=request.seq), term=Term(1)))
    assert (n1.role, n1.commit) == (Role.LEADER, 0)


def test_a_slow_disk_stops_no_heartbeat() -> None:
    """PERSIST-3, APPEND-8: a leader whose disk stalls leads for a while, and its followers still hear it."""
    n1 = leader(1)
    acknowledge(n1, N2, N3)
    n1.slow = True
    n1.proposes(b"x")
    for _ in range(2 * ELECTION // HEARTBEAT):
        n1.tick()
        acknowledge(n1, N2, N3)
    assert n1.role is Role.LEADER


def test_pre_votes_leave_at_once() -> None:
    """PERSIST-2, PREVOTE-1: a question about a durable term promises nothing."""
    n1 = member(1)
    n1.slow = True
    n1.tick()
    assert len(n1.says(N2)) == 1
