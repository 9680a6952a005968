"""Compacting one's own log, and a leader's snapshots for those who fell behind it (paper §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casty.raft.events import Restored, Role
from casty.raft.log import ENTRY_OVERHEAD
from casty.raft.messages import AppendEntriesRequest, InstallSnapshotRequest
from casty.raft.options import Options
from tests.raft.servers import acknowledge, leader, member, sent, steady
from tests.raft.shorthand import (
    ELECTION,
    HEARTBEAT,
    N2,
    N3,
    append,
    command,
    granted,
    install,
    installed,
    no,
    server,
    snapshot,
    vote,
    wants,
    yes,
)

if TYPE_CHECKING:
    from casty.raft.types import ServerId
    from tests.raft.harness import Server

# ------------------------------------------------------------------------------------------------- compacting


def test_a_compaction_changes_no_index_term_or_vote() -> None:
    """SNAP-9: "Compaction changes no index, term or vote"."""
    n1 = steady(1, 1)
    before = (n1.raft.status().last_log_index, n1.raft.status().last_log_term, n1.kept.hard_state, n1.commit)
    n1.compacts(snapshot(3, 2))
    after = (n1.raft.status().last_log_index, n1.raft.status().last_log_term, n1.kept.hard_state, n1.commit)
    assert (before, n1.terms, n1.kept.snapshot) == (after, (), snapshot(3, 2))


def test_the_entries_after_the_snapshot_stay() -> None:
    """SNAP-9: a server compacts what it has applied, and nothing else."""
    n1 = steady(1, 1, 1)
    n1.compacts(snapshot(2, 1))
    assert (n1.terms, n1.restarted().terms, n1.restarted().applied) == (
        (1, 2),
        (1, 2),
        [Restored(snapshot(2, 1))],
    )


@pytest.mark.parametrize("index", [4, 5, 99])
def test_what_is_not_applied_cannot_be_compacted(index: int) -> None:
    """SNAP-9: "A server compacts only what it has applied"."""
    n1 = steady(1, 1)
    n1.proposes(b"x", b"y")
    n1.compacts(snapshot(index, 2))
    assert (n1.terms, n1.kept.snapshot) == ((1, 1, 2, 2, 2), None)


@pytest.mark.parametrize("index", [1, 2, 3])
def test_an_older_snapshot_of_its_own_is_of_no_use(index: int) -> None:
    """SNAP-9: it was serialised while a newer one arrived, or twice; the newer one stays."""
    n1 = member(1, 1, after=snapshot(3, 1, b"newer"))
    n1.compacts(snapshot(index, 1, b"older"))
    assert n1.kept.snapshot == snapshot(3, 1, b"newer")


def test_an_own_snapshot_that_a_leaders_overtook_is_forgotten() -> None:
    """SNAP-9, SNAP-6: the state machine was saved while the log was replaced under it."""
    n1 = member(1, 1, 1)
    n1.hears(N2, append(1, prev=(3, 1), commit=3))
    n1.slow = True
    n1.hears(N2, install(1, snapshot(9, 1)))
    n1.compacts(snapshot(3, 1))
    n1.fsync()
    assert (n1.kept.snapshot, n1.raft.log.last_index) == (snapshot(9, 1), 9)


def test_a_compaction_is_written_as_one() -> None:
    """SNAP-9: entries go "only when the snapshot that holds them is durable": in one write, or not at all."""
    n1 = steady(1, 1)
    n1.slow = True
    n1.compacts(snapshot(2, 1))
    assert [(w.snapshot, w.first_index, w.entries) for w in n1.writes] == [(snapshot(2, 1), None, ())]
    assert n1.restarted().terms == (1, 1, 2)


def test_entries_written_before_a_compaction_and_after_it_stay_in_order() -> None:
    """SNAP-9: "entries only when the snapshot that holds them is durable"; the disk keeps the order of the
    writes."""
    n1 = steady(1)
    n1.slow = True
    n1.proposes(b"before")
    n1.compacts(snapshot(2, 2))
    n1.proposes(b"after")
    n1.fsync()
    assert (n1.kept.snapshot, [entry.data for entry in n1.kept.entries]) == (
        snapshot(2, 2),
        [b"before", b"after"],
    )


def test_a_new_entry_after_a_compaction_continues_the_count() -> None:
    """SNAP-9, LEADER-2: its index is the last one's successor, never 1 again."""
    n1 = steady(1, 1)
    n1.compacts(snapshot(3, 2))
    n1.proposes(b"x")
    (request,) = n1.appends(N2)
    assert (request.prev_log_index, request.prev_log_term, request.entries[0].data) == (3, 2, b"x")


