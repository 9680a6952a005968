"""The golden vectors, and an exact form in which values of any origin can be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conformance._protocol import SHAPES, STRUCTS
from conformance.wire.extension import lowered
from conformance.wire.frame import Frame, FrameReader
from conformance.wire.message import Boot, Entry, Message, Peer, Server
from conformance.wire.packing import Ext, Pairs

type Vector = dict[str, Any]

_FOLDER = Path(__file__).resolve().parents[2] / "spec" / "vectors"


def _vectors(result: str) -> list[Vector]:
    files = sorted((_FOLDER / result).glob("*.json"))
    return [vector for file in files for vector in json.loads(file.read_text())["vectors"]]


VALID = _vectors("valid")
INVALID = _vectors("invalid")


def id_of(vector: Vector) -> str:
    return str(vector["id"])


def wire_of(vector: Vector) -> bytes:
    return bytes.fromhex(vector["wire"])


def frame_of(vector: Vector) -> Frame | None:
    """The vector's frame, read in the pieces it arrives in; None where the stream ends within it."""
    reader = FrameReader(vector["limit"]) if "limit" in vector else FrameReader()
    for chunk in vector.get("chunks", [vector["wire"]]):
        assert reader.next_frame() is None
        reader.feed(bytes.fromhex(chunk))
    return reader.next_frame()


def from_json(json: Any) -> Any:
    """The value that a vector's JSON stands for, with `Ext` for extension values and `Pairs` for maps."""
    match json:
        case {"$bin": str(hex)}:
            return bytes.fromhex(hex)
        case {"$int": str(digits)}:
            return int(digits)
        case {"$f64": str(text)}:
            return float(text)
        case {"$map": list(pairs)}:
            return Pairs([(from_json(key), from_json(value)) for key, value in pairs])
        case {"$ext": {"code": int(code), "body": body}}:
            return Ext(code, from_json(body))
        case list():
            return [from_json(item) for item in json]
        case dict():
            assert not any(key.startswith("$") for key in json), json
            return {key: from_json(item) for key, item in json.items()}
        case _:
            return json


def exact(value: Any) -> Any:
    """A form in which values are equal if they are of the same kinds and say the same: 1 is not true or 1.0."""
    match value:
        case None | bool() | str() | bytes():
            return type(value).__name__, value
        case float():
            return "float", repr(value)
        case Entry():
            return exact(value._asdict())
        case Server() | Peer() | Boot():
            return exact(list(value))
        case list():
            return "array", tuple(exact(item) for item in value)
        case Pairs(items):
            return "map", tuple(sorted(((exact(key), exact(item)) for key, item in items), key=repr))
        case dict():
            return exact(Pairs(list(value.items())))
        case Ext(code, body) if code in (4, 5):
            return "ext", code, tuple(sorted((exact(item) for item in body), key=repr))
        case Ext(code, body):
            return "ext", code, exact(body)
        case int() if -(2**63) <= value < 2**64:
            return "int", value
        case _:
            return exact(lowered(value))


def known_fields(message: Message, payload: dict[str, Any]) -> dict[str, Any]:
    """Of a vector's payload what a receiver does not ignore."""
    known = {field.name for field in SHAPES[message.kind]}
    fields = {name: value for name, value in payload.items() if name in known}
    if "entries" in fields:
        names = [field.name for field in STRUCTS["entry"]]
        fields["entries"] = [{name: entry[name] for name in names} for entry in fields["entries"]]
    return fields


def exact_fields(message: Message) -> dict[str, Any]:
    """A message's fields, each in its exact form; lists of structs are arrays on the wire."""
    values = {field.name for field in SHAPES[message.kind] if field.kind == "value"}
    return {
        name: exact(list(value) if isinstance(value, tuple) and name not in values else value)
        for name, value in message.fields.items()
    }
