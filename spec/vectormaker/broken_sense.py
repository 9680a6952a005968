"""Payloads whose fields are all right, and which nobody could mean; and values that cannot be decoded."""

from __future__ import annotations

from typing import Any

from vectormaker.asking import dataclass
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
    frame,
    mapping,
    sint,
    text,
    uint,
)
from vectormaker.meeting import CLUSTER
from vectormaker.raft import COMMAND, CONFIGURATION, FIRST, MEMBERS, append, ballot, chunk, entry, server
from vectormaker.values import enum, moment
from vectormaker.vector import Group, invalid


def senseless(id: str, type: int, payload: Value, comment: str, *rules: str) -> Any:
    return invalid(
        f"BAD-{id}", frame(type, "n1", payload), comment, *rules, stage="semantic", error="BAD_PAYLOAD"
    )


def mistyped(id: str, type: int, payload: Value, comment: str, *rules: str) -> Any:
    return invalid(
        f"BAD-{id}", frame(type, "n1", payload), comment, *rules, stage="schema", error="BAD_PAYLOAD"
    )


def members(id: str, comment: str, *servers: Value) -> Any:
    return senseless(f"MEMBERS-{id}", 7, ballot(members=array(*servers)), comment, "PAYLOAD-3", "FORM-4")


TOO_MANY = tuple(server(f"n{number:02}", number) for number in range(65))

CONFIGURATIONS = (
    ("EMPTY", b"", "no bytes", ()),
    ("NO-MSGPACK", b"\xc1", "no msgpack", ()),
    ("TRAILING", CONFIGURATION.wire + b"\xc0", "and nothing else", ()),
    ("ARRAY", array(CLUSTER, MEMBERS).wire, "an array of the fields", ()),
    ("NO-CLUSTER", fields(members=MEMBERS).wire, "no cluster id", ()),
    ("CLUSTER-SHORT", fields(cluster_id=binary(b"c" * 15), members=MEMBERS).wire, "a short cluster id", ()),
    ("NO-MEMBERS", fields(cluster_id=CLUSTER).wire, "no members", ()),
    ("NOBODY", fields(cluster_id=CLUSTER, members=array()).wire, "nobody", ("PAYLOAD-3",)),
    (
        "UNSORTED",
        fields(cluster_id=CLUSTER, members=array(server("n2", 2), server("n1", 1))).wire,
        "not in the order of their bytes",
        ("PAYLOAD-3",),
    ),
    (
        "NODE-ID",
        fields(cluster_id=CLUSTER, members=array(server("n/1", 1))).wire,
        "an id that no node can have",
        ("PAYLOAD-3",),
    ),
)

