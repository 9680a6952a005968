"""Messages: what a frame says, by the names of the specification's fields."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from conformance import _protocol as protocol
from conformance.wire import reading
from conformance.wire.extension import lowered
from conformance.wire.frame import Frame
from conformance.wire.packing import is_list, is_tuple, pack
from conformance.wire.problem import PayloadError
from conformance.wire.record import Boot, Configuration, Entry, Peer, Server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Boot",
    "Configuration",
    "Entry",
    "Message",
    "PayloadError",
    "Peer",
    "Server",
    "check",
    "decode",
    "decode_configuration",
    "encode",
    "encode_configuration",
    "message",
]

_TYPES = {name: type for type, name in protocol.TYPE_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Message:
    """A frame's meaning.

    `kind` is its type as in the specification, for PEER_LIST with its form: ``PEER_LIST.hello``,
    ``PEER_LIST.peers``. `name` is the frame's. `fields` has those that are present, by name: lists as tuples,
    structs as `Server`, `Entry` and `Peer`, a user's value as `value` says. The value of ACTOR_MSG is its field
    ``message``, the bytes of HEARTBEAT are its ``payload``.
    """

    kind: str
    name: str
    fields: Mapping[str, Any]

    def __getitem__(self, field: str) -> Any:
        return self.fields[field]

    def get(self, field: str, default: Any = None) -> Any:
        """The field, or what to take where it is absent."""
        return self.fields.get(field, default)


def message(kind: str, name: str, /, **fields: Any) -> Message:
    """A message with these fields. An optional field that is to be absent is left out."""
    return Message(kind, name, MappingProxyType(fields))


def encode(message: Message) -> Frame:
    """The message's frame: known fields in the order of the table, then the others, in their shortest formats.

    Packs what it is given, without judging: fields of other kinds, missing and unknown ones, and `packing.Raw`
    bytes in their place. Raises `KeyError` for a kind that there is not, else as `value.pack` does.
    """
    type = _TYPES[message.kind.partition(".")[0]]
    fields = message.fields
    if type == protocol.ACTOR_MSG:
        payload = pack(fields["message"], lowered)
    elif type == protocol.HEARTBEAT:
        payload = fields.get("payload", pack(None))
    else:
        payload = pack(_ordered(fields, protocol.SHAPES[message.kind]), lowered)
    return Frame(type, message.name.encode(), payload)


def decode(frame: Frame, *, first: bool | None = None) -> Message:
    """What the frame says. Raises `PayloadError`, and nothing else, for what is wrong with it.

    `first` is whether it is the first in its direction, and so must be a hello; where that is not known (None),
    a PEER_LIST with a version is one. Fields that the specification does not know are left out.
    """
    found = reading.examine(frame, first)
    if found.problems:
        raise found.problems[0]
    return Message(found.kind, found.name, MappingProxyType(found.fields))


def check(frame: Frame, *, first: bool | None = None) -> list[PayloadError]:
    """All that is wrong with the frame, by stage, then in the order of the bytes; `decode` raises the first."""
    return reading.examine(frame, first).problems


def encode_configuration(cluster_id: bytes, members: Sequence[Server]) -> bytes:
    """The data of an entry of kind members. Packs what it is given, sorted or not."""
    return pack({"cluster_id": cluster_id, "members": [list(server) for server in members]})


def decode_configuration(data: bytes) -> Configuration:
    """What an entry of kind members holds. Raises `PayloadError` where it is no configuration."""
    return reading.configuration(data)


def _ordered(fields: Mapping[str, Any], table: tuple[protocol.Field, ...]) -> dict[str, Any]:
    known = [field.name for field in table if field.name in fields]
    values = {field.name for field in table if field.kind == "value"}
    others = [name for name in fields if name not in known]
    return {name: fields[name] if name in values else _plain(fields[name]) for name in known + others}


def _plain(value: Any) -> Any:
    """Structs as the arrays and maps they are on the wire."""
    if isinstance(value, Entry):
        return value._asdict()
    if is_list(value) or is_tuple(value):
        return [_plain(item) for item in value]
    return value
