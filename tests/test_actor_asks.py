"""Asks: answers, failures, and everything that can go wrong in between (spec/actors.md)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from casty.actor import Actor, ActorRef, Context, Request
from casty.errors import (
    ActorFailedError,
    ActorStoppedError,
    ActorUnavailableError,
    AskTimeoutError,
    CastyError,
    ReentrancyError,
)
from casty.system import ActorSystem
from tests.support import run
from tests.test_actor_messages import logged

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


@dataclass(frozen=True)
class Say(Request[str]):
    """Replies with the text."""

    text: str


@dataclass(frozen=True)
class Wait:
    """Waits for `go`; never replies."""

    begun: asyncio.Event
    go: asyncio.Event

    @classmethod
    def new(cls) -> Wait:
        return cls(asyncio.Event(), asyncio.Event())


@dataclass(frozen=True)
class Keep:
    """Keeps the context, to reply through it later."""


@dataclass(frozen=True)
class Fail:
    """Raises, after a reply if there is one."""

    exc: BaseException
    reply: str | None = None


class Server(Actor[Say | Wait | Keep | Fail]):
    """Does what each of the messages above says; outlives its failures."""

    def __init__(self) -> None:
        self.kept: list[Context[Any]] = []
        self.said: list[str] = []

    def on_error(self, exc: Exception) -> bool:
        return True

    async def receive(self, msg: Say | Wait | Keep | Fail, ctx: Context[Say | Wait | Keep | Fail]) -> None:
        match msg:
            case Say(text):
                self.said.append(text)
                ctx.reply(text)
            case Wait(begun, go):
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


async def make_busy(ref: ActorRef[Any]) -> Wait:
    wait = Wait.new()
    await ref.send(wait)
    await wait.begun.wait()
    return wait


async def until_it_waits(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task for the coroutine, which has come as far as it can."""
    task = asyncio.create_task(coroutine)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
    return task


def test_an_ask_returns_what_the_actor_replies() -> None:
    """[ACTOR-8]"""

    async def main() -> None:
        async with ActorSystem() as system:
            _, ref = await spawn_server(system)
            assert await ref.ask(Say("hello")) == "hello"

    run(main())


def test_none_is_a_reply() -> None:
    """[ACTOR-11]"""

    class Noner(Actor[str]):
        async def receive(self, msg: str, ctx: Context[str]) -> None:
            ctx.reply(None)

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Noner)
            assert await ref.ask("anything", timeout=1) is None

    run(main())


def test_a_failure_reaches_the_asker_at_once() -> None:
    """[ACTOR-8] With `timeout=None`, waiting for it would take for ever."""

    async def main() -> None:
        async with ActorSystem() as system:
            _, ref = await spawn_server(system)
            original = ZeroDivisionError("division by zero")
            with pytest.raises(ActorFailedError, match="ZeroDivisionError: division by zero") as caught:
                await ref.ask(Fail(original), timeout=None)
            assert caught.value.error_type == "ZeroDivisionError"
            assert caught.value.message == "division by zero"
            assert caught.value.node_id is None
            assert caught.value.__cause__ is original

    run(main())


def test_a_failure_reaches_an_asker_who_had_to_wait_for_it() -> None:
    """[ACTOR-8]"""

    async def main() -> None:
        async with ActorSystem() as system:
            _, ref = await spawn_server(system)
            wait = await make_busy(ref)
            question = await until_it_waits(ref.ask(Fail(ValueError("no")), timeout=None))
            wait.go.set()
            with pytest.raises(ActorFailedError, match="ValueError: no"):
                await question

    run(main())


def test_a_failure_after_the_reply_does_not_change_it() -> None:
    """[ACTOR-8]"""

    async def main() -> None:
        async with ActorSystem() as system:
            _, ref = await spawn_server(system)
            assert await ref.ask(Fail(ValueError("later"), reply="done")) == "done"

    run(main())


def test_an_ask_to_a_stopped_actor_fails_at_once() -> None:
    """[ACTOR-9]"""

    async def main() -> None:
        async with ActorSystem() as system:
            _, ref = await spawn_server(system)
            await system.stop(ref)
            with pytest.raises(ActorStoppedError, match="actor server has stopped"):
                await ref.ask(Say("hello"), timeout=None)

    run(main())


