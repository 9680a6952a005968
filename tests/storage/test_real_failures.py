"""A real disk that is full, or fails: the error is final, and what was promised can be read."""

from __future__ import annotations

import errno
import os
import re
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from casty.errors import StorageError
from casty.storage.disk import Disk, sync_calls
from casty.storage.files import FileStore
from tests.storage.directories import contents_of, output_of
from tests.storage.histories import ME, append, command, commands, compact, hard_state, snapshot
from tests.storage.stores import file_store

if TYPE_CHECKING:
    from pathlib import Path

UNTIL_FULL = """
import resource, signal, sys
from casty.errors import StorageError
from casty.storage.files import FileStore
from casty.storage.segments import Sizes
from tests.storage.histories import ME, append, commands

path, limit = sys.argv[1], int(sys.argv[2])
store = FileStore.open(path, ME, sizes=Sizes(1 << 20, 1024))
store.load()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the kernel then answers EFBIG
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
promised = 0
try:
    while True:
        store.write([append(promised + 1, *commands(1, 200))])
        promised += 1
except StorageError as error:
    first = error
try:
    store.write([append(promised + 1, *commands(1, 200))])
except StorageError as error:
    print(promised, first, error, sep="\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
"""


@pytest.mark.parametrize("limit", [4000, 4096, 5000])
def test_a_full_disk_is_final_and_leaves_what_was_promised(tmp_path: Path, limit: int) -> None:
    """STORE-11: whether the kernel takes a part of the bytes or none; with space again, the store goes on."""
    path = tmp_path / "store"
    promised, first, second = output_of([sys.executable, "-c", UNTIL_FULL, str(path), str(limit)])
    what = re.escape(f"{path}: 0000000001.open: writing ") + r"\d+ bytes at offset \d+: "
    assert re.fullmatch(what + r"(the disk took \d+ of \d+ bytes|\[Errno 27\] File too large)", first)
    assert second == f"nothing was done; the store has stopped: {first}"
    store = FileStore.open(path, ME)
    entries = store.load().entries
    assert len(entries) - int(promised) in (0, 1)
    store.write([append(len(entries) + 1, *commands(1))])
    store.close()


class FailingDisk(Disk):
    """Fails in the call of one name once it is told to."""

    def __init__(self, call: str) -> None:
        self.call = call
        self.armed = False

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        self._maybe_fail("write")
        super().write(fd, data, offset)

    def sync(self, fd: int) -> None:
        self._maybe_fail("sync")
        super().sync(fd)

    def create(self, path: Path) -> int:
        self._maybe_fail("create")
        return super().create(path)

    def unlink(self, path: Path) -> None:
        self._maybe_fail("unlink")
        super().unlink(path)

    def _maybe_fail(self, call: str) -> None:
        if self.armed and call == self.call:
            raise OSError(errno.ENOSPC, "no space left on device")


@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_snapshot_that_a_write_needs_and_that_cannot_be_saved_ends_the_store(
    tmp_path: Path, call: str
) -> None:
    """STORE-11: it is named, and the log still refers to the one before."""
    path = tmp_path / "store"
    failing = FailingDisk(call)
    store = file_store(failing, path)
    store.load()
    store.write([append(1, *commands(5)), compact(2)])
    failing.armed = True
    named = r"store: \d{20}-[0-9a-f]{8}.snap.\d+.tmp: writing a new file: .* no space"
    with pytest.raises(StorageError, match=named):
        store.write([compact(4)])
    store.close()
    store = file_store(Disk(), path)
    recovered = store.load()
    assert recovered.snapshot is not None
    assert recovered.snapshot.last_included_index == 2
    store.close()


@pytest.mark.parametrize("call", ["write", "sync", "create"])
def test_an_own_snapshot_that_cannot_be_saved_leaves_nothing_behind(tmp_path: Path, call: str) -> None:
    """STORE-11, STORE-13: nothing rests on it, so the store goes on, and saves the next one."""
    path = tmp_path / "store"
    failing = FailingDisk(call)
    store = file_store(failing, path)
    store.load()
    store.write([append(1, *commands(5)), compact(2)])
    before = contents_of(path)
    failing.armed = True
    with pytest.raises(OSError, match="no space left on device"):
        store.save_snapshot(snapshot(4))
    failing.armed = False
    assert contents_of(path) == before
    store.write([append(6, *commands(1))])
    store.save_snapshot(snapshot(5))
    store.write([compact(5)])
    store.close()
    assert file_store(Disk(), path).load().snapshot == snapshot(5)


