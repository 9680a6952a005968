"""When an entry is committed, who is told, and what becomes of those who wait (paper §5.3, §5.4, §8)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from casty.raft.events import Committed, Role
from tests.raft.servers import acknowledge, campaign, leader, member, steady, win
from tests.raft.shorthand import (
    ELECTION,
    N2,
    N3,
    N4,
    N5,
    append,
    command,
    install,
    members,
    noop,
    snapshot,
    yes,
)

if TYPE_CHECKING:
    from tests.raft.harness import Server

# ----------------------------------------------------------------------------------------------- how many


@pytest.mark.parametrize(("size", "others"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3)])
def test_an_entry_is_committed_by_a_majority_and_not_one_less(size: int, others: int) -> None:
    """COMMIT-1, §5.3: "once the leader that created the entry has replicated it on a majority of the
    servers"."""
    n1 = leader(1, size=size) if size > 1 else member(1, size=1)
    if size == 1:
        n1.tick()
    commits: list[int] = []
    for peer in members(size)[1 : others + 1]:
        commits.append(n1.commit)
        acknowledge(n1, peer)
    assert [*commits, n1.commit] == [0] * others + [2]


@pytest.mark.parametrize("acked", list(product((0, 1, 2), repeat=4)))
def test_every_vector_of_acknowledgements_commits_what_a_majority_has(acked: tuple[int, ...]) -> None:
    """COMMIT-1: of five servers, the leader among them, the third best; entries 2 and 3 are of its term."""
    n1 = leader(1, size=5)
    firsts = {peer: n1.appends(peer)[0] for peer in (N2, N3, N4, N5)}
    n1.proposes(b"x")
    for peer, upto in zip((N2, N3, N4, N5), acked, strict=True):
        if upto:
            n1.hears(peer, yes(firsts[peer]))
        if upto == 2:
            n1.hears(peer, *[yes(request) for request in n1.appends(peer)])
    third = sorted([2, *acked], reverse=True)[2]
    assert n1.commit == (1 + third if third else 0)


def test_followers_learn_of_a_commit_at_once() -> None:
    """COMMIT-1, §5.3: "The leader keeps track of the highest index it knows to be committed, and it includes
    that index in future AppendEntries RPCs"; we do not wait for the heartbeat, only for the answer to a
    probe."""
    n1 = leader(1)
    acknowledge(n1, N2)
    (probe,) = n1.appends(N3)
    n1.hears(N3, yes(probe))
    requests = [probe, *n1.appends(N3)]
    assert [(request.leader_commit, len(request.entries)) for request in requests] == [(0, 1), (2, 0)]


def test_an_entry_of_an_earlier_term_is_not_committed_by_counting() -> None:
    """COMMIT-1, §5.4.2, Figure 8: "Raft never commits log entries from previous terms by counting replicas"."""
    n1 = leader(1, 1, 1, size=5)
    for peer in (N2, N3, N4, N5):
        n1.hears(peer, yes(n1.appends(peer)[0], upto=3))
    assert n1.commit == 0


def test_with_an_entry_of_its_own_term_all_before_it_are_committed() -> None:
    """COMMIT-1, LEADER-2, §5.4.2: "all prior entries are committed indirectly because of the Log Matching
    Property"; the no-op does that without any client."""
    n1 = leader(1, 1, 1, size=5)
    acknowledge(n1, N2, N3)
    assert (n1.commit, n1.applied_data[1:]) == (4, [b"2@1", b"3@1", b""])


def test_the_commit_index_of_a_leader_never_falls() -> None:
    """COMMIT-1: acknowledgements come in any order, and a new boot of a follower takes its own back."""
    n1 = steady(1, size=5)
    n1.proposes(b"x")
    requests = {peer: n1.appends(peer)[-1] for peer in (N2, N3)}
    n1.hears(N2, yes(requests[N2]))
    n1.hears(N3, yes(requests[N3]))
    n1.connects(N2, boot=b"boot 2")
    n1.connects(N3, boot=b"boot 2")
    acknowledge(n1, N4)
    assert n1.commit == 3


def test_a_follower_that_starts_anew_is_counted_anew() -> None:
    """COMMIT-1, LEADER-7: what an earlier boot acknowledged does not help to commit what comes later."""
    n1 = steady(1, size=5)
    n1.connects(N2, boot=b"boot 2")
    n1.proposes(b"x")
    acknowledge(n1, N3)
    before = n1.commit
    acknowledge(n1, N2)
    acknowledge(n1, N2)
    assert (before, n1.commit) == (2, 3)


def test_a_new_leader_does_not_lower_what_it_knew_as_a_follower() -> None:
    """COMMIT-1, APPEND-5: the commit index is its own, whatever its role."""
    n1 = member(1, 1, 1)
    n1.hears(N2, append(1, prev=(3, 1), commit=3))
    win(n1, campaign(n1, 3), 3)
    assert (n1.role, n1.commit) == (Role.LEADER, 3)


# ---------------------------------------------------------------------------------------- the state machine