def test_when_an_actor_stops_all_it_has_not_answered_fails_at_once() -> None:
    """[ACTOR-9] Queued, being handled, and handled without a reply."""

    async def main() -> None:
        async with ActorSystem() as system:
            _, ref = await spawn_server(system)
            handled = await until_it_waits(ref.ask(Keep(), timeout=None))
            wait = Wait.new()
            running = await until_it_waits(ref.ask(wait, timeout=None))
            queued = await until_it_waits(ref.ask(Say("hello"), timeout=None))
            await system.stop(ref, timeout=0)
            with pytest.raises(ActorStoppedError, match="actor server stopped before it replied"):
                await handled
            with pytest.raises(ActorStoppedError, match="actor server was stopped while it handled Wait"):
                await running
            with pytest.raises(ActorStoppedError, match="actor server has stopped"):
                await queued

    run(main())


def test_asks_that_were_answered_later_are_not_failed_when_the_actor_stops() -> None:
    """[ACTOR-9] However many there were: what is over is forgotten."""

    async def main() -> None:
        async with ActorSystem() as system:
            server, ref = await spawn_server(system)
            for number in range(200):
                question = await until_it_waits(ref.ask(Keep()))
                server.kept[-1].reply(number)
                assert await question == number
            cell = system._registry.find("server")
            assert cell is not None
            assert cell._deferred is not None
            assert len(cell._deferred) <= 32

    run(main())


def test_an_ask_waits_five_seconds_by_default() -> None:
    """[ACTOR-10]"""

    async def main() -> None:
        async with ActorSystem() as system:
            _, ref = await spawn_server(system)
            loop = asyncio.get_running_loop()
            deadlines: list[float] = []
            call_later = loop.call_later

            def spy(delay: float, callback: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
                deadlines.append(delay)
                return call_later(0, callback, *args)

            loop.call_later = spy  # type: ignore[method-assign, assignment]  # the loop's clock, on a leash
            with pytest.raises(AskTimeoutError, match=re.escape("in 5 s")):
                await ref.ask(Keep())
            loop.call_later = call_later  # type: ignore[method-assign]  # and off it again
            assert deadlines == [5.0]

    run(main())


def test_a_timeout_says_how_far_the_message_has_come() -> None:
    """[ACTOR-10]"""

    async def main() -> None:
        async with ActorSystem() as system:
            _, ref = await spawn_server(system)
            text = "actor server gave no answer to Keep in 0.001 s: handled without a reply"
            with pytest.raises(AskTimeoutError, match=text):
                await ref.ask(Keep(), timeout=0.001)
            wait = Wait.new()
            text = "actor server gave no answer to Wait in 0.001 s: still being handled"
            with pytest.raises(AskTimeoutError, match=text):
                await ref.ask(wait, timeout=0.001)
            text = "actor server gave no answer to Say in 0.001 s: still queued"
            with pytest.raises(AskTimeoutError, match=text):
                await ref.ask(Say("hello"), timeout=0.001)
            wait.go.set()

    run(main())


def test_a_reply_just_before_the_timeout_is_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-10] The timer is due, but the reply was first in the same turn of the loop."""

    async def main() -> None:
        async with ActorSystem() as system:
            server, ref = await spawn_server(system)
            question = asyncio.create_task(ref.ask(Keep(), timeout=0))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            server.kept[0].reply("in time")
            assert await question == "in time"

    run(main())
    assert logged(caplog, by="asyncio", level=logging.ERROR) == []


def test_every_error_of_an_ask_says_what_kind_it_is() -> None:
    """[ACTOR-10] So that a caller can catch the builtin, or all of Casty's at once."""
    assert issubclass(AskTimeoutError, TimeoutError)
    assert issubclass(ActorStoppedError, ActorUnavailableError)
    for error in (ActorFailedError, ActorUnavailableError, AskTimeoutError, ReentrancyError):
        assert issubclass(error, CastyError)


def test_the_timer_of_an_answered_ask_is_cancelled() -> None:
    """[ACTOR-10] A million answered asks must not leave a million timers."""

    async def main() -> None:
        async with ActorSystem() as system:
            server, ref = await spawn_server(system)
            loop = asyncio.get_running_loop()
            timers: list[asyncio.TimerHandle] = []
            call_later = loop.call_later

            def spy(*args: Any) -> asyncio.TimerHandle:
                timers.append(call_later(*args))
                return timers[-1]

            loop.call_later = spy  # type: ignore[method-assign, assignment]  # to see the timers
            question = await until_it_waits(ref.ask(Keep()))
            server.kept[0].reply("done")
            assert await question == "done"
            loop.call_later = call_later  # type: ignore[method-assign]  # to leave the loop as it was
            assert [timer.cancelled() for timer in timers] == [True]

    run(main())