def test_votes_are_compared_with_the_snapshot_after_a_compaction() -> None:
    """SNAP-9, VOTE-3: "the snapshot's last index and term count"."""
    n1 = member(1, 2)
    n1.hears(N2, append(2, prev=(2, 2), commit=2))
    n1.compacts(snapshot(2, 2))
    n1.forget()
    n1.hears(N2, vote(3, last=(1, 2), seq=1))
    n1.hears(N3, vote(3, last=(2, 2), seq=2))
    assert [m.message for m in n1.outbox][1:] == [granted(3, seq=2)]


# ------------------------------------------------------------------------------------ for those who fell behind


def compacted(data: bytes = b"0123456789", chunk: int = 4, kept: int = 1000) -> Server:
    """A leader whose log begins after index 4; n3 has everything, n2 nothing, and says so, twice where it is
    asked which chunk it wants."""
    n1 = leader(1, 1, 1, options=Options(expected_size=3, chunk_bytes_max=chunk, kept_bytes_max=kept))
    (probe,) = n1.appends(N2)
    acknowledge(n1, N3)
    n1.compacts(snapshot(4, 2, data))
    n1.hears(N2, no(probe, hint=(1, None)))
    if len(data) > chunk:
        (question,) = chunks(n1)
        n1.hears(N2, yes(question))
    return n1


def chunks(n1: Server, peer: ServerId = N2) -> list[InstallSnapshotRequest]:
    """The chunks among what it says to `peer`."""
    return [message for message in n1.says(peer) if isinstance(message, InstallSnapshotRequest)]


def transfer(n1: Server) -> list[InstallSnapshotRequest]:
    """n2 takes the whole snapshot; all chunks it got."""
    got: list[InstallSnapshotRequest] = []
    while new := chunks(n1):
        got += new
        n1.hears(N2, yes(new[-1]))
    return got


def test_a_follower_whose_entries_are_gone_gets_the_snapshot() -> None:
    """SNAP-8, §7: "the leader must occasionally send snapshots to followers that lag behind"."""
    (first,) = chunks(compacted())
    whole = snapshot(4, 2, b"0123456789")
    assert first == install(2, whole, length=4, seq=first.seq)


def test_a_snapshot_travels_in_chunks_one_at_a_time() -> None:
    """SNAP-8, Figure 13: data "starting at offset", "done: true if this is the last chunk"."""
    got = transfer(compacted())
    assert [(c.offset, c.data, c.done) for c in got] == [
        (0, b"0123", False),
        (4, b"4567", False),
        (8, b"89", True),
    ]


def test_every_snapshot_carries_the_list_and_the_cluster_id() -> None:
    """FORM-6: "Every snapshot carries both", in every chunk."""
    whole = snapshot(4, 2)
    sent_along = {(c.cluster_id, c.members) for c in transfer(compacted())}
    assert sent_along == {(whole.configuration.cluster_id, whole.configuration.members)}


def test_after_the_snapshot_come_the_entries_behind_it() -> None:
    """SNAP-8: it "continues with the entry after last_included_index", and at once: nothing needs to be
    probed."""
    n1 = compacted(chunk=100)
    (only_chunk,) = chunks(n1)
    n1.proposes(b"x")
    n1.says(N2)
    n1.hears(N2, yes(only_chunk))
    assert sent(n1) == [(4, 1)]


