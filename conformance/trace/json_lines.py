"""One record as one line of JSON, both ways."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, assert_never, cast, get_args

from conformance.trace.record import Closed, Fate, Marked, Opened, Raw, Sent
from conformance.wire.frame import Frame, FrameError, FrameReader

if TYPE_CHECKING:
    from conformance.trace.record import Record

FATES: Final[frozenset[str]] = frozenset(get_args(Fate.__value__))


def to_line(record: Record) -> str:
    """The line without its end. `kind` in it is for people who search; it is not read."""
    match record:
        case Opened(time, connection, dialler, listener, lane):
            fields = {
                "event": "opened",
                "conn": connection,
                "dialler": dialler,
                "listener": listener,
                "lane": lane,
            }
            return _line(time, fields)
        case Sent(time, connection, source, target, frame, fate, detail):
            fields = {"event": "sent", "conn": connection, "from": source, "to": target, "kind": frame.kind}
            said = {"fate": fate, "detail": detail} if detail else {"fate": fate}
            return _line(time, fields | said, frame.encode())
        case Raw(time, connection, source, target, data, problem):
            fields = {"event": "raw", "conn": connection, "from": source, "to": target, "problem": problem}
            return _line(time, fields, data)
        case Closed(time, connection, source, how):
            return _line(time, {"event": "closed", "conn": connection, "from": source, "how": how})
        case Marked(time, node, event, text):
            return _line(time, {"event": "marked", "node": node, "mark": event, "text": text})
        case _:
            assert_never(record)


def from_line(line: str) -> Record:
    """The record of a line. Raises `ValueError` with the reason where it is none; unknown keys are ignored."""
    try:
        fields = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"a record is an object, this is {line[:40]!r}")
    return _Fields(cast("dict[str, Any]", fields)).record()


class _Fields:
    """A record's object, read strictly: a file may have been edited, or be another file."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def record(self) -> Record:
        time = self._take("t", int, float)
        match self._take("event", str):
            case "opened":
                return Opened(
                    time, self._connection(), self._name("dialler"), self._text("listener"), self._name("lane")
                )
            case "sent":
                source, target = self._name("from"), self._name("to")
                return Sent(
                    time, self._connection(), source, target, self._frame(), self._fate(), self._detail()
                )
            case "raw":
                source, target = self._name("from"), self._name("to")
                return Raw(time, self._connection(), source, target, self._bytes(), self._text("problem"))
            case "closed":
                return Closed(time, self._connection(), self._name("from"), self._text("how"))
            case "marked":
                return Marked(time, self._name("node"), self._text("mark"), self._text("text"))
            case event:
                raise ValueError(f"event is {event!r}; known are opened, sent, raw, closed, marked")

    def _take(self, key: str, *types: type) -> Any:
        value = self._fields.get(key)
        if not isinstance(value, types) or isinstance(value, bool):
            names = " or ".join(type.__name__ for type in types)
            raise ValueError(
                f"{key!r} is {value!r:.60}; expected {names}" if key in self._fields else f"no {key!r}"
            )
        return value

    def _connection(self) -> int:
        number: int = self._take("conn", int)
        return number

    def _text(self, key: str) -> str:
        text: str = self._take(key, str)
        return text

    def _name(self, key: str) -> str | None:
        name: str | None = self._take(key, str, type(None))
        return name

    def _detail(self) -> str:
        return self._text("detail") if "detail" in self._fields else ""

    def _fate(self) -> Any:
        fate = self._text("fate")
        if fate not in FATES:
            raise ValueError(f"fate is {fate!r}; known are {', '.join(sorted(FATES))}")
        return fate

    def _bytes(self) -> bytes:
        digits = self._text("bytes")
        try:
            return bytes.fromhex(digits)
        except ValueError:
            raise ValueError(f"'bytes' is {digits!r:.60}; expected hexadecimal digits") from None

    def _frame(self) -> Frame:
        data = self._bytes()
        reader = FrameReader(max(len(data), 1))
        reader.feed(data)
        try:
            frame = reader.next_frame()
        except FrameError as error:
            raise ValueError(f"'bytes' is no frame: {error}") from None
        if frame is None or frame.size != len(data):
            said = "less" if frame is None else "more"
            raise ValueError(f"'bytes' is {said} than one frame: {len(data):,} bytes, {data[:16].hex(' ')} …")
        return frame


def _line(time: float, fields: dict[str, Any], data: bytes | None = None) -> str:
    line = json.dumps({"t": round(time, 6), **fields}, ensure_ascii=False)
    # Megabytes of digits need no look at each for what JSON would have to escape.
    return line if data is None else f'{line[:-1]}, "bytes": "{data.hex()}"}}'


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
