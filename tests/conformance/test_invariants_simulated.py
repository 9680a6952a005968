"""No false alarm: clusters of the library's core in virtual time, with losses, restarts and lost disks, break
nothing.

`CASTY_TRACE_SEEDS=500` runs more of them.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from conformance.trace.invariants import Checker
from tests.conformance.simulated import simulate

if TYPE_CHECKING:
    from conformance.trace.record import Record

SEEDS = int(os.environ.get("CASTY_TRACE_SEEDS", "4"))
FIRST = random.randrange(1 << 20)


@pytest.mark.parametrize("late", [False, True], ids=["recorded as sent", "recorded as delivered"])
@pytest.mark.parametrize("number", range(SEEDS))
def test_a_cluster_that_keeps_the_rules_raises_no_alarm(number: int, late: bool) -> None:
    """Also of what is left when the trace begins somewhere in its middle."""
    seed = FIRST + number
    records: list[Record] = []
    simulate(seed, records.append, late=late)
    cut = random.Random(seed).randrange(len(records) + 1)
    for checker, part in ((Checker(), records), (Checker(complete=False), records[cut:])):
        for record in part:
            checker.feed(record)
        assert [str(violation) for violation in checker.violations] == [], f"seed {seed}, from record {cut} on"
