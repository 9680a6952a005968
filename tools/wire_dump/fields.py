"""Finds what a name stands for in an event: the names of `-o fields=…` and of filters.

A name is one of `ABOUT`, or a field of the specification such as `term`, with dots into structs and users'
values: `entries.kind`, `message.op`. A list has all its elements' values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from conformance._protocol import SHAPES, STRUCTS, TYPE_NAMES
from conformance.wire.describe import said
from conformance.wire.problem import PayloadError
from conformance.wire.value import Dataclass, EnumMember, Ref
from wire_dump.events import Seen, Trouble
from wire_dump.kinds import field_of, is_list, is_map, is_plain_tuple, is_set

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wire_dump.events import Event

ABOUT: Final = {
    "number": "the frame's number in the input, from 1",
    "time": "seconds since the input began",
    "conn": "the connection's number",
    "src": "the sending node, or its address",
    "dst": "the receiving node, or its address",
    "type": "the type, as a name, an alias or a number",
    "kind": 'the type with the form, such as "PEER_LIST.hello"',
    "name": "the frame's name: an actor's or the sender's",
    "size": "bytes of the whole frame",
    "offset": "where in its direction's stream the frame begins",
    "fate": "what the network did with it: passed, dropped, held …",
    "error": "the code of what is wrong with it, such as BAD_PAYLOAD",
    "rule": "the rule that it breaks",
}
"""Names that every frame has a value for, or that stand for what is wrong with it."""

SPECIFIED: Final = frozenset(
    field.name for fields in (*SHAPES.values(), *STRUCTS.values()) for field in fields
) | {"message"}
"""Names of the fields of payloads and of the structs in them."""

INNER: Final = {
    field.name: tuple(inner.name for inner in STRUCTS[struct])
    for fields in (*SHAPES.values(), *STRUCTS.values())
    for field in fields
    if (struct := field.kind.removeprefix("list<").removesuffix(">")) in STRUCTS
}
"""The fields of the structs in a field; what is in others is the users' affair."""

ALIASES: Final = {
    "MSG": "ACTOR_MSG",
    "LQ": "LOOKUP_REQ",
    "LR": "LOOKUP_RES",
    "PEERS": "PEER_LIST",
    "ASK": "ASK_REQ",
    "ANS": "ASK_RES",
    "RV": "VOTE_REQUEST",
    "VR": "VOTE_RESPONSE",
    "AE": "APPEND_ENTRIES_REQ",
    "AR": "APPEND_ENTRIES_RES",
    "IS": "INSTALL_SNAPSHOT_REQ",
    "IR": "INSTALL_SNAPSHOT_RES",
    "ERR": "ERROR",
    "PV": "PRE_VOTE_REQUEST",
    "PR": "PRE_VOTE_RESPONSE",
}
"""Short for the types that are written most."""

TYPES: Final = {name: type for type, name in TYPE_NAMES.items()} | {
    alias: type for alias, name in ALIASES.items() for type, known in TYPE_NAMES.items() if known == name
}


def is_known(name: str) -> bool:
    """Whether some frame can have a value by this name."""
    first, *rest = name.split(".")
    if first in INNER and rest:
        return len(rest) == 1 and rest[0] in INNER[first]
    return first in SPECIFIED or (first in ABOUT and first == name)


def values(event: Event, name: str) -> list[Any]:
    """All the values by this name; none where the event has none."""
    if name in ABOUT:
        found = _about(event, name)
        if found is not None or name not in SPECIFIED:
            return [] if found is None else [found]
    if not isinstance(event, Seen) or isinstance(message := event.decoded, PayloadError):
        return []
    first, *rest = name.split(".")
    if first not in message.fields:
        return []
    found = [message.fields[first]]
    for step in rest:
        found = [value for holder in found for value in _within(holder, step)]
    return found


def shown(event: Event, name: str) -> str:
    """The values as text, as a column of `-o fields=…` has them."""
    if name == "type" and isinstance(event, Seen):
        return event.frame.kind
    return ",".join(map(_text, values(event, name)))


def _about(event: Event, name: str) -> Any:
    match event:
        case Seen():
            return _about_frame(event, name)
        case Trouble():
            about = {"src": event.source, "dst": event.target, "offset": event.offset, "error": "NOT_A_FRAME"}
            return about.get(name, getattr(event, {"conn": "connection"}.get(name, name), None))
        case _:
            return {"time": event.time, "conn": getattr(event, "connection", None)}.get(name)


def _about_frame(event: Seen, name: str) -> Any:
    match name:
        case "src":
            return event.source
        case "dst":
            return event.target
        case "conn":
            return event.connection
        case "type":
            return event.frame.type
        case "name":
            return event.frame.name.decode(errors="backslashreplace")
        case "kind":
            return event.frame.kind if isinstance(event.decoded, PayloadError) else event.decoded.kind
        case "error":
            return event.decoded.code if isinstance(event.decoded, PayloadError) else None
        case "rule":
            return event.decoded.rule if isinstance(event.decoded, PayloadError) else None
        case _:
            return getattr(event, name)


def _within(holder: Any, step: str) -> Iterable[Any]:
    """The values one step further in."""
    if is_map(holder):
        return [holder[step]] if step in holder else []
    if isinstance(holder, Dataclass | EnumMember | Ref):
        inner = getattr(holder, "fields", None)
        if is_map(inner) and step in inner:
            return [inner[step]]
        return [getattr(holder, step)] if hasattr(holder, step) and not step.startswith("_") else []
    if is_list(holder) or is_plain_tuple(holder) or is_set(holder):
        return [value for item in holder for value in _within(item, step)]
    return field_of(holder, step) if isinstance(holder, tuple) else []


def _text(value: Any) -> str:
    if is_list(value) or is_plain_tuple(value):
        return "[" + " ".join(map(_text, value)) + "]"
    match value:
        case bytes():
            return value.hex()
        case bool():
            return "true" if value else "false"
        case None:
            return "nil"
        case str():
            return value if value.isprintable() else ascii(value)
        case float():
            return f"{value:.6f}"
        case int() if value.bit_length() > 64:
            return hex(value)  # Python writes no more than some thousand decimal digits
        case _:
            text = _whole(value)
            return text if text.isprintable() else ascii(text)


def _whole(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # it holds such an integer
        return said(value)
