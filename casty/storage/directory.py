"""One server's directory: locked against others, and changed so that a crash leaves the old or the new."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from typing import TYPE_CHECKING

from casty import descriptors
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
        self._locks: list[int] = []
        disk.make_directory(path)
        try:
            self._locks.append(disk.lock_directory(path))
            self._locks.append(disk.lock_file(path / _LOCK))
        except BlockingIOError as error:
            self.close()
            raise UnusableStoreError(f"{path}: in use {self._holder()}; expected no other") from error
        except BaseException:
            self.close()
            raise

    def names(self) -> list[str]:
        return self.disk.names(self.path)

    def read(self, name: str) -> bytes:
        return self.disk.read(self.path / name)

    def read_uncached(self, name: str) -> Iterator[bytes]:
        """The file's bytes as the disk has them now, in pieces."""
        return self.disk.read_uncached(self.path / name, PIECE_BYTES)

    def publish(self, name: str, parts: Iterable[bytes]) -> None:
        """Makes a file of `parts` and gives it its name, durably."""
        self._check_place()
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
        self._check_place()
        self.disk.rename(self.path / old, self.path / new)
        self.sync()

    def remove(self, names: Iterable[str]) -> None:
        """Removes the files one after the other: whatever a crash leaves, it is the later ones of them."""
        self._check_place()
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
        """Lets others have the directory. A second call does nothing."""
        while self._locks:
            self.disk.close(self._locks.pop())

    def _check_place(self) -> None:
        """Another directory may have come to where this one was: it is not locked, and not to be changed."""
        if not self.disk.is_at(self.path, self._locks[0]):
            raise OSError(f"{self.path}: no longer the directory that was opened and locked there")

    def _holder(self) -> str:
        """Who has the lock, as far as the note in the file tells."""
        if descriptors.is_claimed(self.path):
            return f"by this process ({os.getpid()})"
        try:
            note = self.disk.read(self.path / _LOCK).decode(errors="replace").strip()
        except OSError:
            note = ""
        if not re.fullmatch("[0-9]{1,10}", note):
            return "by another process"
        if _runs(int(note)):
            return f"by process {note}"
        return f"by a process that {note} forked before it ended, or by one on another machine"

    def _write(self, fd: int, parts: Iterable[bytes]) -> None:
        offset = 0
        for part in parts:
            view = memoryview(part)
            for start in range(0, len(part), PIECE_BYTES):
                piece = view[start : start + PIECE_BYTES]
                self.disk.write(fd, piece, offset)
                offset += len(piece)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True
