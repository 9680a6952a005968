"""A follower that no longer has what it acknowledged: an older copy of its directory, or a disk that lied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casty.raft.events import Connected, LostData
from casty.raft.messages import InstallSnapshotRequest
from casty.raft.types import Index, Term
from tests.raft.servers import acknowledge, leader, sent, steady
from tests.raft.shorthand import N2, N3, no, server, snapshot, yes

if TYPE_CHECKING:
    from tests.raft.harness import Server

SHORT = (1, None)
"""The hint of a log that ends at 0."""


def returned(n1: Server, boot: bytes = b"boot 2") -> tuple[int, int]:
    """n2 comes back under another boot: where the first request to it begins, and how much it holds."""
    n1.disconnects(N2)
    n1.says(N2)
    n1.connects(N2, boot=boot)
    ((prev, count),) = sent(n1)
    return prev, count


@pytest.mark.parametrize("hint", [(1, None), (3, None), (2, 1)], ids=["empty", "shorter", "another entry"])
def test_a_refusal_of_what_was_acknowledged_before_is_a_loss(hint: tuple[int, int | None]) -> None:
    """LEADER-10: whatever the log that came back looks like; said once, with how far it had come."""
    n1 = steady(1, 1)
    n1.disconnects(N2)
    n1.connects(N2, boot=b"boot 2")
    (probe,) = n1.appends(N2)
    n1.hears(N2, no(probe, hint=hint))
    assert n1.lost_data == [LostData(N2, b"boot 2", Index(3), Term(2))]
    n1.hears(N2, no(probe, hint=hint))
    n1.wait(3000)
    assert len(n1.lost_data) == 1
    assert n1.appends(N2) == []


def test_the_first_request_to_a_new_boot_asks_for_what_was_acknowledged() -> None:
    """LEADER-7, LEADER-10: not for what was on its way and may have been lost, for that proves nothing."""
    n1 = steady(1, 1)
    n1.proposes(b"x", b"y")
    assert returned(n1) == (3, 2)


def test_what_was_acknowledged_is_remembered_over_several_boots() -> None:
    """LEADER-10: the boot that came between has acknowledged nothing."""
    n1 = steady(1, 1)
    n1.disconnects(N2)
    n1.connects(N2, boot=b"boot 2")
    n1.forget()
    assert returned(n1, b"boot 3") == (3, 0)


def test_a_server_that_lost_data_does_not_count() -> None:
    """LEADER-10, COMMIT-1: neither what it acknowledges later nor that it is alive."""
    n1 = steady(1, 1)
    n1.disconnects(N3)
    n1.disconnects(N2)
    n1.connects(N2, boot=b"boot 2")
    (probe,) = n1.appends(N2)
    n1.hears(N2, no(probe, hint=SHORT))
    before = n1.raft.commit_index
    n1.proposes(b"x")
    n1.hears(N2, yes(probe))
    assert n1.raft.commit_index == before
    n1.wait(3 * n1.options.election_ms)
    assert n1.raft.leader is None


def test_the_same_boot_stays_out_and_the_next_is_asked_again() -> None:
    """LEADER-10: with the right directory it comes back under another boot, and counts."""
    n1 = steady(1, 1)
    n1.disconnects(N2)
    n1.connects(N2, boot=b"boot 2")
    (probe,) = n1.appends(N2)
    n1.hears(N2, no(probe, hint=SHORT))
    n1.disconnects(N2)
    n1.connects(N2, boot=b"boot 2")
    n1.tick()
    assert n1.appends(N2) == []
    assert returned(n1, b"boot 3") == (3, 0)
    n1.proposes(b"x")
    n1.tick()
    acknowledge(n1, N2)
    acknowledge(n1, N2)
    assert n1.raft.commit_index == 4
    assert len(n1.lost_data) == 1


def test_a_late_refusal_is_no_loss() -> None:
    """LEADER-10, LEADER-6: it was refused before the entries came, and arrives after their acknowledgement."""
    n1 = steady(1)
    n1.proposes(b"x")
    (first,) = n1.appends(N2)
    n1.proposes(b"y")
    (second,) = n1.appends(N2)
    n1.hears(N2, yes(first), no(second, hint=(3, None)))
    assert n1.lost_data == []
    assert n1.raft.commit_index == 3


def test_a_refusal_without_a_hint_is_no_loss() -> None:
    """LEADER-10: it may be for another reason: a second leader, or what the follower knows to be committed."""
    n1 = steady(1, 1)
    n1.disconnects(N2)
    n1.connects(N2, boot=b"boot 2")
    (probe,) = n1.appends(N2)
    n1.hears(N2, no(probe))
    assert n1.lost_data == []


def test_a_hint_beyond_what_was_asked_is_no_loss() -> None:
    """LEADER-10: no follower gives it, and nothing follows from it."""
    n1 = steady(1, 1)
    n1.disconnects(N2)
    n1.connects(N2, boot=b"boot 2")
    (probe,) = n1.appends(N2)
    n1.hears(N2, no(probe, hint=(4, None)))
    assert n1.lost_data == []


def test_another_disk_has_lost_nothing() -> None:
    """LEADER-10, FORM-9: it is another server, a learner, and never acknowledged anything."""
    n1 = steady(1, 1)
    reborn = server(2, store=9)
    n1.connects(reborn)
    (probe,) = n1.appends(reborn)
    n1.hears(reborn, no(probe, hint=SHORT))
    acknowledge(n1, reborn)
    assert n1.lost_data == []


def test_a_learner_in_between_hides_no_loss() -> None:
    """LEADER-10: the listed server comes back after a server with another disk had its name."""
    n1 = steady(1, 1)
    reborn = server(2, store=9)
    n1.disconnects(N2)
    n1.connects(reborn)
    acknowledge(n1, reborn)
    n1.disconnects(reborn)
    n1.connects(N2, boot=b"boot 3")
    (probe,) = n1.appends(N2)
    n1.hears(N2, no(probe, hint=SHORT))
    assert [lost.boot_id for lost in n1.lost_data] == [b"boot 3"]


def test_a_snapshot_that_was_installed_is_acknowledged() -> None:
    """LEADER-10, SNAP-8: a server that has lost it is told apart as one that lost entries."""
    n1 = leader(1, after=snapshot(5, 1))
    (probe,) = n1.appends(N2)
    n1.hears(N2, no(probe, hint=SHORT))
    (chunk,) = (message for message in n1.says(N2) if isinstance(message, InstallSnapshotRequest))
    n1.hears(N2, yes(chunk))
    acknowledge(n1, N2)
    n1.disconnects(N2)
    n1.says(N2)
    n1.connects(N2, boot=b"boot 2")
    (probe,) = n1.appends(N2)
    assert probe.prev_log_index > 5
    n1.hears(N2, no(probe, hint=SHORT))
    assert len(n1.lost_data) == 1


def test_the_next_term_knows_nothing_of_it() -> None:
    """LEADER-10: what was acknowledged to another leader, this one has not seen."""
    n1 = leader(1, 1)
    n1.step(Connected(N2, b"boot 2"))
    (probe,) = n1.appends(N2)[-1:]
    n1.hears(N2, no(probe, hint=SHORT))
    assert n1.lost_data == []
