"""Each end of an actor is one line of the log, and the line says why (spec/actors.md)."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest

from casty import cell
from casty.actor import Actor, Context
from casty.errors import ActorFailedError, ActorStartError, ActorStoppedError
from casty.system import ActorSystem
from tests.actors import Gated, Noted, spawn_child
from tests.support import UnspeakableError, logged, settle, until_it_waits

if TYPE_CHECKING:
    from collections.abc import Callable

    from casty.actor import ActorRef

NOTHING = "messages discarded: 0, asks refused: 0"


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Normal ends are logged at DEBUG."""
    caplog.set_level(logging.DEBUG, "casty")


def ends(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """The level and text of each line about an end. No other line is an error."""
    records = [record for record in caplog.records if record.name.startswith("casty")]
    found = [
        record for record in records if re.search(r"^actor \S+ (ended|did not start)", record.getMessage())
    ]
    assert [record.getMessage() for record in records if record.levelno >= logging.ERROR] == [
        record.getMessage() for record in found if record.levelno >= logging.ERROR
    ]
    return [(record.levelname, record.getMessage()) for record in found]


async def with_mail(ref: ActorRef[Any], message: object) -> asyncio.Task[Any]:
    """Sends a busy actor the message, two more after it, and an ask."""
    await ref.send(message)
    await ref.send("first")
    await ref.send("second")
    return await until_it_waits(ref.ask("asked", timeout=None))


async def test_a_failed_receive_ends_the_actor_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20] The cause, the message and what was discarded; the traceback leads to the actor's code."""
    async with ActorSystem() as system:
        ref = await system.spawn(Noted, name="a", notes=[])
        go = asyncio.Event()
        await ref.send(go)
        await asyncio.sleep(0)
        asked = await with_mail(ref, ValueError("oh"))
        go.set()
        with pytest.raises(
            ActorStoppedError, match=r"actor a has stopped: ValueError\('oh'\) in receive of Value"
        ):
            await asked
        with pytest.raises(ActorStoppedError, match=r"^actor a has stopped$"):
            await ref.ask("late")
    assert ends(caplog) == [
        (
            "ERROR",
            "actor a ended: ValueError('oh') in receive of ValueError; messages discarded: 2, asks refused: 1",
        )
    ]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_text is not None
    assert record.exc_text.endswith("ValueError: oh")
    assert "in receive" in record.exc_text


class Deciding(Noted):
    """Decides as it was told."""

    def __init__(self, notes: list[str], decide: Callable[[Exception], bool]) -> None:
        super().__init__(notes)
        self.decide = decide

    def on_error(self, exc: Exception) -> bool:
        return self.decide(exc)


def raising(error: BaseException) -> Callable[[Exception], bool]:
    """An on_error that raises."""

    def decide(exc: Exception) -> bool:
        raise error

    return decide


@pytest.mark.parametrize(
    ("decide", "more"),
    [
        (lambda exc: False, ""),
        (raising(KeyError("clumsy")), ", then KeyError('clumsy') in on_error"),
        (raising(asyncio.CancelledError()), ", then CancelledError() in on_error"),
        (raising(GeneratorExit()), ", then GeneratorExit() in on_error"),
    ],
)
async def test_what_on_error_does_is_in_the_same_line(
    decide: Callable[[Exception], bool], more: str, caplog: pytest.LogCaptureFixture
) -> None:
    """[ACTOR-20]"""
    async with ActorSystem() as system:
        ref = await system.spawn(Deciding, name="a", notes=[], decide=decide)
        with pytest.raises(ActorFailedError):
            await ref.ask(ValueError())
    assert ends(caplog) == [("ERROR", f"actor a ended: ValueError() in receive of ValueError{more}; {NOTHING}")]


