"""Whatever an actor's code raises: askers are answered, and the system can be stopped (spec/actors.md)."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

from casty.errors import ActorFailedError, ActorStartError, ActorStoppedError
from casty.system import ActorSystem
from tests.actors import Gated, Noted, spawn_child
from tests.raising import EXCEPTIONS, WAYS, OutcomeError, Raising, do_raise
from tests.support import run, settle, until_it_waits

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from casty.actor import Actor, ActorRef, Context


@pytest.fixture(params=EXCEPTIONS)
def error(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> BaseException:
    if request.param == "surrogate":
        caplog.set_level(logging.CRITICAL, "casty")  # the runner cannot pass on such a traceback
    return EXCEPTIONS[request.param]()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def is_over(system: ActorSystem, ref: ActorRef[Any]) -> None:
    """The actor has stopped, answers nobody, and its name is free."""
    await settle()
    with pytest.raises(ActorStoppedError):
        await ref.ask("late", timeout=None)
    if ref.name is not None:
        await system.stop(await system.spawn(Noted, name=ref.name, notes=[]))


@pytest.mark.parametrize("verdict", [False, True])
async def test_whatever_receive_raises_the_asker_is_told(error: BaseException, way: str, verdict: bool) -> None:
    """[ACTOR-8] [ACTOR-20] [ACTOR-21]"""
    async with ActorSystem() as system:
        ref = await system.spawn(Raising, name="a", error=error, way=way, verdict=verdict)
        with pytest.raises(ActorFailedError) as failed:
            await ref.ask("raise", timeout=None)
        assert failed.value.actor == "a"
        assert failed.value.message_type == "str"
        assert type(failed.value.message) is str
        if verdict:
            assert await ref.ask("hello") == "hello"
        else:
            await is_over(system, ref)


async def test_whatever_receive_raises_those_behind_it_are_told(error: BaseException, way: str) -> None:
    """[ACTOR-9] Asks that are queued, and one that was handled without a reply."""
    async with ActorSystem() as system:
        ref = await system.spawn(Raising, name="a", error=error, way=way)
        await ref.send("raise")
        asked = [asyncio.create_task(ref.ask(text, timeout=None)) for text in ("one", "two")]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ActorStoppedError] * 2
        await is_over(system, ref)


async def test_whatever_on_start_raises_spawn_raises_its_own_error(error: BaseException, way: str) -> None:
    """[ACTOR-16]"""

    class Starting(Raising):
        async def on_start(self) -> None:
            await self.context.spawn(Noted, name="child", notes=[])
            self.note("spawned")
            await do_raise(self.error, self.way)

    async with ActorSystem() as system:
        with pytest.raises(ActorStartError, match="on_start of actor a raised"):
            await system.spawn(Starting, name="a", error=error, way=way)
        for name in ("a", "child"):
            await system.spawn(Noted, name=name, notes=[])


async def test_whatever_a_constructor_raises_spawn_raises_its_own_error(error: BaseException) -> None:
    """[ACTOR-16]"""

    def construct() -> Actor[Any]:
        raise error

    async with ActorSystem() as system:
        with pytest.raises(ActorStartError, match="construct"):
            await system.spawn(construct, name="a")
        await system.spawn(Noted, name="a", notes=[])


@pytest.mark.parametrize("by_fault", [False, True])
async def test_whatever_on_stop_raises_the_actor_is_over(
    error: BaseException, way: str, by_fault: bool
) -> None:
    """[ACTOR-23] Of an idle actor and of one that fails."""

    class Stopping(Raising):
        async def on_stop(self) -> None:
            await do_raise(self.error, self.way)

    async with ActorSystem() as system:
        ref = await system.spawn(Stopping, name="a", error=error, way=way)
        if by_fault:
            with pytest.raises(ActorFailedError):
                await ref.ask(ValueError(), timeout=None)
        else:
            await system.stop(ref, timeout=None)
        await settle()
        await is_over(system, ref)


async def test_whatever_on_error_raises_the_actor_is_over(error: BaseException, way: str) -> None:
    """[ACTOR-20]"""

    class Deciding(Raising):
        def on_error(self, exc: Exception) -> Any:
            if self.way == "at once":
                raise self.error
            return do_raise(self.error, self.way)

    async with ActorSystem() as system:
        ref = await system.spawn(Deciding, name="a", error=error, way=way)
        with pytest.raises(ActorFailedError, match="ValueError"):
            await ref.ask(ValueError(), timeout=None)
        await settle()
        await is_over(system, ref)


async def test_whatever_on_child_stopped_raises_is_a_failure(error: BaseException, way: str) -> None:
    """[ACTOR-25]"""

    class Parent(Raising):
        async def on_child_stopped(self, child: ActorRef[Any], exc: Exception | None) -> None:
            await do_raise(self.error, self.way)

    async with ActorSystem() as system:
        ref = await system.spawn(Parent, name="a", error=error, way=way)
        child = await ref.ask(spawn_child([]))
        await system.stop(child)
        await settle()
        await is_over(system, ref)


# ------------------------------------------------------------------------------------------- cancellations


class Cancelling(Noted):
    """Cancels its own task."""

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        task = asyncio.current_task()
        assert task is not None
        match msg:
            case "cancel":
                task.cancel()
            case "cancel and wait":
                task.cancel()
                await asyncio.sleep(0)
            case "cancel and not":
                task.cancel()
                task.uncancel()
                if sys.version_info < (3, 13):  # where that does not yet take back what has not been raised
                    try:
                        await asyncio.sleep(0)
                    except asyncio.CancelledError:
                        pass
                ctx.reply("not cancelled")
            case _:
                await super().receive(msg, ctx)


@pytest.mark.parametrize("message", ["cancel", "cancel and wait"])
async def test_an_actor_that_cancels_its_own_task_stops(message: str) -> None:
    """[ACTOR-29] Also where it waits for nothing afterwards; its askers are told."""
    async with ActorSystem() as system:
        ref = await system.spawn(Cancelling, name="a", notes=[])
        with pytest.raises(ActorStoppedError):
            await ref.ask(message, timeout=None)
        await is_over(system, ref)


async def test_a_cancellation_that_is_taken_back_is_none() -> None:
    """[ACTOR-29]"""
    async with ActorSystem() as system:
        ref = await system.spawn(Cancelling, name="a", notes=[])
        assert await ref.ask("cancel and not", timeout=None) == "not cancelled"
        assert await ref.ask("hello") == "hello"


async def test_an_actor_that_cancels_its_own_start_does_not_start() -> None:
    """[ACTOR-16] [ACTOR-29] Though on_start returns: a spawn that raises leaves no actor behind."""

    class Starting(Noted):
        async def on_start(self) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    async with ActorSystem() as system:
        with pytest.raises(ActorStartError, match="on_start of actor a raised CancelledError"):
            await system.spawn(Starting, name="a", notes=[])
        await system.spawn(Noted, name="a", notes=[])


@pytest.mark.parametrize("hook", ["on_start", "on_stop", "on_error", "on_child_stopped", "receive"])
async def test_what_a_cancelled_hook_raises_instead_hangs_nobody(hook: str) -> None:
    """[ACTOR-29] A cancellation from outside that the hook turns into another exception."""
    waiting = asyncio.Event()

    async def turn() -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OutcomeError from None

    class Turning(Noted):
        async def on_start(self) -> None:
            if hook == "on_start":
                await turn()

        async def on_stop(self) -> None:
            if hook == "on_stop":
                await turn()

        async def on_error(self, exc: Exception) -> bool:
            if hook == "on_error":
                await turn()
            return False

        async def on_child_stopped(self, child: ActorRef[Any], exc: Exception | None) -> None:
            await turn()

        async def receive(self, msg: Any, ctx: Context[Any]) -> None:
            if msg == "turn":
                await turn()
            else:
                await super().receive(msg, ctx)

    async with ActorSystem(shutdown_timeout=0) as system:
        spawning = asyncio.create_task(system.spawn(Turning, name="a", notes=[]))
        asked: list[asyncio.Task[Any]] = []
        if hook == "on_start":
            await waiting.wait()
        else:
            ref = await spawning
            if hook == "on_child_stopped":
                await system.stop(await ref.ask(spawn_child([])))
            message = {"on_error": ValueError(), "receive": "turn", "on_stop": lambda ctx: ctx.stop()}
            asked.append(asyncio.create_task(ref.ask(message.get(hook, "queued"), timeout=None)))
            await waiting.wait()
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "a"]
        task.cancel()
        outcomes = await asyncio.gather(spawning, *asked, return_exceptions=True)
        assert isinstance(outcomes[-1], (ActorStartError, ActorStoppedError, ActorFailedError, type(None)))


# ------------------------------------------------------------------------- what ends the program ends it


def set_already() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


FATAL = [KeyboardInterrupt, SystemExit]


def ends_program(
    fatal: type[BaseException], before: Callable[[ActorSystem], Coroutine[Any, Any, list[asyncio.Task[Any]]]]
) -> list[Any]:
    """Runs `before` until the program ends; then the system must stop. What its tasks came to."""
    loop = asyncio.new_event_loop()
    system = ActorSystem()
    tasks: list[asyncio.Task[Any]] = []

    async def begin() -> None:
        async with asyncio.timeout(20):
            tasks.extend(await before(system))
            await asyncio.Event().wait()

    async def end() -> list[Any]:
        async with asyncio.timeout(20):
            await system.shutdown()
            return await asyncio.gather(*tasks, return_exceptions=True)

    beginning = loop.create_task(begin())
    try:
        with pytest.raises(fatal):
            loop.run_until_complete(beginning)
        outcomes = loop.run_until_complete(end())
        beginning.cancel()
        loop.run_until_complete(asyncio.wait([beginning]))
        return outcomes
    finally:
        loop.close()


@pytest.mark.parametrize("fatal", FATAL)
@pytest.mark.parametrize("in_which", ["receive", "on_error", "on_stop", "on_child_stopped"])
def test_what_ends_the_program_answers_the_askers_first(
    fatal: type[BaseException], in_which: str, way: str
) -> None:
    """[ACTOR-21] [ACTOR-9] It goes out of the loop, and through no asker. Then the system can be stopped."""

    class Fatal(Noted):
        async def on_stop(self) -> None:
            if in_which == "on_stop":
                await do_raise(fatal(), way)

        async def on_error(self, exc: Exception) -> bool:
            await do_raise(fatal(), way)
            return True

        async def on_child_stopped(self, child: ActorRef[Any], exc: Exception | None) -> None:
            await do_raise(fatal(), way)

        async def receive(self, msg: Any, ctx: Context[Any]) -> None:
            if msg == "fatal":
                await do_raise(fatal(), way)
            await super().receive(msg, ctx)

    async def before(system: ActorSystem) -> list[asyncio.Task[Any]]:
        await system.spawn(Noted, name="other", notes=[])
        ref = await system.spawn(Fatal, name="a", notes=[])
        message: Any = {"receive": "fatal", "on_error": ValueError(), "on_stop": lambda ctx: ctx.stop()}
        if in_which == "on_child_stopped":
            child = await ref.ask(spawn_child([]))
            unanswered = await until_it_waits(ref.ask(set_already(), timeout=None))
            await child.send(ValueError())
            return [unanswered]
        asked = [message[in_which], "queued"]
        return [asyncio.create_task(ref.ask(each, timeout=None)) for each in asked]

    outcomes = ends_program(fatal, before)
    assert all(isinstance(each, (ActorStoppedError, ActorFailedError, type(None))) for each in outcomes), (
        outcomes
    )


@pytest.mark.parametrize("fatal", FATAL)
def test_what_ends_the_program_in_on_start_fails_the_spawn(fatal: type[BaseException], way: str) -> None:
    """[ACTOR-21] [ACTOR-16]"""

    class Fatal(Noted):
        async def on_start(self) -> None:
            await self.context.spawn(Gated, name="child", notes=[], gate=set_already())
            await do_raise(fatal(), way)

    async def before(system: ActorSystem) -> list[asyncio.Task[Any]]:
        return [asyncio.create_task(system.spawn(Fatal, name="a", notes=[]))]

    (outcome,) = ends_program(fatal, before)
    assert isinstance(outcome, ActorStartError)


@pytest.mark.parametrize("fatal", FATAL)
def test_what_ends_the_program_while_it_shuts_down_leaves_no_actor_behind(fatal: type[BaseException]) -> None:
    """[ACTOR-21] [ACTOR-26] The others' on_stop runs all the same."""
    notes: list[str] = []

    class Fatal(Noted):
        async def on_stop(self) -> None:
            raise fatal

    async def main() -> None:
        async with ActorSystem() as system:
            await system.spawn(Noted, notes=notes, label="first")
            await system.spawn(Fatal, notes=notes)
            await system.spawn(Noted, notes=notes, label="last")

    with pytest.raises(fatal):
        run(main())
    assert sorted(notes) == ["first starts", "first stops", "last starts", "last stops", "starts"]


