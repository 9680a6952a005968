"""The suite's codec reads every golden vector as it says; so does the library's; they share nothing else."""

from __future__ import annotations

import pytest

from conformance._protocol import ASK_HANDLED, ERROR_CLOSES
from conformance.wire.describe import hexdump, summary, tree
from conformance.wire.frame import FrameError
from conformance.wire.message import PayloadError, check, decode, encode
from tests.conformance.golden import (
    INVALID,
    VALID,
    Vector,
    exact,
    exact_fields,
    frame_of,
    from_json,
    id_of,
    known_fields,
    wire_of,
)

FOR_CLASSES = {
    "BAD-VALUE-ENUM-AS-DATACLASS",
    "BAD-VALUE-DATACLASS-AS-ENUM",
    "BAD-VALUE-ENUM-VALUE",
    "BAD-VALUE-MISSING-FIELD",
    "BAD-VALUE-POST-INIT",
}
"""Values that are wrong only beside the classes they name, and the suite's codec has none."""
FOR_ZONES = {"BAD-VALUE-DATETIME-NOWHERE"}
"""Whether there is such a zone, a table of zones says."""
FOR_TYPES = {"BAD-VALUE-MESSAGE-UNKNOWN"} | {v["id"] for v in INVALID if v["error"] == ["UNKNOWN_TYPE"]}
"""Nor does it admit types."""
BEYOND_A_CODEC = FOR_CLASSES | FOR_ZONES | FOR_TYPES

STAGES = {"frame": "frame", "msgpack": "msgpack", "schema": "schema", "semantic": "value"}


def is_first(vector: Vector) -> bool:
    return vector.get("form") == "hello"


def test_there_are_vectors() -> None:
    """An empty folder would pass every other test."""
    assert len(VALID) > 200
    assert len(INVALID) > 600


@pytest.mark.parametrize("vector", VALID, ids=id_of)
def test_a_valid_vector_means_what_its_json_says(vector: Vector) -> None:
    frame = frame_of(vector)
    assert frame is not None
    assert frame.encode() == wire_of(vector)
    message = decode(frame, first=is_first(vector))
    assert (frame.type, message.name) == (vector["frame"]["type"], vector["frame"]["name"])
    payload = vector["frame"]["payload"]
    if message.kind == "HEARTBEAT":
        assert message["payload"] == frame.payload
    elif isinstance(payload, dict) and "$msgpack" in payload:
        assert (encode(message).payload == bytes.fromhex(payload["$msgpack"])) is vector["canonical"]
    elif message.kind == "ACTOR_MSG":
        assert exact(message["message"]) == exact(from_json(payload))
    else:
        expected = known_fields(message, from_json(payload))
        assert exact_fields(message) == {name: exact(value) for name, value in expected.items()}


@pytest.mark.parametrize("vector", [v for v in VALID if v["canonical"]], ids=id_of)
def test_a_canonical_vector_is_written_byte_by_byte(vector: Vector) -> None:
    frame = frame_of(vector)
    assert frame is not None
    assert encode(decode(frame, first=is_first(vector))) == frame


@pytest.mark.parametrize("vector", VALID, ids=id_of)
def test_nothing_is_wrong_with_a_valid_vector(vector: Vector) -> None:
    frame = frame_of(vector)
    assert frame is not None
    assert check(frame, first=is_first(vector)) == []
    message = decode(frame, first=is_first(vector))
    assert "\n" not in summary(message)
    assert [line.path for line in tree(frame)[:2]] == ["type", "name_length"]


@pytest.mark.parametrize("vector", [v for v in INVALID if v["id"] not in BEYOND_A_CODEC], ids=id_of)
def test_an_invalid_vector_fails_at_its_stage_with_its_code(vector: Vector) -> None:
    stage, code = mistake(vector)
    assert stage == STAGES[vector["stage"]]
    assert not vector["error"] or code in vector["error"]  # none where nothing is answered
    closes = code is None or ERROR_CLOSES.get(code, code not in ASK_HANDLED) or is_first(vector)
    assert vector["connection"] == ("close" if closes else "keep")


def mistake(vector: Vector) -> tuple[str, str | None]:
    """Where it shows and with what code; none where the stream just ends."""
    try:
        frame = frame_of(vector)
        if frame is None:
            return "frame", None
        decode(frame, first=is_first(vector))
    except FrameError as error:
        return "frame", error.code
    except PayloadError as error:
        shown = hexdump(wire_of(vector), error.start, error.end, error.path)
        return error.stage, error.code if "^" in shown else "no carets"
    pytest.fail("it is read as if nothing were wrong with it")


@pytest.mark.parametrize("vector", [v for v in INVALID if v["id"] in BEYOND_A_CODEC], ids=id_of)
def test_what_only_a_class_or_a_table_of_zones_could_tell_is_read(vector: Vector) -> None:
    """They name types: the codec says which and constructs none (VALUE-2), so nothing is lost in reading."""
    frame = frame_of(vector)
    assert frame is not None
    assert encode(decode(frame, first=False)) == frame