RAFT = Group(
    "invalid/raft.json",
    "Member lists and entries that cannot be anybody's",
    (
        members("EMPTY", "Nobody votes"),
        members("UNSORTED", "Not in the order of their bytes", server("n2", 2), server("n1", 1)),
        members("CASE", "Capitals come before small letters", server("n1", 1), server("N2", 2)),
        members("TWICE", "A node id twice, with two stores", server("n1", 1), server("n1", 2)),
        members("65", "One more than members_max", *TOO_MANY),
        members("NODE-ID", "An id that no node can have", server("n/1", 1)),
        mistyped(
            "MEMBERS-STORE",
            7,
            ballot(members=array(array(text("n1"), binary(b"s")))),
            "A short store id",
            "PAYLOAD-4",
        ),
        mistyped(
            "MEMBERS-PAIR", 7, ballot(members=array(array(text("n1")))), "A store id is missing", "PAYLOAD-2"
        ),
        mistyped(
            "MEMBERS-TRIPLE",
            7,
            ballot(members=array(array(text("n1"), binary(b"s" * 16), NIL))),
            "An array holds its fields and no more",
            "PAYLOAD-2",
        ),
        senseless("MEMBERS-PRE-VOTE", 18, ballot(members=array()), "Nobody, in a pre-vote", "PAYLOAD-3"),
        senseless(
            "MEMBERS-SNAPSHOT",
            14,
            chunk(b"", 0, done=False, members=array()),
            "Nobody, in a snapshot",
            "PAYLOAD-3",
        ),
        senseless(
            "ENTRIES-FALL", 12, append(entry(5, "noop"), entry(4, "noop")), "Terms that fall", "APPEND-9"
        ),
        senseless("ENTRIES-START", 12, append(entry(3, "noop")), "A term below prev_log_term", "APPEND-9"),
        senseless("ENTRIES-FUTURE", 12, append(entry(6, "noop")), "A term above the request's", "APPEND-9"),
        senseless(
            "ENTRIES-ZERO", 12, append(prev=(0, 1), commit=0), "Index 0 has no other term than 0", "APPEND-9"
        ),
        senseless("ENTRIES-NOOP", 12, append(entry(5, "noop", b"x")), "A no-op with data", "FORM-8"),
        *(
            senseless(
                f"CONFIGURATION-{id}",
                12,
                append(entry(1, "members", data), prev=(0, 0), commit=0),
                f"Entry 1 says who belongs: {comment}",
                "FORM-8",
                *rules,
            )
            for id, data, comment, rules in CONFIGURATIONS
        ),
        senseless(
            "SNAPSHOT-ZERO",
            14,
            chunk(b"hello", 0, done=False, last_included_index=uint(0), last_included_term=uint(0)),
            "A snapshot of no entry",
            "SNAP-11",
        ),
        senseless(
            "SNAPSHOT-TERM",
            14,
            chunk(b"hello", 0, done=False, last_included_term=uint(6)),
            "It ends in a term above the request's",
            "SNAP-10",
        ),
        senseless("ENTRIES-MEMBERS", 12, append(FIRST, prev=(1, 0)), "A configuration at index 2", "FORM-8"),
        senseless(
            "ENTRIES-SECOND", 12, append(FIRST, FIRST, prev=(0, 0)), "A second one after the first", "FORM-8"
        ),
        senseless("ENTRIES-COMMAND", 12, append(COMMAND, prev=(0, 0)), "A command at index 1", "FORM-8"),
        mistyped(
            "ENTRY-TERM",
            12,
            append(fields(term=TRUE, kind=text("noop"), data=binary(b""))),
            "A bool",
            "PAYLOAD-3",
        ),
        mistyped("ENTRY-KIND", 12, append(entry(5, "config")), "A kind that is none of the three", "PAYLOAD-2"),
        mistyped(
            "ENTRY-DATA",
            12,
            append(fields(term=uint(5), kind=text("noop"), data=text(""))),
            "A str",
            "PAYLOAD-4",
        ),
        mistyped("ENTRY-MISSING", 12, append(fields(term=uint(5), data=binary(b""))), "No kind", "PAYLOAD-2"),
        mistyped("ENTRY-THIRD", 12, append(COMMAND, COMMAND, NIL), "The third is no map", "PAYLOAD-2"),
        mistyped("PEER-ADDRESS", 4, fields(peers=array(array(text("n2"), NIL))), "No address", "PAYLOAD-2"),
        mistyped("PEER-ALONE", 4, fields(peers=array(array(text("n2")))), "No address at all", "PAYLOAD-2"),
        senseless("ANSWER-NOTHING", 6, fields(id=uint(1)), "Neither value nor code", "PAYLOAD-2"),
        senseless(
            "ANSWER-BOTH",
            6,
            fields(id=uint(1), value=NIL, code=text("ACTOR_FAILED")),
            "Value and code",
            "PAYLOAD-2",
        ),
        invalid(
            "BAD-ANSWER-VALUE",
            frame(6, "", fields(id=uint(1), value=extension(99, b"?"))),
            "A reply that cannot be decoded fails its ask; nothing is sent",
            "VALUE-4",
            stage="semantic",
            error=(),
        ),
    ),
)


def undecodable(id: str, value: Value, comment: str, *rules: str, code: str = "BAD_MESSAGE") -> Any:
    """An ask with this value in it. What is around the value is all right, so the ask is answered."""
    wire = frame(5, "echo", fields(id=uint(1), timeout_ms=uint(5000), message=value))
    return invalid(f"BAD-VALUE-{id}", wire, comment, *(rules or ("VALUE-4",)), stage="semantic", error=code)


def strange(id: str, name: str, comment: str, /, **values: Value) -> Any:
    value = extension(1, array(text(name), fields(**values)))
    return undecodable(id, value, comment, "VALUE-2", code="UNKNOWN_TYPE")