def test_a_file_that_cannot_be_removed_is_named_and_removed_at_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """STORE-13: nothing rests on that it is gone."""
    path = tmp_path / "store"
    failing = FailingDisk("unlink")
    store = file_store(failing, path)
    store.load()
    store.write([append(1, *commands(5)), compact(2)])
    failing.armed = True
    store.write([compact(4)])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "1 old files stay: 00000000000000000002-" in caplog.text
    store.write([hard_state(1)])
    store.close()
    assert len(snapshots_in(path)) == 2
    store = file_store(Disk(), path)
    store.load()
    store.close()
    assert len(snapshots_in(path)) == 1


def snapshots_in(path: Path) -> list[Path]:
    return list(path.glob("*.snap"))


def test_old_files_are_removed_while_writes_go_on(tmp_path: Path) -> None:
    """STORE-13: a removal that hangs holds up no write."""
    release = threading.Event()

    class HangingDisk(Disk):
        def unlink(self, path: Path) -> None:
            assert release.wait(20)
            super().unlink(path)

    path = tmp_path / "store"
    store = FileStore.open(path, ME, disk=HangingDisk())
    store.load()
    store.write([append(1, *commands(5)), compact(2)])
    store.write([compact(4)])
    store.write([append(6, *commands(1))])
    assert len(snapshots_in(path)) == 2
    release.set()
    store.close()
    assert len(snapshots_in(path)) == 1


def test_a_save_that_takes_long_holds_up_no_write(tmp_path: Path) -> None:
    """STORE-13: neither the write that refers to an earlier snapshot, nor one that brings its own."""
    release, begun = threading.Event(), threading.Event()

    class HangingDisk(Disk):
        armed = False

        def sync(self, fd: int) -> None:
            if self.armed and threading.current_thread() is not threading.main_thread():
                begun.set()
                assert release.wait(20)
            super().sync(fd)

    disk = HangingDisk()
    path = tmp_path / "store"
    store = FileStore.open(path, ME, disk=disk)
    store.load()
    store.write([append(1, *commands(9))])
    store.save_snapshot(snapshot(3))
    disk.armed = True
    saving = threading.Thread(target=store.save_snapshot, args=(snapshot(6),))
    saving.start()
    assert begun.wait(20)
    store.write([compact(3)])
    store.write([compact(5)])
    release.set()
    saving.join()
    store.write([compact(6)])
    store.close()
    assert file_store(Disk(), path).load().snapshot == snapshot(6)


def test_a_disk_that_cannot_be_synced_again_ends_the_load(tmp_path: Path) -> None:
    """STORE-12: nobody may rest on what was read before it is durable."""
    path = tmp_path / "store"
    failing = FailingDisk("sync")
    for armed in (False, True):
        store = file_store(failing, path)
        failing.armed = armed
        if armed:
            with pytest.raises(StorageError, match="no space left on device"):
                store.load()
        else:
            store.load()
        store.close()


def test_a_lock_that_cannot_be_taken_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STORE-1: whatever the reason."""

    def broken(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    opened = set(os.listdir("/dev/fd"))
    monkeypatch.setattr("fcntl.flock", broken)
    with pytest.raises(StorageError, match="no locks available"):
        file_store(Disk(), tmp_path / "store")
    assert set(os.listdir("/dev/fd")) == opened


def test_a_full_sync_is_asked_for_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STORE-8: macOS keeps what was fsynced in the drive's cache unless it is told otherwise."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("fcntl.fcntl", lambda fd, command: asked.append((fd, command)))
    for sync in sync_calls(51):
        sync(7)
    assert asked == [(7, 51), (7, 51)]
    assert sync_calls(None) == (os.fdatasync, os.fsync)


def test_large_files_go_out_in_pieces(tmp_path: Path) -> None:
    """STORE-13: a system call takes 2 GiB at most."""
    sizes: list[int] = []

    class Watching(Disk):
        def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
            sizes.append(len(data))
            super().write(fd, data, offset)

    store = file_store(Watching(), tmp_path / "store")
    store.load()
    store.write([append(1, command()), compact(1, bytes(3_000_000))])
    store.close()
    assert max(sizes) == 1 << 20
    assert sum(sizes) > 3_000_000
