"""Payloads with fields: read as the specification's tables say, or refused with the rule that they break."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from casty.errors import ProtocolError
from casty.wire import _protocol as p
from casty.wire.nesting import NestingError, check_value
from casty.wire.packing import fault_of, is_map, skim, unpack
from casty.wire.words import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from casty.wire._protocol import Field

_ABSENT: Final = object()


class Shape:
    """The fields of one payload, ready to be read."""

    __slots__ = ("_fields", "_name", "_readers")

    def __init__(self, name: str) -> None:
        self._name = name
        self._fields = p.SHAPES[name]
        self._readers = tuple((field.name, acceptor(field), field.optional) for field in self._fields)

    def read(self, data: bytes) -> list[Any]:
        """The fields' values in the order of the specification, None for one that is absent.

        Raises `ProtocolError` BAD_PAYLOAD. Of a list it is only known that it is one.
        """
        return self.values_of(unpacked(self._name, data), data)

    def values_of(self, payload: object, data: bytes) -> list[Any]:
        """As `read`, for a payload that has been unpacked already."""
        if not is_map(payload):
            raise bad_payload("PAYLOAD-1", f"{self._name} is {shown(payload)}; expected a map of fields")
        values: list[Any] = []
        strangers = len(payload)
        for name, accepts, optional in self._readers:
            value = payload.get(name, _ABSENT)
            if value is _ABSENT and optional:
                values.append(None)
            elif accepts(value):
                values.append(value)
                strangers -= 1
            else:
                raise self._fault(name, value)
        if strangers:
            self._check_strangers(payload, data)
        return values

    def _fault(self, name: str, value: object) -> ProtocolError:
        if value is _ABSENT:
            return bad_payload("PAYLOAD-2", f"{self._name}.{name} is missing")
        field = next(field for field in self._fields if field.name == name)
        return mistyped(f"{self._name}.{name}", value, field)

    def _check_strangers(self, payload: Mapping[object, object], data: bytes) -> None:
        """Fields that this version does not know are ignored, but not whatever they are."""
        for key in payload:
            if type(key) is not str:
                raise bad_payload("PAYLOAD-1", f"{self._name} has the key {shown(key)}; expected strs")
        check_depth(self._name, data)


def unpacked(name: str, data: bytes) -> object:
    """The payload's one value, extension values as they are. Raises `ProtocolError` BAD_PAYLOAD."""
    try:
        return unpack(data)
    except Exception as error:
        raise _unreadable(name, data, error) from None


def check_whole(name: str, data: bytes) -> None:
    """Raises `ProtocolError` BAD_PAYLOAD unless the payload is one value, not nested too deep."""
    try:
        skim(data)
    except Exception as error:
        raise _unreadable(name, data, error) from None
    check_depth(name, data)


def check_depth(name: str, data: bytes) -> None:
    """Raises `ProtocolError` for a payload nested too deep. A table's fields cannot be; unknown ones can."""
    try:
        check_value(data)
    except NestingError as error:
        raise bad_payload("PAYLOAD-6", f"{name} payload: {error}") from None
    except ValueError:
        pass  # a timestamp, which is none of a payload's business unless a user's value is expected there


def _unreadable(name: str, data: bytes, error: Exception) -> ProtocolError:
    rule, text = fault_of(error) if data else ("FRAME-5", "it is empty")
    return bad_payload(rule, f"{name} payload of {len(data):,} bytes: {text}")


def bad_payload(rule: str, text: str) -> ProtocolError:
    return ProtocolError("BAD_PAYLOAD", rule, text)


def mistyped(place: str, value: object, field: Field) -> ProtocolError:
    """The fault of a value that `acceptor(field)` does not accept."""
    if field.choices:
        expected, rule = f"one of {', '.join(field.choices)}", "PAYLOAD-2"
    else:
        expected, rule = _EXPECTED.get(field.kind, ("an array", "PAYLOAD-2"))
    length = f" of {len(value)} bytes" if type(value) is bytes and field.kind == "bin16" else ""
    return bad_payload(rule, f"{place} is {shown(value)}{length}; expected {expected}")


def acceptor(field: Field) -> Callable[[Any], bool]:
    """Whether a value is of the field's kind: for a list, only whether it is one."""
    if field.choices:
        choices = frozenset(field.choices)
        return lambda value: type(value) is str and value in choices
    return _ACCEPTORS.get(field.kind, lambda value: type(value) is list)


_NODE_ID: Final = re.compile(rf"[A-Za-z0-9._:-]{{1,{p.NODE_ID_BYTES_MAX}}}", re.ASCII)

NODE_ID_FORM: Final = f"1 to {p.NODE_ID_BYTES_MAX} of the characters A-Z a-z 0-9 . _ : -"


def is_node_id(value: object) -> bool:
    """Whether a node could be called that (HELLO-5)."""
    return type(value) is str and _NODE_ID.fullmatch(value) is not None


_U64_MAX: Final = (1 << 64) - 1


def is_u63(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= p.NUMBER_MAX


def is_u64(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= _U64_MAX


_ACCEPTORS: Final[Mapping[str, Callable[[Any], bool]]] = MappingProxyType(
    {
        "u63": is_u63,
        "u64": is_u64,
        "bool": lambda value: value is True or value is False,
        "str": lambda value: type(value) is str,
        "bin": lambda value: type(value) is bytes,
        "bin16": lambda value: type(value) is bytes and len(value) == 16,
        "value": lambda value: value is not _ABSENT,
    }
)

_EXPECTED: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "u63": (f"an integer 0 … {p.NUMBER_MAX}", "PAYLOAD-3"),
        "u64": (f"an integer 0 … {_U64_MAX}", "PAYLOAD-3"),
        "bool": ("a bool", "PAYLOAD-2"),
        "str": ("a str", "PAYLOAD-4"),
        "bin": ("a bin", "PAYLOAD-4"),
        "bin16": ("a bin of 16 bytes", "PAYLOAD-4"),
    }
)
