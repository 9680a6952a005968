"""What a peer may send to hurt: it costs little and hangs nothing (PAYLOAD-6, VALUE-4; X-02 … X-04)."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from casty.errors import ProtocolError, SerializationError
from casty.wire import _protocol as p
from casty.wire.frames import Frame
from casty.wire.messages import Undecodable
from casty.wire.nesting import NestingError, TimestampError, check_value
from tests.wire.nodes import new_node, value_codec
from tests.wire.orders import orders_registry

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = sorted(set(p.TYPE_NAMES) - {p.HEARTBEAT})

BOMBS = {
    "arrays": b"\x91" * 10_000 + b"\xc0",
    "maps": b"\x81\x01" * 10_000 + b"\xc0",
    "array32": b"\xdd\xff\xff\xff\xff",
    "array32 that could be": b"\xdd\x00\x00\xff\x00" + bytes(1000),
    "array32 in array32": b"\xdd\x00\x00\x27\x10" * 200 + bytes(9_000),
    "array16 in array16": b"\xdc\xff\xff" * 10_000 + bytes(40_000),
    "map32": b"\xdf\xff\xff\xff\xff",
    "map32 in map32": b"\xdf\x00\x00\x10\x00\x01" * 200 + bytes(9_000),
    "str32": b"\xdb\xff\xff\xff\xff",
    "bin32": b"\xc6\xff\xff\xff\xff",
    "ext32": b"\xc9\xff\xff\xff\xff\x03",
    "ext in ext": b"\xc9\x00\x00\xff\x00\x03\x91" * 5_000,
}


def peak_of(work: Callable[[], object]) -> int:
    """How many bytes were in use at once, beyond those from before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_no_payload_makes_room_for_more_than_it_holds(bomb: bytes) -> None:
    """PAYLOAD-6: refused, for every type of frame, at the price of a few times its own bytes."""
    node = new_node()

    def refuse() -> None:
        for kind in KINDS:
            with pytest.raises(ProtocolError):
                node.messages.decode(Frame(kind, "n1", bomb))
        with pytest.raises(ProtocolError):
            node.messages.decode_hello(Frame(p.PEER_LIST, "n1", bomb))

    assert peak_of(refuse) < 500_000 + 10 * len(bomb)


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_no_body_of_an_extension_value_does(bomb: bytes) -> None:
    """PAYLOAD-6, VALUE-4: nor can it hide in one."""
    codec = value_codec()
    data = msgpack.packb(msgpack.ExtType(p.EXT_TUPLE, bomb))

    def refuse() -> None:
        with pytest.raises(SerializationError):
            codec.decode(data)

    assert peak_of(refuse) < 500_000 + 10 * len(bomb)


@pytest.mark.parametrize("levels", [128, 129, 5_000])
def test_extension_values_in_each_other_do_not_exhaust_the_stack(levels: int) -> None:
    """PAYLOAD-6: a tuple is two levels, so 128 of them are the end."""
    data = b"\xc0"
    for _ in range(levels):
        body = b"\x91" + data
        data = b"\xc9" + len(body).to_bytes(4) + b"\x03" + body
    codec = value_codec()
    if levels == 128:
        assert codec.encode(codec.decode(data)) is not None
    else:
        with pytest.raises(SerializationError, match="nested deeper than 256 levels"):
            codec.decode(data)


@pytest.mark.parametrize(
    "timestamp",
    [
        b"\xd6\xff" + bytes(4),
        b"\xd7\xff" + bytes(8),
        b"\xc7\x0c\xff" + bytes(12),
        b"\xc8\x00\x04\xff" + bytes(4),
        b"\xc9\x00\x00\x00\x08\xff" + bytes(8),
        b"\xd4\xff\x00",
    ],
)
@pytest.mark.parametrize(
    "around", [b"%b", b"\x91%b", b"\x93\xff\xff%b", b"\xdc\x00\x15" + b"\xff" * 20 + b"%b"]
)
def test_a_timestamp_is_found_wherever_it_hides(timestamp: bytes, around: bytes) -> None:
    """VALUE-4, X-04: code -1 is not in the table, in none of its formats."""
    with pytest.raises(TimestampError):
        check_value(around % timestamp)
    with pytest.raises(SerializationError):
        value_codec().decode(around % timestamp)


def test_bytes_that_look_like_a_timestamp_are_none() -> None:
    """VALUE-4: what stands in a bin or str is content."""
    for value in (
        b"\xd6\xff\x00\x00\x00\x00",
        [b"\xff" * 100, -1],
        {"a": b"\xc7\x0c\xff" + bytes(12)},
        [-1] * 100,
    ):
        assert value_codec().decode(msgpack.packb(value)) == value


def test_the_walk_through_the_bytes_counts_levels_as_the_specification_does() -> None:
    """PAYLOAD-6: arrays, maps and extension values, each one; bins of any content, none."""
    blob = b"\x91" * 1000
    values: list[object] = [
        blob,
        [blob, blob],
        {1: blob},
        [[]] * 300,
        [{} for _ in range(300)],
        ["x" * 70_000, blob],
    ]
    for value in values:
        check_value(msgpack.packb(value))
    check_value(msgpack.packb([msgpack.ExtType(p.EXT_UUID, blob), msgpack.ExtType(99, blob)]))
    with pytest.raises(NestingError):
        check_value(msgpack.packb([msgpack.ExtType(p.EXT_TUPLE, blob)]))
    for depth, fits in ((256, True), (257, False)):
        nested = b"\xdf\x00\x00\x00\x01\x01\xdc\x00\x01" * (depth // 2) + (
            b"\x91\x01" if depth % 2 else b"\x01"
        )
        if fits:
            check_value(nested)
        else:
            with pytest.raises(NestingError):
                check_value(nested)


