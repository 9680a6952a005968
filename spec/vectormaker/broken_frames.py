"""What is wrong with the frame, or with the payload as msgpack; and what may not come first."""

from __future__ import annotations

from typing import Any

from vectormaker.bytes import (
    FALSE,
    NIL,
    TRUE,
    Value,
    array,
    binary,
    deep_tuple,
    fields,
    frame,
    mapping,
    nested,
    raw,
    sint,
    text,
    uint,
)
from vectormaker.meeting import BOOT, hello_fields
from vectormaker.vector import Group, invalid

PING = fields(id=uint(7), pong=FALSE)


def bad_name(id: str, name: bytes, comment: str) -> Any:
    wire = frame(2, name, fields(id=uint(1)))
    return invalid(id, wire, comment, "FRAME-3", stage="frame", error="BAD_NAME", connection="close")


def too_large(id: str, wire: bytes, comment: str, *rules: str, limit: int, **more: Any) -> Any:
    code = "FRAME_TOO_LARGE"
    return invalid(
        id, wire, comment, *rules, stage="frame", error=code, connection="close", limit=limit, **more
    )


def cut_off(id: str, length: int, comment: str) -> Any:
    wire = frame(17, "", PING)[:length]
    return invalid(id, wire, comment, "FRAME-8", stage="frame", error=(), connection="close")


def unknown(type: int, comment: str) -> Any:
    wire = frame(type, "x", uint(1))
    code = "UNKNOWN_FRAME_TYPE"
    return invalid(f"BAD-TYPE-{type}", wire, comment, "FRAME-6", stage="frame", error=code)


FRAMES = Group(
    "invalid/frames.json",
    "Frames that cannot be read, or whose type nobody knows",
    (
        bad_name("BAD-NAME-FF", b"\xff", "No character begins so"),
        bad_name("BAD-NAME-CUT", "größe".encode()[:3], "A character that is cut off"),
        bad_name("BAD-NAME-OVERLONG", b"\xc0\x80", "Two bytes where one would do"),
        bad_name("BAD-NAME-SURROGATE", b"\xed\xa0\x80", "Half of a pair of UTF-16"),
        bad_name("BAD-NAME-BEYOND", b"\xf4\x90\x80\x80", "Beyond the last character"),
        too_large(
            "BAD-SIZE-4GIB",
            b"\x01\x00\x01a\xff\xff\xff\xff",
            "Eight bytes that announce four gigabytes; nothing more has to arrive",
            "FRAME-4",
            limit=16_777_216,
        ),
        too_large(
            "BAD-SIZE-LIMIT",
            b"\x01\x00\x01a" + (16_777_216 - 8 + 1).to_bytes(4),
            "One byte more than the limit, header and name included",
            "FRAME-4",
            limit=16_777_216,
        ),
        too_large(
            "BAD-SIZE-18", frame(17, "", PING), "The whole frame is here, and too large", "FRAME-4", limit=17
        ),
        too_large(
            "BAD-SIZE-NAME",
            b"\x01\xff\xff",
            "The name alone exceeds the limit: three bytes tell",
            "FRAME-4",
            limit=65_541,
        ),
        too_large(
            "BAD-SIZE-HELLO",
            b"\x04\x00\x02n1\x00\x00\x10\x00",
            "A stranger may say 4096 bytes in all, and this is nine more",
            "HELLO-3",
            limit=4096,
            form="hello",
        ),
        cut_off("BAD-END-HEAD", 2, "The stream ends within the name length"),
        cut_off("BAD-END-LENGTH", 6, "It ends within the payload length"),
        cut_off("BAD-END-PAYLOAD", 17, "It ends one byte before the frame does"),
        unknown(0, "Type 0 is nobody's"),
        unknown(10, "Reserved, and never sent"),
        unknown(11, "Reserved, and never sent"),
        unknown(20, "Perhaps of a later version"),
        unknown(255, "The last there can be"),
    ),
)


def no_msgpack(
    id: str,
    payload: bytes,
    comment: str,
    *rules: str,
    type: int = 17,
    error: tuple[str, ...] = ("BAD_PAYLOAD",),
) -> Any:
    wire = frame(type, "n1", raw(payload))
    return invalid(f"BAD-MSGPACK-{id}", wire, comment, *rules, stage="msgpack", error=error)


def pinging(**more: Value) -> bytes:
    """A good PING with fields that nobody knows."""
    return fields(id=uint(7), pong=FALSE, **more).wire


