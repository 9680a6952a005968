"""The system calls a store makes, one method each, so that a test can watch, delay or fail them."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

from casty import descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


_LOCKS_FILES_ONLY = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What a file system says that locks no directories: NFS does so where the descriptor cannot be written to."""


class Disk:
    """A real disk. Subclass it to measure or to disturb; every method raises OSError and nothing else.

    `write` alone makes an error of what is none to the kernel: a file that takes only a part of the bytes.
    """

    def make_directory(self, path: Path) -> None:
        """Makes the directory, and those above it that are missing, durably and for their owner only."""
        missing = [place for place in (path, *path.parents) if not place.is_dir()]
        for place in reversed(missing):
            place.mkdir(0o700, exist_ok=True)
            self.sync_directory(place.parent)

    def lock_directory(self, path: Path) -> int:
        """Takes the lock of the directory itself, which no change of what is in it touches.

        Raises BlockingIOError when it is taken. On a file system that locks no directories (NFS) nothing is
        locked.
        """
        with descriptors.opening:
            fd = descriptors.claim(os.open(path, os.O_RDONLY | os.O_DIRECTORY))
        self._take(fd, tolerated=_LOCKS_FILES_ONLY)
        return fd

    def lock_file(self, path: Path) -> int:
        """Takes the lock of a file, made if it is missing, and notes this process in it.

        Raises BlockingIOError when it is taken.
        """
        with descriptors.opening:
            fd = descriptors.claim(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._take(fd)
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        except OSError:
            self.close(fd)
            raise
        return fd

    def _take(self, fd: int, tolerated: frozenset[int] = frozenset()) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in tolerated:
                self.close(fd)
                raise

    def is_at(self, path: Path, fd: int) -> bool:
        """Whether the path still leads to the directory that was opened as `fd`."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(fd))
        except FileNotFoundError:
            return False

    def names(self, path: Path) -> list[str]:
        """The names in the directory, sorted."""
        return sorted(os.listdir(path))

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def read_uncached(self, path: Path, piece_bytes: int) -> Iterator[bytes]:
        """The file in pieces. What the kernel has of it in memory is dropped first, where it can be told to."""
        with descriptors.opening:
            fd = descriptors.claim(os.open(path, os.O_RDONLY))
        try:
            if hasattr(os, "posix_fadvise"):  # not on macOS, whose cache then answers
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            while piece := os.read(fd, piece_bytes):
                yield piece
        finally:
            self.close(fd)

    def create(self, path: Path) -> int:
        """Opens a new, empty file for writing, in place of any that has the name; for its owner only."""
        return descriptors.claim(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))

    def open(self, path: Path) -> int:
        """Opens a file that exists for writing."""
        return descriptors.claim(os.open(path, os.O_WRONLY))

    def close(self, fd: int) -> None:
        descriptors.release(fd)
        os.close(fd)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        written = os.pwrite(fd, data, offset)
        if written != len(data):
            raise OSError(f"the disk took {written} of {len(data)} bytes")

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync_data(self, fd: int) -> None:
        """Makes the file's bytes durable, and its size."""
        _sync_data(fd)

    def sync(self, fd: int) -> None:
        """Makes the file durable; its name is the directory's affair."""
        _sync(fd)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def sync_directory(self, path: Path) -> None:
        """Makes the names in the directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def sync_calls(full: int | None) -> tuple[Callable[[int], object], Callable[[int], object]]:
    """What makes data durable, and what makes a file durable, given the number of F_FULLFSYNC if there is one.

    On macOS fsync only hands the bytes to the drive, which may hold them in its cache; F_FULLFSYNC empties it.
    """
    if full is None:
        return os.fdatasync, os.fsync

    def flush(fd: int) -> object:
        return fcntl.fcntl(fd, full)

    return flush, flush


_full: int | None = getattr(fcntl, "F_FULLFSYNC", None)
_sync_data, _sync = sync_calls(_full)
