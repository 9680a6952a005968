"""The distributed examples of the first description, as they are written there.

Only addresses, paths and sleeps are replaced, and names that the examples leave open are given.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from casty import Actor, ActorSystem, Context, DistributedActorSystem
from tests.cluster.harness import BOUND, meshed, until, within

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


@dataclass
class ProcessRequest:
    data: str


@dataclass
class GetStatus:
    pass


class MyService(Actor[ProcessRequest | GetStatus]):
    def __init__(self) -> None:
        self.processed: list[str] = []

    async def receive(self, msg: ProcessRequest | GetStatus, ctx: Context[Any]) -> None:
        match msg:
            case ProcessRequest(data):
                self.processed.append(data)
            case GetStatus():
                ctx.reply(f"processed {len(self.processed)}")


def test_creating_a_cluster() -> None:
    """Creating a Cluster: by the factory method, or directly."""
    # Using the factory method
    system = ActorSystem.distributed(
        host="192.168.1.10",
        port=8001,
        seeds=["192.168.1.11:8001", "192.168.1.12:8001"],
        expected_cluster_size=3,
    )
    # Or directly
    other = DistributedActorSystem(
        host="192.168.1.10",
        port=8001,
        seeds=["192.168.1.11:8001", "192.168.1.12:8001"],
        expected_cluster_size=3,
    )
    assert type(system) is type(other) is DistributedActorSystem
    assert system.listen == other.listen


async def test_starting_the_server() -> None:
    """Starting the Server: the context manager."""
    # shutdown() and cleanup are called automatically

    async with DistributedActorSystem("0.0.0.0", 0, expected_cluster_size=3) as system:
        # The server is already running in the background
        await system.spawn(MyService, name="my-service")

        # Do your work here...
        reader, writer = await asyncio.open_connection("127.0.0.1", system.listen.port)
        writer.close()
        assert reader is not None


async def test_serve_blocks_until_shutdown() -> None:
    """Starting the Server: spawn first, then serve()."""
    system = DistributedActorSystem("0.0.0.0", 0, expected_cluster_size=3)
    await system.spawn(MyService, name="my-service")

    async def end() -> None:
        await until(lambda: system.tasks)
        assert not ended
        await system.shutdown()

    ended: list[bool] = []
    ending = asyncio.create_task(end())

    # Start the server (blocks until shutdown)
    await within(system.serve())
    ended.append(True)
    await ending


async def test_remote_actor_discovery() -> None:
    """Remote Actor Discovery: this code can run on any node in the cluster."""
    async with DistributedActorSystem("127.0.0.1", 0) as one:  # noqa: SIM117 (reads in the order it happens)
        async with DistributedActorSystem("127.0.0.1", 0, [str(one.listen)]) as system:
            await one.spawn(MyService, name="my-service")
            await meshed(one, system)

            service = await system.lookup("my-service")

            # From here, you can use service normally
            # Casty handles serialization and network communication
            await service.send(ProcessRequest(data="hello"))
            response = await service.ask(GetStatus())

            assert response == "processed 1"


async def test_the_replicated_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Leader Election, Log Replication, State Machine Application, State Persistence, Snapshots."""
    state: dict[str, Any] = {}

    async def apply_command(command: dict[str, Any]) -> None:
        """Called for each committed command in order."""
        match command:
            case {"action": "set", "key": key, "value": value}:
                state[key] = value
            case {"action": "delete", "key": key}:
                state.pop(key, None)

    async def create_snapshot() -> bytes:
        """Serialize current state machine state."""
        return json.dumps(state).encode()

    async def restore_snapshot(data: bytes) -> None:
        """Restore state machine from snapshot."""
        state.clear()
        state.update(json.loads(data))

    def made() -> DistributedActorSystem:
        system = DistributedActorSystem(
            "127.0.0.1",
            0,
            expected_cluster_size=1,
            persistence_dir=tmp_path / "casty" / "data",  # Enable persistence
            node_id="node-1",  # Use consistent node_id across restarts
            election_timeout=0.1,
            heartbeat_interval=0.03,
        )
        system.set_apply_callback(apply_command)
        system.set_snapshot_callbacks(create_snapshot, restore_snapshot)
        return system

    async with made() as system:
        await system.wait_ready(BOUND)

        # Check if this node is the leader
        if system.is_leader:
            print("This node is the leader")
        else:
            print(f"The current leader is {system.leader_id}")

        # Only the leader can append commands
        if system.is_leader:
            success = await system.append_command({"action": "set", "key": "x", "value": 42})
            if success:
                print("Command replicated to majority and committed")
        assert state == {"x": 42}

        # Later, when log grows large:
        if system.is_leader:
            await system.create_snapshot()
        assert await system.append_command({"action": "delete", "key": "x"})
        assert await system.append_command({"action": "set", "key": "y", "value": 1})
    state["leftover"] = True
    async with made() as system:
        await until(lambda: state == {"y": 1})
        assert system.node_id == "node-1"
    assert capsys.readouterr().out.splitlines() == [
        "This node is the leader",
        "Command replicated to majority and committed",
    ]


@dataclass
class ComplexMessage:
    id: int
    name: str
    data: dict[str, str]
    tags: list[str]


class Keeper(Actor[Any]):
    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        ctx.reply(msg)


async def test_message_serialization() -> None:
    """Message Serialization: dataclasses and primitive types, with registration or without."""
    async with DistributedActorSystem("127.0.0.1", 0) as one:  # noqa: SIM117 (reads in the order it happens)
        async with DistributedActorSystem("127.0.0.1", 0, [str(one.listen)]) as system:
            await one.spawn(Keeper, name="keeper")
            await meshed(one, system)
            remote_actor = await system.lookup("keeper")
            message = ComplexMessage(id=42, name="test", data={"key": "value"}, tags=["tag1", "tag2"])

            # Works automatically in remote communication
            await remote_actor.send(message)
            assert await remote_actor.ask(message) == message

            system.register_type(ComplexMessage)
            assert await remote_actor.ask([message]) == [message]
