"""Frames as such: layout, cuts on the way, the limit; and the simplest of them: PING, ERROR, lookups."""

from __future__ import annotations

from vectormaker.bytes import (
    FALSE,
    NIL,
    TRUE,
    array,
    deep_tuple,
    extension,
    f64,
    fields,
    mapping,
    raw,
    sint,
    text,
    uint,
    unread,
)
from vectormaker.vector import Group, valid

PING = fields(id=uint(7), pong=FALSE)

FRAMES = Group(
    "valid/frames.json",
    "The frame: type, name, payload and their lengths, however TCP cuts them",
    (
        valid("FRAME-PLAIN", 2, "counter", fields(id=uint(1)), "The layout, byte by byte", "FRAME-1"),
        valid("FRAME-EMPTY-NAME", 17, "", PING, "A name of no bytes", "FRAME-1", "PEER-8"),
        valid(
            "FRAME-UTF8-NAME",
            2,
            "größe-☃-𝄞",
            fields(id=uint(1)),
            "Lengths count bytes, not characters",
            "FRAME-1",
        ),
        valid(
            "FRAME-LONG-NAME",
            2,
            "n" * 300,
            fields(id=uint(1)),
            "Both bytes of the name length count",
            "FRAME-1",
        ),
        valid(
            "FRAME-LONG-PAYLOAD",
            1,
            "counter",
            text("p" * 70_000),
            "Three bytes of the payload length count",
            "FRAME-1",
            "VALUE-1",
        ),
        valid("FRAME-AT-LIMIT", 17, "", PING, "A frame of exactly the limit is accepted", "FRAME-4", limit=18),
        valid("FRAME-CUT-HEAD", 17, "", PING, "Cut within the name length", "FRAME-2", chunks=(2,)),
        valid("FRAME-CUT-LENGTH", 17, "", PING, "Cut within the payload length", "FRAME-2", chunks=(5,)),
        valid("FRAME-CUT-PAYLOAD", 17, "", PING, "Cut within the payload", "FRAME-2", chunks=(12,)),
        valid(
            "FRAME-CUT-NAME",
            2,
            "☃",
            fields(id=uint(1)),
            "Cut within a character of the name",
            "FRAME-2",
            chunks=(4,),
        ),
        valid("FRAME-CUT-BYTES", 17, "", PING, "A byte at a time", "FRAME-2", chunks=(1,) * 17),
        valid("HEARTBEAT-NIL", 9, "", NIL, "The legacy type is read and ignored", "FRAME-7"),
        valid(
            "HEARTBEAT-NAMED",
            9,
            "n1",
            fields(term=uint(3)),
            "With any name and payload",
            "FRAME-7",
            canonical=False,
        ),
        valid(
            "HEARTBEAT-NO-MSGPACK",
            9,
            "",
            raw(b"\xc1\xc1"),
            "Even with no msgpack in it",
            "FRAME-7",
            canonical=False,
        ),
    ),
)

CONTROL = Group(
    "valid/control.json",
    "PING and ERROR",
    (
        valid("PING-QUESTION", 17, "", fields(id=uint(0), pong=FALSE), "Are you there?", "PEER-8"),
        valid("PING-ANSWER", 17, "", fields(id=uint(0), pong=TRUE), "The same id with pong true", "PEER-8"),
        valid(
            "PING-LARGEST-ID", 17, "", fields(id=uint(2**64 - 1), pong=FALSE), "u64 ends at 2^64-1", "PAYLOAD-3"
        ),
        valid(
            "ERROR-PLAIN",
            16,
            "",
            fields(code=text("BAD_PAYLOAD"), rule=text("PAYLOAD-2"), text=text("PING.id is missing")),
            "What was wrong, for people",
            "ERROR-1",
        ),
        valid(
            "ERROR-UNKNOWN-CODE",
            16,
            "",
            fields(code=text("SOMETHING_NEW"), rule=text("NEW-1"), text=text("a\nb\x1b[31m \U0001f600")),
            "A code of a later version, and a text that must be escaped before it is logged",
            "ERROR-1",
        ),
    ),
)

