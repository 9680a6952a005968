"""Whether it is evident that a value comes back as it was, or has to be tried: decoded, and encoded again.

The msgpack library packs lists, dicts and scalars without asking. Here they are gone through level by level,
all of a level at once, so that a look costs a fraction of the packing. What the library asks about, its encoder
judges.
"""

from __future__ import annotations

from itertools import chain
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from casty.errors import SerializationError
from casty.wire.keys import check_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable

PLAIN: Final = frozenset({NoneType, bool, int, float, str, bytes})
"""Kinds that msgpack has a format for, of which a value is what its bytes are."""
_TEXTS: Final = frozenset({str, bytes})


def is_doubtful(values: Iterable[Any], asked: Container[type]) -> bool:
    """Whether the values have to be tried. Raises `ValueError` or `SerializationError` for what no node takes.

    `asked` are the kinds that the library has asked about. There must be no circle in the lists and dicts.
    """
    in_doubt = False
    level = list(values)
    while not PLAIN.issuperset(kinds := _kinds(level)):
        for kind in kinds - PLAIN - {list, dict}:
            if kind not in asked:
                _refuse_odd(kind, level)
        lists: list[list[Any]] = [value for value in level if type(value) is list]
        dicts: list[dict[Any, Any]] = [value for value in level if type(value) is dict]
        if not _TEXTS.issuperset(map(type, chain.from_iterable(dicts))):
            in_doubt |= sum(map(are_doubtful_keys, dicts)) > 0  # not `any`: each is looked at
        level = [*chain.from_iterable(lists), *chain.from_iterable(each.values() for each in dicts)]
    return in_doubt


def are_doubtful_keys(keys: Collection[object]) -> bool:
    """As `is_doubtful`, for the keys of one dict or the elements of one set."""
    kinds = _kinds(keys) - _TEXTS
    if not kinds <= PLAIN:
        return True
    if kinds:
        check_keys(keys)
    return False


def _kinds(values: Iterable[object]) -> set[type]:
    return set(map(type, values))


def _refuse_odd(kind: type, level: list[Any]) -> None:
    """Of what the library packs besides, only buffers of bytes are values here (VALUE-1)."""
    if kind is bytearray:
        return
    if kind is not memoryview:
        raise SerializationError(f"cannot send a value of type {kind.__module__}.{kind.__qualname__}")
    for view in (value for value in level if type(value) is memoryview):
        # A type checker takes the two for unequal always; they are where the items are bytes.
        if view != bytes(view):  # pyright: ignore[reportUnnecessaryComparison]
            raise SerializationError(
                f"cannot send a memoryview of items {view.format!r}: it would arrive as bytes, so send those"
            )
