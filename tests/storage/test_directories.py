"""A store's directory: whose it is, who may use it, and what is kept in it (STORE-1, STORE-13, STORE-16)."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import stat
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING

import pytest

from casty.errors import StorageError, UnusableStoreError
from casty.raft.types import HardState, NodeId, Term
from casty.storage.disk import Disk
from casty.storage.files import FileStore
from casty.storage.records import Chain, RecordType
from tests.storage.directories import FIRST, ROLLED, SNAPSHOT, contents_of, recovered_from, store_with
from tests.storage.histories import ME, append, commands, compact, hard_state, snapshot
from tests.storage.stores import file_store

consume = deque[None](maxlen=0).extend

if TYPE_CHECKING:
    from pathlib import Path

    from casty.raft.types import StoreId


def test_everything_is_for_the_owner_alone(tmp_path: Path) -> None:
    """STORE-1: also what is made while the umask allows more, and directories on the way."""
    before = os.umask(0)
    try:
        path = store_with(tmp_path / "a" / "b", *ROLLED, compact(3))
    finally:
        os.umask(before)
    assert [place.stat().st_mode & 0o777 for place in (path.parent, path)] == [0o700] * 2
    files = {file.name: file.stat().st_mode & 0o777 for file in path.iterdir()}
    assert set(files.values()) == {0o600}
    assert len(files) == 5


def test_a_directory_is_used_by_one_process(tmp_path: Path) -> None:
    """STORE-16: the refusal names the other, as far as it is known; and a lock file can be removed."""
    path = store_with(tmp_path / "store")
    script = "import sys; from casty.storage.files import FileStore; FileStore.open(sys.argv[1], sys.argv[2])"
    store = file_store(Disk(), path)
    try:
        command_line = [sys.executable, "-c", script, str(path), ME]
        other = subprocess.run(command_line, capture_output=True, text=True, timeout=30, check=False)
        assert f"UnusableStoreError: {path}: in use by process {os.getpid()}; expected no other" in other.stderr
        (path / "lock").unlink()
        other = subprocess.run(command_line, capture_output=True, text=True, timeout=30, check=False)
        assert f"UnusableStoreError: {path}: in use by another process; expected no other" in other.stderr
        (tmp_path / "linked").symlink_to(path)
        for place in (path, tmp_path / "linked"):
            with pytest.raises(UnusableStoreError, match=rf"in use by this process \({os.getpid()}\)"):
                file_store(Disk(), place)
    finally:
        store.close()
    assert subprocess.run(command_line, capture_output=True, timeout=30, check=False).returncode == 0


def test_a_directory_locked_by_an_older_version_is_in_use(tmp_path: Path) -> None:
    """STORE-16: such a version locks the file alone; what the file says was true of another process once."""
    path = store_with(tmp_path / "store")
    with (path / "lock").open("r+") as file:
        ended = subprocess.Popen(["true"])
        ended.wait()
        file.write(f"{ended.pid}\n")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        words = f"in use by a process that {ended.pid} forked before it ended, or by one on another machine"
        with pytest.raises(UnusableStoreError, match=words):
            file_store(Disk(), path)
    recovered_from(path)


def test_a_directory_that_cannot_be_locked_itself_is_locked_by_its_file(tmp_path: Path) -> None:
    """STORE-16: as on NFS, which locks only what is open for writing."""
    path = store_with(tmp_path / "store")

    def flock(fd: int, operation: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EBADF, "bad file descriptor")
        real(fd, operation)

    real = fcntl.flock
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        store = file_store(Disk(), path)
        with pytest.raises(UnusableStoreError, match="in use by"):
            file_store(Disk(), path)
        store.close()
        file_store(Disk(), path).close()


@pytest.mark.parametrize("change", ["write", "snapshot"])
def test_a_directory_that_came_in_the_place_of_another_is_not_touched(tmp_path: Path, change: str) -> None:
    """STORE-16: it may be another store's by now; STORE-11 for the one that was moved away."""
    path = store_with(tmp_path / "store")
    store = file_store(Disk(), path)
    store.load()
    path.rename(tmp_path / "moved")
    newer = file_store(Disk(), path)
    newer.load()
    before = contents_of(path)
    large = [[append(index, *commands(1, 1000))] for index in range(1, 20)]
    writes = large if change == "write" else [[append(1, *commands(1))], [compact(1)]]
    with pytest.raises(StorageError, match="no longer the directory that was opened and locked there"):
        consume(map(store.write, writes))
    assert contents_of(path) == before
    store.close()
    newer.close()


