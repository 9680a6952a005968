"""A disk in memory that knows what is durable, and every state that a power cut could leave.

What a call of the store has written is in the page cache, where later calls see it; what a sync has covered is
durable. A power cut keeps the durable part, and of the rest any choice of sectors, of file sizes and of names.
"""

from __future__ import annotations

import errno
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from casty.storage.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from random import Random

SECTOR = 512


@dataclass
class File:
    """A file without its name. `pending` are the changes of `cached` that no sync has covered, in order."""

    durable: bytes = b""
    cached: bytes = b""
    pending: list[tuple[int, bytes] | int] = field(default_factory=list["tuple[int, bytes] | int"])
    """A write at an offset, or a truncation to a size."""

    def change(self, change: tuple[int, bytes] | int) -> None:
        self.pending.append(change)
        self.cached = changed(self.cached, change)

    def sync(self) -> None:
        for change in self.pending:
            self.durable = changed(self.durable, change)
        self.pending.clear()

    def fail_to_sync(self) -> None:
        """What a kernel does: it forgets that the pages are dirty, and goes on showing them."""
        self.pending.clear()


def changed(content: bytes, change: tuple[int, bytes] | int) -> bytes:
    if isinstance(change, int):
        return content[:change].ljust(change, b"\0")
    offset, data = change
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data) :]


type Names = dict[str, File]


class SimulatedDisk(Disk):
    """One directory. `before_call` sees the name of each call that changes something, and may raise OSError."""

    def __init__(self) -> None:
        self.cached_names: Names = {}
        self.durable_names: Names = {}
        self.pending_names: list[Callable[[Names], None]] = []
        self.before_call: Callable[[str], None] = lambda call: None
        self.disabled: str | None = None
        """A kind of sync that does nothing, for the tests of the tests."""
        self.failing_syncs = 0
        """So many syncs fail, as a kernel's do: the pages are clean afterwards, and not durable."""
        self._open: dict[int, File] = {}
        self._fds = itertools.count(3)
        self._lock: int | None = None

    def make_directory(self, path: Path) -> None:
        pass

    def lock_directory(self, path: Path) -> int:
        if self._lock is not None:
            raise BlockingIOError(errno.EAGAIN, "locked")
        self._lock = next(self._fds)
        return self._lock

    def lock_file(self, path: Path) -> int:
        file = self.cached_names[path.name] = File(cached=b"1\n")
        return self._opened(file)

    def is_at(self, path: Path, fd: int) -> bool:
        return fd == self._lock

    def names(self, path: Path) -> list[str]:
        return sorted(self.cached_names)

    def read(self, path: Path) -> bytes:
        if path.name not in self.cached_names:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return self.cached_names[path.name].cached

    def create(self, path: Path) -> int:
        self.before_call("create")
        file = File()
        self._rename(lambda names: names.update({path.name: file}))
        return self._opened(file)

    def open(self, path: Path) -> int:
        return self._opened(self.cached_names[path.name])

    def close(self, fd: int) -> None:
        if fd == self._lock:
            self._lock = None
        else:
            del self._open[fd]

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        self.before_call("write")
        self._open[fd].change((offset, bytes(data)))

    def truncate(self, fd: int, size: int) -> None:
        self.before_call("truncate")
        self._open[fd].change(size)

    def sync_data(self, fd: int) -> None:
        self._sync("sync_data", fd)

    def sync(self, fd: int) -> None:
        self._sync("sync", fd)

    def rename(self, old: Path, new: Path) -> None:
        self.before_call("rename")

        def rename(names: Names) -> None:
            if old.name in names:
                names[new.name] = names.pop(old.name)

        self._rename(rename)

    def unlink(self, path: Path) -> None:
        self.before_call("unlink")

        def unlink(names: Names) -> None:
            names.pop(path.name, None)

        self._rename(unlink)

    def sync_directory(self, path: Path) -> None:
        self.before_call("sync_directory")
        if self.disabled != "sync_directory":
            for change in self.pending_names:
                change(self.durable_names)
            self.pending_names.clear()

    def _opened(self, file: File) -> int:
        fd = next(self._fds)
        self._open[fd] = file
        return fd

    def _rename(self, change: Callable[[Names], None]) -> None:
        self.pending_names.append(change)
        change(self.cached_names)

    def _sync(self, kind: str, fd: int) -> None:
        self.before_call(kind)
        if self.failing_syncs:
            self.failing_syncs -= 1
            self._open[fd].fail_to_sync()
            raise OSError(errno.EIO, "input/output error")
        if self.disabled != kind:
            self._open[fd].sync()

    def after_kill(self) -> SimulatedDisk:
        """This same disk, as the next process finds it when this one is killed: page cache and all."""
        self._open.clear()
        self._lock = None
        self.before_call = lambda call: None
        return self

    def after_power_cut(self) -> SimulatedDisk:
        """The disk that kept only what was durable."""
        return disk_with({name: file.durable for name, file in self.durable_names.items()})

    def power_cuts(self, random: Random, limit: int) -> Iterator[SimulatedDisk]:
        """Disks that a power cut at this moment could leave: all, or `limit` that `random` draws from them.

        The one that kept nothing more than it had to, and the one that kept everything, are always among them.
        """
        choices = [
            dict(zip(names, contents, strict=True))
            for names in self._names_kept()
            for contents in itertools.product(*(contents_kept(file, random) for file in names.values()))
        ]
        if len(choices) > limit:
            choices = [choices[0], choices[-1], *random.sample(choices[1:-1], limit - 2)]
        yield from map(disk_with, choices)

    def _names_kept(self) -> Iterator[Names]:
        """The directory after each choice of the pending changes, from none to all."""
        for kept in itertools.product((False, True), repeat=len(self.pending_names)):
            names = dict(self.durable_names)
            for change in itertools.compress(self.pending_names, kept):
                change(names)
            yield names


