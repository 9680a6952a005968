"""The dictionary by itself: the same commands give the same state, everywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from casty.kv import BadRequestError, KeyValue, checked
from tests.wire.nodes import value_codec
from tests.wire.vectors import SPEC, Vector, id_of, plain


def test_only_the_fields_of_an_op_are_kept() -> None:
    """KV-1: whatever else a request holds is not replicated."""
    request: dict[str, Any] = {"op": "get", "key": "k", "value": 1, "more": []}
    assert checked(request) == {"op": "get", "key": "k"}
    for value in (None, True, -(1 << 63), (1 << 64) - 1, 1.5, "", b"x"):
        assert checked({"op": "put", "key": "", "value": value})["value"] is value


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (1, "a request is a map with an op, not int"),
        ({"op": 1}, "not 1"),
        ({"op": ["put"]}, "op must be one of"),
        ({"op": "cas", "key": "k"}, "cas needs expect and value"),
        ({"op": "cas", "key": "k", "expect": {}, "value": 1}, "expect must be nil, bool"),
        ({"op": "put", "key": b"k", "value": 1}, "a key is a str, not bytes"),
        ({"op": "put", "key": "k", "value": 1 << 64}, "does not fit 64 bits"),
        ({"op": "incr", "key": "k", "value": -(1 << 63) - 1}, "does not fit 64 bits"),
        (
            {"op": "put", "key": "k", "value": -(10**5000)},
            "value is a large integer, which does not fit 64 bits",
        ),
        ({"op": 10**5000}, "op must be one of put, get, cas, incr, append, delete, not a large integer"),
        ({"op": [10**5000]}, "not an array of 1"),
        ({"op": "put", "key": "k", "value": float("nan")}, "value is NaN, which is no value here"),
    ],
)
def test_a_request_that_makes_no_sense_says_why(request_: object, words: str) -> None:
    """KV-2."""
    with pytest.raises(BadRequestError, match=words):
        checked(request_)


def _apply(state: KeyValue, op: str, key: str = "k", **fields: Any) -> Any:
    return state.apply({"op": op, "key": key, **fields})


@pytest.mark.parametrize(
    ("before", "op", "value", "words"),
    [
        ("text", "incr", 1, "incr needs a number, but the value is a str"),
        (True, "incr", 1, "the value is a bool"),
        (1, "incr", "1", "incr adds a number, not a str"),
        (1, "incr", True, "not a bool"),
        ((1 << 64) - 1, "incr", 1, "the sum 18446744073709551616 does not fit"),
        (float("inf"), "incr", float("-inf"), "inf and -inf have no sum"),
        (1, "append", "x", "append joins str to str, not str to int"),
        ("x", "append", 1, "not int to str"),
        (b"x", "append", "x", "to bytes"),
    ],
)
def test_what_the_state_does_not_allow_changes_nothing(before: Any, op: str, value: Any, words: str) -> None:
    """KV-2: refused by every node alike."""
    state = KeyValue()
    _apply(state, "put", value=before)
    digest = state.digest()
    with pytest.raises(BadRequestError, match=words):
        _apply(state, op, value=value)
    assert state.digest() == digest
    assert state.get("k") == before


def test_equal_means_of_the_same_kind() -> None:
    """spec/launch.md: a cas that expects 1 does not take True for it."""
    state = KeyValue()
    _apply(state, "put", value=1)
    assert not _apply(state, "cas", expect=True, value="no")
    assert not _apply(state, "cas", expect=1.0, value="no")
    assert _apply(state, "cas", expect=1, value=None)
    assert _apply(state, "cas", expect=None, value=2)
    assert not _apply(state, "cas", "absent", expect=0, value="no")
    assert _apply(state, "cas", "absent", expect=None, value="yes")
    assert len(state) == 2


def test_snapshot_and_digest_depend_on_the_state_alone() -> None:
    """KV-3: not on the order in which it came to be."""
    one, two = KeyValue(), KeyValue()
    for key in ("a", "b"):
        _apply(one, "put", key, value=key)
    for key in ("b", "a", "c"):
        _apply(two, "put", key, value=key)
    assert one.digest() != two.digest()
    assert _apply(two, "delete", "c")
    assert one.snapshot() == two.snapshot()
    three = KeyValue()
    _apply(three, "put", "old", value=1)
    three.restore(one.snapshot())
    assert three.digest() == one.digest()
    assert three.get("old") is None


def test_an_unknown_op_in_the_log_is_refused() -> None:
    """KV-2: a later version may have more of them."""
    with pytest.raises(BadRequestError, match="unknown op 'fly'"):
        _apply(KeyValue(), "fly")


def test_sums_that_floats_cannot_hold_are_refused() -> None:
    """KV-2: an integer too large for a float and a float have no sum."""
    state = KeyValue()
    _apply(state, "put", value=1.5)
    assert _apply(state, "incr", value=1) == 2.5
    assert _apply(state, "incr", "none", value=2) == 2


VECTORS: list[Vector] = json.loads((SPEC / "vectors" / "kv.json").read_text())["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=id_of)
def test_every_command_of_the_vectors_gives_its_result(vector: Vector) -> None:
    """KV-4, KV-5, KV-6: read as from the log, with a snapshot restored between any two."""
    state = KeyValue()
    for step in vector["commands"]:
        data = bytes.fromhex(step["data"])
        before = state.snapshot()
        state = KeyValue()
        state.restore(before)
        result = _result(state, value_codec().decode(data))
        expected = ("value", plain(step["value"])) if "value" in step else ("error", step["error"])
        assert repr(result) == repr(expected), step["command"]  # 1 is not True, and -0.0 not 0.0
        if "error" in step:
            assert state.snapshot() == before, step["command"]
    assert (state.snapshot().hex(), state.digest()) == (vector["snapshot"], vector["sha256"])


def _result(state: KeyValue, command: object) -> tuple[str, Any]:
    try:
        return "value", state.apply(checked(command))
    except BadRequestError:
        return "error", "bad_request"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x90\xc0",
        b"\xc0",
        b"\x91\x01",
        b"\x81\xa2ab\x01",
        b"\x91\x91\xa1a",
        b"\x91\x92\x01\x02",
        b"\x91\x92\xa1a\x90",
        b"\x91\x93\xa1a\x01\x02",
        b"\x91\xa2ab",
        b"\x91\x82\xa1a\x01\xa1b\x02",
        b"\x92\x92\xa1b\x01\x92\xa1a\x02",
        b"\x92\x92\xa1a\x01\x92\xa1a\x02",
        b"\x91\x92\xa1a\xcc\x01",
    ],
)
def test_bytes_that_are_no_snapshot_are_refused(data: bytes) -> None:
    """KV-4, KV-5: the machine then ends the node's part in Raft; the state before is kept."""
    state = KeyValue()
    _apply(state, "put", value=1)
    with pytest.raises(ValueError, match=f"{len(data)} bytes are no snapshot"):
        state.restore(data)
    assert state.get("k") == 1