def test_heartbeats_go_on_during_a_transfer() -> None:
    """SNAP-8: "Heartbeats go on meanwhile", and claim nothing of a log the follower does not have."""
    n1 = compacted()
    n1.forget()
    n1.tick()
    acknowledge(n1, N3)
    (beat,) = n1.appends(N2)
    assert (beat.prev_log_index, beat.prev_log_term, beat.entries) == (0, 0, ())


def test_the_answer_to_a_heartbeat_does_not_disturb_a_transfer() -> None:
    """SNAP-8, LEADER-5: neither a success nor a refusal of it says anything about the snapshot."""
    n1 = compacted()
    n1.forget()
    for answer in (yes, no):
        n1.tick()
        acknowledge(n1, N3)
        (beat,) = n1.appends(N2)
        n1.hears(N2, answer(beat))
    assert n1.says(N2) == []


def test_a_chunk_that_is_not_answered_is_sent_again() -> None:
    """SNAP-8: after two election timeouts, not with every heartbeat."""
    n1 = compacted()
    (first,) = chunks(n1)
    times: list[int] = []
    start = n1.now
    while len(times) < 2:
        n1.tick()
        acknowledge(n1, N3)
        times += [n1.now - start for chunk in chunks(n1) if chunk.offset == first.offset]
    assert 2 * ELECTION <= times[0] <= 2 * ELECTION + HEARTBEAT
    assert times[1] - times[0] >= 2 * ELECTION


def test_a_follower_that_lost_its_chunks_gets_them_again_without_haste() -> None:
    """SNAP-8, SNAP-2: "another offset than the next one wanted is answered with the one wanted"."""
    n1 = compacted()
    n1.hears(N2, yes(chunks(n1)[0]))
    (second,) = chunks(n1)
    n1.hears(N2, wants(2, 4, 0, seq=second.seq))
    at_once = chunks(n1)
    again: list[InstallSnapshotRequest] = []
    while not again:
        n1.tick()
        acknowledge(n1, N3)
        again = chunks(n1)
    assert (at_once, [chunk.offset for chunk in again]) == ([], [0])


def test_an_answer_about_another_snapshot_is_ignored() -> None:
    """TERM-3, SNAP-8: an earlier transfer's answer, or one of another index."""
    n1 = compacted()
    (first,) = chunks(n1)
    n1.hears(N2, installed(2, 3, 10, seq=first.seq), installed(2, 4, 10, seq=first.seq - 2))
    n1.proposes(b"x")
    assert n1.says(N2) == []


@pytest.mark.parametrize("offset", [11, 99])
def test_an_answer_that_wants_what_is_not_there_is_ignored(offset: int) -> None:
    """LEADER-6, SNAP-8: there is no byte beyond the end."""
    n1 = compacted()
    (first,) = chunks(n1)
    n1.hears(N2, wants(2, 4, offset, seq=first.seq))
    assert n1.says(N2) == []


def test_a_snapshot_answer_of_another_term_is_ignored() -> None:
    """TERM-3: "A response whose request_term is not the receiver's current term ... changes nothing"."""
    n1 = compacted()
    (first,) = chunks(n1)
    n1.hears(N2, installed(1, 4, 10, seq=first.seq))
    n1.proposes(b"x")
    assert n1.says(N2) == []


def test_a_snapshot_answer_with_a_seq_that_was_never_sent_is_ignored() -> None:
    """TERM-3: "or whose seq it is not waiting for, changes nothing"."""
    n1 = compacted()
    (first,) = chunks(n1)
    n1.hears(N2, installed(2, 4, 10, seq=first.seq + 1000))
    n1.proposes(b"x")
    assert n1.says(N2) == []


def test_an_answer_without_a_transfer_is_ignored() -> None:
    """TERM-3: nobody asked; a follower that has everything is not taken back."""
    n1 = steady(1, 1)
    n1.hears(N2, installed(2, 2, 5), wants(2, 2, 0))
    n1.proposes(b"x")
    assert sent(n1) == [(3, 1)]


def test_an_installed_snapshot_counts_as_acknowledged() -> None:
    """SNAP-8, COMMIT-1: the follower durably reaches last_included_index, and what follows counts as ever."""
    n1 = compacted(chunk=100)
    n1.disconnects(N3)
    transfer(n1)
    n1.proposes(b"x")
    acknowledge(n1, N2)
    assert n1.commit == 5


