"""What a node has when it comes back: its log, its snapshot, its place in the cluster."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import TYPE_CHECKING

import pytest

from casty import StorageError
from tests.cluster.harness import (
    BOUND,
    Cart,
    Recorder,
    append,
    cluster,
    durable,
    leader_of,
    node,
    others,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from casty import DistributedActorSystem


def _base(system: DistributedActorSystem) -> int:
    return system.raft.log.base_index if system.raft is not None else 0


async def test_a_cluster_that_restarts_as_a_whole_has_lost_nothing(tmp_path: Path) -> None:
    """PERSIST-1, COMMIT-3, LAUNCH-6: nodes are who they were, and commands are applied again from the start."""
    async with cluster(each=durable(tmp_path)) as nodes:
        leader = await leader_of(nodes)
        assert await asyncio.gather(*(leader.append_command(n) for n in range(20))) == [True] * 20
        assert leader.persistence_dir == tmp_path / str(leader.node_id)
        before = {each.me for each in nodes}
        term = leader.raft.status().term if leader.raft is not None else 0
    async with cluster(each=lambda n: {**durable(tmp_path)(n), "node_id": None}) as nodes:
        machines = [Recorder(each) for each in nodes]
        assert {each.me for each in nodes} == before
        leader = await append(nodes, "again")
        await until(lambda: all(machine.commands == [*range(20), "again"] for machine in machines))
        assert leader.raft is not None
        assert leader.raft.status().term > term


async def test_a_follower_that_was_away_catches_up(tmp_path: Path) -> None:
    """PERSIST-1, LEADER-5."""
    async with cluster(each=durable(tmp_path)) as nodes:
        leader = await append(nodes, 0)
        away = others(nodes, leader)[0]
        name = away.identity.node_id
        await away.shutdown()
        for number in range(1, 30):
            assert await leader.append_command(number)
        back = node(leader, persistence_dir=tmp_path / name)
        machine = Recorder(back)
        async with back:
            await until(lambda: machine.commands == list(range(30)))
            assert back.node_id == name


async def test_a_snapshot_replaces_the_log_and_survives_a_restart(tmp_path: Path) -> None:
    """SNAP-9, COMMIT-3; rules 59, 60: on followers, too."""
    async with cluster(each=durable(tmp_path)) as nodes:
        carts = [Cart(each) for each in nodes]
        leader = await leader_of(nodes)
        for number in range(10):
            assert await leader.append_command({"key": f"k{number % 3}", "value": number})
        await until(lambda: all(each.last_applied == 11 for each in nodes))
        for each in nodes:
            assert await each.create_snapshot() is True
            await until(lambda each=each: _base(each) == 11)  # type: ignore[misc]
            assert await each.create_snapshot() is False
        assert await leader.append_command({"key": "last", "value": 1})
        await until(lambda: all("last" in cart.state for cart in carts))
        state = carts[0].state
    async with cluster(each=durable(tmp_path)) as nodes:
        carts = [Cart(each) for each in nodes]
        await append(nodes, {"key": "more", "value": 2})
        await until(lambda: all(cart.state == {**state, "more": 2} for cart in carts))
        assert [cart.restored for cart in carts] == [1, 1, 1]


async def test_who_fell_behind_the_log_gets_the_snapshot_in_chunks(tmp_path: Path) -> None:
    """SNAP-2, SNAP-4, SNAP-8, the limit chunk_bytes_max."""
    async with cluster(each=durable(tmp_path), max_frame_size=64 << 10) as nodes:
        carts = {each.node_id: Cart(each) for each in nodes}
        leader = await append(nodes, {"key": "a", "value": "x"})
        away = others(nodes, leader)[0]
        name = away.identity.node_id
        await away.shutdown()
        for number in range(10):
            assert await leader.append_command({"key": f"k{number}", "value": "y" * 30_000})
        for each in others(nodes, away):
            await until(lambda each=each: each.last_applied == leader.commit_index)  # type: ignore[misc]
            assert await each.create_snapshot()
        back = node(leader, persistence_dir=tmp_path / name, max_frame_size=64 << 10)
        cart = Cart(back)
        async with back:
            await until(lambda: cart.state == carts[leader.node_id].state)
            assert cart.restored == 1
            assert back.raft is not None
            assert leader.raft is not None
            assert back.raft.log.base_index == leader.raft.status().snapshot_index
            assert await leader.append_command({"key": "z", "value": 1})
            await until(lambda: "z" in cart.state)


async def test_an_entry_that_no_longer_fits_a_frame_ends_no_leader(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """LEADER-8: `max_frame_size` was lowered since; who lacks the entry goes without, and nobody else."""
    async with cluster(each=durable(tmp_path), max_frame_size=1 << 20) as nodes:
        leader = await leader_of(nodes)
        away, third = others(nodes, leader)
        await away.shutdown()
        assert await leader.append_command("x" * 100_000)
        await until(lambda: third.commit_index == leader.commit_index)
    async with contextlib.AsyncExitStack() as stack:
        again: list[DistributedActorSystem] = []
        for name in (leader.node_id, third.node_id, away.node_id):
            one = node(*again[:1], persistence_dir=tmp_path / str(name), max_frame_size=64 << 10)
            again.append(await stack.enter_async_context(one))
        await until(lambda: "cannot be brought up to date" in caplog.text)
        await append(again, "y")
        assert [one.failure.error for one in again] == [None] * 3


async def test_snapshot_every_compacts_the_log_by_itself(tmp_path: Path) -> None:
    """SNAP-9."""
    async with cluster(1, each=durable(tmp_path), snapshot_every=5) as (alone,):
        Cart(alone)
        for number in range(23):
            assert await alone.append_command({"key": "k", "value": number})
        raft = alone.raft
        assert raft is not None
        await until(lambda: raft.log.base_index >= 20)
        assert raft.log.last_index == 24


async def test_a_snapshot_that_no_member_would_accept_is_not_taken() -> None:
    """SNAP-3, limit snapshot_bytes_max: with the log gone, whoever is behind could never be caught up."""
    alone = node(size=1)
    alone.options = dataclasses.replace(alone.options, snapshot_bytes_max=9)
    sizes = [10, 9]
    alone.set_apply_callback(lambda command: None)
    alone.set_snapshot_callbacks(lambda: bytes(sizes.pop(0)), lambda data: None)
    async with alone:
        await alone.wait_ready(BOUND)
        await append([alone], 1)
        with pytest.raises(ValueError, match="the snapshot has 10 bytes; the limit is 9"):
            await alone.create_snapshot()
        before = _base(alone)
        assert await alone.create_snapshot()
        await until(lambda: _base(alone) > before == 0)


async def test_a_restored_state_that_raises_ends_raft_on_this_node(tmp_path: Path) -> None:
    """Rule 60: there is no state to apply anything to; `async with` raises why."""
    async with cluster(1, each=durable(tmp_path)) as (alone,):
        Cart(alone)
        assert await alone.append_command({"key": "k", "value": 1})
        assert await alone.create_snapshot()
    again = node(size=1, persistence_dir=tmp_path / "n1")

    def restore(data: bytes) -> None:
        raise ValueError("no sense")

    again.set_apply_callback(lambda command: None)
    again.set_snapshot_callbacks(bytes, restore)
    with pytest.raises(StorageError, match=r"the snapshot that ends at 2 cannot be restored.*no sense"):
        async with again:
            await asyncio.sleep(BOUND)
