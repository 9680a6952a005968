"""Frames to JSON and back: the golden vectors both ways, and what is said of JSON that stands for none."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from conformance.wire.message import check
from tests.wire_dump.samples import vectors, wire_of
from wire_dump.cli import main
from wire_dump.events import Seen
from wire_dump.input import Input, Kind
from wire_dump.jsonform import FormError, frame_object, frame_of
from wire_dump.sources import source_of

VALID = vectors("valid")
CANONICAL = [id for id, vector in VALID.items() if vector.get("canonical") and len(wire_of(vector)) < 1 << 20]


def only_frame(wire: bytes) -> Any:
    [event] = source_of(Input(io.BytesIO(wire)), kind=Kind.RAW).events
    assert isinstance(event, Seen)
    return event.frame


@pytest.mark.parametrize("id", CANONICAL)
def test_every_canonical_vector_comes_back_from_json_byte_for_byte(id: str) -> None:
    """All types, all extension values; and the JSON is the vectors' own form."""
    wire = wire_of(VALID[id])
    found = frame_object(only_frame(wire))
    assert frame_of(json.loads(json.dumps(found))).encode() == wire
    written = VALID[id]["frame"]
    if "$msgpack" not in json.dumps(written["payload"]):
        assert found["payload"] == written["payload"]


def test_every_type_is_among_them() -> None:
    """Both ways for every type."""
    kinds = {VALID[id]["frame"]["type"] for id in CANONICAL}
    assert kinds >= set(range(1, 20)) - {9, 10, 11}


@pytest.mark.parametrize("id", vectors("invalid"))
def test_what_is_invalid_keeps_its_mistake_or_its_bytes(id: str) -> None:
    """A payload that is no msgpack goes as its bytes; one that is keeps what is wrong with it."""
    wire = wire_of(vectors("invalid")[id])
    found = [
        event for event in source_of(Input(io.BytesIO(wire)), kind=Kind.RAW).events if isinstance(event, Seen)
    ]
    for event in found:
        again = frame_of(json.loads(json.dumps(frame_object(event.frame))))
        assert bool(check(again)) == bool(check(event.frame))


WRONGS = {
    "[]": "a frame is an object",
    '{"type": "VOTE"}': "type: expected one of",
    '{"type": 256}': "type: expected one of",
    '{"type": true}': "type: expected one of",
    '{"type": 1, "name": 5}': "name: expected a string",
    '{"type": 1, "name": {"$bin": 5}}': "name.$bin: expected hex digits",
    '{"type": 1, "payload": {"$bin": "abc"}}': "payload.$bin: expected hex digits",
    '{"type": 1, "payload": {"a": [{"$int": "1.5"}]}}': "payload.a[0].$int: expected an integer in a string",
    '{"type": 1, "payload": {"$f64": "abc"}}': "payload.$f64: expected a float",
    '{"type": 1, "payload": {"$map": [[1]]}}': "payload.$map[0]: expected [key, value]",
    '{"type": 1, "payload": {"$ext": {"code": 300, "body": 1}}}': "payload.$ext: expected {code: -128 to 127",
    '{"type": 1, "payload": {"$what": 1}}': "payload.$what: expected one of $bin",
    '{"type": 1, "payload": 18446744073709551616}': "payload: expected an integer from -2^63",
    '{"type": 1, "payload": "\\ud800"}': "payload: expected text that UTF-8 can hold",
    '{"type": 1, "name": "\\ud800"}': "name: expected text that UTF-8 can hold",
}


@pytest.mark.parametrize("text", WRONGS)
def test_json_that_stands_for_no_frame_is_named_with_its_path(text: str) -> None:
    """And with what was expected."""
    with pytest.raises(FormError) as error:
        frame_of(json.loads(text))
    assert WRONGS[text] in str(error.value)


def test_a_name_too_long_is_refused() -> None:
    """The layout has 16 bits for it."""
    with pytest.raises(FormError, match="65,535"):
        frame_of({"type": 1, "name": "x" * 65_536})


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


VOTE = '{"type": "VR", "name": "n1", "payload": {}}'


def test_encode_writes_hex_and_names_the_rules_that_a_frame_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    """It writes the frame all the same: tests need frames that are wrong."""
    whole = '{"type": "PING", "name": "", "payload": {"id": 0, "pong": false}}'
    assert run("encode", whole, capsys=capsys) == (0, "1100000000000b82a2696400a4706f6e67c2\n", "")
    status, out, err = run("encode", whole.replace("false", "0"), capsys=capsys)
    assert (status, out) == (1, "1100000000000b82a2696400a4706f6e6700\n")
    assert "PING.pong: expected true or false, got 0" in err
    status, out, err = run("encode", '{"type": PING}', capsys=capsys)
    assert (status, out) == (64, "")
    assert err.splitlines()[-1].endswith("^") and "column 10" in err
    assert run("encode", "[" * 100_000, capsys=capsys)[0] == 64


def test_decode_says_with_its_status_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    """0 for frames, 1 for one that breaks a rule, 2 for bytes that are none."""
    status, out, _ = run("decode", "11 00 00", "00 00 00 0b82a2696400a4706f6e67c2", capsys=capsys)
    assert status == 0
    assert "pong = false" in out
    assert run("decode", "1100000000000b82a2696400a4706f6e67c0", capsys=capsys)[0] == 1
    assert run("decode", "110000", capsys=capsys)[0] == 2
    status, out, _ = run("decode", "11000000 0g", capsys=capsys)
    assert status == 2
    assert "'0g' in line 1, column 10" in out
