"""Long random series of writes, on every store, against a naive account (STORE-2).

``STORAGE_SEEDS=200 python -m pytest tests/storage`` tries more of them.
"""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING

import pytest

from casty.storage.memory import MemoryStore
from tests.storage.histories import Account, account, next_write
from tests.storage.stores import loaded

if TYPE_CHECKING:
    from casty.raft.types import Recovered, Write
    from tests.storage.stores import Machine

SEEDS = range(int(os.environ.get("STORAGE_SEEDS", "5")))


def next_batch(random: Random, so_far: Account) -> list[Write]:
    """One to four writes, which `so_far` then contains."""
    batch: list[Write] = []
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        batch.append(next_write(random, so_far))
        so_far.add(batch[-1])
    return batch


@pytest.mark.parametrize("seed", SEEDS)
def test_a_store_remembers_what_a_naive_account_does(machine: Machine, seed: int) -> None:
    """STORE-2: the id in the name of a failing test is its seed; naming the test runs that history again."""
    random = Random(seed)
    so_far = Account()
    store = loaded(machine)
    for _ in range(80):
        batch = next_batch(random, so_far)
        if random.random() < 0.5:
            for write in batch:
                if write.snapshot is not None:
                    store.save_snapshot(write.snapshot)
        store.write(batch)
        if random.random() < 0.15:
            store.close()
            store = machine.open()
            recovered = store.load()
            assert recovered == so_far.recovered(recovered.store_id)
    store.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_memory_disk_keeps_a_first_part_of_what_was_not_synced(seed: int) -> None:
    """STORE-15: as much as it was told to, whatever was staged; and all that was synced."""
    random = Random(seed)
    durable: list[Write] = []
    store = MemoryStore(random)
    recovered: Recovered = store.load()
    for _ in range(60):
        staged: list[Write] = []
        for _ in range(random.randrange(4)):
            batch = next_batch(random, account(*durable, *staged))
            store.stage(batch)
            staged += batch
        if random.random() < 0.5:
            store.sync()
            durable += staged
        else:
            kept = random.randint(0, len(staged))
            store.crash(kept)
            durable += staged[:kept]
            recovered = store.load()
            assert recovered == account(*durable).recovered(recovered.store_id)
