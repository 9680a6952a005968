"""What faults make of a frame, and by which chance, without a socket."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from conformance.proxy.faults import Corrupt, Delay, Drop, Duplicate, Fault, Faults, Slice, Throttle, Way

WAY = Way("n1", "n2", "all")


def test_chance_is_seeded_for_each_way_by_itself() -> None:
    def fates(seed: int, ways: list[Way]) -> list[str]:
        faults = Faults(random.Random(seed))
        faults.add(Fault(Drop(), probability=0.5))
        plans = [(way, faults.plan(way, 7, b"x")) for way in ways]
        return [plan.fate for way, plan in plans if way == WAY]

    alone = fates(1, [WAY] * 200)
    assert alone == fates(1, [WAY] * 200)
    assert alone == fates(1, [WAY, Way("n3", "n2", "all"), Way("n2", "n1", "all")] * 200)
    assert alone != fates(2, [WAY] * 200)
    assert 60 < Counter(alone)["dropped"] < 140


def test_delays_are_spread_over_their_range() -> None:
    faults = Faults(random.Random(1))
    faults.add(Fault(Delay(1, 3)))
    delays = [faults.plan(WAY, 7, b"x").delay for _ in range(500)]
    assert 1 <= min(delays) < 1.1
    assert 2.9 < max(delays) <= 3
    assert 1.9 < sum(delays) / 500 < 2.1


def test_a_fault_says_what_it_is() -> None:
    fault = Fault(Delay(0.1, 0.2), "n1", None, frozenset({7, 200}), "raft", 0.5, 3)
    assert (
        str(fault) == "Delay(low=0.1, high=0.2) n1→any VOTE_REQUEST,200 lane raft with probability 0.5 3 times"
    )


def test_senseless_faults_are_refused() -> None:
    for make in (
        lambda: Delay(2, 1),
        lambda: Delay(-1, 1),
        lambda: Duplicate(0),
        lambda: Slice(0),
        lambda: Throttle(0),
        lambda: Corrupt(0, 0),
        lambda: Corrupt(0, 256),
        lambda: Fault(Drop(), probability=1.5),
    ):
        with pytest.raises(ValueError, match="expected"):
            make()
