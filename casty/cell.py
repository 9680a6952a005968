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
from casty.errors import ActorStartError, ActorStoppedError, ReentrancyError
from casty.family import Family
from casty.hooks import ends_task, for_actor, for_asker, say_goodbye, survives, text_of
from casty.mailbox import BATCH_SIZE
from casty.message_types import message_types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from casty.actor import ActorRef, Asker, Envelope
    from casty.registry import Registry

logger = logging.getLogger(__name__)

NESTED_MAX = 16
"""Actors that may be started inside one another; each costs some of the C stack."""


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
        "_cause",
        "_deferred",
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
        self._deferred: Bag[Asker] | None = None
        self._timers: Bag[asyncio.TimerHandle] | None = None
        self._cause: Exception | None = None
        self._settled: asyncio.Future[None] | None = None

    @property
    def generic_kind(self) -> Any:
        """The actor's class, with its arguments where it was made from one such as `Box[int]`."""
        return getattr(self.actor, "__orig_class__", self.kind)

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
            self.registry.loop.call_soon(self._launch)

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
        while self._queue:
            self.registry.refuse(self.ref.address, self._queue.popleft(), self.stopped_error())

    def stopped_error(self) -> ActorStoppedError:
        return ActorStoppedError(f"actor {self.ref} has stopped")

    # The task.

    def _launch(self) -> asyncio.Task[None] | None:
        """Starts the actor's task, unless it has one, and runs its first step inside whatever runs now.

        So there is no task whose first line has not run: cancelling such a one would lose the actor for good.
        Where too many run inside one another already, the task starts on the loop's next turn.
        """
        registry = self.registry
        if self.task is not None or self._queue is None:
            return None
        if registry.nested >= NESTED_MAX:
            registry.loop.call_soon(self._launch)
            return None
        work = self._start() if self.state is STARTING else self._run()
        registry.nested += 1
        try:
            return asyncio.Task(
                work, loop=registry.loop, name=self.ref.address, context=self.variables, eager_start=True
            )
        finally:
            registry.nested -= 1

    async def _run(self) -> None:
        """Handles what is in the mailbox, one message at a time, until nothing is left; or ends the actor."""
        self.task = asyncio.current_task()
        queue, receive, unasked = self._queue, self.actor.receive, self.actor.context
        assert queue is not None, "an actor has a queue as long as it has a task"
        try:
            left = BATCH_SIZE
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
                            self._defer(asker)
                except BaseException as exc:
                    await self._recover(exc, type(message).__qualname__, asker)
                left -= 1
                if not left:
                    left = BATCH_SIZE
                    await asyncio.sleep(0)
            if self.state is CLOSING:
                await self._finish()
        except GeneratorExit:
            raise  # the loop is gone, and with it everybody who could be told
        except CancelledError:
            # By `kill`, or by a loop that is torn down: either way the actor stops as it would otherwise.
            self.close(drain=False)
            await self._finish()
            raise
        except BaseException:
            # The interpreter goes down, or this module has a bug: no time for hooks, but nobody is to hang.
            self.close(drain=False)
            self._settle()
            raise
        self.inbox = self._queue = self.task = None

    async def _heed(self, child: ActorRef[Any], cause: Exception | None) -> None:
        try:
            await self.actor.on_child_stopped(child, cause)
        except BaseException as exc:
            await self._recover(exc, "on_child_stopped", None)

    def _defer(self, asker: Asker) -> None:
        """Remembers an asker that has no reply yet, so that it learns when the actor stops."""
        asker.progress = "handled without a reply"
        if self._deferred is None:
            self._deferred = Bag(lambda asker: asker.done())
        self._deferred.add(asker)

    async def _recover(self, exc: BaseException, doing: str, asker: Asker | None) -> None:
        """Tells the asker and the log; then `on_error` decides whether the actor goes on."""
        waiting = asker if asker is not None and not asker.done() else None
        if ends_task(exc):
            if waiting is not None and not isinstance(exc, GeneratorExit):
                waiting.fail(ActorStoppedError(f"actor {self.ref} was stopped while it handled {doing}"))
            raise exc
        logger.error("actor %s failed in %s", self.ref, doing, exc_info=exc)
        if waiting is not None:
            waiting.fail(for_asker(exc, self.ref.node_id))
        if not await survives(self.actor, self.ref, exc):
            self.close(drain=False, cause=for_actor(exc))

    # The beginning.

    async def start(self) -> None:
        """Runs `on_start` in the actor's own task, and raises ActorStartError where that fails."""
        if not self._overrides("on_start"):
            self.state = LIVE
            return
        self.inbox = self._queue = self.registry.new_mailbox()
        try:
            task = self._launch()
            assert task is not None, "`Registry.spawn` sees to it that not too many are nested"
            await task
        except (Exception, CancelledError) as exc:
            spawner = asyncio.current_task()
            if isinstance(exc, CancelledError) and spawner is not None and spawner.cancelling():
                self.close(drain=False)  # nobody will ever hold the ref
                raise
            raise ActorStartError(f"on_start of actor {self.ref} raised {text_of(exc, repr)}") from exc

    async def _start(self) -> None:
        self.task = asyncio.current_task()
        try:
            await self.actor.on_start()
        except GeneratorExit:
            raise
        except (Exception, CancelledError):
            self.close(drain=False)
            await self._finish(has_lived=False)
            raise
        except BaseException:
            self.close(drain=False)
            self._settle(has_lived=False)
            raise
        self.task = None
        if self.state is STARTING:
            self.state = LIVE
        if self._queue or self._notices or self.state is CLOSING:
            self.registry.loop.call_soon(self._launch)
        else:
            self.inbox = self._queue = None

    def _overrides(self, hook: str) -> bool:
        return getattr(self.kind, hook) is not getattr(Actor, hook)

    # The end.

    def close(self, *, drain: bool, cause: Exception | None = None) -> None:
        """Accepts no more; the actor stops after the messages it has (`drain`) or after the current one."""
        if self.is_open:
            is_idle = self._queue is None
            self.state = CLOSING
            self.inbox = self._notices = None
            self._cause = cause
            for timer in self._timers.empty() if self._timers is not None else ():
                timer.cancel()
            if is_idle:
                self._close_idle()
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
        try:
            try:
                await stop_in_order(self.children)
            except CancelledError:
                # Whoever has no time for the children's messages cancels them, too; the hooks run all the same.
                for child in self.children:
                    child.kill()
                await self._finish(has_lived=has_lived)
                raise
            if has_lived:
                await say_goodbye(self.actor, self.ref)
        finally:
            self._settle(has_lived=has_lived)

    def _settle(self, *, has_lived: bool = True) -> None:
        """It is over: everybody who still waits for something of this actor is told.

        Of one that could not start, its spawner is; to its parent it is no child that has stopped.
        """
        if self.state is STOPPED:
            return
        self.state = STOPPED
        self._discard()
        for asker in self._deferred.empty() if self._deferred is not None else ():
            asker.fail(ActorStoppedError(f"actor {self.ref} stopped before it replied"))
        for child in self.children:
            child.kill()
        self.registry.forget(self)
        if self.parent is not None:
            self.parent._lose(self, is_news=has_lived)
        if self._settled is not None:
            self._settled.set_result(None)
        self._queue = self.task = None
        del self.actor  # refs may keep the cell for long; the actor's state need not stay with it

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

    def _lose(self, child: Cell, *, is_news: bool) -> None:
        self.disown(child)
        if is_news and self.is_open and self._overrides("on_child_stopped"):
            if self._notices is None:
                self._notices = deque()
            self._notices.append((child.ref, child._cause))
            if self._queue is None:
                self._open()
                self.registry.loop.call_soon(self._launch)

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
