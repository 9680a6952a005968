"""Payloads as JSON, both ways, in the form of the golden vectors (`spec/vectors/README.md`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from conformance._protocol import EXT_NAMES, EXT_RAW, TYPE_NAMES
from conformance.wire.frame import Frame
from conformance.wire.packed import PackedError, read
from conformance.wire.packing import Ext, Pairs, Raw, pack
from wire_dump.kinds import is_list, is_map
from wire_dump.mistakes import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.wire.packed import Node

EXACT_MAX: Final = 1 << 53
"""Integers beyond it are rounded by many readers of JSON."""
LEVELS_MAX: Final = 128
"""Values nested deeper are written as their bytes: many readers of JSON recurse."""
TYPES: Final = {name: type for type, name in TYPE_NAMES.items()}


class FormError(UsageError):
    """JSON that stands for no frame or no payload; says where and what was expected."""


def frame_object(frame: Frame) -> dict[str, Any]:
    """A frame as JSON, with its payload's canonical form where it has one."""
    try:
        name: Any = frame.name.decode()
    except UnicodeDecodeError:
        name = {"$bin": frame.name.hex()}
    return {
        "type": TYPE_NAMES.get(frame.type, frame.type),
        "name": name,
        "payload": payload_object(frame.payload),
    }


def frame_of(value: Any) -> Frame:
    """The frame that the JSON stands for; other keys than `type`, `name` and `payload` are ignored.

    Raises `FormError`.
    """
    if not is_map(value):
        raise FormError(f"a frame is an object with type, name and payload; got {_brief(value)}")
    given = value
    kind = given.get("type")
    if isinstance(kind, str) and kind.partition(".")[0] in TYPES:
        type = TYPES[kind.partition(".")[0]]
    elif isinstance(kind, int) and not isinstance(kind, bool) and 0 <= kind <= 255:
        type = kind
    else:
        raise FormError(f"type: expected one of {', '.join(TYPES)}, or 0 to 255; got {_brief(kind)}")
    name: Any = given.get("name", "")
    if is_map(name):
        raw = _bytes(name.get("$bin"), "name.$bin")
    elif isinstance(name, str):
        raw = _encoded(name, "name")
    else:
        raise FormError(f"name: expected a string; got {_brief(name)}")
    payload = pack(_value(given["payload"], "payload")) if "payload" in given else b""
    if len(raw) > 0xFFFF:
        raise FormError(f"name: expected at most 65,535 bytes; got {len(raw):,}")
    return Frame(type, raw, payload)


def payload_object(payload: bytes) -> Any:
    """The payload as JSON; `{"$raw": …}` where it is no msgpack."""
    try:
        return _object(payload, read(payload), 0)
    except PackedError:
        return {"$raw": payload.hex()}


def _object(data: bytes, node: Node, level: int) -> Any:
    if level > LEVELS_MAX:
        return {"$msgpack": data[node.start : node.end].hex()}
    match node.kind:
        case "int":
            number = node.value
            assert isinstance(number, int)
            return number if abs(number) <= EXACT_MAX else {"$int": str(number)}
        case "float":
            return {"$f64": repr(node.value)}
        case "bin":
            assert isinstance(node.value, bytes)
            return {"$bin": node.value.hex()}
        case "array":
            return [_object(data, child, level + 1) for child in node.children]
        case "map":
            return _map(data, node, level + 1)
        case "ext":
            return {"$ext": {"code": node.code, "body": _body(data, node, level + 1)}}
        case _:
            return node.value


def _map(data: bytes, node: Node, level: int) -> Any:
    keys = [key.value for key, _ in node.pairs if key.kind == "str"]
    plain = len(set(keys)) == len(node.pairs) and not any(str(key).startswith("$") for key in keys)
    if plain:
        return {str(key.value): _object(data, value, level) for key, value in node.pairs}
    return {"$map": [[_object(data, part, level) for part in pair] for pair in node.pairs]}


def _body(data: bytes, node: Node, level: int) -> Any:
    if node.code in EXT_NAMES and node.code not in EXT_RAW:
        try:
            return _object(data, read(data, node.body_start, node.end, node.level), level)
        except PackedError:
            pass
    return {"$bin": data[node.body_start : node.end].hex()}


def _value(value: Any, path: str) -> Any:
    """What `packing.pack` packs, of what JSON says."""
    if is_map(value):
        tag = next(iter(value)) if len(value) == 1 else ""
        if tag.startswith("$"):
            return _tagged(tag, value[tag], f"{path}.{tag}")
        return {_checked(key, path): _value(item, f"{path}.{key}") for key, item in value.items()}
    if is_list(value):
        return [_value(item, f"{path}[{at}]") for at, item in enumerate(value)]
    match value:
        case str():
            return _checked(value, path)
        case int() if not isinstance(value, bool):
            return _integer(value, path)
        case _:
            return value


def _tagged(tag: str, content: Any, path: str) -> Any:
    if tag == "$map" and is_list(content):
        return Pairs([_pair(pair, f"{path}[{at}]") for at, pair in enumerate(content)])
    match tag, content:
        case "$bin", _:
            return _bytes(content, path)
        case "$raw" | "$msgpack", _:
            return Raw(_bytes(content, path))
        case "$int", str():
            return _integer(_number(int, content, path), path)
        case "$f64", str():
            return _number(float, content, path)
        case "$ext", {"code": int(code), "body": body} if -128 <= code <= 127:
            return Ext(code, _value(body, f"{path}.body"))
        case _:
            expected = _FORMS.get(tag, "one of " + ", ".join(_FORMS))
            raise FormError(f"{path}: expected {expected}; got {_brief(content)}")


_FORMS: Final = {
    "$bin": "hex digits in a string",
    "$raw": "hex digits in a string",
    "$msgpack": "hex digits in a string",
    "$int": "an integer in a string",
    "$f64": "a float in a string",
    "$map": "an array of [key, value]",
    "$ext": "{code: -128 to 127, body: …}",
}


def _pair(pair: Any, path: str) -> tuple[Any, Any]:
    if not is_list(pair) or len(pair) != 2:
        raise FormError(f"{path}: expected [key, value]; got {_brief(pair)}")
    return _value(pair[0], f"{path}[0]"), _value(pair[1], f"{path}[1]")


def _integer(number: int, path: str) -> int:
    if not -(1 << 63) <= number < 1 << 64:
        raise FormError(
            f"{path}: expected an integer from -2^63 to 2^64-1 (others are extension 13); got {number}"
        )
    return number


def _number[N: (int, float)](kind: Callable[[str], N], text: str, path: str) -> N:
    try:
        return kind(text)
    except ValueError:
        raise FormError(f"{path}: expected {_FORMS[path.rpartition('.')[2]]}; got {_brief(text)}") from None


def _bytes(content: Any, path: str) -> bytes:
    try:
        return bytes.fromhex(content)
    except (TypeError, ValueError):
        raise FormError(f"{path}: expected {_FORMS['$bin']}; got {_brief(content)}") from None


def _checked(text: str, path: str) -> str:
    _encoded(text, path)
    return text


def _encoded(text: str, path: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise FormError(f"{path}: expected text that UTF-8 can hold; got {_brief(text)}") from None


def _brief(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:59] + "…"
