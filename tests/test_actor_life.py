"""An actor's life: starting, failing, children, stopping (spec/actors.md)."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest

from casty.actor import Actor, ActorRef, Context
from casty.errors import (
    ActorFailedError,
    ActorNotFoundError,
    ActorStartError,
    ActorStoppedError,
    NameTakenError,
)
from casty.system import ActorSystem
from casty.testing import Probe
from tests.support import run
from tests.test_actor_messages import logged


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


async def settle() -> None:
    """Lets everything happen that needs no clock."""
    for _ in range(10):
        await asyncio.sleep(0)


# Starting.


def test_spawn_returns_when_on_start_has() -> None:
    """[ACTOR-16]"""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Noted, notes=notes)
            notes.append("spawned")
            await ref.ask("a")

    run(main())
    assert notes == ["starts", "spawned", "handles a", "stops"]


class Gated(Noted):
    """Waits for `gate` in on_start, then sends its ref to whoever wants it, then waits for `second`."""

    def __init__(self, notes: list[str], gate: asyncio.Event) -> None:
        super().__init__(notes)
        self.gate = gate

    async def on_start(self) -> None:
        self.note("starts")
        await self.gate.wait()
        self.note("has started")


def test_messages_sent_while_an_actor_starts_wait_for_it() -> None:
    """[ACTOR-16] It is not found before it has started, but it may have handed out its ref."""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            gate = asyncio.Event()
            actor = Gated(notes, gate)
            spawning = asyncio.create_task(system.spawn(lambda: actor, name="gated"))
            await settle()
            with pytest.raises(ActorNotFoundError):
                await system.lookup("gated")
            early = actor.context.self_ref
            await early.send("a")
            question = asyncio.create_task(early.ask("b"))
            await settle()
            gate.set()
            ref = await spawning
            assert await question == "b"
            assert await system.lookup("gated") == ref

    run(main())
    assert notes == ["starts", "has started", "handles a", "handles b", "stops"]


class Unwilling(Noted):
    """Spawns a child and raises while it starts."""

    async def on_start(self) -> None:
        self.note("starts")
        self.child = await self.context.spawn(Noted, name="child", notes=self.notes, label="child")
        raise ValueError("no, thanks")


def test_a_failing_on_start_leaves_nothing_behind() -> None:
    """[ACTOR-16]"""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            with pytest.raises(ActorStartError, match="on_start of actor a raised ValueError") as caught:
                await system.spawn(Unwilling, name="a", notes=notes)
            assert isinstance(caught.value.__cause__, ValueError)
            for name in ("a", "child"):
                with pytest.raises(ActorNotFoundError):
                    await system.lookup(name)
            await system.spawn(Noted, name="a", notes=[])

    run(main())
    assert notes == ["starts", "child starts", "child stops"]


def test_asks_of_an_actor_that_does_not_start_fail_at_once() -> None:
    """[ACTOR-16]"""

    async def main() -> None:
        async with ActorSystem() as system:
            gate = asyncio.Event()
            actor = Gated([], gate)
            spawning = asyncio.create_task(system.spawn(lambda: actor))
            await settle()
            question = asyncio.create_task(actor.context.self_ref.ask("a", timeout=None))
            await settle()
            spawning.cancel()
            with pytest.raises(ActorStoppedError):
                await question

    run(main())


def test_a_failing_constructor_fails_spawn() -> None:
    """[ACTOR-16]"""

    async def main() -> None:
        async with ActorSystem() as system:
            with pytest.raises(ActorStartError, match="TypeError") as caught:
                await system.spawn(Noted, name="a", nonsense=1)
            assert isinstance(caught.value.__cause__, TypeError)
            await system.spawn(Noted, name="a", notes=[])

    run(main())


def test_a_cancelled_error_that_leaks_out_of_on_start_fails_spawn() -> None:
    """[ACTOR-16] [ACTOR-21] The spawner was not cancelled, so it must not look as if it were."""

    class Leaky(Noted):
        async def on_start(self) -> None:
            raise asyncio.CancelledError

    async def main() -> None:
        async with ActorSystem() as system:
            with pytest.raises(ActorStartError, match="CancelledError"):
                await system.spawn(Leaky, notes=[])

    run(main())


def test_a_cancelled_spawn_leaves_no_actor_behind() -> None:
    """[ACTOR-17] Cancelled while on_start waits, which is cancelled with it."""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            spawning = asyncio.create_task(system.spawn(Gated, name="a", notes=notes, gate=asyncio.Event()))
            await settle()
            spawning.cancel()
            await asyncio.wait([spawning])
            assert spawning.cancelled()
            await system.spawn(Noted, name="a", notes=[])

    run(main())
    assert notes == ["starts"]


def test_a_spawn_cancelled_as_the_actor_has_started_stops_it_again() -> None:
    """[ACTOR-17] on_start has returned, so on_stop is called."""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            gate = asyncio.Event()
            spawning = asyncio.create_task(system.spawn(Gated, name="a", notes=notes, gate=gate))
            await settle()
            gate.set()
            await asyncio.sleep(0)
            assert notes == ["starts", "has started"]
            spawning.cancel()
            await asyncio.wait([spawning])
            assert spawning.cancelled()
            await settle()
            assert notes == ["starts", "has started", "stops"]

    run(main())


def test_spawn_takes_a_function() -> None:
    """[ACTOR-18] For a constructor that wants a `name` of its own, say."""

    class User(Actor[str]):
        def __init__(self, name: str) -> None:
            self.name = name

        async def receive(self, msg: str, ctx: Context[str]) -> None:
            ctx.reply(self.name)

    async def main() -> None:
        async with ActorSystem() as system:
            user = await system.spawn(lambda: User(name="Ada"), name="user")
            assert user.name == "user"
            assert await user.ask("name?") == "Ada"

    run(main())


def test_spawn_refuses_what_is_no_actor() -> None:
    """[ACTOR-18]"""

    async def main() -> None:
        async with ActorSystem() as system:
            spawn: Any = system.spawn
            with pytest.raises(TypeError, match=r"function that returns one; .* gave 'text'"):
                await spawn(lambda: "text")

    run(main())


def test_an_actor_object_is_spawned_once() -> None:
    """[ACTOR-18] Two actors with one state would handle two messages at a time."""

    async def main() -> None:
        async with ActorSystem() as system:
            actor = Noted([])
            await system.spawn(lambda: actor)
            with pytest.raises(ValueError, match="has a `context` already"):
                await system.spawn(lambda: actor)

    run(main())


def test_the_context_is_there_in_on_start_without_any_constructor() -> None:
    """[ACTOR-19] `Early` does not call `super().__init__()`."""

    class Early(Actor[str]):
        def __init__(self) -> None:
            self.ref: ActorRef[str] | None = None

        async def on_start(self) -> None:
            self.ref = self.context.self_ref
            self.system = self.context.system

        async def receive(self, msg: str, ctx: Context[str]) -> None:
            ctx.reply((self.ref == ctx.self_ref, self.system is ctx.system))

    async def main() -> None:
        async with ActorSystem() as system:
            early = await system.spawn(Early, name="early")
            assert await early.ask("?") == (True, True)
            actor = Early()
            await system.spawn(lambda: actor)
            assert actor.system is system

    run(main())


# Failing.


def test_an_actor_stops_at_its_first_failure_by_default(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20]"""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Noted, name="a", notes=notes)
            await ref.send(ValueError("oh"))
            await ref.send("never")
            await settle()
            with pytest.raises(ActorStoppedError):
                await ref.ask("never")

    run(main())
    assert notes == ["starts", "stops"]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (record.name, record.getMessage()) == ("casty.cell", "actor a failed in ValueError")
    assert record.exc_info is not None


