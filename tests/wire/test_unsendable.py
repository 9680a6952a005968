"""Values that cannot be sent: the sender is told what, where and why (spec VALUE-1, PAYLOAD-6)."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import sys
from dataclasses import dataclass
from typing import Any

import msgpack
import pytest

from casty.errors import SerializationError
from casty.wire.types import TypeRegistry
from tests.wire.nodes import value_codec
from tests.wire.orders import Item, Order


@dataclass
class Node:
    next: object = None


@dataclass
class Seeded:
    """Takes something that it does not keep, and cannot do without."""

    seed: dataclasses.InitVar[int]


@dataclass
class Half:
    """Loses a field that its constructor needs."""

    left: int
    right: int


class Held(enum.Enum):
    BAD = object()


@dataclass
class Stack(list[int]):
    name: str = ""


class Pair(collections.namedtuple("Pair", "left right")):
    pass


class Table(dict[str, int]):
    pass


class Zone(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(0)

    dst = utcoffset

    def tzname(self, when: dt.datetime | None) -> str:
        return "somewhere"


def trouble(value: object) -> str:
    """What the sender is told about a value that cannot be sent."""
    with pytest.raises(SerializationError) as caught:
        value_codec().encode(value)
    return str(caught.value)


def round_trip(value: object) -> Any:
    codec = value_codec()
    return codec.decode(codec.encode(value))


TIMESTAMP: Any = msgpack.unpackb(b"\xd6\xff\x00\x00\x00\x01")
UNSENDABLE: Any = object()
make_enum: Any = enum.Enum
ODD: Any = make_enum("Odd", {"A": object()})


@dataclass
class Box[T]:
    content: T


def local_class() -> Any:
    @dataclass
    class Local:
        pass

    return Local()


class Shadowed:
    """Named as another class was, before this one took its name."""


Shadow: Any = dataclasses.make_dataclass("Shadowed", [], module=__name__)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (object(), "cannot send a value of type object"),
        (
            Order(1, [Item("a", 1), Item("b", UNSENDABLE)]),
            "Order.items[1].price: cannot send a value of type object",
        ),
        (
            [1, {"k": (2, Pair(1, 2))}],
            "list[1]['k'][1]: cannot send a value of type tests.wire.test_unsendable.Pair: "
            "a named tuple would arrive as a plain one, so make it a dataclass",
        ),
        (
            {"a": Table()},
            "dict['a']: cannot send a value of type tests.wire.test_unsendable.Table: "
            "it would arrive as a plain dict, so send that",
        ),
        ({(1, range(3)): 2}, "dict[key tuple][1]: cannot send a value of type range"),
        ({5: [len]}, "dict[5][0]: cannot send a value of type builtin_function_or_method"),
        ([Held.BAD], "list[0].value: cannot send a value of type object"),
        ({object()}, "set[0]: cannot send a value of type object"),
        (Box(len), "Box.content: cannot send a value of type builtin_function_or_method"),
        (ValueError("x"), "cannot send a value of type ValueError"),
        (
            ODD.A,
            "tests.wire.test_unsendable:Odd does not lead to <enum 'Odd'>; register it by a name of its own",
        ),
        (Stack("name"), "Stack is a dataclass and a built-in collection or value in one"),
        (
            Seeded(3),
            "Seeded cannot be made from its fields: its constructor wants 'seed', which no field holds",
        ),
        (
            local_class(),
            "local_class.<locals>.Local is local to a function, so no other node can find it; "
            "define it in a module or register it by name",
        ),
        (Shadow(), "tests.wire.test_unsendable:Shadowed does not lead to <class"),
        ({"k": ["\ud800"]}, "dict['k'][0]: the str '\\ud800' is no text: half a surrogate pair at 0"),
        ([dt.datetime(2024, 1, 1, tzinfo=Zone())], "list[0]: its zone"),
        (memoryview(b"abcd")[::2], "memoryview: "),
        (TIMESTAMP, "cannot send a value of type msgpack.ext.Timestamp"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_the_sender_is_told_the_path_to_what_cannot_be_sent(value: object, text: str) -> None:
    """VALUE-1: nothing is sent, and the text names value, place and remedy."""
    said = trouble(value)
    assert text in said
    assert not said.endswith(".")


def test_a_circle_is_cut_short() -> None:
    """VALUE-1, PAYLOAD-6: what has no end is told from what is merely deep."""
    items: list[object] = [1]
    items.append(items)
    node = Node()
    node.next = {"back": node}
    assert trouble(items) == "list" + "[1]" * 38 + "[1…: nested deeper than 256 levels, perhaps in a circle"
    assert trouble(node).startswith("Node.next['back'].next['back'].next")


@pytest.mark.parametrize("levels", [255, 256, 257, 300, 600])
def test_lists_nest_to_the_limit_and_no_further(levels: int) -> None:
    """PAYLOAD-6: 256 levels, in both directions."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    data = b"\x91" * (levels - 1) + b"\x90"
    if levels <= 256:
        assert value_codec().encode(value) == data
        assert value_codec().decode(data) == value
    else:
        assert "nested deeper than 256 levels" in trouble(value)
        with pytest.raises(SerializationError, match="nested"):
            value_codec().decode(data)


