"""Every golden vector, as a stream of bytes (F-01, F-12 … F-15, M-10): the library reads what the files say."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.handshake import Identity, judge
from casty.errors import ProtocolError, SerializationError, UnknownTypeError
from casty.raft.types import NodeId, StoreId
from casty.wire import _protocol as p
from casty.wire.frames import Frame, FrameDecoder
from casty.wire.messages import (
    ActorMessage,
    AskRequest,
    AskResponse,
    Hello,
    Undecodable,
    WireMessage,
)
from tests.wire.nodes import Node, new_node
from tests.wire.orders import orders_registry
from tests.wire.vectors import INVALID, VALID, Vector, id_of, plain, unpacked, wire_of

ME = Identity(NodeId("me"), StoreId(bytes(16)), bytes(16), "casty", 3, member=True)
"""The receiver of the hellos."""


@pytest.fixture(scope="module")
def node() -> Node:
    return new_node(orders_registry())


def decoder_for(vector: Vector) -> FrameDecoder:
    return FrameDecoder(vector.get("limit", p.FRAME_BYTES_MAX))


def decode(node: Node, vector: Vector, frame: Frame) -> WireMessage:
    return node.messages.decode_hello(frame) if vector.get("form") == "hello" else node.messages.decode(frame)


def encode(node: Node, message: Any, sender: str) -> bytes:
    if type(message).__module__ == "casty.raft.messages":
        return node.messages.encode_raft(sender, message)
    return node.messages.encode(message)


def undecodable(message: WireMessage) -> SerializationError | None:
    """Why the user's value in a message could not be decoded; None if it could."""
    match message:
        case ActorMessage(message=Undecodable(error)) | AskRequest(message=Undecodable(error)):
            return error
        case AskResponse(value=Undecodable(error)):
            return error
        case _:
            return None


@pytest.mark.parametrize("vector", VALID, ids=id_of)
def test_a_valid_vector_is_read_as_its_json_says(vector: Vector, node: Node) -> None:
    """FRAME-1, FRAME-2, FRAME-4: the frame comes out whole, in however many pieces it went in."""
    decoder = decoder_for(vector)
    for chunk in vector.get("chunks", [vector["wire"]]):
        assert decoder.next_frame() is None
        decoder.receive_data(bytes.fromhex(chunk))
    frame = decoder.next_frame()
    assert frame is not None
    assert decoder.next_frame() is None
    said = vector["frame"]
    assert (frame.type, frame.name) == (said["type"], said["name"])
    if "$raw" in (said["payload"] if isinstance(said["payload"], dict) else ()):
        assert frame.payload.hex() == said["payload"]["$raw"]
    else:
        assert repr(unpacked(frame.payload)) == repr(plain(said["payload"]))
    assert undecodable(decode(node, vector, frame)) is None


@pytest.mark.parametrize("vector", [vector for vector in VALID if vector["canonical"]], ids=id_of)
def test_a_canonical_vector_is_written_byte_for_byte(vector: Vector, node: Node) -> None:
    """PAYLOAD-7: the shortest formats, fields in the order of the tables."""
    frame = whole_frame(vector)
    message = decode(node, vector, frame)
    assert encode(node, message, frame.name).hex() == vector["wire"]


@pytest.mark.parametrize(
    "vector",
    # What a heartbeat holds means nothing: it has no other form.
    [each for each in VALID if not each["canonical"] and each["frame"]["type"] != p.HEARTBEAT],
    ids=id_of,
)
def test_a_vector_that_is_not_canonical_means_what_its_canonical_form_means(vector: Vector, node: Node) -> None:
    """PAYLOAD-1, PAYLOAD-3, PAYLOAD-7: formats and order carry no meaning."""
    frame = whole_frame(vector)
    message = decode(node, vector, frame)
    again = encode(node, message, frame.name)
    assert again.hex() != vector["wire"]
    decoder = FrameDecoder()
    decoder.receive_data(again)
    other = decoder.next_frame()
    assert other is not None
    assert decode(node, vector, other) == message


@pytest.mark.parametrize("vector", INVALID, ids=id_of)
def test_an_invalid_vector_fails_at_its_stage_with_one_of_its_codes(vector: Vector, node: Node) -> None:
    """FRAME-3 … FRAME-8, PAYLOAD-1 … PAYLOAD-6, VALUE-2 … VALUE-4: refused, and for the right reason."""
    decoder = decoder_for(vector)
    decoder.receive_data(wire_of(vector))
    if vector["stage"] == "frame" and "UNKNOWN_FRAME_TYPE" not in vector["error"]:
        fails_as_a_frame(vector, decoder)
        return
    frame = decoder.next_frame()
    assert frame is not None
    code = what_is_wrong(node, vector, frame)
    assert code is not None
    assert not vector["error"] or code in vector["error"]  # none where nothing is answered
    closes = p.ERROR_CLOSES.get(code, False) or vector.get("form") == "hello"
    assert closes == (vector["connection"] == "close")


def what_is_wrong(node: Node, vector: Vector, frame: Frame) -> str | None:
    """The code of what is said about the frame, or about the value in it."""
    try:
        message = decode(node, vector, frame)
        error = undecodable(message)
        if isinstance(message, Hello) and (objection := judge(message, ME, None)) is not None:
            return objection.code
    except ProtocolError as fault:
        return fault.code
    if error is None:
        return None
    return "UNKNOWN_TYPE" if isinstance(error, UnknownTypeError) else "BAD_MESSAGE"


def fails_as_a_frame(vector: Vector, decoder: FrameDecoder) -> None:
    assert vector["connection"] == "close"
    if not vector["error"]:
        assert decoder.next_frame() is None
        assert decoder.receive_eof() is not None
        return
    for _ in range(2):
        with pytest.raises(ProtocolError) as caught:
            decoder.next_frame()
        assert caught.value.code in vector["error"]
        assert p.ERROR_CLOSES[caught.value.code]
    assert decoder.receive_eof() is None


def whole_frame(vector: Vector) -> Frame:
    decoder = decoder_for(vector)
    decoder.receive_data(wire_of(vector))
    frame = decoder.next_frame()
    assert frame is not None
    return frame
