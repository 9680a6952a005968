"""msgpack as it stands in the bytes: a tree of values that each know their format and their place.

Reading is strict (one value and nothing after it, UTF-8, no more announced than there is), does not recurse,
and takes memory for what is there, never for what is announced. Extension values are read as bytes; who knows
their codes reads their bodies with `read`, too.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from conformance._protocol import DEPTH_MAX
from conformance.wire.problem import Label, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

type Kind = Literal["nil", "bool", "int", "float", "str", "bin", "array", "map", "ext"]
type Scalar = bool | int | float | str | bytes | None


@dataclass(slots=True, eq=False)
class Node:
    """One value in the bytes."""

    kind: Kind
    format: str
    start: int
    end: int
    level: int
    """How deep an array, map or extension value is nested: the payload itself is level 1. Of scalars 0."""
    value: Scalar = None
    """What a scalar says."""
    children: Sequence[Node] = ()
    """An array's elements; a map's keys and values in turn."""
    count: int = 0
    """Children, or bytes of the body, as announced."""
    code: int = 0
    """That of an extension value."""

    @property
    def pairs(self) -> list[tuple[Node, Node]]:
        """A map's keys with their values."""
        return list(zip(self.children[::2], self.children[1::2], strict=True))

    @property
    def body_start(self) -> int:
        """Where the bytes of a str, a bin or an extension value begin."""
        return self.end - self.count


class PackedError(Exception):
    """These bytes are no msgpack value. `seen` is what was read of it before, unfinished, if anything."""

    def __init__(
        self, rule: str, path: str, expected: str, got: str, start: int, end: int, seen: Node | None
    ) -> None:
        place = path or "payload"
        super().__init__(f"{place}: expected {expected}, got {got} (bytes {start} to {end}; {rule})")
        self.rule = rule
        self.path = path
        self.expected = expected
        self.got = got
        self.start = start
        self.end = end
        self.seen = seen


class TooDeep(PackedError):
    """Nested deeper than `DEPTH_MAX`, however well the rest may be."""


def read(data: bytes, start: int = 0, end: int | None = None, level: int = 0) -> Node:
    """The one value that fills `data` from `start` to `end`, nested in `level` others. Raises `PackedError`."""
    return _Reader(data, start, len(data) if end is None else end, level).whole()


class _Format(NamedTuple):
    name: str
    kind: Kind
    length: int = 0
    """Bytes of a length field, or of a number."""
    fixed: int = 0
    """The value or the length that the first byte holds itself."""


