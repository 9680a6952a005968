"""The checker says right of what one dictionary could have answered, and wrong of nothing else."""

from __future__ import annotations

import itertools
import math
import random
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.history import shrink
from conformance.history.checker import Result, check
from conformance.history.model import ABSENT, IMPOSSIBLE, State, same, step
from conformance.history.operation import Operation, read_history, write_history
from conformance.history.search import worth_trying
from conformance.history.shrink import up_to

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NEVER = object()


def ran(
    called: float,
    returned: float,
    op: str,
    argument: Any = None,
    value: Any = None,
    *,
    key: str = "x",
    client: int = 0,
) -> Operation:
    """An operation that was answered."""
    return Operation(client, op, key, argument, called, returned, "ok", value, "n1")


def lost(called: float, op: str, argument: Any = None, *, key: str = "x") -> Operation:
    """One whose outcome nobody knows."""
    return Operation(9, op, key, argument, called, None, "unknown")


def failed(called: float, returned: float, op: str, argument: Any = None) -> Operation:
    return Operation(8, op, "x", argument, called, returned, "failed")


def result(*operations: Operation) -> Result:
    return check(operations, seconds=10).result


GOOD: dict[str, list[Operation]] = {
    "nothing": [],
    "a read of what was written": [ran(0, 1, "put", 1), ran(2, 3, "get", None, 1)],
    "a read before any write": [ran(0, 1, "get", None, None)],
    "a read beside a write, old": [ran(0, 1, "put", 1), ran(2, 5, "put", 2), ran(3, 4, "get", None, 1)],
    "a read beside a write, new": [ran(0, 1, "put", 1), ran(2, 5, "put", 2), ran(3, 4, "get", None, 2)],
    "reads beside a write, old then new": [
        ran(0, 1, "put", 1),
        ran(2, 9, "put", 2),
        ran(3, 4, "get", None, 1),
        ran(5, 6, "get", None, 2),
    ],
    "it returned the moment the other was called": [ran(0, 1, "put", 1), ran(1, 2, "get", None, None)],
    "two sums in either order": [ran(0, 5, "incr", 1, 2), ran(0, 5, "incr", 1, 1)],
    "an unknown write seen late": [
        lost(0, "put", 7),
        ran(1, 2, "put", 1),
        ran(3, 4, "get", None, 1),
        ran(5, 6, "get", None, 7),
    ],
    "an unknown write never seen": [lost(0, "put", 7), ran(1, 2, "put", 1), ran(3, 4, "get", None, 1)],
    "an unknown sum that was added": [ran(0, 1, "incr", 1, 1), lost(2, "incr", 5), ran(7, 8, "incr", 1, 7)],
    "a failed write nobody sees": [failed(0, 1, "put", 7), ran(2, 3, "get", None, None)],
    "an unknown cas that took place": [
        ran(0, 1, "put", 1),
        lost(1.5, "cas", (1, 2)),
        ran(2, 3, "cas", (1, 3), False),
        ran(4, 5, "get", None, 2),
    ],
    "a cas that lost": [ran(0, 1, "put", 1), ran(2, 9, "cas", (1, 2), True), ran(3, 8, "cas", (1, 3), False)],
    "appended twice, side by side": [ran(0, 5, "append", "ab", 3), ran(1, 4, "append", "c", 1)],
    "deleted once": [ran(0, 1, "put", 1), ran(2, 9, "delete", None, True), ran(3, 8, "delete", None, False)],
    "other keys do not matter": [ran(0, 1, "put", 1, key="y"), ran(2, 3, "get", None, None)],
    "nil is there all the same": [ran(0, 1, "put", None), ran(2, 3, "delete", None, True)],
    "not a number": [ran(0, 1, "put", math.nan), ran(2, 3, "get", None, float("nan"))],
    "an unknown put of NaN": [lost(0, "put", math.nan), ran(2, 3, "get", None, float("nan"))],
    "an unknown delete": [ran(0, 1, "put", 1), lost(2, "delete"), ran(3, 4, "get", None, None)],
    "two equal unknown sums": [lost(0, "incr", 1), lost(1, "incr", 1), ran(2, 3, "incr", 1, 3)],
}

