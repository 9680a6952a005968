"""The actors and messages that the other files here talk about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from casty import Actor, Request

if TYPE_CHECKING:
    from casty import ActorRef, Context


@dataclass(frozen=True)
class Increment:
    amount: int = 1


@dataclass(frozen=True)
class GetCount(Request[int]):
    pass


@dataclass(frozen=True)
class GetNames(Request[list[str]]):
    pass


@dataclass(frozen=True)
class Foreign:
    pass


@dataclass(frozen=True)
class ForeignRequest(Request[str]):
    pass


type CounterMessage = Increment | GetCount


class Counter(Actor[Increment | GetCount]):
    def __init__(self, start: int = 0) -> None:
        self.count = start

    async def receive(self, msg: Increment | GetCount, ctx: Context[Increment | GetCount]) -> None:
        match msg:
            case Increment(amount):
                self.count += amount
            case GetCount():
                ctx.reply(self.count)


class AliasCounter(Actor[CounterMessage]):
    """The same through a `type` statement, with every hook overridden."""

    async def on_start(self) -> None: ...

    async def on_stop(self) -> None: ...

    async def on_error(self, exc: Exception) -> bool:
        return True

    async def on_child_stopped(self, child: ActorRef[Any], exc: Exception | None) -> None: ...

    async def receive(self, msg: CounterMessage, ctx: Context[CounterMessage]) -> None: ...


class Cache[K, V](Actor[tuple[K, V]]):
    """An actor with type parameters of its own, and a sync `on_error`."""

    def __init__(self, kind: type[K], size: int) -> None:
        self.kind = kind
        self.size = size

    def on_error(self, exc: Exception) -> bool:
        return False

    async def receive(self, msg: tuple[K, V], ctx: Context[tuple[K, V]]) -> None: ...
