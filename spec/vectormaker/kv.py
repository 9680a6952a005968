"""What `$kv` makes of commands: results, snapshots and digests, for replicas in any language (KV-4 to KV-6)."""

from __future__ import annotations

import hashlib
from typing import Any

from vectormaker.bytes import (
    FALSE,
    NIL,
    TRUE,
    Value,
    array,
    binary,
    extension,
    f64,
    fields,
    mapping,
    sint,
    text,
    uint,
)
from vectormaker.vector import Group

type Step = dict[str, Any]
BAD: Value | None = None
"""For a command that changes nothing: the result is bad_request."""


def step(command: Value, result: Value | None) -> Step:
    outcome = {"error": "bad_request"} if result is None else {"value": result.json}
    return {"command": command.json, "data": command.wire.hex(), **outcome}


def put(key: str, value: Value) -> Step:
    return step(fields(op=text("put"), key=text(key), value=value), NIL)


def get(key: str, result: Value) -> Step:
    return step(fields(op=text("get"), key=text(key)), result)


def cas(key: str, expect: Value, value: Value, result: Value) -> Step:
    return step(fields(op=text("cas"), key=text(key), expect=expect, value=value), result)


def incr(key: str, by: Value, result: Value | None) -> Step:
    return step(fields(op=text("incr"), key=text(key), value=by), result)


def append(key: str, more: Value, result: Value | None) -> Step:
    return step(fields(op=text("append"), key=text(key), value=more), result)


def delete(key: str, result: Value) -> Step:
    return step(fields(op=text("delete"), key=text(key)), result)


def run(id: str, comment: str, *steps: Step, state: tuple[tuple[str, Value], ...], rule: str = "KV-6") -> Any:
    """Commands in the order of the log, and the state after them, its pairs in the order of a snapshot."""
    snapshot = array(*(array(text(key), value) for key, value in state)).wire
    return {
        "id": f"KV-{id}",
        "comment": comment,
        "rules": [rule, "KV-5"],
        "commands": list(steps),
        "snapshot": snapshot.hex(),
        "sha256": hashlib.sha256(snapshot).hexdigest(),
    }


ONE, TWO = uint(1), uint(2)
MOST, LEAST = uint(2**64 - 1), sint(-(2**63))
INF, MINUS_INF, NAN = f64(float("inf")), f64(float("-inf")), f64(float("nan"))
CLEF = "\U0001d11e"
EVERYTHING = (
    ("bin", binary(b"\x00\xff")),
    ("empty", text("")),
    ("false", FALSE),
    ("float", f64(1.0)),
    ("int", sint(-33)),
    ("least", LEAST),
    ("most", MOST),
    ("nil", NIL),
    ("str", text("s" * 32)),
    ("true", TRUE),
    ("zero", f64(-0.0)),
)

