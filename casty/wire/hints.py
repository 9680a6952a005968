"""The dataclasses and enums that type hints name, at any depth: what a message may be made of."""

from __future__ import annotations

import dataclasses
import sys
import typing
from enum import Enum
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NewType, TypeAliasType, TypeVar

from casty.wire.records import is_sendable_class

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def classes_in(hints: Iterable[object]) -> set[type]:
    """The dataclasses and enums named by `hints`, by the fields of those, and so on.

    A name that only type checkers can resolve names nothing here.
    """
    found: set[type] = set()
    seen: set[int] = set()
    open_hints = list(hints)
    kept_alive = list(open_hints)  # an id says who was seen only as long as nobody else can get it
    while open_hints:
        hint = open_hints.pop()
        if id(hint) in seen:
            continue
        seen.add(id(hint))
        parts = list(_parts(hint))
        kept_alive += parts
        open_hints += parts
        if is_sendable_class(hint):
            found.add(hint)
    return found


def _parts(hint: Any) -> Iterator[object]:
    """What the hint is made of: members of a union, arguments of a generic, fields of a dataclass."""
    if isinstance(hint, TypeAliasType):
        yield _value_of(hint)
    elif isinstance(hint, TypeVar):
        yield from hint.__constraints__ or (hint.__bound__,)
    elif isinstance(hint, NewType):
        yield hint.__supertype__
    elif isinstance(hint, Enum):  # in a Literal
        yield type(hint)
    elif isinstance(hint, list):  # the parameters of a Callable
        yield from hint
    elif (origin := typing.get_origin(hint)) is not None:
        yield origin
        yield from typing.get_args(hint)
    elif isinstance(hint, type) and dataclasses.is_dataclass(hint):  # an instance may annotate a type
        yield from _field_hints(hint)


def _value_of(alias: TypeAliasType) -> object:
    try:
        return alias.__value__
    except Exception:  # written for type checkers only
        return None


def _field_hints(cls: Any) -> Iterator[object]:
    fields = dataclasses.fields(cls)
    try:
        hints = typing.get_type_hints(cls)
    except Exception:  # a name that is for type checkers only must not hide the other fields
        hints = dict[str, Any]()
        for field in fields:
            hints |= _hint_alone(cls, field)
    yield from (hints[field.name] for field in fields if field.name in hints)


def _hint_alone(cls: type, field: dataclasses.Field[Any]) -> dict[str, object]:
    names: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        names |= vars(sys.modules.get(base.__module__, SimpleNamespace()))
    try:
        return typing.get_type_hints(SimpleNamespace(__annotations__={field.name: field.type}), globalns=names)
    except Exception:
        return {}
