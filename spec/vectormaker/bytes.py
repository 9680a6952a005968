"""msgpack written out by hand: each function makes one value's bytes, and the JSON that stands for it.

A `width` asks for a longer format than the shortest: the bytes of the integer, or of the length.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import reduce
from typing import Any


@dataclass(frozen=True, slots=True)
class Value:
    """A msgpack value: its bytes, and how the vector files write it."""

    wire: bytes
    json: Any


NIL = Value(b"\xc0", None)
FALSE = Value(b"\xc2", False)
TRUE = Value(b"\xc3", True)


def boolean(value: bool) -> Value:
    return TRUE if value else FALSE


def uint(value: int, width: int = 0) -> Value:
    """An integer of 0 or more."""
    if width == 0:
        if value < 0x80:
            return Value(bytes([value]), value)
        width = next(width for width in (1, 2, 4, 8) if value < 1 << (8 * width))
    first = {1: 0xCC, 2: 0xCD, 4: 0xCE, 8: 0xCF}[width]
    return Value(bytes([first]) + value.to_bytes(width), _json_of_int(value))


def sint(value: int, width: int = 0) -> Value:
    """An integer in a signed format; the shortest one only for negatives."""
    if width == 0:
        if -32 <= value < 0:
            return Value(value.to_bytes(1, signed=True), value)
        width = next(width for width in (1, 2, 4, 8) if -(1 << (8 * width - 1)) <= value)
    first = {1: 0xD0, 2: 0xD1, 4: 0xD2, 8: 0xD3}[width]
    return Value(bytes([first]) + value.to_bytes(width, signed=True), _json_of_int(value))


def _json_of_int(value: int) -> Any:
    return value if abs(value) <= 2**53 else {"$int": str(value)}


def f64(value: float) -> Value:
    return Value(b"\xcb" + struct.pack("!d", value), {"$f64": _json_of_float(value)})


def f32(value: float) -> Value:
    return Value(b"\xca" + struct.pack("!f", value), {"$f64": _json_of_float(value)})


def _json_of_float(value: float) -> str:
    return {"inf": "inf", "-inf": "-inf", "nan": "nan", "-0.0": "-0.0"}.get(repr(value), repr(value))


def text(value: str, width: int = 0) -> Value:
    content = value.encode()
    return Value(_head(len(content), width, {0: (0xA0, 32), 1: 0xD9, 2: 0xDA, 4: 0xDB}) + content, value)


def binary(value: bytes, width: int = 0) -> Value:
    head = _head(len(value), width, {1: 0xC4, 2: 0xC5, 4: 0xC6})
    return Value(head + value, {"$bin": value.hex()})


def array(*items: Value, width: int = 0) -> Value:
    head = _head(len(items), width, {0: (0x90, 16), 2: 0xDC, 4: 0xDD})
    return Value(head + b"".join(item.wire for item in items), [item.json for item in items])


def mapping(*pairs: tuple[Value, Value], width: int = 0) -> Value:
    """A map with keys of any kind."""
    head = _head(len(pairs), width, {0: (0x80, 16), 2: 0xDE, 4: 0xDF})
    wire = head + b"".join(key.wire + value.wire for key, value in pairs)
    if all(isinstance(key.json, str) for key, _ in pairs):
        return Value(wire, {key.json: value.json for key, value in pairs})
    return Value(wire, {"$map": [[key.json, value.json] for key, value in pairs]})


def fields(**items: Value) -> Value:
    """A map with str keys, in the order given."""
    return mapping(*((text(name), value) for name, value in items.items()))


def extension(code: int, body: Value | bytes, width: int = 0) -> Value:
    """An extension value; a body of bytes is raw, any other is msgpack."""
    content = body if isinstance(body, bytes) else body.wire
    fixed = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
    if width == 0 and len(content) in fixed:
        head = bytes([fixed[len(content)]])
    else:
        head = _head(len(content), width, {1: 0xC7, 2: 0xC8, 4: 0xC9})
    json_body = {"$bin": body.hex()} if isinstance(body, bytes) else body.json
    return Value(head + code.to_bytes(1, signed=True) + content, {"$ext": {"code": code, "body": json_body}})


def unread(value: Value) -> Value:
    """The same value, written in JSON as its bytes: some are too deep for other languages' readers of JSON."""
    return Value(value.wire, {"$msgpack": value.wire.hex()})


def nested(levels: int) -> Value:
    """An array in an array, so many levels deep."""
    return reduce(lambda inner, _: array(inner), range(levels - 1), array())


def deep_tuple(levels: int) -> Value:
    """A tuple in a tuple, so many levels deep: an even number, for each is an extension value and its array."""
    return reduce(lambda inner, _: extension(3, array(inner)), range(levels // 2 - 1), extension(3, array()))


def raw(content: bytes) -> Value:
    """Bytes that are no msgpack value."""
    return Value(content, {"$raw": content.hex()})


def _head(length: int, width: int, formats: dict[int, Any]) -> bytes:
    """The first bytes of something with a length: in one byte if that is a format and the length fits."""
    if width == 0 and 0 in formats:
        first, end = formats[0]
        if length < end:
            return bytes([first + length])
    if width == 0:
        width = next(width for width in (1, 2, 4) if width in formats and length < 1 << (8 * width))
    return bytes([formats[width]]) + length.to_bytes(width)


def frame(type: int, name: str | bytes, payload: Value) -> bytes:
    """A whole frame: type u8, name length u16, name, payload length u32, payload."""
    name_bytes = name if isinstance(name, bytes) else name.encode()
    return (
        bytes([type]) + len(name_bytes).to_bytes(2) + name_bytes + len(payload.wire).to_bytes(4) + payload.wire
    )
