"""Every moment at which the power, the process or a system call may fail, and what each may leave (STORE-9).

A history of writes runs on a simulated disk. Before each call that changes the disk, the states that a power
cut could leave there are built, and the store is opened in each: all that a returned `write` promised must be
there, and nothing but a first part of what the write under way would have added.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest

from casty.errors import StorageError
from tests.storage.histories import Account, append, command, commands, compact, hard_state, next_write
from tests.storage.simulated_disk import SimulatedDisk
from tests.storage.stores import file_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from casty.raft.types import Recovered, StoreId, Write
    from casty.storage.files import FileStore

SEEDS = range(int(os.environ.get("STORAGE_SEEDS", "4")))
CUTS_MAX = 100
"""States tried of each moment; there are seldom more."""


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of torn records are cut off here, and each would be a line of a failure's report."""
    caplog.set_level(logging.ERROR, logger="casty.storage")


@dataclass
class Progress:
    """How far a history has come, in the accounts of its writes: after none of them, after one, and so on."""

    accounts: list[Account] = field(default_factory=lambda: [Account()])
    store_id: StoreId | None = None
    """Once `load` has returned it."""
    promised: int = 0
    """Writes from which `write` has returned."""
    attempted: int = 0

    def attempt(self, batch: list[Write]) -> None:
        for write in batch:
            so_far = self.accounts[-1]
            self.accounts.append(replace(so_far, log=dict(so_far.log)))
            self.accounts[-1].add(write)
        self.attempted += len(batch)

    def allows(self, found: Recovered) -> bool:
        if self.store_id not in (None, found.store_id):
            return False
        allowed = self.accounts[self.promised : self.attempted + 1]
        return any(found == account.recovered(found.store_id) for account in allowed)


type History = list[list[Write]]


def perform(history: History, disk: SimulatedDisk, progress: Progress) -> None:
    """Opens a store and writes the history to it, each snapshot saved ahead."""
    store = file_store(disk)
    progress.store_id = store.load().store_id
    for batch in history:
        progress.attempt(batch)
        for write in batch:
            if write.snapshot is not None:
                store.save_snapshot(write.snapshot)
        store.write(batch)
        progress.promised = progress.attempted


def explore(history: History, random: Random, disabled: str | None = None) -> int:
    """Tries the power cuts of every moment of the history, and says how many states there were."""
    disk, progress, tried = SimulatedDisk(), Progress(), 0
    disk.disabled = disabled

    def cut(call: str) -> None:
        nonlocal tried
        for after in disk.power_cuts(random, CUTS_MAX):
            tried += 1
            check(after, progress, random)

    disk.before_call = cut
    perform(history, disk, progress)
    cut("end")
    return tried


def check(disk: SimulatedDisk, progress: Progress, random: Random) -> None:
    """What is found is allowed; a cut while it is mended changes nothing; and the store can be used."""
    before = disk.after_power_cut()
    store = file_store(disk)
    recovered = store.load()
    assert progress.allows(recovered)
    if random.random() < 0.3:
        check_cuts_while_loading(before, recovered, random)
        check_use(store, disk, recovered)


def check_cuts_while_loading(disk: SimulatedDisk, recovered: Recovered, random: Random) -> None:
    def cut(call: str) -> None:
        for after in disk.power_cuts(random, 6):
            found = file_store(after).load()
            assert (found.hard_state, found.snapshot, found.entries) == (
                recovered.hard_state,
                recovered.snapshot,
                recovered.entries,
            )

    disk.before_call = cut
    file_store(disk).load()


def check_use(store: FileStore, disk: SimulatedDisk, recovered: Recovered) -> None:
    """A write goes on where the crash has cut the log off, and a snapshot leaves nothing behind."""
    end = recovered.base.index + 1 + len(recovered.entries)
    store.write([append(end, command(b"used"))])
    found = file_store(disk.after_power_cut()).load()
    assert found.entries == (*recovered.entries, command(b"used"))
    store.write([compact(end)])
    assert len(segments_in(disk)) == 1


def segments_in(disk: SimulatedDisk) -> list[str]:
    return sorted(name for name in disk.durable_names if name.endswith((".open", ".log")))


