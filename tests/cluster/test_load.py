"""More commands than a state machine can apply, and callbacks that wait for what waits for them."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from casty import OverloadedError, ReentrancyError
from casty.cluster import machine as machine_module
from casty.cluster.machine import AHEAD_BYTES_MAX, AHEAD_MAX
from tests.cluster.harness import BOUND, cluster, until, within
from tests.cluster.machines import bench


async def test_a_command_that_would_wait_too_long_is_refused() -> None:
    """COMMIT-4: it is told at once, instead of "uncertain" when its time is over; nothing was appended."""
    async with cluster(1) as (alone,):

        async def slowly(command: object) -> None:
            await asyncio.sleep(0.02)

        alone.set_apply_callback(slowly)
        for _ in range(3):
            assert await alone.append_command("a", timeout=BOUND)
        calls = [asyncio.create_task(alone.append_command("b", timeout=BOUND)) for _ in range(50)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match=r"wait for the apply callback, .* the timeout is 0.1 s"):
            await alone.append_command("c", timeout=0.1)
        assert await alone.append_command("d", timeout=None)
        assert await asyncio.gather(*calls) == [True] * 50
        assert alone.raft is not None
        assert alone.raft.log.last_index == 1 + 3 + 50 + 1
        assert await alone.append_command("e", timeout=1)


async def test_there_is_a_limit_to_what_waits_to_be_applied() -> None:
    """COMMIT-4: in commands and in bytes, however patient the callers are."""
    async with bench() as b:
        b.machine.refuse_load(AHEAD_MAX + 1, None)  # nothing waits for a callback that is not there
        go = asyncio.Event()

        async def apply(command: object) -> None:
            await go.wait()

        b.machine.set_apply_callback(apply)
        b.machine.refuse_load(AHEAD_MAX, None)
        with pytest.raises(OverloadedError, match="65,537 commands"):
            b.machine.refuse_load(AHEAD_MAX + 1, None)
        b.commit(1, bytes(AHEAD_BYTES_MAX), "x")
        with pytest.raises(OverloadedError, match=r"2 commands with 67,1.* bytes"):
            b.machine.refuse_load(2, None)
        go.set()
        await b.applied(2)
        b.machine.refuse_load(0, 0.0)


async def test_a_snapshot_under_way_stops_no_command() -> None:
    """SNAP-9: one that is wanted while another is saved is taken after it; commands go on meanwhile."""
    async with bench() as b:
        await b.ready_for_snapshots()
        b.may_save.clear()
        first = b.machine.create_snapshot()
        await until(lambda: b.machine._is_saving)
        b.commit(2, "b")
        await b.applied(2)
        second = b.machine.create_snapshot()
        b.commit(3, "c", "d")
        await b.applied(4)
        b.may_save.set()
        assert await within(first)
        assert await within(second)
        assert [index for index, _ in b.saved] == [1, 4]


async def test_members_take_their_snapshots_apart() -> None:
    """SNAP-9: equal disks would be full at the same moment."""
    made: list[list[int]] = []
    for seed in range(4):
        async with bench(snapshot_every=40, random=Random(seed)) as b:
            b.machine.set_apply_callback(lambda command: None)
            b.machine.set_snapshot_callbacks(bytes, lambda data: None)
            for index in range(1, 121):
                b.commit(index, "x")
                await b.applied(index)
            await until(lambda: not b.machine._is_saving)
            made.append([index for index, _ in b.saved])
    assert len({tuple(each) for each in made}) > 1
    assert all(
        30 <= later - earlier <= 40 for each in made for earlier, later in zip([0, *each], each, strict=False)
    )


async def test_a_snapshot_is_due_after_so_many_bytes() -> None:
    """SNAP-9: few large commands fill a disk, too; a large state is not written for each of them."""
    async with bench(snapshot_every=1_000_000) as b:
        size = machine_module.SNAPSHOT_BYTES // 4
        b.machine.set_apply_callback(lambda command: None)
        b.machine.set_snapshot_callbacks(lambda: bytes(2 * machine_module.SNAPSHOT_BYTES), lambda data: None)
        for index in range(1, 14):
            b.commit(index, bytes(size))
            await b.applied(index)
            await until(lambda: not b.machine._is_saving)
        assert [index for index, _ in b.saved] == [4, 12]


async def test_a_task_of_a_callback_that_is_waited_for_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """ACTOR-36: it would wait for the callback, and that for it; nothing is appended."""
    monkeypatch.setattr(machine_module, "CALLBACK_SECONDS", 0.05)
    async with cluster(1) as (alone,):
        told: list[BaseException] = []

        async def apply(command: object) -> None:
            if command == "begin":
                try:
                    await asyncio.create_task(alone.append_command("from within", timeout=None))
                except ReentrancyError as error:
                    told.append(error)

        alone.set_apply_callback(apply)
        assert await within(alone.append_command("begin", timeout=None))
        assert "has started calls append_command()" in str(told[0])
        assert alone.raft is not None
        assert alone.raft.log.last_index == 2


async def test_a_task_that_a_callback_leaves_behind_may_append() -> None:
    """ACTOR-36: when the callback has returned, nothing waits for anything."""
    async with cluster(1) as (alone,):
        seen: list[object] = []
        later: list[asyncio.Task[bool]] = []

        async def apply(command: object) -> None:
            seen.append(command)
            if command == "begin":
                later.append(asyncio.create_task(alone.append_command("later", timeout=None)))
                await asyncio.sleep(0.01)

        alone.set_apply_callback(apply)
        assert await within(alone.append_command("begin", timeout=None))
        assert await within(later[0])
        assert seen == ["begin", "later"]
