"""Writes msgpack in its canonical form (PAYLOAD-7), and with `Raw` and `Pairs` also what nobody should send."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Ext:
    """An extension value: its body raw where it is bytes, else a value to be packed."""

    code: int
    body: Any


@dataclass(frozen=True, slots=True)
class Pairs:
    """A map with these keys in this order, a key as often as it stands there."""

    items: Sequence[tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that go out as they are, whether or not they are msgpack."""

    data: bytes


@dataclass(frozen=True, slots=True)
class _Close:
    """Marks where all of an extension value's body has been written, from the chunk `since` on."""

    code: int
    since: int


def pack(value: Any, lower: Callable[[Any], Any] | None = None) -> bytes:
    """The value's bytes in their shortest formats; `lower` turns what msgpack does not know into what it does.

    Takes None, bool, int from -2^63 to 2^64-1, float, str, bytes, list, dict, `Ext`, `Pairs` and `Raw`, nested
    as deep as may be. Raises `TypeError` for other values, and `ValueError` for those that do not fit.
    """
    chunks: list[bytes] = []
    todo: list[Any] = [value]
    while todo:
        item = todo.pop()
        match item:
            case _Close(code, since):
                body = b"".join(chunks[since:])
                chunks[since:] = [_ext_head(code, len(body)) + body]
            case Ext(code, bytes() as body):
                chunks.append(_ext_head(code, len(body)) + body)
            case Ext(code, body):
                todo += [_Close(code, len(chunks)), body]
            case _ if is_list(item):
                chunks.append(_head(len(item), 0x90, 16, (None, 0xDC, 0xDD)))
                todo.extend(reversed(item))
            case _ if is_dict(item):
                todo.append(Pairs(list(item.items())))
            case Pairs(pairs):
                chunks.append(_head(len(pairs), 0x80, 16, (None, 0xDE, 0xDF)))
                todo.extend(part for pair in reversed(pairs) for part in reversed(pair))
            case _:
                packed = _scalar(item)
                if packed is not None:
                    chunks.append(packed)
                elif lower:
                    todo.append(lower(item))
                else:
                    raise TypeError(f"{type(item).__name__} is nothing that msgpack holds")
    return b"".join(chunks)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is a list: an array on the wire."""
    return isinstance(value, list)


def is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    """Whether it is a dict: a map on the wire."""
    return isinstance(value, dict)


def is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    """Whether it is a tuple: an extension value on the wire."""
    return isinstance(value, tuple)


def is_set(value: object) -> TypeGuard[set[Any] | frozenset[Any]]:
    """Whether it is a set or a frozenset: extension values on the wire."""
    return isinstance(value, set | frozenset)


def _scalar(value: object) -> bytes | None:
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int() if -(2**63) <= value < 2**64:
            return _int(value)
        case float():
            return struct.pack(">Bd", 0xCB, value)
        case str():
            text = value.encode()
            return _head(len(text), 0xA0, 32, (0xD9, 0xDA, 0xDB)) + text
        case bytes():
            return _head(len(value), None, 0, (0xC4, 0xC5, 0xC6)) + value
        case Raw(data):
            return data
        case _:
            return None


def _int(value: int) -> bytes:
    if -32 <= value < 128:
        return struct.pack("b" if value < 0 else "B", value)
    formats = _UNSIGNED if value >= 0 else _SIGNED
    for first, code, fits in formats:
        if fits(value):
            return struct.pack(code, first, value)
    raise ValueError(f"integer {value} does not fit 64 bits")


_UNSIGNED: list[tuple[int, str, Callable[[int], bool]]] = [
    (0xCC, ">BB", lambda value: value < 1 << 8),
    (0xCD, ">BH", lambda value: value < 1 << 16),
    (0xCE, ">BI", lambda value: value < 1 << 32),
    (0xCF, ">BQ", lambda value: value < 1 << 64),
]
_SIGNED: list[tuple[int, str, Callable[[int], bool]]] = [
    (0xD0, ">Bb", lambda value: value >= -(1 << 7)),
    (0xD1, ">Bh", lambda value: value >= -(1 << 15)),
    (0xD2, ">Bi", lambda value: value >= -(1 << 31)),
    (0xD3, ">Bq", lambda value: value >= -(1 << 63)),
]


def _head(length: int, fix: int | None, below: int, firsts: tuple[int | None, int, int]) -> bytes:
    """The head of something of that length: within the first byte where it fits, else in 8, 16 or 32 bits."""
    if fix is not None and length < below:
        return bytes([fix + length])
    for first, code, end in zip(firsts, (">BB", ">BH", ">BI"), (1 << 8, 1 << 16, 1 << 32), strict=True):
        if first is not None and length < end:
            return struct.pack(code, first, length)
    raise ValueError(f"length {length:,}; the longest is 4,294,967,295")


def _ext_head(code: int, length: int) -> bytes:
    if length in (1, 2, 4, 8, 16):
        return struct.pack(">Bb", 0xD4 + length.bit_length() - 1, code)
    return _head(length, None, 0, (0xC7, 0xC8, 0xC9)) + struct.pack(">b", code)