MSGPACK = Group(
    "invalid/msgpack.json",
    "Payloads that are not one msgpack value, or not one that a receiver should make room for",
    (
        no_msgpack("EMPTY", b"", "No value at all", "FRAME-5"),
        no_msgpack("TRAILING", PING.wire + b"\xc0", "A value, and another", "FRAME-5"),
        no_msgpack("TRAILING-VALUE", b"\x01\x02", "Two values for an actor", "FRAME-5", type=1),
        no_msgpack("C1", b"\xc1", "The one byte that msgpack never uses", "FRAME-5"),
        no_msgpack("C1-WITHIN", pinging(x=raw(b"\xc1")), "The same, in an unknown field", "FRAME-5"),
        no_msgpack("CUT-MAP", PING.wire[:-1], "A map whose last value is missing", "PAYLOAD-6"),
        no_msgpack("CUT-STR", b"\xa5abc", "A str that is cut off", "PAYLOAD-6", type=1),
        no_msgpack("CUT-UINT", b"\xcf\x00\x00", "An integer that is cut off", "PAYLOAD-6", type=1),
        no_msgpack(
            "ARRAY32",
            b"\xdd\xff\xff\xff\xff",
            "Four billion elements announced, none there",
            "PAYLOAD-6",
            type=1,
        ),
        no_msgpack("MAP32", b"\xdf\xff\xff\xff\xff", "Four billion pairs", "PAYLOAD-6"),
        no_msgpack("BIN32", b"\xc6\xff\xff\xff\xff", "Four gigabytes", "PAYLOAD-6", type=1),
        no_msgpack("STR32", b"\xdb\xff\xff\xff\xff", "The same as a str", "PAYLOAD-6", type=1),
        no_msgpack("EXT32", b"\xc9\xff\xff\xff\xff\x01", "The same as an extension value", "PAYLOAD-6", type=1),
        no_msgpack(
            "ARRAY32-NESTED", b"\xdd\x00\x00\x10\x00" * 20, "Each makes room for the next", "PAYLOAD-6", type=1
        ),
        no_msgpack("UTF8-KEY", b"\x81\xa1\xff\x01", "A key that is not UTF-8", "PAYLOAD-4"),
        *(
            no_msgpack(
                f"UTF8-{name}",
                payload,
                "A user's str that is not UTF-8: at fault is the frame or the value, as the receiver reads it",
                "PAYLOAD-4",
                "VALUE-1",
                type=type,
                error=("BAD_PAYLOAD", "BAD_MESSAGE"),
            )
            for name, type, payload in (
                ("MESSAGE", 1, b"\xa2\xc3\x28"),
                ("ASK", 5, fields(id=uint(1), message=raw(b"\xa2\xc3\x28")).wire),
            )
        ),
        no_msgpack("DEEP-257", nested(257).wire, "One level too deep", "PAYLOAD-6", type=1),
        no_msgpack("DEEP-10000", b"\x91" * 10_000 + b"\xc0", "Far too deep", "PAYLOAD-6", type=1),
        no_msgpack("DEEP-MAPS", b"\x81\x00" * 300 + b"\xc0", "Maps count as well", "PAYLOAD-6", type=1),
        no_msgpack(
            "DEEP-UNKNOWN", pinging(x=nested(256)), "256 levels in an unknown field are 257", "PAYLOAD-6"
        ),
        no_msgpack(
            "DEEP-UNKNOWN-BODY",
            pinging(x=deep_tuple(256)),
            "So are 256 in the bodies of extension values there",
            "PAYLOAD-6",
        ),
        *(
            no_msgpack(
                f"DEEP-ASK{name}",
                fields(id=uint(1), message=message).wire,
                comment,
                "PAYLOAD-6",
                "MSG-3",
                type=5,
                error=("BAD_PAYLOAD", "BAD_MESSAGE"),
            )
            for name, message, comment in (
                ("", nested(256), "And in an ask, which may be answered as well"),
                ("-BODY", deep_tuple(256), "Through the bodies of extension values"),
            )
        ),
        no_msgpack("ARRAY-KEY", b"\x81\x90\x01", "A key that no map can have everywhere", "PAYLOAD-1"),
        no_msgpack(
            "ARRAY-KEY-WITHIN",
            pinging(x=array(mapping((array(), NIL)))),
            "The same deep in an unknown field",
            "PAYLOAD-1",
        ),
        no_msgpack(
            "ARRAY-KEY-ASK",
            fields(id=uint(1), message=NIL, x=mapping((mapping(), NIL))).wire,
            "In an unknown field of an ask: its message is all right",
            "PAYLOAD-1",
            type=5,
        ),
    ),
)


def first(id: str, wire: bytes, comment: str, rule: str, stage: str, error: str) -> Any:
    return invalid(
        f"BAD-FIRST-{id}", wire, comment, rule, stage=stage, error=error, connection="close", form="hello"
    )


def strange_hello(**changes: Value | None) -> bytes:
    return frame(4, "n1", fields(**hello_fields(**changes)))