BAD: dict[str, list[Operation]] = {
    "a stale read": [ran(0, 1, "put", 1), ran(2, 3, "put", 2), ran(4, 5, "get", None, 1)],
    "new, then old": [
        ran(0, 1, "put", 1),
        ran(2, 9, "put", 2),
        ran(3, 4, "get", None, 2),
        ran(5, 6, "get", None, 1),
    ],
    "a lost update": [ran(0, 5, "incr", 1, 1), ran(1, 4, "incr", 1, 1)],
    "a read of a failed write": [failed(0, 1, "put", 7), ran(2, 3, "get", None, 7)],
    "a read of what nobody wrote": [ran(0, 1, "put", 1), ran(2, 3, "get", None, 5)],
    "a read of the future": [ran(0, 1, "get", None, 1), ran(2, 3, "put", 1)],
    "an effect twice": [ran(0, 1, "incr", 1, 1), ran(2, 3, "incr", 1, 3)],
    "an unknown effect twice": [lost(0, "incr", 1), ran(2, 3, "incr", 1, 3)],
    "an unknown write seen, then unseen": [
        ran(0, 1, "put", 1),
        lost(2, "put", 7),
        ran(3, 4, "get", None, 7),
        ran(5, 6, "get", None, 1),
    ],
    "an unknown write seen before it was asked for": [ran(0, 1, "get", None, 7), lost(2, "put", 7)],
    "an acknowledged write lost": [ran(0, 1, "put", 1), ran(2, 3, "get", None, None)],
    "two cas from one value": [
        ran(0, 1, "put", 1),
        ran(2, 9, "cas", (1, 2), True),
        ran(3, 8, "cas", (1, 3), True),
    ],
    "a cas that should have won": [ran(0, 1, "put", 1), ran(2, 3, "cas", (1, 2), False)],
    "true is not one": [ran(0, 1, "put", 1), ran(2, 3, "get", None, True)],
    "one is not 1.0": [ran(0, 1, "put", 1), ran(2, 3, "get", None, 1.0)],
    "an append in between is missing": [
        ran(0, 1, "append", "a", 1),
        ran(2, 3, "append", "b", 2),
        ran(4, 5, "get", None, "a"),
    ],
    "deleted twice": [ran(0, 1, "put", 1), ran(2, 9, "delete", None, True), ran(3, 8, "delete", None, True)],
    "a sum of what is no number": [ran(0, 1, "put", "a"), ran(2, 3, "incr", 1, 1)],
}


@pytest.mark.parametrize("name", GOOD)
def test_what_one_dictionary_could_have_answered_is_linearizable(name: str) -> None:
    verdict = check(GOOD[name], seconds=10)
    assert (verdict.result, verdict.impossible) == (Result.LINEARIZABLE, None), verdict.text


@pytest.mark.parametrize("name", BAD)
def test_what_no_dictionary_could_have_answered_is_not(name: str) -> None:
    verdict = check(BAD[name], seconds=10)
    assert verdict.result is Result.NOT_LINEARIZABLE
    assert verdict.impossible in BAD[name]
    assert check(verdict.operations, seconds=10).result is Result.NOT_LINEARIZABLE, "what is left shows it, too"


def test_the_first_impossible_answer_is_named_with_what_it_could_have_been() -> None:
    noise = [ran(n, n + 0.5, "get", None, None, key="y", client=3) for n in range(20)]
    early = [op for n in range(5) for op in (ran(n, n + 0.2, "put", n), ran(n + 0.3, n + 0.4, "get", None, n))]
    stale = ran(10, 11, "get", None, 3, client=4)
    later = [ran(12, 13, "get", None, 77)]
    verdict = check([*noise, *early, stale, *later], seconds=10)
    assert verdict.impossible is stale
    assert verdict.key == "x"
    assert verdict.text == "key x: client 4: get x = 3 is impossible; it could have answered 4"
    assert [str(op) for op in verdict.operations] == [
        "client 0: put x 3 ok",
        "client 0: put x 4 ok",
        "client 4: get x = 3",
    ]


def test_the_smallest_key_that_fails_is_reported() -> None:
    big = [*BAD["a stale read"], *(ran(9 + n, 9.5 + n, "put", n) for n in range(10))]
    small = [ran(0, 1, "put", 1, key="y"), ran(2, 3, "get", None, 2, key="y")]
    assert check([*big, *small], seconds=10).key == "y"


HARD = [*(ran(0, 50, "put", n) for n in range(8)), ran(60, 61, "get", None, -1)]
"""Eight writes at the same time, and an answer that none of them gives: every order has to be tried."""


