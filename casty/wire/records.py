"""How one class is taken apart for the wire and put together again, worked out once for each class."""

from __future__ import annotations

import dataclasses
import inspect
from enum import EnumType
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeGuard

from casty.errors import SerializationError
from casty.wire.words import clipped

if TYPE_CHECKING:
    from collections.abc import Callable

_BUILTINS = (str, bytes, bytearray, int, float, complex, list, tuple, dict, set, frozenset)


class Record:
    """A dataclass. Its fields travel by name, so that either side may know more of them than the other."""

    __slots__ = ("_all", "_at_init", "_keys", "_required", "_values", "cls", "name")

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
        _refuse_unbuildable(cls, self._at_init)

    def fields_of(self, value: object) -> dict[str, object]:
        """The fields by name. One that is not set is left out if the constructor would not ask for it."""
        try:
            return dict(zip(self._keys, self._values(value), strict=True))
        except AttributeError:
            missing = [key for key in self._keys if not hasattr(value, key)]
            if asked := [key for key in missing if key in self._at_init]:
                raise SerializationError(f"{self.name} has no value for its field {asked[0]!r}") from None
            return {key: getattr(value, key) for key in self._keys if key not in missing}

    def build(self, fields: dict[str, Any]) -> object:
        """An instance with these fields. Unknown ones are ignored, missing ones filled by their defaults.

        The constructor runs, `__post_init__` included; then fields that it does not take are restored.
        """
        try:
            if fields.keys() == self._at_init:
                return self.cls(**fields)
            return self._build_from_others(fields)
        except SerializationError:
            raise
        except Exception as error:
            raise _unmade(self.name, error) from error

    def _build_from_others(self, fields: dict[Any, Any]) -> object:
        if any(type(key) is not str for key in fields):
            raise SerializationError(f"{self.name} has a field whose name is no str")
        if missing := [key for key in self._required if key not in fields]:
            raise SerializationError(f"{self.name} lacks its field {missing[0]!r}, which has no default")
        value = self.cls(**{key: field for key, field in fields.items() if key in self._at_init})
        for key in self._all - self._at_init:
            if key in fields:
                object.__setattr__(value, key, fields[key])  # past the setter of a frozen class
        return value


class Choice:
    """An enum. A member travels as its value, flags combined or not."""

    __slots__ = ("cls", "name")

    def __init__(self, cls: EnumType, name: str) -> None:
        self.cls: Callable[[object], object] = cls
        self.name = name
        """What the class is called on the wire."""

    def value_of(self, member: Any) -> object:
        value: object = member.value
        return value

    def member(self, value: object) -> object:
        """The member with this value. Raises `SerializationError` where there is none."""
        try:
            return self.cls(value)
        except Exception as error:
            raise _unmade(self.name, error) from error


def _unmade(name: str, error: Exception) -> SerializationError:
    return SerializationError(f"{name} could not be made: {type(error).__name__}: {clipped(str(error))}")


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
