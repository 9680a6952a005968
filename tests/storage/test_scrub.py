"""Damage that is found while the server runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from casty.storage.files import FileStore
from casty.storage.segments import Sizes, closed_names
from tests.storage.histories import ME, append, commands, compact

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator
    from pathlib import Path

FAST = 1 << 40


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FileStore]:
    """A store with three closed segments and a snapshot."""
    made = FileStore.open(tmp_path / "store", ME, sizes=Sizes(4096, 1024))
    made.load()
    for index in range(1, 16):
        made.write([append(index, *commands(1, 900))])
    made.write([compact(3, b"state" * 1000, base=0)])
    yield made
    made.close()


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Iterator[threading.Event]:
    """Set at the first line of the log at ERROR."""
    seen = threading.Event()
    caplog.handler.addFilter(filter_ := _Seen(seen))
    yield seen
    caplog.handler.removeFilter(filter_)


class _Seen:
    def __init__(self, seen: threading.Event) -> None:
        self._seen = seen

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelname == "ERROR":
            self._seen.set()
        return True


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("what", ["segment", "snapshot"])
def test_damage_is_named_with_its_file_and_offset(
    store: FileStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, errors: threading.Event, what: str
) -> None:
    """STORE-17: once for each file, however often it is read again; the store goes on."""
    path = tmp_path / "store"
    names = closed_names([file.name for file in path.iterdir()])
    damaged = path / names[1] if what == "segment" else next(path.glob("*.snap"))
    flip(damaged, 1500)
    store.scrub(FAST, pause_seconds=0.001)
    assert errors.wait(20)
    rounds = [line for line in caplog.messages if "corrupt" in line]
    assert [damaged.name in line for line in rounds] == [True]
    assert ("at offset" in rounds[0]) is (what == "segment")
    store.write([append(16, *commands(1))])


def test_what_is_whole_is_passed_over(
    store: FileStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STORE-17: files that are removed meanwhile, and the segment that is written, are no damage."""
    read, done = store._directory.read_uncached, threading.Semaphore(0)

    def reading(name: str) -> Iterator[bytes]:
        yield from read(name)
        done.release()

    monkeypatch.setattr(store._directory, "read_uncached", reading)
    store.scrub(FAST, pause_seconds=0.001)
    for index in range(16, 40):
        store.write([append(index, *commands(1, 900))])
        if index % 8 == 0:
            store.write([compact(index)])
        assert done.acquire(timeout=20)
    assert caplog.messages == []


def test_a_store_that_is_closed_is_not_read_any_more(store: FileStore) -> None:
    """STORE-17: however slowly it was being read."""
    store.scrub(1, pause_seconds=0.001)
    store.close()
    assert all(thread.name != "casty-scrubber" for thread in threading.enumerate())