def test_the_first_reply_counts_and_a_second_is_a_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-11]"""

    class Twice(Actor[int]):
        async def receive(self, msg: int, ctx: Context[int]) -> None:
            ctx.reply(msg)
            ctx.reply(msg + 1)

    async def main() -> None:
        async with ActorSystem() as system:
            for ref in (await system.spawn(Twice), await system.spawn(Twice)):
                assert await ref.ask(1) == 1
                assert await ref.ask(5) == 5
            assert system.late_reply_count == 0

    with caplog.at_level(logging.WARNING):
        run(main())
    assert [message.partition("<locals>.")[2] for message in logged(caplog)] == [
        "Twice replied twice to one message; the first reply counts"
    ]


def test_a_late_reply_is_dropped_and_counted() -> None:
    """[ACTOR-11]"""

    async def main() -> None:
        async with ActorSystem() as system:
            server, ref = await spawn_server(system)
            with pytest.raises(AskTimeoutError):
                await ref.ask(Keep(), timeout=0)
            server.kept[0].reply("too late")
            assert system.late_reply_count == 1

    run(main())


def test_a_reply_nobody_asked_for_does_nothing() -> None:
    """[ACTOR-11]"""

    async def main() -> None:
        async with ActorSystem() as system:
            server, ref = await spawn_server(system)
            await ref.send(Say("sent"))
            await ref.ask(Say("asked"))
            server.context.reply("nobody")
            assert server.said == ["sent", "asked"]
            assert system.late_reply_count == 0

    run(main())


def test_a_reply_finds_its_own_asker_however_late_it_comes() -> None:
    """[ACTOR-12] With one context for all messages, both would be answered to the last asker."""

    async def main() -> None:
        async with ActorSystem() as system:
            server, ref = await spawn_server(system)
            first = await until_it_waits(ref.ask(Keep()))
            second = await until_it_waits(ref.ask(Keep()))
            assert await ref.ask(Say("meanwhile")) == "meanwhile"
            server.kept[1].reply("second")
            server.kept[0].reply("first")
            assert await first == "first"
            assert await second == "second"

    run(main())


def test_an_actor_may_reply_from_another_task_while_it_handles_the_next_message() -> None:
    """[ACTOR-12]"""

    async def main() -> None:
        async with ActorSystem() as system:
            server, ref = await spawn_server(system)
            question = await until_it_waits(ref.ask(Keep()))
            wait = await make_busy(ref)
            server.kept[0].reply("from the test's own task")
            assert await question == "from the test's own task"
            wait.go.set()

    run(main())


def test_an_ask_given_up_before_it_was_started_is_skipped() -> None:
    """[ACTOR-13] Whether by timeout or by cancellation."""

    async def main() -> None:
        async with ActorSystem() as system:
            server, ref = await spawn_server(system)
            wait = await make_busy(ref)
            with pytest.raises(AskTimeoutError):
                await ref.ask(Say("timed out"), timeout=0)
            cancelled = await until_it_waits(ref.ask(Say("cancelled")))
            cancelled.cancel()
            await asyncio.wait([cancelled])
            wait.go.set()
            assert await ref.ask(Say("wanted")) == "wanted"
            assert server.said == ["wanted"]

    run(main())


def test_an_ask_given_up_after_it_was_started_is_not_interrupted() -> None:
    """[ACTOR-13]"""

    class Careful(Actor[asyncio.Event]):
        async def receive(self, msg: asyncio.Event, ctx: Context[asyncio.Event]) -> None:
            try:
                await msg.wait()
                steps.append("done")
            except asyncio.CancelledError:
                steps.append("cancelled")
                raise

    steps: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Careful)
            go = asyncio.Event()
            with pytest.raises(AskTimeoutError):
                await ref.ask(go, timeout=0)
            go.set()

    run(main())
    assert steps == ["done"]


def test_an_asker_cancelled_at_the_moment_of_a_failure_is_cancelled(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[ACTOR-13] And asyncio has no reason to report an exception that nobody looked at."""

    async def ask_on(ref: ActorRef[Any]) -> None:
        for _ in range(256):  # the last of them pauses, with its answer in hand
            with contextlib.suppress(ActorFailedError):
                await ref.ask(Fail(ValueError()))

    async def main() -> None:
        async with ActorSystem() as system:
            _, ref = await spawn_server(system)
            pausing = asyncio.create_task(ask_on(ref))
            await asyncio.sleep(0)
            pausing.cancel()
            waiting = await until_it_waits(ref.ask(Keep()))
            stopping = asyncio.create_task(system.stop(ref))
            await asyncio.sleep(0)  # the ask has failed, the asker has not run yet
            waiting.cancel()
            await asyncio.wait([pausing, waiting, stopping])
            assert pausing.cancelled()
            assert waiting.cancelled()

    # The records of the failures would keep the futures alive, and asyncio reports when it drops them.
    monkeypatch.setattr(logging.getLogger("casty.cell"), "disabled", True)
    gc.collect()  # what other tests have left is not our subject
    caplog.clear()
    run(main())
    gc.collect()
    assert logged(caplog, by="asyncio", level=logging.ERROR) == []