def test_on_error_can_keep_the_actor_and_its_state() -> None:
    """[ACTOR-20] For asked messages as for sent ones."""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Sturdy, notes=notes)
            await ref.send(ValueError("sent"))
            with pytest.raises(ActorFailedError):
                await ref.ask(ValueError("asked"))
            assert await ref.ask("a") == "a"

    run(main())
    sent, asked = "on_error ValueError('sent')", "on_error ValueError('asked')"
    assert notes == ["starts", sent, asked, "handles a", "stops"]


@pytest.mark.parametrize(("verdict", "survives"), [(True, True), (False, False), (1, True), (None, False)])
@pytest.mark.parametrize("is_async", [False, True])
def test_on_error_may_be_async(verdict: Any, survives: bool, is_async: bool) -> None:
    """[ACTOR-20] A coroutine is true; an actor that is not to live on must not, because nobody awaited it."""

    class Deciding(Noted):
        def on_error(self, exc: Exception) -> Any:
            return self.decide() if is_async else verdict

        async def decide(self) -> Any:
            await asyncio.sleep(0)
            return verdict

    async def main() -> bool:
        async with ActorSystem() as system:
            ref = await system.spawn(Deciding, notes=[])
            with pytest.raises(ActorFailedError):
                await ref.ask(ValueError())
            try:
                await ref.ask("a")
            except ActorStoppedError:
                return False
            return True

    assert run(main()) is survives


