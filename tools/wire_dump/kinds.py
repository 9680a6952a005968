"""Tells containers apart in values of which nothing else is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeGuard


def is_map(value: object) -> TypeGuard[dict[Any, Any]]:
    """Whether it is a dict."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is a list."""
    return isinstance(value, list)


def is_set(value: object) -> TypeGuard[set[Any] | frozenset[Any]]:
    """Whether it is a set of either kind."""
    return isinstance(value, set | frozenset)


def is_plain_tuple(value: Any) -> TypeGuard[tuple[Any, ...]]:
    """Whether it is a tuple without names for its parts."""
    return not hasattr(value, "_fields") and isinstance(value, tuple)


def field_of(value: Any, name: str) -> list[Any]:
    """The part of a named tuple by this name, if it has one."""
    return [getattr(value, name)] if name in value._fields else []
