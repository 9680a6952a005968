"""Is there an order of one key's operations that explains all answers? Wing and Gong's search with Lowe's
memory.

The search takes one operation after the other that nothing unfinished has to precede, and steps back where an
answer does not fit. It remembers where it has been: what is done and the state it led to. Operations of
unknown outcome may be taken at any time after their call, or never. Having fewer of them left is never an
advantage, so a place is not entered again with as many or fewer left than before."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from conformance.history.model import ABSENT, IMPOSSIBLE, State, same, state_of, step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from conformance.history.model import Impossible
    from conformance.history.operation import Operation, Scalar

CLOCK_EVERY = 256
"""States between two looks at the clock."""


class OutOfBudgetError(Exception):
    """The search took more time or more states than it was given: nothing is known."""


@dataclass(slots=True)
class Budget:
    """What searches may still cost, together."""

    deadline: float
    """By time.monotonic()"""
    states: int
    used: int = 0

    def spend(self) -> None:
        self.used += 1
        if self.used > self.states or (self.used % CLOCK_EVERY == 0 and time.monotonic() > self.deadline):
            raise OutOfBudgetError

    def part(self, seconds: float, states: int) -> Budget:
        """A smaller one of its own."""
        return Budget(min(self.deadline, time.monotonic() + seconds), states)


class Place(NamedTuple):
    """Where a search is. `first` definite operations are done, and of those from there on the bits of
    `done`."""

    first: int
    done: int
    state: State
    used: int
    """Bits of the unknown operations that took effect"""
    free: Scalar | Impossible
    """What the operation would have answered whose answer is not compared; nil before it is done"""


class Search:
    """One key's operations. The same object can be asked once only."""

    def __init__(
        self,
        operations: Sequence[Operation],
        budget: Budget,
        *,
        free: Operation | None = None,
        text: str | None = None,
    ) -> None:
        """`text` is what a key that only grows comes to, as `grows_to` says: other ways are not gone."""
        ok = [operation for operation in operations if operation.outcome == "ok"]
        self._definite = sorted(ok, key=lambda operation: operation.called)
        self._maybe = worth_trying(operations)
        self._budget = budget
        self._free = free
        self._text = text
        self.stuck: Operation | None = None
        """Of the furthest place that was reached, the next that has to be done: a good guess at what cannot
        be"""
        self._furthest = -1
        self._returns = [math.inf if op.returned is None else op.returned for op in self._definite]
        self._twin = _twins(self._maybe)
        self._visited: dict[tuple[int, int, State, object], list[int]] = {}
        self._rank = [math.inf if op.index is None else op.index for op in self._definite]

    def exists(self) -> bool:
        """Whether some order explains every answer. Raises OutOfBudgetError."""
        return next(self._orders(), None) is not None

    def answers(self) -> list[Scalar | Impossible]:
        """What the free operation could have answered, in all orders that explain the rest."""
        found: list[Scalar | Impossible] = []
        for place in self._orders():
            if not any(same(place.free, other) for other in found):
                found.append(place.free)
        return found

    def _orders(self) -> Iterator[Place]:
        """Each end that can be reached, by depth first."""
        start = Place(0, 0, ABSENT, 0, None)
        if not self._definite:
            yield start
            return
        self._note(start)
        stack = [self._next(start)]
        while stack:
            place = next(stack[-1], None)
            if place is None:
                stack.pop()
            elif place.first == len(self._definite):
                yield place
            elif self._is_new(place):
                self._budget.spend()
                self._note(place)
                stack.append(self._next(place))

    def _note(self, place: Place) -> None:
        done = place.first + place.done.bit_count()
        if done > self._furthest:
            self._furthest = done
            window, _ = self._window(place)
            self.stuck = self._definite[min(window, key=lambda number: self._returns[number])]

    def _is_new(self, place: Place) -> bool:
        key = (place.first, place.done, place.state, place.free)
        before = self._visited.setdefault(key, [])
        if any(used & place.used == used for used in before):
            return False
        before.append(place.used)
        return True

    def _next(self, place: Place) -> Iterator[Place]:
        """What can be taken here: definite operations first, in the order of the log where it is known."""
        window, until = self._window(place)
        yield from self._answered(place, window)
        yield from self._guessed(place, window, until, None, set())

    def _answered(self, place: Place, window: Sequence[int], needless: State | None = None) -> Iterator[Place]:
        """Each definite operation of the window whose answer fits. None that would have fitted `needless`,
        too."""
        for number in window:
            operation = self._definite[number]
            state, value = step(place.state, operation.op, operation.argument)
            if self._leads_astray(state):
                continue
            if operation is self._free:
                yield self._after(place, number, state, value)
            elif _fits(operation, value) and not (needless is not None and _had_fitted(operation, needless)):
                yield self._after(place, number, state, place.free)

    def _guessed(
        self,
        place: Place,
        window: Sequence[int],
        until: float,
        before: State | None,
        seen: set[tuple[State, State, int]],
    ) -> Iterator[Place]:
        """Unknown operations that take effect here, and right after them a definite one that needs them.

        Of all orders that explain a history look at one with the fewest unknown operations, and these as late
        as possible. There each of them is followed by what could not have been without it: else it could have
        been left out, or come later. `before` is the state before the unknown operation that `place` ends
        with."""
        for number, operation in enumerate(self._maybe):
            if operation.called > until:
                return
            twin = self._twin[number]
            if place.used >> number & 1 or (twin is not None and not place.used >> twin & 1):
                continue
            state, _ = step(place.state, operation.op, operation.argument)
            if state == place.state or self._leads_astray(state):
                continue
            if before is not None and step(before, operation.op, operation.argument)[0] == state:
                continue
            after = place._replace(state=state, used=place.used | 1 << number)
            key = (place.state, state, after.used)
            if key in seen:
                continue
            seen.add(key)
            self._budget.spend()
            yield from self._answered(after, window, needless=place.state)
            yield from self._guessed(after, window, until, place.state, seen)

    def _leads_astray(self, state: State) -> bool:
        """Whether the text neither becomes the one that was read nor has been that."""
        if self._text is None:
            return False
        text = str(state.value or "")
        return not (self._text.startswith(text) or text.startswith(self._text))

    def _window(self, place: Place) -> tuple[list[int], float]:
        """The definite operations that none of the others returned before, and the first return among them."""
        until, number, open_ones = math.inf, place.first, list[int]()
        while number < len(self._definite) and self._definite[number].called <= until:
            if not place.done >> (number - place.first) & 1:
                open_ones.append(number)
                until = min(until, self._returns[number])
            number += 1
        window = [number for number in open_ones if self._definite[number].called <= until]
        window.sort(key=lambda number: (self._rank[number], self._returns[number]))
        return window, until

    def _after(self, place: Place, number: int, state: State, free: Scalar | Impossible) -> Place:
        first, done = place.first, place.done | 1 << (number - place.first)
        while done & 1:
            first, done = first + 1, done >> 1
        return Place(first, done, state, place.used, free)


