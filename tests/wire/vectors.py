"""The golden vectors, and their JSON as msgpack values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack

SPEC = Path(__file__).resolve().parents[2] / "spec"

type Vector = dict[str, Any]


def load(folder: str) -> list[Vector]:
    """The vectors below `spec/vectors/<folder>`, in the order of their files."""
    paths = sorted((SPEC / "vectors" / folder).glob("*.json"))
    return [vector for path in paths for vector in json.loads(path.read_text())["vectors"]]


VALID = load("valid")
INVALID = load("invalid")


def id_of(vector: Vector) -> str:
    return str(vector["id"])


def wire_of(vector: Vector) -> bytes:
    return bytes.fromhex(vector["wire"])


def plain(value: Any) -> Any:
    """What a msgpack library makes of a payload that the JSON stands for, extension values left as they are."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$bin": content}:
            return bytes.fromhex(content)
        case {"$int": digits}:
            return int(digits)
        case {"$f64": digits}:
            return float(digits)
        case {"$msgpack": content}:
            return unpacked(bytes.fromhex(content))
        case {"$map": pairs}:
            return {_key(plain(key)): plain(item) for key, item in pairs}
        case {"$ext": {"code": code, "body": body}}:
            return code, plain(body)
        case _:
            return {key: plain(item) for key, item in value.items()}


def unpacked(data: bytes) -> Any:
    """The payload in the form of `plain`."""

    def extension(code: int, body: bytes) -> tuple[int, Any]:
        return code, body if code in (12, 13, 99) else unpacked(body)

    def tupled(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        return {_key(key): value for key, value in pairs}

    return msgpack.unpackb(data, ext_hook=extension, object_pairs_hook=tupled, strict_map_key=False)


def _key(key: Any) -> Any:
    """A key that Python's maps accept, and that tells true from 1."""
    return repr(key) if isinstance(key, bool | tuple) else key
