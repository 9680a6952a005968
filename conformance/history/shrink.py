"""Which answer was the first that nothing can explain, and which few operations show it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from conformance.history.model import is_pure
from conformance.history.search import Budget, OutOfBudgetError, Search, worth_trying

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from conformance.history.operation import Operation

TRIAL_STATES = 200_000
"""One attempt to do with less. Where that is not enough, the attempt is given up."""


def culprit(
    operations: Sequence[Operation], guess: Operation | None, seconds: float
) -> tuple[list[Operation], Operation, bool]:
    """The history of one key up to the first answer that cannot be right, and the operation that got it.

    `operations` is not linearizable. Up to a moment means: what was answered by then, and as unknown what was
    asked by then. A history that cannot be explained up to a moment cannot be explained later either. Last,
    whether it is the first for sure: in a time that is too short it may be a later one."""
    deadline = time.monotonic() + seconds
    ends = sorted((op for op in operations if op.outcome == "ok"), key=_returned)
    fine, broken = -1, len(ends) - 1
    is_sure = True
    tries = [ends.index(guess), ends.index(guess) - 1] if guess is not None else []
    while broken - fine > 1:
        middle = tries.pop(0) if tries else (fine + broken) // 2
        if not fine < middle < broken:
            continue
        verdict = _is_broken(up_to(operations, _returned(ends[middle])), deadline)
        is_sure = is_sure and verdict is not None
        if verdict:
            broken = middle
        else:
            fine = middle
    return up_to(operations, _returned(ends[broken])), ends[broken], is_sure


def up_to(operations: Sequence[Operation], moment: float) -> list[Operation]:
    """The history as it was known at a moment."""
    known: list[Operation] = []
    for operation in operations:
        if operation.called > moment:
            continue
        if operation.outcome == "ok" and _returned(operation) > moment:
            operation = weakened(operation)
        if operation.outcome == "ok" or operation.op != "get":
            known.append(operation)
    return known


def weakened(operation: Operation) -> Operation:
    """The same request with an outcome that nobody knows: whatever explains the history explains this, too."""
    return replace(operation, outcome="unknown", returned=None, value=None, index=None, term=None)


def smaller(operations: Sequence[Operation], impossible: Operation, seconds: float) -> list[Operation]:
    """As few of them as can be found in time that already contradict each other, in the order of their calls.

    What changes nothing may be left out, and of what changes something the answer may be forgotten: no history
    becomes impossible by that, so what is left is a fault of the whole.
    """
    deadline = time.monotonic() + seconds
    left = _without_needless(list(operations))

    def still_broken(trial: list[Operation]) -> bool:
        return _is_broken(trial, deadline) is True

    for may_go, go in ((_may_be_dropped, _drop), (_may_be_weakened, _weaken)):
        left = _reduce(left, impossible, may_go, go, still_broken, deadline)
    return sorted(left, key=lambda operation: operation.called)


def _reduce(
    left: list[Operation],
    impossible: Operation,
    may_go: Callable[[Operation], bool],
    go: Callable[[list[Operation], set[int]], list[Operation]],
    still_broken: Callable[[list[Operation]], bool],
    deadline: float,
) -> list[Operation]:
    """Tries many at once, then fewer: half of them, a quarter, one by one."""
    candidates = [op for op in left if may_go(op) and op is not impossible]
    size = len(candidates)
    while size and time.monotonic() < deadline:
        for start in range(0, len(candidates), size):
            chosen = {id(op) for op in candidates[start : start + size]}
            trial = _without_needless(go(left, chosen))
            if still_broken(trial):
                left = trial
        here = {id(op) for op in left}
        candidates = [op for op in candidates if id(op) in here]
        size //= 2
    return left


def _drop(left: list[Operation], chosen: set[int]) -> list[Operation]:
    return [op for op in left if id(op) not in chosen]


def _weaken(left: list[Operation], chosen: set[int]) -> list[Operation]:
    return [weakened(op) if id(op) in chosen else op for op in left]


def _may_be_dropped(operation: Operation) -> bool:
    return operation.outcome == "ok" and is_pure(operation)


def _may_be_weakened(operation: Operation) -> bool:
    return operation.outcome == "ok" and not is_pure(operation)


def _without_needless(operations: list[Operation]) -> list[Operation]:
    """Without those of unknown outcome that explain nothing."""
    useful = {id(op) for op in worth_trying(operations)}
    return [op for op in operations if op.outcome == "ok" or id(op) in useful]


def _is_broken(operations: Sequence[Operation], deadline: float) -> bool | None:
    """Whether nothing explains this history; None where that was not decided in time."""
    try:
        return not Search(operations, Budget(deadline, TRIAL_STATES)).exists()
    except OutOfBudgetError:
        return None


def _returned(operation: Operation) -> float:
    assert operation.returned is not None, f"{operation} is ok and has returned"
    return operation.returned
