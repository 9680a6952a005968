"""What `$kv` does to one key: the sequential dictionary that every history is compared with
(spec/launch.md)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

if TYPE_CHECKING:
    from conformance.history.operation import Operation, Scalar


class State(NamedTuple):
    """The value of one key. `kind` keeps True, 1 and 1.0 apart, which Python calls equal."""

    kind: str
    value: Scalar


ABSENT = State("absent", None)


class Impossible:
    """No value: the state does not allow the operation, and it changes nothing."""


IMPOSSIBLE = Impossible()

READS = ("get",)


def state_of(value: Scalar) -> State:
    return State(type(value).__name__, math.nan if value != value else value)


def same(a: object, b: object) -> bool:
    """Equal in kind and value: True is not 1, and 1 is not 1.0. A NaN is itself, as an answer."""
    return type(a) is type(b) and (a == b or (a != a and b != b))


def step(state: State, op: str, argument: Any) -> tuple[State, Scalar | Impossible]:
    """The state after an operation, and its result."""
    match op:
        case "get":
            return state, state.value
        case "put":
            return state_of(argument), None
        case "cas":
            expect, value = argument
            if not _expected(state.value, expect):
                return state, False
            return state_of(value), True
        case "incr":
            return _incremented(state, argument)
        case "append":
            if not isinstance(argument, str) or not isinstance(state.value, str | None):
                return state, IMPOSSIBLE
            text = f"{state.value or ''}{argument}"
            return State("str", text), len(text)
        case "delete":
            return ABSENT, state != ABSENT
        case _:
            msg = f"op must be one of put, get, cas, incr, append, delete, not {op!r}"
            raise ValueError(msg)


def _expected(present: Scalar, expect: Scalar) -> bool:
    """As the store compares: a NaN equals nothing."""
    return type(present) is type(expect) and present == expect


def _incremented(state: State, by: Any) -> tuple[State, Scalar | Impossible]:
    before = 0 if state.value is None else state.value
    if not (_is_number(before) and _is_number(by)):
        return state, IMPOSSIBLE
    try:
        after = before + by
    except OverflowError:  # an integer that is no float
        return state, IMPOSSIBLE
    if isinstance(after, int) and not -(1 << 63) <= after < 1 << 64:
        return state, IMPOSSIBLE
    return state_of(after), after


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_pure(operation: Operation) -> bool:
    """Whether it certainly changed nothing: a get, or a cas that said false."""
    return operation.op in READS or (
        operation.op == "cas" and operation.outcome == "ok" and not operation.value
    )
