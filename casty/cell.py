"""One running actor: its mailbox, its life, and the task that runs it while there is work."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from asyncio import CancelledError
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any

from casty.actor import Actor
from casty.arguments import checked_seconds
from casty.bag import Bag
from casty.context import MessageContext
from casty.ending import Ending, Fault
from casty.errors import ActorStartError, ActorStoppedError, ReentrancyError
from casty.family import Family
from casty.hooks import (
    ENDS_PROGRAM,
    explained,
    for_asker,
    is_cancelled,
    is_torn_down,
    line_of,
    say_goodbye,
    survives,
    text_of,
)
from casty.mailbox import BATCH_SIZE
from casty.message_types import message_types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from casty.actor import ActorRef, Asker, Envelope
    from casty.registry import Registry

logger = logging.getLogger(__name__)

NESTED_MAX = 16
"""Actors that may be started inside one another; each costs some of the C stack."""

LATE_SECONDS = 1.0
"""After a failed actor has been ending for so long, the log says what it waits for."""


class State(Enum):
    """A cell's life, in this order; it may skip but never goes back."""

    STARTING = "starting"  # `on_start` runs; messages wait
    LIVE = "live"
    CLOSING = "closing"  # accepts nothing more; what it has may still be handled
    FINISHING = "finishing"  # the children stop, then `on_stop` runs
    STOPPED = "stopped"


# As globals, for each look into an enum class costs as much as a call.
STARTING, LIVE, CLOSING, FINISHING, STOPPED = State