def test_a_leader_applies_everything_once_and_in_order() -> None:
    """COMMIT-3, Figure 3, State Machine Safety: each index once, no gap, the first at 1."""
    n1 = steady(1, 1)
    for data in (b"a", b"b", b"c"):
        n1.proposes(data)
        acknowledge(n1, N2, N3)
    handed = [item for item in n1.applied if isinstance(item, Committed)]
    assert [item.first_index + place for item in handed for place in range(len(item.entries))] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert n1.applied_data[1:] == [b"2@1", b"", b"a", b"b", b"c"]


def test_what_is_not_committed_is_not_applied() -> None:
    """COMMIT-3: only then is it "safe to be applied to state machines"."""
    n1 = steady(1)
    n1.proposes(b"x")
    assert b"x" not in n1.applied_data


# --------------------------------------------------------------------------------------------- those who wait


def tickets(n1: Server) -> dict[int, object]:
    """All tickets that came back with the entry they were for."""
    handed = [item for item in n1.applied if isinstance(item, Committed)]
    return {index: ticket for item in handed for index, ticket in item.tickets.items()}


def test_a_ticket_comes_back_with_its_own_entry() -> None:
    """COMMIT-4, §8: "A client is told of success only when its command is committed and applied"."""
    n1 = steady(1)
    n1.proposes(b"a", b"b")
    before = tickets(n1)
    acknowledge(n1, N2)
    assert (before, tickets(n1)) == ({}, {3: b"a", 4: b"b"})


def test_a_leader_that_steps_down_does_not_know_what_becomes_of_its_proposals() -> None:
    """COMMIT-4: "when the server cannot know, it says so and never says failure"; each is told once."""
    n1 = steady(1)
    n1.proposes(b"a", b"b")
    n1.hears(N2, append(5))
    assert (n1.lost, n1.refused, tickets(n1)) == ([b"a", b"b"], [], {})


def test_a_leader_without_a_majority_gives_its_proposals_up_for_lost() -> None:
    """COMMIT-4, LEADER-4: nobody waits for ever for a leader that was cut off."""
    n1 = steady(1)
    n1.proposes(b"a")
    n1.wait(3 * ELECTION)
    assert n1.lost == [b"a"]


def test_what_was_committed_before_it_stepped_down_is_still_a_success() -> None:
    """COMMIT-4: the two followers had it; only its own disk was slow."""
    n1 = steady(1)
    n1.slow = True
    n1.proposes(b"a", b"b")
    first = {peer: n1.appends(peer)[0] for peer in (N2, N3)}
    n1.hears(N2, yes(first[N2]))
    n1.hears(N3, yes(first[N3]))
    n1.hears(N2, append(5))
    before = (n1.lost, tickets(n1))
    n1.fsync()
    assert (before, tickets(n1)) == (([b"b"], {}), {3: b"a"})


def test_an_entry_of_another_leader_at_the_same_index_is_no_success() -> None:
    """COMMIT-4: a proposal is answered by its entry, not by its index."""
    n1 = steady(1)
    n1.proposes(b"mine")
    n1.hears(N2, append(3, command(3, 3), prev=(2, 2), commit=3))
    assert (n1.lost, tickets(n1), n1.applied_data[-1]) == ([b"mine"], {}, b"3@3")


def test_a_later_leadership_answers_only_its_own_proposals() -> None:
    """COMMIT-4: what was lost stays lost, even if it is committed in the end."""
    n1 = steady(1)
    n1.proposes(b"first")
    n1.hears(N2, append(3))
    win(n1, campaign(n1, 3), 3)
    n1.proposes(b"second")
    for _ in range(3):
        acknowledge(n1, N2, N3)
    assert (n1.lost, tickets(n1), n1.applied_data[-3:]) == (
        [b"first"],
        {5: b"second"},
        [b"first", b"", b"second"],
    )


def test_a_proposal_that_a_snapshot_swallowed_is_not_left_without_an_answer() -> None:
    """COMMIT-4: committed by the followers, not yet on the own disk, and then a snapshot takes its place: the
    server will not see it applied, and says so."""
    n1 = steady(1)
    n1.slow = True
    n1.proposes(b"a")
    requests = {peer: n1.appends(peer)[0] for peer in (N2, N3)}
    n1.hears(N2, yes(requests[N2]))
    n1.hears(N3, yes(requests[N3]))
    n1.hears(N2, install(5, snapshot(9, 4)))
    n1.fsync()
    n1.hears(N2, append(5, command(10, 5), prev=(9, 4), commit=10))
    n1.fsync()
    assert (n1.lost, tickets(n1)) == ([b"a"], {})


# ------------------------------------------------------------------------------------ the new leader's log


def test_a_new_leader_commits_what_others_left_without_any_client() -> None:
    """LEADER-2, §8: "each leader commit[s] a blank no-op entry into the log at the start of its term"."""
    n1 = leader(1, 1, 1)
    (first,) = n1.appends(N2)
    assert (first.entries, n1.terms) == ((noop(2),), (1, 1, 1, 2))


def test_commands_come_after_the_no_op() -> None:
    """LEADER-2: it is there "before any command"."""
    n1 = leader(1)
    n1.proposes(b"x")
    n1.hears(N2, yes(n1.appends(N2)[0]))
    assert (n1.terms, [entry.data for request in n1.appends(N2) for entry in request.entries]) == (
        (1, 2, 2),
        [b"x"],
    )
