"""Messages between nodes but for Raft's: to frames and back (spec PAYLOAD-*, MSG-*, HELLO-*)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack
import pytest

from casty.errors import MessageTooLargeError, ProtocolError, SerializationError, UnknownTypeError
from casty.raft.types import ClusterId, NodeId, StoreId
from casty.wire import VERSION
from casty.wire import _protocol as p
from casty.wire.frames import Frame
from casty.wire.messages import (
    ActorMessage,
    AskRequest,
    AskResponse,
    ErrorFrame,
    Heartbeat,
    Hello,
    LookupRequest,
    LookupResponse,
    MessageCodec,
    NodeMessage,
    Peer,
    Peers,
    Ping,
    Undecodable,
)
from casty.wire.types import TypeRegistry
from tests.wire.nodes import frame_of, new_node, value_codec
from tests.wire.orders import Add, Get

HELLO = Hello(NodeId("n1"), "casty", StoreId(b"s" * 16), b"b" * 16, "raft", "10.0.0.1:8001", 3)

MESSAGES: list[NodeMessage] = [
    Peers(NodeId("n1"), ()),
    Peers(NodeId("n1"), (Peer("n2", "10.0.0.2:8001"), Peer("n3", "[::1]:1"))),
    LookupRequest("counter", 1),
    LookupResponse("counter", 1, found=False),
    LookupResponse("counter", 1, found=True, actor_class="shop:Counter"),
    ActorMessage("counter", Add(2)),
    ActorMessage("counter", None),
    AskRequest("counter", 2**64 - 1, 0, Get()),
    AskRequest("counter", 1, None, [1, {"a": (2,)}]),
    AskResponse(1, 42),
    AskResponse(1, None),
    AskResponse(1, code="ACTOR_FAILED", error_type="ValueError", text="no"),
    AskResponse(1, code="ACTOR_STOPPED"),
    Ping(1, pong=False),
    Ping(1, pong=True),
    ErrorFrame("BAD_PAYLOAD", "PAYLOAD-2", "PING.id is missing"),
    Heartbeat(),
]


def frame(kind: int, payload: object, name: str = "n1") -> Frame:
    return Frame(kind, name, msgpack.packb(payload))


def fault(kind: int, payload: object, name: str = "n1") -> ProtocolError:
    """What is wrong with a frame that is not a connection's first."""
    with pytest.raises(ProtocolError) as caught:
        new_node().messages.decode(frame(kind, payload, name))
    return caught.value


def hello_fault(payload: object, name: str = "n1") -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        new_node().messages.decode_hello(frame(p.PEER_LIST, payload, name))
    return caught.value


def hello_fields(**changes: object) -> dict[str, Any]:
    fields: dict[str, Any] = msgpack.unpackb(frame_of(new_node().messages.encode(HELLO)).payload)
    return fields | changes


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_a_message_comes_back_from_its_frame(message: NodeMessage) -> None:
    """PAYLOAD-7: nothing is lost on the way."""
    codec = new_node().messages
    assert codec.decode(frame_of(codec.encode(message))) == message


@pytest.mark.parametrize(
    "hello",
    [
        HELLO,
        Hello(
            NodeId("a" * 64),
            "",
            StoreId(bytes(16)),
            bytes(16),
            "all",
            "[::]:1",
            0,
            ClusterId(b"c" * 16),
            member=False,
        ),
    ],
    ids=["member", "client"],
)
def test_a_hello_comes_back_from_its_frame(hello: Hello) -> None:
    """HELLO-1, HELLO-5: the frame's name is the node id."""
    codec = new_node().messages
    sent = frame_of(codec.encode(hello))
    assert sent.name == hello.node_id
    assert codec.decode_hello(sent) == hello
    assert hello.version == VERSION


# The first frame.


def test_only_a_hello_may_come_first() -> None:
    """HELLO-1: whatever else it is."""
    codec = new_node().messages
    for message in MESSAGES[2:]:
        with pytest.raises(ProtocolError, match="came before a hello") as caught:
            codec.decode_hello(frame_of(codec.encode(message)))
        assert (caught.value.code, caught.value.rule) == ("HELLO_EXPECTED", "HELLO-1")
    with pytest.raises(ProtocolError, match="frame type 99 came before a hello"):
        codec.decode_hello(Frame(99, "", b"\xc0"))