async def test_a_failure_that_is_survived_is_no_end(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20] It is an error all the same, and the line says that it goes on."""
    async with ActorSystem() as system:
        ref = await system.spawn(Deciding, name="a", notes=[], decide=lambda exc: True)
        with pytest.raises(ActorFailedError):
            await ref.ask(ValueError("oh"))
        assert logged(caplog) == ["actor a failed in receive of ValueError and goes on: ValueError('oh')"]
        assert caplog.records[-1].exc_info is not None
        caplog.clear()
    assert ends(caplog) == [("DEBUG", f"actor a ended; {NOTHING}")]


async def test_an_actor_that_does_not_start_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20] [ACTOR-16]"""

    class Unwilling(Gated):
        async def on_start(self) -> None:
            await super().on_start()
            raise ValueError("no")

    async with ActorSystem() as system:
        actor = Unwilling([], asyncio.Event())
        spawning = await until_it_waits(system.spawn(lambda: actor, name="a"))
        await actor.context.self_ref.send("queued")
        asked = await until_it_waits(actor.context.self_ref.ask("asked", timeout=None))
        actor.gate.set()
        with pytest.raises(ActorStartError):
            await spawning
        with pytest.raises(ActorStoppedError, match=r"has stopped: ValueError\('no'\) in on_start"):
            await asked
    assert ends(caplog) == [
        ("ERROR", "actor a did not start: ValueError('no') in on_start; messages discarded: 1, asks refused: 1")
    ]


async def test_a_failing_on_stop_is_in_the_line_of_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20] [ACTOR-23] Also after another fault, and then both tracebacks are shown."""

    class Clumsy(Noted):
        async def on_stop(self) -> None:
            raise KeyError("in a huff")

    async with ActorSystem() as system:
        ref = await system.spawn(Clumsy, name="a", notes=[])
        await system.stop(ref)
        ref = await system.spawn(Clumsy, name="b", notes=[])
        await ref.send(ValueError("oh"))
    huff = "KeyError('in a huff') in on_stop"
    assert ends(caplog) == [
        ("ERROR", f"actor a ended: {huff}; {NOTHING}"),
        ("ERROR", f"actor b ended: ValueError('oh') in receive of ValueError, then {huff}; {NOTHING}"),
    ]
    text = caplog.records[-1].exc_text or ""
    assert "ValueError: oh" in text
    assert "KeyError: 'in a huff'" in text


async def test_a_stop_that_was_asked_for_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20] By `system.stop`, by `ctx.stop`, with a parent, with the system."""
    notes: list[str] = []
    async with ActorSystem() as system:
        await system.stop(await system.spawn(Noted, name="a", notes=notes))
        ref = await system.spawn(Noted, name="b", notes=notes)
        pause = asyncio.Event()
        await ref.send(pause)
        await asyncio.sleep(0)
        asked = await with_mail(ref, lambda ctx: ctx.stop())
        pause.set()
        with pytest.raises(ActorStoppedError):
            await asked
        parent = await system.spawn(Noted, name="c", notes=notes)
        await parent.ask(spawn_child(notes, name="d"))
        await system.stop(parent)
        await system.spawn(Noted, name="e", notes=notes)
    assert ends(caplog) == [
        ("DEBUG", f"actor a ended; {NOTHING}"),
        ("DEBUG", "actor b ended; messages discarded: 2, asks refused: 1"),
        ("DEBUG", f"actor d ended; {NOTHING}"),
        ("DEBUG", f"actor c ended; {NOTHING}"),
        ("DEBUG", f"actor e ended; {NOTHING}"),
    ]


async def test_asks_that_were_handled_without_a_reply_count_as_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """[ACTOR-20] [ACTOR-9] Those that have given up are not counted."""

    class Mute(Actor[str]):
        async def receive(self, msg: str, ctx: Context[str]) -> None:
            if msg == "fail":
                raise ValueError("oh")

    async with ActorSystem() as system:
        ref = await system.spawn(Mute, name="a")
        waiting = await until_it_waits(ref.ask("asked", timeout=None))
        gone = await until_it_waits(ref.ask("given up", timeout=None))
        gone.cancel()
        await asyncio.wait([gone])
        await ref.send("fail")
        with pytest.raises(ActorStoppedError, match="actor a stopped before it replied to str"):
            await waiting
    assert ends(caplog) == [
        ("ERROR", "actor a ended: ValueError('oh') in receive of str; messages discarded: 0, asks refused: 1")
    ]