def test_an_on_error_that_raises_stops_the_actor(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20]"""

    class Clumsy(Noted):
        def on_error(self, exc: Exception) -> bool:
            raise KeyError("clumsy")

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Clumsy, name="a", notes=[])
            with pytest.raises(ActorFailedError, match="ValueError"):
                await ref.ask(ValueError())
            with pytest.raises(ActorStoppedError):
                await ref.ask("a")

    run(main())
    assert logged(caplog) == ["actor a failed in ValueError", "on_error of actor a raised; the actor stops"]


def test_a_cancelled_inner_task_is_a_failure_of_the_actor() -> None:
    """[ACTOR-21]"""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Sturdy, notes=notes)
            inner = asyncio.get_running_loop().create_future()
            question = asyncio.create_task(ref.ask(inner))
            await settle()
            inner.cancel()
            with pytest.raises(ActorFailedError, match="CancelledError") as caught:
                await question
            assert isinstance(caught.value.__cause__, asyncio.CancelledError)
            assert await ref.ask("a") == "a"

    run(main())
    assert notes[2].startswith('on_error RuntimeError("CancelledError left the actor')


def test_what_is_no_exception_stops_no_loop() -> None:
    """[ACTOR-21] Such as the outcomes of test frameworks, which derive from BaseException."""

    class Outcome(BaseException):
        pass

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Sturdy, notes=[])
            with pytest.raises(ActorFailedError, match="Outcome: skipped"):
                await ref.ask(Outcome("skipped"))
            assert await ref.ask("a") == "a"

    run(main())


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
def test_the_interpreters_own_exceptions_pass_through(fatal: type[BaseException]) -> None:
    """[ACTOR-21] [ACTOR-9] The program ends, and nothing hangs on the way out."""
    notes: list[str] = []
    refs: list[ActorRef[Any]] = []
    loop = asyncio.new_event_loop()
    system = ActorSystem()

    async def begin() -> None:
        ref = await system.spawn(Noted, name="a", notes=notes)
        refs.append(ref)
        await ref.send(fatal())
        await ref.send("queued")
        await asyncio.sleep(0)

    async def end() -> None:
        (ref,) = refs
        with pytest.raises(ActorStoppedError):
            await ref.ask("never", timeout=None)
        await ref.send("never")
        await system.shutdown()
        assert system.dead_letter_count == 2

    with pytest.raises(fatal):
        loop.run_until_complete(begin())
    loop.run_until_complete(end())
    loop.close()
    assert notes == ["starts"]


def test_the_interpreters_own_exceptions_pass_through_on_start() -> None:
    """[ACTOR-21] [ACTOR-16]"""

    class Interrupted(Noted):
        async def on_start(self) -> None:
            await self.context.spawn(Noted, name="child", notes=self.notes)
            raise KeyboardInterrupt

    async def main() -> None:
        async with ActorSystem() as system:
            await system.spawn(Interrupted, notes=[])

    with pytest.raises(KeyboardInterrupt):
        run(main())


def test_the_interpreters_own_exceptions_pass_through_on_stop() -> None:
    """[ACTOR-21]"""

    class Interrupted(Noted):
        async def on_stop(self) -> None:
            raise KeyboardInterrupt

    async def main() -> None:
        async with ActorSystem() as system:
            await system.spawn(Interrupted, notes=[])

    with pytest.raises(KeyboardInterrupt):
        run(main())


def test_an_actor_cancelled_in_on_error_stops() -> None:
    """[ACTOR-29] That it was about to decide makes no difference."""
    notes: list[str] = []

    class Deciding(Noted):
        async def on_error(self, exc: Exception) -> bool:
            await asyncio.Event().wait()
            return True

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Deciding, name="a", notes=notes)
            await ref.send(ValueError())
            await settle()
            await system.stop(ref, timeout=0)

    run(main())
    assert notes == ["starts", "stops"]


def test_a_loop_that_is_closed_under_its_actors_wakes_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-29] There is no loop any more to tell anyone; asyncio says what there is to say."""
    notes: list[str] = []

    async def main() -> tuple[Any, ...]:
        system = ActorSystem()
        ref = await system.spawn(Noted, name="running", notes=notes)
        asking = asyncio.create_task(ref.ask(asyncio.Event(), timeout=None))
        queued = asyncio.create_task(ref.ask("queued", timeout=None))
        spawning = system.spawn(Gated, name="starting", notes=notes, gate=asyncio.Event())
        asyncio.create_task(spawning, name="spawner").add_done_callback(lambda _: None)
        await settle()
        return ref, asking, queued

    gc.collect()  # what other tests have left is not our subject
    caplog.clear()
    loop = asyncio.new_event_loop()
    kept = loop.run_until_complete(main())
    loop.close()
    del loop, kept
    gc.collect()
    assert notes == ["starts", "waits", "starts"]
    assert all(
        message.startswith("Task was destroyed but it is pending!")
        for message in logged(caplog, by="asyncio", level=logging.ERROR)
    )


