"""When a server has everything that was committed at the moment somebody asked (paper §8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casty.raft.events import BarrierLifted, BarrierSet, SnapshotTaken
from tests.raft.servers import acknowledge, campaign, fresh, leader, learner, member, win
from tests.raft.shorthand import N1, N2, N3, append, commands, install, noop, snapshot

if TYPE_CHECKING:
    from tests.raft.harness import Server

OLD, NEW, OTHER = "a connection", "the same, after the pong", "another connection"


def asks(n: Server, ticket: object = "ticket", via: object = None) -> None:
    n.step(BarrierSet(ticket, via))


def passed(n: Server) -> list[tuple[object, int]]:
    """The barriers passed since this was last looked at, each with the commit index it was passed at."""
    found = [(ticket, int(index)) for ticket, index in n.passed]
    n.passed.clear()
    return found


def knows(n: Server) -> bool:
    """Whether it would pass a barrier at once."""
    return n.raft.would_pass


def test_a_leader_passes_once_an_entry_of_its_term_is_committed() -> None:
    """COMMIT-1, LEADER-2; §8: "the leader must have the latest information on which entries are committed"."""
    n1 = leader(1, 1, 2)
    asks(n1, "before")
    assert passed(n1) == []  # it has every committed entry, and does not know which those are
    assert not knows(n1)
    acknowledge(n1, N2)
    acknowledge(n1, N2)
    assert n1.commit == 4
    assert passed(n1) == [("before", 4)]
    assert knows(n1)
    asks(n1, "after")
    assert passed(n1) == [("after", 4)]


def test_a_server_that_is_alone_passes_when_it_leads() -> None:
    """COMMIT-1: a majority of one; after a restart its commit index begins at the snapshot's."""
    n1 = member(2, 2, size=1, after=snapshot(5, 1, size=1))
    asks(n1)
    assert n1.commit == 5
    assert passed(n1) == []
    n1.tick()
    assert passed(n1) == [("ticket", 8)]


def test_a_follower_passes_at_the_commit_index_that_its_leader_tells_it_after_the_question() -> None:
    """APPEND-5: not capped by what it has itself."""
    n1 = member(1, 1, 1)
    n1.hears(N2, append(1, prev=(3, 1), commit=3), via=NEW)
    asks(n1, via=NEW)
    assert passed(n1) == []  # what it heard before the question says nothing of what is committed by now
    n1.hears(N2, append(1, prev=(3, 1), commit=5), via=NEW)
    assert n1.commit == 3
    assert n1.raft.leader_commit == 5
    assert passed(n1) == []
    n1.hears(N2, append(1, *commands(4, 1), prev=(3, 1), commit=9), via=NEW)
    assert passed(n1) == []
    n1.hears(N2, append(1, *commands(5, 1, 1), prev=(4, 1), commit=9), via=NEW)
    assert passed(n1) == [("ticket", 6)]  # 9 was committed later


def test_a_request_that_may_have_left_before_the_question_tells_nothing() -> None:
    """PEER-6: one that was under way does not know what was committed meanwhile."""
    n1 = member(1, 1)
    asks(n1)
    n1.hears(N2, append(1, prev=(2, 1), commit=2), via=OLD)
    assert passed(n1) == []
    asks(n1, via=NEW)
    n1.hears(N2, append(1, prev=(2, 1), commit=2), via=OTHER)
    n1.hears(N2, append(1, prev=(2, 1), commit=2))
    assert passed(n1) == []
    asks(n1, via=OTHER)
    n1.hears(N2, append(1, prev=(2, 1), commit=2), via=OTHER)
    assert passed(n1) == [("ticket", 2)]


def test_a_leader_that_has_not_committed_in_its_term_does_not_know_what_is_committed() -> None:
    """LEADER-2, §8, Figure 8: its commit index may lie behind that of the leader before it."""
    n1 = member(1, 1, 1)
    asks(n1, via=NEW)
    n1.hears(N2, append(2, noop(2), prev=(3, 1), commit=1), via=NEW)
    n1.hears(N2, append(2, prev=(4, 2), commit=3), via=NEW)
    assert n1.commit == 3  # 3 may have been committed by anybody; what else was, nobody has said
    assert passed(n1) == []
    n1.hears(N2, append(2, prev=(4, 2), commit=4), via=NEW)
    assert passed(n1) == [("ticket", 4)]


def test_a_successor_does_as_well_as_the_leader_that_told() -> None:
    """COMMIT-1, §5.4: it has all that was committed; once it has committed anything, that lies below."""
    n1 = member(1, 1)
    asks(n1, via=NEW)
    n1.hears(N2, append(1, prev=(2, 1), commit=4), via=NEW)
    n1.hears(N3, append(2, *commands(3, 1, 1), noop(2), prev=(2, 1), commit=3), via=OTHER)
    assert passed(n1) == []
    n1.hears(N3, append(2, prev=(5, 2), commit=5), via=OTHER)
    assert passed(n1) == [("ticket", 5)]


