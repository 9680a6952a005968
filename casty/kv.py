"""A dictionary that every member of a cluster holds alike: the state machine of `casty node`. Pure.

Commands and results are the maps of `spec/launch.md`.
"""

from __future__ import annotations

import hashlib
from math import isnan
from typing import Any, TypeGuard, cast

import msgpack

from casty.wire.words import shown

type Scalar = bool | int | float | str | bytes | None

_FIELDS: dict[str, tuple[str, ...]] = {
    "put": ("key", "value"),
    "get": ("key",),
    "cas": ("key", "expect", "value"),
    "incr": ("key", "value"),
    "append": ("key", "value"),
    "delete": ("key",),
}


class BadRequestError(ValueError):
    """A request that makes no sense; the text says why. The asker's fault, and certainly without effect."""


def checked(request: object) -> dict[str, Any]:
    """The request, with the fields of its op and no others. Raises BadRequestError."""
    if not _is_map(request):
        msg = f"a request is a map with an op, not {type(request).__name__}"
        raise BadRequestError(msg)
    fields = request
    op = fields.get("op")
    if not isinstance(op, str) or op not in _FIELDS:
        msg = f"op must be one of {', '.join(_FIELDS)}, not {shown(op)}"
        raise BadRequestError(msg)
    missing = [name for name in _FIELDS[op] if name not in fields]
    if missing:
        msg = f"{op} needs {' and '.join(missing)}"
        raise BadRequestError(msg)
    if not isinstance(fields["key"], str):
        msg = f"a key is a str, not {type(fields['key']).__name__}"
        raise BadRequestError(msg)
    for name in ("value", "expect"):
        if name in _FIELDS[op]:
            _check_scalar(name, fields[name])
    return {"op": op} | {name: fields[name] for name in _FIELDS[op]}


def _packed(data: dict[str, Scalar]) -> bytes:
    return msgpack.packb(sorted(data.items()))


def _check_scalar(name: str, value: object) -> None:
    if not isinstance(value, bool | int | float | str | bytes | None):
        msg = f"{name} must be nil, bool, integer, float, str or bin, not {type(value).__name__}"
        raise BadRequestError(msg)
    if isinstance(value, int) and not _fits(value):
        msg = f"{name} is {shown(value)}, which does not fit 64 bits"
        raise BadRequestError(msg)
    if isinstance(value, float) and isnan(value):  # whose bytes are not the same on every processor
        msg = f"{name} is NaN, which is no value here"
        raise BadRequestError(msg)


def _fits(number: int) -> bool:
    return -(1 << 63) <= number < 1 << 64


def _is_map(value: object) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


class KeyValue:
    """The dictionary. The same commands in the same order give the same state, on every node."""

    def __init__(self) -> None:
        self._data: dict[str, Scalar] = {}

    def __len__(self) -> int:
        return len(self._data)

    def get(self, key: str) -> Scalar:
        return self._data.get(key)

    def apply(self, command: dict[str, Any]) -> Scalar:
        """Carries out a checked request and returns its result. Raises BadRequestError, changing nothing."""
        key = cast("str", command["key"])
        before = self._data.get(key)
        match command["op"]:
            case "put":
                self._data[key] = command["value"]
                return None
            case "get":
                return before
            case "cas":
                if not _same(before, command["expect"]):
                    return False
                self._data[key] = command["value"]
                return True
            case "incr":
                self._data[key] = after = _sum(before, command["value"])
                return after
            case "append":
                text = _joined(before, command["value"])
                self._data[key] = text
                return len(text)
            case "delete":
                return self._data.pop(key, _ABSENT) is not _ABSENT
            case op:
                msg = f"unknown op {shown(op)}"
                raise BadRequestError(msg)

    def snapshot(self) -> bytes:
        """The whole state; equal states give equal bytes."""
        return _packed(self._data)

    def restore(self, data: bytes) -> None:
        """Becomes the state that gave this snapshot. Raises ValueError for bytes that no state gives."""
        try:
            pairs: Any = msgpack.unpackb(data)
            if not _is_array(pairs):
                raise TypeError(f"{type(pairs).__name__} is no array of pairs")
            made: dict[str, Scalar] = dict(pairs)
            for key, value in made.items():
                checked({"op": "put", "key": key, "value": value})
            if _packed(made) != data:
                raise ValueError("its pairs are not in the one order and form that they have (KV-5)")
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            msg = f"{len(data):,} bytes are no snapshot of a dictionary: {error}"
            raise ValueError(msg) from error
        self._data = made

    def digest(self) -> str:
        """SHA-256 of the snapshot: equal if, and only if, the states are."""
        return hashlib.sha256(self.snapshot()).hexdigest()


_ABSENT = object()


def _same(a: Scalar, b: Scalar) -> bool:
    """Equal in kind and value: True is not 1, and 1 is not 1.0."""
    return type(a) is type(b) and a == b


def _sum(before: Scalar, by: Scalar) -> int | float:
    if before is None:
        before = 0
    if isinstance(before, bool) or not isinstance(before, int | float):
        msg = f"incr needs a number, but the value is a {type(before).__name__}"
        raise BadRequestError(msg)
    if isinstance(by, bool) or not isinstance(by, int | float):
        msg = f"incr adds a number, not a {type(by).__name__}"
        raise BadRequestError(msg)
    try:
        after = before + by
    except OverflowError:  # an integer that is no float
        msg = f"{before} and {by} have no sum"
        raise BadRequestError(msg) from None
    if isinstance(after, int) and not _fits(after):
        msg = f"the sum {after} does not fit 64 bits"
        raise BadRequestError(msg)
    if isinstance(after, float) and isnan(after):
        msg = f"{before} and {by} have no sum"
        raise BadRequestError(msg)
    return after


def _joined(before: Scalar, more: Scalar) -> str:
    if not isinstance(before, str | None) or not isinstance(more, str):
        msg = f"append joins str to str, not {type(more).__name__} to {type(before).__name__}"
        raise BadRequestError(msg)
    return (before or "") + more
