"""The seed's complete example as one script that is started twice; its messages live in `__main__`."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from tests.support import run

ROOT = Path(__file__).parent.parent.parent

CHAT = '''
import asyncio
import sys
from dataclasses import dataclass
from casty import Actor, Context, DistributedActorSystem

# Message definitions
@dataclass
class Join:
    username: str

@dataclass
class Leave:
    username: str

@dataclass
class Message:
    username: str
    content: str

@dataclass
class GetUsers:
    pass

# The ChatRoom actor manages a chat room
class ChatRoom(Actor[Join | Leave | Message | GetUsers]):
    def __init__(self, room_name: str):
        self.room_name = room_name
        self.users: set[str] = set()

    async def on_start(self) -> None:
        print(f"Room '{self.room_name}' started")

    async def on_stop(self) -> None:
        print(f"Room '{self.room_name}' closed with {len(self.users)} users")

    async def receive(self, msg: Join | Leave | Message | GetUsers, ctx: Context) -> None:
        match msg:
            case Join(username):
                self.users.add(username)
                print(f"[{self.room_name}] {username} joined the room")

            case Leave(username):
                self.users.discard(username)
                print(f"[{self.room_name}] {username} left the room")

            case Message(username, content):
                print(f"[{self.room_name}] {username}: {content}")

            case GetUsers():
                ctx.reply(list(self.users))

async def until_they_are(count: int, room) -> None:
    while len(await room.ask(GetUsers())) != count:
        await asyncio.sleep(0.01)

async def run_node(host: str, port: int, seeds: list[str], is_main: bool):
    """Run a cluster node."""
    async with DistributedActorSystem(host, port, seeds, expected_cluster_size=2) as system:
        # The main node creates the chat room
        if is_main:
            await system.spawn(ChatRoom, name="general", room_name="General")

        # Wait for cluster to be ready
        await system.wait_ready()

        # Any node can interact with the room
        room = await system.lookup("general")

        node_user = f"user-{port}"
        await room.send(Join(node_user))
        await room.send(Message(node_user, f"Hello from port {port}!"))

        await until_they_are(2, room)
        users = await room.ask(GetUsers())
        print(f"Users in room: {sorted(users)}")

        # Keep running until both have seen both
        if is_main:
            await system.spawn(ChatRoom, name="seen", room_name="Seen")
            await until_they_are(1, room)

        else:
            await system.lookup("seen", timeout=60)
            await room.send(Leave(node_user))

    # shutdown() and cleanup are called automatically

if __name__ == "__main__":
    port, other, is_main = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "main"
    asyncio.run(run_node("127.0.0.1", port, [] if is_main else [f"127.0.0.1:{other}"], is_main))
'''


def _ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


@pytest.mark.processes
@pytest.mark.timeout(120)
def test_two_processes_of_one_script_chat(tmp_path: Path) -> None:
    """VALUE-2: what both call `__main__` is the same script, and needs no registration."""
    script = tmp_path / "chat.py"
    script.write_text(CHAT)
    one, two = _ports()

    async def started(*arguments: object) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            *map(str, arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    async def main() -> tuple[str, str]:
        processes = [await started(one, two, "main"), await started(two, one, "other")]
        try:
            outcomes = await asyncio.gather(*(process.communicate() for process in processes))
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        for process, (out, err) in zip(processes, outcomes, strict=True):
            assert process.returncode == 0, err.decode()
            assert "Traceback" not in err.decode(), out.decode()
        return outcomes[0][0].decode(), outcomes[1][0].decode()

    room, other = run(main(), timeout=100)
    users = f"Users in room: {sorted([f'user-{one}', f'user-{two}'])}"
    assert other.splitlines() == [users]
    lines = room.splitlines()
    assert lines[0] == "Room 'General' started"
    assert lines[-2:] == ["Room 'Seen' closed with 0 users", "Room 'General' closed with 1 users"]
    assert set(lines[1:-2]) == {
        "Room 'Seen' started",
        f"[General] user-{one} joined the room",
        f"[General] user-{one}: Hello from port {one}!",
        f"[General] user-{two} joined the room",
        f"[General] user-{two}: Hello from port {two}!",
        f"[General] user-{two} left the room",
        users,
    }
