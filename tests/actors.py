"""The actors that tests give orders to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from casty.actor import Actor, ActorRef, Context, Request

if TYPE_CHECKING:
    from casty.system import ActorSystem


@dataclass(frozen=True)
class Pause:
    """Keeps an actor busy until `go` is set; `begun` is set when it is."""

    begun: asyncio.Event
    go: asyncio.Event

    @classmethod
    def new(cls) -> Pause:
        return cls(asyncio.Event(), asyncio.Event())


async def make_busy(ref: ActorRef[Any]) -> Pause:
    """What the actor is busy with from now on."""
    pause = Pause.new()
    await ref.send(pause)
    await pause.begun.wait()
    return pause


class Recorder(Actor[Any]):
    """Writes down what it handles, replies to "list" with it, and calls what can be called."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        match msg:
            case Pause(begun, go):
                begun.set()
                await go.wait()
            case "list":
                ctx.reply(list(self.seen))
            case _ if callable(msg):
                msg()
            case _:
                self.seen.append(msg)


# ---------------------------------------------------------------------------------------------- a noted life


class Noted(Actor[Any]):
    """Notes its life in a list. It raises exceptions, awaits what can be awaited, calls what can be called."""

    def __init__(self, notes: list[str], label: str = "") -> None:
        self.notes = notes
        self.label = label

    def note(self, what: str) -> None:
        self.notes.append(f"{self.label} {what}".strip())

    async def on_start(self) -> None:
        self.note("starts")

    async def on_stop(self) -> None:
        self.note("stops")

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        match msg:
            case BaseException():
                raise msg
            case asyncio.Event() | asyncio.Future():
                self.note("waits")
                await (msg.wait() if isinstance(msg, asyncio.Event) else msg)
                self.note("goes on")
            case _ if callable(msg):
                result = msg(ctx)
                ctx.reply(await result if asyncio.iscoroutine(result) else result)
            case _:
                self.note(f"handles {msg}")
                ctx.reply(msg)


class Sturdy(Noted):
    """Outlives its failures."""

    def on_error(self, exc: Exception) -> bool:
        self.note(f"on_error {exc!r}")
        return True


class Gated(Noted):
    """Waits for `gate` in on_start."""

    def __init__(self, notes: list[str], gate: asyncio.Event) -> None:
        super().__init__(notes)
        self.gate = gate

    async def on_start(self) -> None:
        self.note("starts")
        await self.gate.wait()
        self.note("has started")


def spawn_child(notes: list[str], name: str = "child", kind: type[Noted] = Noted) -> Any:
    """A message that makes a Noted spawn a child and reply with its ref."""

    async def spawn(ctx: Context[Any]) -> ActorRef[Any]:
        return await ctx.spawn(kind, name=name, notes=notes, label=name)

    return spawn


# ------------------------------------------------------------------------------------------------- asks


@dataclass(frozen=True)
class Say(Request[str]):
    """Replies with the text."""

    text: str


@dataclass(frozen=True)
class Keep:
    """Keeps the context, to reply through it later."""


@dataclass(frozen=True)
class Fail:
    """Raises, after a reply if there is one."""

    exc: BaseException
    reply: str | None = None


class Server(Actor[Say | Pause | Keep | Fail]):
    """Does what each of the messages above says; outlives its failures."""

    def __init__(self) -> None:
        self.kept: list[Context[Any]] = []
        self.said: list[str] = []

    def on_error(self, exc: Exception) -> bool:
        return True

    async def receive(self, msg: Say | Pause | Keep | Fail, ctx: Context[Say | Pause | Keep | Fail]) -> None:
        match msg:
            case Say(text):
                self.said.append(text)
                ctx.reply(text)
            case Pause(begun, go):
                begun.set()
                await go.wait()
            case Keep():
                self.kept.append(ctx)
            case Fail(exc, reply):
                if reply is not None:
                    ctx.reply(reply)
                raise exc


async def spawn_server(system: ActorSystem) -> tuple[Server, ActorRef[Any]]:
    server = Server()
    return server, await system.spawn(lambda: server, name="server")