class Cell(Family["Cell"]):
    """The machinery around one actor object, all of it on the system's loop.

    An idle cell has no task and no mailbox: both are made when a message comes and dropped when none is left.
    """

    __slots__ = (
        "_deferred",
        "_ending",
        "_notices",
        "_queue",
        "_settled",
        "_timers",
        "accepted",
        "actor",
        "inbox",
        "kind",
        "ref",
        "registry",
        "state",
        "task",
        "variables",
    )

    ref: ActorRef[Any]

    def __init__(self, registry: Registry, actor: Actor[Any], parent: Cell | None) -> None:
        super().__init__(parent)
        self.registry = registry
        self.actor = actor
        self.kind = type(actor)
        self.accepted = message_types(self.generic_kind)
        """What messages from other nodes may be; None for anything."""
        self.state = STARTING
        self.task: asyncio.Task[Any] | None = None
        # The actor's own context variables, from its spawner; not those of whoever happens to wake it.
        self.variables = contextvars.copy_context()
        # Two names of one deque: senders see `inbox`, which is None when the actor is idle and when it accepts
        # no more, so that they have one thing to look at; the actor takes from `_queue`.
        self.inbox: deque[Envelope] | None = None
        self._queue: deque[Envelope] | None = None
        self._notices: deque[tuple[ActorRef[Any], Exception | None]] | None = None
        self._deferred: Bag[tuple[Asker, str]] | None = None
        self._timers: Bag[asyncio.TimerHandle] | None = None
        self._ending: Ending | None = None
        self._settled: asyncio.Future[None] | None = None

    @property
    def generic_kind(self) -> Any:
        """The actor's class, with its arguments where it was made from one such as `Box[int]`."""
        found = getattr(self.actor, "__orig_class__", self.kind)
        return found if found is self.kind or getattr(found, "__origin__", None) is self.kind else self.kind

    @property
    def is_open(self) -> bool:
        """Whether it accepts messages, timers and children."""
        return self.state is LIVE or self.state is STARTING

    # Messages.

    def post(self, envelope: Envelope) -> None:
        """Puts a message in the mailbox, or raises ActorStoppedError."""
        if self.inbox is not None:
            self.inbox.append(envelope)
        else:
            self._open().append(envelope)
            self._launch_soon()

    def ask(self, envelope: Envelope) -> None:
        """As `post`, with an asker. An idle actor runs at once, which spares a turn of the loop."""
        if self.inbox is None:
            self._open().append(envelope)
        elif self.task is not None and self.task is asyncio.current_task():
            raise ReentrancyError(f"actor {self.ref} asked itself from its own task, which would never answer")
        else:
            self.inbox.append(envelope)
        if self.task is None:
            self._launch()

    def _open(self) -> deque[Envelope]:
        if self.state is not LIVE:
            raise self.stopped_error()
        self.inbox = self._queue = self.registry.new_mailbox()
        return self.inbox

    def _discard(self) -> None:
        if not self._queue:
            return
        ending = self._ends()
        while self._queue:
            envelope = self._queue.popleft()
            asker = envelope[1]
            if asker is None:
                ending.messages += 1
            elif not asker.done():
                ending.asks += 1
            self.registry.refuse(self.ref.address, envelope, self.stopped_error())

    def stopped_error(self) -> ActorStoppedError:
        """For those who come too late; while the actor ends by a fault, they are told which."""
        why = self._ending.faults_text() if self._ending is not None else ""
        return ActorStoppedError(f"actor {self.ref} has stopped" + (f": {why}" if why else ""))

    # The task.

    def _launch(self) -> asyncio.Task[None] | None:
        """Starts the actor's task, unless it has one, and runs its first step inside whatever runs now.

        So there is no task whose first line has not run: cancelling such a one would lose the actor for good.
        Where too many run inside one another already, the task starts on the loop's next turn.
        """
        registry = self.registry
        if self._queue is None or (self.task is not None and not self.task.done()):
            return None
        if registry.nested >= NESTED_MAX:
            self._launch_soon()
            return None
        work = self._start() if self.state is STARTING else self._run()
        registry.nested += 1
        try:
            return asyncio.Task(
                work, loop=registry.loop, name=self.ref.address, context=self.variables, eager_start=True
            )
        except BaseException:
            # No memory or stack was left to make a task; there may be later.
            work.close()
            self._launch_soon()
            raise
        finally:
            registry.nested -= 1

    def _launch_soon(self) -> None:
        self.registry.loop.call_soon(self._launch_from_loop)

    def _launch_from_loop(self) -> None:
        self._launch()
        self.registry.end_program()

    async def _run(self) -> None:
        """Handles what is in the mailbox, one message at a time, until nothing is left; or ends the actor."""
        task = self.task = asyncio.current_task()
        queue, receive, unasked = self._queue, self.actor.receive, self.actor.context
        assert queue is not None, "an actor has a queue as long as it has a task"
        assert task is not None, "this runs in a task"
        try:
            left = BATCH_SIZE
            while True:
                while queue or self._notices:
                    if self._notices:
                        await self._heed(*self._notices.popleft())
                        continue
                    message, asker = queue.popleft()
                    try:
                        if asker is None:
                            await receive(message, unasked)
                        elif not asker.done():
                            asker.progress = "still being handled"
                            await receive(message, MessageContext(self, asker))
                            if not asker.done():
                                self._defer(asker, message)
                    except BaseException as exc:
                        await self._recover(exc, type(message).__qualname__, asker)
                    left -= 1
                    if not left:
                        left = BATCH_SIZE
                        await asyncio.sleep(0)
                if not task.cancelling():
                    break
                await asyncio.sleep(0)  # a cancellation that came while nothing waited is raised here
                if not queue and not self._notices:
                    break
            if self.state is CLOSING:
                await self._finish()
        except BaseException as exc:
            if await self._break_off(exc):
                raise
        self.inbox = self._queue = self.task = None

    async def _break_off(self, exc: BaseException) -> bool:
        """The actor's task cannot go on. Whatever it is, the actor is over then; whether `exc` goes further."""
        if is_torn_down(exc, self.task):
            # Nothing may wait any more. A loop that is closed takes along everybody who could be told.
            if not self.registry.loop.is_closed():
                self.close(drain=False)
                self._settle()
            return True
        self.close(drain=False)
        if isinstance(exc, CancelledError):
            # By `kill`, or by a loop that is torn down: either way the actor stops as it would otherwise.
            self._cut_short("a pause between two messages")
            await self._finish()
            return True
        if isinstance(exc, ENDS_PROGRAM):
            self._settle()  # the program ends: no time for hooks
            self.registry.ends_program(exc)
            return False
        # This module has a bug, or no memory or stack was left to it.
        if self.state is not STOPPED:
            self._ends().blame(Fault(exc, "the machinery of the actor"))
        self._settle()
        return True

    async def _heed(self, child: ActorRef[Any], cause: Exception | None) -> None:
        try:
            await self.actor.on_child_stopped(child, cause)
        except BaseException as exc:
            await self._recover(exc, None, None)

    def _defer(self, asker: Asker, message: Any) -> None:
        """Remembers an asker that has no reply yet, so that it learns when the actor stops."""
        asker.progress = "handled without a reply"
        if self._deferred is None:
            self._deferred = Bag(lambda entry: entry[0].done())
        self._deferred.add((asker, type(message).__qualname__))

    async def _recover(self, exc: BaseException, kind: str | None, asker: Asker | None) -> None:
        """Tells the asker; then `on_error` decides whether the actor goes on, and the log is told of both.

        `kind` is the message's; None stands for `on_child_stopped`.
        """
        hook = self.actor.on_child_stopped if kind is None else self.actor.receive
        where = "on_child_stopped" if kind is None else f"receive of {kind}"
        waiting = asker if asker is not None and not asker.done() else None
        torn_down = is_torn_down(exc, self.task)
        if torn_down or is_cancelled(exc) or isinstance(exc, ENDS_PROGRAM):
            self._interrupted(exc, where)
            if waiting is not None and not (torn_down and self.registry.loop.is_closed()):
                waiting.fail(ActorStoppedError(f"actor {self.ref} was stopped while it handled {kind}"))
            raise exc
        exc = explained(exc, hook)
        if waiting is not None:
            waiting.fail(for_asker(exc, self.ref.node_id, self.ref.address, str(kind)))
        try:
            goes_on = await survives(self.actor, exc)
        except BaseException as error:
            if is_torn_down(error, self.task):
                raise
            self._ends().blame(Fault(exc, where))
            if is_cancelled(error) or isinstance(error, ENDS_PROGRAM):
                self._interrupted(error, "on_error")
                raise
            self._ends().note(Fault(error, "on_error"))
            goes_on = False
        else:
            if not goes_on:
                self._ends().blame(Fault(exc, where))
        if goes_on:
            logger.error("actor %s failed in %s and goes on: %s", self.ref, where, line_of(exc), exc_info=exc)
        else:
            self.close(drain=False)

    def _interrupted(self, exc: BaseException, where: str) -> None:
        """Notes what ends an actor that was cancelled, or with the program."""
        if isinstance(exc, ENDS_PROGRAM):
            self._ends().blame(Fault(exc, where))
        else:
            self._cut_short(where)

    def _cut_short(self, where: str) -> None:
        """The actor's task was cancelled there. What is noted first counts, and not after the end."""
        if self.state is not STOPPED and self._ends().interrupted is None:
            self._ends().interrupted = where

    # The beginning.

    async def start(self) -> None:
        """Runs `on_start` in the actor's own task, and raises ActorStartError where that fails."""
        if not self._overrides("on_start"):
            self.state = LIVE
            return
        self.inbox = self._queue = self.registry.new_mailbox()
        task = self._launch()
        assert task is not None, "`Registry.spawn` sees to it that not too many are nested"
        try:
            await task
        except CancelledError as exc:
            spawner = asyncio.current_task()
            if spawner is not None and spawner.cancelling():
                if task.done() and not task.cancelled():
                    task.exception()  # seen: the spawner was cancelled in the moment of a failure
                self.close(drain=False)  # nobody will ever hold the ref
                raise
            text = f"on_start of actor {self.ref} raised {text_of(exc, repr)}: it was cancelled from outside"
            raise ActorStartError(text) from exc

    async def _start(self) -> None:
        task = self.task = asyncio.current_task()
        assert task is not None, "this runs in a task"
        try:
            await self.actor.on_start()
            if task.cancelling():
                await asyncio.sleep(0)  # a cancellation that came while nothing waited is raised here
        except BaseException as error:
            exc = explained(error, self.actor.on_start)
            if is_torn_down(exc, task):
                if not self.registry.loop.is_closed():
                    self.close(drain=False)
                    self._settle(has_lived=False)
                raise
            if is_cancelled(exc):
                self._cut_short("on_start")
                self.close(drain=False)
                await self._finish(has_lived=False)
                raise
            self._ends().blame(Fault(exc, "on_start"))
            self.close(drain=False)
            failure = ActorStartError(f"on_start of actor {self.ref} raised {text_of(exc, repr)}")
            if isinstance(exc, ENDS_PROGRAM):
                self._settle(has_lived=False)
                self.registry.ends_program(exc)
            else:
                await self._finish(has_lived=False)
            raise failure from exc
        self.task = None
        if self.state is STARTING:
            self.state = LIVE
        if self._queue or self._notices or self.state is CLOSING:
            self._launch_soon()
        else:
            self.inbox = self._queue = None

    def _overrides(self, hook: str) -> bool:
        return getattr(self.kind, hook) is not getattr(Actor, hook)

    # The end.

    def _ends(self) -> Ending:
        if self._ending is None:
            self._ending = Ending()
        return self._ending

    def close(self, *, drain: bool) -> None:
        """Accepts no more; the actor stops after the messages it has (`drain`) or after the current one."""
        if self.is_open:
            is_idle = self._queue is None
            self.state = CLOSING
            self.inbox = self._notices = None
            for timer in self._timers.empty() if self._timers is not None else ():
                timer.cancel()
            if is_idle:
                self._close_idle()
            elif self.task is None or self.task.done():
                self._launch_soon()  # it is going to be launched already, unless its last task broke off
        if not drain:
            self._discard()

    def _close_idle(self) -> None:
        if self.children or self._overrides("on_stop"):
            self._queue = deque()
            self._launch()
        else:
            self._settle()

    def kill(self) -> None:
        """Stops the actor and all below it, whatever they are doing: a running `receive` is cancelled."""
        for cell in self.subtree():
            cell.close(drain=False)
            if cell.task is not None and cell.state is CLOSING:
                cell.task.cancel()

    async def _finish(self, *, has_lived: bool = True) -> None:
        """The children first, then `on_stop`, and then it is over, whatever these did."""
        if self.state is STOPPED:
            return
        self.state = FINISHING
        while self.task is not None and self.task.uncancel():
            pass  # the hooks of a cancelled actor may wait like any other
        late = None
        if (
            self._ending is not None
            and self._ending.cause is not None
            and (self.children or self._overrides("on_stop"))
        ):
            late = self.registry.loop.call_later(LATE_SECONDS, self._note_late)
        fatal: BaseException | None = None
        try:
            try:
                await stop_in_order(self.children)
            except CancelledError:
                # Whoever has no time for the children's messages cancels them, too; the hooks run all the same.
                self._cut_short("the wait for its children")
                for child in self.children:
                    child.kill()
                await self._finish(has_lived=has_lived)
                raise
            if has_lived:
                fatal = await self._say_goodbye()
        finally:
            if late is not None:
                late.cancel()
            self._settle(has_lived=has_lived)
        if fatal is not None:
            self.registry.ends_program(fatal)

    async def _say_goodbye(self) -> BaseException | None:
        """Runs `on_stop`; what it raises that must end the program is returned."""
        try:
            await say_goodbye(self.actor)
        except BaseException as exc:
            if is_torn_down(exc, self.task):
                raise
            if is_cancelled(exc):
                self._cut_short("on_stop")
                raise
            self._ends().note(Fault(exc, "on_stop"))
            return exc if isinstance(exc, ENDS_PROGRAM) else None
        return None

    def _note_late(self) -> None:
        """A fault must not stay out of the log for as long as a child, or `on_stop`, takes to end."""
        left = [str(child.ref) for child in self.children]
        what = f"its children {', '.join(left[:10])}" if left else "its on_stop"
        logger.warning(
            "actor %s failed (%s) and has not ended after %g s: it waits for %s",
            self.ref,
            self._ends().faults_text(),
            LATE_SECONDS,
            what,
        )

    def _settle(self, *, has_lived: bool = True) -> None:
        """It is over: everybody who still waits for something of this actor is told, and the log last.

        Of one that could not start, its spawner is; to its parent it is no child that has stopped.
        """
        if self.state is STOPPED:
            return
        self.state = STOPPED
        self._discard()
        for asker, kind in self._deferred.empty() if self._deferred is not None else ():
            self._ends().asks += 1
            asker.fail(ActorStoppedError(f"actor {self.ref} stopped before it replied to {kind}"))
        for child in self.children:
            child.kill()
        self.registry.forget(self)
        ending, self._ending = self._ending, None
        if self.parent is not None:
            self.parent._lose(self, ending.cause if ending is not None else None, is_news=has_lived)
        if self._settled is not None:
            self._settled.set_result(None)
        self._queue = self.task = None
        # Refs may keep the cell for long; the actor's state, and what a traceback holds of it, need not stay.
        del self.actor
        if ending is not None or logger.isEnabledFor(logging.DEBUG):
            ending = ending or Ending()
            text = ending.text(has_started=has_lived)
            logger.log(ending.level, "actor %s %s", self.ref, text, exc_info=ending.traceback)

    async def settled(self) -> None:
        """Waits until the actor is no more."""
        if self.state is not STOPPED:
            if self._settled is None:
                self._settled = self.registry.loop.create_future()
            # Not `await self._settled`: one waiter's cancellation must not reach the others.
            await asyncio.wait((self._settled,))

    # Children and timers.

    async def spawn(
        self, actor: Callable[..., Actor[Any]], name: str | None, kwargs: dict[str, Any]
    ) -> ActorRef[Any]:
        return await self.registry.spawn(actor, name, kwargs, self)

    def _lose(self, child: Cell, cause: Exception | None, *, is_news: bool) -> None:
        self.disown(child)
        if is_news and self.is_open and self._overrides("on_child_stopped"):
            if self._notices is None:
                self._notices = deque()
            self._notices.append((child.ref, cause))
            if self._queue is None:
                self._open()
                self._launch_soon()

    def send_after(self, delay: float, message: Any) -> asyncio.TimerHandle:
        delay = checked_seconds("delay", delay)
        loop = self.registry.loop
        timer = loop.call_later(delay, self._fire, message)
        if self.is_open:
            if self._timers is None:
                self._timers = Bag(lambda timer: timer.cancelled() or timer.when() <= loop.time())
            self._timers.add(timer)
        else:
            timer.cancel()
        return timer

    def _fire(self, message: Any) -> None:
        if self.is_open:
            self.post((message, None))


async def stop_in_order(cells: Iterable[Cell]) -> None:
    """Stops the actors one after the other, the youngest first, each after the messages it has."""
    for cell in reversed(tuple(cells)):
        cell.close(drain=True)
        await cell.settled()
