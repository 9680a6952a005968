"""Open questions, and a search that asks everybody at once."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from casty.cluster.calls import Calls
from casty.cluster.lookup import Found, Search
from casty.errors import SystemStoppedError
from casty.raft.types import NodeId
from tests.support import run


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


def test_a_search_ends_when_all_have_answered_or_a_moment_after_the_first_find() -> None:
    """Rule 30: everybody who asks finds the same of several."""

    async def main() -> None:
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

    run(main())
