"""Extension values for what Python has and msgpack has not, but for dataclasses, enums and refs (VALUE-1).

For each kind, one function says what goes into the body, and one makes the value of it again. The second takes
no other body than the first would write, so that equal values are equal bytes, in every process. The bodies of
tuples and sets the codec makes; a set's elements go in the order of their bytes, and come in any.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from casty.wire import _protocol as p
from casty.wire.keys import check_keys
from casty.wire.packing import is_array
from casty.wire.words import clipped, shown, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class BodyError(ValueError):
    """A value that no body can hold, or a body that does not fit its code."""


def array_of(body: object, *kinds: type) -> list[Any]:
    """The body, if it is an array of just these kinds; `object` stands for any."""
    items = _array(body)
    if len(items) != len(kinds) or any(
        type(item) is not kind and kind is not object for item, kind in zip(items, kinds, strict=True)
    ):
        expected = ", ".join(kind.__name__ for kind in kinds)
        raise BodyError(f"its body holds {', '.join(map(shown, items[:4]))}; expected {expected}")
    return items


def _array(body: object) -> list[Any]:
    if not is_array(body):
        raise BodyError(f"its body is {shown(body)}; expected an array")
    return body


def _text(body: object) -> str:
    if type(body) is not str:
        raise BodyError(f"its body is {shown(body)}; expected a str")
    return body


def _same[T](made: T, again: object, body: object) -> T:
    """`made`, if its body would be the one it was made of."""
    if again != body:
        raise BodyError("its body is not in the one form that its value has")
    return made


def _to_set[S: (set[Any], frozenset[Any])](kind: type[S]) -> Callable[[object], S]:
    def make(body: object) -> S:
        items = _array(body)
        check_keys(items)
        made = kind(items)
        if len(made) != len(items):
            raise BodyError("its body has an element twice")
        return made

    return make


# Points in time: the text is the local time, with the offset where that is fixed; a zone goes by its name.


def _moment_body(value: datetime | time) -> list[object]:
    zone = value.tzinfo
    key: str | None = None
    if type(zone) is ZoneInfo and (key := _key(zone)) is not None:
        _zone(key)
        value = value.replace(tzinfo=None)
    elif zone is not None and type(zone) is not timezone:
        raise BodyError(
            f"its zone {clipped(text_of(zone, repr))} is no fixed offset and no ZoneInfo with a key"
        )
    return [value.isoformat(timespec="microseconds"), value.fold, key]


def _key(zone: ZoneInfo) -> str | None:
    return zone.key  # typed as if there always were one; a zone read from a file has none


def _to_moment[M: (datetime, time)](kind: type[M]) -> Callable[[object], M]:
    def make(body: object) -> M:
        text, fold, key = array_of(body, str, int, NoneType if _array(body)[-1:] == [None] else str)
        made = kind.fromisoformat(text).replace(fold=fold)
        if (offset := _TINY_OFFSET.search(text)) is not None:
            made = made.replace(tzinfo=timezone(timedelta(microseconds=int(offset[1] + offset[2]))))
        if key is not None:
            made = made.replace(tzinfo=_zone(key))
        return _same(made, _moment_body(made), body)

    return make


_TINY_OFFSET: Final = re.compile(r"([+-])00:00:00\.([0-9]{6})\Z")
"""An offset below one second, which `fromisoformat` takes for UTC."""

_ZONE_KEY: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", re.ASCII)


def _zone(key: str) -> ZoneInfo:
    """The zone of that name. A key from the network must not reach for files elsewhere."""
    if len(key) > p.NAME_BYTES_MAX or not _ZONE_KEY.fullmatch(key):
        raise BodyError(f"{shown(key)} is no name of a time zone")
    try:
        return ZoneInfo(key)
    except (LookupError, OSError, ValueError):  # the last two of directories, and of files that are none
        raise BodyError(f"the time zone {shown(key)} is not known on this node") from None


def _to_date(body: object) -> date:
    made = date.fromisoformat(_text(body))
    return _same(made, made.isoformat(), body)


def _timedelta_body(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _to_timedelta(body: object) -> timedelta:
    made = timedelta(*array_of(body, int, int, int))
    return _same(made, _timedelta_body(made), body)


# Numbers.


_DECIMALS: Final = Context(
    prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX, capitals=1, clamp=0, traps=[InvalidOperation]
)
"""Says how decimals are read and written, whatever context the calling thread has set."""


def _decimal_body(value: Decimal) -> str:
    return _DECIMALS.to_sci_string(value)


def _to_decimal(body: object) -> Decimal:
    made = Decimal(_text(body), _DECIMALS)
    return _same(made, _decimal_body(made), body)


def _bigint_body(value: int) -> bytes:
    bits = (value if value >= 0 else ~value).bit_length() + 1
    return value.to_bytes((bits + 7) // 8, signed=True)


def _to_bigint(body: bytes) -> int:
    made = int.from_bytes(body, signed=True)
    if -(1 << 63) <= made < 1 << 64:
        raise BodyError(f"{made} fits msgpack's own formats")
    return _same(made, _bigint_body(made), body)


def _to_complex(body: object) -> complex:
    return complex(*array_of(body, float, float))


BODIES: Final[Mapping[type, tuple[int, Callable[[Any], Any]]]] = MappingProxyType(
    {
        datetime: (p.EXT_DATETIME, _moment_body),
        date: (p.EXT_DATE, date.isoformat),
        time: (p.EXT_TIME, _moment_body),
        timedelta: (p.EXT_TIMEDELTA, _timedelta_body),
        Decimal: (p.EXT_DECIMAL, _decimal_body),
        UUID: (p.EXT_UUID, lambda value: value.bytes),
        int: (p.EXT_BIGINT, _bigint_body),  # asked for only where msgpack's formats end
        complex: (p.EXT_COMPLEX, lambda value: [value.real, value.imag]),
    }
)
"""The code for a type, and what goes into the body: a value to pack or, for the raw codes, bytes."""

MAKERS: Final[Mapping[int, Callable[[Any], object]]] = MappingProxyType(
    {
        p.EXT_TUPLE: lambda body: tuple(_array(body)),
        p.EXT_SET: _to_set(set),
        p.EXT_FROZENSET: _to_set(frozenset),
        p.EXT_DATETIME: _to_moment(datetime),
        p.EXT_DATE: _to_date,
        p.EXT_TIME: _to_moment(time),
        p.EXT_TIMEDELTA: _to_timedelta,
        p.EXT_DECIMAL: _to_decimal,
        p.EXT_UUID: lambda body: UUID(bytes=body),
        p.EXT_BIGINT: _to_bigint,
        p.EXT_COMPLEX: _to_complex,
    }
)
"""Makes the value of a body, unpacked but for the raw codes. Raises anything for one that does not fit."""
