"""A node leaves its disk in time, and a disk that comes back later is left in order all the same."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from casty import CommitUncertainError, UnusableStoreError
from casty.cluster import storeroom
from casty.cluster.errand import run_errand
from casty.storage.disk import Disk
from casty.storage.files import FileStore
from tests.cluster.harness import BOUND, node, until, within

if TYPE_CHECKING:
    from pathlib import Path


class Stuck:
    """Makes one call of all disks wait until it is let go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.is_stuck = False
        plain = getattr(Disk, call)

        def instead(disk: Disk, *args: Any) -> Any:
            if self.is_stuck:
                self.entered.set()
                assert self.go_on.wait(BOUND)
            return plain(disk, *args)

        monkeypatch.setattr(Disk, call, instead)


@pytest.mark.parametrize("call", ["sync_data", "rename"])
async def test_a_shutdown_waits_for_a_disk_that_hangs_but_not_for_ever(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule 24: nobody else can have the directory until the disk goes on; then anybody can."""
    monkeypatch.setattr(storeroom, "LEAVE_SECONDS", 0.05)
    stuck = Stuck(monkeypatch, call)
    async with node(size=1, node_id="n", persistence_dir=tmp_path) as system:
        system.set_apply_callback(lambda command: None)
        system.set_snapshot_callbacks(lambda: b"state", lambda state: None)
        await system.wait_ready()
        assert await system.append_command(1)
        stuck.is_stuck = True
        work: list[asyncio.Task[bool]] = [asyncio.create_task(system.append_command(2))]
        if call == "rename":  # of a snapshot that has been written
            await work[0]
            work.append(asyncio.create_task(system.create_snapshot()))
        await until(stuck.entered.is_set)
        await within(system.shutdown())
        outcomes = await asyncio.gather(*work, return_exceptions=True)
    assert "the disk of node n has hung for" in caplog.text
    assert isinstance(outcomes[0], CommitUncertainError) is (call == "sync_data")
    with pytest.raises(UnusableStoreError, match="in use"):
        await node(size=1, persistence_dir=tmp_path).serve()
    stuck.is_stuck = False
    stuck.go_on.set()
    await until(lambda: _is_free(tmp_path), "the directory is free")


def _is_free(path: Path) -> bool:
    try:
        FileStore.open(path, None).close()
    except UnusableStoreError:
        return False
    return True


async def test_a_disk_in_order_is_left_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rule 24."""
    async with node(size=1, persistence_dir=tmp_path) as system:
        await system.wait_ready()
    assert _is_free(tmp_path)
    assert "hung" not in caplog.text


async def test_an_errand_brings_back_what_its_call_returns_or_raises() -> None:
    """What blocks, blocks a thread of its own."""
    assert await run_errand(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await run_errand(divmod, 7, 0)


async def test_nobody_waits_for_the_thread_of_an_errand_that_was_cancelled() -> None:
    """Nor does a process that ends: the thread is a daemon."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def work() -> None:
        threads.append(threading.current_thread())
        begun.set()
        assert go_on.wait(BOUND)
        ended.set()

    errand = run_errand(work)
    await until(begun.is_set)
    errand.cancel()
    with pytest.raises(asyncio.CancelledError):
        await errand
    assert threads[0].daemon
    go_on.set()
    await until(ended.is_set)


def test_an_errand_that_outlives_its_loop_ends_quietly() -> None:
    """There is nobody left to tell."""
    go_on = threading.Event()

    async def leave() -> threading.Thread:
        before = set(threading.enumerate())
        run_errand(go_on.wait, BOUND)
        (thread,) = set(threading.enumerate()) - before
        return thread

    thread = asyncio.run(leave())
    go_on.set()
    thread.join(BOUND)
    assert not thread.is_alive()
