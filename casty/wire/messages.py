"""What nodes say to each other: one value per message, and its frame.

Raft's messages are those of `casty.raft.messages`; the rest is here. `MessageCodec` turns both into frames and
back. What a frame's name says belongs to the message, except for Raft's: who sent those, the connection knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

from casty.errors import MessageTooLargeError, ProtocolError, SerializationError
from casty.raft.types import Boot, ClusterId, NodeId, StoreId
from casty.wire import _protocol as p
from casty.wire.frames import encode_frame
from casty.wire.packing import is_array, is_map, is_packed_map, pack, packed_field, split_map
from casty.wire.raft_codec import decode_raft, encode_raft
from casty.wire.schema import (
    NODE_ID_FORM,
    Shape,
    acceptor,
    bad_payload,
    check_whole,
    is_node_id,
    is_u63,
    is_u64,
    mistyped,
    unpacked,
)
from casty.wire.words import packable, shown

if TYPE_CHECKING:
    from casty.raft.messages import Message as RaftMessage
    from casty.wire.frames import Frame
    from casty.wire.payload import ValueCodec


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Stands for a user's value that came whole but cannot be decoded here; the error says why."""

    error: SerializationError


@dataclass(frozen=True, slots=True)
class Hello:
    """Who a node is; the first frame in each direction (HELLO-1)."""

    node_id: NodeId
    cluster: str
    store_id: StoreId
    boot_id: bytes
    lane: str
    """What the dialler will send on this connection: raft, actor or all. The acceptor repeats it."""
    address: str
    """Where others can dial the node: host:port or [v6]:port."""
    expected_size: int
    cluster_id: ClusterId | None = None
    """Known once the node's log or snapshot holds it."""
    member: bool = True
    version: int = p.PROTOCOL_VERSION
    revision: int | None = None
    """How far the node's data directory has come (HELLO-10); None where it has none, or does not say."""
    boots: tuple[Boot, ...] = ()
    """The directory's latest boots, newest first; empty where it does not say. At most `boots_max` count."""


class Peer(NamedTuple):
    """A node and where to dial it, as somebody says."""

    node_id: str
    address: str


@dataclass(frozen=True, slots=True)
class Peers:
    """The nodes that a node knows. At most `peers_max` are taken; that they make sense is not said."""

    node_id: NodeId
    peers: tuple[Peer, ...]
    revision: int | None = None
    """How far the node's data directory has come by now (PEER-11)."""


@dataclass(frozen=True, slots=True)
class LookupRequest:
    """Is there an actor of this name on your node?"""

    actor: str
    id: int


@dataclass(frozen=True, slots=True)
class LookupResponse:
    actor: str
    id: int
    found: bool
    actor_class: str | None = None
    """`module:qualname` of its class, where it was found."""


# These three are tuples, because there is one for each message and a tuple is made in half the time.


class ActorMessage(NamedTuple):
    """A message for an actor; nothing answers it."""

    actor: str
    message: object


class AskRequest(NamedTuple):
    """A message for an actor whose reply the sender waits for."""

    actor: str
    id: int
    timeout_ms: int | None
    """How long the asker still waits; None: for ever."""
    message: object


class AskResponse(NamedTuple):
    """The outcome of an ask: the reply in `value` where `code` is None, else what went wrong."""

    id: int
    value: object = None
    code: str | None = None
    error_type: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? The answer repeats the id with `pong` true (PEER-8)."""

    id: int
    pong: bool


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """Says to people what was wrong with a frame. Never answered (ERROR-1)."""

    code: str
    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The legacy HEARTBEAT, whatever it holds: read and ignored (FRAME-7)."""


type NodeMessage = (
    ActorMessage
    | AskRequest
    | AskResponse
    | LookupRequest
    | LookupResponse
    | Ping
    | Peers
    | Hello
    | ErrorFrame
    | Heartbeat
)
type WireMessage = NodeMessage | RaftMessage