def test_what_ends_too_early_is_left_to_the_decoder() -> None:
    """PAYLOAD-6: the walk raises nothing of its own."""
    for data in (b"\x91" * 200 + b"\x92" * 200, b"\x90" * 300, b"\xd6\xff" * 200 + b"\xdc"):
        try:
            check_value(data[:-1])
        except ValueError:
            pass


def test_an_unknown_type_costs_no_more_than_its_bytes() -> None:
    """VALUE-2: names from the network are not remembered."""
    codec = value_codec(orders_registry())

    def refuse() -> None:
        for number in range(2000):
            body = msgpack.packb([f"shop.orders:Refund{number}", {}])
            with pytest.raises(SerializationError):
                codec.decode(msgpack.packb(msgpack.ExtType(p.EXT_DATACLASS, body)))

    refuse()
    tracemalloc.start()
    refuse()
    gc.collect()  # errors and their tracebacks refer to each other
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 50_000


def same_hash(count: int) -> list[int]:
    """Integers beyond msgpack's own, which Python all hashes to 0."""
    return [number * (2**61 - 1) for number in range(10, 10 + count)]


@pytest.mark.parametrize("code", [p.EXT_BIGINT, p.EXT_UUID], ids=["bigint", "uuid"])
def test_keys_chosen_to_collide_do_not_hang_the_decoder(code: int) -> None:
    """MSG-6: thirty thousand keys of one hash would be compared with each other, half a billion times."""
    numbers = same_hash(30_000)
    lengths = [16 if code == p.EXT_UUID else number.bit_length() // 8 + 1 for number in numbers]
    keys = [
        msgpack.ExtType(code, number.to_bytes(length)) for number, length in zip(numbers, lengths, strict=True)
    ]
    codec = value_codec()
    for value in (
        dict.fromkeys(keys),
        [dict.fromkeys(keys)],
        msgpack.ExtType(p.EXT_SET, msgpack.packb(keys)),
        msgpack.ExtType(p.EXT_FROZENSET, msgpack.packb(keys)),
    ):
        with pytest.raises(SerializationError, match="share a hash"):
            codec.decode(msgpack.packb(value))


def test_large_maps_and_sets_of_ordinary_keys_are_read() -> None:
    """VALUE-1: the guard against collisions sees none."""
    for value in (
        dict.fromkeys(range(-5_000, 20_000)),
        {number * 2.5: [str(number)] for number in range(5_000)},
        {(number, str(number)) for number in range(5_000)},
        frozenset(str(number) for number in range(5_000)),
    ):
        codec = value_codec()
        assert codec.decode(codec.encode(value)) == value


def test_large_payloads_are_read_in_time_that_grows_with_them() -> None:
    """MSG-6: nothing is quadratic: ten times the bytes take about ten times the steps, not a hundred."""
    codec = value_codec()

    def steps(value: object) -> int:
        """Lines run and functions called to decode it."""
        data = codec.encode(value)
        count = 0

        def step(frame: object, event: str, argument: object) -> Any:
            nonlocal count
            count += 1
            return step

        before = sys.gettrace()
        sys.settrace(step)
        try:
            codec.decode(data)
        finally:
            sys.settrace(before)
        return count

    for value in (["x" * 20, {"a": [1, 2.5, None]}], [(1, -1)], [b"\xff" * 50]):
        assert steps(value * 3000) < 20 * steps(value * 300)


def test_a_payload_of_a_thousand_faults_is_one_error() -> None:
    """ERROR-1: the first is named, in a line."""
    rows = [{"term": -1, "kind": "x" * 1000, "data": "y" * 1000}] * 1000
    fields = {"term": 5, "seq": 1, "prev_log_index": 0, "prev_log_term": 0, "entries": rows, "leader_commit": 0}
    with pytest.raises(ProtocolError, match=r"entries\[0\]\.term is -1") as caught:
        new_node().messages.decode(Frame(p.APPEND_ENTRIES_REQ, "n1", msgpack.packb(fields)))
    assert len(str(caught.value)) < 200


def test_an_ask_that_hides_a_bomb_is_refused_as_a_frame_or_answered() -> None:
    """MSG-3, PAYLOAD-6: its id is known as long as the frame is one value."""
    node = new_node()
    for bomb in BOMBS.values():
        with pytest.raises(ProtocolError):
            node.messages.decode(Frame(p.ASK_REQ, "a", b"\x82\xa2id\x07\xa7message" + bomb))
        hidden = msgpack.packb({"id": 7, "message": msgpack.ExtType(p.EXT_TUPLE, bomb)})
        outcome: object
        try:
            outcome = node.messages.decode(Frame(p.ASK_REQ, "a", hidden))
        except ProtocolError as fault:
            outcome = fault.rule
        assert outcome == "PAYLOAD-6" or isinstance(getattr(outcome, "message", None), Undecodable)