async def test_an_ask_at_the_end_of_the_stack_leaves_no_actor_stuck() -> None:
    """[ACTOR-9] Wherever in this library the stack ends: the actor can be stopped, and goes on where it can."""

    class Deep(Noted):
        async def receive(self, msg: Any, ctx: Context[Any]) -> None:
            ctx.reply(msg)

    async def at_depth(depth: int, ref: ActorRef[Any]) -> Any:
        return await (at_depth(depth - 1, ref) if depth else ref.ask("deep", timeout=0.01))

    async with ActorSystem() as system:
        limit = sys.getrecursionlimit()
        for depth in range(limit - 60, limit):
            ref = await system.spawn(Deep, name="a", notes=[])
            try:
                assert await at_depth(depth, ref) == "deep"
            except (RecursionError, ActorFailedError, ActorStoppedError, TimeoutError):
                pass
            await system.stop(ref, timeout=None)


async def test_an_actor_whose_coroutine_is_closed_from_outside_is_over() -> None:
    """[ACTOR-9] [ACTOR-29] Nothing in it may wait any more, so no hook runs; but its askers are told."""
    go = asyncio.Event()
    async with ActorSystem() as system:
        ref = await system.spawn(Noted, name="a", notes=[])
        asked = [await until_it_waits(ref.ask(each, timeout=None)) for each in (go, "queued")]
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "a"]
        coroutine: Any = task.get_coro()
        coroutine.close()
        for each in asked:
            with pytest.raises(ActorStoppedError):
                await each
        await is_over(system, ref)
        task.cancel()
        await asyncio.wait([task])
        assert isinstance(task.exception(), RuntimeError)  # there is nothing left that it could run
