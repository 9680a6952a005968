"""Points in time and times of day as the texts that they are on the wire, each in its one form (VALUE-4)."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance.wire.problem import Misfit, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})\.[0-9]{6}")
_OFFSET = re.compile(r"(?P<sign>[+-])([0-9]{2}):([0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<micro>[0-9]{6}))?)?")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_TIME_LENGTH = len("HH:MM:SS.ffffff")


@dataclass(frozen=True, slots=True)
class DateTime:
    """A point in time as its text; `zone` is an IANA key, and then the text has no offset."""

    text: str
    fold: int = 0
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Time:
    """A time of day as its text; otherwise as `DateTime`."""

    text: str
    fold: int = 0
    zone: str | None = None


def body_of(clock: datetime.datetime | datetime.time) -> list[Any]:
    """The body [text, fold, zone] of Python's own clocks."""
    key: str | None = getattr(clock.tzinfo, "key", None)
    text = (clock if key is None else clock.replace(tzinfo=None)).isoformat(timespec="microseconds")
    return [text, clock.fold, key]


def datetime_of(text: str, fold: int, zone: str | None) -> DateTime:
    """A point in time. Raises `Misfit` where it is none, or not in its one form."""
    expected = "YYYY-MM-DDTHH:MM:SS.ffffff, and perhaps an offset"
    date, separator, time = text.partition("T")
    if not separator or not is_date(date):
        raise Misfit(expected, shown(text))
    _judge(text, time, fold, zone, expected)
    return DateTime(text, fold, zone)


def time_of(text: str, fold: int, zone: str | None) -> Time:
    """A time of day. Raises `Misfit` where it is none, or not in its one form."""
    _judge(text, text, fold, zone, "HH:MM:SS.ffffff, and perhaps an offset")
    return Time(text, fold, zone)


def is_date(text: str) -> bool:
    """Whether it is a day that there is, as YYYY-MM-DD."""
    try:
        return _DATE.fullmatch(text) is not None and bool(datetime.date.fromisoformat(text))
    except ValueError:
        return False


def _judge(text: str, time: str, fold: int, zone: str | None, expected: str) -> None:
    offset = time[_TIME_LENGTH:]
    found = _TIME.fullmatch(time[:_TIME_LENGTH])
    if found is None or not _in_range(found.groups()) or (offset and not _is_offset(offset)):
        raise Misfit(expected, shown(text))
    if fold not in (0, 1):
        raise Misfit("fold 0 or 1", shown(fold))
    if zone is not None and not _ZONE.fullmatch(zone):
        raise Misfit("zone nil or an IANA key", shown(zone))
    if zone is not None and offset:
        raise Misfit(f"no offset in the text beside zone {zone}", shown(text))


def _is_offset(text: str) -> bool:
    """Read by hand: Python's own reader takes an offset of less than a second for none."""
    found = _OFFSET.fullmatch(text)
    if found is None or not _in_range(found.groups("00")[1:4]):
        return False
    if found["micro"] is not None:
        return found["micro"] != "000000"
    if found["second"] is not None:
        return found["second"] != "00"
    return text != "-00:00"


def _in_range(parts: Sequence[str]) -> bool:
    hour, minute, second = map(int, parts)
    return hour < 24 and minute < 60 and second < 60