def test_a_directory_belongs_to_one_node(tmp_path: Path) -> None:
    """STORE-1: the refusal names both."""
    path = store_with(tmp_path / "store", hard_state(3))
    store_id = recovered_from(path).store_id
    store = FileStore.open(path, NodeId("node-2"))
    with pytest.raises(UnusableStoreError) as refused:
        store.load()
    store.close()
    assert str(refused.value) == f"{path}: belongs to node node-1 (store {store_id.hex()}); this is node node-2"
    assert recovered_from(path).hard_state.term == 3


def test_a_directory_remembers_its_node(tmp_path: Path) -> None:
    """STORE-1: so that nobody has to say twice whose it is; the default is for a new one."""
    path = tmp_path / "store"
    for given, default in ((None, ME), (None, NodeId("other")), (None, None), (ME, NodeId("other"))):
        store = FileStore.open(path, given, default_node_id=default)
        assert store.node_id == ME
        store.load()
        store.close()


@pytest.mark.parametrize(
    "content", [b"", b"garbage that is no record", Chain().append(RecordType.SEGMENT, b"")]
)
def test_a_directory_that_does_not_say_whose_it_is_is_refused(tmp_path: Path, content: bytes) -> None:
    """STORE-7: with the file and the offset; and the lock is let go."""
    path = store_with(tmp_path / "store")
    (path / FIRST).write_bytes(content)
    for _ in range(2):
        with pytest.raises(UnusableStoreError, match=r"0000000001.open: corrupt at offset 0: "):
            FileStore.open(path, None)


def test_two_stores_have_different_ids(tmp_path: Path) -> None:
    """STORE-1: unless told otherwise, the system draws them."""
    ids: set[StoreId] = set()
    for name in ("a", "b"):
        store = FileStore.open(tmp_path / name, ME)
        ids.add(store.load().store_id)
        store.close()
    assert len(ids) == 2


def test_a_file_is_not_a_directory(tmp_path: Path) -> None:
    """STORE-1: nor is what lies below one."""
    file = tmp_path / "file"
    file.write_bytes(b"precious")
    for path in (file, file / "below"):
        with pytest.raises(UnusableStoreError, match=re.escape(str(path))):
            FileStore.open(path, ME)
    assert file.read_bytes() == b"precious"


def test_a_directory_that_may_not_be_used_is_refused(tmp_path: Path) -> None:
    """STORE-1."""

    class Forbidden(Disk):
        def names(self, path: Path) -> list[str]:
            raise PermissionError(13, "permission denied", str(path))

    store = FileStore.open(tmp_path / "store", ME, disk=Forbidden())
    with pytest.raises(UnusableStoreError, match="permission denied"):
        store.load()
    with pytest.raises(StorageError, match="nothing was done; the store has stopped"):
        store.load()
    store.close()


def test_other_files_are_let_alone(tmp_path: Path) -> None:
    """STORE-1: a directory that held something before is used, and what it held stays."""
    path = tmp_path / "store"
    path.mkdir()
    names = ("notes.txt", "1.log", "00000000000000000001.snap", "00000000001.open", "notes.tmp")
    for name in names:
        (path / name).write_text("mine")
    store_with(path, *ROLLED, compact(11))
    assert len(recovered_from(path).entries) == 1
    assert [(path / name).read_text() for name in names] == ["mine"] * len(names)


