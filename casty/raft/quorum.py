"""How many are enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def majority(size: int) -> int:
    """The fewest of `size` servers of which any two such groups share one."""
    return size // 2 + 1


def reached_by_majority(values: Sequence[int]) -> int:
    """The largest number that a majority of the servers, one value each, has reached."""
    return sorted(values, reverse=True)[majority(len(values)) - 1]