# Stopping.


def test_system_stop_drains_the_mailbox_first() -> None:
    """[ACTOR-22]"""
    notes: list[str] = []

    async def main() -> int:
        async with ActorSystem() as system:
            ref = await system.spawn(Noted, notes=notes)
            for number in range(3):
                await ref.send(number)
            stopping = asyncio.create_task(system.stop(ref))
            await asyncio.sleep(0)
            await ref.send("too late")
            await stopping
            notes.append("stopped")
            return system.dead_letter_count

    assert run(main()) == 1
    assert notes == ["starts", "handles 0", "handles 1", "handles 2", "stops", "stopped"]


def test_ctx_stop_ends_the_actor_after_the_current_message() -> None:
    """[ACTOR-22]"""
    notes: list[str] = []

    async def main() -> int:
        async with ActorSystem() as system:
            ref = await system.spawn(Noted, notes=notes)

            async def stop(ctx: Context[Any]) -> None:
                ctx.stop()
                await ctx.self_ref.send("too late")
                notes.append("still in the current message")

            await ref.send(stop)
            await ref.send("queued")
            await settle()
            return system.dead_letter_count

    assert run(main()) == 2
    assert notes == ["starts", "still in the current message", "stops"]


def test_ctx_stop_works_in_on_start_and_from_elsewhere() -> None:
    """[ACTOR-22]"""
    notes: list[str] = []

    class ShortLived(Noted):
        async def on_start(self) -> None:
            self.note("starts")
            self.context.stop()

    async def main() -> None:
        async with ActorSystem() as system:
            await system.spawn(ShortLived, notes=notes, label="first")
            await settle()
            actor = Noted(notes, "second")
            await system.spawn(lambda: actor)
            actor.context.stop()
            actor.context.stop()
            await settle()

    run(main())
    assert notes == ["first starts", "first stops", "second starts", "second stops"]


