"""How one class is taken apart for the wire and put together again, worked out once for each class.

A message's sender may be of another version than its receiver, so fields may be unknown or missing there. A
command is carried out by all members, and is the same to all: its fields are those of the class (COMMIT-6).
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from abc import ABCMeta
from enum import EnumType
from operator import attrgetter
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from casty.errors import SerializationError
from casty.wire.keys import has_generated
from casty.wire.words import clipped, shown, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_BUILTINS = (str, bytes, bytearray, int, float, complex, list, tuple, dict, set, frozenset)
_SAME_EACH_TIME: Final = frozenset({*_BUILTINS, bool})
"""Factories of defaults that make the same on every node and at any time."""


class Record:
    """A dataclass. Its fields travel by name."""

    __slots__ = ("_all", "_at_init", "_keys", "_made", "_required", "_values", "cls", "is_evident", "name")

    def __init__(self, cls: type, name: str) -> None:
        """Raises `SerializationError` for a class whose instances cannot be put together from their fields."""
        fields = dataclasses.fields(cls)
        self.cls: Callable[..., object] = cls
        self.name = name
        """What the class is called on the wire."""
        self._keys = tuple(field.name for field in fields)
        self._values = _getter(self._keys)
        self._all = frozenset(self._keys)
        self._at_init = frozenset(field.name for field in fields if field.init)
        self._required = tuple(field.name for field in fields if field.init and _has_no_default(field))
        self._made = tuple(field.name for field in fields if field.init and _is_made_anew(field))
        _refuse_unbuildable(cls, self._at_init)
        self.is_evident = self._at_init == self._all and _is_evident(cls, self._keys)
        """Whether it needs no trial that what is put together from an instance's fields is the same."""

    def fields_of(self, value: object) -> dict[str, object]:
        """The fields by name. One that is not set is left out if the constructor would not ask for it."""
        try:
            return dict(zip(self._keys, self._values(value), strict=True))
        except AttributeError:
            missing = [key for key in self._keys if not hasattr(value, key)]
            if asked := [key for key in missing if key in self._at_init]:
                raise SerializationError(f"{self.name} has no value for its field {asked[0]!r}") from None
            return {key: getattr(value, key) for key in self._keys if key not in missing}

    def build(self, fields: dict[str, Any], *, exact: bool = False) -> object:
        """An instance with these fields. Unknown ones are ignored, missing ones filled by their defaults.

        With `exact`, unknown ones are refused, and so are missing ones whose default is made anew each time.
        The constructor runs, `__post_init__` included; then fields that it does not take are restored.
        """
        try:
            if fields.keys() == self._at_init:
                return self.cls(**fields)
            return self._build_from_others(fields, exact=exact)
        except (SerializationError, KeyboardInterrupt):
            raise
        except BaseException as error:  # whatever a class raises is no reason to end, not even SystemExit
            raise _unmade(self.name, error) from error

    def _build_from_others(self, fields: dict[Any, Any], *, exact: bool) -> object:
        if any(type(key) is not str for key in fields):
            raise SerializationError(f"{self.name} has a field whose name is no str")
        if exact:
            self._refuse_other_shape(fields)
        if missing := [key for key in self._required if key not in fields]:
            raise SerializationError(f"{self.name} lacks its field {missing[0]!r}, which has no default")
        value = self.cls(**{key: field for key, field in fields.items() if key in self._at_init})
        for key in self._all - self._at_init:
            if key in fields:
                object.__setattr__(value, key, fields[key])  # past the setter of a frozen class
        return value

    def _refuse_other_shape(self, fields: dict[str, Any]) -> None:
        """A field that one member ignores and another knows, or a default that each member draws for itself,
        would make their states differ for good. A constant default is the same for all who know the field."""
        unknown = [key for key in fields if key not in self._all]
        made = [key for key in self._made if key not in fields]
        if unknown or made:
            why = f"does not know {_listed(unknown)}" if unknown else f"makes a new default for {_listed(made)}"
            raise SerializationError(
                f"{self.name} has the fields {_listed(fields)} there, and {_listed(self._keys)} on this node, "
                f"which {why}"
            )


class Choice:
    """An enum. A member travels as its value, flags combined or not."""

    __slots__ = ("_members", "cls", "name")

    def __init__(self, cls: EnumType, name: str) -> None:
        self.cls: Callable[[object], object] = cls
        self.name = name
        """What the class is called on the wire."""
        self._members: Mapping[object, object] = cls._value2member_map_ if type(cls) is EnumType else {}

    def value_of(self, member: Any) -> object:
        value: object = member.value
        return value

    def is_evident(self, member: object) -> bool:
        """Whether it needs no trial that the member is found again by its value."""
        value = self.value_of(member)
        return type(value) in (int, str) and self._members.get(value) is member

    def member(self, value: object) -> object:
        """The member with this value. Raises `SerializationError` where there is none."""
        try:
            return self.cls(value)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise _unmade(self.name, error) from error


def _unmade(name: str, error: BaseException) -> SerializationError:
    return SerializationError(f"{name} could not be made: {type(error).__name__}: {clipped(text_of(error))}")


def _listed(names: Iterable[str]) -> str:
    return clipped(", ".join(map(shown, names))) or "no field"


def is_sendable_class(cls: object) -> TypeGuard[type]:
    """Whether it is a dataclass or an enum. Asks its type, not itself, which may be a proxy that loads code."""
    kind = type(cls)
    return issubclass(kind, EnumType) or (issubclass(kind, type) and dataclasses.is_dataclass(cls))


def _getter(keys: tuple[str, ...]) -> Callable[[object], tuple[object, ...]]:
    if len(keys) > 1:
        return attrgetter(*keys)
    if not keys:
        return lambda value: ()
    only = attrgetter(keys[0])
    return lambda value: (only(value),)


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _is_made_anew(field: dataclasses.Field[Any]) -> bool:
    """Whether its default may be another on each node, or at another time."""
    factory = field.default_factory
    made = typing.get_origin(factory) or factory
    return factory is not dataclasses.MISSING and made not in _SAME_EACH_TIME


def _is_evident(cls: Any, keys: tuple[str, ...]) -> bool:
    """Whether `dataclass` alone decides how instances are made, and fields set and read."""
    return (
        type(cls) in (type, ABCMeta)
        and has_generated(cls, "__init__")
        and getattr(cls, "__post_init__", None) is None
        and cls.__new__ is object.__new__
        and cls.__getattribute__ is object.__getattribute__
        and (cls.__setattr__ is object.__setattr__ or has_generated(cls, "__setattr__"))
        and not any(_is_computed(cls, key) for key in keys)
    )


def _is_computed(cls: type, key: str) -> bool:
    found: object = inspect.getattr_static(cls, key, None)
    kind = type(found)
    return hasattr(kind, "__get__") and kind is not MemberDescriptorType


def _refuse_unbuildable(cls: Any, at_init: frozenset[str]) -> None:
    if issubclass(cls, _BUILTINS):
        raise SerializationError(f"{cls.__qualname__} is a dataclass and a built-in collection or value in one")
    for parameter in inspect.signature(cls).parameters.values():
        if (
            parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            and parameter.name not in at_init
        ):
            raise SerializationError(
                f"{cls.__qualname__} cannot be made from its fields: its constructor wants {parameter.name!r}, "
                "which no field holds"
            )