def test_a_follower_that_is_elected_passes_as_a_leader() -> None:
    """LEADER-2: no other server has to say anything."""
    n1 = member(1, 1)
    asks(n1)
    win(n1, campaign(n1, 3), 3)
    assert passed(n1) == []
    acknowledge(n1, N2)
    acknowledge(n1, N2)
    assert passed(n1) == [("ticket", 3)]


def test_a_leader_that_is_deposed_passes_nothing_by_itself() -> None:
    """TERM-1: it must hear from its successor, as any other follower."""
    n1 = leader(1, 1)
    asks(n1)
    n1.hears(N2, append(3, noop(3), prev=(2, 1), commit=2), via=NEW)
    assert passed(n1) == []
    asks(n1, via=NEW)
    n1.hears(N2, append(3, prev=(3, 3), commit=3), via=NEW)
    assert passed(n1) == [("ticket", 3)]


def test_a_snapshot_counts_as_what_it_holds() -> None:
    """SNAP-5, SNAP-6: the entry that the leader told of is gone, its successors are here."""
    n1 = member(1)
    asks(n1, via=NEW)
    n1.hears(N2, append(2, commit=7), via=NEW)  # what a leader sends beside a snapshot
    n1.hears(N2, install(2, snapshot(6, 2)), via=NEW)
    assert n1.commit == 6
    assert passed(n1) == []
    n1.hears(N2, append(2, *commands(7, 2), prev=(6, 2), commit=7), via=NEW)
    assert passed(n1) == [("ticket", 7)]


def test_a_snapshot_of_an_earlier_term_is_not_enough() -> None:
    """LEADER-2, §8: it says nothing of the leader's own term."""
    n1 = member(1)
    asks(n1, via=NEW)
    n1.hears(N2, append(2, commit=0), via=NEW)
    n1.hears(N2, install(2, snapshot(6, 1)), via=NEW)
    assert n1.commit == 6
    assert passed(n1) == []


def test_a_compacted_log_still_knows_its_last_term() -> None:
    """SNAP-9: the snapshot's last term stands for the entry."""
    n1 = member(1, 1, 1)
    n1.hears(N2, append(1, prev=(3, 1), commit=3))
    n1.step(SnapshotTaken(snapshot(3, 1)))
    assert n1.raft.log.base_index == 3
    asks(n1, via=NEW)
    n1.hears(N2, append(1, prev=(3, 1), commit=2), via=NEW)
    assert passed(n1) == [("ticket", 3)]


def test_a_learner_is_told_like_any_follower() -> None:
    """FORM-9: it has a copy."""
    n1 = learner(1, 1)
    asks(n1, via=NEW)
    n1.hears(N2, append(1, prev=(2, 1), commit=2), via=NEW)
    assert passed(n1) == [("ticket", 2)]


def test_a_server_without_a_cluster_passes_nothing() -> None:
    """FORM-6: nothing is committed before entry 1 is."""
    n1 = fresh()
    asks(n1, via=NEW)
    n1.wait(5000)
    assert passed(n1) == []


@pytest.mark.parametrize("how", ["a stranger", "a lower term", "a second leader", "a broken request"])
def test_what_is_not_the_leaders_word_tells_nothing(how: str) -> None:
    """FORM-7, TERM-2, APPEND-10, APPEND-9."""
    n1 = member(1, 1, term=2)
    n1.hears(N2, append(2, noop(2), prev=(2, 1), commit=3), via=NEW)
    asks(n1, via=NEW)
    match how:
        case "a stranger":
            n1.hears(N1._replace(store_id=N2.store_id), append(2, prev=(3, 2), commit=3), via=NEW)
        case "a lower term":
            n1.hears(N2, append(1, prev=(2, 1), commit=2), via=NEW)
        case "a second leader":
            n1.hears(N3, append(2, prev=(3, 2), commit=3), via=NEW)
        case _:
            n1.hears(N2, append(2, prev=(0, 1), commit=3), via=NEW)
    assert passed(n1) == []


def test_who_no_longer_waits_is_told_nothing() -> None:
    """APPEND-5: the next question waits for a request of its own; each ticket is passed once."""
    n1 = member(1, 1)
    asks(n1, "gone", via=NEW)
    n1.step(BarrierLifted("gone"))
    n1.step(BarrierLifted("never set"))
    asks(n1, "one", via=NEW)
    n1.hears(N2, append(1, prev=(2, 1), commit=2), via=NEW)
    asks(n1, "late", via=NEW)
    assert passed(n1) == [("one", 2)]
    n1.hears(N2, append(1, prev=(2, 1), commit=2), via=NEW)
    assert passed(n1) == [("late", 2)]