class MessageCodec:
    """The frames of one node's messages. Not for two threads at a time, because its values are not."""

    def __init__(self, values: ValueCodec, frame_bytes_max: int = p.FRAME_BYTES_MAX) -> None:
        self._values = values
        self._frame_bytes_max = frame_bytes_max

    def encode(self, message: NodeMessage) -> bytes:
        """The message's frame. Raises `SerializationError` and `MessageTooLargeError`."""
        match message:
            case AskRequest(actor, id, timeout_ms, value):
                return self.encode_ask(actor, id, timeout_ms, value)
            case AskResponse(id, value, None):
                return self.encode_reply(id, value)
            case AskResponse(id, _, code, error_type, text):
                fields = _present(id=id, code=code, error_type=error_type, text=text and packable(text))
                return self._frame(p.ASK_RES, "", pack(fields))
            case ActorMessage(actor, value):
                return self._frame(p.ACTOR_MSG, actor, self._values.encode(value))
            case LookupRequest(actor, id):
                return self._frame(p.LOOKUP_REQ, actor, pack({"id": id}))
            case LookupResponse(actor, id, found, actor_class):
                fields = _present(id=id, found=found, actor_class=actor_class)
                return self._frame(p.LOOKUP_RES, actor, pack(fields))
            case Ping(id, pong):
                return self._frame(p.PING, "", pack({"id": id, "pong": pong}))
            case Peers(node_id, peers, revision):
                rows = [[peer_id, str(address)] for peer_id, address in peers]
                return self._frame(p.PEER_LIST, node_id, pack(_present(peers=rows, revision=revision)))
            case Hello():
                return self._frame(p.PEER_LIST, message.node_id, _hello_payload(message))
            case ErrorFrame(code, rule, text):
                return self._frame(p.ERROR, "", pack({"code": code, "rule": rule, "text": packable(text)}))
            case Heartbeat():
                return self._frame(p.HEARTBEAT, "", pack(None))
            case _:
                assert_never(message)

    def encode_ask(self, actor: str, id: int, timeout_ms: int | None, message: object) -> bytes:
        """As `encode`, without an `AskRequest` made for it: asks are many, so each is to cost little."""
        fields = {"id": id, "timeout_ms": timeout_ms, "message": message}
        if timeout_ms is None:
            del fields["timeout_ms"]
        return self._frame(p.ASK_REQ, actor, self._encode_around(fields, message))

    def encode_reply(self, id: int, value: object) -> bytes:
        """As `encode` an `AskResponse` with a value."""
        return self._frame(p.ASK_RES, "", self._encode_around({"id": id, "value": value}, value))

    def encode_raft(self, sender: str, message: RaftMessage) -> bytes:
        """The frame of one of Raft's messages, from the node `sender`. Raises `MessageTooLargeError`."""
        kind, payload = encode_raft(message)
        return self._frame(kind, sender, payload)

    def encode_error(self, fault: ProtocolError) -> bytes:
        """The ERROR frame that answers a peer's mistake."""
        return self.encode(ErrorFrame(fault.code, fault.rule, fault.text))

    def decode(self, frame: Frame) -> WireMessage:
        """The message in a frame that is not a connection's first.

        A user's value that cannot be decoded is `Undecodable`, so that an ask can be answered. Raises
        `ProtocolError`: BAD_PAYLOAD, or UNKNOWN_FRAME_TYPE for a type that is not in the table.
        """
        kind, name, data = frame
        match kind:
            case p.ASK_REQ:
                return self._ask_request(name, data)
            case p.ASK_RES:
                return self._ask_response(data)
            case p.ACTOR_MSG:
                return ActorMessage(name, self._message(data))
            case p.LOOKUP_REQ:
                return LookupRequest(name, *_LOOKUP_REQ.read(data))
            case p.LOOKUP_RES:
                return LookupResponse(name, *_LOOKUP_RES.read(data))
            case p.PING:
                return Ping(*_PING.read(data))
            case p.PEER_LIST:
                rows, revision = _PEERS.read(data)
                return Peers(NodeId(name), _peers(rows), revision)
            case p.ERROR:
                return ErrorFrame(*_ERROR.read(data))
            case p.HEARTBEAT:
                return Heartbeat()
            case _:
                message = decode_raft(kind, data)
        if message is None:
            raise ProtocolError("UNKNOWN_FRAME_TYPE", "FRAME-6", f"frame type {kind} is not in the table")
        return message

    def ask_id(self, frame: Frame) -> int | None:
        """The id of an ASK_REQ that `decode` has refused, if it can be read without what is wrong there."""
        data = packed_field(frame.payload, "id") if frame.type == p.ASK_REQ else None
        id = self._value(data) if data is not None and len(data) <= _U64_BYTES_MAX else None
        return id if is_u64(id) else None

    def decode_hello(self, frame: Frame) -> Hello:
        """The hello in a connection's first frame. Raises `ProtocolError`, after which the connection ends.

        Another version of the protocol is recognised whatever else such a hello holds.
        """
        kind, name, data = frame
        if kind != p.PEER_LIST:
            said = p.TYPE_NAMES.get(kind, f"frame type {kind}")
            raise ProtocolError("HELLO_EXPECTED", "HELLO-1", f"{said} came before a hello")
        payload = unpacked("PEER_LIST.hello", data)
        _check_version(payload)
        fields = _HELLO.values_of(payload, data)
        version, cluster, cluster_id, store_id, boot_id, lane, address, size, member, revision, boots = fields
        if not is_node_id(name):
            raise bad_payload("HELLO-5", f"the hello's frame name is {shown(name)}; expected {NODE_ID_FORM}")
        return Hello(
            NodeId(name),
            cluster,
            store_id,
            boot_id,
            lane,
            address,
            size,
            cluster_id,
            member is not False,
            version,
            revision,
            _boots(boots or []),
        )

    def _frame(self, kind: int, name: str, payload: bytes) -> bytes:
        frame = encode_frame(kind, name, payload)
        if len(frame) > self._frame_bytes_max:
            raise MessageTooLargeError(
                f"{p.TYPE_NAMES[kind]} frame of {len(frame):,} bytes; the limit is {self._frame_bytes_max:,}"
            )
        return frame

    def _encode_around(self, fields: dict[str, object], value: object) -> bytes:
        """The payload whose fields hold a user's value."""
        try:
            return self._values.encode_around(fields, value)
        except SerializationError:
            self._values.encode(value)  # names the path within the value alone
            raise

    def _value(self, data: bytes) -> object:
        try:
            return self._values.decode(data)
        except SerializationError as error:
            return Undecodable(error)

    def _message(self, data: bytes) -> object:
        message = self._value(data)
        if isinstance(message, Undecodable):
            check_whole("ACTOR_MSG", data)  # raises where the payload is no msgpack at all
        return message

    # Nearly all asks and replies have just the fields that a few comparisons tell here, at less cost than the
    # table, which judges the others, and says what is wrong with them.

    def _ask_request(self, actor: str, data: bytes) -> AskRequest:
        fields = self._fields_around_value(p.ASK_REQ, data)
        if is_map(fields) and len(fields) == 3 and "message" in fields:
            id, timeout_ms = fields.get("id"), fields.get("timeout_ms")
            if is_u64(id) and is_u63(timeout_ms):
                return AskRequest(actor, id, timeout_ms, fields["message"])
        return AskRequest(actor, *_ASK_REQ.values_of(fields, data))

    def _ask_response(self, data: bytes) -> AskResponse:
        fields = self._fields_around_value(p.ASK_RES, data)
        if is_map(fields) and len(fields) == 2 and "value" in fields and is_u64(number := fields.get("id")):
            return AskResponse(number, fields["value"])
        id, value, code, error_type, text = _ASK_RES.values_of(fields, data)
        if (is_map(fields) and "value" in fields) == (code is not None):
            raise bad_payload("PAYLOAD-2", "ASK_RES must have value or code, and not both")
        return AskResponse(id, value, code, error_type, text)

    def _fields_around_value(self, kind: int, data: bytes) -> object:
        """A payload with a user's value in one field, which is `Undecodable` if need be."""
        try:
            return self._values.decode(data)
        except SerializationError:
            return self._fields_one_by_one(p.TYPE_NAMES[kind], _USERS_FIELD[kind], data)

    def _fields_one_by_one(self, name: str, users: str, data: bytes) -> object:
        check_whole(name, data)
        if not is_packed_map(data):
            raise bad_payload("PAYLOAD-1", f"{name} is no map; expected a map of fields")
        fields: dict[str, object] = {}
        for key_data, value_data in split_map(data):
            key = self._value(key_data)
            if type(key) is not str:
                raise bad_payload("PAYLOAD-1", f"{name} has the key {shown(key)}; expected strs")
            fields[key] = self._value(value_data) if key == users else unpacked(name, value_data)
        return fields


