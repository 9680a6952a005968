"""Wrong code: checkers must reject every line with an ignore, and no other.

Each ignore is the test: where a checker accepts the line, it reports the ignore as unused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty import Actor
from tests.typing.messages import Counter, Foreign, ForeignRequest, GetCount, Increment

if TYPE_CHECKING:
    from casty import ActorRef, ActorSystem, Context
    from casty.testing import Probe


async def spawning(system: ActorSystem) -> None:
    await system.spawn(Foreign)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await system.spawn(lambda: Foreign())  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
    await system.spawn(Counter())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    counter = await system.spawn(Counter)
    await counter.send(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    made = await system.spawn(lambda: Counter(3))
    await made.send(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def sending(counter: ActorRef[Increment | GetCount], increments: ActorRef[Increment]) -> None:
    await counter.send(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await counter.send(Increment)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await increments.send(GetCount())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    wider: ActorRef[Increment | GetCount] = increments  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    await wider.send(GetCount())


async def asking(counter: ActorRef[Increment | GetCount]) -> None:
    await counter.ask(Foreign())  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await counter.ask(ForeignRequest())  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    text: str = await counter.ask(GetCount())  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(text, len(await counter.ask(GetCount())))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def looking_up(system: ActorSystem) -> None:
    await system.lookup("counter", Foreign)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    counter = await system.lookup("counter", Counter)
    await counter.send(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Child(Actor[Increment]):
    async def on_start(self) -> None:
        self.context.send_after(1.0, Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    async def receive(self, msg: Increment, ctx: Context[Increment]) -> None:
        await ctx.self_ref.send(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        ctx.send_after(1.0, Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await ctx.spawn(Foreign)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class NarrowReceive(Actor[Increment | GetCount]):
    async def receive(self, msg: Increment, ctx: Context[Increment | GetCount]) -> None: ...  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]


class OtherContext(Actor[Increment]):
    async def receive(self, msg: Increment, ctx: Context[Increment | GetCount]) -> None: ...  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]


class VagueOnError(Actor[Increment]):
    def on_error(self, exc: Exception) -> str: ...  # type: ignore[override, empty-body]  # pyright: ignore[reportIncompatibleMethodOverride]

    async def receive(self, msg: Increment, ctx: Context[Increment]) -> None: ...


class Unfinished(Actor[Increment]):
    pass


async def probing(probe: Probe[Increment]) -> None:
    await probe.expect(Foreign())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


unfinished = Unfinished()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]
