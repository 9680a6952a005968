"""For every field of every payload: what happens when it is missing, or of another kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vectormaker.bytes import (
    FALSE,
    NIL,
    TRUE,
    Value,
    array,
    binary,
    f64,
    fields,
    frame,
    mapping,
    sint,
    text,
    uint,
)
from vectormaker.meeting import BOOT, CLUSTER, STORE
from vectormaker.raft import COMMAND, MEMBERS
from vectormaker.vector import Group, invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

# For a kind: what is wrong, under a name that becomes part of the id, and the rule that says so.
WRONG: dict[str, tuple[tuple[str, Value, str], ...]] = {
    "u63": (
        ("NIL", NIL, "PAYLOAD-2"),
        ("BOOL", TRUE, "PAYLOAD-3"),
        ("FLOAT", f64(1.0), "PAYLOAD-3"),
        ("NEGATIVE", sint(-1), "PAYLOAD-3"),
        ("TOO-LARGE", uint(2**63), "PAYLOAD-3"),
        ("STR", text("1"), "PAYLOAD-3"),
    ),
    "u64": (
        ("NIL", NIL, "PAYLOAD-2"),
        ("BOOL", TRUE, "PAYLOAD-3"),
        ("FLOAT", f64(1.0), "PAYLOAD-3"),
        ("NEGATIVE", sint(-1), "PAYLOAD-3"),
        ("STR", text("1"), "PAYLOAD-3"),
    ),
    "bool": (("NIL", NIL, "PAYLOAD-2"), ("INT", uint(1), "PAYLOAD-2"), ("STR", text("true"), "PAYLOAD-2")),
    "str": (("NIL", NIL, "PAYLOAD-2"), ("BIN", binary(b"raft"), "PAYLOAD-4"), ("INT", uint(1), "PAYLOAD-4")),
    "choice": (
        ("NIL", NIL, "PAYLOAD-2"),
        ("BIN", binary(b"raft"), "PAYLOAD-2"),
        ("OTHER", text("RAFT"), "PAYLOAD-2"),
    ),
    "bin": (
        ("NIL", NIL, "PAYLOAD-2"),
        ("STR", text("abc"), "PAYLOAD-4"),
        ("ARRAY", array(uint(1)), "PAYLOAD-4"),
    ),
    "bin16": (
        ("NIL", NIL, "PAYLOAD-2"),
        ("STR", text("s" * 16), "PAYLOAD-4"),
        ("SHORT", binary(b"s" * 15), "PAYLOAD-4"),
        ("LONG", binary(b"s" * 17), "PAYLOAD-4"),
    ),
    "list": (("NIL", NIL, "PAYLOAD-2"), ("MAP", mapping(), "PAYLOAD-2"), ("ELEMENT", array(NIL), "PAYLOAD-2")),
}

# A good payload of each type with, for each field, its kind; a ? follows that of an optional one.

type Good = dict[str, tuple[str, Value]]

BALLOT: Good = {
    "term": ("u63", uint(5)),
    "seq": ("u64", uint(1)),
    "last_log_index": ("u63", uint(100)),
    "last_log_term": ("u63", uint(4)),
    "formation": ("bool", FALSE),
    "members": ("list", MEMBERS),
}
ANSWER: Good = {"term": ("u63", uint(5)), "request_term": ("u63", uint(5)), "seq": ("u64", uint(1))}
VOTE: Good = {**ANSWER, "vote_granted": ("bool", TRUE)}

SHAPES: tuple[tuple[int, str, Good], ...] = (
    (2, "LOOKUP-REQ", {"id": ("u64", uint(1))}),
    (3, "LOOKUP-RES", {"id": ("u64", uint(1)), "found": ("bool", TRUE), "actor_class": ("str?", text("m:C"))}),
    (
        4,
        "HELLO",
        {
            "version": ("u64", uint(1)),
            "cluster": ("str", text("casty")),
            "cluster_id": ("bin16?", CLUSTER),
            "store_id": ("bin16", STORE),
            "boot_id": ("bin16", BOOT),
            "lane": ("choice", text("raft")),
            "address": ("str", text("10.0.0.1:8001")),
            "expected_size": ("u63", uint(3)),
            "member": ("bool?", TRUE),
            "revision": ("u63?", uint(7)),
            "boots": ("list?", array(array(BOOT, uint(7)))),
        },
    ),
    (4, "PEERS", {"peers": ("list", array()), "revision": ("u63?", uint(7))}),
    (5, "ASK-REQ", {"id": ("u64", uint(1)), "timeout_ms": ("u63?", uint(5)), "message": ("value", NIL)}),
    (
        6,
        "ASK-RES",
        {
            "id": ("u64", uint(1)),
            "code": ("str?", text("ACTOR_FAILED")),
            "error_type": ("str?", text("ValueError")),
            "text": ("str?", text("no")),
        },
    ),
    (7, "VOTE-REQUEST", BALLOT),
    (8, "VOTE-RESPONSE", VOTE),
    (
        12,
        "APPEND-REQ",
        {
            "term": ("u63", uint(5)),
            "seq": ("u64", uint(2)),
            "prev_log_index": ("u63", uint(100)),
            "prev_log_term": ("u63", uint(4)),
            "entries": ("list", array(COMMAND)),
            "leader_commit": ("u63", uint(99)),
        },
    ),
    (
        13,
        "APPEND-RES",
        {
            **ANSWER,
            "success": ("bool", FALSE),
            "match_index": ("u63", uint(0)),
            "conflict_index": ("u63?", uint(9)),
            "conflict_term": ("u63?", uint(3)),
        },
    ),
    (
        14,
        "SNAPSHOT-REQ",
        {
            "term": ("u63", uint(5)),
            "seq": ("u64", uint(3)),
            "last_included_index": ("u63", uint(90)),
            "last_included_term": ("u63", uint(4)),
            "cluster_id": ("bin16", CLUSTER),
            "members": ("list", MEMBERS),
            "size": ("u63", uint(11)),
            "checksum": ("u63", uint(0)),
            "offset": ("u63", uint(0)),
            "data": ("bin", binary(b"hello")),
            "done": ("bool", FALSE),
        },
    ),
    (
        15,
        "SNAPSHOT-RES",
        {
            **ANSWER,
            "last_included_index": ("u63", uint(90)),
            "offset": ("u63", uint(6)),
            "installed": ("bool", FALSE),
        },
    ),
    (16, "ERROR", {"code": ("str", text("X")), "rule": ("str", text("X-1")), "text": ("str", text("x"))}),
    (17, "PING", {"id": ("u64", uint(7)), "pong": ("bool", FALSE)}),
    (18, "PRE-VOTE-REQUEST", BALLOT),
    (19, "PRE-VOTE-RESPONSE", VOTE),
)


def _all() -> Iterator[dict[str, Any]]:
    for type, name, good in SHAPES:
        more = {"form": "hello", "connection": "close"} if name == "HELLO" else {"connection": "keep"}
        for id, payload, comment, rule in _broken(f"BAD-{name}", good):
            wire = frame(type, "n1", payload)
            error = () if name == "ERROR" else "BAD_PAYLOAD"
            yield invalid(id, wire, comment, rule, stage="schema", error=error, **more)


def _broken(name: str, good: Good) -> Iterator[tuple[str, Value, str, str]]:
    """Every way in which this payload can be wrong: id, payload, comment, rule."""
    payload = {field: value for field, (_, value) in good.items()}
    keyed = mapping((uint(1), NIL), *((text(field), value) for field, value in payload.items()))
    yield f"{name}-ARRAY", array(*payload.values()), "An array of the fields, not a map", "PAYLOAD-1"
    yield f"{name}-NIL", NIL, "nil, not a map", "PAYLOAD-1"
    yield f"{name}-KEY", keyed, "A key that is no str", "PAYLOAD-1"
    for field, (kind, _) in good.items():
        id = f"{name}-{field.upper().replace('_', '-')}"
        if not kind.endswith("?"):
            rest = fields(**{other: value for other, value in payload.items() if other != field})
            yield f"{id}-MISSING", rest, f"{field} is missing", "PAYLOAD-2"
        for why, value, rule in WRONG.get(kind.removesuffix("?"), ()):
            comment = f"{field}: {why.lower().replace('-', ' ')}"
            yield f"{id}-{why}", fields(**(payload | {field: value})), comment, rule


FIELDS = Group(
    "invalid/fields.json",
    "For each field of each payload: missing, of another kind, beyond its end. The frame has no effect",
    tuple(_all()),
)
