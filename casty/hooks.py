"""An actor's own hooks, called so that nothing they raise or wait for can harm the machinery around them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any

from casty.errors import ActorFailedError
from casty.wire.words import text_of as text_of

if TYPE_CHECKING:
    from casty.actor import Actor, ActorRef

logger = logging.getLogger(__name__)


async def survives(actor: Actor[Any], ref: ActorRef[Any], exc: BaseException) -> bool:
    """What `on_error` decides about `exc`, sync or async; raising is a no."""
    try:
        verdict = actor.on_error(for_actor(exc))
        return bool(await verdict if inspect.isawaitable(verdict) else verdict)
    except BaseException as error:
        if ends_task(error):
            raise
        logger.error("on_error of actor %s raised; the actor stops", ref, exc_info=error)
        return False


async def say_goodbye(actor: Actor[Any], ref: ActorRef[Any]) -> None:
    """Runs `on_stop`, but not for ever; what it raises is logged."""
    limit = asyncio.timeout(actor.stop_timeout)
    try:
        async with limit:
            await actor.on_stop()
    except BaseException as error:
        if ends_task(error):
            raise
        what = f"took more than {actor.stop_timeout} s" if limit.expired() else "raised"
        logger.error("on_stop of actor %s %s", ref, what, exc_info=error)


def ends_task(exc: BaseException) -> bool:
    """True for what must pass through the actor's task: the interpreter's own, and its real cancellation.

    A CancelledError in a task that nobody cancelled leaked from an inner task; it is a failure like any other.
    """
    if isinstance(exc, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(exc, (GeneratorExit, KeyboardInterrupt, SystemExit))


def for_asker(exc: BaseException, node_id: str | None) -> ActorFailedError:
    """What an asker learns of `exc`: the same on every node, and the original as `__cause__` on this one."""
    error = ActorFailedError(type(exc).__name__, text_of(exc), node_id)
    error.__cause__ = exc
    return error


def for_actor(exc: BaseException) -> Exception:
    """What hooks see of `exc`. They are promised an Exception; what is none comes wrapped in one."""
    if isinstance(exc, Exception):
        return exc
    wrapped = RuntimeError(f"{type(exc).__name__} left the actor's receive: {text_of(exc)}")
    wrapped.__cause__ = exc
    return wrapped
