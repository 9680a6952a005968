"""Writes `tools/wire_dump/casty.lua`: the dissector for Wireshark and tshark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from generator.model import Field, Protocol

_SCRIPT = Path(__file__).with_name("dissector.lua")
_KINDS = {
    "u63": "uint64",
    "u64": "uint64",
    "bool": "bool",
    "str": "string",
    "bin": "bytes",
    "bin16": "bytes",
}
"""What Wireshark calls the kinds of scalars; everything else is shown as text."""


def dissector(protocol: Protocol) -> str:
    """The whole script: the tables of the specification, and the code that is the same for all versions."""
    tables = "\n".join(_tables(protocol))
    return _SCRIPT.read_text(encoding="utf-8").replace("--@TABLES@", tables)


def _tables(protocol: Protocol) -> Iterator[str]:
    limit = next(limit.value for limit in protocol.limits if limit.name == "frame_bytes_max")
    depth = next(limit.value for limit in protocol.limits if limit.name == "depth_max")
    yield f"local FRAME_BYTES_MAX = {limit}"
    yield f"local DEPTH_MAX = {depth}"
    yield from _table("TYPES", ((f"[{type.id}]", _text(type.name)) for type in protocol.types))
    yield from _table("FRAME_NAMES", ((f"[{type.id}]", _text(type.frame_name)) for type in protocol.types))
    rows = ((f"[{t.id}]", _text(t.payload)) for t in protocol.types if t.payload is not None)
    yield from _table("PLAIN_PAYLOADS", rows)
    yield from _table("SHAPES", ((f"[{_text(name)}]", _shape(fields)) for name, fields in protocol.shapes))
    structs = (
        (f"[{_text(s.name)}]", f"{{ form = {_text(s.form)}, fields = {_shape(s.fields)} }}")
        for s in protocol.structs
    )
    yield from _table("STRUCTS", structs)
    raw = (
        (f"[{e.code}]", f"{{ {_text(e.name)}, {'true' if e.is_raw else 'false'} }}")
        for e in protocol.extensions
    )
    yield from _table("EXTENSIONS", raw)
    yield from _table("FIELDS", _fields(protocol))


def _fields(protocol: Protocol) -> Iterator[tuple[str, str]]:
    """One filter name per field name; where kinds differ, or it holds others, it is text."""
    kinds: dict[str, str] = {}
    abouts: dict[str, str] = {}
    for fields in (*(fields for _, fields in protocol.shapes), *(struct.fields for struct in protocol.structs)):
        for field in fields:
            kind = _KINDS.get(field.type, "string")
            kinds[field.name] = kind if kinds.get(field.name, kind) == kind else "string"
            abouts.setdefault(field.name, field.about)
    for name in sorted(kinds):
        yield f"[{_text(name)}]", f"{{ {_text(kinds[name])}, {_text(abouts[name])} }}"


def _shape(fields: Iterable[Field]) -> str:
    return "{ " + ", ".join(f"{{ {_text(field.name)}, {_text(field.type)} }}" for field in fields) + " }"


def _table(name: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f"local {name} = {{"
    for key, value in rows:
        yield f"  {key} = {value},"
    yield "}"


def _text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