KV = Group(
    "kv.json",
    "Commands of $kv with their results, and the snapshot and digest of the state after them",
    (
        run("NOTHING", "The state before all commands", get("a", NIL), state=(), rule="KV-4"),
        run(
            "PUT",
            "A key holds what was put last, and nil is a value",
            put("a", ONE),
            put("a", text("x")),
            get("a", text("x")),
            put("b", NIL),
            get("b", NIL),
            get("c", NIL),
            state=(("a", text("x")), ("b", NIL)),
        ),
        run(
            "VALUES",
            "Every kind of value, at its ends",
            *(put(key, value) for key, value in reversed(EVERYTHING)),
            state=EVERYTHING,
        ),
        run(
            "ORDER",
            "Keys are sorted by their bytes in UTF-8, which is not the order of UTF-16",
            *(put(key, NIL) for key in (CLEF, "\uffff", "b", "B", "a", "é", "", "a\0")),
            state=tuple((key, NIL) for key in ("", "B", "a", "a\0", "b", "é", "\uffff", CLEF)),
        ),
        run(
            "CAS",
            "Kind and value are compared; nil expects nil, or no such key",
            put("a", ONE),
            cas("a", TRUE, TWO, FALSE),
            cas("a", f64(1.0), TWO, FALSE),
            cas("a", NIL, TWO, FALSE),
            cas("a", ONE, text("1"), TRUE),
            cas("a", binary(b"1"), TWO, FALSE),
            cas("a", text("1"), f64(0.0), TRUE),
            cas("a", f64(-0.0), TRUE, TRUE),
            cas("a", ONE, TWO, FALSE),
            cas("b", ONE, TWO, FALSE),
            cas("b", NIL, NIL, TRUE),
            cas("b", NIL, TWO, TRUE),
            state=(("a", TRUE), ("b", TWO)),
        ),
        run(
            "INCR",
            "Integers stay integers; with a float the sum is one",
            incr("a", ONE, ONE),
            incr("a", sint(-3), sint(-2)),
            incr("a", f64(2.5), f64(0.5)),
            incr("a", ONE, f64(1.5)),
            put("b", NIL),
            incr("b", f64(1.0), f64(1.0)),
            put("c", uint(2**63)),
            incr("c", f64(0.5), f64(2.0**63)),
            put("d", MOST),
            incr("d", sint(-1), uint(2**64 - 2)),
            state=(("a", f64(1.5)), ("b", f64(1.0)), ("c", f64(2.0**63)), ("d", uint(2**64 - 2))),
        ),
        run(
            "INCR-REFUSED",
            "What has no sum stays as it was",
            put("a", MOST),
            incr("a", ONE, BAD),
            put("b", LEAST),
            incr("b", sint(-1), BAD),
            put("c", TRUE),
            incr("c", ONE, BAD),
            put("d", text("1")),
            incr("d", ONE, BAD),
            put("e", INF),
            incr("e", MINUS_INF, BAD),
            incr("f", TRUE, BAD),
            incr("f", NIL, BAD),
            state=(("a", MOST), ("b", LEAST), ("c", TRUE), ("d", text("1")), ("e", INF)),
        ),
        run(
            "APPEND",
            "The length is in code points: not in bytes, nor in units of UTF-16",
            append("a", text("größe"), uint(5)),
            append("a", text(CLEF), uint(6)),
            append("a", text("e\u0301"), uint(8)),
            put("b", NIL),
            append("b", text(""), uint(0)),
            put("c", ONE),
            append("c", text("x"), BAD),
            append("a", binary(b"x"), BAD),
            append("d", ONE, BAD),
            state=(("a", text("größe" + CLEF + "e\u0301")), ("b", text("")), ("c", ONE)),
        ),
        run(
            "DELETE",
            "Whether the key was there, even if it held nil",
            put("a", ONE),
            put("b", NIL),
            delete("a", TRUE),
            delete("a", FALSE),
            delete("b", TRUE),
            delete("c", FALSE),
            state=(),
        ),
        run(
            "OTHER-KEYS",
            "Keys that are none of the request's are ignored, and any order and format will do",
            step(
                fields(op=text("put"), key=text("a"), value=ONE, origin=binary(b"n" * 16), number=uint(7)), NIL
            ),
            step(
                mapping(
                    (text("value", 4), uint(1, 8)), (text("key", 2), text("b", 4)), (text("op"), text("incr"))
                ),
                ONE,
            ),
            step(fields(op=text("get"), key=text("a"), value=array(), expect=NAN), ONE),
            step(mapping((text("op"), text("get")), (text("key"), text("a")), (ONE, NIL)), ONE),
            state=(("a", ONE), ("b", ONE)),
            rule="KV-4",
        ),
        run(
            "NO-REQUEST",
            "What is no request changes nothing, on any node",
            put("a", ONE),
            *(
                step(command, BAD)
                for command in (
                    NIL,
                    uint(7),
                    array(text("put"), text("a"), TWO),
                    mapping(),
                    fields(op=text("fly"), key=text("a")),
                    fields(op=binary(b"put"), key=text("a"), value=TWO),
                    fields(op=text("PUT"), key=text("a"), value=TWO),
                    fields(key=text("a"), value=TWO),
                    fields(op=text("put"), value=TWO),
                    fields(op=text("put"), key=text("a")),
                    fields(op=text("cas"), key=text("a"), value=TWO),
                    fields(op=text("put"), key=binary(b"a"), value=TWO),
                    fields(op=text("put"), key=ONE, value=TWO),
                    fields(op=text("put"), key=text("a"), value=array()),
                    fields(op=text("put"), key=text("a"), value=mapping()),
                    fields(op=text("put"), key=text("a"), value=NAN),
                    fields(op=text("put"), key=text("a"), value=extension(13, (2**64).to_bytes(9))),
                    fields(op=text("put"), key=text("a"), value=extension(3, array(ONE))),
                    fields(op=text("cas"), key=text("a"), expect=array(), value=TWO),
                    fields(op=text("cas"), key=text("a"), expect=NAN, value=TWO),
                )
            ),
            state=(("a", ONE),),
            rule="KV-4",
        ),
    ),
)
