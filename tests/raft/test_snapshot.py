"""What a follower makes of InstallSnapshot (paper §7; Figure 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

import pytest

from casty.raft.events import Committed, Restored, Role
from casty.raft.options import Options
from casty.raft.types import HardState, Index, LogBase, Term, Write
from tests.raft.servers import candidate, fresh, member
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
    install,
    installed,
    log,
    server,
    snapshot,
    success,
    vote,
    wants,
)

if TYPE_CHECKING:
    from casty.raft.messages import Message
    from casty.raft.types import Snapshot
    from tests.raft.harness import Server

BIG = snapshot(9, 2, b"0123456789")


def answers(n1: Server, *requests: Message) -> list[Message]:
    n1.hears(N2, *requests)
    return n1.says(N2)


# ------------------------------------------------------------------------------------------------- refusing


def test_a_snapshot_of_a_lower_term_is_refused_and_changes_nothing() -> None:
    """SNAP-1, Figure 13, 1: "Reply immediately if term < currentTerm"."""
    n1 = member(1, term=5)
    before = (n1.raft.status(), n1.raft.deadline, n1.kept)
    said = answers(n1, install(4, BIG))
    assert (said, (n1.raft.status(), n1.raft.deadline, n1.kept)) == ([wants(5, 9, 0, asked=4)], before)


def test_a_candidate_follows_the_leader_that_sends_it_a_snapshot() -> None:
    """SNAP-2, VOTE-7: the first chunk is as good as a heartbeat."""
    n1, _ = candidate(1)
    said = answers(n1, install(2, BIG, length=4))
    assert (n1.role, n1.raft.leader, said) == (Role.FOLLOWER, N2, [wants(2, 9, 4)])


@pytest.mark.parametrize("index", [1, 2, 3])
def test_a_snapshot_of_what_is_committed_already_changes_nothing(index: int) -> None:
    """SNAP-7, §7: an old or repeated snapshot must not take a server back."""
    n1 = member(1, 1, 1, 1)
    n1.hears(N2, append(1, prev=(4, 1), commit=3))
    n1.forget()
    before = (n1.kept, n1.commit, n1.applied[:])
    said = answers(n1, install(1, snapshot(index, 1, b"old")))
    assert (said, (n1.kept, n1.commit, n1.applied)) == ([installed(1, index, 3)], before)


def test_of_a_snapshot_that_is_not_needed_the_first_chunk_is_enough() -> None:
    """SNAP-7, §7: it is "answered with installed true" at once, even where it ends at the commit index
    itself."""
    n1 = member(1, 1, 1)
    n1.hears(N2, append(1, prev=(3, 1), commit=3))
    n1.forget()
    assert answers(n1, install(1, snapshot(3, 1, b"0123456789"), length=1)) == [installed(1, 3, 10)]


def test_a_snapshot_installed_twice_is_installed_once() -> None:
    """SNAP-7: the leader did not hear the first answer."""
    n1 = member(1, term=2)
    said = answers(n1, install(2, BIG), install(2, BIG))
    assert said == [installed(2, 9, 10)] * 2
    assert [type(item) for item in n1.applied] == [Restored]


# ------------------------------------------------------------------------------------------------- assembling


def test_chunks_are_put_together_and_installed_with_the_last() -> None:
    """SNAP-2, Figure 13, 2 to 4: "Write data into snapshot file at given offset", "wait for more ... if done is
    false"."""
    n1 = member(1, term=2)
    chunks = [install(2, BIG, offset=offset, length=4) for offset in (0, 4, 8)]
    said = answers(n1, *chunks[:2])
    before = (n1.kept.snapshot, n1.applied[:])
    last = answers(n1, chunks[2])
    assert (said, before, last) == ([wants(2, 9, 4), wants(2, 9, 8)], (None, []), [installed(2, 9, 10)])
    assert n1.applied == [Restored(BIG)]


def test_another_chunk_than_the_one_wanted_is_not_stored() -> None:
    """SNAP-2: it "is answered with the one wanted"; gaps, repetitions and disorder end in the right bytes."""
    n1 = member(1, term=2)
    order = (0, 8, 4, 4, 0, 4, 8)
    said = answers(n1, *[install(2, BIG, offset=offset, length=4) for offset in order])
    wanted = [4, 4, 8, 8, 8, 8]
    assert said == [*[wants(2, 9, offset) for offset in wanted], installed(2, 9, 10)]
    assert n1.kept.snapshot == BIG


