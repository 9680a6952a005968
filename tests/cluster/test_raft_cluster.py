"""The replicated log as its users see it, on real connections and real disks."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from casty import (
    ApplyError,
    CommitUncertainError,
    MessageTooLargeError,
    SerializationError,
    StorageError,
    SystemStoppedError,
    UnusableStoreError,
)
from casty.storage.files import FileStore
from casty.storage.memory import MemoryStore
from tests.cluster.actors import Echo, Point
from tests.cluster.harness import (
    BOUND,
    Recorder,
    append,
    client,
    cluster,
    leader_of,
    meshed,
    node,
    until,
    within,
)
from tests.support import run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from casty import DistributedActorSystem


@dataclass(frozen=True)
class Order:
    item: str


def _others(
    nodes: Iterable[DistributedActorSystem], leader: DistributedActorSystem
) -> list[DistributedActorSystem]:
    return [each for each in nodes if each is not leader]


# ------------------------------------------------------------------------------------- forming and appending


def test_three_nodes_form_one_cluster_and_apply_the_same_commands() -> None:
    """FORM-3, COMMIT-3; wait_ready, is_leader and leader_id say what happened."""

    async def main() -> None:
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

    run(main())


def test_true_means_applied_here() -> None:
    """COMMIT-4: what was just appended can be read from the state machine."""

    async def main() -> None:
        async with cluster(1) as (alone,):
            machine = Recorder(alone)
            for number in range(20):
                assert await alone.append_command(number)
                assert machine.commands[-1] == number

    run(main())


def test_false_means_certainly_not_appended() -> None:
    """COMMIT-4; rules 27b and 55: on a follower, on a node without Raft, before the start and after the end."""

    async def main() -> None:
        unstarted = node(size=1, node_id="n")
        assert await unstarted.append_command("x") is False
        assert (unstarted.is_leader, unstarted.leader_id, unstarted.commit_index) == (False, None, 0)
        with pytest.raises(RuntimeError, match="started node"):
            await unstarted.wait_ready()
        with pytest.raises(RuntimeError, match="running node"):  # noqa: PT012 (the block is what raises)
            unstarted.set_snapshot_callbacks(bytes, lambda data: None)
            await unstarted.create_snapshot()
        async with cluster() as nodes, client(nodes[0]) as outside:
            machines = [Recorder(each) for each in nodes]
            leader = await leader_of(nodes)
            for each in [*_others(nodes, leader), outside]:
                assert await each.append_command("x") is False
            with pytest.raises(RuntimeError, match="part in Raft"):
                await outside.wait_ready()
            assert await leader.append_command("y")
            await until(lambda: all(machine.commands == ["y"] for machine in machines))
        assert await leader.append_command("z") is False

    run(main())


def test_a_leader_cut_off_from_its_majority_cannot_know() -> None:
    """COMMIT-4, LEADER-4: CommitUncertainError, never False; for the time given, and when it steps down."""

    async def main() -> None:
        async with cluster(election_timeout=1.0) as nodes:
            leader = await leader_of(nodes)
            await asyncio.gather(*(each.shutdown() for each in _others(nodes, leader)))
            with pytest.raises(CommitUncertainError, match=r"within 0\.01 s; it may be yet"):
                await leader.append_command("x", timeout=0.01)
            with pytest.raises(CommitUncertainError, match="leadership was lost"):
                await within(leader.append_command("x", timeout=None))
            assert not leader.is_leader
            assert leader.leader_id is None
            assert await leader.append_command("x") is False

    run(main())


def test_a_cancelled_append_leaves_nothing_behind() -> None:
    """Its caller has gone; the command may be committed."""

    async def main() -> None:
        async with cluster(1) as (alone,):
            appending = asyncio.create_task(alone.append_command("x"))
            await asyncio.sleep(0)
            appending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await appending
            assert await alone.append_command("y")
            assert not alone.proposals

    run(main())


def test_what_the_callback_raises_is_told_to_the_appender_and_the_entry_counts() -> None:
    """COMMIT-3; rule 57."""

    async def main() -> None:
        async with cluster(1) as (alone,):
            seen: list[Any] = []

            def apply(command: Any) -> None:
                seen.append(command)
                if command == "bad":
                    raise KeyError("nope")

            alone.set_apply_callback(apply)
            with pytest.raises(
                ApplyError, match=r"entry 2 is committed, but the apply callback raised KeyError"
            ):
                await alone.append_command("bad")
            assert await alone.append_command("good")
            assert seen == ["bad", "good"]
            assert alone.last_applied == 3

    run(main())


def test_a_slow_callback_delays_the_appender_and_costs_no_election() -> None:
    """MSG-6, COMMIT-4: callbacks do not run in the step path."""

    async def main() -> None:
        async with cluster(election_timeout=0.8) as nodes:
            leader = await leader_of(nodes)
            assert leader.raft is not None
            term = leader.raft.status().term
            free = asyncio.Event()

            async def apply(_: object) -> None:
                await free.wait()

            for each in nodes:
                each.set_apply_callback(apply)
            appending = asyncio.create_task(leader.append_command("x", timeout=None))
            await until(lambda: leader.commit_index == 2)
            await asyncio.sleep(1.7)  # longer than any election timeout
            assert not appending.done()
            assert leader.raft.status().term == term
            free.set()
            assert await within(appending)

    run(main())


def test_a_callback_that_is_set_late_gets_everything_from_the_start() -> None:
    """COMMIT-3; architecture §7: without a callback, True means committed."""

    async def main() -> None:
        async with cluster(1) as (alone,):
            for number in range(200):
                assert await alone.append_command(number)
            assert alone.last_applied == 0
            machine = Recorder(alone)
            assert await alone.append_command("last")
            assert machine.commands == [*range(200), "last"]

    run(main())


def test_commands_may_be_dataclasses_that_only_the_callbacks_annotation_names() -> None:
    """VALUE-2: every node applies its own decoded copy."""

    async def main() -> None:
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

    run(main())


def test_a_command_that_a_node_cannot_read_ends_raft_there() -> None:
    """COMMIT-3: applying the next one to a state that lacks it would be worse."""

    async def main() -> None:
        with pytest.raises(StorageError, match=r"entry 2 cannot be decoded.*register_type"):  # noqa: PT012 (the block is what raises)
            async with cluster() as nodes:
                leader = await leader_of(nodes)
                other = _others(nodes, leader)[0]
                other.types._trusted = ()
                other.set_apply_callback(lambda command: None)
                assert await leader.append_command(Point(1))
                try:
                    await asyncio.sleep(BOUND)
                finally:
                    for call in (other.append_command(1), other.wait_ready(), other.create_snapshot()):
                        with pytest.raises(StorageError, match="entry 2 cannot be decoded"):
                            await call

    run(main())


def test_a_command_that_cannot_be_sent_is_refused_before_it_is_appended() -> None:
    """LEADER-8."""

    async def main() -> None:
        async with cluster(1, max_frame_size=64 << 10) as (alone,):
            with pytest.raises(SerializationError, match="cannot send a value of type object"):
                await alone.append_command(object())
            with pytest.raises(
                MessageTooLargeError, match=r"the command has 64,5\d\d bytes; the limit is 64,512"
            ):
                await alone.append_command(bytes((64 << 10) - 1024 - 2))
            assert await alone.append_command(bytes((64 << 10) - 1024 - 3))
            assert alone.commit_index == 2

    run(main())


def test_the_largest_command_and_very_many_small_ones_fit_their_frames() -> None:
    """LEADER-8, frame_bytes_max and batch_bytes_max: with the smallest frame that is allowed, too."""

    async def main() -> None:
        async with cluster(max_frame_size=64 << 10) as nodes:
            machines = [Recorder(each) for each in nodes]
            leader = await leader_of(nodes)
            largest = bytes((64 << 10) - 1024 - 3)
            assert await leader.append_command(largest)
            outcomes = await asyncio.gather(*(leader.append_command(None, timeout=BOUND) for _ in range(5000)))
            assert outcomes == [True] * 5000
            await until(lambda: all(len(machine.commands) == 5001 for machine in machines))
            assert all(machine.commands[0] == largest for machine in machines)

    run(main())


# ----------------------------------------------------------------------------------------- who belongs


def test_wait_ready_waits_for_the_cluster_to_form() -> None:
    """FORM-6: entry 1 is committed; with a bound it raises TimeoutError, and at the end it is told."""

    async def main() -> None:
        async with node(node_id="a") as a:
            with pytest.raises(TimeoutError):
                await a.wait_ready(0.01)
            assert not a.ready_waiters
            waiting = asyncio.create_task(a.wait_ready())
            async with node(a, node_id="b"):
                assert not waiting.done()
                async with node(a, node_id="c"):
                    await within(waiting)
                    await a.wait_ready()

        async with node(node_id="a") as a:
            waiting = asyncio.create_task(a.wait_ready())
            await asyncio.sleep(0)
        with pytest.raises(SystemStoppedError):
            await within(waiting)

    run(main())


def test_two_nodes_need_both() -> None:
    """FORM-3, COMMIT-1."""

    async def main() -> None:
        async with cluster(2) as nodes:
            leader = await append(nodes, "x")
            await _others(nodes, leader)[0].shutdown()
            with pytest.raises(CommitUncertainError):
                await leader.append_command("y", timeout=0.05)

    run(main())


def test_the_cluster_goes_on_without_one_of_three() -> None:
    """COMMIT-1, ELECT-1: a new leader is elected, and what was committed stays."""

    async def main() -> None:
        async with cluster() as nodes:
            machines = [Recorder(each) for each in nodes]
            leader = await append(nodes, "before")
            await leader.shutdown()
            left = _others(nodes, leader)
            await append(left, "after")
            kept = [machine for each, machine in zip(nodes, machines, strict=True) if each in left]
            await until(lambda: all(machine.commands == ["before", "after"] for machine in kept))

    run(main())


def test_an_extra_node_hosts_actors_and_holds_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """FORM-10: a node that came after the cluster formed, though it would be a member."""

    async def main() -> None:
        async with cluster() as nodes, node(nodes[0], node_id="extra") as extra:
            await meshed(*nodes, extra)
            await extra.spawn(Echo, name="echo")
            assert await (await nodes[1].lookup("echo")).ask("hi") == "hi"
            leader = await append(nodes, "x")
            assert not extra.is_leader
            assert extra.commit_index == 0
            assert await extra.append_command("y") is False
            assert leader.commit_index == 2

    run(main())


def test_a_fourth_node_before_formation_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """FORM-4, FORM-11: nobody forms a cluster of three with four; without the fourth it forms."""

    async def main() -> None:
        four = [node(node_id=name, size=3) for name in "dabc"]
        async with four[0] as d, node(d, node_id="a") as a, node(d, node_id="b") as b:
            # Members that are not connected yet cannot form; a fourth id among three blocks.
            await meshed(a, b, d)
            await within(a.wait_ready())
        async with node(node_id="a", size=2) as a:  # noqa: SIM117 (reads in the order it happens)
            async with node(a, node_id="b", size=2, election_timeout=5.0) as b:
                async with node(a, node_id="c", size=2, election_timeout=5.0) as c:
                    await meshed(a, b, c)
                    await until(lambda: "cannot form a cluster of 2" in caplog.text)
                    assert all(f"{name}/" in caplog.text for name in "abc")

    run(main())


# --------------------------------------------------------------------------------------------- disks


def _base(system: DistributedActorSystem) -> int:
    return system.raft.log.base_index if system.raft is not None else 0


def _durable(directory: Path) -> Any:
    return lambda number: {"persistence_dir": directory / f"n{number + 1}"}


def test_a_cluster_that_restarts_as_a_whole_has_lost_nothing(tmp_path: Path) -> None:
    """PERSIST-1, COMMIT-3, LAUNCH-6: nodes are who they were, and commands are applied again from the start."""

    async def main() -> None:
        async with cluster(each=_durable(tmp_path)) as nodes:
            leader = await leader_of(nodes)
            assert await asyncio.gather(*(leader.append_command(n) for n in range(20))) == [True] * 20
            assert leader.persistence_dir == tmp_path / str(leader.node_id)
            before = {each.me for each in nodes}
            term = leader.raft.status().term if leader.raft is not None else 0
        async with cluster(each=lambda n: {**_durable(tmp_path)(n), "node_id": None}) as nodes:
            machines = [Recorder(each) for each in nodes]
            assert {each.me for each in nodes} == before
            leader = await append(nodes, "again")
            await until(lambda: all(machine.commands == [*range(20), "again"] for machine in machines))
            assert leader.raft is not None
            assert leader.raft.status().term > term

    run(main())


def test_a_follower_that_was_away_catches_up(tmp_path: Path) -> None:
    """PERSIST-1, LEADER-5."""

    async def main() -> None:
        async with cluster(each=_durable(tmp_path)) as nodes:
            leader = await append(nodes, 0)
            away = _others(nodes, leader)[0]
            name = away.identity.node_id
            await away.shutdown()
            for number in range(1, 30):
                assert await leader.append_command(number)
            back = node(leader, persistence_dir=tmp_path / name)
            machine = Recorder(back)
            async with back:
                await until(lambda: machine.commands == list(range(30)))
                assert back.node_id == name

    run(main())


class Cart:
    """A state machine with snapshots, as the seed describes them."""

    def __init__(self, system: DistributedActorSystem) -> None:
        self.state: dict[str, Any] = {}
        self.restored = 0
        system.set_apply_callback(self.apply)
        system.set_snapshot_callbacks(self.create, self.restore)

    async def apply(self, command: dict[str, Any]) -> None:
        self.state[command["key"]] = command["value"]

    async def create(self) -> bytes:
        return json.dumps(self.state).encode()

    async def restore(self, data: bytes) -> None:
        self.restored += 1
        self.state = json.loads(data)


def test_a_snapshot_replaces_the_log_and_survives_a_restart(tmp_path: Path) -> None:
    """SNAP-9, COMMIT-3; rules 59, 60: on followers, too."""

    async def main() -> None:
        async with cluster(each=_durable(tmp_path)) as nodes:
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
        async with cluster(each=_durable(tmp_path)) as nodes:
            carts = [Cart(each) for each in nodes]
            await append(nodes, {"key": "more", "value": 2})
            await until(lambda: all(cart.state == {**state, "more": 2} for cart in carts))
            assert [cart.restored for cart in carts] == [1, 1, 1]

    run(main())


def test_who_fell_behind_the_log_gets_the_snapshot_in_chunks(tmp_path: Path) -> None:
    """SNAP-2, SNAP-4, SNAP-8, the limit chunk_bytes_max."""

    async def main() -> None:
        async with cluster(each=_durable(tmp_path), max_frame_size=64 << 10) as nodes:
            carts = {each.node_id: Cart(each) for each in nodes}
            leader = await append(nodes, {"key": "a", "value": "x"})
            away = _others(nodes, leader)[0]
            name = away.identity.node_id
            await away.shutdown()
            for number in range(10):
                assert await leader.append_command({"key": f"k{number}", "value": "y" * 30_000})
            for each in _others(nodes, away):
                await until(lambda each=each: each.last_applied == leader.commit_index)  # type: ignore[misc]
                assert await each.create_snapshot()
            back = node(leader, persistence_dir=tmp_path / name, max_frame_size=64 << 10)
            cart = Cart(back)
            async with back:
                await until(lambda: cart.state == carts[leader.node_id].state)
                assert cart.restored == 1
                assert back.raft is not None
                assert back.raft.log.base_index == leader.commit_index
                assert await leader.append_command({"key": "z", "value": 1})
                await until(lambda: "z" in cart.state)

    run(main())


def test_snapshot_every_compacts_the_log_by_itself(tmp_path: Path) -> None:
    """SNAP-9."""

    async def main() -> None:
        async with cluster(1, each=_durable(tmp_path), snapshot_every=5) as (alone,):
            Cart(alone)
            for number in range(23):
                assert await alone.append_command({"key": "k", "value": number})
            raft = alone.raft
            assert raft is not None
            await until(lambda: raft.log.base_index >= 20)
            assert raft.log.last_index == 24

    run(main())


def test_a_restored_state_that_raises_ends_raft_on_this_node(tmp_path: Path) -> None:
    """Rule 60: there is no state to apply anything to; `async with` raises why."""

    async def main() -> None:
        async with cluster(1, each=_durable(tmp_path)) as (alone,):
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

    run(main())


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
def test_a_disk_error_ends_the_block_and_everything_that_waits(
    kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PERSIST-4: `async with` raises it, pending calls do, and nothing is acknowledged any more."""

    async def main() -> None:
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
            with pytest.raises(StorageError, match="on fire"):
                await call
        assert not alone.is_leader
        with pytest.raises(StorageError):
            await alone.append_command("z")

    run(main())