def test_without_budget_nothing_is_claimed() -> None:
    assert check(HARD, seconds=10).result is Result.NOT_LINEARIZABLE
    for verdict in (check(HARD, seconds=10, states=80), check(HARD, seconds=0)):
        assert (verdict.result, verdict.undecided) == (Result.INCONCLUSIVE, ("x",))


def test_without_time_to_find_the_first_impossible_answer_none_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shrink, "TRIAL_STATES", 1)
    verdict = check([*HARD, ran(70, 71, "get", None, -2)], seconds=10)
    assert (verdict.result, verdict.impossible) == (Result.NOT_LINEARIZABLE, None)
    assert "there was no time to find the first" in verdict.text


def test_an_undecided_key_does_not_hide_another_that_fails() -> None:
    easy = [ran(n, n + 0.5, "put", 1, key="y") for n in range(60)] + [ran(70, 71, "get", None, 2, key="y")]
    verdict = check([*HARD, *easy], seconds=10, states=80)
    assert (verdict.result, verdict.key, verdict.undecided) == (Result.NOT_LINEARIZABLE, "y", ("x",))


def test_an_ok_without_a_return_is_the_caller_s_mistake() -> None:
    with pytest.raises(ValueError, match="time of return"):
        check([Operation(1, "put", "x", 1, 0.0, None, "ok")], seconds=1)


def test_a_history_survives_its_file(tmp_path: Path) -> None:
    operations = [
        ran(0, 1, "cas", (None, b"\x00\xff"), True),
        ran(0.5, 1.25, "put", math.inf),
        lost(2, "append", "ä"),
        ran(3, 4, "get", None, 1 << 63),
    ]
    write_history(operations, tmp_path / "history.jsonl")
    assert read_history(tmp_path / "history.jsonl") == operations


