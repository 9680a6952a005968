"""Several servers and a story each: the paper's Figures 7 and 8, formation, partitions, crashes, lost disks."""

from __future__ import annotations

from pathlib import Path

import pytest

from casty.raft.events import Restored, Role
from casty.raft.options import Options
from casty.raft.types import Index, Snapshot, Term
from tests.raft.cluster import Cluster
from tests.raft.servers import fresh, locked, member
from tests.raft.shorthand import N1, N2, N3, N4, N5, members, server

RAFT_PAGE = Path(__file__).parents[2] / "spec" / "raft.md"


def fresh_cluster(size: int = 3) -> Cluster:
    return Cluster(*(fresh(size, me=who) for who in members(size)))


def formed_cluster(size: int = 3) -> Cluster:
    """A cluster of `size`, formed by n1, that has nothing more to say."""
    cluster = fresh_cluster(size)
    cluster.times_out(N1)
    cluster.heartbeat(N1)
    cluster.transcript.clear()
    return cluster


# --------------------------------------------------------------------------------- what the specification shows


def shown(title: str) -> list[str]:
    """The lines of the specification's sequence of that title."""
    _, _, rest = RAFT_PAGE.read_text(encoding="utf-8").partition(f"```sequence {title}\n")
    block, fence, _ = rest.partition("```")
    assert fence, f"no sequence {title} in {RAFT_PAGE.name}"
    return [line.partition("#")[0].strip() for line in block.splitlines() if line.strip()]


def squeezed(lines: list[str]) -> list[str]:
    """The lines without the spaces that only align them."""
    return [" ".join(line.split()) for line in lines]


def test_formation_goes_as_the_specification_shows() -> None:
    """FORM-3, FORM-5, FORM-6, PREVOTE-1, VOTE-4: pre-vote round, vote round, entry 1, commit."""
    cluster = fresh_cluster()
    cluster.times_out(N1)
    expected = squeezed(shown("formation"))
    assert squeezed(cluster.transcript)[: len(expected)] == expected


def test_a_command_goes_as_the_specification_shows() -> None:
    """PERSIST-2, PERSIST-3, APPEND-7, COMMIT-1: the leader's disk and the network work at the same time."""
    cluster = formed_cluster()
    cluster.proposes(N1, b"x")
    assert squeezed(cluster.transcript) == squeezed(shown("command"))


# ------------------------------------------------------------------------------------------------- formation


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_strangers_become_a_cluster(size: int) -> None:
    """FORM-3, FORM-6: one leader, one entry 1, committed everywhere."""
    cluster = formed_cluster(size)
    assert (cluster.leaders, cluster.terms, cluster.commits) == ([N1], {(1,)}, [1] * size)
    assert {n.standing for n in cluster.servers.values()} == {"member"}
    assert len({n.raft.configuration for n in cluster.servers.values()}) == 1


def test_while_one_is_missing_nothing_is_bound() -> None:
    """FORM-3: two of three could be two of two clusters."""
    cluster = fresh_cluster()
    cluster.cut_off(N3)
    for who in (N1, N2, N1):
        cluster.times_out(who)
    assert [n.kept.hard_state.lock for n in cluster.servers.values()] == [None] * 3


def test_a_locked_server_that_restarts_can_still_be_won() -> None:
    """FORM-2, FORM-5: the list is on its disk; the election starts again and needs it, too."""
    cluster = Cluster(locked(me=N1, voted_for=N1), locked(me=N2, voted_for=N1), fresh(3, me=N3))
    cluster.restart(N2)
    cluster.times_out(N1)
    assert (cluster.leaders, cluster.terms) == ([N1], {(2,)})


def test_entry_one_that_reached_one_follower_only_wins() -> None:
    """FORM-3, FORM-5, LEADER-5: n2 is a member, n1 forgot its own entry 1, n3 never saw it; the list is one,
    so is entry 1."""
    cluster = Cluster(locked(me=N1, voted_for=N1), member(1, me=N2), locked(me=N3, voted_for=N1))
    cluster.times_out(N1)
    refused = cluster.leaders
    cluster.times_out(N2)
    assert (refused, cluster.leaders, cluster.terms) == ([], [N2], {(1, 2)})
    assert len({n.raft.configuration for n in cluster.servers.values()}) == 1


def test_a_cluster_whose_servers_all_restart_goes_on() -> None:
    """FORM-2, PERSIST-1: nothing forms a second time."""
    cluster = formed_cluster()
    before = cluster[N1].raft.configuration
    for who in members(3):
        cluster.restart(who)
    cluster.times_out(N3)
    cluster.heartbeat(N3)
    assert (cluster.leaders, cluster[N3].raft.configuration, cluster.commits) == ([N3], before, [2, 2, 2])