def in_message(id: str, value: Value, comment: str, rule: str) -> Any:
    """The same in an ACTOR_MSG, which is dropped."""
    return invalid(f"BAD-VALUE-{id}", frame(1, "echo", value), comment, rule, stage="semantic", error=())


POPEN = extension(1, array(text("subprocess:Popen"), fields(args=array(text("touch"), text("canary")))))

NAN = f64(float("nan"))
TWINS = (
    ("KINDS", uint(1), f64(1.0), "1 and 1.0 are equal"),
    ("BOOL", TRUE, uint(1), "So are true and 1"),
    ("ZEROS", f64(0.0), f64(-0.0), "0.0 and -0.0 are, too"),
    ("NAN", NAN, NAN, "NaN is equal to itself"),
    ("FORMATS", uint(1), uint(1, 8), "1 is 1 in every format"),
    ("NAN-TUPLE", extension(3, array(NAN)), extension(3, array(NAN)), "NaN is, within another key, too"),
    ("NAN-FROZENSET", extension(5, array(NAN)), extension(5, array(NAN)), "And within a frozenset"),
    ("NAN-DECIMAL", extension(11, text("NaN")), extension(11, text("NaN")), "So is the decimal NaN"),
    (
        "NAN-COMPLEX",
        extension(14, array(NAN, NAN)),
        extension(14, array(NAN, NAN)),
        "And a complex number of it",
    ),
)


def twin_rules(why: str) -> tuple[str, ...]:
    """Whether they are one must not depend on the process that reads them."""
    return ("VALUE-6", "VALUE-8") if why.startswith("NAN") else ("VALUE-6",)


