"""Disks that fail: Raft ends on this node, and everybody who waits is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from casty import CommitUncertainError, StorageError, UnusableStoreError
from casty.storage.files import FileStore
from casty.storage.memory import MemoryStore
from tests.cluster.harness import BOUND, Cart, cluster, durable, node, until, within

if TYPE_CHECKING:
    from pathlib import Path


class Failing:
    """Makes every later write of a store fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
        self.on = False
        write = kind.write  # type: ignore[attr-defined]

        def failing(store: Any, writes: Any) -> None:
            if self.on:
                raise StorageError("the disk is on fire")
            write(store, writes)

        monkeypatch.setattr(kind, "write", failing)


@pytest.mark.parametrize("kind", [FileStore, MemoryStore])
async def test_a_disk_error_ends_the_block_and_everything_that_waits(
    kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PERSIST-4: `async with` raises it, pending calls do, and nothing is acknowledged any more."""
    disk = Failing(monkeypatch, kind)
    directory = tmp_path / "d" if kind is FileStore else None
    begun: list[asyncio.Task[bool]] = []
    alone = node(size=1, node_id="n1", persistence_dir=directory)
    with pytest.raises(StorageError, match="on fire"):  # noqa: PT012 (the block is what raises)
        async with alone:
            await alone.wait_ready(BOUND)
            disk.on = True
            begun.append(asyncio.create_task(alone.append_command("x", timeout=None)))
            begun.append(asyncio.create_task(alone.append_command("y", timeout=None)))
            await asyncio.sleep(BOUND)
    for call in begun:
        with pytest.raises(CommitUncertainError, match=r"may be committed yet; Raft has ended .* on fire"):
            await call
    assert not alone.is_leader
    with pytest.raises(StorageError):
        await alone.append_command("z")


async def test_a_disk_error_ends_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PERSIST-4."""
    disk = Failing(monkeypatch, FileStore)
    disk.on = True
    alone = node(size=1, persistence_dir=tmp_path / "d")
    with pytest.raises(StorageError, match="on fire"):
        await within(alone.serve())


async def test_an_error_of_the_block_itself_is_not_hidden_by_the_disks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PERSIST-4: the block's own exception, and somebody else's cancellation, pass through."""
    disk = Failing(monkeypatch, FileStore)
    disk.on = True
    with pytest.raises(LookupError):  # noqa: PT012 (the block is what raises)
        async with node(size=1, persistence_dir=tmp_path / "d") as alone:
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(BOUND)
            assert alone.failure.error is not None
            raise LookupError
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0

    async def block() -> None:
        async with node(size=1, persistence_dir=tmp_path / "d") as alone:
            await until(lambda: alone.failure.error is not None)

    with pytest.raises(StorageError):
        await block()

    async def cancelled() -> None:
        async with node(size=1, persistence_dir=tmp_path / "d"):
            task = asyncio.current_task()
            assert task is not None
            try:
                await asyncio.sleep(BOUND)
            except asyncio.CancelledError:
                task.cancel()  # somebody else's
                raise

    running = asyncio.create_task(cancelled())
    with pytest.raises(asyncio.CancelledError):
        await running
    assert running.cancelled()


async def test_a_snapshot_that_cannot_be_saved_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SNAP-9: nothing rests on it yet, so Raft goes on, and the next one may fit."""
    save, is_full = FileStore.save_snapshot, True

    def saving(store: FileStore, snapshot: Any) -> None:
        if is_full:
            raise OSError(28, "no space left on device")
        save(store, snapshot)

    monkeypatch.setattr(FileStore, "save_snapshot", saving)
    async with cluster(1, each=durable(tmp_path)) as (alone,):
        Cart(alone)
        assert await alone.append_command({"key": "k", "value": 1})
        with pytest.raises(OSError, match="no space left"):
            await alone.create_snapshot()
        assert await alone.append_command({"key": "k", "value": 2})
        is_full = False
        assert await alone.create_snapshot()


async def test_an_unusable_directory_keeps_the_node_from_starting(tmp_path: Path) -> None:
    """PERSIST-5: in use, or another node's; the lock is gone with its holder, however that ends."""
    async with node(size=1, node_id="a", persistence_dir=tmp_path / "d"):
        with pytest.raises(UnusableStoreError):
            await node(size=1, persistence_dir=tmp_path / "d").serve()
    other = node(size=1, node_id="b", persistence_dir=tmp_path / "d")
    with pytest.raises(UnusableStoreError, match="b"):
        await other.serve()
    starting = asyncio.create_task(node(size=1, persistence_dir=tmp_path / "d").serve())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    async with asyncio.timeout(BOUND):
        while True:
            try:
                async with node(size=1, persistence_dir=tmp_path / "d") as again:
                    assert again.node_id == "a"
                    break
            except UnusableStoreError:
                await asyncio.sleep(0.01)  # the thread that opened it for the cancelled start is closing it