FIRST = Group(
    "invalid/first.json",
    "What a connection must not begin with; each of these closes it",
    (
        first("PING", frame(17, "", PING), "Something else came first", "HELLO-1", "schema", "HELLO_EXPECTED"),
        first(
            "UNKNOWN-TYPE", frame(99, "", NIL), "Something nobody knows", "HELLO-1", "schema", "HELLO_EXPECTED"
        ),
        first("HEARTBEAT", frame(9, "", NIL), "Even the legacy type", "HELLO-1", "schema", "HELLO_EXPECTED"),
        invalid(
            "BAD-FIRST-ERROR",
            frame(16, "", fields(code=text("X"), rule=text("X-1"), text=text("x"))),
            "An ERROR before the hello is logged, and not answered",
            "HELLO-1",
            "ERROR-1",
            stage="schema",
            error=(),
            connection="close",
            form="hello",
        ),
        first("HTTP", b"GET / HTTP/1.1\r\n\r\n", "A browser", "HELLO-3", "frame", "FRAME_TOO_LARGE")
        | {"limit": 4096},
        first(
            "VERSION",
            strange_hello(version=uint(2)),
            "Another version",
            "HELLO-4",
            "semantic",
            "VERSION_MISMATCH",
        ),
        first(
            "VERSION-ALONE",
            frame(4, "n1", fields(version=uint(2))),
            "Another version, whose hello looks otherwise",
            "HELLO-4",
            "semantic",
            "VERSION_MISMATCH",
        ),
        first(
            "VERSION-BOOL", strange_hello(version=TRUE), "true is not 1", "PAYLOAD-3", "schema", "BAD_PAYLOAD"
        ),
        first(
            "PEERS",
            frame(4, "n1", fields(peers=array())),
            "Peers before a hello",
            "HELLO-5",
            "schema",
            "BAD_PAYLOAD",
        ),
        first("NO-MAP", frame(4, "n1", array()), "No map", "HELLO-5", "schema", "BAD_PAYLOAD"),
        first("NO-MSGPACK", frame(4, "n1", raw(b"\xc1")), "No msgpack", "HELLO-5", "msgpack", "BAD_PAYLOAD"),
        first(
            "NO-STORE", strange_hello(store_id=None), "A field is missing", "HELLO-5", "schema", "BAD_PAYLOAD"
        ),
        *(
            first(
                f"ADDRESS-{why}",
                strange_hello(address=text(address)),
                f"Nobody can be dialled there ({why.lower()})",
                "HELLO-5",
                "semantic",
                "BAD_PAYLOAD",
            )
            for why, address in (
                ("EMPTY", ""),
                ("HOST", ":8001"),
                ("PORT", "10.0.0.1"),
                ("ZERO", "10.0.0.1:0"),
                ("LARGE", "10.0.0.1:65536"),
                ("BRACKETS", "::1:8001"),
                ("SPACE", "10.0.0.1 :8001"),
                ("WITHIN", "10.0.0[1:8001"),
                ("DIGITS", "10.0.0.1:008001"),
                ("LONG", "x" * 254 + ":8001"),
            )
        ),
        first(
            "SIZE-ZERO",
            strange_hello(expected_size=uint(0)),
            "A cluster of nobody",
            "HELLO-5",
            "semantic",
            "BAD_PAYLOAD",
        ),
        *(
            first(
                f"BOOTS-{why}",
                strange_hello(revision=uint(7), boots=array(row)),
                f"A boot that is none ({why.lower().replace('-', ' ')})",
                rule,
                "schema",
                "BAD_PAYLOAD",
            )
            for why, row, rule in (
                ("PAIR", array(BOOT), "PAYLOAD-2"),
                ("LONGER", array(BOOT, uint(7), uint(7)), "PAYLOAD-2"),
                ("ID-SHORT", array(binary(b"b" * 15), uint(7)), "PAYLOAD-4"),
                ("ID-STR", array(text("b" * 16), uint(7)), "PAYLOAD-4"),
                ("REVISION-STR", array(BOOT, text("7")), "PAYLOAD-3"),
                ("REVISION-NEGATIVE", array(BOOT, sint(-1)), "PAYLOAD-3"),
                ("REVISION-NIL", array(BOOT, NIL), "PAYLOAD-2"),
            )
        ),
        *(
            first(
                f"NODE-ID-{why}",
                frame(4, name, fields(**hello_fields())),
                f"No node can be called that ({why.lower()})",
                "HELLO-5",
                "semantic",
                "BAD_PAYLOAD",
            )
            for why, name in (
                ("EMPTY", ""),
                ("LONG", "n" * 65),
                ("SLASH", "../../n1"),
                ("SPACE", "n 1"),
                ("ZERO", "n1\0"),
                ("NEWLINE", "n1\n"),
                ("UMLAUT", "nö1"),
            )
        ),
    ),
)
