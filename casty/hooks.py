"""An actor's own hooks, called so that nothing they raise or wait for can harm the machinery around them."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, NoReturn

from casty.errors import ActorFailedError
from casty.wire.words import text_of as text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from casty.actor import Actor

HOOKS: dict[str, tuple[str, ...]] = {
    "receive": ("msg", "ctx"),
    "on_start": (),
    "on_stop": (),
    "on_error": ("exc",),
    "on_child_stopped": ("child", "exc"),
}
"""What an actor's class may define, and the parameters that it is called with."""

LINE_MAX = 200
"""Characters of an exception that one line of the log shows; its traceback has the rest."""

ENDS_PROGRAM = (KeyboardInterrupt, SystemExit)
"""What asyncio lets pass through its loop, so that the program ends."""


async def survives(actor: Actor[Any], exc: BaseException) -> bool:
    """What `on_error` decides about `exc`, sync or async. Raises what it raises."""
    verdict = actor.on_error(for_actor(exc))
    return bool(await verdict if inspect.isawaitable(verdict) else verdict)


async def say_goodbye(actor: Actor[Any]) -> None:
    """Runs `on_stop`, but not for ever. Raises what it raises, and TimeoutError where it takes too long."""
    limit = asyncio.timeout(actor.stop_timeout)
    try:
        async with limit:
            await actor.on_stop()
    except BaseException as exc:
        error = explained(exc, actor.on_stop)
        if error is not exc:
            raise error from exc
        if not limit.expired() or is_cancelled(error) or isinstance(error, (GeneratorExit, *ENDS_PROGRAM)):
            raise
        raise _too_long(actor) from exc
    if limit.expired():  # it was cancelled and returned all the same
        raise _too_long(actor)


def _too_long(actor: Actor[Any]) -> TimeoutError:
    return TimeoutError(f"it took more than {actor.stop_timeout:g} s")


def form_of(hook: str) -> str:
    """How the hook is written."""
    return f"{'' if hook == 'on_error' else 'async '}def {hook}({', '.join(('self', *HOOKS.get(hook, ())))})"


def explained(exc: BaseException, hook: Callable[..., object]) -> BaseException:
    """`exc`, or in better words the TypeError of a hook whose result cannot be awaited."""
    trace = exc.__traceback__
    was_raised_here = trace is not None and trace.tb_next is None
    if not isinstance(exc, TypeError) or not was_raised_here or inspect.iscoroutinefunction(hook):
        return exc
    name = getattr(hook, "__name__", "receive")
    better = TypeError(f"{text_of(exc)}: {line_of(hook)} is not async; write `{form_of(name)}`")
    better.__cause__ = exc
    return better


def is_cancelled(exc: BaseException) -> bool:
    """Whether `exc` is the cancellation of the running task itself.

    A CancelledError in a task that nobody cancelled leaked from an inner task; it is a failure like any other.
    """
    if not isinstance(exc, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def is_torn_down(exc: BaseException, task: asyncio.Task[Any] | None) -> bool:
    """Whether `exc` came because the coroutine of `task` is closed from outside, and may not wait any more.

    A GeneratorExit that its own code raised, in its own task, is a failure like any other.
    """
    if not isinstance(exc, GeneratorExit):
        return False
    try:
        return asyncio.current_task() is not task
    except RuntimeError:
        return True  # there is no loop any more


def raise_from_loop(exc: BaseException) -> None:
    """Raises what ends the program out of the loop, in its next turn, and not in whatever runs now."""
    asyncio.get_running_loop().call_soon(_raise, exc)


def _raise(exc: BaseException) -> NoReturn:
    raise exc


def for_asker(exc: BaseException, node_id: str | None, actor: str, message_type: str) -> ActorFailedError:
    """What an asker learns of `exc`: the same on every node, and the original as `__cause__` on this one."""
    error = ActorFailedError(type(exc).__name__, text_of(exc), node_id, actor, message_type)
    error.__cause__ = exc
    return error


def for_actor(exc: BaseException) -> Exception:
    """What hooks see of `exc`. They are promised an Exception; anything else comes wrapped in one."""
    if isinstance(exc, Exception):
        return exc
    wrapped = RuntimeError(f"{type(exc).__name__} left the actor's code: {text_of(exc)}")
    wrapped.__cause__ = exc
    return wrapped


def line_of(thing: object) -> str:
    """The same as one line of a bounded length, for the log."""
    text = text_of(thing, repr).replace("\n", "\\n")
    return text if len(text) <= LINE_MAX else f"{text[:LINE_MAX]}…"
