"""Right code: checkers must accept every line and infer every type as written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, assert_type

from casty import Actor, ActorRef, ActorSystem, Context
from casty.testing import Probe
from tests.typing.messages import AliasCounter, Cache, Counter, CounterMessage, GetCount, GetNames, Increment

if TYPE_CHECKING:
    from casty import DeadLetter


async def spawning(system: ActorSystem) -> None:
    counter = await system.spawn(Counter, name="counter", start=3)
    assert_type(counter, ActorRef[Increment | GetCount])
    by_function = await system.spawn(lambda: Counter(3), name="other")
    assert_type(by_function, ActorRef[Increment | GetCount])
    by_named_function = await system.spawn(make_counter)
    assert_type(by_named_function, ActorRef[Increment | GetCount])
    by_alias = await system.spawn(AliasCounter)
    assert_type(by_alias, ActorRef[Increment | GetCount])
    cache = await system.spawn(lambda: Cache[str, int](str, 10))
    assert_type(cache, ActorRef[tuple[str, int]])
    cache_with_arguments = await system.spawn(Cache[str, int], kind=str, size=10)
    assert_type(cache_with_arguments, ActorRef[tuple[str, int]])
    probe = await system.spawn(Probe[str])
    assert_type(probe, ActorRef[str])


def make_counter() -> Counter:
    return Counter()


async def sending(counter: ActorRef[Increment | GetCount], any_actor: ActorRef[Any]) -> None:
    await counter.send(Increment(5))
    await counter.send(GetCount())
    await any_actor.send("whatever")
    only_increments: ActorRef[Increment] = counter
    await only_increments.send(Increment())
    alias: ActorRef[CounterMessage] = counter
    await alias.send(Increment())


async def asking(counter: ActorRef[Increment | GetCount], any_actor: ActorRef[Any]) -> None:
    count = await counter.ask(GetCount())
    assert_type(count, int)
    also_count: int = await counter.ask(GetCount(), timeout=5.0)
    wider: int | None = await counter.ask(GetCount(), timeout=None)
    anything = await counter.ask(Increment())
    assert_type(anything, Any)
    typed_by_the_asker: str = await counter.ask(Increment())
    through_any = await any_actor.ask(GetNames())
    assert_type(through_any, list[str])
    unknown = await any_actor.ask("whatever")
    assert_type(unknown, Any)
    both = await asyncio.gather(counter.ask(GetCount()), counter.ask(GetCount()))
    assert_type(both, tuple[int, int])
    task = asyncio.create_task(counter.ask(GetCount()))
    assert_type(task, asyncio.Task[int])
    print(also_count, wider, typed_by_the_asker)


async def looking_up(system: ActorSystem) -> None:
    by_name = await system.lookup("counter")
    assert_type(by_name, ActorRef[Any])
    by_class = await system.lookup("counter", Counter, timeout=1.0)
    assert_type(by_class, ActorRef[Increment | GetCount])
    await system.stop(by_class, timeout=None)


class Parent(Actor[Increment]):
    async def on_start(self) -> None:
        assert_type(self.context, Context[Increment])
        self.timer = self.context.send_after(1.0, Increment())
        self.counter = await self.context.spawn(Counter, name="child")

    async def receive(self, msg: Increment, ctx: Context[Increment]) -> None:
        assert_type(ctx.self_ref, ActorRef[Increment])
        assert_type(ctx.system, ActorSystem)
        child = await ctx.spawn(lambda: Counter(1))
        assert_type(child, ActorRef[Increment | GetCount])
        ctx.reply(child)
        ctx.send_after(0.5, msg).cancel()
        ctx.stop()


async def systems() -> None:
    letters: list[DeadLetter] = []
    async with ActorSystem(
        mailbox_size=100, shutdown_timeout=None, copy_messages=True, on_dead_letter=letters.append
    ) as system:
        assert_type(system, ActorSystem)


async def probing(system: ActorSystem) -> None:
    probe = Probe[Increment]()
    ref = await system.spawn(lambda: probe)
    await ref.send(Increment())
    context = await probe.expect(Increment(), timeout=1.0)
    assert_type(context, Context[Increment])
