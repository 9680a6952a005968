"""Is a history linearizable: could one dictionary, asked one thing at a time, have given all these answers?

Keys are judged apart, for a history is linearizable if it is so for each object. What cannot be decided
within the budget is INCONCLUSIVE, never right."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from conformance.history.model import IMPOSSIBLE
from conformance.history.operation import shown
from conformance.history.search import Budget, OutOfBudgetError, Search, grows_to
from conformance.history.shrink import culprit, smaller

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from conformance.history.operation import Operation

STATES_MAX = 2_000_000
"""States of one key's search; about 1 GB of memory at the worst."""


class Result(StrEnum):
    LINEARIZABLE = "linearizable"
    NOT_LINEARIZABLE = "not linearizable"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found, and what it cost."""

    result: Result
    text: str
    """One sentence"""
    key: str | None = None
    """The key with the fewest operations of those that fail"""
    impossible: Operation | None = None
    """Of that key: the first answer that nothing can explain, given all that was answered before it. None where
    there was no time to find it"""
    operations: tuple[Operation, ...] = ()
    """The few operations that already contradict each other; those marked unknown there may have any outcome"""
    undecided: tuple[str, ...] = ()
    """Keys for which the budget was not enough"""
    keys: int = 0
    states: int = 0
    seconds: float = field(default=0.0, compare=False)


def check(operations: Iterable[Operation], *, seconds: float, states: int = STATES_MAX) -> Verdict:
    """Judges a history within `seconds`, and `states` steps of the search for each key."""
    began = time.monotonic()
    deadline = began + seconds
    by_key = _by_key(operations)
    undecided: list[str] = []
    spent = 0
    for key, own in sorted(by_key.items(), key=lambda item: (len(item[1]), item[0])):
        budget = Budget(deadline, states)
        if _came_to_its_text(own, budget):
            spent += budget.used
            continue
        budget = Budget(deadline, states)
        search = Search(own, budget)
        try:
            fine = search.exists()
        except OutOfBudgetError:
            undecided.append(key)
            fine = True
        spent += budget.used
        if not fine:
            return _failure(key, own, search.stuck, tuple(undecided), len(by_key), spent, began, deadline)
    took = time.monotonic() - began
    if undecided:
        text = f"undecided for {', '.join(undecided)} within {seconds} s and {states:,} states"
        return Verdict(Result.INCONCLUSIVE, text, None, None, (), tuple(undecided), len(by_key), spent, took)
    text = f"{sum(map(len, by_key.values()))} operations on {len(by_key)} keys fit together"
    return Verdict(Result.LINEARIZABLE, text, None, None, (), (), len(by_key), spent, took)


def _came_to_its_text(own: Sequence[Operation], budget: Budget) -> bool:
    """Whether that is certain of a key to which texts were appended. If not, the whole search tells more."""
    text = grows_to(own)
    try:
        return text is not None and Search(own, budget, text=text).exists()
    except OutOfBudgetError:
        return False


def _by_key(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    """Only what may have had an effect, or has an answer: the failed certainly had none."""
    found: dict[str, list[Operation]] = {}
    for operation in operations:
        if operation.outcome == "ok" and operation.returned is None:
            msg = f"an operation that is ok has a time of return: {operation}"
            raise ValueError(msg)
        if operation.outcome != "failed":
            found.setdefault(operation.key, []).append(operation)
    return found


def _failure(
    key: str,
    own: Sequence[Operation],
    guess: Operation | None,
    undecided: tuple[str, ...],
    keys: int,
    spent: int,
    began: float,
    deadline: float,
) -> Verdict:
    """Explains a key that fails, in what is left of the time, and a little more."""
    patience = max(deadline - time.monotonic(), EXPLAIN_SECONDS)
    prefix, impossible, is_first = culprit(own, guess, patience / 2)
    few = smaller(prefix, impossible, patience / 2)
    if is_first:
        text = f"key {key}: {impossible} is impossible{_instead(prefix, impossible)}"
    else:
        text = (
            f"key {key}: nothing explains all answers up to {impossible}; there was no time to find the first"
        )
    took = time.monotonic() - began
    return Verdict(
        Result.NOT_LINEARIZABLE,
        text,
        key,
        impossible if is_first else None,
        tuple(few),
        undecided,
        keys,
        spent,
        took,
    )


EXPLAIN_SECONDS = 2.0
"""A failure that nobody can follow helps nobody: finding the few operations that matter may take so long."""


def _instead(prefix: Sequence[Operation], impossible: Operation) -> str:
    """What it could have answered, where that is soon found."""
    try:
        answers = Search(prefix, Budget(time.monotonic() + 1, 100_000), free=impossible).answers()
    except OutOfBudgetError:
        return ""
    texts = sorted({shown(answer) if answer is not IMPOSSIBLE else "a refusal" for answer in answers})
    return f"; it could have answered {' or '.join(texts)}" if texts else ""
