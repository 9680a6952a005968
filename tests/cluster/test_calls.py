"""Open questions, and a search that asks everybody at once."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from casty.cluster.calls import SWEEP_SIZE_MIN, Calls
from casty.cluster.lookup import Found, Search
from casty.errors import SystemStoppedError
from casty.raft.types import NodeId


def test_a_number_is_never_used_twice() -> None:
    """MSG-5: a late or second answer finds nothing."""
    calls: Calls[str] = Calls()
    here, there = object(), object()
    numbers = [calls.open(here, f"w{n}") for n in range(5)]
    assert len(set(numbers)) == len(calls) == 5
    assert calls.close(there, numbers[0]) is None
    assert calls.close(here, numbers[0]) == "w0"
    assert calls.close(here, numbers[0]) is None
    assert calls.open(there, "again") not in numbers
    assert calls.close(here, 999) is None


def test_questions_die_with_their_connection() -> None:
    """MSG-9."""
    calls: Calls[str] = Calls()
    here, there = object(), object()
    for connection, waiter in ((here, "a"), (there, "b"), (here, "c")):
        calls.open(connection, waiter)
    assert calls.lost(here) == ["a", "c"]
    assert calls.lost(here) == []
    assert calls.drain() == ["b"]
    assert len(calls) == 0


async def test_a_search_ends_when_all_have_answered_or_a_moment_after_the_first_find() -> None:
    """Rule 30: everybody who asks finds the same of several."""
    one, two, three = (cast("Any", object()) for _ in range(3))
    done: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
    search = Search("x", done)
    for number, connection in enumerate((one, two, three)):
        search.asked(connection, number)
    assert search.unanswered() == [(one, 0), (two, 1), (three, 2)]
    search.answered(one, None)
    search.answered(two, Found(NodeId("b"), "k"))
    assert not done.done()
    search.answered(three, Found(NodeId("a"), "k"))
    assert done.result() == Found(NodeId("a"), "k")
    search.answered(two, Found(NodeId("0"), "k"))
    search.conclude()
    search.fail(SystemStoppedError("late"))
    assert done.result().node_id == "a"

    done = asyncio.get_running_loop().create_future()
    search = Search("x", done)
    search.asked(one, 1)
    search.asked(two, 2)
    search.answered(two, Found(NodeId("b"), "k"))
    search.answered(two, Found(NodeId("b"), "k"))
    assert (await done).node_id == "b"
    assert search.unanswered() == [(one, 1)]


def test_a_question_is_overdue_at_its_deadline_and_no_earlier() -> None:
    """MSG-4: the earliest first; one that was answered is not."""
    calls: Calls[str] = Calls()
    here = object()
    assert calls.next_deadline() is None
    numbers = [calls.open(here, name, when) for name, when in (("a", 5.0), ("b", 3.0), ("c", 4.0), ("d", None))]
    assert calls.next_deadline() == 3.0
    assert calls.overdue(2.9) == []
    assert calls.overdue(3.0) == ["b"]
    calls.close(here, numbers[2])
    assert calls.next_deadline() == 5.0
    assert (calls.overdue(100.0), calls.next_deadline(), len(calls)) == (["a"], None, 1)
    calls.open(here, "e", 200.0)
    assert calls.drain() == ["d", "e"]
    assert (calls.overdue(1000.0), calls.next_deadline()) == ([], None)


def test_deadlines_of_answered_questions_do_not_pile_up() -> None:
    """Architecture §8: an answer costs no timer, and memory grows with what is open only."""
    calls: Calls[int] = Calls()
    here = object()
    slow = [calls.open(here, 0, 10.0) for _ in range(10)]
    for when in range(10_000):
        calls.close(here, calls.open(here, 1, 5.0 + when))
    assert len(cast("Any", calls)._deadlines) <= SWEEP_SIZE_MIN
    assert calls.overdue(9.0) == []
    assert calls.overdue(10.0) == [0] * len(slow)
