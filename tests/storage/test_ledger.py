"""A ledger that begins in the middle of a log, as a reading does behind purged segments (STORE-10)."""

from __future__ import annotations

from casty.raft.types import HardState, Index, Snapshot, base_after
from casty.storage.ledger import Ledger, Outline
from tests.storage.histories import commands, snapshot


def in_the_middle(*, covered: int, last_index: int, seen: int) -> Ledger[Snapshot]:
    """A log that ends at `last_index`, behind a snapshot, of which the last entries were seen."""
    ledger = Ledger(
        Outline(HardState(), snapshot(covered), base_after(snapshot(covered)), Index(last_index - seen))
    )
    ledger.apply(None, None, Index(last_index - seen + 1), commands(seen))
    return ledger


def test_a_snapshot_of_what_was_not_seen_changes_no_entry_that_was() -> None:
    ledger = in_the_middle(covered=10, last_index=60, seen=20)
    ledger.apply(None, snapshot(30), None, ())
    assert ledger.entries == list(commands(20))
    assert (ledger.outline.first_index, ledger.seen_from, ledger.outline.last_index) == (31, 41, 60)


def test_a_snapshot_of_what_was_seen_leaves_the_rest() -> None:
    ledger = in_the_middle(covered=10, last_index=60, seen=20)
    ledger.apply(None, snapshot(45), None, ())
    assert ledger.entries == list(commands(20)[5:])
    assert (ledger.outline.first_index, ledger.seen_from, ledger.outline.last_index) == (46, 46, 60)


def test_entries_below_those_that_were_seen_replace_them_all() -> None:
    ledger = in_the_middle(covered=10, last_index=60, seen=20)
    ledger.apply(None, None, Index(30), commands(3))
    assert ledger.entries == list(commands(3))
    assert (ledger.outline.first_index, ledger.seen_from, ledger.outline.last_index) == (11, 30, 32)
