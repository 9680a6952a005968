"""The examples of the seed's *Core Concepts*, as written there, and what they print.

Only two things differ: sleeps are shorter, and names that the seed leaves open have stand-ins.
"""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

from casty.errors import ActorFailedError, ActorStoppedError
from casty.system import ActorSystem

GREETER = """
from dataclasses import dataclass
from casty import Actor, Context

@dataclass
class Greet:
    name: str

class Greeter(Actor[Greet]):
    async def receive(self, msg: Greet, ctx: Context[Greet]) -> None:
        print(f"Hello, {msg.name}!")
"""

SYSTEM = """
import asyncio
from casty import ActorSystem

async def main():
    async with ActorSystem() as system:
        # Create an actor and get a reference to it
        greeter = await system.spawn(Greeter, name="greeter")

        # Send a message
        await greeter.send(Greet("World"))

        # Wait a bit for the message to be processed
        await asyncio.sleep(0.1)

    # shutdown() is called automatically when exiting the context

asyncio.run(main())
""".replace("sleep(0.1)", "sleep(0)")

SEND = """
await greeter.send(Greet("Alice"))
"""

COUNTER = """
from dataclasses import dataclass
from casty import Actor, Context

@dataclass
class Increment:
    amount: int = 1

@dataclass
class GetCount:
    pass

class Counter(Actor[Increment | GetCount]):
    def __init__(self):
        self.count = 0

    async def receive(self, msg: Increment | GetCount, ctx: Context) -> None:
        match msg:
            case Increment(amount):
                self.count += amount
            case GetCount():
                ctx.reply(self.count)
"""

USAGE = """
# Usage
counter = await system.spawn(Counter, name="counter")
await counter.send(Increment(5))
await counter.send(Increment(3))
value = await counter.ask(GetCount(), timeout=5.0)  # Returns 8
"""

SUPERVISOR = """
@dataclass
class CreateWorker:
    id: str

class Supervisor(Actor[CreateWorker]):
    async def receive(self, msg: CreateWorker, ctx: Context) -> None:
        # Create a child actor
        worker = await ctx.spawn(Worker, name=f"worker-{msg.id}")
        ctx.reply(worker)  # Return the reference to whoever asked
"""

DATABASE = '''
class DatabaseActor(Actor[Query]):
    async def on_start(self) -> None:
        """Called once when the actor starts."""
        self.connection = await create_db_connection()
        print("Connection established")

    async def on_stop(self) -> None:
        """Called when the actor is gracefully shut down."""
        await self.connection.close()
        print("Connection closed")

    def on_error(self, exc: Exception) -> bool:
        """
        Called when an exception occurs during receive().
        Return True to continue processing messages.
        Return False to terminate the actor.
        """
        if isinstance(exc, TemporaryError):
            print(f"Temporary error, continuing: {exc}")
            return True
        print(f"Fatal error, shutting down: {exc}")
        return False

    async def receive(self, msg: Query, ctx: Context) -> None:
        result = await self.connection.execute(msg.sql)
        ctx.reply(result)
'''

STAND_INS = """
from dataclasses import dataclass
from casty import Actor, Context

class Worker(Actor[str]):
    async def receive(self, msg: str, ctx: Context) -> None:
        ctx.reply(f"{ctx.self_ref.name} did {msg}")

@dataclass
class Query:
    sql: str

class TemporaryError(Exception):
    pass

class Connection:
    async def execute(self, sql):
        match sql:
            case "SELECT 1":
                return 1
            case "busy":
                raise TemporaryError("try again")
            case _:
                raise ValueError(sql)

    async def close(self):
        pass

async def create_db_connection():
    return Connection()
"""


def play(*examples: str, **names: Any) -> dict[str, Any]:
    """Runs the examples one after the other, in one namespace, and returns it."""
    for example in examples:
        exec(compile(example, "the seed", "exec"), names)
    return names


async def play_inside(example: str, names: dict[str, Any]) -> None:
    """Runs an example that awaits at top level."""
    code = compile(example, "the seed", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert code.co_flags & inspect.CO_COROUTINE, "an example that awaits nothing"
    await eval(code, names)


def test_actors_and_messages_and_the_actor_system(capsys: pytest.CaptureFixture[str]) -> None:
    """*Actors and Messages*, *The Actor System*"""
    play(GREETER, SYSTEM)
    assert capsys.readouterr().out == "Hello, World!\n"


def test_leaving_the_block_at_once_loses_no_message(capsys: pytest.CaptureFixture[str]) -> None:
    """*The Actor System*, without the sleep: "all actors are properly shut down"."""
    play(GREETER, SYSTEM.replace("await asyncio.sleep(0)", "pass"))
    assert capsys.readouterr().out == "Hello, World!\n"


async def test_the_fire_and_forget_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    """*Actor References*: "sends a message and returns immediately, without waiting for a response"."""
    names = play(GREETER)
    async with ActorSystem() as system:
        names["greeter"] = await system.spawn(names["Greeter"])
        await play_inside(SEND, names)
        assert capsys.readouterr().out == "", "the message was handled before send returned"
    assert capsys.readouterr().out == "Hello, Alice!\n"


async def test_the_request_response_pattern() -> None:
    """*Actor References*: "Returns 8"."""
    names = play(COUNTER)
    async with ActorSystem() as system:
        names["system"] = system
        await play_inside(USAGE, names)
    assert names["value"] == 8


async def test_context_and_actor_hierarchy() -> None:
    """*Context and Actor Hierarchy*: the reply is a ref, and the child is found by its name."""
    names = play(STAND_INS, SUPERVISOR)
    async with ActorSystem() as system:
        supervisor = await system.spawn(names["Supervisor"])
        worker = await supervisor.ask(names["CreateWorker"]("7"))
        assert worker == await system.lookup("worker-7")
        assert await worker.ask("its work") == "worker-7 did its work"
        await system.stop(supervisor)
        with pytest.raises(ActorStoppedError):
            await worker.ask("its work")


async def test_actor_lifecycle(capsys: pytest.CaptureFixture[str]) -> None:
    """*Actor Lifecycle*: True continues, False terminates."""
    names = play(STAND_INS, DATABASE)
    query = names["Query"]
    async with ActorSystem() as system:
        database = await system.spawn(names["DatabaseActor"])
        assert await database.ask(query("SELECT 1")) == 1
        with pytest.raises(ActorFailedError, match="TemporaryError: try again"):
            await database.ask(query("busy"))
        assert await database.ask(query("SELECT 1")) == 1
        with pytest.raises(ActorFailedError, match="ValueError: nonsense"):
            await database.ask(query("nonsense"))
        with pytest.raises(ActorStoppedError):
            await database.ask(query("SELECT 1"))
    assert capsys.readouterr().out.splitlines() == [
        "Connection established",
        "Temporary error, continuing: try again",
        "Fatal error, shutting down: nonsense",
        "Connection closed",
    ]