@pytest.mark.parametrize(("kept", "snapshots", "entries"), [(1000, {4}, [(4, 1)]), (1, {4, 5}, [])])
def test_a_transfer_survives_a_newer_compaction(
    kept: int, snapshots: set[int], entries: list[tuple[int, int]]
) -> None:
    """SNAP-8: it goes on with the snapshot it began with; chunks of two would be thrown away. The entries after
    that are kept meanwhile, if they are not too many, or the newer one would have to follow at once."""
    n1 = compacted(kept=kept)
    n1.hears(N2, yes(chunks(n1)[0]))
    n1.proposes(b"x")
    acknowledge(n1, N3)
    n1.compacts(snapshot(5, 2, b"newer state"))
    n1.hears(N2, *(yes(chunk) for chunk in chunks(n1)))
    (last,) = chunks(n1)
    assert last.done
    n1.hears(N2, yes(last))
    said = n1.says(N2)
    begun = {m.last_included_index for m in said if isinstance(m, InstallSnapshotRequest)}
    requests = [m for m in said if isinstance(m, AppendEntriesRequest) and m.entries]
    assert {4} | begun == snapshots
    assert [(m.prev_log_index, len(m.entries)) for m in requests] == entries


def test_a_follower_that_gets_a_snapshot_is_caught_up_however_often_the_leader_compacts() -> None:
    """SNAP-8, SNAP-9: a transfer that takes longer than it is from one snapshot to the next must end, too."""
    n1 = compacted()
    for index in range(5, 25):
        new = chunks(n1)
        n1.proposes(b"x")
        acknowledge(n1, N3)
        n1.compacts(snapshot(index, 2, b"0123456789"))
        n1.hears(N2, *(yes(chunk) for chunk in new))
        if not new:
            acknowledge(n1, N2)
    assert n1.raft._state.log.base_index == 24
    n1.proposes(b"y")
    assert sent(n1) == [(24, 1)]


def test_a_transfer_begins_again_on_a_new_connection() -> None:
    """SNAP-8, LEADER-7: what was in flight is forgotten, chunks included."""
    n1 = compacted()
    n1.hears(N2, yes(chunks(n1)[0]))
    n1.forget()
    n1.disconnects(N2)
    n1.connects(N2, boot=b"boot 2")
    probe = n1.says(N2)
    assert [m.offset for m in probe if isinstance(m, InstallSnapshotRequest)] == [0]


def test_a_compacted_leader_finds_a_follower_that_is_not_behind_without_a_snapshot() -> None:
    """SNAP-8, LEADER-5: the snapshot's last entry can be compared, too."""
    n1 = leader(1, 1, after=snapshot(4, 1))
    (probe,) = n1.appends(N2)
    n1.hears(N2, no(probe, hint=(5, None)))
    assert sent(n1) == [(4, 3)]


def test_a_compacted_leader_without_an_entry_sends_its_snapshot_to_an_empty_follower() -> None:
    """SNAP-8: nothing needs to be written for it first."""
    n1 = steady(1)
    n1.compacts(snapshot(2, 2))
    reborn = server(2, store=9)
    n1.connects(reborn)
    (probe,) = n1.appends(reborn)
    n1.hears(reborn, no(probe, hint=(1, None)))
    assert [chunk.offset for chunk in chunks(n1, reborn)] == [0]


def test_taking_a_snapshot_takes_no_time_from_the_leader() -> None:
    """SNAP-9: saving the state is somebody else's work; its end is one event among others."""
    n1 = steady(1)
    n1.compacts(snapshot(2, 2, bytes(1 << 20)))
    n1.tick()
    assert (n1.role, len(n1.appends(N2)), n1.raft.log.last_index) == (Role.LEADER, 1, 2)


