"""How many are enough, against a second opinion that only counts."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from casty.raft.quorum import majority, reached_by_majority


@pytest.mark.parametrize("size", range(1, 10))
def test_any_two_majorities_share_a_server(size: int) -> None:
    """COMMIT-1, VOTE-6, §5.2: one candidate at most "can win the election" because two majorities overlap."""
    groups = list(combinations(range(size), majority(size)))
    assert all(set(one) & set(other) for one in groups for other in groups)


@pytest.mark.parametrize("size", range(2, 10))
def test_a_majority_is_the_fewest_for_which_that_holds(size: int) -> None:
    """COMMIT-1: one fewer, and two groups need share nobody."""
    groups = list(combinations(range(size), majority(size) - 1))
    assert any(not set(one) & set(other) for one in groups for other in groups)


def reached_by_counting(values: tuple[int, ...]) -> int:
    """The largest of the numbers that more than half of the servers have reached, counted one by one."""
    return max(n for n in range(max(values) + 1) if 2 * sum(value >= n for value in values) > len(values))


@pytest.mark.parametrize("size", range(1, 7))
def test_the_index_that_a_majority_has_is_found_in_every_small_case(size: int) -> None:
    """COMMIT-1, Figure 2, Leaders: "a majority of matchIndex[i] ≥ N"."""
    cases = list(product(range(4), repeat=size))
    assert [reached_by_majority(case) for case in cases] == [reached_by_counting(case) for case in cases]
