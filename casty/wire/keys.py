"""Which keys of a map, or elements of a set, can be together: no two that are one, few with one hash.

Sender and receiver ask the same functions here, and the answer is the same in every process: it depends neither
on the seed of Python's hashes nor on the table of time zones.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import date, datetime, time
from decimal import Decimal
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

_SAME_HASH_MAX: Final = 64
_TEXTS: Final = frozenset({str, bytes})
_ALIKE: Final = frozenset({str, bytes, int, bool, NoneType})
"""Kinds whose equality is plain: no NaN, no parts, no zone."""


def check_keys(keys: Collection[object]) -> None:
    """Raises `ValueError` for keys that no map may have together, and for one that can change."""
    try:
        refuse_collisions(keys)
        refuse_twins(keys)
    except TypeError:  # it has no hash
        raise ValueError("one of its keys or elements can change, or holds what can") from None


def refuse_collisions(keys: Collection[object]) -> None:
    """Raises `ValueError` if more of the keys share a hash than chance explains.

    The hashes of numbers, and of what is made of them, are no secret, so a peer can choose a million keys that
    each are compared with all others. Those of strs and bins are one: each process draws a seed for them.
    """
    if len(keys) > _SAME_HASH_MAX:
        hashes = Counter(_hash(key) for key in keys if type(key) not in _TEXTS)
        if max(hashes.values(), default=0) > _SAME_HASH_MAX:
            raise ValueError(f"more than {_SAME_HASH_MAX} of its {len(keys):,} keys or elements share a hash")


def refuse_twins(keys: Collection[object]) -> None:
    """Raises `ValueError` if two keys or elements are one, as 1, 1.0 and true are, or NaN twice (VALUE-6).

    Strs and bins are equal only to their like, of which a map keeps one (PAYLOAD-5).
    """
    others = [key for key in keys if type(key) not in _TEXTS]
    if not others:
        return
    is_plain = _ALIKE.issuperset(map(type, others))
    if len(set(others)) != len(others) or not (is_plain or len(set(map(_identity, others))) == len(others)):
        raise ValueError(f"two of its {len(keys):,} keys or elements are equal")
    if not is_plain:
        _refuse_zones(others)


def _refuse_zones(keys: list[object]) -> None:
    """Whether two moments are one is for the table of zones to say, of which each node has its own."""
    zones = {
        part.tzinfo
        for key in keys
        for part in parts_of(key)
        if isinstance(part, (datetime, time)) and part.tzinfo is not None
    }
    if len(zones) > 1 and any(isinstance(zone, ZoneInfo) for zone in zones):
        raise ValueError("its keys or elements are moments in several zones, which may be equal elsewhere")


def parts_of(key: Any) -> Iterator[object]:
    """The key, and all that it is made of, at any depth."""
    yield key
    if type(key) in (tuple, frozenset):
        for item in key:
            yield from parts_of(item)
    elif dataclasses.is_dataclass(key):
        for item in _fields(key):
            yield from parts_of(item)


def _fields(value: Any) -> Iterator[object]:
    return (getattr(value, field.name, None) for field in dataclasses.fields(value))


# What a key is equal to, as the specification sees it: by its content, NaN included. A class may see it
# otherwise, so its own equality is asked as well.


_NAN: Final = object()


def _content(key: object) -> Any:
    """The key, for what its kind has told already."""
    return key


def _identity(key: object) -> object:
    kind, content = type(key), _content(key)
    if kind in _ALIKE:
        return key
    if kind is float:
        return key if content == content else _NAN
    if kind is Decimal:
        return (kind, content.as_tuple()) if content.is_nan() else key
    if kind is complex:
        return key if content == content else (kind, _identity(content.real), _identity(content.imag))
    if kind is tuple:
        return tuple(map(_identity, content))
    if kind is frozenset:
        return frozenset(map(_identity, content))
    if dataclasses.is_dataclass(kind):
        return kind, tuple(map(_identity, _fields(key)))
    return key


# Hashes as Python makes them, but for a seed: strs, bins and what is hashed as one of them get a checksum
# instead. A dataclass is hashed by its fields unless it says itself how.


def _hash(key: object) -> int:
    kind = type(key)
    make = _HASHES.get(kind)
    if make is not None:
        return make(key)
    if has_generated(kind, "__hash__") and dataclasses.is_dataclass(kind):
        return hash(tuple(map(_hash, _fields(key))))
    return hash(key)


def has_generated(cls: type, method: str) -> bool:
    """Whether `dataclass` has written that method: its code is not from any file."""
    code = getattr(getattr(cls, method, None), "__code__", None)
    return code is not None and code.co_filename == "<string>"


def _hash_of_set(items: frozenset[Any]) -> int:
    """Elements of one hash cancel each other out, as in CPython's own."""
    mixed = 0
    for each in map(_hash, items):
        mixed ^= (each ^ 89869747 ^ (each << 16)) * 3644798167 % (1 << 64)
    return hash((mixed, len(items)))


def _hash_of_text(key: object) -> int:
    return crc32(repr(key).encode())


_HASHES: Final[Mapping[type, Callable[[Any], int]]] = MappingProxyType(
    {
        **dict.fromkeys((str, bytes, date, datetime, time), _hash_of_text),
        tuple: lambda items: hash(tuple(map(_hash, items))),
        frozenset: _hash_of_set,
    }
)
