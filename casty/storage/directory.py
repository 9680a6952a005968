"""One server's directory: locked against others, and changed so that a crash leaves the old or the new."""

from __future__ import annotations

import contextlib
import itertools
import re
from typing import TYPE_CHECKING

from casty.errors import UnusableStoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from casty.storage.disk import Disk

PIECE_BYTES = 1 << 20
"""How much one system call writes: a large file must not go out in one call, which takes at most 2 GiB."""

_LOCK = "lock"
_TEMPORARY = ".tmp"
_UNFINISHED = re.compile(rf"\d{{10}}[-.\w]*\{_TEMPORARY}")


class Directory:
    """The directory, while its lock is held.

    A file has its name only once its content is durable, and each change of names is durable before the next.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        """Makes the directory if it is missing, and locks it. Raises UnusableStoreError when it is locked."""
        self.path = path
        self.disk = disk
        self._numbers = itertools.count(1)
        """Of temporary files: two threads may be writing the same snapshot."""
        disk.make_directory(path)
        try:
            self._lock = disk.lock(path / _LOCK)
        except BlockingIOError as error:
            holder = disk.read(path / _LOCK).decode(errors="replace").strip()
            raise UnusableStoreError(f"{path}: in use by process {holder}; expected no other") from error

    def names(self) -> list[str]:
        return self.disk.names(self.path)

    def read(self, name: str) -> bytes:
        return self.disk.read(self.path / name)

    def read_uncached(self, name: str) -> Iterator[bytes]:
        """The file's bytes as the disk has them now, in pieces."""
        return self.disk.read_uncached(self.path / name, PIECE_BYTES)

    def publish(self, name: str, parts: Iterable[bytes]) -> None:
        """Makes a file of `parts` and gives it its name, durably."""
        temporary = self.path / f"{name}.{next(self._numbers)}{_TEMPORARY}"
        try:
            fd = self.disk.create(temporary)
            try:
                self._write(fd, parts)
                self.disk.sync(fd)
            finally:
                self.disk.close(fd)
        except OSError as error:
            with contextlib.suppress(OSError):  # it may hold the space that was lacking
                self.disk.unlink(temporary)
            raise OSError(f"{temporary.name}: writing a new file: {error}") from error
        self.rename(temporary.name, name)

    def rename(self, old: str, new: str) -> None:
        self.disk.rename(self.path / old, self.path / new)
        self.sync()

    def remove(self, names: Iterable[str]) -> None:
        """Removes the files one after the other: whatever a crash leaves, it is the later ones of them."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # it went before, and the sync after it failed
                self.disk.unlink(self.path / name)
            self.sync()

    def remove_temporary(self) -> None:
        """Removes what crashes have left of unfinished files. Nothing may be publishing."""
        self.remove(name for name in self.names() if _UNFINISHED.fullmatch(name))

    def sync(self) -> None:
        self.disk.sync_directory(self.path)

    def close(self) -> None:
        self.disk.close(self._lock)

    def _write(self, fd: int, parts: Iterable[bytes]) -> None:
        offset = 0
        for part in parts:
            view = memoryview(part)
            for start in range(0, len(part), PIECE_BYTES):
                piece = view[start : start + PIECE_BYTES]
                self.disk.write(fd, piece, offset)
                offset += len(piece)