def disk_with(contents: dict[str, bytes]) -> SimulatedDisk:
    """A disk with these files, all of it durable."""
    disk = SimulatedDisk()
    disk.durable_names = {name: File(content, content) for name, content in contents.items()}
    disk.cached_names = dict(disk.durable_names)
    return disk


def contents_kept(file: File, random: Random) -> list[bytes]:
    """What a file may hold after a power cut, from what is durable to what was written."""
    old, new = file.durable, file.durable
    for change in file.pending:
        new = changed(new, change)
    if old == new:
        return [old]
    contents = [with_sectors(old, new, kept) for kept in sectors_kept(old, new, random)]
    sizes = {len(old), *range(0, len(new), SECTOR), *(random.randrange(len(new) + 1) for _ in range(24))}
    cuts = [new[:size] for size in sorted(sizes) if min(len(old), len(new)) <= size]
    return [old, *dict.fromkeys(cuts + contents), new]


def sectors_kept(old: bytes, new: bytes, random: Random) -> Iterator[set[int]]:
    """Choices of the sectors in which two contents differ: all choices of few, and telling ones of many."""
    size = max(len(old), len(new))
    old, new = old.ljust(size, b"\0"), new.ljust(size, b"\0")
    differing = [at for at in range(0, size, SECTOR) if old[at : at + SECTOR] != new[at : at + SECTOR]]
    if len(differing) <= 4:
        for kept in itertools.product((False, True), repeat=len(differing)):
            yield set(itertools.compress(differing, kept))
        return
    for at in differing:
        yield {at}
        yield {*differing} - {at}
    for _ in range(8):
        yield {at for at in differing if random.random() < 0.5}


def with_sectors(old: bytes, new: bytes, kept: set[int]) -> bytes:
    """The new size, and the new content of the sectors kept; elsewhere the old, or zeros where was none."""
    base = old[: len(new)].ljust(len(new), b"\0")
    sectors = (new if at in kept else base for at in range(0, len(new), SECTOR))
    return b"".join(
        source[at : at + SECTOR] for at, source in zip(range(0, len(new), SECTOR), sectors, strict=True)
    )
