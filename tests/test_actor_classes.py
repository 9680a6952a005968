"""What a user may write as an actor's class: it works, or the error says what to change (spec/actors.md)."""

from __future__ import annotations

import asyncio
import functools
import types
from abc import ABCMeta, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import pytest

from casty.actor import Actor, ActorRef, Context, Request
from casty.errors import ActorFailedError, ActorStartError
from casty.system import ActorSystem
from tests.support import logged


@dataclass(frozen=True)
class Ping(Request[str]):
    pass


class Answering(Actor[Any]):
    """Answers with its class's name."""

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        ctx.reply(type(self).__name__)


# ------------------------------------------------------------------------------------------------ what works


@dataclass(frozen=True)
class Frozen(Answering):
    step: int = 1
    seen: list[int] = field(default_factory=list[int])


@dataclass(frozen=True, slots=True)
class FrozenSlots(Answering):
    step: int = 1


@dataclass(eq=True)
class Unhashable(Answering):
    step: int = 1


@dataclass(order=True, unsafe_hash=True)
class Ordered(Answering):
    step: int = 1


class Slots(Answering):
    __slots__ = ("step",)

    def __init__(self) -> None:
        self.step = 1


class NoSuper(Answering):
    def __init__(self) -> None:
        self.step = 1


class Guarded(Answering):
    """Lets no attribute be set, and has any that is asked for."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"no {name} here")

    def __getattr__(self, name: str) -> str:
        return name


class Meta(ABCMeta):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


class WithMeta(Answering, metaclass=Meta):
    pass


class Untyped(Actor):  # type: ignore[type-arg]  # as users write it
    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        ctx.reply(type(self).__name__)


class Box[T](Actor[T]):
    async def receive(self, msg: T, ctx: Context[T]) -> None:
        ctx.reply(type(self).__name__)


class Middle[T](Box[T]):
    pass


class Lowest(Middle[int]):
    pass


@dataclass(frozen=True)
class FrozenBox[T](Box[T]):
    pass


def logging_calls(method: Any) -> Any:
    @functools.wraps(method)
    def wrapper(self: Any, *args: Any) -> Any:
        return method(self, *args)

    return wrapper


class Decorated(Answering):
    @logging_calls
    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        ctx.reply(type(self).__name__)


class Returning(Answering):
    """Not async, but what it returns can be awaited."""

    def receive(self, msg: Any, ctx: Context[Any]) -> Any:
        return super().receive(msg, ctx)


class Defaulted(Answering):
    async def receive(self, msg: Any, ctx: Any = None, *more: Any, **options: Any) -> None:
        await super().receive(msg, ctx)


class Static(Answering):
    @staticmethod
    async def receive(msg: Any, ctx: Context[Any]) -> None:
        ctx.reply("Static")


class OldStyle(Answering):
    @types.coroutine
    def receive(self, msg: Any, ctx: Context[Any]) -> Any:
        yield
        ctx.reply("OldStyle")


WORKING: list[Any] = [
    Frozen,
    FrozenSlots,
    Unhashable,
    Ordered,
    Slots,
    NoSuper,
    Guarded,
    WithMeta,
    Untyped,
    Box,
    Box[int],
    Middle[int],
    Lowest,
    FrozenBox[int],
    Decorated,
    Returning,
    Defaulted,
    Static,
    OldStyle,
]


@pytest.mark.parametrize("kind", WORKING)
async def test_a_class_may_be_written_in_many_ways(kind: Any) -> None:
    """[ACTOR-18] [ACTOR-19] It starts, has its context, answers, has children, and stops."""
    async with ActorSystem() as system:
        made: list[Actor[Any]] = []

        def make() -> Actor[Any]:
            made.append(kind())
            return made[0]

        ref = await system.spawn(make, name="a")
        name = getattr(kind, "__origin__", kind).__name__
        assert await ref.ask(1) == name
        assert made[0].context.self_ref == ref
        await made[0].context.spawn(kind, name="child")
        with pytest.raises(ValueError, match="has a `context` already"):
            await system.spawn(lambda: made[0])
        await system.stop(ref)
        assert await (await system.spawn(kind)).ask(1) == name


# -------------------------------------------------------------------------------------------- what does not


class NoReceive(Actor[int]):
    pass


class HalfAbstract(Answering):
    @abstractmethod
    def more(self) -> None: ...


class TooFew(Answering):
    async def receive(self, msg: Any) -> None:  # type: ignore[override]  # as users write it
        pass


class TooMany(Answering):
    async def receive(self, msg: Any, ctx: Any, more: Any) -> None:  # type: ignore[override]  # the same
        pass


class NoSelf(Answering):
    async def on_stop() -> None:  # type: ignore[misc]
        pass


class Greedy(Answering):
    async def on_start(self, context: Any) -> None:  # type: ignore[override]  # the same
        pass


class Curious(Answering):
    def on_error(self, exc: Exception, msg: Any) -> bool:  # type: ignore[override]  # the same
        return True


class Childless(Answering):
    async def on_child_stopped(self, child: Any) -> None:  # type: ignore[override]  # the same
        pass


class Yielding(Answering):
    async def receive(self, msg: Any, ctx: Any) -> Any:
        yield msg


class Generating(Answering):
    def on_start(self) -> Any:
        yield


class NotCallable(Answering):
    on_start = None  # type: ignore[assignment]  # the same


class HasContext(Answering):
    @property
    def context(self) -> Any:  # type: ignore[override]  # the same
        return None


@dataclass
class FieldContext(Answering):
    context: int = 1  # type: ignore[assignment]  # the same


class TooEarly(Answering):
    def __init__(self) -> None:
        self.me = self.context.self_ref


class Duck:
    async def receive(self, msg: Any, ctx: Any) -> None:
        pass


class Registered:
    pass


Actor.register(Registered)


async def make() -> Actor[Any]:
    return Answering()


FORM = r"write `async def receive\(self, msg, ctx\)`"


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        (Actor, ActorStartError, "abstract"),
        (NoReceive, ActorStartError, "NoReceive.*abstract method '?receive"),
        (HalfAbstract, ActorStartError, "HalfAbstract.*abstract method '?more"),
        (TooFew, TypeError, rf"TooFew\.receive cannot be called with \(msg, ctx\): too many .*; {FORM}"),
        (TooMany, TypeError, rf"TooMany\.receive cannot be called with \(msg, ctx\): missing .*'more'; {FORM}"),
        (NoSelf, TypeError, r"NoSelf\.on_stop cannot be called with \(\): .*write `async def on_stop\(self\)`"),
        (Greedy, TypeError, r"Greedy\.on_start cannot .*'context'; write `async def on_start\(self\)`"),
        (Curious, TypeError, r"Curious\.on_error cannot .*'msg'; write `def on_error\(self, exc\)`"),
        (Childless, TypeError, r"Childless\.on_child_stopped cannot .*\(self, child, exc\)`"),
        (Yielding, TypeError, rf"Yielding\.receive contains `yield`, so it cannot be awaited; {FORM}"),
        (Generating, TypeError, r"Generating\.on_start contains `yield`, so it cannot be awaited"),
        (NotCallable, TypeError, r"NotCallable\.on_start must be a method, not None"),
        (HasContext, TypeError, "HasContext defines `context`, which is the actor's own"),
        (FieldContext, TypeError, "FieldContext defines `context`, which is the actor's own"),
        (TooEarly, ActorStartError, "`self.context` is there from `on_start` on, not in the constructor"),
        (Duck, TypeError, "gave <.*Duck object.*>, whose class does not inherit from Actor"),
        (Registered, TypeError, "whose class does not inherit from Actor"),
        (lambda: None, TypeError, "gave None, whose class does not inherit from Actor"),
        (make, TypeError, "is async: do what it awaits in `on_start`"),
        (Answering(), TypeError, r"an object that exists already is spawned by `spawn\(lambda: actor\)`"),
        ("Answering", TypeError, "spawn takes an Actor class or a function that returns one, not 'Answering'"),
    ],
)
async def test_a_class_that_cannot_work_is_refused_when_it_is_spawned(
    kind: Any, error: type[Exception], text: str
) -> None:
    """[ACTOR-18] In words that say what to change; the name is free and nothing else is left."""
    async with ActorSystem() as system:
        for _ in range(2):
            with pytest.raises(error, match=text):
                await system.spawn(kind, name="a")
        await system.spawn(Answering, name="a")


class Sync(Answering):
    """Forgets `async`, in all hooks."""

    def receive(self, msg: Any, ctx: Any) -> None:  # type: ignore[override]  # as users write it
        pass

    def on_stop(self) -> None:  # type: ignore[override]  # the same
        pass

    def on_child_stopped(self, child: ActorRef[Any], exc: Any) -> None:  # type: ignore[override]  # the same
        pass


class SyncStart(Answering):
    def on_start(self) -> None:  # type: ignore[override]  # the same
        pass


async def test_a_hook_that_is_not_async_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-18] Only its result shows it: a function that is not async may return something to await."""
    async with ActorSystem() as system:
        sync: Any = Sync
        ref = await system.spawn(sync, name="a")
        text = rf"TypeError: .*Sync\.receive.* is not async; {FORM}"
        with pytest.raises(ActorFailedError, match=text):
            await ref.ask(1)
        start: Any = SyncStart
        with pytest.raises(
            ActorStartError, match=r"SyncStart\.on_start.* is not async; write `async def on_start"
        ):
            await system.spawn(start, name="b")
    line = logged(caplog)[0]
    assert "Sync.receive" in line
    assert "Sync.on_stop" in line
    assert line.count("is not async") == 2


async def test_a_type_error_of_the_actor_s_own_is_left_as_it_is() -> None:
    """[ACTOR-8]"""

    class Failing(Actor[Any]):
        def receive(self, msg: Any, ctx: Any) -> Any:
            return self.later(msg)

        async def later(self, msg: Any) -> None:
            raise TypeError("of my own")

    async with ActorSystem() as system:
        ref = await system.spawn(Failing)
        with pytest.raises(ActorFailedError, match=r"^TypeError: of my own "):
            await ref.ask(asyncio.Event())