def test_stop_cancels_what_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-22] Messages behind it are refused, on_stop is called all the same."""
    notes: list[str] = []

    async def main() -> int:
        async with ActorSystem() as system:
            ref = await system.spawn(Noted, name="a", notes=notes)
            await ref.send(asyncio.Event())
            await ref.send("queued")
            await settle()
            await system.stop(ref, timeout=0.001)
            return system.dead_letter_count

    assert run(main()) == 1
    assert notes == ["starts", "waits", "stops"]
    assert "actor a had not stopped in 0.001 s and is cancelled" in logged(caplog)


def test_stopping_twice_is_stopping_once() -> None:
    """[ACTOR-22]"""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Noted, notes=notes)
            await asyncio.gather(system.stop(ref), system.stop(ref), system.stop(ref, timeout=None))
            await system.stop(ref)

    run(main())
    assert notes == ["starts", "stops"]


def test_a_cancelled_stop_goes_on_without_its_caller() -> None:
    """[ACTOR-22] And without disturbing those who wait for the same."""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Noted, notes=notes)
            go = asyncio.Event()
            await ref.send(go)
            first, second = asyncio.create_task(system.stop(ref)), asyncio.create_task(system.stop(ref))
            await settle()
            first.cancel()
            await asyncio.wait([first])
            assert first.cancelled()
            go.set()
            await second

    run(main())
    assert notes == ["starts", "waits", "goes on", "stops"]


def test_only_refs_of_this_system_can_be_stopped() -> None:
    """[ACTOR-22]"""

    async def main() -> None:
        async with ActorSystem() as here, ActorSystem() as there:
            ref = await there.spawn(Noted, name="a", notes=[])
            with pytest.raises(ValueError, match="<ActorRef a> does not live in this system"):
                await here.stop(ref)

    run(main())


def test_a_failing_on_stop_is_logged_and_the_actor_stops(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-23]"""

    class Leaving(Noted):
        async def on_stop(self) -> None:
            raise ValueError("in a huff")

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Leaving, name="a", notes=[])
            await system.stop(ref, timeout=None)
            await system.spawn(Noted, name="a", notes=[])

    run(main())
    assert logged(caplog) == ["on_stop of actor a raised"]


@pytest.mark.parametrize("leak", [False, True])
def test_an_on_stop_that_takes_too_long_is_cancelled(leak: bool, caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-23] Not so one that raises CancelledError or TimeoutError of its own."""

    class Lingering(Noted):
        stop_timeout = 0.001

        async def on_stop(self) -> None:
            if leak:
                raise asyncio.CancelledError
            await asyncio.Event().wait()

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Lingering, name="a", notes=[])
            await system.stop(ref, timeout=None)

    run(main())
    what = "raised" if leak else "took more than 0.001 s"
    assert logged(caplog) == [f"on_stop of actor a {what}"]


def test_the_on_stop_of_a_cancelled_actor_is_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-23] [ACTOR-21] The cancellation ended what the actor was doing; it is over when on_stop begins."""

    class Leaking(Noted):
        async def on_stop(self) -> None:
            raise asyncio.CancelledError

    async def main() -> None:
        async with ActorSystem() as system:
            ref = await system.spawn(Leaking, name="a", notes=[])
            await ref.send(asyncio.Event())
            await settle()
            await system.stop(ref, timeout=0)

    run(main())
    assert logged(caplog) == ["actor a had not stopped in 0 s and is cancelled", "on_stop of actor a raised"]


def test_five_seconds_is_what_an_on_stop_may_take() -> None:
    """[ACTOR-23]"""
    assert Actor.stop_timeout == 5.0


def test_a_cancelled_task_stops_its_actor() -> None:
    """[ACTOR-29] As a loop does when it is torn down; on_stop may wait even then."""
    notes: list[str] = []

    class Patient(Noted):
        async def on_stop(self) -> None:
            await asyncio.sleep(0)
            self.note("stops")

    async def main() -> None:
        system = ActorSystem()
        ref = await system.spawn(Patient, notes=notes)
        await system.spawn(Noted, notes=notes, label="other")
        question = asyncio.create_task(ref.ask(asyncio.Event(), timeout=None))
        await settle()
        everything = asyncio.all_tasks() - {asyncio.current_task(), question}
        for task in everything:
            task.cancel()
            task.cancel()  # once or more makes no difference
        with pytest.raises(ActorStoppedError):
            await question
        await settle()
        assert all(task.cancelled() for task in everything)

    run(main())
    assert notes == ["starts", "other starts", "waits", "stops"]


def test_an_actor_cancelled_in_on_stop_is_over_at_once() -> None:
    """[ACTOR-29] [ACTOR-24] Its children, too, though nobody waits for them any more."""

    async def main() -> None:
        system = ActorSystem()
        hanging = asyncio.Event()

        class Hanging(Noted):
            async def on_stop(self) -> None:
                hanging.set()
                await asyncio.Event().wait()

        ref = await system.spawn(Hanging, name="a", notes=[])
        stopping = asyncio.create_task(system.stop(ref))
        await hanging.wait()
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "a"]
        task.cancel()
        await stopping
        assert task.cancelled()

    run(main())


