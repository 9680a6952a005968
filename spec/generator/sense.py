"""Says what is wrong with `protocol.toml` though it can be read: ids used twice, types nobody knows."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from generator.model import CONNECTIONS, FRAME_NAMES, HAPPENED, LEVELS, PAGES, PAYLOADS, SCALARS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from generator.model import Field, Protocol

_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_FIELD = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_RULE = re.compile(r"[A-Z]+[0-9]?-[1-9][0-9]*")


def problems(protocol: Protocol) -> list[str]:
    """One sentence for each thing that makes no sense, in the order of the file."""
    return [
        *_limits(protocol),
        *_types(protocol),
        *_structs(protocol),
        *_extensions(protocol),
        *_errors(protocol),
        *_rules(protocol),
    ]


def _limits(protocol: Protocol) -> Iterator[str]:
    for limit in protocol.limits:
        yield from _expect(f"limit {limit.name}", _FIELD.fullmatch(limit.name), "a lower-case name")
        yield from _expect(f"limit {limit.name}", limit.value > 0, "a positive value")
        yield from _expect(f"limit {limit.name}", limit.about and limit.why, "an about and a why")


def _types(protocol: Protocol) -> Iterator[str]:
    names = {type.name for type in protocol.types}
    reserved = {id for id, _ in protocol.reserved}
    yield from _twice("type id", [type.id for type in protocol.types])
    yield from _twice("type name", [type.name for type in protocol.types])
    if protocol.types != tuple(sorted(protocol.types, key=lambda type: type.id)):
        yield "types: expected in the order of their ids"
    for type in protocol.types:
        place = f"type {type.name}"
        yield from _expect(place, _NAME.fullmatch(type.name), "an upper-case name")
        yield from _expect(place, 1 <= type.id <= 255 and type.id not in reserved, "an id 1 … 255 not reserved")
        yield from _expect(place, type.frame_name in FRAME_NAMES, f"frame_name one of {', '.join(FRAME_NAMES)}")
        yield from _expect(
            place, type.reply is None or type.reply in names, f"a reply that exists, not {type.reply}"
        )
        yield from _expect(place, type.payload in (None, *PAYLOADS), f"payload one of {', '.join(PAYLOADS)}")
        kinds = [type.payload is not None, bool(type.fields), bool(type.forms)]
        yield from _expect(place, sum(kinds) == 1, "one of payload, fields and form")
        yield from _twice(f"{place}: form", [form.name for form in type.forms])
    for name, fields in protocol.shapes:
        yield from _fields(f"type {name}", fields, protocol)


def _structs(protocol: Protocol) -> Iterator[str]:
    yield from _twice("struct", [struct.name for struct in protocol.structs])
    for struct in protocol.structs:
        place = f"struct {struct.name}"
        yield from _expect(place, struct.form in ("map", "array"), "form map or array")
        yield from _expect(place, struct.name not in SCALARS, "a name that is no scalar's")
        optional = [field.name for field in struct.fields if field.optional]
        yield from _expect(place, struct.form == "map" or not optional, "no optional field in an array")
        yield from _fields(place, struct.fields, protocol)


def _fields(place: str, fields: Iterable[Field], protocol: Protocol) -> Iterator[str]:
    known = {*SCALARS, *(struct.name for struct in protocol.structs)}
    yield from _twice(f"{place}: field", [field.name for field in fields])
    for field in fields:
        here = f"{place}.{field.name}"
        yield from _expect(here, _FIELD.fullmatch(field.name), "a lower-case name")
        yield from _expect(
            here, (field.list_of or field.type) in known, f"a type that exists, not {field.type}"
        )
        yield from _expect(here, not field.enum or field.type == "str", "an enum of strs only")
        yield from _expect(here, field.about, "an about")
        yield from _twice(f"{here}: enum", list(field.enum))


def _extensions(protocol: Protocol) -> Iterator[str]:
    yield from _twice("extension code", [extension.code for extension in protocol.extensions])
    yield from _twice("extension name", [extension.name for extension in protocol.extensions])
    for extension in protocol.extensions:
        yield from _expect(f"extension {extension.name}", 0 <= extension.code <= 127, "a code 0 … 127")
        yield from _expect(
            f"extension {extension.name}", extension.about and extension.body, "a body and an about"
        )


def _errors(protocol: Protocol) -> Iterator[str]:
    codes = [error.code for error in protocol.errors] + [error.code for error in protocol.ask_errors]
    yield from _twice("error code", codes)
    for code in codes:
        yield from _expect(f"error {code}", _NAME.fullmatch(code), "an upper-case name")
    for error in protocol.errors:
        yield from _expect(f"error {error.code}", error.connection in CONNECTIONS, "connection close or keep")
    for ask_error in protocol.ask_errors:
        yield from _expect(
            f"ask error {ask_error.code}",
            ask_error.happened in HAPPENED,
            f"happened one of {', '.join(HAPPENED)}",
        )
        yield from _expect(
            f"ask error {ask_error.code}", ask_error.error.endswith("Error"), "an exception's name"
        )


def _rules(protocol: Protocol) -> Iterator[str]:
    ids = {rule.id for rule in protocol.rules}
    codes = {error.code for error in protocol.errors} | {error.code for error in protocol.ask_errors}
    yield from _twice("rule id", [rule.id for rule in protocol.rules])
    for rule in protocol.rules:
        place = f"rule {rule.id}"
        yield from _expect(place, _RULE.fullmatch(rule.id), "an id like VOTE-3")
        yield from _expect(place, rule.level in LEVELS, f"level one of {', '.join(LEVELS)}")
        yield from _expect(place, rule.page in PAGES, f"page one of {', '.join(PAGES)}")
        yield from _expect(place, rule.text.endswith("."), "a text that ends in a full stop")
        yield from _expect(place, rule.page != "raft" or rule.source, "a source, as every rule of Raft has")
        for named in re.findall(r"\b[A-Z]+-[0-9]+\b", f"{rule.text} {rule.why}"):
            yield from _expect(
                place, named in ids or named.startswith(("RFC-", "CRC-", "UTF-")), f"no rule {named}"
            )
        for code in re.findall(r"\b[A-Z]+_[A-Z_]+[A-Z]\b", rule.text):
            known = code in codes or any(code == type.name for type in protocol.types) or code.startswith("CF_")
            yield from _expect(place, known, f"no name that nothing has, such as {code}")


def _expect(place: str, condition: object, expectation: str) -> Iterator[str]:
    if not condition:
        yield f"{place}: expected {expectation}"


def _twice(what: str, values: list[str] | list[int]) -> Iterator[str]:
    for value, times in Counter[str | int](values).items():
        if times > 1:
            yield f"{what} {value}: {times} times; expected once"
