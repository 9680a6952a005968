"""User values: what is sent is what arrives, and what cannot be sent is named (spec VALUE-*)."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import pytest

from casty.errors import SerializationError
from casty.wire import _protocol as p
from casty.wire.payload import ValueCodec, copy_value
from casty.wire.types import TypeRegistry
from tests.wire.nodes import Ref, value_codec
from tests.wire.orders import Access, Add, Color, Get, Item, Order

BERLIN = ZoneInfo("Europe/Berlin")


@dataclass
class Node:
    next: object = None


@dataclass
class Account:
    """Has a field that its constructor does not take."""

    deposits: list[int]
    balance: int = field(init=False, default=0)
    owner: str = field(init=False)

    def __post_init__(self) -> None:
        self.balance = sum(self.deposits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    a: int
    b: int = field(default=2, init=False)


@dataclass
class Priced:
    """Takes something that it does not keep, and can do without."""

    net: float
    rate: dataclasses.InitVar[float] = 0.0
    gross: float = field(init=False, default=0.0)

    def __post_init__(self, rate: float) -> None:
        self.gross = self.net * (1 + rate)


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    YES = "yes"


def round_trip(value: object) -> Any:
    codec = value_codec()
    return codec.decode(codec.encode(value))


SENT: list[Any] = [
    None,
    True,
    0,
    -(2**63),
    2**64 - 1,
    2**64,
    -(2**63) - 1,
    10**1000,
    1.5,
    -0.0,
    math.inf,
    "",
    "𝄞",
    b"\x00\xff",
    [],
    [1, [2, {}]],
    {"a": {1: {None: {True: b""}}}},
    (),
    (1, (2, [3])),
    {1, "a", (2,), frozenset({3})},
    frozenset(),
    {(1, 2): 3, frozenset({1}): 4, Get(): 5, Color.RED: 6, dt.date(2024, 1, 1): 7},
    Color.PAIR,
    Access.READ | Access.WRITE,
    Access(0),
    Number.ONE,
    Word.YES,
    Order(1, [Item("tea", 2.5)]),
    Node(Node((Node(),))),
    Frozen(a=1),
    dt.datetime(2024, 2, 29, 1, 2, 3, 4),
    dt.datetime(1, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-5, seconds=-30, microseconds=1))),
    dt.datetime(1900, 1, 1, tzinfo=dt.timezone(dt.timedelta(microseconds=-1))),
    dt.time(1, tzinfo=dt.timezone(dt.timedelta(microseconds=500_000))),
    dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
    dt.date(9999, 12, 31),
    dt.time(23, 59, 59, 999999),
    dt.time(12, tzinfo=dt.UTC),
    dt.time(12, tzinfo=BERLIN, fold=1),
    dt.timedelta(microseconds=-1),
    dt.timedelta.max,
    Decimal("-12.500"),
    Decimal("1E+3"),
    Decimal("sNaN123"),
    UUID(int=2**127),
    1.5 - 2j,
    Ref("n1", "counter"),
    {"ref": [Ref("n1", "@17")]},
]


@pytest.mark.parametrize("value", SENT, ids=lambda value: type(value).__name__)
def test_what_is_sent_is_what_arrives_in_value_and_in_kind(value: object) -> None:
    """VALUE-1, VALUE-5: exactly, at any depth."""
    again = round_trip(value)
    assert type(again) is type(value)
    assert repr(again) == repr(value) or again == value


def test_a_zone_arrives_as_the_zone_and_not_as_an_offset() -> None:
    """VALUE-1: a time next year knows its summer time, and which of two equal hours it is."""
    again = round_trip(dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1))
    assert (again.tzinfo, again.fold) == (BERLIN, 1)
    assert again.utcoffset() == dt.timedelta(hours=1)


def test_a_mutable_buffer_arrives_as_bytes() -> None:
    """VALUE-1: a bin is a bin; what arrives does not change under anybody's hands."""
    assert [round_trip(value) for value in (bytearray(b"ab"), memoryview(b"ab"))] == [b"ab", b"ab"]


def test_random_values_arrive_as_they_were_sent() -> None:
    """VALUE-1, for a thousand trees of everything; the seed is the number in the failure."""
    codec = value_codec()
    for seed in range(1000):
        value = random_value(random.Random(seed), 4)
        again = codec.decode(codec.encode(value))
        assert again == value or repr(again) == repr(value), seed


