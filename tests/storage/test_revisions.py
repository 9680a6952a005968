"""How far a store has come, and what it remembers of others (STORE-18, STORE-19)."""

from __future__ import annotations

import shutil
from itertools import pairwise
from typing import TYPE_CHECKING

from casty.raft.types import PeerRevision, Write
from casty.storage.disk import Disk
from casty.storage.ledger import BOOTS_MAX
from casty.wire import _protocol
from tests.storage.directories import ROLLED, contents_of, store_with
from tests.storage.histories import SERVERS, append, commands, compact, hard_state
from tests.storage.stores import file_store, loaded

if TYPE_CHECKING:
    from pathlib import Path

    from casty.raft.types import Boot
    from tests.storage.stores import Machine

KNOWN = tuple(
    PeerRevision(server, 7 + at, bytes([at]) * 16, (b"r" * 16,) * at) for at, server in enumerate(SERVERS)
)


def test_a_revision_rises_with_each_start_and_each_write(machine: Machine) -> None:
    """STORE-18: also with a start that writes nothing else."""
    revisions = [0]
    for _ in range(3):
        store = loaded(machine)
        revisions.append(store.revision)
        for write in (hard_state(3), append(1, *commands(2))):
            store.write([write])
            revisions.append(store.revision)
        store.close()
        assert loaded_and_closed(machine) > revisions[-1]
        revisions.append(loaded_and_closed(machine))
    assert all(later > earlier for earlier, later in pairwise(revisions))


def loaded_and_closed(machine: Machine) -> int:
    store = loaded(machine)
    revision = store.revision
    store.close()
    return revision


def test_a_revision_outlives_the_segments_it_was_counted_in(tmp_path: Path) -> None:
    """STORE-18: each segment says how many records there were before it."""
    path = store_with(tmp_path / "store", *ROLLED)
    segments = len(contents_of(path))
    store = file_store(Disk(), path)
    store.load()
    assert store.revision == len(ROLLED) + 2
    store.write([compact(store_end(path))])
    store.close()
    assert len([name for name in contents_of(path) if name.endswith((".log", ".open"))]) < segments
    store = file_store(Disk(), path)
    store.load()
    assert store.revision == len(ROLLED) + 4
    store.close()


def store_end(path: Path) -> int:
    """Where the log of the copy ends; the store itself is in use."""
    copy = path.with_name("copy of it")
    shutil.copytree(path, copy)
    store = file_store(Disk(), copy)
    recovered = store.load()
    store.close()
    return len(recovered.entries)


def test_an_older_copy_has_a_lower_revision(tmp_path: Path) -> None:
    """STORE-18: whenever it was made, and even where the process that went on was never started again."""
    path, copy = tmp_path / "store", tmp_path / "copy"
    store = file_store(Disk(), path)
    store.load()
    store.write([append(1, *commands(3))])
    shutil.copytree(path, copy)  # while it runs
    store.write([append(4, *commands(1))])
    said = store.revision
    store.close()
    older = file_store(Disk(), copy)
    older.load()
    assert older.revision <= said
    older.close()
    same = file_store(Disk(), path)
    same.load()
    assert same.revision > said
    same.close()


def test_a_store_remembers_its_latest_boots(machine: Machine) -> None:
    """STORE-18, HELLO-10: each with the revision that its start made; the oldest are left out."""
    found: list[Boot] = []
    for count in range(1, BOOTS_MAX + 3):
        store = machine.open()
        boots = store.load().boots
        assert len(boots) == min(count, BOOTS_MAX)
        assert list(boots[1:]) == found[: BOOTS_MAX - 1]
        assert boots[0].revision == store.revision
        found.insert(0, boots[0])
        store.write([append(1, *commands(1))])
        store.close()
    assert len({boot.boot_id for boot in found}) == len(found)
    assert BOOTS_MAX == _protocol.BOOTS_MAX


def test_what_is_known_of_others_is_remembered(machine: Machine) -> None:
    """STORE-19: the newest of it, whole, beside whatever else is written."""
    store = loaded(machine)
    store.write([Write(0, peers=KNOWN[:1])])
    store.write([append(1, *commands(1)), Write(0, peers=KNOWN)])
    store.write([append(2, *commands(1))])
    store.close()
    store = machine.open()
    assert store.load().peers == KNOWN
    store.close()


def test_what_is_known_of_others_outlives_the_segment_it_was_written_in(tmp_path: Path) -> None:
    """STORE-19: each segment begins with it."""
    path = store_with(tmp_path / "store", Write(0, peers=KNOWN), *ROLLED, compact(3))
    store = file_store(Disk(), path)
    store.load()
    store.write([compact(store_end(path) + 3)])
    store.close()
    store = file_store(Disk(), path)
    assert store.load().peers == KNOWN
    store.close()
