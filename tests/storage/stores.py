"""The stores under test, each on a disk of its own that can be opened again and again."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Protocol

from casty.storage.disk import Disk
from casty.storage.files import FileStore
from casty.storage.memory import MemoryStore
from casty.storage.segments import Sizes
from tests.storage.histories import ME

if TYPE_CHECKING:
    from casty.raft.types import Recovered
    from casty.storage.api import Store
    from tests.storage.simulated_disk import SimulatedDisk

SMALL = Sizes(segment_bytes_max=4096, room_bytes=1024)
"""So that a short test sees segments come and go."""

SOMEWHERE = Path("store")
"""The directory of a simulated disk, which has only one."""


class FailingDisk(Disk):
    """A real disk, of which the next `failing_syncs` syncs of files fail."""

    def __init__(self) -> None:
        self.failing_syncs = 0

    def sync_data(self, fd: int) -> None:
        self._maybe_fail()
        super().sync_data(fd)

    def sync(self, fd: int) -> None:
        self._maybe_fail()
        super().sync(fd)

    def _maybe_fail(self) -> None:
        if self.failing_syncs:
            self.failing_syncs -= 1
            raise OSError(errno.EIO, "input/output error")


class Machine(Protocol):
    """A place for one store, of which at most one is open."""

    def open(self) -> Store:
        """The store as the next process opens it, not loaded yet."""
        ...

    def fail_next_sync(self) -> None: ...


class MachineWithFiles:
    """A `FileStore` on a real or a simulated disk."""

    def __init__(self, path: Path, disk: FailingDisk | SimulatedDisk) -> None:
        self.path = path
        self.disk = disk
        self.random = Random(0)

    def open(self) -> Store:
        return file_store(self.disk, self.path, self.random)

    def fail_next_sync(self) -> None:
        self.disk.failing_syncs = 1


class MachineWithMemory:
    """A `MemoryStore`, which is its own disk."""

    def __init__(self) -> None:
        self.store = MemoryStore(Random(0))

    def open(self) -> Store:
        return self.store

    def fail_next_sync(self) -> None:
        self.store.fail_next_sync()


def file_store(disk: Disk, path: Path = SOMEWHERE, random: Random | None = None) -> FileStore:
    random_bytes = (random or Random(0)).randbytes
    return FileStore.open(path, ME, sizes=SMALL, disk=disk, random_bytes=random_bytes, threaded=False)


def loaded(machine: Machine) -> Store:
    store = machine.open()
    store.load()
    return store


def found(machine: Machine) -> Recovered:
    """What the next process finds on the disk, which nobody has open."""
    store = machine.open()
    try:
        return store.load()
    finally:
        store.close()