def random_value(dice: random.Random, depth: int) -> Any:
    leaves = [value for value in SENT[:14] + SENT[30:42] if type(value) not in (list, set)]
    if depth == 0 or dice.random() < 0.3:
        return dice.choice(leaves)
    parts = [random_value(dice, depth - 1) for _ in range(dice.randrange(5))]
    match dice.randrange(5):
        case 0:
            return parts
        case 1:
            return tuple(parts)
        case 2:
            return {dice.choice(("a", 1, b"k", (1, "x"), Color.RED)): part for part in parts}
        case 3:
            return Order(dice.randrange(10), parts, "note")
        case _:
            return Node(parts[0] if parts else None)


NAN = float("nan")
TWINS: list[tuple[object, object]] = [
    (1, 1.0),
    (True, 1),
    (False, 0.0),
    (0.0, -0.0),
    (2**64, 2.0**64),
    (Decimal(1), 1),
    (NAN, NAN),
    ((1, 2), (1.0, 2)),
    (1, Number.ONE),
]


@pytest.mark.parametrize("twins", TWINS, ids=str)
@pytest.mark.parametrize("within", [0, 1, 300], ids=["alone", "in a tuple", "in a large payload"])
def test_a_map_or_set_loses_no_entry_in_silence(twins: tuple[object, object], within: int) -> None:
    """VALUE-6: another language may tell 1 from 1.0; what cannot be kept apart here is refused."""
    codec = value_codec()
    one, other = (codec.encode(twin) for twin in twins)
    for data in (b"\x82" + one + b"\xa1x" + other + b"\xa1y", packed_set(b"\x92" + one + other)):
        if within:
            items = b"\xdc" + within.to_bytes(2) + data + msgpack.packb("x" * 90) * (within - 1)
            data = msgpack.packb(msgpack.ExtType(p.EXT_TUPLE, items))
        with pytest.raises(SerializationError, match="two of its 2 keys or elements are equal"):
            codec.decode(data)


def packed_set(items: bytes) -> bytes:
    data: bytes = msgpack.packb(msgpack.ExtType(p.EXT_SET, items))
    return data


def test_keys_of_any_kind_make_no_value_dear() -> None:
    """VALUE-6: maps with such keys in each other are read twice at most, and not twice for each level."""
    made = 0

    def make(node_id: str, address: str) -> Ref:
        nonlocal made
        made += 1
        return Ref(node_id, address)

    value: object = Ref("n1", "a")
    for _ in range(60):
        value = ({1: value},)
    codec = ValueCodec(TypeRegistry(), make_ref=make)
    codec.decode(value_codec().encode(value))
    assert made == 2


@pytest.mark.parametrize("parts", [("n/1", "a"), ("", "a"), ("n" * 65, "a"), ("n1", "")])
def test_a_ref_names_a_node_and_an_actor(parts: tuple[str, str]) -> None:
    """VALUE-7: else nothing could be reached by it, on any node."""
    with pytest.raises(SerializationError, match="are no node and its actor"):
        round_trip(Ref(*parts))


# Dataclasses: constructed, with what the sender and the receiver know of each other's fields.


def test_the_constructor_runs_and_then_other_fields_are_restored() -> None:
    """VALUE-1: `__post_init__` runs, and a field it computed keeps what the sender had."""
    sent = Account([1, 2])
    sent.balance, sent.owner = 77, "ann"
    assert vars(round_trip(sent)) == {"deposits": [1, 2], "balance": 77, "owner": "ann"}


def test_a_field_that_is_not_set_and_need_not_be_is_left_out() -> None:
    """VALUE-3: an attribute that only `init=False` announces may be absent."""
    assert vars(round_trip(Account([1]))) == {"deposits": [1], "balance": 1}


def test_what_a_constructor_takes_and_does_not_keep_may_have_a_default() -> None:
    """VALUE-1: the default stands in; what was made of the value is restored."""
    assert round_trip(Priced(100.0, rate=0.5)).gross == 150.0


def test_a_frozen_slotted_class_is_restored_too() -> None:
    """VALUE-1: also past the setter that refuses."""
    sent = Frozen(a=1)
    object.__setattr__(sent, "b", 9)
    assert round_trip(sent).b == 9


