"""Whether it is evident that a value comes back as it was, or has to be tried: decoded, and encoded again.

The msgpack library packs lists, dicts and scalars without asking. Here they are gone through by kinds, a list
or dict at a time: a look costs a fraction of the packing. What the library asks about, its encoder judges.
"""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from casty.errors import SerializationError
from casty.wire.extensions import BODIES
from casty.wire.keys import check_keys, parts_of

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable

PLAIN: Final = frozenset({NoneType, bool, int, float, str, bytes})
"""Kinds that msgpack has a format for, of which a value is what its bytes are."""
_TEXTS: Final = frozenset({str, bytes})
_BUILTIN: Final = PLAIN | BODIES.keys() | {tuple, frozenset}
"""Kinds whose values equal themselves again, so that `check_keys` says all there is to say of them."""


def is_doubtful(values: Iterable[Any], asked: Container[type]) -> bool:
    """Whether the values have to be tried. Raises `ValueError` or `SerializationError` for what no node takes.

    `asked` are the kinds that the library has asked about. There must be no circle in the lists and dicts.
    """
    in_doubt = False
    todo = [values]
    for items in todo:  # which grows meanwhile
        for value in items:
            kind = _kind(value)
            if kind in PLAIN or kind in asked:
                continue
            if kind is dict:
                in_doubt |= are_doubtful_keys(value)
                inside = value.values()
            elif kind is list:
                inside = value
            else:
                _refuse_odd(value)
                continue
            if not PLAIN.issuperset(map(type, inside)):
                todo.append(inside)
    return in_doubt


def are_doubtful_keys(keys: Collection[object]) -> bool:
    """As `is_doubtful`, for the keys of one dict or the elements of one set."""
    if _TEXTS.issuperset(map(type, keys)):
        return False
    check_keys(keys)
    return not PLAIN.issuperset(map(type, keys)) and not _BUILTIN.issuperset(
        type(part) for key in keys for part in parts_of(key)
    )


def _kind(value: object) -> type:
    return type(value)


def _refuse_odd(value: Any) -> None:
    """Of what the library packs besides, only buffers of bytes are values here (VALUE-1)."""
    kind = _kind(value)
    if kind is bytearray:
        return
    if kind is not memoryview:
        raise SerializationError(f"cannot send a value of type {kind.__module__}.{kind.__qualname__}")
    if value != bytes(value):
        raise SerializationError(
            f"cannot send a memoryview of items {value.format!r}: it would arrive as bytes, so send those"
        )
