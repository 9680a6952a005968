"""`append_command`: what its outcomes mean, and what the callbacks see."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from casty import ApplyError, CommitUncertainError, MessageTooLargeError, SerializationError, StorageError
from tests.cluster.actors import Point
from tests.cluster.harness import (
    BOUND,
    Recorder,
    append,
    client,
    cluster,
    durable,
    leader_of,
    node,
    others,
    until,
    within,
)

if TYPE_CHECKING:
    from pathlib import Path

    from casty import DistributedActorSystem


@dataclass(frozen=True)
class Order:
    item: str


async def test_three_nodes_form_one_cluster_and_apply_the_same_commands() -> None:
    """FORM-3, COMMIT-3; wait_ready, is_leader and leader_id say what happened."""
    async with cluster() as nodes:
        machines = [Recorder(each) for each in nodes]
        leader = await leader_of(nodes)
        assert [each.leader_id for each in nodes] == [leader.node_id] * 3
        commands: list[object] = [{"action": "set", "key": "x", "value": n} for n in range(50)]
        outcomes = await asyncio.gather(*(leader.append_command(command) for command in commands))
        assert outcomes == [True] * 50
        await until(lambda: all(machine.commands == commands for machine in machines))
        assert len({each.commit_index for each in nodes}) == 1
        assert leader.last_applied == leader.commit_index == 51
        assert len({each.raft.configuration for each in nodes if each.raft is not None}) == 1


async def test_true_means_applied_here() -> None:
    """COMMIT-4: what was just appended can be read from the state machine."""
    async with cluster(1) as (alone,):
        machine = Recorder(alone)
        for number in range(20):
            assert await alone.append_command(number)
            assert machine.commands[-1] == number


async def test_false_means_certainly_not_appended() -> None:
    """COMMIT-4; rules 27b and 55: on a follower, on a node without Raft, and while a node starts."""
    async with cluster() as nodes, client(nodes[0]) as outside:
        machines = [Recorder(each) for each in nodes]
        leader = await leader_of(nodes)
        for each in [*others(nodes, leader), outside]:
            assert await each.append_command("x") is False
        with pytest.raises(RuntimeError, match="part in Raft"):
            await outside.wait_ready()
        assert await leader.append_command("y")
        await until(lambda: all(machine.commands == ["y"] for machine in machines))
    starting = node(size=1, node_id="n")
    serving = asyncio.create_task(starting.serve())
    await asyncio.sleep(0)
    assert starting.raft is None
    assert await starting.append_command("x") is False
    await starting.shutdown()
    await asyncio.gather(serving, return_exceptions=True)


async def test_who_tries_until_it_works_holds_up_nobody() -> None:
    """The answer needs no wait, but without one the node would never come to lead."""
    async with node(size=1, node_id="a") as alone:
        await within(_try_again_and_again(alone))


async def _try_again_and_again(system: DistributedActorSystem) -> None:
    while not await system.append_command("x"):
        pass


async def test_a_leader_cut_off_from_its_majority_cannot_know() -> None:
    """COMMIT-4, LEADER-4: CommitUncertainError, never False; for the time given, and when it steps down."""
    async with cluster(election_timeout=1.0) as nodes:
        leader = await leader_of(nodes)
        await asyncio.gather(*(each.shutdown() for each in others(nodes, leader)))
        with pytest.raises(CommitUncertainError, match=r"within 0\.01 s; it may be yet"):
            await leader.append_command("x", timeout=0.01)
        with pytest.raises(CommitUncertainError, match="leadership was lost"):
            await within(leader.append_command("x", timeout=None))
        assert not leader.is_leader
        assert leader.leader_id is None
        assert await leader.append_command("x") is False


async def test_a_cancelled_append_leaves_nothing_behind() -> None:
    """Its caller has gone; the command may be committed."""
    async with cluster(1) as (alone,):
        appending = asyncio.create_task(alone.append_command("x"))
        await asyncio.sleep(0)
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
        assert await alone.append_command("y")
        assert not alone.proposals


async def test_what_the_callback_raises_is_told_to_the_appender_and_the_entry_counts() -> None:
    """COMMIT-3; rule 57."""
    async with cluster(1) as (alone,):
        seen: list[Any] = []

        def apply(command: Any) -> None:
            seen.append(command)
            if command == "bad":
                raise KeyError("nope")

        alone.set_apply_callback(apply)
        with pytest.raises(ApplyError, match=r"entry 2 is committed, but the apply callback raised KeyError"):
            await alone.append_command("bad")
        assert await alone.append_command("good")
        assert seen == ["bad", "good"]
        assert alone.last_applied == 3


async def test_a_slow_callback_delays_the_appender_and_costs_no_election() -> None:
    """MSG-6, COMMIT-4: callbacks do not run in the step path."""
    async with cluster(election_timeout=0.8) as nodes:
        leader = await leader_of(nodes)
        assert leader.raft is not None
        term = leader.raft.status().term
        free = asyncio.Event()

        async def apply(_: object) -> None:
            await free.wait()

        for each in nodes:
            each.set_apply_callback(apply)
        appending: list[asyncio.Task[bool]] = []
        for index in range(2, 12):  # each round takes a step of every node
            appending.append(asyncio.create_task(leader.append_command("x", timeout=None)))
            await until(lambda index=index: all(each.commit_index == index for each in nodes))  # type: ignore[misc]
        assert not any(append.done() for append in appending)
        assert leader.raft.status().term == term
        free.set()
        assert await within(asyncio.gather(*appending)) == [True] * 10


async def test_a_callback_that_is_set_late_gets_everything_from_the_start() -> None:
    """COMMIT-3; architecture §7: without a callback, True means committed."""
    async with cluster(1) as (alone,):
        for number in range(200):
            assert await alone.append_command(number)
        assert alone.last_applied == 0
        machine = Recorder(alone)
        assert await alone.append_command("last")
        assert machine.commands == [*range(200), "last"]


async def test_commands_may_be_dataclasses_that_only_the_callbacks_annotation_names() -> None:
    """VALUE-2: every node applies its own decoded copy."""
    async with cluster(trusted_modules=()) as nodes:
        seen: list[list[Order]] = []
        for each in nodes:
            orders: list[Order] = []

            def apply(command: Order, orders: list[Order] = orders) -> None:
                orders.append(command)

            each.set_apply_callback(apply)
            seen.append(orders)
        mine = Order("tea")
        leader = await append(nodes, mine)
        await until(lambda: seen == [[mine]] * 3)
        assert seen[nodes.index(leader)][0] is not mine


async def test_a_command_that_a_node_cannot_read_ends_raft_there() -> None:
    """COMMIT-3: applying the next one to a state that lacks it would be worse."""
    with pytest.raises(StorageError, match=r"entry 2 cannot be decoded.*register_type"):  # noqa: PT012 (the block is what raises)
        async with cluster() as nodes:
            leader = await leader_of(nodes)
            other = others(nodes, leader)[0]
            other.types._trusted = ()
            other.set_apply_callback(lambda command: None)
            leader.register_type(Point)
            assert await leader.append_command(Point(1))
            try:
                await asyncio.sleep(BOUND)
            finally:
                for call in (other.append_command(1), other.wait_ready(), other.create_snapshot()):
                    with pytest.raises(StorageError, match="entry 2 cannot be decoded"):
                        await call


@pytest.mark.parametrize("form", ["function", "partial", "method"])
async def test_commands_may_be_dataclasses_of_the_callbacks_own_package(form: str, tmp_path: Path) -> None:
    """VALUE-2, COMMIT-3: on the followers, and on each node that reads its own log again."""

    class Kept:
        def __init__(self) -> None:
            self.orders: list[Any] = []

        def apply(self, command):  # type: ignore[no-untyped-def]
            self.orders.append(command)

    def keep(orders, command):  # type: ignore[no-untyped-def]
        orders.append(command)

    each = durable(tmp_path)
    for boot in (1, 2):
        async with cluster(each=each) as nodes:
            kept = [Kept() for _ in nodes]
            for system, here in zip(nodes, kept, strict=True):
                forms: dict[str, Any] = {
                    "function": lambda command, here=here: here.orders.append(command),
                    "partial": partial(keep, here.orders),
                    "method": here.apply,
                }
                system.set_apply_callback(forms[form])
            if boot == 1:
                await append(nodes, Order("tea"))
            await until(lambda kept=kept: all(here.orders == [Order("tea")] for here in kept))  # type: ignore[misc]


async def test_a_command_that_only_its_sender_could_read_is_refused_before_it_is_appended() -> None:
    """VALUE-2, COMMIT-3: committed, it would end Raft on every other node, and here after a restart."""
    applied: list[Any] = []
    async with cluster(1) as (alone,):
        alone.set_apply_callback(applied.append)  # whose package, and hints, say nothing of orders
        with pytest.raises(SerializationError, match=r"test_appending:Order could not be read by every member"):
            await alone.append_command({"orders": [Order("tea")]})
        alone.register_type(Order)
        assert await alone.append_command({"orders": [Order("tea")]})
    assert applied == [{"orders": [Order("tea")]}]


async def test_a_command_that_cannot_be_sent_is_refused_before_it_is_appended() -> None:
    """LEADER-8."""
    async with cluster(1, max_frame_size=64 << 10) as (alone,):
        with pytest.raises(SerializationError, match="cannot send a value of type object"):
            await alone.append_command(object())
        with pytest.raises(MessageTooLargeError, match=r"the command has 64,5\d\d bytes; the limit is 64,512"):
            await alone.append_command(bytes((64 << 10) - 1024 - 2))
        assert await alone.append_command(bytes((64 << 10) - 1024 - 3))
        assert alone.commit_index == 2


async def test_the_largest_command_and_very_many_small_ones_fit_their_frames() -> None:
    """LEADER-8, frame_bytes_max and batch_bytes_max: with the smallest frame that is allowed, too."""
    async with cluster(max_frame_size=64 << 10, election_timeout=1.0) as nodes:
        machines = [Recorder(each) for each in nodes]
        leader = await leader_of(nodes)
        largest = bytes((64 << 10) - 1024 - 3)
        assert await leader.append_command(largest)
        for _ in range(2):  # 2,500 entries without any data are more than a frame, were nobody to count
            outcomes = await asyncio.gather(*(leader.append_command(None, timeout=BOUND) for _ in range(2500)))
            assert outcomes == [True] * 2500
        await until(lambda: all(len(machine.commands) == 5001 for machine in machines))
        assert all(machine.commands[0] == largest for machine in machines)


async def test_an_apply_callback_that_appends_and_waits_is_told_so() -> None:
    """ACTOR-27: "Nobody waits for itself": nothing would be applied until the timeout, or ever without one."""
    async with cluster(1) as (alone,):

        async def apply(command: object) -> None:
            if command == "a":
                await alone.append_command("b", timeout=None)

        alone.set_apply_callback(apply)
        with pytest.raises(ApplyError, match="which waits for the callback"):
            await alone.append_command("a", timeout=BOUND)
        assert await alone.append_command("c", timeout=BOUND)
