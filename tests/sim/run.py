"""One seed, from its plan to its verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.sim.copies import STRICT
from tests.sim.liveness import require_liveness
from tests.sim.plan import draw_plan
from tests.sim.violation import Violation
from tests.sim.world import World

if TYPE_CHECKING:
    from collections import Counter

COMMANDS_MIN, FAULTS_MIN, LEADER_CHANGES_MIN = 30, 3, 1
"""Less than this proves nothing: a run goes on until it has had as much."""
EXTENSIONS_MAX = 6
OLD_COPY_CAME_IN = "an old copy came in"
"""A verdict, and no failure: who let it in could not know, and what came after that proves nothing."""


@dataclass(slots=True)
class Outcome:
    seed: int
    verdict: str
    """live, formation wedged, majority lost, an old copy came in, or the name of the invariant that broke."""
    failure: str | None
    virtual_ms: int
    counts: Counter[str]
    below_floor: bool
    trace: list[str] = field(default_factory=list[str])


def run_seed(seed: int, *, traced: bool = False) -> Outcome:
    """Runs one seed. It never raises on account of the cluster: what broke is in the outcome."""
    world = World(draw_plan(seed), traced=traced)
    failure = None
    try:
        verdict = _live_through(world)
    except Violation as violation:
        verdict, failure = violation.invariant, violation.text
        if world.copies.let_in and verdict not in STRICT:
            verdict, failure = OLD_COPY_CAME_IN, None
    except Exception as error:
        where = _last_line(error)
        if world.copies.let_in:
            verdict = OLD_COPY_CAME_IN
        elif "casty" not in where.split("/"):
            raise  # the simulator's own fault
        else:
            verdict, failure = f"the core raises {type(error).__name__}", f"{error} (in {where})"
    if world.trace is not None and failure is not None:
        world.trace.world(f"VIOLATION {verdict}: {failure}")
    world.tally.add("events", world.stepped)
    return Outcome(
        seed,
        verdict,
        failure,
        world.schedule.now,
        world.tally.counts,
        _is_below_floor(world),
        world.trace.lines if world.trace is not None else [],
    )


def _last_line(error: Exception) -> str:
    """Where it was raised, from the library's or the tests' folder on."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    assert place is not None
    parts = place.tb_frame.f_code.co_filename.split("/")
    return "/".join(parts[-3:]) + f":{place.tb_lineno}"


def _is_below_floor(world: World) -> bool:
    tally = world.tally
    return (
        tally["commands committed"] < COMMANDS_MIN
        or tally["faults"] < FAULTS_MIN
        or tally["leader changes"] < LEADER_CHANGES_MIN
    )


def _live_through(world: World) -> str:
    world.begin()
    world.schedule.run(world.plan.duration)
    for _ in range(EXTENSIONS_MAX):
        if not _is_below_floor(world):
            break
        _insist(world)
    world.heal()
    return require_liveness(world)


def _insist(world: World) -> None:
    """A run of which too little came gets a respite to form a cluster and to commit, then faults again."""
    election = world.plan.options.election_ms
    world.truce()
    world.schedule.run(world.schedule.now + 20 * election)
    if world.tally["leader changes"] < LEADER_CHANGES_MIN:
        world.nemesis.depose()
    world.nemesis.start()
    world.schedule.run(world.schedule.now + world.plan.duration // 4)
