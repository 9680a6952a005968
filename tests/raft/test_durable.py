"""What is on the disk and who waits for it: the bookkeeping alone, write by write."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from casty.raft.durable import Durable
from casty.raft.events import Outgoing
from casty.raft.log import Log
from casty.raft.messages import Refusal
from casty.raft.types import Entry, HardState, Index, LogBase, Millis, Term, Write
from tests.raft.shorthand import N2, commands, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from casty.raft.types import Snapshot


NOW = Millis(0)


class Book:
    """A log and the books that are kept of it."""

    def __init__(self, *terms: int) -> None:
        self.log = Log(commands(1, *terms))
        end = self.log.last_index
        self.durable = Durable(end, HardState(Term(1)), written_index=end)

    def appends(self, *terms: int) -> None:
        self.replaces(self.log.last_index + 1, *terms)

    def replaces(self, first: int, *terms: int) -> None:
        self.log.replace_from(Index(first), commands(first, *terms))
        self.durable.log_changed_from(Index(first))

    def is_replaced_by(self, snapshot: Snapshot) -> None:
        self.log.restart(snapshot.last_included_index, snapshot.last_included_term)
        self.durable.log_replaced_by(snapshot)

    def write(self) -> Write:
        write = self.durable.take_write(self.log, NOW)
        assert write is not None
        return write

    @property
    def on_disk(self) -> tuple[int, int]:
        """The durable index and the durable term."""
        return self.durable.index, self.durable.term


def said(*words: str) -> list[Outgoing]:
    return [Outgoing(N2, Refusal(word, "", "")) for word in words]


def test_nothing_dirty_is_nothing_to_write() -> None:
    """PERSIST-1: a disk is not bothered for nothing."""
    book = Book(1)
    assert (book.durable.take_write(book.log, NOW), book.durable.idle) == (None, True)


def test_a_write_holds_everything_that_is_dirty_and_only_once() -> None:
    """PERSIST-1: "Term and vote change together", in one write with the entries of the same step."""
    book = Book(1)
    book.durable.hard_state_changed(HardState(Term(2), N2))
    book.appends(2, 2)
    assert book.write() == Write(1, HardState(Term(2), N2), None, Index(2), commands(2, 2, 2))
    assert book.durable.take_write(book.log, NOW) is None


def test_what_is_written_counts_only_when_it_is_durable() -> None:
    """COMMIT-2: neither dirty nor on its way is on the disk."""
    book = Book(1)
    book.appends(1, 1)
    dirty = book.on_disk
    write = book.write()
    on_its_way = book.on_disk
    book.durable.persisted(write.token)
    assert (dirty, on_its_way, book.on_disk) == ((1, 1), (1, 1), (3, 1))


def test_writes_are_durable_in_their_order_up_to_the_token() -> None:
    """PERSIST-2: one fsync may cover several writes, never a later one alone."""
    book = Book()
    tokens: list[int] = []
    for _ in range(3):
        book.appends(1)
        tokens.append(book.write().token)
    book.durable.persisted(tokens[1])
    assert (tokens, book.durable.index) == ([1, 2, 3], 2)


def test_a_term_counts_only_when_it_is_durable() -> None:
    """TERM-4: a later write without a hard state does not lower it again."""
    book = Book()
    book.durable.hard_state_changed(HardState(Term(5)))
    first = book.write().token
    book.appends(5)
    second = book.write().token
    before = book.durable.term
    book.durable.persisted(first)
    between = book.durable.term
    book.durable.persisted(second)
    assert (before, between, book.durable.term) == (1, 5, 5)


def test_replaced_entries_no_longer_count_as_durable() -> None:
    """APPEND-7: match_index is "of at most what is durable and equal to the leader's log there"."""
    book = Book(1, 1, 1)
    book.replaces(2, 2, 2, 2)
    assert book.durable.index == 1


def test_the_durability_of_entries_since_replaced_proves_nothing() -> None:
    """PERSIST-2: a completion that comes late speaks of other entries at the same indexes (an ABA race)."""
    book = Book(1)
    book.appends(1, 1)
    old = book.write().token
    book.replaces(2, 2, 2)
    new = book.write().token
    book.durable.persisted(old)
    after_old = book.durable.index
    book.durable.persisted(new)
    assert (after_old, book.durable.index) == (1, 3)


def test_even_equal_entries_count_only_by_their_last_write() -> None:
    """PERSIST-2: A, then B, then A again: after the first two writes the disk holds B."""
    book = Book(1)
    tokens: list[int] = []
    for term in (2, 3, 2):
        book.replaces(2, term)
        tokens.append(book.write().token)
    durable: list[int] = []
    for token in tokens:
        book.durable.persisted(token)
        durable.append(book.durable.index)
    assert durable == [1, 1, 2]


def test_an_append_does_not_go_through_all_that_is_on_its_way() -> None:
    """PERSIST-3: a stalled disk leaves a write of each turn behind, and appending must not slow down."""
    book = Book()
    for _ in range(3):
        book.appends(1)
        book.write()
    seen: list[int] = []

    class Watched(deque[Any]):
        def __iter__(self) -> Iterator[Any]:
            return watched(super().__iter__())

        def __reversed__(self) -> Iterator[Any]:
            return watched(super().__reversed__())

    def watched(writes: Iterator[Any]) -> Iterator[Any]:
        for write in writes:
            seen.append(write.token)
            yield write

    book.durable.pending = Watched(book.durable.pending)
    book.appends(1)
    assert seen == [3]


def test_entries_changed_twice_before_a_write_are_written_from_the_lower_index() -> None:
    """APPEND-3: removal and appending are one change of the disk, however many there were in memory."""
    book = Book(1, 1, 1)
    book.replaces(2, 2, 2)
    book.appends(2)
    assert book.write() == Write(1, None, None, Index(2), commands(2, 2, 2, 2))


def test_a_compaction_is_one_write_and_leaves_the_rest_of_the_log_alone() -> None:
    """SNAP-9: what the snapshot holds goes, in the order of the writes; the entries after it stay."""
    book = Book(1, 1, 1)
    book.log.compact(Index(2))
    book.durable.snapshot_changed(snapshot(2, 1))
    assert (book.write(), book.durable.index) == (
        Write(1, None, snapshot(2, 1), base=LogBase(Index(2), Term(1))),
        3,
    )


def test_a_snapshot_that_replaces_the_log_is_all_there_is_until_it_is_durable() -> None:
    """SNAP-4, SNAP-6: nothing of the old log counts any more, nothing of the new one yet."""
    book = Book(1, 1, 1)
    book.is_replaced_by(snapshot(9, 2))
    write = book.write()
    before = book.durable.index
    book.durable.persisted(write.token)
    base = LogBase(Index(9), Term(2))
    assert (write, before, book.durable.index) == (Write(1, None, snapshot(9, 2), Index(10), (), base), 0, 9)


def test_entries_after_a_snapshot_travel_with_it() -> None:
    """SNAP-6: the log after the snapshot begins right behind it."""
    book = Book(1, 1)
    book.is_replaced_by(snapshot(9, 2))
    book.appends(3)
    assert book.write() == Write(
        1, None, snapshot(9, 2), Index(10), commands(10, 3), LogBase(Index(9), Term(2))
    )


def test_an_older_write_does_not_make_a_newer_snapshot_durable() -> None:
    """SNAP-4: "installed true leaves only when the snapshot is durable"."""
    book = Book(1)
    book.appends(1, 1)
    old = book.write().token
    book.is_replaced_by(snapshot(2, 9))
    book.write()
    book.durable.persisted(old)
    assert book.durable.index == 0


def test_the_gate_opens_when_all_that_was_written_before_is_durable() -> None:
    """PERSIST-2: each message waits for the writes before it, for none after it, and keeps its place."""
    book = Book()
    book.appends(1)
    book.write()
    book.durable.hold(said("one", "two"))
    book.appends(1)
    book.write()
    book.durable.hold(said("three"))
    shut = book.durable.released()
    book.durable.persisted(1)
    first = book.durable.released()
    book.durable.persisted(2)
    assert (shut, first, book.durable.released()) == ([], said("one", "two"), said("three"))


def test_idle_means_that_nothing_is_dirty_or_on_its_way() -> None:
    """PERSIST-2: only then may a reply leave at once."""
    book = Book()
    changes: list[Callable[[], None]] = [
        lambda: book.durable.hard_state_changed(HardState(Term(2))),
        lambda: book.durable.log_changed_from(Index(1)),
        lambda: book.durable.snapshot_changed(snapshot(1, 1)),
    ]
    idle = [book.durable.idle]
    for change in changes:
        change()
        idle.append(book.durable.idle)
        token = book.write().token
        idle.append(book.durable.idle)
        book.durable.persisted(token)
        idle.append(book.durable.idle)
    assert idle == [True, *[False, False, True] * 3]


def test_one_write_may_hold_many_entries() -> None:
    """PERSIST-3: everything proposed while the last write was under way is the next one."""
    book = Book(1)
    book.appends(*[1] * 100)
    entries: tuple[Entry, ...] = book.write().entries
    assert len(entries) == 100