class _Reader:
    def __init__(self, data: bytes, start: int, end: int, level: int) -> None:
        self._data = data
        self._start = self._at = start
        self._end = end
        self._level = level
        self._root: Node | None = None
        self._open: list[tuple[Node, list[Node]]] = []

    def whole(self) -> Node:
        root = self._root = self._next()
        while self._open:
            within, children = self._open[-1]
            if len(children) == within.count:
                within.end = self._at
                self._open.pop()
            else:
                children.append(self._next())
        if self._at != self._end:
            got = f"{self._end - self._at:,} bytes after it"
            raise self._error("FRAME-5", "one value and its end", got, self._at, self._end)
        return root

    def _next(self) -> Node:
        start = self._at
        self._skip(1, "a value")
        form = _FORMATS[self._data[start]]
        if form is None:
            raise self._error("FRAME-5", "a value", "byte c1, which no format begins with", start, start + 1)
        match form.kind:
            case "int" | "float":
                number = self._number(form)
                return Node(form.kind, form.name, start, self._at, 0, number)
            case "nil":
                return Node("nil", form.name, start, self._at, 0)
            case "bool":
                return Node("bool", form.name, start, self._at, 0, bool(form.fixed))
            case "array" | "map":
                return self._container(form, start)
            case "str" | "bin" | "ext":
                return self._bytes(form, start)

    def _number(self, form: _Format) -> int | float:
        if not form.length:
            return form.fixed
        number: int | float
        [number] = struct.unpack(_NUMBERS[form.name], self._take(form.length, f"the rest of a {form.name}"))
        return number

    def _container(self, form: _Format, start: int) -> Node:
        count = self._length(form)
        values = count * (2 if form.kind == "map" else 1)
        left = self._end - self._at
        if values > left:
            what = f"{count:,} {'pairs' if form.kind == 'map' else 'elements'}"
            raise self._error("PAYLOAD-6", f"{what} as announced", f"{left:,} bytes for them", start, self._at)
        children: list[Node] = []
        node = Node(form.kind, form.name, start, self._at, self._deeper(start), None, children, values)
        self._open.append((node, children))
        return node

    def _bytes(self, form: _Format, start: int) -> Node:
        length = self._length(form)
        if form.kind == "ext":
            level = self._deeper(start)
            code = int.from_bytes(self._take(1, "the code of an extension value"), signed=True)
            self._skip(length, f"a body of {length:,} bytes", since=start)
            return Node("ext", form.name, start, self._at, level, None, (), length, code)
        body = self._take(length, f"a {form.kind} of {length:,} bytes", since=start)
        if form.kind == "bin":
            return Node("bin", form.name, start, self._at, 0, body, (), length)
        try:
            return Node("str", form.name, start, self._at, 0, body.decode(), (), length)
        except UnicodeDecodeError as error:
            got = f"{body[error.start : error.end].hex(' ')} ({error.reason})"
            first, last = self._at - length + error.start, self._at - length + error.end
            raise self._error("PAYLOAD-4", "a str of UTF-8", got, first, last) from None

    def _length(self, form: _Format) -> int:
        if not form.length:
            return form.fixed
        return int.from_bytes(self._take(form.length, f"the length of a {form.kind}"))

    def _deeper(self, start: int) -> int:
        level = self._level + len(self._open) + 1
        if level > DEPTH_MAX:
            expected = f"at most {DEPTH_MAX} levels"
            raise self._error("PAYLOAD-6", expected, f"level {level}", start, start + 1, TooDeep)
        return level

    def _take(self, length: int, what: str, since: int | None = None) -> bytes:
        start = self._at
        self._skip(length, what, since)
        return self._data[start : self._at]

    def _skip(self, length: int, what: str, since: int | None = None) -> None:
        left = self._end - self._at
        if length > left:
            got = f"{left:,} bytes and the end" if left else "the end"
            rule = "PAYLOAD-6" if self._at > self._start else "FRAME-5"
            raise self._error(rule, what, got, self._at if since is None else since, self._end)
        self._at += length

    def _error(
        self, rule: str, expected: str, got: str, start: int, end: int, error: type[PackedError] = PackedError
    ) -> PackedError:
        path = ""
        for depth, (node, children) in enumerate(self._open, 1):
            node.end = end
            path = joined(path, _label(node, len(children) - (depth < len(self._open))))
        return error(rule, path, expected, got, start, end, self._root)


def _label(node: Node, at: int) -> Label:
    """What leads to the child of an unfinished array or map that is being read."""
    if node.kind == "array":
        return at
    return key_label(node.children[at - 1]) if at % 2 else f"(key {at // 2})"


def key_label(key: Node) -> str:
    """A map's key as a step of a path."""
    if key.kind == "str":
        return str(key.value)
    return f"({key.value!r})" if key.kind not in ("array", "map", "ext") else f"({key.kind})"


def _formats() -> list[_Format | None]:
    """By the first byte; None for c1."""
    table: list[_Format | None] = [None] * 256
    for first in range(0x80):
        table[first] = _Format("positive fixint", "int", fixed=first)
        table[first + 0x80] = _Format("negative fixint", "int", fixed=first - 0x80)
    for low in range(0x10):
        table[0x80 + low] = _Format("fixmap", "map", fixed=low)
        table[0x90 + low] = _Format("fixarray", "array", fixed=low)
    for low in range(0x20):
        table[0xA0 + low] = _Format("fixstr", "str", fixed=low)
    table[0xC0:0xC4] = [_Format("nil", "nil"), None, _Format("false", "bool"), _Format("true", "bool", fixed=1)]
    for power in range(3):
        bits = 8 << power
        table[0xC4 + power] = _Format(f"bin {bits}", "bin", 1 << power)
        table[0xC7 + power] = _Format(f"ext {bits}", "ext", 1 << power)
        table[0xD9 + power] = _Format(f"str {bits}", "str", 1 << power)
    for power in range(4):
        table[0xCC + power] = _Format(f"uint {8 << power}", "int", 1 << power)
        table[0xD0 + power] = _Format(f"int {8 << power}", "int", 1 << power)
    for power in range(5):
        table[0xD4 + power] = _Format(f"fixext {1 << power}", "ext", fixed=1 << power)
    for power in range(2):
        table[0xCA + power] = _Format(f"float {32 << power}", "float", 4 << power)
        table[0xDC + power] = _Format(f"array {16 << power}", "array", 2 << power)
        table[0xDE + power] = _Format(f"map {16 << power}", "map", 2 << power)
    return table


_FORMATS = _formats()
_NUMBERS = {
    **{f"uint {8 << power}": ">" + "BHIQ"[power] for power in range(4)},
    **{f"int {8 << power}": ">" + "bhiq"[power] for power in range(4)},
    "float 32": ">f",
    "float 64": ">d",
}
