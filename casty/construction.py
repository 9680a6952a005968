"""How an actor object is made, and what must be true of its class; what is not is said when it is spawned."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from casty.actor import Actor
from casty.arguments import checked_timeout
from casty.errors import ActorStartError
from casty.hooks import HOOKS, form_of, line_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MemberDescriptorType

    from casty.actor import Context

CHECKED_MAX = 1024
"""Classes that are remembered as checked."""

_checked: set[type] = set()

# The slot itself: neither a frozen dataclass nor a `__setattr__` or `__getattr__` of the class is asked.
_slot = cast("MemberDescriptorType", Actor.__dict__["context"])
_set_context = _slot.__set__


def construct(actor: Callable[..., Actor[Any]], kwargs: dict[str, Any]) -> Actor[Any]:
    """Calls the class or function. Raises ActorStartError where it raises, TypeError for what is no actor."""
    # Most are classes, and `isinstance` of an ABC costs as much as all the rest here.
    given = cast(object, actor)
    if not isinstance(given, type) and (isinstance(given, Actor) or not callable(given)):
        raise TypeError(
            f"spawn takes an Actor class or a function that returns one, not {line_of(actor)}; "
            "an object that exists already is spawned by `spawn(lambda: actor)`"
        )
    try:
        instance = actor(**kwargs)
    except Exception as exc:
        raise ActorStartError(f"{line_of(actor)} raised {text_of(exc, repr)}{_hint(exc)}") from exc
    except BaseException as exc:
        if isinstance(exc, (KeyboardInterrupt, SystemExit)):
            raise
        raise ActorStartError(f"{line_of(actor)} raised {text_of(exc, repr)}") from exc
    kind = type(instance)
    if Actor not in kind.__mro__:  # an annotation is no more than a promise
        raise TypeError(_no_actor(actor, instance))
    if kind not in _checked:
        _check(kind)
        if len(_checked) >= CHECKED_MAX:
            _checked.clear()
        _checked.add(kind)
    if instance.stop_timeout is not Actor.stop_timeout:
        checked_timeout(instance.stop_timeout, f"{kind.__qualname__}.stop_timeout")
    return instance


def give_context(instance: Actor[Any], context: Context[Any]) -> None:
    """The actor's own context. Raises ValueError for an object that has one."""
    if hasattr(instance, "context") and _has_context(instance):
        raise ValueError(f"{line_of(instance)} has a `context` already: it was spawned before, or sets its own")
    _set_context(instance, context)


def _has_context(instance: Actor[Any]) -> bool:
    """Whether something has set it: a `__getattr__` may have any attribute."""
    try:
        _slot.__get__(instance, type(instance))
    except AttributeError:
        return False
    return True


def _check(kind: type[Actor[Any]]) -> None:
    """Raises TypeError for a class whose hooks cannot be called as they will be, or that hides `context`."""
    if inspect.getattr_static(kind, "context") is not _slot:
        raise TypeError(
            f"{kind.__qualname__} defines `context`, which is the actor's own; give it another name"
        )
    for name, parameters in HOOKS.items():
        found: object = inspect.getattr_static(kind, name)
        if found is Actor.__dict__[name]:
            continue
        where = f"{kind.__qualname__}.{name}"
        hook: object = getattr(kind, name)
        if not callable(hook):
            raise TypeError(f"{where} must be a method, not {line_of(hook)}; write `{form_of(name)}`")
        if _has_yield(hook):
            raise TypeError(f"{where} contains `yield`, so it cannot be awaited; write `{form_of(name)}`")
        is_bound = hasattr(type(found), "__get__") and not isinstance(found, (staticmethod, classmethod))
        try:
            signature = inspect.signature(hook)
        except (TypeError, ValueError):
            continue  # it cannot be told
        try:
            signature.bind(*(("self",) if is_bound else ()), *parameters)
        except TypeError as error:
            raise TypeError(
                f"{where} cannot be called with ({', '.join(parameters)}): {error}; write `{form_of(name)}`"
            ) from None


def _has_yield(hook: object) -> bool:
    if inspect.isasyncgenfunction(hook):
        return True
    code = getattr(inspect.unwrap(hook), "__code__", None) if inspect.isgeneratorfunction(hook) else None
    return code is not None and not code.co_flags & inspect.CO_ITERABLE_COROUTINE


def _no_actor(actor: object, instance: object) -> str:
    what = f"spawn takes an Actor class or a function that returns one; {line_of(actor)}"
    if inspect.iscoroutine(instance):
        instance.close()
        return f"{what} is async: do what it awaits in `on_start`, or before the spawn"
    return f"{what} gave {line_of(instance)}, whose class does not inherit from Actor"


def _hint(exc: Exception) -> str:
    """What to do about a constructor's commonest mistake."""
    if isinstance(exc, AttributeError) and exc.name == "context" and isinstance(exc.obj, Actor):
        return ": `self.context` is there from `on_start` on, not in the constructor"
    return ""