def test_the_middle_of_a_snapshot_begins_nothing() -> None:
    """SNAP-2: the first wanted is 0."""
    n1 = member(1, term=2)
    assert answers(n1, install(2, BIG, offset=8)) == [wants(2, 9, 0)]
    assert n1.kept.snapshot is None


OTHERS = [
    snapshot(10, 2, b"abcdefghij"),
    snapshot(9, 1, b"abcdefghij"),
    snapshot(9, 2, b"abcdefghijk"),
    snapshot(9, 2, b"abcdefghij"),
]


@pytest.mark.parametrize("other", OTHERS, ids=["another index", "another term", "another size", "other bytes"])
def test_chunks_of_different_snapshots_are_never_joined(other: Snapshot) -> None:
    """SNAP-2: "Chunks of different snapshots are never joined"."""
    n1 = member(1, term=2)
    said = answers(n1, install(2, other, length=4), install(2, BIG, offset=4))
    assert said == [wants(2, other.last_included_index, 4), wants(2, 9, 0)]
    assert n1.kept.snapshot is None


def test_chunks_of_different_clusters_are_never_joined() -> None:
    """SNAP-2: a server without a list, which takes the snapshot's, takes it from one snapshot."""
    n1 = fresh(me=server(1, store=9))
    four = snapshot(9, 2, b"0123456789", size=4)
    said = answers(n1, install(2, four, length=4), install(2, BIG, offset=4))
    assert (said, n1.kept.snapshot) == ([wants(2, 9, 4), wants(2, 9, 0)], None)


def test_a_new_leader_goes_on_with_the_same_snapshot() -> None:
    """SNAP-12: what has come of it is kept, from any sender and in any term."""
    n1 = member(1, term=2)
    n1.hears(N2, install(2, BIG, length=4))
    n1.hears(N3, install(3, BIG, length=0), install(3, BIG, offset=4))
    assert (n1.says(N3), n1.kept.snapshot) == ([wants(3, 9, 4), installed(3, 9, 10)], BIG)


def test_an_empty_chunk_asks_which_is_wanted() -> None:
    """SNAP-12, SNAP-2: it changes nothing, before the first chunk and after it."""
    n1 = member(1, term=2)
    said = answers(n1, install(2, BIG, length=0), install(2, BIG, length=4), install(2, BIG, length=0))
    assert said == [wants(2, 9, 0), wants(2, 9, 4), wants(2, 9, 4)]


def test_what_has_come_of_a_snapshot_is_dropped_when_its_entries_have_come() -> None:
    """SNAP-12, SNAP-7: it would change nothing any more, and may be large."""
    n1 = member(1, term=2)
    n1.hears(N2, install(2, snapshot(3, 1, b"0123456789"), length=4))
    before = n1.raft._state.incoming
    n1.hears(N2, append(2, *commands(2, 1, 1), prev=(1, 1), commit=3))
    assert (before is not None, n1.raft._state.incoming) == (True, None)


def test_a_snapshot_in_pieces_is_forgotten_in_a_crash() -> None:
    """SNAP-2: what has arrived of it was promised to nobody."""
    n1 = member(1, term=2)
    n1.hears(N2, install(2, BIG, length=4))
    assert answers(n1.restarted(), install(2, BIG, offset=4)) == [wants(2, 9, 0)]


def test_an_empty_snapshot_is_a_snapshot() -> None:
    """SNAP-2: a state machine may have nothing to say."""
    n1 = member(1, term=2)
    assert answers(n1, install(2, snapshot(9, 2, b""))) == [installed(2, 9, 0)]


@pytest.mark.parametrize(
    "bad",
    [
        [install(2, BIG, checksum=crc32(b"something else"))],
        [install(2, BIG, size=11, checksum=crc32(BIG.data))],
        [install(2, BIG, size=9, checksum=crc32(BIG.data))],
        [install(2, BIG, length=4, size=5), install(2, BIG, offset=4, size=5)],
    ],
    ids=["checksum", "too short", "too long", "too long in the second chunk"],
)
def test_a_damaged_snapshot_is_thrown_away(bad: list[Message]) -> None:
    """SNAP-3: "BAD_SNAPSHOT: thrown away, state and log untouched, offset 0 wanted"."""
    n1 = member(1, 1, term=2)
    before = n1.kept
    assert answers(n1, *bad)[-1] == wants(2, 9, 0)
    assert (n1.objects(), n1.kept, n1.applied) == ([("BAD_SNAPSHOT", "SNAP-3")], before, [])


