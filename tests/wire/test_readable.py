"""What can be sent is read by every receiver, as what it was; all else is refused (VALUE-8, COMMIT-6)."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import io
import json
import os
import struct
import subprocess
import sys
from array import array
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casty.errors import SerializationError
from casty.wire import _protocol as p
from casty.wire.messages import ActorMessage
from casty.wire.payload import ValueCodec
from casty.wire.types import CommonTypes, TypeRegistry
from tests.wire.nodes import Ref, new_node, value_codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BERLIN = ZoneInfo("Europe/Berlin")
NOWHERE = ZoneInfo.from_file(
    io.BytesIO(b"TZif" + bytes(16) + struct.pack(">6llbb", 0, 0, 0, 0, 1, 4, 0, 0, 0) + b"UTC\0"),
    key="No/Where",
)
"""As a program makes one of a file of its own."""


def nan() -> float:
    return float("nan")


def same_hash(count: int) -> list[int]:
    """Integers of one hash, in every process."""
    return [number * (2**61 - 1) for number in range(1, 1 + count)]


@dataclass
class OwnInit:
    """Does not take one of its fields."""

    a: int
    b: int

    def __init__(self, a: int) -> None:
        self.a = a
        self.b = 7


@dataclass
class Positive:
    a: int

    def __post_init__(self) -> None:
        if self.a <= 0:
            raise ValueError(f"{self.a} is not positive")


@dataclass
class Growing:
    a: int

    def __post_init__(self) -> None:
        self.a += 1


@dataclass
class Exiting:
    a: int

    def __post_init__(self) -> None:
        if self.a:
            raise SystemExit(self.a)


@dataclass
class Unspeakable:
    a: int

    def __post_init__(self) -> None:
        if self.a:
            raise ValueError(10**5000)  # whose text cannot be made


@dataclass
class Rated:
    net: float
    rate: InitVar[float] = 0.5
    gross: float = 0.0

    def __post_init__(self, rate: float) -> None:
        self.gross = self.net * (1 + rate)


class Tagging(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made.a = -1
        return made


@dataclass
class Tagged(metaclass=Tagging):
    a: int


@dataclass(frozen=True)
class Key:
    a: object


@dataclass(eq=False)
class Thing:
    a: int


@dataclass(frozen=True)
class Clumsy:
    a: object

    def __hash__(self) -> int:
        return 0


class Odd(enum.Enum):
    NAN = float("nan")
    DECIMAL = Decimal("NaN")
    LIST = [1]  # noqa: RUF012 (an odd member is the point)
    ONE = 1
    ALSO_ONE = True
    WORD = "word"
    PAIR = (1, 2)


def changed[T](value: T, **fields: object) -> T:
    """An instance with fields that its constructor would have refused or changed."""
    for name, content in fields.items():
        object.__setattr__(value, name, content)
    return value


UNREADABLE: dict[str, tuple[Any, str]] = {
    "set of NaN": ({nan(), nan()}, "two of its 2 keys or elements are equal"),
    "keys that are NaN": ({nan(): 1, nan(): 2}, "two of its 2 keys or elements are equal"),
    "decimal NaN": ({Decimal("NaN"), Decimal("NaN")}, "are equal"),
    "complex NaN": ({complex(nan(), 0), complex(nan(), 0)}, "are equal"),
    "NaN in tuples": ({(nan(), 1), (nan(), 1)}, "are equal"),
    "NaN in frozensets": ({frozenset({nan()}): 1, frozenset({nan()}): 2}, "are equal"),
    "NaN in dataclasses": ({Key(nan()): 1, Key(nan()): 2}, "are equal"),
    "equal but for their identity": ({Thing(1), Thing(1)}, "are equal"),
    "keys of one hash": (
        dict.fromkeys(same_hash(100)),
        "more than 64 of its 100 keys or elements share a hash",
    ),
    "elements of one hash": (set(same_hash(65)), "share a hash"),
    "tuples of one hash": ({("a", n): n for n in same_hash(100)}, "share a hash"),
    "pairs of one hash": ({(n, "a"): n for n in same_hash(100)}, "share a hash"),
    "sets of one hash": ({frozenset({n, "a"}): n for n in same_hash(100)}, "share a hash"),
    "sets that cancel": (
        {frozenset({n, n + 2**61 - 1, "a"}): n for n in range(1, 101)},
        "share a hash",
    ),
    "dataclasses of one hash": ({Key(n): n for n in same_hash(100)}, "share a hash"),
    "a clumsy hash": ({Clumsy(n): n for n in range(100)}, "share a hash"),
    "a key that can change": ({Clumsy([1]): 1}, "can change, or holds what can"),
    "an element that can change": ({Clumsy([1])}, "can change, or holds what can"),
    "own __init__": (OwnInit(1), "unexpected keyword argument 'b'"),
    "__post_init__": (changed(Positive(1), a=-1), "Positive could not be made: ValueError: -1 is not positive"),
    "a constructor that exits": (changed(Exiting(0), a=3), "could not be made: SystemExit: 3"),
    "an error without a text": (changed(Unspeakable(0), a=3), "whose text cannot be made"),
    "a field that grows": (Growing(1), "it would arrive as another value"),
    "what is not kept": (Rated(1.0, 0.25), "it would arrive as another value"),
    "a metaclass": (changed(Tagged(1), a=1), "it would arrive as another value"),
    "a member that is NaN": (Odd.NAN, "nan is not a valid Odd"),
    "a member that is decimal NaN": (Odd.DECIMAL, "is not a valid Odd"),
    "extension 3": (msgpack.ExtType(3, b"\x90"), "cannot send a value of type msgpack.ext.ExtType"),
    "extension 42": (msgpack.ExtType(42, b""), "cannot send a value of type msgpack.ext.ExtType"),
    "a view of integers": (memoryview(array("I", [1])), "cannot send a memoryview of items 'I'"),
    "a zone of a file": (
        dt.datetime(2024, 1, 1, tzinfo=NOWHERE),
        "the time zone 'No/Where' is not known on this node",
    ),
    "moments in two zones": (
        {dt.datetime(2024, 1, 1, tzinfo=BERLIN), dt.datetime(2024, 1, 2, tzinfo=dt.UTC)},
        "moments in several zones",
    ),
    "a ref to no node": (Ref("no node!", "a"), "'no node!' and 'a' are no node and its actor"),
    "a ref to no actor": (Ref("n1", ""), "are no node and its actor"),
}


@pytest.mark.parametrize("at", [0, 1, 2, 3], ids=["alone", "in a list", "in a dataclass", "in a tuple of maps"])
@pytest.mark.parametrize("case", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_the_sender_is_refused_what_no_receiver_could_read(case: tuple[Any, str], at: int) -> None:
    """VALUE-8: the text says where it is, and why; a codec is as before."""
    value, text = case
    whole, path = [
        (value, ""),
        ([1, value], "list[1]: "),
        (Key({"k": value}), "Key.a['k']: "),
        (({"k": [value]},), "tuple[0]['k'][0]: "),
    ][at]
    codec = value_codec()
    with pytest.raises(SerializationError) as caught:
        codec.encode(whole)
    assert str(caught.value).startswith(path)
    assert text in str(caught.value)
    assert codec.encode([1]) == b"\x91\x01"


@pytest.mark.parametrize("case", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_messages_asks_and_replies_with_it_are_refused_alike(case: tuple[Any, str]) -> None:
    """VALUE-8: whatever frame it would go in."""
    node = new_node()
    with pytest.raises(SerializationError):
        node.messages.encode(ActorMessage("a", case[0]))
    with pytest.raises(SerializationError):
        node.messages.encode_ask("a", 1, None, case[0])
    with pytest.raises(SerializationError):
        node.messages.encode_reply(1, [case[0]])


READABLE: list[Any] = [
    {nan()},
    {nan(): 1, ("NaN",): 2, (nan(),): 3},
    {Decimal("NaN"), Decimal("NaN1"), Decimal("-NaN")},
    dict.fromkeys(same_hash(64)),
    {Ref(f"n{number}", "counter") for number in range(200)},
    {dt.date(2024, 1, 1) + dt.timedelta(days): days for days in range(300)},
    {UUID(int=number) for number in range(300)},
    {dt.datetime(2024, 1, day, tzinfo=BERLIN) for day in (1, 2)},
    Positive(1),
    Thing(1),
    {Clumsy(number) for number in range(60)},
    [Odd.LIST, Odd.ONE, Odd.ALSO_ONE, Odd.WORD, {Odd.PAIR: 1}],
    memoryview(b"ab"),
    [bytearray(b"ab"), {memoryview(b"k"): 1}],
    10**5000,
    {10**5000: Decimal(10**5000)},
]


@pytest.mark.parametrize("value", READABLE, ids=range(len(READABLE)))
def test_the_sender_is_refused_nothing_else(value: Any) -> None:
    """VALUE-8: what only looks like it is sent."""
    codec = value_codec()
    data = codec.encode(value)
    assert codec.encode(codec.decode(data)) == data


def test_what_is_evident_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """VALUE-8: most messages cost no second look: their kinds alone say that they can be read."""

    def refuse(*_: object) -> None:
        raise AssertionError("it was tried")

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Plain:
        a: int
        b: object = None
        c: list[int] = field(default_factory=list[int])

    registry = TypeRegistry()
    registry.register(Plain, "Plain")
    codec = value_codec(registry)
    monkeypatch.setattr(codec._trial, "decode", refuse)
    evident: list[Any] = [
        [Plain(a=1, b=Plain(a=2), c=[1, 2])],
        {"a": {1: 2.5, None: (), b"": [{}]}},
        (Odd.WORD, Odd.ONE, {1, "a", 2.5}, frozenset({None}), {(1, dt.date(2024, 1, 1)): 3}),
        [dt.datetime(2024, 1, 1, tzinfo=BERLIN), Decimal(1), UUID(int=1), 1j, 2**70, Ref("n1", "a")],
    ]
    for value in evident:
        assert codec.decode(codec.encode(value)) == value
    others: list[Any] = [{(1, Key(2)): 3}, {Odd.WORD}, Odd.PAIR, Positive(1)]
    for value in others:
        with pytest.raises(SerializationError, match="it was tried"):
            codec.encode(value)


def test_a_constructor_that_sends_spoils_nothing() -> None:
    """VALUE-8: a trial may enter the codec that tries."""
    registry = TypeRegistry()
    codec = value_codec(registry)
    sent: list[bytes] = []

    @dataclass
    class Sending:
        a: int

        def __post_init__(self) -> None:
            sent.append(codec.encode([self.a, (1, {2: 3})]))

    registry.register(Sending, "Sending")
    data = codec.encode([Sending(5), (Sending(6),)])
    assert codec.decode(data) == [Sending(5), (Sending(6),)]
    assert codec.decode(sent[0]) == [5, (1, {2: 3})]


# Whatever the process is like, equal values are equal bytes, and the same bytes are read or refused.

OFFSETS = st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(dt.timezone)
ZONES = st.none() | OFFSETS | st.sampled_from([BERLIN, ZoneInfo("UTC")])
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers() | st.integers(-(2**70), 2**70) | st.just(-(10**1000)),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    st.binary(max_size=10),
    st.dates(),
    st.timedeltas(),
    st.decimals() | st.decimals(allow_nan=False).map(lambda number: number.scaleb(30)),
    st.uuids(),
    st.complex_numbers(),
    st.builds(lambda at, fold: at.replace(fold=fold), st.datetimes(timezones=ZONES), st.integers(0, 1)),
    st.times(timezones=ZONES),
    st.sampled_from(list(Odd)),
)
KEYS: st.SearchStrategy[Any] = st.recursive(
    SCALARS.filter(lambda key: not (isinstance(key, Decimal) and key.is_snan())),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3), inner.map(Key)
    ),
    max_leaves=4,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS | KEYS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=4),
        inner.map(Key),
        inner.map(Clumsy),
        st.integers(1, 5).map(Positive),
    ),
    max_leaves=12,
)

CONTEXTS = (
    decimal.Context(prec=1, capitals=0, Emax=1, Emin=-1, clamp=1, rounding=decimal.ROUND_UP, traps=[]),
    decimal.Context(
        prec=3, traps=[decimal.Inexact, decimal.Rounded, decimal.FloatOperation, decimal.Subnormal]
    ),
)


@contextmanager
def elsewhere(context: decimal.Context) -> Iterator[None]:
    """As in a process with other settings for numbers."""
    digits = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        with decimal.localcontext(context):
            yield
    finally:
        sys.set_int_max_str_digits(digits)


def outcome(work: Callable[[], bytes]) -> bytes | None:
    """The bytes, or None for what is refused; anything else is a failure."""
    try:
        return work()
    except SerializationError:
        return None


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(VALUES)
def test_what_is_sent_is_read_under_any_settings_for_numbers(value: Any) -> None:
    """VALUE-8: and gives the same bytes again; or it is refused, and that everywhere."""
    codec = value_codec()
    data = outcome(lambda: codec.encode(value))
    for context in CONTEXTS:
        with elsewhere(context):
            assert outcome(lambda: codec.encode(value)) == data
            if data is not None:
                assert codec.encode(codec.decode(data)) == data


def test_a_set_is_the_same_bytes_in_whatever_order_it_was_made() -> None:
    """VALUE-1: its elements go in the order of their bytes."""
    numbers = [8, 0, 16, 24, -1, 2**40]
    one, other = set(numbers), {*numbers[3:], *numbers[:3]}
    for item in (32, 40, 48):
        other.add(item)
        other.remove(item)
    assert value_codec().encode(one) == value_codec().encode(other)
    body = msgpack.unpackb(value_codec().encode({"b", "a", 300, 2})).data
    assert body == b"\x94" + b"\x02" + b"\xa1a" + b"\xa1b" + b"\xcd\x01\x2c"


READ_AGAIN = """
import json, sys
from casty.errors import SerializationError
from tests.wire.nodes import value_codec
from casty.wire.types import TypeRegistry
import tests.wire.test_readable
codec = value_codec(TypeRegistry(("tests",)))
outcomes = []
for data in json.load(sys.stdin):
    try:
        outcomes.append(codec.encode(codec.decode(bytes.fromhex(data))).hex())
    except SerializationError:
        outcomes.append(None)