def test_a_parent_cancelled_while_its_children_stop_takes_them_along() -> None:
    """[ACTOR-29] [ACTOR-24]"""
    notes: list[str] = []

    async def main() -> None:
        system = ActorSystem()
        parent = await system.spawn(Noted, name="parent", notes=notes, label="parent")
        child = await parent.ask(spawn_child(notes))
        await child.send(asyncio.Event())
        stopping = asyncio.create_task(system.stop(parent, timeout=None))
        await settle()
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "parent"]
        task.cancel()
        await stopping
        await settle()
        assert notes == ["parent starts", "child starts", "child waits", "child stops"]

    run(main())


# Children.


def spawn_child(notes: list[str], name: str = "child", kind: type[Noted] = Noted) -> Any:
    """A message that makes a Noted spawn a child and reply with its ref."""

    async def spawn(ctx: Context[Any]) -> ActorRef[Any]:
        return await ctx.spawn(kind, name=name, notes=notes, label=name)

    return spawn


def test_children_stop_before_their_parent_the_youngest_first() -> None:
    """[ACTOR-24]"""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            parent = await system.spawn(Noted, notes=notes, label="parent")
            older = await parent.ask(spawn_child(notes, "older"))
            await parent.ask(spawn_child(notes, "younger"))
            await older.ask(spawn_child(notes, "grandchild"))
            notes.clear()
            await parent.send("a")
            await system.stop(parent)

    run(main())
    assert notes == [
        "parent handles a",
        "younger stops",
        "grandchild stops",
        "older stops",
        "parent stops",
    ]


def test_a_stopping_actor_spawns_no_children() -> None:
    """[ACTOR-24] Nor does one that has stopped."""

    async def main() -> None:
        async with ActorSystem() as system:
            actor = Noted([])
            ref = await system.spawn(lambda: actor, name="a")

            async def stop_and_spawn(ctx: Context[Any]) -> None:
                ctx.stop()
                with pytest.raises(ActorStoppedError, match="actor a has stopped"):
                    await ctx.spawn(Noted, notes=[])

            await ref.ask(stop_and_spawn)
            context = actor.context
            await system.stop(ref)
            with pytest.raises(ActorStoppedError):
                await context.spawn(Noted, notes=[])

    run(main())


def test_a_child_that_is_starting_stops_with_its_parent() -> None:
    """[ACTOR-24] [ACTOR-16] Whoever spawned it learns why it has no actor."""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            actor = Noted(notes, "parent")
            parent = await system.spawn(lambda: actor)
            gate = asyncio.Event()
            spawning = asyncio.create_task(actor.context.spawn(Gated, name="child", notes=notes, gate=gate))
            await settle()
            await system.stop(parent, timeout=0.001)
            with pytest.raises(ActorStartError, match="on_start of actor child raised CancelledError"):
                await spawning

    run(main())
    assert notes == ["parent starts", "starts", "parent stops"]


def test_a_child_may_finish_starting_while_its_parent_stops() -> None:
    """[ACTOR-24] Then it is stopped like any other: it has started, so on_stop is called."""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            actor = Noted(notes, "parent")
            parent = await system.spawn(lambda: actor)
            gate = asyncio.Event()
            spawning = asyncio.create_task(actor.context.spawn(Gated, notes=notes, gate=gate))
            await settle()
            stopping = asyncio.create_task(system.stop(parent))
            await settle()
            gate.set()
            await stopping
            with pytest.raises(ActorStoppedError):
                await (await spawning).ask("a")

    run(main())
    assert notes == ["parent starts", "starts", "has started", "stops", "parent stops"]


class Parent(Noted):
    """Notes its children's ends, and spawns them again while there are lives left."""

    lives = 1

    async def on_child_stopped(self, child: ActorRef[Any], exc: Exception | None) -> None:
        self.note(f"loses {child.name}: {exc!r}")
        if self.lives and exc is not None:
            self.lives -= 1
            await self.context.spawn(Noted, name=child.name, notes=self.notes, label="second")