def test_after_a_damaged_snapshot_a_good_one_is_taken() -> None:
    """SNAP-3: it may have been damaged on the way."""
    n1 = member(1, term=2)
    n1.hears(N2, install(2, BIG, checksum=0))
    n1.forget()
    assert answers(n1, install(2, BIG)) == [installed(2, 9, 10)]


def test_a_snapshot_larger_than_this_server_accepts_is_refused() -> None:
    """SNAP-3, limit snapshot_bytes_max: "A receiver holds it in memory until it is complete"."""
    n1 = member(1, term=2, options=Options(expected_size=3, snapshot_bytes_max=9))
    assert answers(n1, install(2, BIG)) == [wants(2, 9, 0)]
    assert n1.objects() == [("BAD_SNAPSHOT", "SNAP-3")]


def test_a_snapshot_of_a_term_that_has_not_come_is_refused() -> None:
    """SNAP-10: else the log would end in a term above the server's own."""
    n1 = member(1, term=2)
    n1.hears(N2, install(3, snapshot(9, 4)))
    assert (n1.objects(), n1.term) == ([("BAD_PAYLOAD", "SNAP-10")], 2)


def test_a_snapshot_of_nothing_is_refused() -> None:
    """SNAP-11: "A last_included_index of 0 ... is BAD_PAYLOAD": no server has compacted nothing."""
    n1 = member(1, term=2)
    n1.hears(N2, install(3, snapshot(0, 0)))
    assert (n1.says(N2), n1.objects(), n1.term) == ([], [("BAD_PAYLOAD", "SNAP-11")], 2)


def test_a_snapshot_of_another_cluster_is_refused_however_old_it_is() -> None:
    """FORM-8, SNAP-7: it is not answered as if it were here already."""
    n1 = member(1, 1, 1)
    n1.hears(N2, append(1, prev=(3, 1), commit=3))
    n1.forget()
    assert answers(n1, install(1, snapshot(2, 1, servers=(N1, N2)))) == [wants(1, 2, 0)]
    assert n1.objects() == [("BAD_FORMATION", "FORM-8")]


def test_a_snapshot_that_is_announced_too_large_is_refused_with_its_first_chunk() -> None:
    """SNAP-3, limit snapshot_bytes_max: else a gigabyte is held in memory, and sent again, to be refused in the
    end."""
    n1 = member(1, term=2, options=Options(expected_size=3, snapshot_bytes_max=9))
    n1.hears(N2, install(2, BIG, length=1))
    assert n1.objects() == [("BAD_SNAPSHOT", "SNAP-3")]


# -------------------------------------------------------------------------------------------------- installing


def test_installed_leaves_only_when_the_snapshot_is_durable() -> None:
    """SNAP-4, Figure 13, 5: "Save snapshot file"; until then the leader must keep it."""
    n1 = member(1, term=2)
    n1.slow = True
    before = answers(n1, install(2, BIG))
    applied = n1.applied[:]
    n1.fsync()
    assert (before, applied, n1.says(N2), n1.applied) == ([], [], [installed(2, 9, 10)], [Restored(BIG)])


def test_a_snapshot_within_the_log_leaves_what_follows() -> None:
    """SNAP-5, Figure 13, 6: "If existing log entry has same index and term as snapshot's last included entry,
    retain log entries following it and reply"."""
    n1 = member(1, 1, 1, 1, 1)
    said = answers(n1, install(1, snapshot(3, 1)))
    assert (said, n1.terms, n1.kept.entries) == ([installed(1, 3, 5)], (1, 1, 1, 1, 1), log(1, 1, 1, 1, 1))
    assert (n1.commit, n1.applied_data[1:]) == (3, [b"2@1", b"3@1"])
    assert not any(isinstance(item, Restored) for item in n1.applied)