json.dump(outcomes, sys.stdout)
"""


def packed(keys: list[object], code: int = p.EXT_SET) -> str:
    codec = value_codec()
    body = b"\xdc" + len(keys).to_bytes(2) + b"".join(map(codec.encode, keys))
    data: bytes = msgpack.packb(msgpack.ExtType(code, body))
    return data.hex()


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_other_processes_read_and_refuse_the_same(seed: str) -> None:
    """VALUE-8: with another seed for hashes, and another limit for the digits of integers."""
    codec = value_codec()
    sent = [codec.encode(value).hex() for value in READABLE if not isinstance(value, memoryview)]
    refused = [
        packed(list(same_hash(65))),
        packed([(number, "a") for number in same_hash(65)]),
        packed([frozenset({number, "a"}) for number in same_hash(65)]),
        packed([(nan(),), (nan(),)]),
        packed([1, True]),
        packed([dt.datetime(2024, 1, 1, tzinfo=BERLIN), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)]),
    ]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONINTMAXSTRDIGITS": "640"}
    done = subprocess.run(
        [sys.executable, "-c", READ_AGAIN],
        input=json.dumps(sent + refused),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == sent + [None] * len(refused)


# Commands, which every member must read alike.


@dataclass
class Versioned:
    a: int
    b: int = 2
    c: list[int] = field(default_factory=list[int])


@dataclass
class Stamped:
    a: int
    at: float = field(default_factory=lambda: 1.0)


def command_codec() -> ValueCodec:
    registry = TypeRegistry()
    registry.trust(Versioned)
    return ValueCodec(CommonTypes(registry), replicated=True)


def record(name: str, **fields: object) -> bytes:
    body = msgpack.packb([f"{__name__}:{name}", fields])
    data: bytes = msgpack.packb(msgpack.ExtType(p.EXT_DATACLASS, body))
    return data


def test_an_unknown_field_in_a_command_is_refused_and_both_shapes_are_named() -> None:
    """COMMIT-6: else those who know it and those who do not would differ for good."""
    shapes = (
        r"Versioned has the fields 'a', 'new' there, and 'a', 'b', 'c' on this node, which does not know 'new'"
    )
    with pytest.raises(SerializationError, match=shapes):
        command_codec().decode(record("Versioned", a=1, new=2))
    with pytest.raises(SerializationError, match="does not know 'new'"):
        command_codec().decode(b"\x91" + record("Versioned", a=1, b=2, c=[], new=2))


def test_a_missing_field_in_a_command_takes_a_default_that_is_one_constant() -> None:
    """COMMIT-6: the same on every member that knows the field, now and whenever the log is read again."""
    assert command_codec().decode(record("Versioned", a=1)) == Versioned(1, 2, [])
    assert command_codec().decode(record("Stamped", a=1, at=5.0)) == Stamped(1, 5.0)
    with pytest.raises(
        SerializationError,
        match=r"has the fields 'a' there, and 'a', 'at' on this node, which makes a new default",
    ):
        command_codec().decode(record("Stamped", a=1))
    with pytest.raises(SerializationError, match="lacks its field 'a', which has no default"):
        command_codec().decode(record("Versioned", b=1))


def test_messages_may_be_of_another_version() -> None:
    """VALUE-3: there, nothing has to stay alike."""
    codec = value_codec(TypeRegistry(("tests",)))
    assert codec.decode(record("Versioned", a=1, new=2)) == Versioned(1)
    assert codec.decode(record("Stamped", a=1)) == Stamped(1, 1.0)


@pytest.mark.parametrize("moment", [dt.datetime(2024, 1, 1, tzinfo=BERLIN), dt.time(1, tzinfo=BERLIN)])
def test_a_command_holds_no_zone_by_its_name(moment: object) -> None:
    """COMMIT-6: who has not that zone could not read it, who has an older table would read another time."""
    codec = command_codec()
    with pytest.raises(
        SerializationError, match=r"list\[0\]: .* is in the zone Europe/Berlin, which is what each"
    ):
        codec.encode([moment])
    assert codec.decode(value_codec().encode(moment)) == moment  # what is in a log is read if it can be
    fixed = dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert codec.decode(codec.encode(fixed)) == fixed