def test_a_parent_hears_of_a_child_that_failed_and_may_spawn_it_again() -> None:
    """[ACTOR-25] [ACTOR-33] Whoever holds a ref to the child needs no new one."""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            parent = await system.spawn(Parent, notes=notes, label="parent")
            child = await parent.ask(spawn_child(notes))
            notes.clear()
            await child.send(ValueError("oh"))
            await settle()
            assert await child.ask("a") == "a"

    run(main())
    assert notes == [
        "child stops",
        "parent loses child: ValueError('oh')",
        "second starts",
        "second handles a",
        "second stops",
        "parent stops",
    ]


def test_a_parent_hears_of_a_child_that_was_stopped() -> None:
    """[ACTOR-25] It is told before the messages that wait, and outlives the end."""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            parent = await system.spawn(Parent, notes=notes, label="parent")
            child = await parent.ask(spawn_child(notes))
            go = asyncio.Event()
            await parent.send(go)
            await parent.send("a")
            await settle()
            await system.stop(child)
            notes.clear()
            go.set()
            await settle()
            assert notes == ["parent goes on", "parent loses child: None", "parent handles a"]
            # Stopped because its parent stops: that is no news.
            await parent.ask(spawn_child(notes))
            notes.clear()

    run(main())
    assert notes == ["child stops", "parent stops"]


def test_a_busy_parent_hears_of_each_of_its_children() -> None:
    """[ACTOR-25] In the order in which they stopped."""
    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            parent = await system.spawn(Parent, notes=notes, label="parent")
            children = [await parent.ask(spawn_child([], name)) for name in ("a", "b", "c")]
            go = asyncio.Event()
            await parent.send(go)
            await settle()
            for child in (children[1], children[0], children[2]):
                await system.stop(child)
            notes.clear()
            go.set()
            await settle()
            assert notes == [
                "parent goes on",
                "parent loses b: None",
                "parent loses a: None",
                "parent loses c: None",
            ]

    run(main())


def test_a_failing_on_child_stopped_is_a_failure_of_the_parent(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-25] [ACTOR-20]"""

    class Heartbroken(Sturdy):
        async def on_child_stopped(self, child: ActorRef[Any], exc: Exception | None) -> None:
            raise ValueError("alone")

    notes: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            parent = await system.spawn(Heartbroken, name="parent", notes=notes)
            await system.stop(await parent.ask(spawn_child([])))
            await settle()
            assert await parent.ask("a") == "a"

    run(main())
    assert notes == ["starts", "on_error ValueError('alone')", "handles a", "stops"]
    assert logged(caplog) == ["actor parent failed in on_child_stopped"]


def test_a_parent_hears_of_a_child_that_stops_while_it_starts_itself() -> None:
    """[ACTOR-25] After on_start has returned."""
    notes: list[str] = []

    class Impatient(Parent):
        async def on_start(self) -> None:
            child = await self.context.spawn(Noted, name="child", notes=self.notes, label="child")
            await self.context.system.stop(child)
            self.note("has started")

    async def main() -> None:
        async with ActorSystem() as system:
            await system.spawn(Impatient, notes=notes, label="parent")
            await settle()

    run(main())
    assert notes[2:4] == ["parent has started", "parent loses child: None"]


def test_the_name_of_an_actor_is_taken_until_on_stop_has_returned() -> None:
    """[ACTOR-30]"""

    async def main() -> None:
        async with ActorSystem() as system:
            go = asyncio.Event()

            class Slow(Noted):
                async def on_stop(self) -> None:
                    await go.wait()

            ref = await system.spawn(Slow, name="a", notes=[])
            stopping = asyncio.create_task(system.stop(ref))
            await settle()
            with pytest.raises(NameTakenError, match="an actor named 'a' lives on this node already"):
                await system.spawn(Noted, name="a", notes=[])
            with pytest.raises(ActorNotFoundError):
                await system.lookup("a")
            go.set()
            await stopping
            await system.spawn(Noted, name="a", notes=[])

    run(main())


def test_an_actor_that_has_stopped_keeps_no_state_alive() -> None:
    """[ACTOR-33] However long somebody holds a ref to it."""

    async def main() -> None:
        async with ActorSystem() as system:
            probe = Probe[str]()
            ref = await system.spawn(lambda: probe)
            await system.stop(ref)
            cell = ref.cell  # type: ignore[attr-defined]  # what a local ref keeps alive
            assert not hasattr(cell, "actor")

    run(main())
