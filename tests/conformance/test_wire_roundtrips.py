"""What is written is what is read, in value and in kind (VALUE-1), and in the shortest form (PAYLOAD-7)."""

from __future__ import annotations

import datetime
import zoneinfo
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conformance.wire.extension import built, lowered
from conformance.wire.frame import Frame
from conformance.wire.message import (
    Configuration,
    Message,
    PayloadError,
    Server,
    check,
    decode,
    decode_configuration,
    encode,
    encode_configuration,
    message,
)
from conformance.wire.packing import Ext, Pairs, Raw
from conformance.wire.problem import Misfit
from conformance.wire.value import Dataclass, DateTime, EnumMember, Ref, Time, pack
from tests.conformance.golden import exact, exact_fields
from tests.conformance.strategies import IDS, MEMBERS, TEXTS, VALUES, messages

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | TEXTS
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(TEXTS | st.integers(0, 9), inner, max_size=20),
    max_leaves=30,
)


def through_the_wire(value: Any) -> Any:
    return decode(encode(message("ACTOR_MSG", "echo", message=value)))["message"]


@given(VALUES)
@example({None: 1, True: 2, "": 3, b"": 4, (1,): 5})
@example({frozenset({1.5, (2,)}), Dataclass("a:B", {"x": ()})})
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert exact(through_the_wire(value)) == exact(value)


@given(messages())
def test_a_message_comes_back_as_it_was(sent: Message) -> None:
    frame = encode(sent)
    assert check(frame, first=sent.kind == "PEER_LIST.hello") == []
    got = decode(frame)
    assert (got.kind, got.name) == (sent.kind, sent.name)
    if sent.kind == "ACTOR_MSG":
        assert exact(got["message"]) == exact(sent["message"])
    else:
        assert exact_fields(got) == exact_fields(sent)
    assert encode(got) == frame


@given(PLAIN)
def test_plain_values_are_packed_as_others_pack_them(value: Any) -> None:
    """The shortest formats are msgpack's own."""
    assert pack(value) == msgpack.packb(value)


@given(IDS, MEMBERS)
def test_a_configuration_comes_back_as_it_was(cluster_id: bytes, members: tuple[Server, ...]) -> None:
    assert decode_configuration(encode_configuration(cluster_id, members)) == Configuration(cluster_id, members)


def test_a_configuration_that_is_none_is_refused() -> None:
    members = [Server("n2", bytes(16)), Server("n1", bytes(16))]
    with pytest.raises(PayloadError, match=r"configuration\.members\[1\]\.node_id: expected .*'n2'.* got 'n1'"):
        decode_configuration(encode_configuration(bytes(16), members))
    with pytest.raises(PayloadError, match="the end"):
        decode_configuration(encode_configuration(bytes(16), members)[:-1])


def test_python_times_go_out_and_come_back_as_their_texts() -> None:
    """So that no table of time zones is asked."""
    zone = type("Zone", (datetime.tzinfo,), {"key": "Europe/Berlin"})()
    at = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=1)
    assert through_the_wire(at) == DateTime("2024-10-27T02:30:00.000000", 1, "Europe/Berlin")
    offset = datetime.timezone(datetime.timedelta(minutes=-90))
    assert through_the_wire(datetime.time(1, tzinfo=offset)) == Time("01:00:00.000000-01:30")


@pytest.mark.parametrize("value", [object(), {"a": [object]}, zoneinfo, {1: {2: range(3)}}])
def test_what_is_no_value_is_not_packed(value: Any) -> None:
    with pytest.raises(TypeError, match="is no kind of value that messages hold"):
        pack(value)


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}])
def test_half_a_pair_is_not_packed(value: Any) -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        pack(value)


def test_wrong_messages_can_be_built() -> None:
    """Missing, mistyped and unknown fields, repeated keys, any bytes: what a peer may do to a node."""
    assert encode(message("PING", "n1", pong=None)) == Frame(17, b"n1", bytes.fromhex("81a4706f6e67c0"))
    assert encode(message("PING", "", more=1, id=2)).payload == bytes.fromhex("82a2696402a46d6f726501")
    assert encode(message("PING", "", id=Raw(b"\xc1"))).payload == bytes.fromhex("81a26964c1")
    assert pack(Pairs([(1, 2), (1, 3)])) == bytes.fromhex("8201020103")
    assert pack([Ext(99, b"?"), Ext(3, [Raw(b"\xcc\x01")])]) == bytes.fromhex("92d4633fc7030391cc01")
    members = (Server("b", b""), "no server", Server("a", bytes(16)))
    assert encode(message("VOTE_REQUEST", "n1", members=members)).payload.endswith(
        bytes.fromhex("93 92a162c400") + pack("no server") + bytes.fromhex("92a161c410") + bytes(16)
    )


def test_nesting_costs_no_stack_in_writing() -> None:
    """What is far too deep for a receiver can be built to see what it does."""
    value: Any = 1
    for _ in range(5_000):
        value = [Ext(3, value)]
    assert pack(value).startswith(b"\x91\xc8")


@given(st.integers(-20, 140), VALUES | st.binary(max_size=20))
def test_any_body_of_any_code_is_built_or_refused(code: int, body: Any) -> None:
    """And what is built is written as that body again."""
    try:
        value = built(code, body)
    except Misfit:
        return
    assert exact(lowered(value)) == exact(Ext(code, body))


@pytest.mark.parametrize(
    "key",
    [Dataclass("a:B", {"x": 1}), EnumMember("a:C", (1,)), Ref("n1", "x"), Decimal("1E+3"), 2**64, (1, b"")],
)
def test_what_cannot_change_may_be_a_key(key: Any) -> None:
    assert through_the_wire({key: True}) == {key: True}


@pytest.mark.parametrize("key", [[], {}, ([],), Dataclass("a:B", {"x": {}}), Ext(4, [])])
def test_what_can_change_may_not_be_a_key(key: Any) -> None:
    """VALUE-1: no list, map or set, nor what contains one."""
    with pytest.raises(PayloadError, match="a key that is no list, map or set, and holds none") as caught:
        through_the_wire(Pairs([(key, True)]))
    assert (caught.value.rule, caught.value.path) == ("VALUE-1", "message.(key 0)")
