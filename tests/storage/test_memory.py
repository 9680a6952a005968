"""The disk in memory: what a simulation can do to it (STORE-15)."""

from __future__ import annotations

from random import Random

import pytest

from casty.errors import StorageError
from casty.raft.types import Recovered
from casty.storage.memory import MemoryStore
from tests.storage.histories import account, append, commands, hard_state, snapshot


def memory_store() -> MemoryStore:
    store = MemoryStore(Random(1))
    store.load()
    return store


STAGED = [append(1, *commands(2)), hard_state(3), append(2)]


@pytest.mark.parametrize("kept", range(4))
def test_a_power_cut_keeps_a_first_part_of_what_was_staged(kept: int) -> None:
    """STORE-15: as much of it as the simulation says."""
    store = memory_store()
    store.stage(STAGED)
    store.crash(kept)
    recovered = store.load()
    assert recovered == account(*STAGED[:kept]).recovered(recovered.store_id)


def test_the_end_of_the_process_loses_nothing_that_was_staged() -> None:
    """STORE-15: the next process finds it, and then it is durable."""
    store = memory_store()
    store.stage(STAGED)
    recovered = store.load()
    assert recovered == account(*STAGED).recovered(recovered.store_id)
    store.crash()
    assert store.load() == recovered


def test_one_sync_makes_all_that_was_staged_durable() -> None:
    """STORE-15."""
    store = memory_store()
    for write in STAGED:
        store.stage([write])
    store.sync()
    store.crash()
    recovered = store.load()
    assert recovered == account(*STAGED).recovered(recovered.store_id)


@pytest.mark.parametrize("kept", [0, 2])
def test_a_failed_sync_may_have_kept_what_was_staged(kept: int) -> None:
    """STORE-15: the simulation says which; until then the store does nothing."""
    store = memory_store()
    store.stage(STAGED)
    store.fail_next_sync()
    with pytest.raises(StorageError, match="the sync failed"):
        store.sync()
    with pytest.raises(StorageError, match="nothing was done"):
        store.stage(STAGED)
    with pytest.raises(StorageError, match="nothing was done"):
        store.sync()
    store.crash(kept)
    recovered = store.load()
    assert recovered == account(*STAGED[:kept]).recovered(recovered.store_id)


def test_a_crashed_disk_is_used_only_after_it_was_loaded() -> None:
    """STORE-15."""
    store = memory_store()
    store.crash()
    with pytest.raises(StorageError, match="the power was cut"):
        store.save_snapshot(snapshot(1))
    store.load()
    store.save_snapshot(snapshot(1))


def test_a_lost_disk_is_another_store() -> None:
    """STORE-15: its id is drawn from the random numbers it was given, so that a seed replays it."""
    ids = [_ids_of_two_disks(MemoryStore(Random(seed))) for seed in (1, 1, 2)]
    assert ids[0] == ids[1]
    assert len({*ids[0], *ids[2]}) == 4


def _ids_of_two_disks(store: MemoryStore) -> tuple[bytes, bytes]:
    first = store.load()
    store.write(STAGED)
    store.lose()
    with pytest.raises(StorageError, match="the disk was lost"):
        store.write(STAGED)
    second = store.load()
    assert second == Recovered(second.store_id)
    return first.store_id, second.store_id
