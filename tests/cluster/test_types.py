"""Values between nodes: what they are on arrival, and which types a node admits."""

from __future__ import annotations

import datetime
import decimal
import math
import sys
import uuid
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

import msgpack
import pytest

from casty import Actor, Context, SerializationError, UnknownTypeError
from casty.wire import _protocol as p
from tests.cluster.actors import Add, Color, Counter, Echo, Keeper, Nested, Point, Total, spawned
from tests.cluster.harness import client, pair
from tests.cluster.peers import peer_of


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -(1 << 63),
        (1 << 64) - 1,
        1 << 200,
        -(1 << 200),
        1.5,
        math.inf,
        "é\n\0",
        b"\x00\xff",
        [1, [2, []]],
        {1: "a", (1, 2): "b", "c": {}},
        (1, (2,)),
        {1, 2},
        frozenset({"a"}),
        Color.BLUE,
        Point(1, 2),
        Nested(Point(1), Color.RED, [Point(3)]),
        datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
        datetime.date(2026, 1, 2),
        datetime.time(1, 2, 3, 4),
        datetime.timedelta(days=-1, microseconds=1),
        decimal.Decimal("-12.50"),
        uuid.UUID(int=7),
        complex(1, -2),
    ],
    ids=repr,
)
async def test_every_kind_of_value_comes_back_as_it_was_sent(value: object) -> None:
    """VALUE-1; as command-line users see it: what works in one process works across nodes."""
    async with pair() as (a, b):
        await a.spawn(Echo, name="echo")
        for kind in (Point, Nested, Color):
            a.register_type(kind)
        reply = await (await b.lookup("echo")).ask(value)
        assert reply == value
        assert type(reply) is type(value)


async def test_what_an_actor_accepts_needs_no_registration() -> None:
    """VALUE-2: types of a spawned actor's messages, at any depth, are admitted."""
    async with pair(trusted_modules=()) as (a, b):
        await a.spawn(Counter, name="counter")
        ref = await b.lookup("counter")
        await ref.send(Add(4))
        assert await ref.ask(Total()) == 4


@dataclass(frozen=True)
class Parcel[T]:
    content: T


type Route = dict[str, Point]


class ListTaker(Actor[list[Point]]):
    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        ctx.reply(1)


class ParcelTaker(Actor[Parcel[Point] | int]):
    receive = ListTaker.receive


class RouteTaker(Actor[Route]):
    receive = ListTaker.receive


class QuotedTaker(Actor["list[Point]"]):
    receive = ListTaker.receive


class AnyTaker(Actor[Point | Any]):
    receive = ListTaker.receive


class Taker[T](Actor[tuple[T, ...]]):
    receive = ListTaker.receive


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (ListTaker, [Point(1)]),
        (ParcelTaker, Parcel(Point(1))),
        (RouteTaker, {"a": Point(1)}),
        (QuotedTaker, [Point(1)]),
        (AnyTaker, Point(1)),
        (Taker[Point], (Point(1),)),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
async def test_what_is_in_what_an_actor_accepts_needs_no_registration_either(kind: Any, message: Any) -> None:
    """VALUE-2: the arguments of generics are part of a message type, too."""
    async with pair(trusted_modules=()) as (a, b):
        await a.spawn(kind, name="taker")
        assert await (await b.lookup("taker")).ask(message) == 1


async def test_a_type_that_is_not_admitted_is_refused_by_name_and_nothing_is_imported() -> None:
    """VALUE-2: the ask learns of it at once, the text says how to register the type."""
    async with pair(trusted_modules=()) as (a, b):
        await a.spawn(Echo, name="echo")
        ref = await b.lookup("echo")
        with pytest.raises(UnknownTypeError, match=r"register_type.*\(actor .* on node a, message Point\)"):
            await ref.ask(Point(1))
        a.register_type(Point)
        with pytest.raises(UnknownTypeError, match="the reply of node a"):
            await ref.ask(Point(1))
        b.register_type(Point)
        assert await ref.ask(Point(1)) == Point(1)


async def test_a_name_in_a_message_never_imports_a_module() -> None:
    """VALUE-2: not even of a package that is trusted."""
    async with client(node_id="a", trusted_modules=("tests", "xml")) as a:
        await a.spawn(Echo, name="echo")
        sys.modules.pop("xml.dom.pulldom", None)
        async with peer_of(a) as peer:
            for name in ("xml.dom.pulldom:PullDOM", "subprocess:Popen", "os:system", "a", ":", "a:b:c"):
                body = b"\xc7" + bytes([len(_packed([name, {}])), 1]) + _packed([name, {}])
                payload = b"\x82\xa2id\x01\xa7message" + body
                peer.send(bytes([p.ASK_REQ, 0, 4]) + b"echo" + len(payload).to_bytes(4, "big") + payload)
                answer = await peer.answer(1)
                assert answer.payload["code"] == "UNKNOWN_TYPE", name
        assert "xml.dom.pulldom" not in sys.modules


def _packed(value: object) -> bytes:
    return msgpack.packb(value)


async def test_a_type_can_be_called_otherwise_on_the_wire() -> None:
    """VALUE-2: two versions of a module agree on a name."""
    async with pair() as (a, b):
        elsewhere = ModuleType("elsewhere")
        moved: type = dataclass(frozen=True)(type("Moved", (), {"__annotations__": {"x": int}}))
        moved.__module__, moved.__qualname__ = "elsewhere", "Moved"
        setattr(elsewhere, "Moved", moved)  # noqa: B010
        a.register_type(Point, "shape.Point")
        b.register_type(moved, "shape.Point")
        keeper = await spawned(a, Keeper(), "keeper")
        make = cast("Any", moved)
        await (await b.lookup("keeper")).send(make(x=3))
        assert await keeper.until(1) == [Point(3, 0)]


class Undecided(Actor[str]):
    """Replies with what nobody could read."""

    async def receive(self, msg: str, ctx: Context[str]) -> None:
        ctx.reply({math.nan: 1, float("nan"): 2} if msg == "bad" else msg)


async def test_what_no_node_could_read_fails_where_it_is_sent() -> None:
    """VALUE-8, MSG-8: send and ask raise, a reply fails its ask; nothing is lost without a word."""
    letters: list[Any] = []
    async with pair(on_dead_letter=letters.append) as (a, b):
        await a.spawn(Undecided, name="undecided")
        ref = await b.lookup("undecided")
        bad: Any = [{float("nan"), float("nan")}]
        with pytest.raises(SerializationError, match=r"list\[0\]: two of its 2 keys or elements are equal"):
            await ref.send(bad)
        with pytest.raises(SerializationError, match=r"list\[0\]: two of its 2 keys or elements are equal"):
            await ref.ask(bad)
        with pytest.raises(
            SerializationError,
            match=r"two of its 2 keys or elements are equal \(actor undecided on node a, message str\)",
        ):
            await ref.ask("bad")
        assert await ref.ask("good") == "good"
    assert letters == []
