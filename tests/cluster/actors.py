"""The actors and messages that the tests of the cluster share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from casty import Actor, ActorRef, Context

if TYPE_CHECKING:
    from casty import ActorSystem


async def spawned[A: Actor[Any]](system: ActorSystem, actor: A, name: str) -> A:
    """The actor, once it lives in the system: a test looks into what it has at hand."""
    await system.spawn(lambda: actor, name=name)
    return actor


class Color(Enum):
    RED = "red"
    BLUE = 2


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


@dataclass
class Nested:
    point: Point
    color: Color = Color.RED
    more: list[Point] = field(default_factory=list[Point])


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Total:
    pass


class Counter(Actor[Add | Total]):
    """A sum, as in the examples."""

    def __init__(self) -> None:
        self.total = 0

    async def receive(self, msg: Add | Total, ctx: Context[Add | Total]) -> None:
        match msg:
            case Add(amount):
                self.total += amount
            case Total():
                ctx.reply(self.total)


class Echo(Actor[Any]):
    """Replies with the message."""

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        ctx.reply(msg)


class Keeper(Actor[Any]):
    """Keeps what it is sent, in order, and replies with nothing."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.has_more = asyncio.Event()

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        self.kept.append(msg)
        self.has_more.set()
        ctx.reply(None)

    async def until(self, count: int, seconds: float = 20.0) -> list[Any]:
        """What was kept, once it is that many."""
        async with asyncio.timeout(seconds):
            while len(self.kept) < count:
                self.has_more.clear()
                await self.has_more.wait()
        return self.kept


class Mute(Actor[Any]):
    """Never replies; keeps the contexts, so that a test can."""

    def __init__(self) -> None:
        self.asked: list[Context[Any]] = []
        self.came = asyncio.Event()

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        self.asked.append(ctx)
        self.came.set()


class Clumsy(Actor[Any]):
    """Raises what it is told to, and lives on."""

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        raise RuntimeError(msg)

    def on_error(self, exc: Exception) -> bool:
        return True


class Quitter(Actor[Any]):
    """Stops when it is sent anything."""

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        ctx.stop()


class Odd(Actor[Any]):
    """Replies with what cannot cross the wire."""

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        ctx.reply(object() if msg == "object" else bytes(msg))


@dataclass(frozen=True)
class Introduce:
    to: ActorRef[Any]


class Host(Actor[Any]):
    """Sends to refs it is given, and replies with refs to new actors."""

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        match msg:
            case Introduce(to):
                await to.send("hello")
                ctx.reply(to)
            case "spawn":
                ctx.reply(await ctx.spawn(Counter))
            case _:
                ctx.reply(ctx.self_ref)
