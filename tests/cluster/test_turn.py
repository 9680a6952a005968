"""The core's turn, with a core that only notes what it is given."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from casty.cluster.turn import Turn, millis
from casty.raft.events import Ticked
from tests.cluster.harness import until

if TYPE_CHECKING:
    from collections.abc import Callable


class Core:
    """Wants one thing done for each turn in which it was stepped."""

    def __init__(self) -> None:
        self.steps: list[list[Any]] = []
        self.deadline: int | None = None
        self._stepped: list[Any] = []

    def step(self, event: Any, now: int) -> None:
        self._stepped.append(event)

    def ready(self) -> list[Any] | None:
        if not self._stepped:
            return None
        stepped, self._stepped = self._stepped, []
        self.steps.append(stepped)
        return stepped


def turn_of(core: Core, perform: Callable[[Any], None]) -> tuple[Turn, list[Exception]]:
    """A turn, and what it said of a failure."""
    failures: list[Exception] = []
    return Turn(cast("Any", core), asyncio.get_running_loop(), perform, failures.append), failures


def ignore(ready: Any) -> None:
    pass


async def test_all_that_was_posted_together_is_one_step_for_the_disk() -> None:
    """What performing posts is of the same turn; what comes later, of the next."""
    core = Core()
    done: list[Any] = []

    def perform(ready: Any) -> None:
        done.append(ready)
        if ready == [1, 2]:
            turn.post(cast("Any", "written"))

    turn, failures = turn_of(core, perform)
    turn.post(cast("Any", 1))
    turn.post(cast("Any", 2))
    assert done == []
    await asyncio.sleep(0)
    assert done == core.steps == [[1, 2], ["written"]]
    turn.post(cast("Any", 3))
    await asyncio.sleep(0)
    assert done == [[1, 2], ["written"], [3]]
    assert failures == []


async def test_what_the_core_has_for_many_turns_is_not_done_in_one() -> None:
    """Architecture §8: "one AppendEntries per peer per turn", or who is far behind would stop the loop."""
    core = Core()
    done: list[Any] = []

    def ready() -> list[Any] | None:
        return ["a batch"] if len(done) < 5 else None

    core.ready = ready  # type: ignore[method-assign]
    turn, _ = turn_of(core, done.append)
    turn.post(cast("Any", 1))
    per_turn: list[int] = []
    while len(done) < 5:
        await asyncio.sleep(0)
        per_turn.append(len(done))
    assert per_turn == [1, 2, 3, 4, 5]


async def test_the_alarm_rings_at_the_cores_deadline() -> None:
    """ELECT-1: the one timer there is."""
    core = Core()
    turn, _ = turn_of(core, ignore)
    core.deadline = millis(asyncio.get_running_loop()) + 5
    turn.run()
    assert core.steps == []
    await until(lambda: core.steps)
    core.deadline = None
    assert core.steps[0] == [Ticked()]


async def test_after_a_failure_nothing_is_stepped() -> None:
    """architecture.md §3: better no server than a wrong one; told once, with the alarm off."""
    core = Core()
    core.deadline = 0

    def perform(ready: Any) -> None:
        raise ZeroDivisionError

    turn, failures = turn_of(core, perform)
    for event in (1, 2):
        turn.post(cast("Any", event))
        await asyncio.sleep(0)
    turn.run()
    assert core.steps == [[1]]
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


async def test_an_end_in_the_middle_of_a_turn_is_its_end() -> None:
    """Rule 24: what was posted before is dropped, and the alarm does not ring."""
    core = Core()
    turn, _ = turn_of(core, lambda ready: turn.end())
    core.deadline = 0
    turn.post(cast("Any", 1))
    await asyncio.sleep(0)
    turn.post(cast("Any", 2))
    await asyncio.sleep(0.01)
    assert core.steps == [[1]]
