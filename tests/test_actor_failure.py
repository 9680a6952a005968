"""What an actor's failure does, to itself and to those who wait for it (spec/actors.md)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import pytest

from casty.errors import ActorFailedError, ActorStartError, ActorStoppedError
from casty.system import ActorSystem
from tests.actors import Noted, Sturdy
from tests.support import UnspeakableError, logged, run, settle

if TYPE_CHECKING:
    from casty.actor import ActorRef


async def test_an_actor_stops_at_its_first_failure_by_default(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20]"""
    notes: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Noted, name="a", notes=notes)
        await ref.send(ValueError("oh"))
        await ref.send("never")
        await settle()
        with pytest.raises(ActorStoppedError):
            await ref.ask("never")
    assert notes == ["starts", "stops"]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (record.name, record.getMessage()) == (
        "casty.cell",
        "actor a ended: ValueError('oh') in receive of ValueError; messages discarded: 1, asks refused: 0",
    )
    assert record.exc_info is not None


async def test_on_error_can_keep_the_actor_and_its_state() -> None:
    """[ACTOR-20] For asked messages as for sent ones."""
    notes: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Sturdy, notes=notes)
        await ref.send(ValueError("sent"))
        with pytest.raises(ActorFailedError):
            await ref.ask(ValueError("asked"))
        assert await ref.ask("a") == "a"
    sent, asked = "on_error ValueError('sent')", "on_error ValueError('asked')"
    assert notes == ["starts", sent, asked, "handles a", "stops"]


async def test_a_failure_that_cannot_say_what_it_is_is_one_like_any_other() -> None:
    """[ACTOR-8] [ACTOR-16] [ACTOR-20] [ACTOR-23]"""
    notes: list[str] = []

    class Living(Noted):
        def on_error(self, exc: Exception) -> bool:
            self.note("on_error")
            return True

    class Unwilling(Noted):
        async def on_start(self) -> None:
            raise UnspeakableError

    async with ActorSystem() as system:
        ref = await system.spawn(Living, notes=notes)
        with pytest.raises(ActorFailedError, match="UnspeakableError, whose text cannot be made"):
            await ref.ask(UnspeakableError(), timeout=None)
        assert await ref.ask("a") == "a"
        with pytest.raises(ActorStartError, match="raised UnspeakableError, whose text cannot be made"):
            await system.spawn(Unwilling, name="b", notes=notes)
    assert notes == ["starts", "on_error", "handles a", "stops"]


@pytest.mark.parametrize(("verdict", "survives"), [(True, True), (False, False), (1, True), (None, False)])
@pytest.mark.parametrize("is_async", [False, True])
async def test_on_error_may_be_async(verdict: Any, survives: bool, is_async: bool) -> None:
    """[ACTOR-20] A coroutine is true; an actor that is not to live on must not, because nobody awaited it."""

    class Deciding(Noted):
        def on_error(self, exc: Exception) -> Any:
            return self.decide() if is_async else verdict

        async def decide(self) -> Any:
            await asyncio.sleep(0)
            return verdict

    async with ActorSystem() as system:
        ref = await system.spawn(Deciding, notes=[])
        with pytest.raises(ActorFailedError):
            await ref.ask(ValueError())
        with contextlib.nullcontext() if survives else pytest.raises(ActorStoppedError):
            assert await ref.ask("a") == "a"


async def test_an_on_error_that_raises_stops_the_actor(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20]"""

    class Clumsy(Noted):
        def on_error(self, exc: Exception) -> bool:
            raise KeyError("clumsy")

    async with ActorSystem() as system:
        ref = await system.spawn(Clumsy, name="a", notes=[])
        with pytest.raises(ActorFailedError, match="ValueError"):
            await ref.ask(ValueError())
        with pytest.raises(ActorStoppedError):
            await ref.ask("a")
    faults = "ValueError() in receive of ValueError, then KeyError('clumsy') in on_error"
    assert logged(caplog) == [f"actor a ended: {faults}; messages discarded: 0, asks refused: 0"]


async def test_a_cancelled_inner_task_is_a_failure_of_the_actor() -> None:
    """[ACTOR-21]"""
    notes: list[str] = []
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
    assert notes[2].startswith('on_error RuntimeError("CancelledError left the actor')


async def test_what_is_no_exception_stops_no_loop() -> None:
    """[ACTOR-21] Such as the outcomes of test frameworks, which derive from BaseException."""

    class Outcome(BaseException):
        pass

    async with ActorSystem() as system:
        ref = await system.spawn(Sturdy, notes=[])
        with pytest.raises(ActorFailedError, match="Outcome: skipped"):
            await ref.ask(Outcome("skipped"))
        assert await ref.ask("a") == "a"


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


def interrupted(kind: type[Noted]) -> None:
    """Spawns one of that kind and stops it, which ends the program."""

    async def main() -> None:
        async with ActorSystem() as system:
            await system.spawn(kind, notes=[])

    with pytest.raises(KeyboardInterrupt):
        run(main())


def test_the_interpreters_own_exceptions_pass_through_on_start() -> None:
    """[ACTOR-21] [ACTOR-16]"""

    class Interrupted(Noted):
        async def on_start(self) -> None:
            await self.context.spawn(Noted, name="child", notes=self.notes)
            raise KeyboardInterrupt

    interrupted(Interrupted)


def test_the_interpreters_own_exceptions_pass_through_on_stop() -> None:
    """[ACTOR-21]"""

    class Interrupted(Noted):
        async def on_stop(self) -> None:
            raise KeyboardInterrupt

    interrupted(Interrupted)
