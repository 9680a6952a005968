"""The log, against a model that is a plain dictionary from index to term."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, SupportsIndex, overload

import pytest

from casty.raft.log import ENTRY_OVERHEAD, Log
from casty.raft.types import Entry, EntryKind, Index, Term
from tests.raft.shorthand import commands

if TYPE_CHECKING:
    from collections.abc import Iterator

TERMS = [terms for n in range(5) for terms in product((1, 2, 3), repeat=n) if list(terms) == sorted(terms)]
"""All term sequences of up to four entries in terms 1 to 3; terms never fall along a log."""


def make(terms: tuple[int, ...], base: int = 0) -> Log:
    """A log after a snapshot that ends at `base` in term 1."""
    return Log(commands(base + 1, *terms), base_index=Index(base), base_term=Term(1 if base else 0))


def test_an_empty_log_ends_at_index_0_in_term_0() -> None:
    """ELECT-3, §5.3: "(first index is 1)"; before the first entry, everybody agrees."""
    log = Log()
    assert (log.last_index, log.last_term, log.term_at(Index(0)), log.term_at(Index(1))) == (0, 0, 0, None)


def test_a_compacted_log_ends_where_its_snapshot_ends() -> None:
    """ELECT-3, VOTE-3: "where the log is empty, the snapshot's last index and term count"."""
    log = make((), base=5)
    assert (log.last_index, log.last_term, log.term_at(Index(5)), log.term_at(Index(4))) == (5, 1, 1, None)


@pytest.mark.parametrize("base", [0, 5])
@pytest.mark.parametrize("terms", TERMS)
def test_every_index_has_its_term_and_no_other(terms: tuple[int, ...], base: int) -> None:
    """APPEND-2: what the log says of any index, before, at, within and after it."""
    model = {base: 1 if base else 0} | {base + 1 + place: term for place, term in enumerate(terms)}
    log = make(terms, base)
    assert [log.term_at(Index(i)) for i in range(base + 7)] == [model.get(i) for i in range(base + 7)]


@pytest.mark.parametrize("terms", TERMS)
def test_up_to_date_compares_the_last_term_and_then_the_length(terms: tuple[int, ...]) -> None:
    """VOTE-3, §5.4.1: "the log with the later term is more up-to-date"; equal terms: "whichever log is
    longer"."""
    mine = (terms[-1] if terms else 0, len(terms))
    theirs = [(index, term) for index in range(7) for term in range(5)]
    expected = [term > mine[0] or (term == mine[0] and index >= mine[1]) for index, term in theirs]
    assert [make(terms).is_up_to_date(Index(index), Term(term)) for index, term in theirs] == expected


@pytest.mark.parametrize("have", TERMS)
def test_the_first_difference_is_a_missing_entry_or_another_term(have: tuple[int, ...]) -> None:
    """APPEND-3, APPEND-4: what comes before the first difference is kept; from there on it is new."""
    for new, first in product(TERMS, range(1, len(have) + 2)):
        kept = 0
        while kept < len(new) and first + kept <= len(have) and have[first + kept - 1] == new[kept]:
            kept += 1
        assert make(have).first_difference(Index(first), commands(first, *new)) == kept


@pytest.mark.parametrize("terms", TERMS)
def test_the_run_of_a_term_is_found_from_both_ends(terms: tuple[int, ...]) -> None:
    """LEADER-5: the hints name "first index of conflict_term", and the leader seeks its own last one of it."""
    log = make(terms, base=5)
    for place, term in enumerate(terms):
        assert log.first_index_of_term_at(Index(6 + place)) == 6 + terms.index(term)
    for term in range(5):
        assert log.last_index_up_to_term(Term(term)) == 5 + sum(t <= term for t in terms)


def test_replacing_removes_all_that_follows() -> None:
    """APPEND-3: "it and all that follow are removed", and the new entries stand there instead."""
    log = make((1, 1, 1, 1), base=5)
    log.replace_from(Index(7), commands(7, 2))
    assert log.between(Index(6), log.last_index) == (*commands(6, 1), *commands(7, 2))


def test_appending_says_where_the_entry_stands() -> None:
    """LEADER-2: an index follows the last one, after a compaction, too; it never starts again at 1."""
    log = make((1,), base=5)
    index = log.append(commands(7, 2)[0])
    assert (index, log.entry(index)) == (7, commands(7, 2)[0])


@pytest.mark.parametrize("index", [5, 6, 7, 8])
def test_compaction_changes_no_index_and_no_term(index: int) -> None:
    """SNAP-9: "Compaction changes no index, term or vote"."""
    log = make((1, 2, 3), base=5)
    before = [log.term_at(Index(i)) for i in range(index, 10)]
    log.compact(Index(index))
    assert ([log.term_at(Index(i)) for i in range(index, 10)], log.last_index) == (before, 8)


@pytest.mark.parametrize("index", [4, 9])
def test_a_log_cannot_be_compacted_to_where_it_has_nothing(index: int) -> None:
    """SNAP-9: a server compacts only what it has; anything else is our own mistake."""
    with pytest.raises(AssertionError, match=f"cannot compact to {index}, outside 5..8"):
        make((1, 2, 3), base=5).compact(Index(index))


def test_a_log_that_starts_again_has_nothing_but_its_snapshot() -> None:
    """SNAP-6: "the whole log is discarded"."""
    log = make((1, 2, 3))
    log.restart(Index(2), Term(9))
    assert (log.last_index, log.last_term, log.term_at(Index(3))) == (2, 9, None)


def sized(*sizes: int) -> Log:
    return Log([Entry(Term(1), EntryKind.COMMAND, bytes(size)) for size in sizes])


def test_a_batch_holds_what_fits_and_not_one_more() -> None:
    """LEADER-8: "Entries of more than one in a request stay within batch_bytes_max", their overhead
    included."""
    room = 100 + 200 + 2 * ENTRY_OVERHEAD
    log = sized(100, 200, 1)
    assert [len(log.batch(Index(1), bytes_max)) for bytes_max in (room - 1, room, room + 48)] == [1, 2, 2]


def test_an_entry_larger_than_a_batch_travels_alone() -> None:
    """LEADER-8, limit batch_bytes_max: "one entry larger than this travels alone", never with another."""
    log = sized(1, 5000, 1)
    assert [len(log.batch(Index(i), 1000)) for i in (1, 2, 3)] == [1, 1, 1]


def test_a_batch_from_the_end_is_empty() -> None:
    """LEADER-1: with nothing new to send, a heartbeat holds no entries."""
    assert make((1, 1)).batch(Index(3), 1000) == ()


class Watched(list[Entry]):
    """A list that counts how many of its entries were looked at one by one."""

    looked_at = 0

    def __iter__(self) -> Iterator[Entry]:
        for entry in super().__iter__():
            self.looked_at += 1
            yield entry

    @overload
    def __getitem__(self, place: SupportsIndex) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> list[Entry]: ...
    def __getitem__(self, place: SupportsIndex | slice) -> Entry | list[Entry]:
        self.looked_at += 1
        return super().__getitem__(place)


def test_a_batch_costs_no_more_in_a_long_log() -> None:
    """LEADER-8: the cost of a request does not grow with the length of the log: only the batch is read."""
    log = make((1,) * 1000)
    entries = log._entries = Watched(commands(1, *[1] * 1000))
    batch = log.batch(Index(998), 1 << 20)
    assert (len(batch), entries.looked_at <= 2 * len(batch)) == (3, True)
