"""Which messages an actor class accepts: the M of its `Actor[M]`, as types to check with `isinstance`."""

from __future__ import annotations

import functools
import sys
import types
import typing
from typing import Any, ForwardRef, Literal, NewType, TypeAliasType, TypeVar

from casty.actor import Actor
from casty.wire.types import wire_name

type Types = tuple[type, ...]


@functools.lru_cache(maxsize=1024)
def message_types(actor_class: Any) -> Types | None:
    """The classes of M for an actor class (or `Box[int]`, with arguments); None where M admits anything.

    What cannot be told at run time, such as a name that only type checkers see, counts as anything.
    """
    try:
        found = _flatten(_message_argument(actor_class), actor_class, ())
    except _AnythingError:
        return None
    return tuple(dict.fromkeys(found))


def message_hint(actor_class: Any) -> object:
    """M as it is written, type arguments and all; `Any` where it cannot be told."""
    try:
        hint = _message_argument(actor_class)
        return _evaluate(hint, actor_class) if isinstance(hint, (str, ForwardRef)) else hint
    except _AnythingError:
        return Any


def class_name(actor_class: type) -> str:
    """What nodes call the class, whatever its arguments: `module:qualname`, as they do a message's."""
    return wire_name(actor_class)


class _AnythingError(Exception):
    """M, or one member of the union, admits every message."""


def _message_argument(actor_class: Any) -> Any:
    """What stands for M when `actor_class` is followed up to `Actor[M]`, its type parameters filled in."""
    origin = typing.get_origin(actor_class) or actor_class
    if origin is Actor:
        return (typing.get_args(actor_class) or (Any,))[0]
    filled = dict(zip(_parameters(origin), typing.get_args(actor_class), strict=False))
    for base in types.get_original_bases(origin):
        base_origin = typing.get_origin(base) or base
        if isinstance(base_origin, type) and issubclass(base_origin, Actor):
            return _message_argument(_fill(base, filled))
    raise _AnythingError


def _parameters(generic: Any) -> tuple[Any, ...]:
    return getattr(generic, "__parameters__", ()) or getattr(generic, "__type_params__", ())


def _fill(annotation: Any, filled: dict[Any, Any]) -> Any:
    """`annotation` with the type variables in `filled` replaced."""
    free = getattr(annotation, "__parameters__", ())
    if isinstance(annotation, TypeVar):
        return filled.get(annotation, annotation)
    if not free or not any(variable in filled for variable in free):
        return annotation
    return annotation[tuple(filled.get(variable, variable) for variable in free)]


def _flatten(annotation: Any, owner: Any, seen: tuple[Any, ...]) -> Types:
    """The classes of one annotation. `seen` ends aliases that contain themselves."""
    origin = typing.get_origin(annotation)
    if annotation is None:
        return (types.NoneType,)
    if isinstance(annotation, TypeAliasType) or isinstance(origin, TypeAliasType):
        return () if annotation in seen else _flatten(_alias_value(annotation), owner, (*seen, annotation))
    if isinstance(annotation, (str, ForwardRef)):
        return _flatten(_evaluate(annotation, owner), owner, seen)
    if isinstance(annotation, TypeVar):
        return _flatten(_bound(annotation), owner, seen)
    if isinstance(annotation, NewType):
        return _flatten(annotation.__supertype__, owner, seen)
    if origin is typing.Union or origin is types.UnionType:
        return tuple(t for member in typing.get_args(annotation) for t in _flatten(member, owner, seen))
    if origin is typing.Annotated:
        return _flatten(annotation.__origin__, owner, seen)
    if origin is Literal:
        values: tuple[object, ...] = typing.get_args(annotation)
        return tuple(type(value) for value in values)
    return _of_class(origin or annotation)


def _of_class(kind: Any) -> Types:
    if typing.is_typeddict(kind):
        return (dict,)
    if kind is object or not _can_be_checked(kind):
        raise _AnythingError
    # For type checkers an int is also a float, and both are complex.
    wider: dict[type, Types] = {float: (float, int), complex: (complex, float, int)}
    return wider.get(kind, (kind,))


def _can_be_checked(kind: Any) -> bool:
    """False for `Any`, for most protocols, and for what is no class at all."""
    try:
        isinstance(None, kind)
    except TypeError:
        return False
    return True


def _alias_value(alias: Any) -> Any:
    """The right side of a `type` statement, its parameters filled in. Evaluated only now, so it may fail."""
    origin: TypeAliasType = typing.get_origin(alias) or alias
    try:
        value = origin.__value__
    except Exception:
        raise _AnythingError from None
    return _fill(value, dict(zip(origin.__type_params__, typing.get_args(alias), strict=False)))


def _evaluate(annotation: str | ForwardRef, owner: Any) -> Any:
    """A name in quotes, looked up where the actor class was defined."""
    text = annotation if isinstance(annotation, str) else annotation.__forward_arg__
    module = sys.modules.get((typing.get_origin(owner) or owner).__module__)
    try:
        return eval(text, vars(module) if module is not None else {})
    except Exception:
        raise _AnythingError from None


def _bound(variable: TypeVar) -> Any:
    if variable.__constraints__:
        return typing.Union[variable.__constraints__]  # noqa: UP007 (built from a tuple)
    if variable.__bound__ is None:
        raise _AnythingError
    return variable.__bound__