_USERS_FIELD: Final = {p.ASK_REQ: "message", p.ASK_RES: "value"}
_U64_BYTES_MAX: Final = 9
_LOOKUP_REQ: Final = Shape("LOOKUP_REQ")
_LOOKUP_RES: Final = Shape("LOOKUP_RES")
_HELLO: Final = Shape("PEER_LIST.hello")
_PEERS: Final = Shape("PEER_LIST.peers")
_ASK_REQ: Final = Shape("ASK_REQ")
_ASK_RES: Final = Shape("ASK_RES")
_ERROR: Final = Shape("ERROR")
_PING: Final = Shape("PING")


def _present(**fields: object) -> dict[str, object]:
    """The fields that are there."""
    return {name: value for name, value in fields.items() if value is not None}


def _hello_payload(hello: Hello) -> bytes:
    return pack(
        _present(
            version=hello.version,
            cluster=hello.cluster,
            cluster_id=hello.cluster_id,
            store_id=hello.store_id,
            boot_id=hello.boot_id,
            lane=hello.lane,
            address=hello.address,
            expected_size=hello.expected_size,
            member=None if hello.member else False,
            revision=hello.revision,
            boots=[list(boot) for boot in hello.boots] or None,
        )
    )


def _check_version(payload: object) -> None:
    version = payload.get("version") if is_map(payload) else None
    if type(version) is int and version >= 0 and version != p.PROTOCOL_VERSION:
        text = f"the hello is of version {version} of the protocol; this node speaks {p.PROTOCOL_VERSION}"
        raise ProtocolError("VERSION_MISMATCH", "HELLO-4", text)


def _boots(rows: list[Any]) -> tuple[Boot, ...]:
    for at, row in enumerate(rows):
        place = f"PEER_LIST.hello.boots[{at}]"
        if not is_array(row) or len(row) != 2:
            raise bad_payload("PAYLOAD-2", f"{place} is {shown(row)}; expected [boot_id, revision]")
        for value, field in zip(row, p.STRUCTS["boot"], strict=True):
            if not acceptor(field)(value):
                raise mistyped(f"{place}.{field.name}", value, field)
    return tuple(Boot(*row) for row in rows)


def _peers(rows: list[Any]) -> tuple[Peer, ...]:
    for at, row in enumerate(rows):
        if not is_array(row) or [type(item) for item in row] != [str, str]:
            raise bad_payload(
                "PAYLOAD-2", f"PEER_LIST.peers[{at}] is {shown(row)}; expected [node_id, address]"
            )
    return tuple(Peer(*row) for row in rows[: p.PEERS_MAX])