def test_unknown_fields_are_ignored_and_missing_ones_take_their_defaults() -> None:
    """VALUE-3: two versions of a class can talk."""
    registry = TypeRegistry()
    registry.register(Add, "Add")
    codec = value_codec(registry)

    def decode(**fields: object) -> object:
        body = msgpack.packb(["Add", fields])
        return codec.decode(msgpack.packb(msgpack.ExtType(p.EXT_DATACLASS, body)))

    assert decode() == Add(1)
    assert decode(amount=5, unit="l") == Add(5)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "tea"}, "Item lacks its field 'price', which has no default"),
        ({"name": "tea", 1: 2}, "Item has a field whose name is no str"),
        ({}, "Item lacks its field 'name', which has no default"),
    ],
)
def test_a_field_that_nothing_fills_is_named(fields: dict[Any, Any], text: str) -> None:
    """VALUE-3: BAD_MESSAGE says what is missing."""
    registry = TypeRegistry()
    registry.register(Item, "Item")
    data = msgpack.packb(msgpack.ExtType(p.EXT_DATACLASS, msgpack.packb(["Item", fields])))
    with pytest.raises(SerializationError, match=text):
        value_codec(registry).decode(data)


def test_an_exception_of_the_constructor_is_the_receivers_answer() -> None:
    """VALUE-3, VALUE-4: whatever a class raises, no other exception leaves the codec."""
    sender = value_codec()
    data = sender.encode(Add(1001)).replace((1001).to_bytes(2), (1000).to_bytes(2))
    with pytest.raises(SerializationError, match=r"orders:Add could not be made: ValueError: 1000 is too much"):
        sender.decode(data)


# Refs, and copies.


def test_a_ref_is_its_node_and_its_address() -> None:
    """VALUE-5: whoever makes refs of them decides whether the actor is a local one."""
    data = value_codec().encode(Ref("n1", "counter"))
    assert msgpack.unpackb(data) == msgpack.ExtType(p.EXT_REF, msgpack.packb(["n1", "counter"]))
    with pytest.raises(SerializationError, match="nothing here makes refs"):
        ValueCodec(TypeRegistry()).decode(data)


def test_without_refs_a_ref_is_like_any_other_object() -> None:
    """VALUE-5: there must be a node for it to name."""
    with pytest.raises(SerializationError, match=r"cannot send a value of type tests\.wire\.nodes\.Ref"):
        ValueCodec(TypeRegistry()).encode(Ref("n1", "a"))


def test_a_ref_that_leads_nowhere_cannot_be_sent() -> None:
    """VALUE-5: such as one of a system without a node."""
    here = Ref("n1", "a")
    codec = ValueCodec(TypeRegistry(), ref_parts=lambda value: here.parts if value is here else None)
    assert codec.encode([here])
    with pytest.raises(
        SerializationError, match=r"cannot send Ref\('n2', 'b'\), which no other node could reach"
    ):
        codec.encode(Ref("n2", "b"))


def test_a_copy_is_what_another_node_would_get() -> None:
    """VALUE-1: equal, and shared in no part; what it refuses, a remote actor could not be sent either."""
    order = Order(1, [Item("tea", 2.5)])
    copy = copy_value(order)
    assert copy == order
    assert copy.items is not order.items
    assert copy_value((Color.RED, b"")) == (Color.RED, b"")
    with pytest.raises(SerializationError, match=r"Node\.next: cannot send a value of type object"):
        copy_value(Node(object()))


def test_a_copy_keeps_what_it_is_told_to() -> None:
    """VALUE-5: a ref in a copied message is the same ref."""
    ref = Ref("n1", "a")
    copy = copy_value([ref, {"again": ref}], keep=Ref)
    assert copy[0] is copy[1]["again"] is ref
    with pytest.raises(
        SerializationError, match=r"list\[0\]: cannot send a value of type tests.wire.nodes.Ref"
    ):
        copy_value([ref])


def test_texts_show_little_of_what_a_peer_sends() -> None:
    """ERROR-1: an error about a megabyte is a line."""
    for value in ("x" * 10**6, list(range(10**4)), {"k": "v" * 10**6}, b"b" * 10**6, 10**400, None, 1.5, Get()):
        data = msgpack.packb(msgpack.ExtType(p.EXT_DATE, value_codec().encode(value)))
        with pytest.raises(SerializationError) as caught:
            value_codec().decode(data)
        assert len(str(caught.value)) < 250