def _fits(operation: Operation, value: Scalar | Impossible) -> bool:
    return value is not IMPOSSIBLE and same(value, operation.value)


def _had_fitted(operation: Operation, state: State) -> bool:
    """Whether its answer fits this state as well. An append's length says too little of the text to tell."""
    return operation.op != "append" and _fits(operation, step(state, operation.op, operation.argument)[1])


def grows_to(operations: Sequence[Operation]) -> str | None:
    """The longest text that was read of a key to which texts were only ever appended; None of any other.

    It says in which order they were, and so spares the search all others: with some appends of unknown outcome
    these are more than anybody can go through.
    """
    if any(operation.op not in ("append", "get") for operation in operations):
        return None
    read = [
        op.value for op in operations if op.op == "get" and op.outcome == "ok" and isinstance(op.value, str)
    ]
    return max(read, key=len, default=None)


def _twins(maybe: Sequence[Operation]) -> list[int | None]:
    """For each, the last one before it that asks the very same: of such, the earlier is as good as the
    later."""
    last: dict[object, int] = {}
    twins: list[int | None] = []
    for number, operation in enumerate(maybe):
        what = (operation.op, repr(operation.argument))
        twins.append(last.get(what))
        last[what] = number
    return twins


def worth_trying(operations: Sequence[Operation]) -> list[Operation]:
    """The operations of unknown outcome that could explain anything, by their calls.

    A get changes nothing. A put or cas whose value nobody saw can be left out where all others are puts, gets
    and cas that said true: whatever came after it, up to the next write, would have seen its value."""
    maybe = [op for op in operations if op.outcome == "unknown" and op.op != "get"]
    maybe.sort(key=lambda operation: operation.called)
    if any(_sees_without_naming(operation) for operation in operations):
        return maybe
    while True:
        seen = {state_of(op.value) for op in operations if op.op == "get" and op.outcome == "ok"}
        certain = [op for op in operations if op.outcome == "ok"]
        seen |= {state_of(op.argument[0]) for op in [*certain, *maybe] if op.op == "cas"}
        left = [op for op in maybe if state_of(_written(op)) in seen]
        if len(left) == len(maybe):
            return left
        maybe = left


def _sees_without_naming(operation: Operation) -> bool:
    """Whether its answer or effect depends on the state in another way than by naming the value."""
    match operation.op, operation.outcome:
        case ("put" | "get", _) | (_, "failed"):
            return False
        case "cas", "ok":
            return operation.value is not True
        case "cas", _:
            return False
        case _:
            return True


def _written(operation: Operation) -> Scalar:
    value: Scalar = operation.argument[1] if operation.op == "cas" else operation.argument
    return value