VALUES = Group(
    "invalid/values.json",
    "Asks whose message cannot be decoded: they are answered with the code, and nothing else happens",
    (
        strange("UNKNOWN-TYPE", "shop.orders:Refund", "Nothing of this name is loaded", id=uint(1)),
        strange("UNKNOWN-MODULE", "no.such.module:Thing", "A module that is not loaded is not loaded for it"),
        strange("UNTRUSTED", "shop_canary:Canary", "Nor one that could be: its import would leave a trace"),
        strange("POPEN", "subprocess:Popen", "A class that is no dataclass", args=array(text("true"))),
        strange("FUNCTION", "os:system", "No class at all", command=text("true")),
        strange("BUILTIN", "builtins:eval", "Nor a builtin", source=text("1")),
        strange("NO-COLON", "shop.orders.Add", "A dot where the colon should be"),
        strange("LOCAL", "shop.orders:make.<locals>.Add", "Nobody finds what is local to a function"),
        strange("DUNDER", "shop.orders:Add.__init__", "An attribute of a type that is admitted"),
        strange("EMPTY-NAME", "", "No name"),
        strange("LONG-NAME", "shop.orders:" + "A" * 5000, "A name that no log line should repeat"),
        undecodable(
            "UNKNOWN-ENUM", enum("Size", uint(1)), "An enum nobody knows", "VALUE-2", code="UNKNOWN_TYPE"
        ),
        undecodable("ENUM-AS-DATACLASS", dataclass("Color", value=uint(1)), "An enum is no dataclass"),
        undecodable("DATACLASS-AS-ENUM", enum("Add", uint(1)), "A dataclass is no enum"),
        undecodable("ENUM-VALUE", enum("Color", uint(99)), "A value without a member"),
        undecodable("MISSING-FIELD", dataclass("Item", name=text("tea")), "price has no default", "VALUE-3"),
        undecodable("POST-INIT", dataclass("Add", amount=uint(1000)), "The class itself refuses it", "VALUE-3"),
        undecodable(
            "DATACLASS-KEY",
            extension(1, array(text("shop.orders:Add"), mapping((uint(1), NIL)))),
            "A field's name",
        ),
        undecodable("DATACLASS-SHORT", extension(1, array(text("shop.orders:Get"))), "No fields"),
        undecodable("DATACLASS-MAP", extension(1, fields(type=text("shop.orders:Get"))), "A map for a body"),
        undecodable("CODE-0", extension(0, b"?"), "A code that is not in the table"),
        undecodable("CODE-15", extension(15, array()), "The first after the table's last"),
        undecodable("CODE-127", extension(127, b"?"), "The last code for applications"),
        undecodable("TIMESTAMP-32", extension(-1, bytes(4)), "msgpack's timestamps are not used"),
        undecodable("TIMESTAMP-64", extension(-1, bytes(8)), "In none of their formats"),
        undecodable("TIMESTAMP-96", extension(-1, bytes(12)), "Not even the longest"),
        undecodable(
            "TIMESTAMP-LONG", extension(-1, bytes(4), width=4), "And not in longer formats than needed"
        ),
        undecodable(
            "TIMESTAMP-WITHIN", array(uint(255), array(extension(-1, bytes(4)))), "And not within a value"
        ),
        undecodable("CODE-MINUS-2", extension(-2, b"?"), "Negative codes are msgpack's own"),
        undecodable("BODY-EMPTY", extension(3, b""), "A tuple without a body"),
        undecodable("BODY-TRAILING", extension(3, array().wire + b"\xc0"), "A body of two values"),
        undecodable("BODY-CUT", extension(3, b"\x92\x01"), "A body that is cut off"),
        undecodable(
            "BODY-LENGTH", extension(3, b"\xdd\xff\xff\xff\xff"), "A body that announces four billion elements"
        ),
        undecodable("BODY-UTF8", extension(8, b"\xa1\xff"), "A body with a bad str"),
        undecodable("TUPLE-MAP", extension(3, mapping()), "A map is no tuple"),
        undecodable("TUPLE-NIL", extension(3, NIL), "Nor is nil"),
        undecodable("SET-TWICE", extension(4, array(uint(1), uint(1))), "An element twice"),
        undecodable("SET-OF-ARRAY", extension(4, array(array())), "An element that can change"),
        undecodable("FROZENSET-TWICE", extension(5, array(text("a"), text("a"))), "An element twice"),
        undecodable("REF-ALONE", extension(2, array(text("n1"))), "A ref without a name"),
        undecodable("REF-NIL", extension(2, array(NIL, text("counter"))), "A ref to no node"),
        undecodable("DATETIME-TEXT", moment(7, "yesterday"), "No time"),
        undecodable("DATETIME-SHORT", moment(7, "2024-02-29T12:00:00"), "Without microseconds"),
        undecodable("DATETIME-Z", moment(7, "2024-02-29T12:00:00.000000Z"), "UTC is +00:00"),
        undecodable("DATETIME-FEBRUARY", moment(7, "2023-02-29T12:00:00.000000"), "A day that never was"),
        undecodable("DATETIME-FOLD", moment(7, "2024-02-29T12:00:00.000000", 2), "fold is 0 or 1"),
        undecodable(
            "DATETIME-PATH", moment(7, "2024-02-29T12:00:00.000000", 0, "../../etc/passwd"), "No zone's name"
        ),
        undecodable(
            "DATETIME-ROOT", moment(7, "2024-02-29T12:00:00.000000", 0, "/etc/localtime"), "Nor is a path"
        ),
        undecodable(
            "DATETIME-NOWHERE", moment(7, "2024-02-29T12:00:00.000000", 0, "No/Where"), "A zone nobody knows"
        ),
        undecodable(
            "DATETIME-TWO-ZONES",
            moment(7, "2024-02-29T12:00:00.000000+01:00", 0, "Europe/Berlin"),
            "An offset, and a zone that may say otherwise",
        ),
        undecodable(
            "DATETIME-PAIR",
            extension(7, array(text("2024-02-29T12:00:00.000000"), uint(0))),
            "No zone, not even nil",
        ),
        undecodable("DATE-WEEK", extension(8, text("2024-W09-4")), "Another way of ISO 8601"),
        undecodable("DATE-COMPACT", extension(8, text("20240229")), "And another"),
        undecodable("DATE-BIN", extension(8, binary(b"2024-02-29")), "A bin is no str"),
        undecodable("TIME-24", moment(9, "24:00:00.000000"), "After the last"),
        undecodable("TIMEDELTA-SECONDS", extension(10, array(uint(0), uint(86400), uint(0))), "That is a day"),
        undecodable(
            "TIMEDELTA-NEGATIVE", extension(10, array(uint(0), sint(-1), uint(0))), "Only days are negative"
        ),
        undecodable("TIMEDELTA-BOOL", extension(10, array(TRUE, uint(0), uint(0))), "true is not 1"),
        undecodable("TIMEDELTA-LARGE", extension(10, array(uint(2**63), uint(0), uint(0))), "Longer than time"),
        undecodable("DECIMAL-TEXT", extension(11, text("1,5")), "No number"),
        undecodable("DECIMAL-SPACE", extension(11, text(" 1")), "Not as it is printed"),
        undecodable("DECIMAL-SMALL-E", extension(11, text("1e+3")), "Nor this"),
        undecodable("UUID-SHORT", extension(12, bytes(15)), "15 bytes"),
        undecodable("UUID-LONG", extension(12, bytes(17)), "17 bytes"),
        undecodable("BIGINT-SMALL", extension(13, (1).to_bytes(9)), "1 has a format of its own"),
        undecodable("BIGINT-LARGEST-UINT", extension(13, (2**64 - 1).to_bytes(9)), "So has 2^64-1"),
        undecodable("BIGINT-PADDED", extension(13, (2**64).to_bytes(10)), "A byte more than needed"),
        undecodable("BIGINT-EMPTY", extension(13, b""), "No bytes"),
        undecodable("COMPLEX-INTS", extension(14, array(uint(1), uint(2))), "1 is not 1.0"),
        undecodable("COMPLEX-ONE", extension(14, array(f64(1.0))), "Half a number"),
        undecodable(
            "DEEP-WITHIN",
            array(fields(a=extension(3, array(extension(99, b"?"))))),
            "However deep it is hidden",
        ),
        undecodable("MAP-KEY", mapping((mapping(), FALSE)), "A key that can change"),
        *(
            undecodable(f"SET-{why}", extension(4, array(one, other)), comment, *twin_rules(why))
            for why, one, other, comment in TWINS
        ),
        *(
            undecodable(f"MAP-{why}", mapping((one, FALSE), (other, FALSE)), comment, *twin_rules(why))
            for why, one, other, comment in TWINS
        ),
        undecodable("SET-OF-TUPLE", extension(4, array(extension(3, array(array())))), "It holds an array"),
        undecodable(
            "MAP-TUPLE-KEY", mapping((extension(3, array(mapping())), NIL)), "It holds a map", "VALUE-1"
        ),
        undecodable("REF-NODE", extension(2, array(text("n/1"), text("a"))), "No node id", "VALUE-7"),
        undecodable("REF-NAME", extension(2, array(text("n1"), text(""))), "No name", "VALUE-7"),
        undecodable(
            "DATETIME-MINUS-ZERO",
            moment(7, "2024-02-29T12:00:00.000000-00:00"),
            "UTC is +00:00, and never -00:00",
        ),
        undecodable("DATETIME-YEAR", moment(7, "0000-01-01T00:00:00.000000"), "There was no year 0", "VALUE-7"),
        undecodable(
            "DATETIME-OFFSET-DAY",
            moment(7, "2024-02-29T12:00:00.000000+24:00"),
            "An offset of a day",
            "VALUE-7",
        ),
        undecodable(
            "DATETIME-LEAP", moment(7, "2016-12-31T23:59:60.000000+00:00"), "Leap seconds are not told"
        ),
        undecodable(
            "TIMEDELTA-DAYS",
            extension(10, array(uint(1_000_000_000), uint(0), uint(0))),
            "A day too many",
            "VALUE-7",
        ),
        *(
            undecodable(f"DECIMAL-{why}", extension(11, text(digits)), comment, "VALUE-7")
            for why, digits, comment in (
                ("E0", "1E+0", "That is 1"),
                ("MILLE", "1000E-3", "That is 1.000"),
                ("PLUS", "+1", "No sign where there is none"),
                ("ZERO-BEFORE", "01", "No zero before"),
                ("POINT", "1.", "No point without a digit"),
                ("EXPONENT", "1E+1000000000000000000", "An exponent of 19 digits"),
                ("INF", "Inf", "Its name is Infinity"),
            )
        ),
        in_message("MESSAGE-UNKNOWN", POPEN, "A message of an unknown type is dropped", "VALUE-2"),
        in_message("MESSAGE-CODE", extension(99, b"?"), "So is one of an unknown code", "VALUE-4"),
    ),
)