async def test_a_cancelled_actor_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20] [ACTOR-29] No fault of its own, but work was interrupted, and the line says which."""
    notes: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Noted, name="a", notes=notes)
        asked = await with_mail(ref, asyncio.Event())
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "a"]
        task.cancel()
        with pytest.raises(ActorStoppedError):
            await asked
        spawning = await until_it_waits(system.spawn(Gated, name="b", notes=notes, gate=asyncio.Event()))
        spawning.cancel()
        await asyncio.wait([spawning])
    assert ends(caplog) == [
        (
            "WARNING",
            "actor a ended: its task was cancelled in receive of Event; messages discarded: 2, asks refused: 1",
        ),
        ("WARNING", f"actor b did not start: its task was cancelled in on_start; {NOTHING}"),
    ]


async def test_a_fault_while_the_actor_drains_is_a_fault(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20] [ACTOR-22] The stop was asked for; the end was another."""
    async with ActorSystem() as system:
        ref = await system.spawn(Noted, name="a", notes=[])
        pause = asyncio.Event()
        await ref.send(pause)
        await asyncio.sleep(0)
        asked = await with_mail(ref, ValueError("oh"))
        stopping = await until_it_waits(system.stop(ref))
        pause.set()
        await stopping
        with pytest.raises(ActorStoppedError):
            await asked
    assert ends(caplog) == [
        (
            "ERROR",
            "actor a ended: ValueError('oh') in receive of ValueError; messages discarded: 2, asks refused: 1",
        )
    ]


async def test_a_failing_on_child_stopped_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20] [ACTOR-25]"""

    class Parent(Noted):
        async def on_child_stopped(self, child: ActorRef[Any], exc: Exception | None) -> None:
            raise LookupError(f"{child.name} is gone")

    async with ActorSystem() as system:
        parent = await system.spawn(Parent, name="parent", notes=[])
        child = await parent.ask(spawn_child([]))
        await system.stop(child)
        await settle()
    assert ends(caplog)[1] == (
        "ERROR",
        f"actor parent ended: LookupError('child is gone') in on_child_stopped; {NOTHING}",
    )


async def test_the_line_is_one_line_whatever_was_raised(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20] An exception may be long, have a repr of several lines, or none."""

    class Wordy(Exception):
        def __repr__(self) -> str:
            return "two\nlines" + "x" * 10_000

    async with ActorSystem() as system:
        for error in (Wordy(), UnspeakableError()):
            ref = await system.spawn(Noted, name="a", notes=[])
            await ref.send(error)
            await settle()
    (_, wordy), (_, unspeakable) = ends(caplog)
    assert "\n" not in wordy
    assert len(wordy) < 400
    assert "two\\nlines" in wordy
    assert "UnspeakableError, whose text cannot be made (AttributeError) in receive of Unspeak" in unspeakable


async def test_a_fault_is_logged_although_the_end_takes_long(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[ACTOR-20] A child that is busy holds up the end, and so the line; another one says what it waits for."""
    monkeypatch.setattr(cell, "LATE_SECONDS", 0.001)
    notes: list[str] = []
    async with ActorSystem() as system:
        parent = await system.spawn(Noted, name="parent", notes=notes)
        child = await parent.ask(spawn_child(notes))
        go = asyncio.Event()
        await child.send(go)
        await parent.send(ValueError("oh"))
        while not logged(caplog):
            await asyncio.sleep(0.001)
        assert logged(caplog) == [
            "actor parent failed (ValueError('oh') in receive of ValueError) and has not ended after 0.001 s: "
            "it waits for its children child"
        ]
        go.set()
        await settle()
        assert ends(caplog)[-1][0] == "ERROR"


async def test_a_line_names_the_node(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-20] Logs of several nodes are read together."""

    class Named(ActorSystem):
        @property
        def node_id(self) -> str:
            return "node-1"

    async with Named() as system:
        ref = await system.spawn(Noted, name="a", notes=[])
        await ref.send(ValueError("oh"))
    text = "actor a on node node-1 ended: ValueError('oh') in receive of ValueError"
    assert logged(caplog) == [f"{text}; {NOTHING}"]


async def test_a_hook_of_dead_letters_that_raises_does_not_disturb_the_end() -> None:
    """[ACTOR-20] [ACTOR-3] [ACTOR-9] Whatever it raises: askers behind the letter are told."""

    class Outcome(BaseException):
        pass

    def hook(letter: object) -> None:
        raise Outcome

    async with ActorSystem(on_dead_letter=hook) as system:
        ref = await system.spawn(Noted, name="a", notes=[])
        pause = asyncio.Event()
        await ref.send(pause)
        await asyncio.sleep(0)
        asked = await with_mail(ref, ValueError("oh"))
        pause.set()
        with pytest.raises(ActorStoppedError):
            await asked
        await ref.send("late")
        assert system.dead_letter_count == 3
