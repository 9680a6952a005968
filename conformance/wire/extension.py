"""Extension values, as the table in `spec/messaging.md` has them: each code's body, and what it stands for."""

from __future__ import annotations

import datetime
import decimal
import re
import uuid
from dataclasses import dataclass, field
from types import NoneType
from typing import TYPE_CHECKING, Any

from conformance import _protocol as protocol
from conformance.wire.clock import DateTime, Time, body_of, datetime_of, is_date, time_of
from conformance.wire.packing import Ext, is_list, is_set, is_tuple, pack
from conformance.wire.problem import Misfit, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Dataclass:
    """A record with named fields, of the type that `tag` names as ``module:qualname``."""

    tag: str
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __hash__(self) -> int:
        return hash((self.tag, frozenset(self.fields.items())))


@dataclass(frozen=True, slots=True)
class EnumMember:
    """The member with this value of the enum that `tag` names."""

    tag: str
    value: Any


@dataclass(frozen=True, slots=True)
class Ref:
    """An actor: the id of its node, and its name, or ``@`` and its number, there."""

    node_id: str
    name: str


_NODE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def built(code: int, body: Any) -> Any:
    """What an extension value stands for; its body is bytes where it is raw, else the value it holds.

    Raises `Misfit` for a code that is not in the table, and for a body that is not the code's.
    """
    if code not in _BUILDERS:
        raise Misfit("an extension code of the table", f"code {code}")
    return _BUILDERS[code](body)


