"""Finds in the bytes of a user value what msgpack libraries let pass: too deep a nesting, and timestamps.

The library nests to 1024 levels, where PAYLOAD-6 ends at 256, and makes a timestamp of extension code -1
without asking anybody, where VALUE-4 refuses a code that is not in the table. Walking through the bytes here
costs more than decoding them in C, so it is left to payloads in which a quick look cannot rule the two out.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final

from casty.wire._protocol import DEPTH_MAX, EXT_NAMES, EXT_RAW


class NestingError(ValueError):
    """The value is nested deeper than the specification allows."""

    def __init__(self) -> None:
        super().__init__(f"it is nested deeper than {DEPTH_MAX} levels")


class TimestampError(ValueError):
    """The value holds msgpack's own timestamp, extension code -1."""

    def __init__(self) -> None:
        super().__init__("extension code -1 is not in the table")


def check_value(data: bytes) -> None:
    """Raises `NestingError` or `TimestampError`. What is no msgpack at all, it leaves to the decoder."""
    if len(data) <= DEPTH_MAX:  # each level takes a byte, so this one cannot be nested too deep
        is_suspect = 0xFF in data and _TIMESTAMP.search(data) is not None
    else:
        is_suspect = _may_nest_too_deep(data) or _may_hold_timestamp(data)
    if is_suspect:
        try:
            _walk(data)
        except IndexError:
            pass  # the bytes end too early; the decoder says so better


_CONTAINERS: Final = bytes((*range(0x80, 0xA0), 0xC7, 0xC8, 0xC9, *range(0xD4, 0xD9), *range(0xDC, 0xE0)))
"""First bytes of maps, arrays and extension values."""


def _may_nest_too_deep(data: bytes) -> bool:
    return len(data) - len(data.translate(None, _CONTAINERS)) > DEPTH_MAX


_TIMESTAMP: Final = re.compile(rb"\xff(?:(?<=[\xd4-\xd8].)|(?<=\xc7..)|(?<=\xc8...)|(?<=\xc9.....))", re.DOTALL)
"""The code, looked for first because it is rare, and before it the head of an extension value."""
_LOOKS_MAX: Final = 16


def _may_hold_timestamp(data: bytes) -> bool:
    at = data.find(0xFF)
    for _ in range(_LOOKS_MAX):
        if at < 0:
            return False
        if _TIMESTAMP.match(data, at):
            return True
        at = data.find(0xFF, at + 1)
    return True


def _walk(data: bytes) -> None:
    """Goes through the bytes value by value; every open container is a count of values still to come.

    An extension value counts as one level, and so does an array or map in its body.
    """
    outer: list[tuple[int, int]] = []
    missing, end = 1, 0  # in the innermost container: values to come; where the body of an extension value ends
    at = 0
    while True:
        while missing == 0:
            if not outer:
                return
            at = max(at, end)
            missing, end = outer.pop()
        missing -= 1
        byte = data[at]
        if size := _SIZES[byte]:
            at += size
        elif width := _BLOB_WIDTHS.get(byte):
            at += 1 + width + int.from_bytes(data[at + 1 : at + 1 + width])
        else:
            if len(outer) == DEPTH_MAX:
                raise NestingError
            outer.append((missing, end))
            missing, at, end = _open(data, at)


def _open(data: bytes, at: int) -> tuple[int, int, int]:
    """A container that begins at `at`: how many values it holds, where they begin, and where its body ends."""
    byte = data[at]
    if byte < 0xA0:
        return (byte & 0x0F) << (byte < 0x90), at + 1, 0
    if width := _COUNT_WIDTHS.get(byte):
        start = at + 1 + width
        return int.from_bytes(data[at + 1 : start]) << (byte >= 0xDE), start, 0
    width = _EXT_WIDTHS.get(byte, 0)
    start = at + 2 + width
    length = int.from_bytes(data[at + 1 : at + 1 + width]) if width else _FIXEXT_LENGTHS[byte]
    code = data[start - 1]
    if code == 0xFF:
        raise TimestampError
    return int(code in _PACKED), start, start + length


_SIZES: Final = (
    *(1 for _ in range(0x80)),  # small integers
    *(0 for _ in range(0x80, 0xA0)),  # small maps and arrays
    *range(1, 33),  # short strs
    *(1, 1, 1, 1),  # nil, a format never used, false, true
    *(0, 0, 0, 0, 0, 0),  # bins and extension values
    *(5, 9, 2, 3, 5, 9, 2, 3, 5, 9),  # floats and integers
    *(0 for _ in range(0xD4, 0xE0)),  # extension values, strs, arrays, maps
    *(1 for _ in range(0xE0, 0x100)),  # small negative integers
)
"""Bytes of a value by its first byte; 0 where that does not tell."""
_BLOB_WIDTHS: Final = MappingProxyType({0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4})
_COUNT_WIDTHS: Final = MappingProxyType({0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4})
_EXT_WIDTHS: Final = MappingProxyType({0xC7: 1, 0xC8: 2, 0xC9: 4})
_FIXEXT_LENGTHS: Final = MappingProxyType({0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16})
_PACKED: Final = EXT_NAMES.keys() - EXT_RAW
"""Codes whose bodies are msgpack."""
