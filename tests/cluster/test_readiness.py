"""`wait_ready()`: a leader is known, and all that was committed before the call is applied here."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from casty import ApplyError, CommitUncertainError, StorageError, SystemStoppedError
from casty.raft.types import NodeId
from casty.wire import _protocol as p
from tests.cluster.harness import (
    BOUND,
    Cart,
    Recorder,
    accepted,
    append,
    cluster,
    durable,
    leader_of,
    node,
    others,
    until,
    within,
)
from tests.support import settle

if TYPE_CHECKING:
    from pathlib import Path

    from casty import DistributedActorSystem


async def filled(directory: Path, commands: int) -> None:
    """Leaves the disks of three nodes that have applied so many commands, half of them in a snapshot."""
    async with cluster(each=durable(directory)) as nodes:
        carts = [Cart(each) for each in nodes]
        leader = await leader_of(nodes)
        for half in (range(commands // 2), range(commands // 2, commands)):
            appended = await asyncio.gather(
                *(
                    leader.append_command({"key": str(number), "value": number}, timeout=BOUND)
                    for number in half
                )
            )
            assert all(appended)
            await until(lambda: len({each.last_applied for each in nodes}) == 1)
            if half.start == 0:
                assert all([await each.create_snapshot() for each in nodes])
        assert all(len(cart.state) == commands for cart in carts)


def restarted(directory: Path, number: int, *seeds: object) -> tuple[DistributedActorSystem, Cart]:
    name = f"n{number}"
    again = node(*seeds, node_id=name, persistence_dir=directory / name)
    return again, Cart(again)


async def test_a_node_that_restarts_alone_is_not_ready_and_says_what_is_missing(tmp_path: Path) -> None:
    """[ACTOR-38], FORM-6: a snapshot says that the cluster has formed, and not that a leader is there."""
    await filled(tmp_path, 20)
    alone, cart = restarted(tmp_path, 1)
    async with alone:
        with pytest.raises(TimeoutError) as raised:
            await alone.wait_ready(0.05)
        assert str(raised.value) == (
            "this node has heard of no leader within 0.05 s: it is a member of the cluster of n1, n2, n3, "
            "of which n1 are connected, and 2 are needed to elect one"
        )
        waiting = asyncio.create_task(alone.wait_ready(BOUND))
        second, other = restarted(tmp_path, 2, alone)
        async with second:
            await within(second.wait_ready())
            assert len(other.state) == 20
            await waiting
            assert len(cart.state) == 20
            assert alone.leader_id == second.leader_id is not None
            assert alone.is_leader is not second.is_leader


async def test_all_that_was_committed_is_applied_when_the_wait_ends(tmp_path: Path) -> None:
    """[ACTOR-38], COMMIT-3: on every node, the leader and the followers, after a restart of all."""
    await filled(tmp_path, 300)
    async with contextlib.AsyncExitStack() as stack:
        nodes: list[DistributedActorSystem] = []
        carts: list[Cart] = []
        for number in (1, 2, 3):
            again, cart = restarted(tmp_path, number, *nodes[:1])
            nodes.append(await stack.enter_async_context(again))
            carts.append(cart)

        async def counted(each: DistributedActorSystem, cart: Cart) -> int:
            await each.wait_ready(BOUND)
            return len(cart.state)

        assert await asyncio.gather(*map(counted, nodes, carts)) == [300] * 3


async def test_a_node_alone_is_ready_when_it_leads_and_has_applied_its_log(tmp_path: Path) -> None:
    """COMMIT-1, LEADER-2: `is_leader` is of use at once."""
    for boot in range(3):
        alone = node(size=1, node_id="n1", persistence_dir=tmp_path / "d")
        recorder = Recorder(alone)
        async with alone:
            await alone.wait_ready(BOUND)
            assert len(recorder.commands) == boot * 50
            assert alone.is_leader
            assert all(await asyncio.gather(*(alone.append_command(number) for number in range(50))))
            await alone.wait_ready(0)  # a leader knows at once


async def test_a_slow_callback_is_waited_for_and_the_timeout_counts(tmp_path: Path) -> None:
    """COMMIT-3: applied, and not merely committed."""
    async with cluster(each=durable(tmp_path)) as nodes:
        for each in nodes:
            each.set_apply_callback(lambda command: None)
        leader = await append(nodes, 0)
        assert all(await asyncio.gather(*(leader.append_command(number) for number in range(1, 30))))
        late = others(nodes, leader)[0]
        await late.shutdown()
        again = node(leader, node_id=late.node_id, persistence_dir=tmp_path / str(late.node_id))
        free = asyncio.Semaphore(0)
        seen: list[Any] = []

        async def apply(command: Any) -> None:
            await free.acquire()
            seen.append(command)

        again.set_apply_callback(apply)
        async with again:
            waiting = [asyncio.create_task(again.wait_ready()) for _ in range(3)]
            for _ in range(16):
                free.release()
            await until(lambda: len(seen) == 16)
            with pytest.raises(TimeoutError) as raised:
                await again.wait_ready(1.0)
            assert str(raised.value).startswith(
                f"this node is not ready within 1 s: leader {leader.node_id} is"
            )
            assert str(raised.value).endswith(
                f" is known; 17 of {leader.commit_index} entries are applied here"
            )
            assert not any(task.done() for task in waiting)
            for _ in range(20):
                free.release()
            await within(asyncio.gather(*waiting))
            assert seen == list(range(30))


async def test_what_was_on_its_way_before_the_call_is_not_enough() -> None:
    """[ACTOR-38], PEER-6: a request that left before the call does not know what was committed meanwhile."""
    async with cluster(election_timeout=5.0) as nodes:
        machines = {each.node_id: Recorder(each) for each in nodes}
        leader = await append(nodes, "first")
        late = others(nodes, leader)[0]
        await late.wait_ready(BOUND)
        link = accepted(late, str(leader.node_id), "raft")
        link.hold()
        assert await leader.append_command("second", timeout=BOUND)  # with the other follower's help
        waiting = asyncio.create_task(late.wait_ready(BOUND))
        await until(lambda: late.ready_waiters)
        request = link._decoder.next_frame()  # the first that waits: it left before the call
        assert request is not None
        assert request.type == p.APPEND_ENTRIES_REQ
        late.link_frame(link, request)
        await settle()
        assert late.commit_index < leader.commit_index
        assert not waiting.done()
        link.release()
        await waiting
        assert machines[late.node_id].commands == ["first", "second"]


async def test_each_node_has_what_was_appended_before_it_was_asked() -> None:
    """Over and over: the leader's answer and a follower's wait are a race that the wait must not lose."""
    async with cluster(heartbeat_interval=0.02) as nodes:
        machines = [Recorder(each) for each in nodes]
        for number in range(25):
            await append(nodes, number)
            await within(asyncio.gather(*(each.wait_ready() for each in nodes)))
            assert [machine.commands[-1] for machine in machines] == [number] * 3


async def test_a_leader_that_is_lost_while_one_waits_is_not_waited_for() -> None:
    """[ACTOR-38], ELECT-1: its successor is as good."""
    async with cluster() as nodes:
        machines = {each.node_id: Recorder(each) for each in nodes}
        leader = await append(nodes, "x")
        left = others(nodes, leader)
        for each in left:
            accepted(each, str(leader.node_id), "raft").hold()
        waiting = [asyncio.create_task(each.wait_ready()) for each in left]
        await until(lambda: all(each.ready_waiters for each in left))
        assert not any(task.done() for task in waiting)
        await leader.shutdown()
        await within(asyncio.gather(*waiting))
        assert [machines[each.node_id].commands for each in left] == [["x"]] * 2
        assert {each.leader_id for each in left} <= {each.node_id for each in left}


async def test_a_leader_without_a_majority_is_not_ready_for_long() -> None:
    """LEADER-4: the limit that the docstring names; then it says so."""
    async with cluster(2, election_timeout=0.2) as nodes:
        leader = await leader_of(nodes)
        await others(nodes, leader)[0].shutdown()
        await until(lambda: not leader.is_leader)
        with pytest.raises(TimeoutError, match=r"heard of no leader .* n1, n2 are connected|of 2"):
            await leader.wait_ready(0.01)


async def test_a_snapshot_that_nothing_restores_is_named(tmp_path: Path) -> None:
    """SNAP-6: nothing can be applied before it."""
    async with cluster(1, each=durable(tmp_path)) as (alone,):
        Cart(alone)
        assert await alone.append_command({"key": "k", "value": 1})
        assert await alone.create_snapshot()
    again = node(size=1, persistence_dir=tmp_path / "n1")
    again.set_apply_callback(lambda command: None)
    async with again:
        await until(lambda: again.is_leader and again.commit_index == 3)
        with pytest.raises(TimeoutError) as raised:
            await again.wait_ready(0.01)
        text = "leader n1 is known; 0 of 3 entries are applied here; a snapshot needs set_snapshot_callbacks()"
        assert str(raised.value) == f"this node is not ready within 0.01 s: {text}"
        restored: list[bytes] = []
        again.set_snapshot_callbacks(bytes, restored.append)
        await again.wait_ready(BOUND)
        assert restored == [b'{"k": 1}']


async def test_a_callback_may_shut_its_node_down() -> None:
    """[ACTOR-27]: the end does not wait for the callback that waits for it."""
    alone = node(size=1, node_id="n1")

    async def apply(command: object) -> None:
        await alone.shutdown()

    alone.set_apply_callback(apply)
    async with alone:
        await alone.wait_ready(BOUND)
        with pytest.raises(CommitUncertainError):
            await within(alone.append_command("x", timeout=None))


async def test_without_a_callback_committed_is_enough_and_a_later_one_gets_it_all() -> None:
    """COMMIT-3."""
    async with cluster() as nodes:
        leader = await append(nodes, "x")
        for each in nodes:
            await each.wait_ready(BOUND)
            assert each.commit_index >= 2
            assert each.last_applied == 0
        recorder = Recorder(others(nodes, leader)[0])
        await others(nodes, leader)[0].wait_ready(BOUND)
        assert recorder.commands == ["x"]


async def test_a_learner_is_ready_when_it_has_its_copy(tmp_path: Path) -> None:
    """FORM-9."""
    async with cluster(each=durable(tmp_path)) as nodes:
        leader = await append(nodes, 1)
        lost = others(nodes, leader)[0]
        await lost.shutdown()
        shutil.rmtree(tmp_path / str(lost.node_id))
        back = node(leader, node_id=lost.node_id, persistence_dir=tmp_path / str(lost.node_id))
        recorder = Recorder(back)
        async with back:
            await back.wait_ready(BOUND)
            assert recorder.commands == [1]


async def test_who_has_waited_leaves_nothing_behind() -> None:
    """Whether it was told, ran out of time, or was cancelled."""
    async with cluster() as nodes:
        follower = others(nodes, await leader_of(nodes))[0]
        await asyncio.gather(*(follower.wait_ready(BOUND) for _ in range(20)))
        with pytest.raises(TimeoutError):
            await follower.wait_ready(0)
        leaving = asyncio.create_task(follower.wait_ready())
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert not follower.ready_waiters
        assert len(follower.pings) == 0
        assert follower.raft is not None
        raft = follower.raft
        await until(lambda: not raft._state.barriers)
        assert not follower.machine._waiting


async def test_a_callback_that_waits_for_itself_is_told_so() -> None:
    """ACTOR-27: nothing would be applied until the callback returns."""
    async with cluster(1) as (alone,):

        async def apply(command: object) -> None:
            await alone.wait_ready()

        alone.set_apply_callback(apply)
        with pytest.raises(ApplyError, match=r"awaits wait_ready\(\), which waits for the callback"):
            await alone.append_command("x", timeout=BOUND)


async def test_a_node_that_is_starting_is_waited_for(tmp_path: Path) -> None:
    """And where the start fails, or the node is shut down, that is said."""
    starting = node(size=1, node_id="n1", persistence_dir=tmp_path / "d")
    serving = asyncio.create_task(starting.serve())
    await asyncio.sleep(0)
    assert starting.raft is None
    await starting.wait_ready(BOUND)
    assert starting.is_leader
    second = node(size=1, node_id="n1", persistence_dir=tmp_path / "d")
    failing = asyncio.create_task(second.serve())
    await asyncio.sleep(0)
    with pytest.raises(SystemStoppedError):
        await second.wait_ready(BOUND)
    with pytest.raises(StorageError):
        await failing
    await starting.shutdown()
    await within(serving)


async def test_a_state_machine_that_fails_while_one_waits_is_told() -> None:
    """PERSIST-4: Raft has ended there."""
    with pytest.raises(StorageError, match="no sense"):  # noqa: PT012 (the block is what raises)
        async with cluster(1) as (alone,):
            go = asyncio.Event()

            async def apply(command: object) -> None:
                await go.wait()

            alone.set_apply_callback(apply)
            appending = asyncio.create_task(alone.append_command("x", timeout=None))
            await until(lambda: alone.commit_index == 2)
            waiting = asyncio.create_task(alone.wait_ready())
            await until(lambda: alone.machine._waiting)
            alone.failure.happen(StorageError("no sense"))
            try:
                await asyncio.sleep(BOUND)
            finally:
                for call in (waiting, appending):
                    with pytest.raises(StorageError, match="no sense"):
                        await call
                go.set()


async def test_a_ping_of_the_sweep_is_not_taken_for_an_answer() -> None:
    """PEER-8: its pong says nothing of what was sent since the call."""
    async with cluster(election_timeout=5.0) as nodes:
        leader = await leader_of(nodes)
        follower = others(nodes, leader)[0]
        link = accepted(follower, str(leader.node_id), "raft")
        link.heard_at -= 60
        link.hold()
        follower._sweep()
        waiting = asyncio.create_task(follower.wait_ready(BOUND))
        await until(lambda: follower.ready_waiters and next(iter(follower.ready_waiters)).pings)
        waiter = next(iter(follower.ready_waiters))
        assert set(waiter.pings.values()).isdisjoint({0})
        link.release()
        await waiting
        assert NodeId(str(leader.node_id)) == follower.leader_id
