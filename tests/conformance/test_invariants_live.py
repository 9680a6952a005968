"""No false alarm and a history that fits: real nodes, killed, cut off and restarted under load.

`CASTY_LIVE_SEED` repeats the faults of a run, `CASTY_LIVE_ROUNDS` does more of them.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING

import pytest

from conformance.history.checker import Result, check
from conformance.history.workload import Load, run_workload
from conformance.proxy.faults import Delay, Drop, Duplicate, Fault
from conformance.trace import invariants
from conformance.trace.record import Marked, Sent
from conformance.trace.store import Trace
from tests.conformance.live import ELECTION_MS, Live
from tests.support import run

if TYPE_CHECKING:
    from pathlib import Path

    from conformance.history.operation import Operation

SEED = int(os.environ.get("CASTY_LIVE_SEED", str(random.randrange(1 << 30))))
ROUNDS = int(os.environ.get("CASTY_LIVE_ROUNDS", "2"))
RAFT = frozenset({7, 8, 12, 13, 14, 15, 18, 19})
"""Frames that may be doubled; an ask that is doubled would be done twice."""


async def progress(history: list[Operation], more: int) -> None:
    """Returns when so many more operations have succeeded."""
    wanted = sum(operation.outcome == "ok" for operation in history) + more
    async with asyncio.timeout(60):
        while sum(operation.outcome == "ok" for operation in history) < wanted:
            await asyncio.sleep(0.02)


async def faults(cluster: Live, history: list[Operation], chance: random.Random) -> None:
    """Each round: a node killed and restarted, one cut off, frames lost and doubled, one stopped for a
    while."""
    for _ in range(ROUNDS):
        await progress(history, 30)
        await cluster.restart(chance.choice(cluster.names))
        await progress(history, 30)
        victim = chance.choice(cluster.names)
        cluster.network.partition([victim], [name for name in cluster.names if name != victim])
        await progress(history, 30)
        cluster.network.heal()
        cluster.network.add(Fault(Drop(), kinds=RAFT, probability=0.05))
        cluster.network.add(Fault(Duplicate(), kinds=RAFT, probability=0.1))
        cluster.network.add(Fault(Delay(0.0, 0.02), kinds=RAFT, probability=0.3))
        await progress(history, 30)
        cluster.network.heal()
        paused = cluster.nodes[chance.choice(cluster.names)]
        paused.pause()
        await progress(history, 20)
        paused.resume()
    await progress(history, 30)


@pytest.mark.processes
@pytest.mark.timeout(120 + 60 * ROUNDS)
def test_real_nodes_under_faults_raise_no_alarm_and_answer_as_one_dictionary(tmp_path: Path) -> None:
    chance = random.Random(SEED)

    async def main() -> tuple[Trace, list[Operation]]:
        trace = Trace()
        history: list[Operation] = []
        async with Live(tmp_path, trace, chance) as cluster:
            over = asyncio.Event()

            load = asyncio.create_task(
                run_workload(
                    cluster.addresses,
                    chance,
                    trace.now,
                    lambda _: over.is_set(),
                    history=history,
                    load=Load(clients=4),
                    attempt_seconds=0.8 * ELECTION_MS / 1000,
                )
            )
            try:
                await faults(cluster, history, chance)
            finally:
                over.set()
                await load
            digests = await settled(cluster)
            assert len(set(digests)) == 1, digests
        return trace, history

    trace, history = run(main(), timeout=110 + 60 * ROUNDS)
    again = f"replay with CASTY_LIVE_SEED={SEED} CASTY_LIVE_ROUNDS={ROUNDS}"
    violations = invariants.check(trace)
    assert [str(violation) for violation in violations] == [], again
    verdict = check(history, seconds=60)
    assert verdict.result is Result.LINEARIZABLE, f"{verdict.text}; {again}"
    said = [record for record in trace if isinstance(record, Sent)]
    kinds = {record.frame.kind for record in said}
    assert {"VOTE_RESPONSE", "APPEND_ENTRIES_RES", "ASK_RES"} <= kinds
    assert any(isinstance(record, Marked) and record.event == "digest" for record in trace)
    outcomes = [operation.outcome for operation in history]
    assert outcomes.count("ok") > 200
    print(
        f"seed {SEED}: {len(said)} frames, {outcomes.count('ok')} ok, {outcomes.count('unknown')} unknown, "
        f"{outcomes.count('failed')} failed, {verdict.states} states, {verdict.seconds:.2f} s"
    )
    middle = [record for number, record in enumerate(trace) if number > len(trace) // 2]
    assert [str(violation) for violation in invariants.check(middle, complete=False)] == [], again


async def settled(cluster: Live) -> list[tuple[int, str]]:
    """The digests of all nodes, once they have applied the same."""
    async with asyncio.timeout(30):
        while True:
            found = [await cluster.note_digest(name) for name in cluster.names]
            if len({applied for applied, _ in found}) == 1:
                return found
            await asyncio.sleep(0.05)