def lowered(value: object) -> Ext:
    """The extension value that stands for a value. Raises `TypeError` where there is none.

    Takes `datetime.datetime` and `datetime.time`, too, though they come back as `DateTime` and `Time`. The
    elements of a set go in the order of their bytes, so that equal sets are equal bytes.
    """
    match value:
        case Dataclass(tag, fields):
            return Ext(protocol.EXT_DATACLASS, [tag, dict(fields)])
        case EnumMember(tag, member):
            return Ext(protocol.EXT_ENUM, [tag, member])
        case Ref(node_id, name):
            return Ext(protocol.EXT_REF, [node_id, name])
        case DateTime(text, fold, zone):
            return Ext(protocol.EXT_DATETIME, [text, fold, zone])
        case Time(text, fold, zone):
            return Ext(protocol.EXT_TIME, [text, fold, zone])
        case _ if is_tuple(value):
            return Ext(protocol.EXT_TUPLE, list(value))
        case _ if is_set(value):
            code = protocol.EXT_SET if isinstance(value, set) else protocol.EXT_FROZENSET
            return Ext(code, sorted(value, key=_packed))
        case datetime.datetime():
            return Ext(protocol.EXT_DATETIME, body_of(value))
        case datetime.time():
            return Ext(protocol.EXT_TIME, body_of(value))
        case datetime.date():
            return Ext(protocol.EXT_DATE, value.isoformat())
        case datetime.timedelta():
            return Ext(protocol.EXT_TIMEDELTA, [value.days, value.seconds, value.microseconds])
        case decimal.Decimal():
            return Ext(protocol.EXT_DECIMAL, text_of_decimal(value))
        case uuid.UUID():
            return Ext(protocol.EXT_UUID, value.bytes)
        case complex():
            return Ext(protocol.EXT_COMPLEX, [value.real, value.imag])
        case int():
            bits = (value if value >= 0 else ~value).bit_length() + 1
            return Ext(protocol.EXT_BIGINT, value.to_bytes((bits + 7) // 8, signed=True))
        case _:
            raise TypeError(f"{type(value).__name__} is no kind of value that messages hold (VALUE-1)")


def _packed(element: object) -> bytes:
    return pack(element, lowered)


def _array(body: object, expected: str) -> list[Any]:
    """A body that is an array; a tuple is none."""
    if not is_list(body):
        raise Misfit(expected, shown(body))
    return body


def _items(body: object, expected: str, *kinds: tuple[type, ...]) -> list[Any]:
    """The elements of a body that is an array of these kinds, () for any; true is no integer."""
    items = _array(body, expected)
    fit = (not kind or type(item) in kind for item, kind in zip(items, kinds, strict=False))
    if len(items) != len(kinds) or not all(fit):
        raise Misfit(expected, f"an array [{', '.join(map(shown, items[:4]))}{', …' * (len(items) > 4)}]")
    return items


def _dataclass(body: object) -> Dataclass:
    expected = "array [type, fields], fields a map from str"
    [tag, fields] = _items(body, expected, (str,), (dict,))
    for key in fields:
        if type(key) is not str:
            raise Misfit(expected, f"a field called {shown(key)}")
    return Dataclass(tag, fields)


def _ref(body: object) -> Ref:
    node_id, name = _items(body, "array [node_id, name] of two strs", (str,), (str,))
    if _NODE_ID.fullmatch(node_id) is None or not name:
        raise Misfit("a node id and the name of an actor", f"[{shown(node_id)}, {shown(name)}]")
    return Ref(node_id, name)


def _enum(body: object) -> EnumMember:
    return EnumMember(*_items(body, "array [type, value], type a str", (str,), ()))


def _set(body: object) -> frozenset[Any]:
    elements = _array(body, "an array")
    for element in elements:
        if not is_hashable(element):
            raise Misfit("elements that cannot change", shown(element))
    if (distinct := count_of_distinct(elements)) != len(elements):
        raise Misfit("no element twice", f"{len(elements)} elements, {distinct} of them distinct")
    return frozenset(elements)


def count_of_distinct(values: list[Any]) -> int:
    """How many different keys or elements: 1, 1.0 and true are one, and NaN is equal to itself (VALUE-6)."""
    return min(len(set(values)), len(set(map(_identity, values))))


_NAN = object()


def _identity(value: Any) -> object:
    """Equal for NaN, too, wherever it stands in a key."""
    match value:
        case float():
            return value if value == value else _NAN
        case decimal.Decimal():
            return (decimal.Decimal, value.as_tuple()) if value.is_nan() else value
        case complex():
            return value if value == value else (complex, _identity(value.real), _identity(value.imag))
        case Dataclass(tag, fields):
            return Dataclass, tag, frozenset((name, _identity(item)) for name, item in fields.items())
        case EnumMember(tag, member):
            return EnumMember, tag, _identity(member)
        case _ if is_tuple(value):
            return tuple, *map(_identity, value)
        case _ if is_set(value):
            return frozenset(map(_identity, value))
        case _:
            return value


def is_hashable(value: object) -> bool:
    """Whether it may be a map's key or a set's element: whether nothing in it is a list, a map or a set."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _datetime(body: object) -> DateTime:
    return datetime_of(*_items(body, "array [text, fold, zone]", (str,), (int,), (str, NoneType)))


def _time(body: object) -> Time:
    return time_of(*_items(body, "array [text, fold, zone]", (str,), (int,), (str, NoneType)))


def _date(body: object) -> datetime.date:
    if type(body) is not str or not is_date(body):
        raise Misfit("a day as YYYY-MM-DD", shown(body))
    return datetime.date.fromisoformat(body)


_DECIMALS = decimal.Context(
    prec=decimal.MAX_PREC, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX, traps=[decimal.InvalidOperation]
)


def text_of_decimal(number: decimal.Decimal) -> str:
    """As it is on the wire, whatever the context of decimals that a caller has set."""
    return _DECIMALS.to_sci_string(number)


def _decimal(body: object) -> decimal.Decimal:
    expected = "a decimal as it is printed, such as -12.50 or 1E+3"
    if type(body) is not str:
        raise Misfit(expected, shown(body))
    try:
        number = decimal.Decimal(body, _DECIMALS)
    except ArithmeticError:
        raise Misfit(expected, shown(body)) from None
    if text_of_decimal(number) != body:
        raise Misfit(expected, shown(body))
    return number


def _timedelta(body: object) -> datetime.timedelta:
    expected = "array [days, seconds, microseconds], 0 <= seconds < 86400, 0 <= microseconds < 1000000"
    days, seconds, micros = _items(body, expected, (int,), (int,), (int,))
    if not (0 <= seconds < 86_400 and 0 <= micros < 1_000_000):
        raise Misfit(expected, f"[{shown(days)}, {shown(seconds)}, {shown(micros)}]")
    try:
        return datetime.timedelta(days, seconds, micros)
    except OverflowError:
        raise Misfit("days from -999999999 to 999999999", shown(days)) from None


def _uuid(body: object) -> uuid.UUID:
    if type(body) is not bytes or len(body) != 16:
        raise Misfit("16 raw bytes", shown(body))
    return uuid.UUID(bytes=body)


def _bigint(body: object) -> int:
    expected = "an integer outside -2^63 … 2^64-1 in the fewest bytes of two's complement"
    assert isinstance(body, bytes), "the bodies of this code are raw"
    number = int.from_bytes(body, signed=True)
    if -(1 << 63) <= number < 1 << 64 or lowered(number).body != body:
        raise Misfit(expected, shown(body))
    return number


def _complex(body: object) -> complex:
    return complex(*_items(body, "array [real, imaginary] of two floats", (float,), (float,)))


_BUILDERS: Mapping[int, Callable[[object], object]] = {
    protocol.EXT_DATACLASS: _dataclass,
    protocol.EXT_REF: _ref,
    protocol.EXT_TUPLE: lambda body: tuple(_array(body, "an array")),
    protocol.EXT_SET: lambda body: set(_set(body)),
    protocol.EXT_FROZENSET: _set,
    protocol.EXT_ENUM: _enum,
    protocol.EXT_DATETIME: _datetime,
    protocol.EXT_DATE: _date,
    protocol.EXT_TIME: _time,
    protocol.EXT_TIMEDELTA: _timedelta,
    protocol.EXT_DECIMAL: _decimal,
    protocol.EXT_UUID: _uuid,
    protocol.EXT_BIGINT: _bigint,
    protocol.EXT_COMPLEX: _complex,
}