@pytest.mark.parametrize(("nodes", "fits"), [(85, True), (86, False), (200, False), (5000, False)])
def test_a_dataclass_is_three_levels(nodes: int, fits: bool) -> None:
    """PAYLOAD-6: its extension value, the array in it, and its fields. The innermost one holds nil."""
    value: Any = Node()
    for _ in range(nodes - 1):
        value = Node(value)
    if fits:
        assert round_trip(value) == value
    else:
        assert trouble(value).endswith("nested deeper than 256 levels, perhaps in a circle")


def test_a_scalar_extension_fits_where_nothing_else_would() -> None:
    """PAYLOAD-6: 127 tuples and a list are 255 levels, and a date is one more."""
    value: Any = [dt.date(2024, 1, 1)]
    for _ in range(127):
        value = (value,)
    assert round_trip(value) == value
    assert "256" in trouble([value])


def test_a_codec_can_be_entered_while_it_works() -> None:
    """VALUE-1: a property that sends a message of its own spoils neither of the two."""
    registry = TypeRegistry()
    codec = value_codec(registry)
    inner: list[bytes] = []

    class Reporting(Node):
        @property
        def next(self) -> object:
            inner.append(codec.encode([1, (2, 3)]))
            return "done"

        @next.setter
        def next(self, value: object) -> None:
            pass

    registry.register(Reporting, "Reporting")
    assert codec.decode(codec.encode([(Reporting(),), 4])) == [(Reporting(),), 4]
    assert codec.decode(inner[0]) == [1, (2, 3)]


def test_after_a_failure_the_codec_is_as_before() -> None:
    """VALUE-1: half a value that could not be sent is not in front of the next one."""
    codec = value_codec()
    for _ in range(3):
        with pytest.raises(SerializationError):
            codec.encode([1, 2, (3, object())])
        assert codec.encode([1, 2]) == b"\x92\x01\x02"


def test_a_field_that_is_gone_is_named() -> None:
    """VALUE-1: the constructor would ask for it."""
    half = Half(1, 2)
    del half.right
    assert trouble([half]) == "list[0]: tests.wire.test_unsendable:Half has no value for its field 'right'"


def test_at_the_end_of_the_stack_a_value_is_too_deep_and_the_codec_unharmed() -> None:
    """PAYLOAD-6: what would fit elsewhere may not fit there; nothing is sent, and nothing is left behind."""
    codec = value_codec()
    value: Any = None
    for _ in range(80):
        value = (value,)

    def encode_below(frames: int) -> object:
        if frames:
            return encode_below(frames - 1)
        try:
            return codec.encode(value)
        except (SerializationError, RecursionError) as error:
            return type(error)

    outcomes = {encode_below(frames) for frames in range(300, sys.getrecursionlimit() - 150, 10)}
    assert SerializationError in outcomes
    assert outcomes <= {SerializationError, RecursionError, codec.encode(value)}
