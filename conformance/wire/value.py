"""Users' values, both ways (VALUE-1): what `spec/messaging.md` allows, without a class of anybody's.

| on the wire | here |
|---|---|
| nil, bool, integer, bigint, float, str, bin, array, map | None, bool, int, float, str, bytes, list, dict |
| tuple, set, frozenset, complex | themselves |
| date, timedelta, decimal, uuid | `datetime.date`, `datetime.timedelta`, `decimal.Decimal`, `uuid.UUID` |
| datetime, time | `DateTime`, `Time`: their text, so that no table of time zones is asked |
| dataclass, enum, ref | `Dataclass`, `EnumMember`, `Ref` |

Nothing is looked up and nothing constructed that a peer named (VALUE-2): which types a node admits is its own
affair. In a map and a set, 1, 1.0 and true are one and the same: a value that tells them apart there is refused
(VALUE-6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from conformance._protocol import DEPTH_MAX, EXT_NAMES, EXT_RAW
from conformance.wire import packing
from conformance.wire.clock import DateTime, Time
from conformance.wire.extension import (
    Dataclass,
    EnumMember,
    Ref,
    built,
    count_of_distinct,
    is_hashable,
    lowered,
)
from conformance.wire.packed import Node, PackedError, TooDeep, key_label, read
from conformance.wire.problem import Label, Misfit, PayloadError, extended, joined, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Dataclass", "DateTime", "EnumMember", "Ref", "Time", "pack", "shown", "unpack"]


def pack(value: Any) -> bytes:
    """The value's bytes in their canonical form; `packing.Raw`, `Pairs` and `Ext` may stand anywhere in it.

    Raises `TypeError` for what is no kind of value, `ValueError` for what does not fit, such as half a pair.
    """
    return packing.pack(value, lowered)


def unpack(data: bytes, node: Node, problems: list[PayloadError], kind: str = "", path: str = "") -> Any:
    """What the user's value at `node` of `data` says.

    What is wrong with it is added to `problems`, with `path` before its place; the value means nothing then.
    Bodies of extension values are read here, and none of it recurses: nesting costs no stack.
    """
    reading = _Reading(data, problems, kind, path)
    root = _Step(node)
    steps = list(reading.expanded(root))
    for step in reversed(steps):  # children come after their parents, so that they are built before them
        step.value = reading.value_of(step)
    return root.value


_BROKEN: Final = object()
"""Stands for a value with a problem, so that what holds it is not blamed for it."""


@dataclass(slots=True, eq=False)
class _Step:
    """One array, map or extension value on the way down (or the root, or a body), and where it was found."""

    node: Node
    parent: _Step | None = None
    label: Label | None = None
    nested: Sequence[_Step] = ()
    """Those of its children that are no scalars."""
    value: Any = _BROKEN


def _is_packed(code: int) -> bool:
    """Whether the bodies of this code are msgpack."""
    return code in EXT_NAMES and code not in EXT_RAW


def faults_of_unread(data: bytes, node: Node) -> Iterator[tuple[str, Node, str]]:
    """What is wrong with a value that is not read, as in an unknown field: rule, place and what was expected.

    Keys that no map can have everywhere (PAYLOAD-1); depth, in bodies of extension values, too (PAYLOAD-6).
    """
    todo = [node]
    while todo:
        at = todo.pop()
        todo += at.children
        if at.kind == "map":
            for key, _ in at.pairs:
                if key.kind in ("array", "map"):
                    yield "PAYLOAD-1", key, "a key that is no array or map"
        if at.kind == "ext" and _is_packed(at.code):
            try:
                todo.append(read(data, at.body_start, at.end, at.level))
            except TooDeep:
                yield "PAYLOAD-6", at, f"at most {DEPTH_MAX} levels"
            except PackedError:
                pass  # nobody asked what it says


class _Reading:
    def __init__(self, data: bytes, problems: list[PayloadError], kind: str, path: str) -> None:
        self._data = data
        self._problems = problems
        self._kind = kind
        self._path = path

    def expanded(self, root: _Step) -> Iterator[_Step]:
        """All values below, each after what holds it."""
        todo = [root]
        while todo:
            step = todo.pop()
            step.nested = list(self._nested(step))
            todo += step.nested
            yield step

    def _nested(self, step: _Step) -> Iterator[_Step]:
        node = step.node
        match node.kind:
            case "array":
                for at, child in enumerate(node.children):
                    if child.level:
                        yield _Step(child, step, at)
            case "map":
                for at, (key, value) in enumerate(node.pairs):
                    if key.level:
                        yield _Step(key, step, f"(key {at})")
                    if value.level:
                        yield _Step(value, step, key_label(key))
            case "ext" if _is_packed(node.code):
                try:
                    body = read(self._data, node.body_start, node.end, node.level)
                except PackedError as error:
                    self._add_unreadable(step, error)
                else:
                    yield _Step(body, step)
            case _:
                return

    def value_of(self, step: _Step) -> Any:
        node = step.node
        if any(child.value is _BROKEN for child in step.nested):
            return _BROKEN
        if node.kind == "ext":
            return self._extension(step)
        nested = iter(step.nested)
        values = [next(nested).value if child.level else child.value for child in node.children]
        match node.kind:
            case "array":
                return values
            case "map":
                return self._map(step, values)
            case _:
                return node.value

    def _map(self, step: _Step, values: list[Any]) -> Any:
        keys = {id(key) for key, _ in step.node.pairs}
        for child in step.nested:
            if id(child.node) in keys and not is_hashable(child.value):
                expected = "a key that is no list, map or set, and holds none"
                self._add(child, "BAD_MESSAGE", "VALUE-1", expected, shown(child.value))
                return _BROKEN
        others = [key for key in values[::2] if type(key) is not str and type(key) is not bytes]
        if count_of_distinct(others) != len(others):
            self._add(step, "BAD_MESSAGE", "VALUE-6", "no key that is equal to another", "one that is")
            return _BROKEN
        return dict(zip(values[::2], values[1::2], strict=True))

    def _extension(self, step: _Step) -> Any:
        node = step.node
        if not step.nested and _is_packed(node.code):
            return _BROKEN  # its body could not be read, and that has been said
        try:
            return built(
                node.code, step.nested[0].value if step.nested else self._data[node.body_start : node.end]
            )
        except Misfit as misfit:
            name = EXT_NAMES.get(node.code)
            expected = f"{name} with {misfit.expected}" if name else misfit.expected
            self._add(step, "BAD_MESSAGE", "VALUE-4", expected, misfit.got)
            return _BROKEN

    def _add(self, step: _Step, code: str, rule: str, expected: str, got: str) -> None:
        error = PayloadError(
            "value",
            code,
            rule,
            kind=self._kind,
            path=self._path_of(step),
            expected=expected,
            got=got,
            start=step.node.start,
            end=step.node.end,
        )
        self._problems.append(error)

    def _add_unreadable(self, step: _Step, error: PackedError) -> None:
        deep = isinstance(error, TooDeep)
        problem = PayloadError(
            "msgpack" if deep else "value",
            "BAD_PAYLOAD" if deep else "BAD_MESSAGE",
            error.rule if deep else "VALUE-4",
            kind=self._kind,
            path=extended(self._path_of(step), error.path),
            expected=error.expected,
            got=error.got,
            start=error.start,
            end=error.end,
        )
        self._problems.append(problem)

    def _path_of(self, step: _Step) -> str:
        labels: list[Label] = []
        at: _Step | None = step
        while at is not None:
            if at.label is not None:
                labels.append(at.label)
            at = at.parent
        path = self._path
        for label in reversed(labels):
            path = joined(path, label)
        return path
