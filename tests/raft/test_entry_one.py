"""Entry 1: the list and the cluster id that make members of those it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casty.raft.configuration import decode_configuration, encode_configuration
from casty.raft.types import ClusterId, Configuration, Entry, EntryKind, Index, Members, Snapshot, Term
from tests.raft.harness import Server
from tests.raft.servers import acknowledge, formed, fresh, leader, locked, member
from tests.raft.shorthand import (
    N1,
    N2,
    N3,
    REBORN,
    THREE,
    append,
    command,
    configuration,
    entry_one,
    install,
    members,
    noop,
    refusal,
    server,
    snapshot,
    success,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_first_leader_writes_the_list_and_a_cluster_id_into_entry_one() -> None:
    """FORM-6, LEADER-2: "Entry 1, of kind members, is the no-op of the leader that formation elected"."""
    n1 = formed()
    entry = n1.appends(N2)[0].entries[0]
    assert (entry.term, entry.kind) == (1, EntryKind.MEMBERS)
    assert decode_configuration(entry.data) == n1.raft.configuration
    assert n1.raft.configuration is not None
    assert (n1.raft.configuration.members, len(n1.raft.configuration.cluster_id)) == (THREE, 16)


def test_two_clusters_draw_two_ids() -> None:
    """FORM-6: "a cluster id it drew", at random: the same names may form again somewhere else."""
    recovered, options = fresh(1).kept, fresh(1).options
    ids: set[bytes] = set()
    for seed in range(20):
        n1 = Server(recovered, options=options, seed=seed)
        n1.tick()
        assert n1.raft.configuration is not None
        ids.add(n1.raft.configuration.cluster_id)
    assert len(ids) == 20


def test_entry_one_is_committed_by_a_majority() -> None:
    """FORM-6, COMMIT-1: the election takes everybody; from then on a majority is enough."""
    n1 = formed()
    before = n1.commit
    acknowledge(n1, N2)
    assert (before, n1.commit) == (0, 1)


def test_a_later_leader_writes_no_second_entry_one() -> None:
    """FORM-6, FORM-8: entry 1 stands already; this leader's no-op is an ordinary one."""
    n1 = leader(1)
    assert n1.appends(N2)[0].entries == (noop(2),)


@pytest.mark.parametrize("make", [locked, lambda: fresh(me=REBORN)], ids=["locked", "fresh, reborn"])
def test_entry_one_makes_a_member_or_a_learner(make: Callable[[], Server]) -> None:
    """FORM-2, FORM-8, FORM-9: it is the same entry; what it makes of a server depends on the pair it lists."""
    n1 = make()
    n1.hears(N2, append(1, entry_one(1)))
    assert (n1.says(N2), n1.standing, n1.raft.configuration) == (
        [success(1, 1)],
        "member" if n1.raft.me == N1 else "learner",
        configuration(),
    )


def test_a_snapshot_makes_a_member_too() -> None:
    """FORM-2, FORM-6: "Every snapshot carries both" list and cluster id."""
    n1 = locked()
    n1.hears(N2, install(1, snapshot(5, 1)))
    assert (n1.standing, n1.raft.configuration) == ("member", configuration())


OTHER_LISTS: list[Members] = [members(4), (N1, N2), (N1, N2, server(3, store=9)), (server(1, store=9), N2, N3)]


@pytest.mark.parametrize("servers", OTHER_LISTS, ids=["longer", "shorter", "another n3", "another n1"])
def test_a_locked_server_takes_no_entry_one_of_another_list(servers: Members) -> None:
    """FORM-8: "anything else is BAD_FORMATION"; the log stays empty."""
    n1 = locked()
    n1.hears(N2, append(1, entry_one(1, servers=servers)))
    assert (n1.says(N2), n1.objects(), n1.terms) == ([refusal(1)], [("BAD_FORMATION", "FORM-8")], ())


@pytest.mark.parametrize("servers", OTHER_LISTS, ids=["longer", "shorter", "another n3", "another n1"])
def test_a_locked_server_takes_no_snapshot_of_another_list(servers: Members) -> None:
    """FORM-8: a snapshot binds as much as entry 1 does."""
    n1 = locked()
    n1.hears(N2, install(1, snapshot(5, 1, servers=servers)))
    assert (n1.objects(), n1.standing, n1.raft.log.last_index) == ([("BAD_FORMATION", "FORM-8")], "locked", 0)


def test_a_member_takes_no_snapshot_of_another_cluster() -> None:
    """FORM-8, FORM-7: the same names, another cluster id: somebody else's data."""
    n1 = member(1)
    foreign = Configuration(ClusterId(b"d" * 16), THREE)
    n1.hears(N2, install(1, Snapshot.of(Index(5), Term(1), foreign, b"theirs")))
    assert (n1.objects(), n1.raft.configuration) == ([("BAD_FORMATION", "FORM-8")], configuration())


@pytest.mark.parametrize(
    ("prev", "entry"),
    [((0, 0), noop(1)), ((0, 0), command(1, 1)), ((1, 1), entry_one(1))],
    ids=["no-op at 1", "command at 1", "members at 2"],
)
def test_members_stand_at_index_1_and_nowhere_else(prev: tuple[int, int], entry: Entry) -> None:
    """FORM-8: "An entry of kind members at any index but 1, or another kind at index 1, is BAD_PAYLOAD"."""
    n1 = member(1) if prev[0] else locked()
    before = n1.terms
    n1.hears(N2, append(1, entry, prev=prev))
    assert (n1.says(N2), n1.objects(), n1.terms) == ([], [("BAD_PAYLOAD", "FORM-8")], before)


def test_an_entry_one_that_says_nothing_is_refused() -> None:
    """FORM-8: data of entry 1 "that is no configuration" is BAD_PAYLOAD, and so is data in a no-op."""
    n1 = locked()
    n1.hears(N2, append(2, Entry(Term(1), EntryKind.MEMBERS, b"\xc1")))
    n1.hears(N2, append(2, entry_one(1), Entry(Term(1), EntryKind.NOOP, b"x")))
    assert (n1.says(N2), n1.objects(), n1.standing) == ([], 2 * [("BAD_PAYLOAD", "FORM-8")], "locked")
    assert n1.term == 1


def test_a_member_takes_no_other_entry_one() -> None:
    """FORM-8: another cluster's, under the same names: nobody who obeys the rules has written it."""
    n1 = member(1)
    foreign = Configuration(ClusterId(b"d" * 16), THREE)
    n1.hears(N2, append(2, Entry(Term(2), EntryKind.MEMBERS, encode_configuration(foreign))))
    assert (n1.objects(), n1.terms) == ([("BAD_FORMATION", "FORM-8")], (1,))


def test_a_server_learns_only_from_one_that_entry_one_lists() -> None:
    """FORM-9: "or does not list its node id or its sender": a stranger may hand on anything."""
    n1 = fresh(me=REBORN)
    n1.discovers(REBORN, server(9))
    n1.hears(server(9), append(1, entry_one(1)))
    assert (n1.objects(), n1.raft.configuration) == ([("BAD_FORMATION", "FORM-8")], None)


def test_a_follower_hears_of_a_commit_with_the_answer_to_its_probe() -> None:
    """COMMIT-1: what was committed while it was probed is news to it, and does not wait for a heartbeat."""
    n1 = leader(1)
    probe = n1.appends(N3)[0]
    acknowledge(n1, N2)
    n1.hears(N3, success(2, 2, seq=probe.seq))
    news = n1.appends(N3)[-1]
    assert (news.prev_log_index, news.leader_commit) == (2, 2)
