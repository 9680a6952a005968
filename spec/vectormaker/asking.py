"""Messages, asks and their answers."""

from __future__ import annotations

from vectormaker.bytes import (
    NIL,
    TRUE,
    Value,
    array,
    deep_tuple,
    extension,
    fields,
    mapping,
    nested,
    text,
    uint,
    unread,
)
from vectormaker.vector import Group, valid


def dataclass(name: str, /, **values: Value) -> Value:
    """An instance of a dataclass of `shop.orders`."""
    return extension(1, array(text(f"shop.orders:{name}"), fields(**values)))


FAILURES = (
    ("ACTOR_NOT_FOUND", "", "no actor is called counter"),
    ("ACTOR_STOPPED", "", "counter stopped before it answered"),
    ("ACTOR_FAILED", "ValueError", "amount must be positive, not -1"),
    ("MAILBOX_FULL", "", "1000 messages wait"),
    ("UNKNOWN_TYPE", "", "type 'shop.orders:Refund' is not admitted"),
    ("BAD_MESSAGE", "", "shop.orders:Order lacks its field 'id'"),
    ("BAD_REPLY", "", "cannot send a value of type socket.socket"),
    ("REPLY_TOO_LARGE", "", "ASK_RES frame of 20,000,000 bytes; the limit is 16,777,216"),
)

ASKING = Group(
    "valid/asking.json",
    "ACTOR_MSG, ASK_REQ and ASK_RES",
    (
        valid(
            "MESSAGE-DATACLASS",
            1,
            "counter",
            dataclass("Add", amount=uint(2)),
            "A dataclass for an actor",
            "MSG-1",
        ),
        valid("MESSAGE-TO-NUMBER", 1, "@17", NIL, "An actor without a name goes by a number", "MSG-11"),
        valid(
            "ASK-PLAIN",
            5,
            "counter",
            fields(id=uint(1), timeout_ms=uint(5000), message=dataclass("Get")),
            "A question that five seconds are left for",
            "MSG-3",
        ),
        valid(
            "ASK-NO-TIMEOUT", 5, "counter", fields(id=uint(2), message=TRUE), "One that waits for ever", "MSG-4"
        ),
        valid(
            "ASK-TOO-LATE",
            5,
            "counter",
            fields(id=uint(3), timeout_ms=uint(0), message=TRUE),
            "Nobody waits any more",
            "MSG-4",
        ),
        valid("ASK-NIL", 5, "counter", fields(id=uint(4), message=NIL), "nil is a message", "VALUE-1"),
        valid(
            "ASK-LARGEST",
            5,
            "counter",
            fields(id=uint(2**64 - 1), timeout_ms=uint(2**63 - 1), message=NIL),
            "u64 and u63 at their ends",
            "PAYLOAD-3",
        ),
        valid(
            "ASK-UNKNOWN-FIELD",
            5,
            "counter",
            fields(id=uint(5), message=NIL, trace=extension(1, array(text("no.such:Type"), mapping()))),
            "What an unknown field holds is not decoded, so no unknown type can be in it",
            "PAYLOAD-1",
            "VALUE-2",
            canonical=False,
        ),
        valid(
            "ASK-DEEP",
            5,
            "counter",
            unread(fields(id=uint(6), message=nested(255))),
            "The message's levels and the payload's are 256",
            "PAYLOAD-6",
        ),
        valid(
            "ASK-DEEP-BODY",
            5,
            "counter",
            unread(fields(id=uint(7), message=array(deep_tuple(254)))),
            "The body of an extension value counts",
            "PAYLOAD-6",
        ),
        valid("ANSWER-VALUE", 6, "", fields(id=uint(1), value=uint(42)), "The reply", "MSG-3"),
        valid("ANSWER-NIL", 6, "", fields(id=uint(1), value=NIL), "nil is a reply", "MSG-3"),
        valid(
            "ANSWER-DATACLASS",
            6,
            "",
            fields(id=uint(1), value=dataclass("Add", amount=uint(2))),
            "Any value is",
            "MSG-3",
        ),
        *(
            valid(
                f"ANSWER-{code}",
                6,
                "",
                fields(
                    id=uint(1), code=text(code), **({"error_type": text(kind)} if kind else {}), text=text(why)
                ),
                "No reply, but a code and a text",
                "MSG-3",
            )
            for code, kind, why in FAILURES
        ),
        valid(
            "ANSWER-BARE-CODE",
            6,
            "",
            fields(id=uint(1), code=text("ACTOR_STOPPED")),
            "The code alone will do",
            "MSG-3",
        ),
    ),
)