def test_another_version_is_told_whatever_else_its_hello_holds() -> None:
    """HELLO-4: nobody knows what fields version 2 has."""
    for payload in ({"version": 2}, hello_fields(version=2), {"version": 0, "store_id": None}):
        assert hello_fault(payload).code == "VERSION_MISMATCH"
    others: list[Any] = [{}, {"version": True}, {"version": 1}, {"version": "2"}, [2], None]
    for payload in others:
        assert hello_fault(payload).code == "BAD_PAYLOAD"


@pytest.mark.parametrize("name", ["", "n" * 65, "n 1", "n/1", "../n1", "n1\n", "\0", "é"])
def test_a_hello_needs_a_node_id(name: str) -> None:
    """HELLO-5: 1 to 64 of the characters that are safe everywhere."""
    error = hello_fault(hello_fields(), name)
    assert (error.code, error.rule) == ("BAD_PAYLOAD", "HELLO-5")


def test_a_second_hello_is_no_peer_list() -> None:
    """PEER-1: after the hello, a PEER_LIST holds peers."""
    error = fault(p.PEER_LIST, hello_fields())
    assert (error.code, str(error)) == (
        "BAD_PAYLOAD",
        "PEER_LIST.peers.peers is missing [BAD_PAYLOAD, PAYLOAD-2]",
    )


def test_no_more_peers_are_taken_than_the_limit() -> None:
    """PEER-5: a list of 10,000 does not make a node remember them."""
    codec = new_node().messages
    many = [[f"n{number}", f"h:{number}"] for number in range(10_000)]
    peers = codec.decode(frame(p.PEER_LIST, {"peers": many}))
    assert isinstance(peers, Peers)
    assert peers.peers == tuple(Peer(*peer) for peer in many[:1024])


U64 = "an integer 0 … 18446744073709551615"

# Faults say where, what and what instead.


@pytest.mark.parametrize(
    ("kind", "payload", "text"),
    [
        (p.PING, [7, False], "PING is an array of 2; expected a map of fields [BAD_PAYLOAD, PAYLOAD-1]"),
        (p.PING, {"pong": True}, "PING.id is missing [BAD_PAYLOAD, PAYLOAD-2]"),
        (p.PING, {"id": True, "pong": True}, f"PING.id is true; expected {U64} [BAD_PAYLOAD, PAYLOAD-3]"),
        (p.PING, {"id": 1, "pong": 1}, "PING.pong is 1; expected a bool [BAD_PAYLOAD, PAYLOAD-2]"),
        (p.PING, {"id": 1, "pong": True, 5: 6}, "PING has the key 5; expected strs [BAD_PAYLOAD, PAYLOAD-1]"),
        (
            p.ERROR,
            {"code": b"X", "rule": "", "text": ""},
            "ERROR.code is b'X'; expected a str [BAD_PAYLOAD, PAYLOAD-4]",
        ),
        (
            p.LOOKUP_RES,
            {"id": 1, "found": True, "actor_class": None},
            "LOOKUP_RES.actor_class is nil; expected a str [BAD_PAYLOAD, PAYLOAD-4]",
        ),
        (
            p.PEER_LIST,
            {"peers": [["a", "b"], ["c"]]},
            "PEER_LIST.peers[1] is an array of 1; expected [node_id, address] [BAD_PAYLOAD, PAYLOAD-2]",
        ),
        (p.ASK_RES, {"id": 1}, "ASK_RES must have value or code, and not both [BAD_PAYLOAD, PAYLOAD-2]"),
        (p.ASK_REQ, {"id": 2.0, "message": 1}, f"ASK_REQ.id is 2.0; expected {U64} [BAD_PAYLOAD, PAYLOAD-3]"),
        (p.ASK_REQ, {"id": 2}, "ASK_REQ.message is missing [BAD_PAYLOAD, PAYLOAD-2]"),
        (p.ASK_REQ, [1, 2], "ASK_REQ is an array of 2; expected a map of fields [BAD_PAYLOAD, PAYLOAD-1]"),
        (200, None, "frame type 200 is not in the table [UNKNOWN_FRAME_TYPE, FRAME-6]"),
        (10, None, "frame type 10 is not in the table [UNKNOWN_FRAME_TYPE, FRAME-6]"),
    ],
)
def test_a_fault_names_the_field_its_value_and_what_was_expected(kind: int, payload: object, text: str) -> None:
    """PAYLOAD-1 … PAYLOAD-4, FRAME-6: the text is for the person who wrote the other node."""
    assert str(fault(kind, payload)) == text