def test_a_line_that_is_no_operation_is_named(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write_history([ran(0, 1, "put", 1)], path)
    path.write_text(path.read_text() + '{"op": "put"}\n')
    with pytest.raises(ValueError, match="line 2"):
        read_history(path)


# --------------------------------------------------------------------------- against all orders there are


def brute_force(operations: Sequence[Operation]) -> bool:
    """Every subset of the unknown, every order, compared with what was answered. For a handful of
    operations."""
    definite = [op for op in operations if op.outcome == "ok"]
    maybe = [op for op in operations if op.outcome == "unknown"]
    for count in range(len(maybe) + 1):
        for some in itertools.combinations(maybe, count):
            if any(_explains(order) for order in itertools.permutations([*definite, *some])):
                return True
    return False


def _explains(order: Sequence[Operation]) -> bool:
    for place, operation in enumerate(order):
        if any(
            later.returned is not None and later.returned < operation.called for later in order[place + 1 :]
        ):
            return False
    state: State = ABSENT
    for operation in order:
        state, value = step(state, operation.op, operation.argument)
        if operation.outcome == "ok" and (value is IMPOSSIBLE or not same(value, operation.value)):
            return False
    return True


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Up to six operations on one key, half of them answered as some order would."""
    count = draw(st.integers(1, 6))
    kinds = draw(
        st.sampled_from((("put", "get"), ("put", "get", "cas"), ("incr", "get"), ("append", "get"), ALL))
    )
    found: list[Operation] = []
    state: State = ABSENT
    for number in range(count):
        called = draw(st.integers(0, 8))
        op = draw(st.sampled_from(kinds))
        argument = draw(arguments(op, number))
        state, value = step(state, op, argument)
        if draw(st.integers(0, 3)) == 0:
            found.append(Operation(number, op, "x", argument, called, None, "unknown"))
            continue
        if value is IMPOSSIBLE or draw(st.integers(0, 3)) == 0:
            value = draw(st.sampled_from((None, True, False, 0, 1, 2, "a", "ab")))
        returned = called + draw(st.integers(0, 5))
        index = draw(st.none() | st.integers(1, 9))
        found.append(Operation(number, op, "x", argument, called, returned, "ok", value, "n1", index))
    return draw(st.permutations(found))


ALL = ("put", "get", "cas", "incr", "append", "delete")


def arguments(op: str, number: int) -> st.SearchStrategy[Any]:
    values = st.sampled_from((number, 0, 1, None, True, "a"))
    match op:
        case "put":
            return values
        case "cas":
            return st.tuples(values, values)
        case "incr":
            return st.sampled_from((1, 2))
        case "append":
            return st.sampled_from(("a", "b"))
        case _:
            return st.none()


@settings(max_examples=600, deadline=None)
@given(histories())
def test_the_checker_agrees_with_all_orders_there_are(history: list[Operation]) -> None:
    verdict = check(history, seconds=60)
    assert (verdict.result is Result.LINEARIZABLE) == brute_force(history)
    if verdict.result is Result.NOT_LINEARIZABLE:
        assert verdict.impossible is not None
        assert verdict.impossible.returned is not None
        prefix = up_to(history, verdict.impossible.returned)
        assert not brute_force(prefix), "up to the first impossible answer nothing explains it"
        assert not brute_force(verdict.operations), "the few that are left contradict each other"


@settings(max_examples=300, deadline=None)
@given(histories())
def test_what_is_left_out_as_needless_was_needless(history: list[Operation]) -> None:
    useful = {id(op) for op in worth_trying(history)}
    without = [op for op in history if op.outcome == "ok" or id(op) in useful]
    assert brute_force(without) == brute_force(history)


# ------------------------------------------------------------------------------------------------- its speed


def simulated(
    operations: int, keys: int, clients: int, chance: random.Random, unknown: float = 0.02
) -> list[Operation]:
    """A history that a correct dictionary gave to clients that work at the same time."""
    states = {f"k{n}": ABSENT for n in range(keys)}
    free_at = [0.0] * clients
    found: list[Operation] = []
    for number in range(operations):
        client = min(range(clients), key=lambda c: free_at[c])
        called = free_at[client] + chance.uniform(0, 0.01)
        takes_effect = called + chance.uniform(0, 0.05)
        returned = takes_effect + chance.uniform(0, 0.05)
        free_at[client] = returned
        key = chance.choice(list(states))
        op = (
            {0: "get", 1: "put", 2: "cas"}[chance.randrange(3)]
            if key < "k5"
            else chance.choice(("incr", "get"))
        )
        argument: Any = {"put": number, "cas": (number - 5, number), "incr": 1}.get(op)
        outcome = "unknown" if chance.random() < unknown else "ok"
        found.append(
            Operation(
                client, op, key, argument, called, returned if outcome == "ok" else None, outcome, takes_effect
            )
        )
    for operation in sorted(found, key=lambda op: op.value):
        if operation.outcome == "unknown" and chance.random() < 0.5:
            continue
        states[operation.key], operation.value = step(states[operation.key], operation.op, operation.argument)
    return found


def test_a_text_that_was_read_tells_in_which_order_it_grew() -> None:
    """A leader that is cut off leaves many appends of which nobody knows whether, and when, they were done."""
    chance = random.Random(2)
    parts = [f"{number % 4}.{number} " for number in range(60)]
    done = [part for part in parts if chance.random() < 0.6]
    chance.shuffle(done)
    unknown = [lost(chance.uniform(0, 1), "append", part) for part in parts]
    text = "".join(done)
    history: list[Operation] = [
        *unknown,
        ran(5, 6, "get", None, text),
        ran(7, 8, "append", "end", len(text) + 3),
    ]
    verdict = check(history, seconds=40, states=20_000)
    assert (verdict.result, verdict.states < 2_000) == (Result.LINEARIZABLE, True)
    history.append(ran(9, 10, "get", None, f"{text}END"))
    assert check(history, seconds=1, states=20_000).result is not Result.LINEARIZABLE


def test_a_few_thousand_operations_take_seconds() -> None:
    """A bound for slow machines; in practice it is a fraction of it."""
    history = simulated(4000, 10, 6, random.Random(1))
    began = time.monotonic()
    verdict = check(history, seconds=40)
    print(f"{len(history)} operations, {verdict.states} states, {time.monotonic() - began:.2f} s")
    assert verdict.result is Result.LINEARIZABLE
    victim = next(op for op in history[3000:] if op.op == "get" and op.outcome == "ok")
    victim.value = -1
    verdict = check(history, seconds=40)
    print(
        f"with a fault: {verdict.states} states, {time.monotonic() - began:.2f} s, "
        f"{len(verdict.operations)} left"
    )
    assert verdict.result is Result.NOT_LINEARIZABLE
    assert verdict.impossible is victim
    assert len(verdict.operations) < 30
