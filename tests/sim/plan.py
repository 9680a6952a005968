"""What a seed decides before anything happens: each run has its own mix of faults, and its own limits.

Swarm testing (Groce et al., ISSTA 2012): a run that leaves most kinds of faults out, and does the others often,
finds what a run with a little of everything never reaches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from casty.raft.options import Options

FAULTS = (
    "crash",
    "crash leader",
    "crash all",
    "pause",
    "pause leader",
    "split",
    "isolate leader",
    "one way",
    "bridge",
    "ring",
    "reset",
    "slow links",
    "stall",
    "stall leader",
    "lose disk",
    "disk error",
    "late ack",
    "ambush",
    "double",
    "extra",
)
"""Kinds of faults; `nemesis.py` says what each one does."""

OLD_COPY = "old copy"
"""A fault that only some runs have, once, for after it little may be left to hold: see `copies.py`."""

STORMS = {
    "formation": ("ambush", "ambush", "ambush", "crash", "lose disk", "double", "reset", "one way", "pause"),
    "stalls": (
        "late ack",
        "late ack",
        "stall",
        "stall leader",
        "isolate leader",
        "one way",
        "pause leader",
        "split",
        "crash",
    ),
}
"""Mixes for what random ones hardly meet: the lock window, and votes while acknowledgements wait for a disk."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Times are milliseconds, rates are chances per frame."""

    seed: int
    options: Options
    duration: int
    """How long faults go on, at least."""
    memory_only: bool
    """No server has a disk: a crash is the loss of a store."""
    latency: tuple[int, int]
    loss: float
    """Frames lost within a connection, which TCP never does."""
    duplication: float
    reordering: float
    holds: bool
    """Frames that meet a partition arrive when it heals, unless the connection has died; else they are lost."""
    resets_every: int
    """Mean time between resets of a random connection; 0 for none."""
    fsync: tuple[int, int]
    stalls: float
    """Chance that an fsync takes a second or more."""
    keeps_staged: float
    """Chance that a crash keeps some of what was written but not synced."""
    skew: int
    """Clocks run at (1000 ± skew) / 1000."""
    faults: tuple[str, ...]
    fault_every: int
    fault_length: int
    lost_disks_max: int
    command_every: int
    burst_max: int
    command_bytes_max: int
    snapshot_every: int
    """Entries applied between snapshots; 0 for none."""
    snapshot_padding: int
    apply_lag: int
    drain_lag: int
    """Events are stepped at once, but `ready` is taken up to this much later."""
    extra_first: bool
    """A host too many is there from the beginning."""
    late_starts: int
    """Hosts start within this time of each other."""
    says_revisions: bool
    """Servers say how far their disks have come (spec HELLO-10)."""


def draw_plan(seed: int) -> Plan:
    """The plan of a seed. The order of the draws is part of the format: append, do not insert."""
    dice = Random(f"plan {seed}")
    size = dice.choices((1, 2, 3, 4, 5, 6, 7), (4, 6, 44, 8, 28, 4, 6))[0]
    memory_only = dice.random() < 0.1 and size > 1
    fast = dice.random() < 0.3
    beyond_tcp = dice.random() < 0.4
    election = dice.choice((300, 600, 1000))
    storm = dice.choices((None, *STORMS), (75, 10, 15))[0]
    small = Random(f"sizes {seed}")
    kept = (
        small.choice((300, 3000, 8 << 20)),
        small.choice((0, 0, 3, 20)),
        small.choice((0, 500, 5000, 64 << 20)),
    )
    kinds = STORMS[storm] if storm else dice.sample(FAULTS, dice.choice((2, 3, 4, 6, 9, len(FAULTS))))
    plan = Plan(
        seed=seed,
        options=Options(
            expected_size=size,
            election_ms=election,
            heartbeat_ms=election // dice.choice((3, 3, 5)),
            batch_bytes_max=dice.choice((1, 120, 1000, 1 << 20)),
            chunk_bytes_max=dice.choice((16, 64, 64, 1 << 20)),
            flights_max=dice.choice((1, 2, 8, 64)),
            uncommitted_bytes_max=dice.choice((200, 2000, 64 << 20)),
            stalled_ms_max=2 * election,
            inflight_bytes_max=kept[0],
            kept_entries=kept[1],
            kept_bytes_max=kept[2],
        ),
        duration=dice.randint(12, 24) * election,
        memory_only=memory_only,
        latency=(1, 3) if fast else (1, dice.choice((10, 40, election // 6))),
        loss=dice.choice((0.01, 0.05, 0.15)) if beyond_tcp and dice.random() < 0.6 else 0.0,
        duplication=dice.choice((0.02, 0.2)) if beyond_tcp and dice.random() < 0.6 else 0.0,
        reordering=dice.choice((0.05, 0.5)) if beyond_tcp and dice.random() < 0.6 else 0.0,
        holds=dice.random() < 0.6,
        resets_every=dice.choice((0, 0, election, election * 5)),
        fsync=(0, 0) if memory_only else dice.choice(((0, 1), (1, 5), (1, 30), (5, election // 4))),
        stalls=0.0 if memory_only else dice.choice((0.0, 0.0, 0.01, 0.05)) if storm != "stalls" else 0.1,
        keeps_staged=dice.choice((0.0, 0.5, 1.0)),
        skew=dice.choice((0, 0, 20, 150)),
        faults=tuple(sorted(kinds)),
        fault_every=dice.choice((1, 2, 4)) * (election // 4 if storm == "formation" else election),
        fault_length=dice.choice((1, 3, 6)) * election,
        lost_disks_max=9 if storm == "formation" else dice.choices((0, 1, 2, 9), (30, 50, 12, 8))[0],
        command_every=dice.choice((60, 120, 300)),
        burst_max=dice.choice((1, 1, 5, 20)),
        command_bytes_max=dice.choice((0, 0, 60, 400)),
        snapshot_every=dice.choice((0, 3, 10, 10, 30)),
        snapshot_padding=dice.choice((0, 100, 400)),
        apply_lag=dice.choice((0, 0, 5, 200)),
        drain_lag=dice.choice((0, 0, 0, 3)),
        extra_first=dice.random() < 0.05,
        late_starts=dice.choice((0, 50, 4 * election)),
        says_revisions=not memory_only,
    )
    if memory_only or size < 3 or dice.random() > 0.12:
        return plan
    faults = tuple(sorted((*kinds, *[OLD_COPY] * 3)))
    return replace(plan, faults=faults, says_revisions=dice.random() < 0.6)