def test_a_snapshot_of_another_history_replaces_the_whole_log() -> None:
    """SNAP-6, Figure 13, 7 and 8: "Discard the entire log", "Reset state machine using snapshot contents"; the
    entries after it belonged to the other history, too."""
    n1 = member(1, 1, 1, 1, 1, term=2)
    said = answers(n1, install(2, snapshot(3, 2)))
    assert (said, n1.terms, n1.commit, n1.applied) == ([installed(2, 3, 5)], (), 3, [Restored(snapshot(3, 2))])
    assert (n1.restarted().terms, n1.restarted().raft.log.last_index) == ((), 3)


def test_a_snapshot_beyond_the_log_replaces_it() -> None:
    """SNAP-6: and the log goes on right behind it."""
    n1 = member(1, 1, term=2)
    said = answers(n1, install(2, BIG), append(2, command(10, 2), prev=(9, 2), commit=10))
    assert (said, n1.terms) == ([installed(2, 9, 10), success(2, 10)], (2,))
    restored, last = n1.applied
    assert restored == Restored(BIG)
    assert last == Committed(Index(10), (command(10, 2),), {})


def test_a_snapshot_brings_no_term_and_takes_no_vote() -> None:
    """SNAP-6, VOTE-2, TERM-1: last_included_term is history; the server's own term and vote are not."""
    n1 = member(1, term=7, voted_for=N3)
    n1.hears(N2, install(7, BIG))
    assert n1.kept.hard_state == HardState(Term(7), N3, THREE)


def test_an_installed_snapshot_counts_in_votes() -> None:
    """SNAP-6, VOTE-3: a candidate that lacks what it holds gets no vote."""
    n1 = member(1, term=2)
    n1.hears(N2, install(2, BIG))
    n1.hears(N3, vote(3, last=(8, 2)))
    assert n1.says(N3) == [denied(3)]


def test_snapshot_and_empty_log_are_one_write() -> None:
    """SNAP-6, PERSIST-1: no crash may leave the new snapshot with the old entries behind it."""
    n1 = member(1, 1, 1, term=2)
    n1.slow = True
    n1.hears(N2, install(2, snapshot(2, 2)))
    assert n1.writes == [Write(1, None, snapshot(2, 2), Index(3), (), LogBase(Index(2), Term(2)))]


def test_entries_that_follow_an_undurable_snapshot_wait_for_it() -> None:
    """SNAP-4, COMMIT-3: snapshot, entries and commit come in one breath; the state machine sees them in
    order."""
    n1 = member(1, term=2)
    n1.slow = True
    n1.hears(N2, install(2, BIG), append(2, command(10, 2), prev=(9, 2), commit=10))
    before = (n1.applied[:], n1.says(N2))
    n1.fsync(1)
    between = n1.applied[:]
    n1.fsync()
    assert (before, between) == (([], []), [Restored(BIG)])
    assert n1.applied == [Restored(BIG), Committed(Index(10), (command(10, 2),), {})]


def test_a_newer_snapshot_may_overtake_one_that_is_not_durable_yet() -> None:
    """SNAP-4, SNAP-6: the state machine becomes the later one only."""
    n1 = member(1, term=2)
    n1.slow = True
    later = snapshot(20, 2, b"later")
    n1.hears(N2, install(2, BIG), install(2, later))
    n1.fsync(1)
    between = (n1.applied[:], n1.says(N2))
    n1.fsync()
    assert between == ([], [installed(2, 9, 10)])
    assert (n1.applied, n1.says(N2), n1.restarted().raft.log.last_index) == (
        [Restored(later)],
        [installed(2, 20, 5)],
        20,
    )


def test_a_snapshot_in_progress_keeps_the_leader_in_office() -> None:
    """ELECT-2: an InstallSnapshot of the current leader restarts the election timer."""
    n1 = member(1, term=2)
    for offset in range(0, 10, 2):
        n1.hears(N2, install(2, BIG, offset=offset, length=2))
        n1.wait(ELECTION - 1)
    assert (n1.role, n1.kept.snapshot) == (Role.FOLLOWER, BIG)


def test_a_restart_begins_with_the_snapshot() -> None:
    """COMMIT-3, Figure 13, 8: "after a restart from the snapshot's index on"; the state machine is empty
    then."""
    n1 = member(1, 1, after=snapshot(5, 1))
    assert (n1.applied, n1.commit) == ([Restored(snapshot(5, 1))], 5)