def test_a_disk_error_ends_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PERSIST-4."""

    async def main() -> None:
        disk = Failing(monkeypatch, FileStore)
        disk.on = True
        alone = node(size=1, persistence_dir=tmp_path / "d")
        with pytest.raises(StorageError, match="on fire"):
            await within(alone.serve())

    run(main())


def test_an_error_of_the_block_itself_is_not_hidden_by_the_disks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PERSIST-4: the block's own exception, and somebody else's cancellation, pass through."""

    async def main() -> None:
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

    run(main())


def test_a_snapshot_that_cannot_be_saved_ends_raft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PERSIST-4, SNAP-9."""

    async def main() -> None:
        def save(store: FileStore, snapshot: object) -> None:
            raise StorageError("no room")

        monkeypatch.setattr(FileStore, "save_snapshot", save)
        with pytest.raises(StorageError, match="no room"):  # noqa: PT012 (the block is what raises)
            async with cluster(1, each=_durable(tmp_path)) as (alone,):
                Cart(alone)
                assert await alone.append_command({"key": "k", "value": 1})
                with pytest.raises(StorageError, match="no room"):
                    await alone.create_snapshot()
                await asyncio.sleep(BOUND)

    run(main())


def test_an_unusable_directory_keeps_the_node_from_starting(tmp_path: Path) -> None:
    """PERSIST-5: in use, or another node's; the lock is gone with its holder, however that ends."""

    async def main() -> None:
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

    run(main())


def test_who_lost_its_disk_is_a_learner(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """FORM-9, FORM-1: it gets the log and applies it, never leads, and one warning says so."""

    async def main() -> None:
        async with cluster(each=_durable(tmp_path)) as nodes:
            leader = await append(nodes, 1)
            lost = _others(nodes, leader)[0]
            name = lost.identity.node_id
            await lost.shutdown()
            shutil.rmtree(tmp_path / name)
            back = node(leader, node_id=name, persistence_dir=tmp_path / name)
            machine = Recorder(back)
            async with back:
                await until(lambda: machine.commands == [1])
                assert await leader.append_command(2)
                await until(lambda: machine.commands == [1, 2])
                assert not back.is_leader
                assert back.raft is not None
                assert back.raft.status().standing == "learner"

    run(main())
    assert "is a learner" in caplog.text
