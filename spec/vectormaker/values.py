"""User values: each kind, at its limits, as the payload of an ACTOR_MSG."""

from __future__ import annotations

from functools import reduce
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
    f32,
    f64,
    fields,
    mapping,
    nested,
    sint,
    text,
    uint,
    unread,
)
from vectormaker.vector import Group, valid


def value(id: str, payload: Value, comment: str, *rules: str, canonical: bool = True) -> Any:
    return valid(f"VALUE-{id}", 1, "echo", payload, comment, *(rules or ("VALUE-1",)), canonical=canonical)


def enum(name: str, member: Value) -> Value:
    return extension(6, array(text(f"shop.orders:{name}"), member))


def big(value: int, length: int) -> Value:
    return extension(13, value.to_bytes(length, signed=True))


PLAIN = Group(
    "valid/values-plain.json",
    "Values that msgpack has formats for",
    (
        value("NIL", NIL, "nil"),
        value("FALSE", FALSE, "false, which is not 0"),
        value("TRUE", TRUE, "true, which is not 1"),
        *(
            value(
                f"UINT-{number}", uint(number), "The last or first integer of a format", "VALUE-1", "PAYLOAD-7"
            )
            for number in (0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
        ),
        *(
            value(
                f"INT-{-number}",
                sint(number),
                f"{number}: the last or first of a format",
                "VALUE-1",
                "PAYLOAD-7",
            )
            for number in (-1, -32, -33, -128, -129, -(2**15), -(2**15) - 1, -(2**31), -(2**31) - 1, -(2**63))
        ),
        value("INT-LONG", sint(-1, 8), "-1 in the longest format", "PAYLOAD-7", canonical=False),
        value("FLOAT", f64(1.5), "1.5"),
        value("FLOAT-WHOLE", f64(1.0), "1.0 is not 1"),
        value("FLOAT-SUBNORMAL", f64(5e-324), "The smallest there is"),
        value("FLOAT-MINUS-ZERO", f64(-0.0), "-0.0 keeps its sign"),
        value("FLOAT-INF", f64(float("inf")), "Infinity"),
        value("FLOAT-MINUS-INF", f64(float("-inf")), "Minus infinity"),
        value("FLOAT-NAN", f64(float("nan")), "Not a number"),
        value("FLOAT-32", f32(1.5), "A float of 32 bits is one of 64", canonical=False),
        value("STR-EMPTY", text(""), "An empty str, which is not nil"),
        value("STR-ASTRAL", text("𝄞 😀 ﷽ \x00"), "Characters of every length, and a zero"),
        *(
            value(f"STR-{length}", text("s" * length), "The last or first length of a format", "PAYLOAD-7")
            for length in (31, 32, 255, 256)
        ),
        value("STR-LONG", text("s", 4), "A short str in the longest format", "PAYLOAD-7", canonical=False),
        value("BIN-EMPTY", binary(b""), "An empty bin, which is not an empty str"),
        value("BIN", binary(b"\x00\xff\xc1"), "Any bytes"),
        value("BIN-256", binary(b"b" * 256), "The first length of bin 16", "PAYLOAD-7"),
        value("ARRAY-EMPTY", array(), "An empty array"),
        value("ARRAY-15", array(*(uint(n) for n in range(15))), "The last length of fixarray", "PAYLOAD-7"),
        value("ARRAY-16", array(*(uint(n) for n in range(16))), "The first length of array 16", "PAYLOAD-7"),
        value("MAP-EMPTY", mapping(), "An empty map"),
        value(
            "MAP-15", mapping(*((uint(n), NIL) for n in range(15))), "The last length of fixmap", "PAYLOAD-7"
        ),
        value(
            "MAP-16", mapping(*((uint(n), NIL) for n in range(16))), "The first length of map 16", "PAYLOAD-7"
        ),
        value(
            "MAP-KEYS",
            mapping(
                (NIL, uint(1)), (TRUE, uint(2)), (uint(5), uint(3)), (text(""), uint(4)), (binary(b""), uint(5))
            ),
            "Keys of any kind",
        ),
        value("MAP-TUPLE-KEY", mapping((extension(3, array(uint(1))), TRUE)), "Even a tuple"),
        value(
            "MAP-OTHER-KEYS",
            mapping(
                (extension(5, array(uint(1))), uint(1)),
                (enum("Color", uint(1)), uint(2)),
                (dataclass("Get"), uint(3)),
                (extension(8, text("2024-02-29")), uint(4)),
                (extension(2, array(text("n1"), text("a"))), uint(5)),
                (f64(1.5), uint(6)),
            ),
            "A frozenset, an enum, a dataclass that cannot change, a date, a ref, a float",
        ),
        value("MAP-NAN-KEY", mapping((f64(float("nan")), NIL)), "NaN may stand once", "VALUE-6"),
        value(
            "MAP-NEAR-KEYS",
            mapping((uint(2), NIL), (f64(2.5), NIL), (TRUE, NIL), (text("1"), NIL), (binary(b"1"), NIL)),
            "Keys that are not equal, though alike",
            "VALUE-6",
        ),
        value("NESTED-100", nested(100), "A hundred levels"),
        value("NESTED-256", unread(nested(256)), "As deep as a payload may be", "VALUE-1", "PAYLOAD-6"),
    ),
)


def moment(code: int, local: str, fold: int = 0, zone: str | None = None) -> Value:
    return extension(code, array(text(local), uint(fold), NIL if zone is None else text(zone)))


ITEM = dataclass("Item", name=text("tea"), price=f64(2.5))

EXTENSIONS = Group(
    "valid/values-extensions.json",
    "Extension values. shop.orders and its types are described in the README",
    (
        value("DATACLASS", dataclass("Add", amount=uint(2)), "A dataclass: its type and its fields"),
        value("DATACLASS-EMPTY", dataclass("Get"), "One without fields"),
        value(
            "DATACLASS-NESTED",
            dataclass("Order", id=uint(1), items=array(ITEM, ITEM), note=text("")),
            "Any depth",
        ),
        value(
            "DATACLASS-NEWER",
            dataclass("Add", amount=uint(2), unit=text("l")),
            "An unknown field is ignored",
            "VALUE-3",
            canonical=False,
        ),
        value(
            "DATACLASS-OLDER", dataclass("Add"), "A missing one takes its default", "VALUE-3", canonical=False
        ),
        value(
            "DATACLASS-ORDER",
            dataclass("Item", price=f64(2.5), name=text("tea")),
            "Fields in any order",
            "PAYLOAD-7",
            canonical=False,
        ),
        value("REF", extension(2, array(text("n1"), text("counter"))), "An actor, wherever it is", "VALUE-5"),
        value(
            "REF-NUMBER",
            extension(2, array(text("n1"), text("@17"))),
            "One without a name",
            "VALUE-5",
            "MSG-11",
        ),
        value("TUPLE-EMPTY", extension(3, array()), "No list"),
        value(
            "TUPLE", extension(3, array(uint(1), array(uint(2)), extension(3, array(NIL)))), "With all in it"
        ),
        value(
            "TUPLE-DEEP",
            unread(reduce(lambda inner, _: extension(3, array(inner)), range(127), array(NIL, array()))),
            "A tuple is two levels, its extension value and its array: 256 in all",
            "PAYLOAD-6",
        ),
        value("SET-EMPTY", extension(4, array()), "An empty set, which is no empty map"),
        value("SET", extension(4, array(text("a"))), "A set"),
        value("SET-ANY-ORDER", extension(4, array(uint(3), uint(1), uint(2))), "In any order", canonical=False),
        value("FROZENSET", extension(5, array(extension(5, array()))), "A set in a set"),
        value("ENUM", enum("Color", uint(1)), "An enum's member by its value"),
        value("ENUM-STR", enum("Color", text("blue")), "Values may be of any kind"),
        value("ENUM-TUPLE", enum("Color", extension(3, array(uint(1), uint(2)))), "Extension values, too"),
        value("FLAGS", enum("Access", uint(3)), "Flags combined"),
        value("DATETIME", moment(7, "2024-02-29T23:59:59.999999"), "Local time of nowhere"),
        value("DATETIME-UTC", moment(7, "2024-02-29T12:00:00.000000+00:00"), "UTC"),
        value("DATETIME-OFFSET", moment(7, "0001-01-01T00:00:00.000000-05:30"), "A fixed offset"),
        value("DATETIME-SECONDS", moment(7, "1900-01-01T00:00:00.000000+00:17:30"), "Offsets may have seconds"),
        value(
            "DATETIME-ZONE", moment(7, "2024-07-01T12:00:00.000000", 0, "Europe/Berlin"), "A zone by its name"
        ),
        value("DATETIME-FOLD", moment(7, "2024-10-27T02:30:00.000000", 1, "Europe/Berlin"), "The second 02:30"),
        value(
            "DATETIME-MICROS",
            moment(7, "1900-01-01T00:00:00.000000+00:00:00.000001"),
            "And microseconds, without a second",
        ),
        value(
            "DATETIME-MINUS-MICROS",
            moment(7, "1900-01-01T00:00:00.000000-23:59:59.999999"),
            "The furthest west",
        ),
        value("TIME-MICROS", moment(9, "00:00:00.000000-00:00:00.500000"), "Half a second west"),
        value("DATE", extension(8, text("9999-12-31")), "A day"),
        value("TIME", moment(9, "00:00:00.000001"), "A time of day"),
        value("TIME-OFFSET", moment(9, "23:59:59.000000+14:00"), "With an offset"),
        value("TIMEDELTA", extension(10, array(uint(1), uint(2), uint(3))), "Days, seconds, microseconds"),
        value(
            "TIMEDELTA-NEGATIVE",
            extension(10, array(sint(-1), uint(86399), uint(999999))),
            "Minus a microsecond: only the days are negative",
        ),
        value(
            "TIMEDELTA-LARGEST",
            extension(10, array(uint(999_999_999), uint(86399), uint(999999))),
            "The longest",
        ),
        value(
            "TIMEDELTA-SMALLEST",
            extension(10, array(sint(-999_999_999), uint(0), uint(0))),
            "And the other way",
            "VALUE-7",
        ),
        *(
            value(f"DECIMAL-{id}", extension(11, text(digits)), comment, "VALUE-7")
            for id, digits, comment in (
                ("MINUS-ZERO", "-0", "Zero has a sign"),
                ("ZERO-EXPONENT", "0E+3", "And an exponent"),
                ("SMALL", "0.000001", "Six places need no exponent"),
                ("SMALLER", "1E-7", "Seven do"),
                ("DIGITS", "1.23E+5", "One digit before the point"),
                ("LARGEST", "1E+999999999999999999", "18 digits of exponent"),
                ("NAN-DIGITS", "-NaN12", "Not a number, with a sign and digits"),
            )
        ),
        value("DECIMAL", extension(11, text("-12.50")), "Digits count: not -12.5"),
        value("DECIMAL-EXPONENT", extension(11, text("1E+3")), "As it is printed"),
        value("DECIMAL-NAN", extension(11, text("NaN")), "Not a number"),
        value("DECIMAL-INF", extension(11, text("-Infinity")), "Minus infinity"),
        value(
            "UUID",
            extension(12, bytes.fromhex("00112233445566778899aabbccddeeff")),
            "16 raw bytes in a fixext 16",
        ),
        value("BIGINT", big(2**64, 9), "The first integer that msgpack cannot hold"),
        value("BIGINT-NEGATIVE", big(-(2**63) - 1, 9), "The first on the other side"),
        value("BIGINT-SHORTEST", big(-(2**71), 9), "Two's complement in the fewest bytes"),
        value("BIGINT-FIXEXT", big(2**120, 16), "16 bytes in a fixext 16"),
        value("BIGINT-LARGE", big(-(2**2047), 256), "256 bytes in an ext 16"),
        value("COMPLEX", extension(14, array(f64(1.5), f64(-0.0))), "Two floats"),
        value(
            "EXT-LONG",
            extension(8, text("2024-02-29"), width=4),
            "In the longest format",
            "PAYLOAD-7",
            canonical=False,
        ),
        value(
            "EXT-IN-ALL",
            fields(a=extension(4, array(dataclass("Get"))), b=dataclass("Add", amount=extension(3, array()))),
            "Everything in everything; fields are not checked against their hints",
        ),
    ),
)
