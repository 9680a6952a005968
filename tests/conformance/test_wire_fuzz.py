"""Whatever arrives, the codec answers with a message or a `PayloadError`, in little stack and memory."""

from __future__ import annotations

import re
import sys
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conformance._protocol import TYPE_NAMES
from conformance.wire.describe import hexdump, summary, tree
from conformance.wire.frame import Frame, FrameError, FrameReader
from conformance.wire.message import PayloadError, check, decode, decode_configuration, encode
from conformance.wire.packed import PackedError, TooDeep, read
from conformance.wire.value import pack
from tests.conformance.golden import INVALID, VALID, wire_of

WIRES = [wire_of(vector) for vector in VALID + INVALID if len(vector["wire"]) < 2_000]
PIECES = st.binary(max_size=60) | st.sampled_from(
    [bytes([first]) for first in range(0x80, 0x100)] + [bytes.fromhex("ddffffffff"), b"\xa2id", b"\xa4term"]
)
PAYLOADS = st.lists(PIECES, max_size=12).map(b"".join)


def answered(frame: Frame, first: bool | None) -> None:
    """Reads a frame in every way there is."""
    problems = check(frame, first=first)
    for problem in problems:
        assert 0 <= problem.start <= problem.end <= frame.size
        assert "^" in hexdump(frame.encode(), problem.start, problem.end, problem.path)
    if problems:
        with pytest.raises(PayloadError, match=re.escape(str(problems[0]))):
            decode(frame, first=first)
    else:
        message = decode(frame, first=first)
        assert summary(message).isprintable()
        assert decode(encode(message), first=first).fields.keys() == message.fields.keys()
    assert all(0 <= line.start <= line.end <= frame.size for line in tree(frame))


@settings(max_examples=400)
@given(
    st.sampled_from([*TYPE_NAMES, 0, 200]),
    st.binary(max_size=8),
    PAYLOADS,
    st.sampled_from([None, False, True]),
)
def test_any_payload_is_answered(type: int, name: bytes, payload: bytes, first: bool | None) -> None:
    answered(Frame(type, name, payload), first)


@settings(max_examples=400)
@given(
    st.sampled_from(WIRES),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=3),
    st.data(),
)
def test_any_change_to_a_vector_is_answered(
    wire: bytes, changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    """A byte here or there, and the end cut off or made longer."""
    changed = bytearray(wire)
    for at, byte in changes:
        changed[at % len(changed)] = byte
    reader = FrameReader()
    reader.feed(bytes(changed))
    try:
        frame = reader.next_frame()
    except FrameError:
        return
    if frame:
        answered(frame, data.draw(st.sampled_from([None, False, True])))


@given(PAYLOADS)
def test_any_configuration_is_answered(data: bytes) -> None:
    try:
        configuration = decode_configuration(data)
    except PayloadError:
        return
    assert configuration.members


@settings(max_examples=1000)
@given(PAYLOADS)
@example(b"\xc1")
@example(b"")
@example(bytes.fromhex("de0001"))
def test_what_is_msgpack_another_reader_says_the_same_of(data: bytes) -> None:
    """Its skip looks at the layout alone, not at UTF-8 or depth."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    try:
        unpacker.skip()
        whole = unpacker.tell() == len(data)
    except (msgpack.OutOfData, msgpack.FormatError, msgpack.StackError):
        whole = False
    assert whole in verdicts(data)


def verdicts(data: bytes) -> tuple[bool, ...]:
    """Whether the layout is one value's; both where it was not read to the end."""
    try:
        read(data)
    except TooDeep:
        return True, False
    except PackedError as error:
        return (True, False) if error.rule == "PAYLOAD-4" else (False,)
    return (True,)


def nested(levels: int) -> Any:
    """A list, a tuple and a map in turn."""
    value: Any = []
    for level in range(levels - 1):
        value = [value] if level % 2 else {"x": value}
    return value


@pytest.mark.parametrize(
    "payload", [pack(nested(256)), b"\x91" * 100_000, b"\x81\xa0" * 100_000, b"\xc7\xff\x03" * 90]
)
def test_nesting_costs_no_stack(payload: bytes) -> None:
    """Of a recursion per level, thirty frames would not be enough."""
    before, depth = sys.getrecursionlimit(), 0
    frame: Any = sys._getframe()
    while frame:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(depth + 30)
    try:
        problems = check(Frame(1, b"echo", payload))
        lines = tree(Frame(1, b"echo", payload))
    finally:
        sys.setrecursionlimit(before)
    assert bool(problems) == (payload[0] != 0x81 or payload[1] == 0xA0)
    assert lines


@pytest.mark.parametrize(
    "payload",
    [
        bytes.fromhex("dd ffffffff"),
        bytes.fromhex("df 7fffffff") + b"\xc0" * 1000,
        b"".join(b"\xdd" + (5 * left).to_bytes(4) for left in range(200, 0, -1)),
        bytes.fromhex("c6 ffffffff"),
        bytes.fromhex("c9 ffffffff 03"),
    ],
)
def test_what_is_announced_takes_no_memory(payload: bytes) -> None:
    """PAYLOAD-6."""
    frame = Frame(1, b"echo", payload)
    tracemalloc.start()
    try:
        [problem] = check(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (problem.rule, problem.code) == ("PAYLOAD-6", "BAD_PAYLOAD")
    assert peak < 500_000


def test_what_is_nested_is_not_copied_at_each_level() -> None:
    """A hundred tuples around a megabyte are no hundred megabytes."""
    value: Any = bytes(1_000_000)
    for _ in range(100):
        value = (value,)
    frame = Frame(1, b"echo", pack(value))
    tracemalloc.start()
    try:
        assert check(frame) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000