def test_a_follower_compacts_as_well() -> None:
    """SNAP-9, §7: "each server takes snapshots independently"."""
    n1 = member(1, 1)
    n1.hears(N2, append(1, prev=(2, 1), commit=2))
    n1.compacts(snapshot(2, 1))
    n1.hears(N2, append(1, command(3, 1), prev=(2, 1), commit=3))
    assert (n1.terms, n1.applied_data[-1], n1.kept.snapshot) == ((1,), b"3@1", snapshot(2, 1))


# ------------------------------------------------------------------------------------------------- what is kept


def keeping(entries: int, kept_bytes: int = 1 << 20) -> Options:
    return Options(expected_size=3, kept_entries=entries, kept_bytes_max=kept_bytes, chunk_bytes_max=4)


def test_a_follower_that_lacks_a_few_entries_gets_them_and_no_snapshot() -> None:
    """SNAP-13: the last entries that the snapshot holds are kept, also through a restart."""
    n1 = steady(1, 1, options=keeping(2))
    n1.disconnects(N2)
    n1.proposes(b"x", b"y")
    acknowledge(n1, N3)
    n1.compacts(snapshot(5, 2))
    n1.forget()
    n1.connects(N2)
    assert [(r.prev_log_index, len(r.entries)) for r in n1.appends(N2)] == [(3, 2)]
    assert (n1.terms, n1.restarted().terms, n1.restarted().commit) == ((2, 2), (2, 2), 5)


@pytest.mark.parametrize(
    ("data", "options", "kept"),
    [
        (b"", keeping(0), 0),
        (b"", keeping(3), 3),
        (b"", keeping(99), 5),
        (b"", keeping(99, kept_bytes=2 * (ENTRY_OVERHEAD + 1)), 2),
        (bytes(2 * (ENTRY_OVERHEAD + 1)), keeping(0), 0),
        (bytes(2 * (ENTRY_OVERHEAD + 1)), keeping(1), 2),
        (bytes(2 * (ENTRY_OVERHEAD + 1)), keeping(3), 3),
    ],
    ids=[
        "none",
        "so many",
        "all there are",
        "not too large",
        "never any",
        "smaller than it",
        "so many or more",
    ],
)
def test_so_many_entries_are_kept_or_as_many_as_are_smaller_than_the_snapshot(
    data: bytes, options: Options, kept: int
) -> None:
    """SNAP-13: what takes less than the snapshot is worth keeping in any case."""
    n1 = steady(1, options=options)
    n1.proposes(b"a", b"b", b"c")
    acknowledge(n1, N2, N3)
    n1.compacts(snapshot(5, 2, data))
    assert (len(n1.terms), n1.raft.log.last_index) == (kept, 5)


def test_entries_in_the_snapshot_are_not_applied_again_after_a_restart() -> None:
    """SNAP-13, COMMIT-3: the state machine begins with the snapshot, and goes on behind it."""
    n1 = steady(1, options=keeping(99))
    n1.proposes(b"a", b"b")
    acknowledge(n1, N2, N3)
    n1.compacts(snapshot(3, 2))
    again = n1.restarted()
    again.hears(N2, append(3, prev=(4, 2), commit=4))
    assert (again.applied[0], again.applied_data) == (Restored(snapshot(3, 2)), [b"b"])


def test_a_transfer_goes_on_after_a_lost_connection() -> None:
    """SNAP-12: with the same snapshot, at the offset that the follower wants."""
    n1 = compacted()
    n1.hears(N2, yes(chunks(n1)[0]))
    n1.disconnects(N2)
    n1.proposes(b"x")
    acknowledge(n1, N3)
    n1.compacts(snapshot(5, 2, b"newer state"))
    n1.forget()
    n1.connects(N2)
    (question,) = chunks(n1)
    n1.hears(N2, wants(2, 4, 4, seq=question.seq))
    (following,) = chunks(n1)
    assert (question.last_included_index, question.data) == (4, b"")
    assert (following.last_included_index, following.offset, following.data) == (4, 4, b"4567")


def test_a_snapshot_of_one_chunk_is_sent_without_a_question() -> None:
    """SNAP-12: "a snapshot of several chunks"; there is nothing to be saved by asking."""
    (first,) = chunks(compacted(chunk=100))
    assert (first.data, first.done) == (b"0123456789", True)