def test_a_segment_larger_than_the_limit_holds_one_record(tmp_path: Path) -> None:
    """STORE-10, STORE-18: and no segment is made to stay empty. The first holds the record of the start."""
    path = store_with(tmp_path / "store", *(append(n, *commands(1, 9000)) for n in (1, 2, 3)))
    assert sorted(contents_of(path)) == [*(f"000000000{n}.log" for n in (1, 2, 3)), "0000000004.open"]


def test_what_crashes_have_left_is_removed(tmp_path: Path) -> None:
    """STORE-13: unfinished files, and snapshots the log does not refer to."""
    path = store_with(tmp_path / "store", append(1, *commands(5)), compact(3))
    store = file_store(Disk(), path)
    store.load()
    store.save_snapshot(snapshot(5))
    store.close()
    (path / "0000000002.open.tmp").write_bytes(b"half a he")
    assert len(contents_of(path)) == 4
    assert recovered_from(path).snapshot == snapshot(3)
    assert len(contents_of(path)) == 2


def test_what_a_crash_has_left_of_a_new_store_is_removed(tmp_path: Path) -> None:
    """STORE-1: it had not been made."""
    path = tmp_path / "store"
    path.mkdir()
    (path / "0000000001.open.tmp").write_bytes(b"half a he")
    recovered_from(path)
    assert list(contents_of(path)) == [FIRST]


def test_superseded_files_are_removed(tmp_path: Path) -> None:
    """STORE-13: the segments and snapshots that a newer snapshot covers, at once."""
    path = store_with(tmp_path / "store", *ROLLED, compact(3), compact(9))
    assert sorted(contents_of(path))[1:] == ["0000000003.log", "0000000004.open"]
    assert len(contents_of(path)) == 3
    assert len(recovered_from(path).entries) == 3


def test_a_snapshot_that_is_newer_stays(tmp_path: Path) -> None:
    """STORE-13: it may have been saved for the write after this one."""
    path = tmp_path / "store"
    store = file_store(Disk(), path)
    store.load()
    store.write([append(1, *commands(9))])
    store.save_snapshot(snapshot(8))
    store.write([compact(4)])
    assert len([name for name in contents_of(path) if SNAPSHOT.fullmatch(name)]) == 2
    store.write([compact(8)])
    assert len([name for name in contents_of(path) if SNAPSHOT.fullmatch(name)]) == 1
    store.close()
    assert recovered_from(path).snapshot == snapshot(8)


def test_recovery_is_one_line_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="casty.storage")
    path = store_with(tmp_path / "store", append(1, *commands(5)), hard_state(7), compact(2))
    caplog.clear()
    store_id = recovered_from(path).store_id
    (line,) = caplog.messages
    assert line == f"{path}: recovered store {store_id.hex()}: term 7, log 3 to 5, revision 4"


def test_the_default_sizes_work(tmp_path: Path) -> None:
    """STORE-5: a file grows in steps, and is read without its room."""
    path = tmp_path / "store"
    store = FileStore.open(path, ME)
    store.load()
    sizes: set[int] = set()
    for index in range(1, 300):
        store.write([append(index, *commands(1, 2000))])
        sizes.add((path / FIRST).stat().st_size)
    store.close()
    assert sizes == {256 << 10, 512 << 10, 768 << 10}
    store = FileStore.open(path, ME)
    assert len(store.load().entries) == 299
    store.close()


def test_a_term_that_is_no_number_never_reaches_the_disk(tmp_path: Path) -> None:
    """STORE-11: what cannot be written ends the store, for nobody knows what to make of it."""
    path = tmp_path / "store"
    store = file_store(Disk(), path)
    store.load()
    with pytest.raises(TypeError, match="18446744073709551616 cannot be stored"):
        store.write([hard_state(2**64)])
    with pytest.raises(StorageError, match="nothing was done"):
        store.write([hard_state(1)])
    store.close()
    assert recovered_from(path).hard_state == HardState(Term(0))