@pytest.mark.parametrize(
    ("data", "rule", "text"),
    [
        (b"", "FRAME-5", "PING payload of 0 bytes: it is empty"),
        (b"\xc1", "FRAME-5", "PING payload of 1 bytes: 0xc1 is no msgpack format"),
        (b"\x80\x80", "FRAME-5", "PING payload of 2 bytes: bytes follow the value"),
        (b"\x82\xa2id", "PAYLOAD-6", "PING payload of 4 bytes: it announces more than it holds"),
        (b"\xdf\xff\xff\xff\xff", "PAYLOAD-6", "PING payload of 5 bytes: it announces more than it holds"),
        (b"\x91" * 2000, "PAYLOAD-6", "PING payload of 2,000 bytes: it is nested too deep"),
        (b"\x81\xa1\xff\xc0", "PAYLOAD-4", r"PING payload of 4 bytes: the str b'\xff' is not UTF-8 at byte 0"),
        (b"\x81\x90\xc0", "PAYLOAD-1", "PING payload of 3 bytes: a map has an array or a map for a key"),
    ],
)
def test_bytes_that_are_no_payload_are_told_why(data: bytes, rule: str, text: str) -> None:
    """FRAME-5, PAYLOAD-4, PAYLOAD-6: each with the rule that they break."""
    with pytest.raises(ProtocolError) as caught:
        new_node().messages.decode(Frame(p.PING, "", data))
    assert (caught.value.rule, caught.value.text) == (rule, text)


# Asks whose message cannot be decoded are asks all the same.


def ask_of(data: bytes) -> AskRequest:
    request = new_node().messages.decode(Frame(p.ASK_REQ, "counter", data))
    assert isinstance(request, AskRequest)
    return request


def unknown(name: str = "shop:Refund") -> Any:
    return msgpack.ExtType(p.EXT_DATACLASS, msgpack.packb([name, {}]))


def test_an_ask_of_an_unknown_type_can_be_answered() -> None:
    """VALUE-2, MSG-3: its id and timeout are known, and why its message is not."""
    request = ask_of(msgpack.packb({"id": 7, "timeout_ms": 9, "message": [1, unknown()]}))
    assert (request.actor, request.id, request.timeout_ms) == ("counter", 7, 9)
    assert isinstance(request.message, Undecodable)
    assert isinstance(request.message.error, UnknownTypeError)


@pytest.mark.parametrize(
    "message",
    [
        msgpack.packb(msgpack.ExtType(99, b"?")),
        b"\xd4\xff\x00",
        b"\x81\x90\x01",
        b"\xa1\xff",
        msgpack.packb(msgpack.ExtType(p.EXT_TUPLE, b"")),
    ],
)
def test_an_ask_of_nonsense_can_be_answered(message: bytes) -> None:
    """VALUE-4, MSG-3: unknown codes, timestamps, impossible keys, bad strs, bad bodies."""
    request = ask_of(b"\x82\xa2id\x07\xa7message" + message)
    assert request.id == 7
    assert isinstance(request.message, Undecodable)
    assert not isinstance(request.message.error, UnknownTypeError)


def test_an_unknown_field_of_an_unknown_type_does_not_spoil_an_ask() -> None:
    """PAYLOAD-1: the message is decoded as if the field were not there."""
    assert ask_of(msgpack.packb({"id": 7, "trace": unknown(), "message": [1]})).message == [1]


def test_fields_around_an_undecodable_message_are_still_checked() -> None:
    """PAYLOAD-1, PAYLOAD-2: an ask without an id cannot be answered."""
    assert fault(p.ASK_REQ, {"id": -1, "message": unknown()}).rule == "PAYLOAD-3"
    assert fault(p.ASK_REQ, {"id": unknown(), "message": 1}).rule == "PAYLOAD-3"
    assert fault(p.ASK_REQ, {"message": unknown()}).rule == "PAYLOAD-2"
    assert fault(p.ASK_REQ, {"id": 1, "message": unknown(), 5: 1}).rule == "PAYLOAD-1"
    assert fault(p.ASK_REQ, [unknown()]).rule == "PAYLOAD-1"