APPENDS: History = [[append(1, *commands(3, 300))], [append(4, *commands(2, 700))], [hard_state(2)]]
TRUNCATIONS: History = [
    [append(1, *commands(6))],
    [append(3, *commands(2, 600, term=2))],
    [hard_state(3), append(2)],
    [append(2, command(bytes(1200), 3))],
]
ROLLS: History = [[append(1 + 2 * n, *commands(2, 700))] for n in range(9)]
SNAPSHOTS: History = [
    [append(1, *commands(4, 600))],
    [compact(3, b"s" * 900)],
    [append(5, *commands(4, 600))],
    [compact(12, b"beyond")],
    [append(13, command()), compact(13, b"")],
]
PURGES: History = [
    *[[append(1 + 2 * n, *commands(2, 900)), hard_state(n)] for n in range(8)],
    [compact(15, b"p" * 600)],
    [append(17, command()), compact(16)],
]


@pytest.mark.parametrize("history", [APPENDS, TRUNCATIONS, ROLLS, SNAPSHOTS, PURGES])
def test_a_power_cut_loses_nothing_that_was_promised(history: History) -> None:
    """STORE-9: at any moment of a run that appends, truncates, closes segments, takes snapshots and purges."""
    assert explore(history, Random(1)) > 50  # states


def random_history(random: Random, length: int) -> History:
    so_far = Account()
    history: History = []
    while len(history) < length:
        batch: list[Write] = []
        for _ in range(random.choice((1, 1, 3))):
            batch.append(next_write(random, so_far))
            so_far.add(batch[-1])
        history.append(batch)
    return history


@pytest.mark.parametrize("seed", SEEDS)
def test_a_power_cut_in_a_random_history_loses_nothing_that_was_promised(seed: int) -> None:
    """STORE-9: the seed is in the name of the test, which runs that history again."""
    random = Random(seed)
    explore(random_history(random, 20), random)


@pytest.mark.parametrize("kind", ["sync_data", "sync", "sync_directory"])
def test_the_exploration_finds_a_sync_that_is_missing(kind: str) -> None:
    """The test of these tests: a disk on which one kind of sync does nothing must not pass."""
    with pytest.raises((AssertionError, StorageError)):
        explore([*APPENDS, [append(6, *commands(6, 700))], [compact(8)]], Random(1), disabled=kind)


class KilledError(BaseException):
    """The process ends here."""


def kill(disk: SimulatedDisk, call: str) -> None:
    raise KilledError


def fail(disk: SimulatedDisk, call: str) -> None:
    """The call fails. A sync that fails leaves its pages clean, and not durable."""
    if call in ("sync", "sync_data"):
        disk.failing_syncs = 1
    else:
        raise OSError(errno.EIO, "input/output error")


@pytest.mark.parametrize("history", [TRUNCATIONS, ROLLS, SNAPSHOTS, PURGES])
@pytest.mark.parametrize("fault", [kill, fail])
def test_what_is_found_after_a_fault_is_durable(
    history: History, fault: Callable[[SimulatedDisk, str], None]
) -> None:
    """STORE-12: whichever call fails, or is its process's last, what `load` then returns survives a power cut.

    After a failed sync the next process still reads what the disk does not have. To sync again is not enough.
    """
    for moment in range(calls_of(history)):
        disk, progress = SimulatedDisk(), Progress()
        disk.before_call = at_call(moment, partial(fault, disk))
        with contextlib.suppress(KilledError, OSError):  # a removal that fails is no error of the store's
            perform(history, disk, progress)
        recovered = file_store(disk.after_kill(), random=Random(2)).load()
        assert progress.allows(recovered)
        assert file_store(disk.after_power_cut(), random=Random(3)).load() == recovered


def test_what_a_crash_has_left_to_remove_is_removed_at_the_start() -> None:
    """STORE-13: the segments that a snapshot covers, although the process that took it came to nothing more."""
    disk = SimulatedDisk()
    disk.before_call = lambda call: kill(disk, call) if call == "unlink" else None
    with pytest.raises(KilledError):
        perform(PURGES, disk, Progress())
    assert segments_in(disk) == ["0000000001.log", "0000000002.log", "0000000003.log", "0000000004.open"]
    file_store(disk.after_kill()).load()
    assert segments_in(disk) == ["0000000004.open"]


def calls_of(history: History) -> int:
    """How many calls that change the disk the history makes."""
    calls: list[str] = []
    disk = SimulatedDisk()
    disk.before_call = calls.append
    perform(history, disk, Progress())
    return len(calls)


def at_call(moment: int, act: Callable[[str], None]) -> Callable[[str], None]:
    """Acts before the call of that number, and lets the others pass."""
    passed = 0

    def before_call(call: str) -> None:
        nonlocal passed
        passed += 1
        if passed == moment + 1:
            act(call)

    return before_call