def test_a_member_that_lost_its_disk_comes_back_as_a_learner() -> None:
    """FORM-1, FORM-9: it gets all there is, and two of the three remain to decide."""
    cluster = formed_cluster()
    learner = fresh(3, me=server(3, store=9))
    cluster.join(learner)
    cluster.proposes(N1, b"x")
    assert (learner.standing, learner.terms, learner.commit) == ("learner", (1, 1), 2)
    cluster.cut_off(N2)
    cluster.proposes(N1, b"y")
    assert (learner.terms, cluster[N1].commit) == ((1, 1, 1), 2)


# ----------------------------------------------------------------------------------------------------- Figure 7


LEADER_OF_FIGURE_7 = (1, 1, 1, 4, 4, 5, 5, 6, 6, 6)
FIGURE_7 = {
    "a": (1, 1, 1, 4, 4, 5, 5, 6, 6),
    "b": (1, 1, 1, 4),
    "c": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
    "d": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
    "e": (1, 1, 1, 4, 4, 4, 4),
    "f": (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
}


def test_all_logs_of_figure_7_become_the_leaders() -> None:
    """LEADER-5, APPEND-3, §5.3, Figure 7: "a follower may be missing entries (a–b), may have extra uncommitted
    entries (c–d), or both (e–f)"; a, b, e and f vote for the leader of term 8, c and d must not."""
    others = [
        member(*terms, size=7, term=7, me=who)
        for who, terms in zip(members(7)[1:], FIGURE_7.values(), strict=True)
    ]
    cluster = Cluster(member(*LEADER_OF_FIGURE_7, size=7, term=7), *others)
    cluster.times_out(N1)
    cluster.heartbeat(N1)
    votes = {who.node_id: cluster[who].kept.hard_state.voted_for for who in members(7)}
    assert [name for name, vote in votes.items() if vote == N1] == ["n1", "n2", "n3", "n6", "n7"]
    assert (cluster.leaders, cluster.terms, cluster.commits) == ([N1], {(*LEADER_OF_FIGURE_7, 8)}, [11] * 7)


@pytest.mark.parametrize("terms", FIGURE_7.values(), ids=FIGURE_7)
def test_each_log_of_figure_7_takes_a_few_requests(terms: tuple[int, ...]) -> None:
    """LEADER-5, §5.3: one refusal for each term in which the logs differ, not one for each entry."""
    cluster = Cluster(
        member(*LEADER_OF_FIGURE_7, term=7), member(*terms, term=7, me=N2), member(1, 1, 1, term=7, me=N3)
    )
    cluster.times_out(N1)
    refusals = [line for line in cluster.transcript if line.startswith("n2") and "refused" in line]
    assert cluster[N2].terms == (*LEADER_OF_FIGURE_7, 8)
    assert len(refusals) <= 2


# ----------------------------------------------------------------------------------------------------- Figure 8


def figure_8() -> Cluster:
    """Figure 8 at (c): S1 leads term 4 and has just brought entry 2, of term 2, to a majority; S5 is away."""
    one_by_one = Options(expected_size=5, batch_bytes_max=1)
    cluster = Cluster(
        member(1, 2, size=5, term=3, options=one_by_one),
        member(1, 2, size=5, term=3, me=N2),
        member(1, size=5, term=3, me=N3),
        member(1, size=5, term=3, me=N4),
        member(1, 3, size=5, term=3, me=N5),
    )
    cluster.cut_off(N5)
    cluster.times_out(N1, until=lambda: "n3 → n1  APPEND_ENTRIES_RES term=4 match=2" in cluster.transcript)
    return cluster


def test_figure_8_an_entry_of_an_earlier_term_on_a_majority_can_still_be_lost() -> None:
    """COMMIT-1, §5.4.2, Figure 8 (c), (d): entry 2 "could still be overwritten" by S5, so it was not
    committed."""
    cluster = figure_8()
    assert [cluster[who].terms for who in (N1, N2, N3)] == [(1, 2, 4), (1, 2, 4), (1, 2)]
    assert cluster.commits == [0] * 5
    cluster.cut_off(N1)
    cluster.heal(N5)
    for _ in range(2):  # the first time it only learns the term
        cluster.times_out(N5)
    assert [cluster[who].terms for who in (N2, N3, N4, N5)] == [(1, 3, 5)] * 4


def test_figure_8_with_an_entry_of_the_leaders_own_term_it_cannot() -> None:
    """COMMIT-1, LEADER-2, §5.4.2, Figure 8 (e): "S5 cannot win an election. At this point all preceding
    entries in the log are committed as well"."""
    cluster = figure_8()
    cluster.settle()
    assert cluster.commits[:4] == [3] * 4
    cluster.cut_off(N1)
    cluster.heal(N5)
    for _ in range(5):
        cluster.times_out(N5)
    refused = cluster.leaders
    cluster.times_out(N3)
    assert (refused, cluster.leaders) == ([N1], [N1, N3])
    assert [cluster[who].terms for who in (N2, N3, N4, N5)] == [(1, 2, 4, 5)] * 4


# --------------------------------------------------------------------------------------- partitions and rejoins


def test_a_leader_in_a_minority_commits_nothing_and_its_tail_is_gone_after_the_heal() -> None:
    """COMMIT-1, COMMIT-4, APPEND-3, §5.3: what it took meanwhile was never acknowledged, and nobody said it
    was."""
    cluster = formed_cluster(5)
    cluster.cut_off(N1)
    for data in (b"doomed 1", b"doomed 2"):
        cluster.proposes(N1, data)
    cluster.times_out(N2)
    cluster.proposes(N2, b"kept")
    before = (cluster[N1].commit, cluster[N2].commit)
    cluster.heal()
    cluster.heartbeat(N2)
    assert (before, cluster.leaders, cluster.terms) == ((1, 3), [N2], {(1, 2, 2)})
    assert (cluster[N1].lost, cluster[N1].applied_data[-1]) == ([b"doomed 1", b"doomed 2"], b"kept")


def test_a_follower_that_was_away_disturbs_nobody_when_it_returns() -> None:
    """PREVOTE-1, thesis §9.6: same leader, same term, and it has caught up."""
    cluster = formed_cluster()
    cluster.cut_off(N3)
    for _ in range(20):
        cluster[N3].tick()
        cluster[N3].forget()
    cluster.proposes(N1, b"x")
    cluster.heal()
    cluster.heartbeat(N1)
    assert (cluster.leaders, cluster[N1].term, cluster.terms, cluster.commits) == ([N1], 1, {(1, 1)}, [2, 2, 2])


def test_a_majority_that_is_away_stops_everything_and_then_nothing_is_lost() -> None:
    """COMMIT-1, LEADER-4: two of five can neither commit nor elect; three can."""
    cluster = formed_cluster(5)
    cluster.cut_off(N3, N4, N5)
    cluster.proposes(N1, b"x")
    for _ in range(10):
        cluster.heartbeat(N1) if cluster.leaders else cluster.times_out(N2)
    before = (cluster.leaders, cluster[N1].commit)
    cluster.heal()
    cluster.times_out(N2)
    cluster.heartbeat(N2)
    assert (before, cluster.leaders, cluster.commits) == (([], 1), [N2], [3] * 5)
    assert cluster.terms == {(1, 1, 2)}


def test_an_old_leader_that_wakes_up_is_told_at_once() -> None:
    """TERM-1, TERM-2, §5.1: it slept through an election; its first heartbeat is refused, and it follows."""
    cluster = formed_cluster()
    cluster.cut_off(N1)
    cluster.times_out(N2)
    cluster.heal()
    cluster[N1].forget()
    cluster.heartbeat(N2)
    assert (cluster.leaders, cluster[N1].role, cluster[N1].raft.leader) == ([N2], Role.FOLLOWER, N2)


def test_a_crashed_leaders_acknowledged_commands_are_in_the_next_leaders_log() -> None:
    """COMMIT-1, VOTE-3, Figure 3, Leader Completeness: "present in the logs of the leaders for all
    higher-numbered terms"; n3, which lacks them, cannot win."""
    cluster = formed_cluster()
    cluster.cut_off(N3)
    cluster.proposes(N1, b"x")
    cluster.restart(N1)
    cluster.heal(N3)
    for _ in range(3):
        cluster.times_out(N3)
    refused = cluster.leaders
    cluster.times_out(N2)
    assert (refused, cluster.leaders, cluster.terms) == ([], [N2], {(1, 1, 2)})


def test_a_follower_far_behind_is_brought_up_by_a_snapshot() -> None:
    """SNAP-8, SNAP-6, §7: and then by the entries behind it, while others go on."""
    cluster = formed_cluster()
    cluster.cut_off(N3)
    for number in range(5):
        cluster.proposes(N1, b"%d" % number)
    cluster[N1].compacts(snapshot_of(cluster, 5))
    cluster.heal()
    cluster.proposes(N1, b"last")
    assert isinstance(cluster[N3].applied[1], Restored)
    assert (cluster[N3].terms, cluster[N3].applied_data[-2:], cluster.commits) == (
        (1, 1),
        [b"4", b"last"],
        [7] * 3,
    )


def snapshot_of(cluster: Cluster, index: int) -> Snapshot:
    """A snapshot by n1, with the cluster id that was drawn."""
    configuration = cluster[N1].raft.configuration
    assert configuration is not None
    return Snapshot.of(Index(index), Term(1), configuration, b"state")


def test_everybody_applies_the_same_commands_in_the_same_order() -> None:
    """COMMIT-3, Figure 3, State Machine Safety: over two leaders and a crash."""
    cluster = formed_cluster()
    cluster.proposes(N1, b"a")
    cluster.restart(N2)
    cluster.proposes(N1, b"b")
    cluster.times_out(N3)
    cluster.proposes(N3, b"c")
    cluster.heartbeat(N3)
    assert {tuple(n.applied_data[1:]) for n in cluster.servers.values()} == {(b"a", b"b", b"", b"c")}