def test_a_reply_that_cannot_be_decoded_is_still_a_reply() -> None:
    """MSG-3: the asker learns of it at once."""
    response = new_node().messages.decode(frame(p.ASK_RES, {"id": 7, "value": unknown()}, ""))
    assert isinstance(response, AskResponse)
    assert response.id == 7
    assert isinstance(response.value, Undecodable)


def test_a_message_that_cannot_be_decoded_says_why() -> None:
    """VALUE-4: it is dropped by whoever knows where dead letters go."""
    message = new_node().messages.decode(frame(p.ACTOR_MSG, unknown(), "counter"))
    assert isinstance(message, ActorMessage)
    assert isinstance(message.message, Undecodable)
    with pytest.raises(ProtocolError, match="bytes follow the value"):
        new_node().messages.decode(Frame(p.ACTOR_MSG, "counter", b"\x01\x02"))


def test_a_payload_too_deep_is_the_frames_fault_wherever_it_is_deep() -> None:
    """PAYLOAD-6: in a message, in an ask, in a field that nobody knows."""
    deep: Any = []
    for _ in range(255):
        deep = [deep]
    codec = new_node().messages
    assert isinstance(codec.decode(frame(p.ACTOR_MSG, deep)), ActorMessage)
    for kind, payload in (
        (p.ACTOR_MSG, [deep]),
        (p.ASK_REQ, {"id": 1, "message": deep}),
        (p.PING, {"id": 1, "pong": True, "x": deep}),
    ):
        assert fault(kind, payload).rule == "PAYLOAD-6"


# What cannot be sent.


@dataclass
class Box:
    content: object


def test_what_cannot_be_sent_is_named_by_its_path_within_the_message() -> None:
    """VALUE-1: not by that within the frame."""
    codec = new_node().messages
    for message in (
        ActorMessage("a", Box([object()])),
        AskRequest("a", 1, None, Box([object()])),
        AskResponse(1, Box([object()])),
    ):
        with pytest.raises(
            SerializationError, match=r"^Box\.content\[0\]: cannot send a value of type object$"
        ):
            codec.encode(message)


def test_what_only_an_ask_makes_too_deep_is_refused() -> None:
    """PAYLOAD-6: the ask's own map is a level, too."""
    deep: Any = []
    for _ in range(255):
        deep = [deep]
    codec = new_node().messages
    codec.encode(ActorMessage("a", deep))
    with pytest.raises(SerializationError, match="nested deeper than 256 levels"):
        codec.encode(AskRequest("a", 1, None, deep))


def test_a_frame_over_the_limit_is_refused_before_it_is_sent() -> None:
    """FRAME-4, MSG-8: one byte decides."""
    codec = MessageCodec(value_codec(), frame_bytes_max=1000)
    assert len(codec.encode(ActorMessage("a", b"x" * 989))) == 1000
    with pytest.raises(MessageTooLargeError, match=r"^ACTOR_MSG frame of 1,001 bytes; the limit is 1,000$"):
        codec.encode(ActorMessage("a", b"x" * 990))


def test_a_fault_becomes_the_error_frame_that_answers_it() -> None:
    """ERROR-2: code, rule and text."""
    codec = new_node().messages
    sent = codec.encode_error(fault(p.PING, {"id": 1}))
    assert codec.decode(frame_of(sent)) == ErrorFrame("BAD_PAYLOAD", "PAYLOAD-2", "PING.pong is missing")


def test_a_text_that_is_none_does_not_keep_an_error_from_being_told() -> None:
    """MSG-3: an exception may say anything, even half a surrogate pair."""
    codec = new_node().messages
    for message in (AskResponse(1, code="ACTOR_FAILED", text="\ud800!"), ErrorFrame("X", "X-1", "\ud800!")):
        assert getattr(codec.decode(frame_of(codec.encode(message))), "text", None) == "\\ud800!"


def test_two_systems_of_one_process_share_nothing() -> None:
    """VALUE-2: what one admits, the other may not."""
    registry = TypeRegistry(())
    registry.register(Add)
    one, other = new_node(registry), new_node(TypeRegistry(()))
    sent = frame_of(one.messages.encode(ActorMessage("a", Add(1))))
    assert one.messages.decode(sent) == ActorMessage("a", Add(1))
    assert isinstance(other.messages.decode(sent), ActorMessage)
    assert other.messages.decode(sent) != ActorMessage("a", Add(1))