class Selfish(Actor[str]):
    """Asks itself, directly or from another task."""

    async def receive(self, msg: str, ctx: Context[str]) -> None:
        match msg:
            case "own task":
                try:
                    await ctx.self_ref.ask("name", timeout=None)
                except ReentrancyError as error:
                    ctx.reply(error)
            case "side task":
                self.side = asyncio.create_task(self.ask_aside(ctx))
            case _:
                ctx.reply("selfish")

    async def ask_aside(self, ctx: Context[str]) -> None:
        ctx.reply(await ctx.self_ref.ask("name"))


def test_an_actor_that_asks_itself_fails_at_once() -> None:
    """[ACTOR-14] Whether it was idle before or busy."""

    async def main() -> None:
        async with ActorSystem() as system:
            selfish = await system.spawn(Selfish, name="selfish")
            idle = await selfish.ask("own task", timeout=None)
            await selfish.send("name")
            busy = await selfish.ask("own task", timeout=None)
            for error in (idle, busy):
                text = "actor selfish asked itself from its own task, which would never answer"
                assert (type(error), str(error)) == (ReentrancyError, text)

    run(main())


def test_an_actor_may_ask_itself_from_another_task() -> None:
    """[ACTOR-14]"""

    async def main() -> None:
        async with ActorSystem() as system:
            selfish = await system.spawn(Selfish)
            assert await selfish.ask("side task") == "selfish"

    run(main())


def test_an_actor_that_asks_itself_while_it_starts_fails_at_once() -> None:
    """[ACTOR-14] Else `spawn` would wait for an answer that can come only after it."""

    class Hasty(Actor[str]):
        async def on_start(self) -> None:
            with pytest.raises(ReentrancyError):
                await self.context.self_ref.ask("anything", timeout=None)

        async def receive(self, msg: str, ctx: Context[str]) -> None: ...

    async def main() -> None:
        async with ActorSystem() as system:
            await system.spawn(Hasty)

    run(main())


class Circle(Actor[str]):
    """Asks the next one in the circle."""

    def __init__(self, patience: float | None) -> None:
        self.patience = patience
        self.next: ActorRef[str] | None = None

    async def receive(self, msg: str, ctx: Context[str]) -> None:
        assert self.next is not None
        ctx.reply(await self.next.ask(msg, timeout=self.patience))


def test_a_circle_of_asks_ends_with_a_timeout_that_names_the_busy_actor() -> None:
    """[ACTOR-14]"""

    async def main() -> None:
        async with ActorSystem() as system:
            first, second = Circle(patience=None), Circle(patience=0.001)
            second.next = await system.spawn(lambda: first, name="first")
            first.next = await system.spawn(lambda: second, name="second")
            text = "AskTimeoutError: actor first gave no answer to str in 0.001 s: still queued"
            with pytest.raises(ActorFailedError, match=text):
                await second.next.ask("round")

    run(main())


def test_an_asked_message_may_be_one_without_a_request() -> None:
    """[ACTOR-8] `Request` is for type checkers; any message can be asked."""

    class Echo(Actor[int]):
        async def receive(self, msg: int, ctx: Context[int]) -> None:
            ctx.reply(msg)

    async def main() -> None:
        async with ActorSystem() as system:
            echo = await system.spawn(Echo)
            assert await echo.ask(3) == 3

    run(main())