ONE = uint(1)
LONGER_ONES = (
    ("UINT8", uint(1, 1)),
    ("UINT16", uint(1, 2)),
    ("UINT32", uint(1, 4)),
    ("UINT64", uint(1, 8)),
    ("INT8", sint(1, 1)),
    ("INT16", sint(1, 2)),
    ("INT32", sint(1, 4)),
    ("INT64", sint(1, 8)),
)
LONGER_MAPS = (
    ("STR8-KEY", mapping((text("id", 1), ONE)), "The key as str 8"),
    ("STR16-KEY", mapping((text("id", 2), ONE)), "The key as str 16"),
    ("STR32-KEY", mapping((text("id", 4), ONE)), "The key as str 32"),
    ("MAP16", mapping((text("id"), ONE), width=2), "The map as map 16"),
    ("MAP32", mapping((text("id"), ONE), width=4), "The map as map 32"),
)

LOOKUPS = Group(
    "valid/lookups.json",
    "LOOKUP_REQ and LOOKUP_RES, and with them: formats of every width, order of fields, unknown fields",
    (
        valid("LOOKUP-ASKED", 2, "counter", fields(id=ONE), "Is there such an actor?", "MSG-7"),
        valid(
            "LOOKUP-FOUND",
            3,
            "counter",
            fields(id=ONE, found=TRUE, actor_class=text("shop.orders:Counter")),
            "Yes, and of this class",
            "MSG-7",
        ),
        valid("LOOKUP-FOUND-BARE", 3, "counter", fields(id=ONE, found=TRUE), "Yes, of some class", "MSG-7"),
        valid("LOOKUP-NOT-FOUND", 3, "counter", fields(id=ONE, found=FALSE), "No", "MSG-7"),
        *(
            valid(
                f"LOOKUP-{name}", 2, "a", fields(id=one), f"1 as {name.lower()}", "PAYLOAD-3", canonical=False
            )
            for name, one in LONGER_ONES
        ),
        *(
            valid(f"LOOKUP-{name}", 2, "a", payload, comment, "PAYLOAD-1", "PAYLOAD-7", canonical=False)
            for name, payload, comment in LONGER_MAPS
        ),
        valid(
            "LOOKUP-ORDER",
            3,
            "a",
            fields(found=TRUE, id=ONE),
            "Fields in another order than the table's",
            "PAYLOAD-7",
            canonical=False,
        ),
        valid(
            "LOOKUP-UNKNOWN-FIELD",
            2,
            "a",
            fields(id=ONE, since=fields(version=uint(2), tags=array(NIL, TRUE))),
            "A field of a later version is ignored, whatever it holds",
            "PAYLOAD-1",
            canonical=False,
        ),
        valid(
            "LOOKUP-UNKNOWN-EXTENSION",
            2,
            "a",
            fields(id=ONE, since=extension(99, b"?")),
            "An extension value in an unknown field is nobody's business",
            "PAYLOAD-1",
            canonical=False,
        ),
        valid(
            "LOOKUP-UNKNOWN-DEEP",
            2,
            "a",
            unread(fields(id=ONE, since=array(deep_tuple(254)))),
            "256 levels in all, the bodies of extension values included",
            "PAYLOAD-6",
            canonical=False,
        ),
        valid(
            "LOOKUP-UNKNOWN-KEYS",
            2,
            "a",
            fields(id=ONE, since=mapping((uint(1), NIL), (f64(1.0), NIL), (TRUE, NIL))),
            "Keys of any kind but arrays and maps: nobody looks whether some are equal",
            "PAYLOAD-1",
            canonical=False,
        ),
        valid(
            "LOOKUP-REPEATED-KEY",
            2,
            "a",
            mapping((text("id"), ONE), (text("id"), ONE)),
            "Nobody may send it; a receiver may take either value, and here both are the same",
            "PAYLOAD-5",
            canonical=False,
        ),
    ),
)
