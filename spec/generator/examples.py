"""Takes a golden frame apart, byte by byte, for the prose pages: `<!-- generated: example VECTOR-ID -->`."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from generator.model import Protocol

_BYTES_A_LINE = 12


class Example(NamedTuple):
    """A valid vector: what it shows, and its bytes."""

    comment: str
    wire: bytes


def load(vectors: Path) -> Mapping[str, Example]:
    """The valid vectors below `vectors`, by their ids."""
    examples: dict[str, Example] = {}
    for path in sorted(vectors.glob("valid/*.json")):
        for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]:
            examples[vector["id"]] = Example(vector["comment"], bytes.fromhex(vector["wire"]))
    return examples


def taken_apart(id: str, example: Example, protocol: Protocol) -> str:
    """The frame as lines of hex with what each says, below a line that names it."""
    wire = example.wire
    name_end = 3 + int.from_bytes(wire[1:3])
    type_name = next(type.name for type in protocol.types if type.id == wire[0])
    parts = [
        (wire[:1], f"type {wire[0]}: {type_name}"),
        (wire[1:3], f"a name of {name_end - 3} bytes"),
        (wire[3:name_end], f'"{wire[3:name_end].decode()}"'),
        (wire[name_end : name_end + 4], f"a payload of {len(wire) - name_end - 4} bytes"),
        *_Reader(wire, name_end + 4, protocol).value(0),
    ]
    lines = [line for part, text in parts for line in _lines(part, text)]
    width = max(len(hex) for hex, _ in lines)
    shown = "\n".join(f"    {hex:<{width}}  {text}".rstrip() for hex, text in lines)
    return f"{example.comment} (vector `{id}`):\n\n{shown}"


def _lines(part: bytes, text: str) -> Iterator[tuple[str, str]]:
    for start in range(0, len(part), _BYTES_A_LINE):
        yield part[start : start + _BYTES_A_LINE].hex(" "), "" if start else text


_HEADS = {
    0xC4: ("bin", 1),
    0xC5: ("bin", 2),
    0xCA: ("float", 4),
    0xCB: ("float", 8),
    **{first: ("uint", width) for first, width in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8))},
    **{first: ("int", width) for first, width in ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8))},
    **{0xD4 + power: ("fixext", 1 << power) for power in range(5)},
    0xC7: ("ext", 1),
    0xD9: ("str", 1),
    0xDC: ("array", 2),
}
"""The kind of value that begins so, and the bytes of its number or its length. As much as examples need."""


class _Reader:
    """Goes through one msgpack value, part by part."""

    def __init__(self, data: bytes, start: int, protocol: Protocol) -> None:
        self._data = data
        self._at = start
        self._extensions = {extension.code: extension for extension in protocol.extensions}

    def value(self, depth: int) -> Iterator[tuple[bytes, str]]:
        indent = "  " * depth
        first = self._data[self._at]
        if first <= 0x7F or first >= 0xE0:
            yield self._take(1), f"{indent}{first if first < 0x80 else first - 256}"
        elif first <= 0x8F:
            yield self._take(1), f"{indent}a map of {first & 0x0F}"
            yield from self._values(2 * (first & 0x0F), depth + 1)
        elif first <= 0x9F:
            yield self._take(1), f"{indent}an array of {first & 0x0F}"
            yield from self._values(first & 0x0F, depth + 1)
        elif first <= 0xBF:
            text = self._take(1 + (first & 0x1F))
            yield text, f'{indent}"{text[1:].decode()}"'
        elif first in (0xC0, 0xC2, 0xC3):
            yield self._take(1), indent + {0xC0: "nil", 0xC2: "false", 0xC3: "true"}[first]
        else:
            yield from self._longer(*_HEADS[first], depth)

    def _longer(self, kind: str, width: int, depth: int) -> Iterator[tuple[bytes, str]]:
        indent = "  " * depth
        if kind in ("ext", "fixext"):
            yield from self._extension(kind, width, depth)
            return
        head = self._take(1 + width)
        number = int.from_bytes(head[1:], signed=kind == "int")
        if kind in ("uint", "int"):
            yield head, f"{indent}{number}"
        elif kind == "float":
            yield head, f"{indent}{struct.unpack('!d' if width == 8 else '!f', head[1:])[0]!r}"
        elif kind == "array":
            yield head, f"{indent}an array of {number}"
            yield from self._values(number, depth + 1)
        else:
            content = self._take(number)
            yield (
                head + content,
                f'{indent}"{content.decode()}"' if kind == "str" else f"{indent}a bin of {number}",
            )

    def _extension(self, kind: str, width: int, depth: int) -> Iterator[tuple[bytes, str]]:
        head = self._take(2 if kind == "fixext" else 2 + width)
        length = width if kind == "fixext" else int.from_bytes(head[1:-1])
        extension = self._extensions[head[-1]]
        yield head, f"{'  ' * depth}extension {extension.code}: {extension.name}, a body of {length} bytes"
        if extension.is_raw:
            yield self._take(length), f"{'  ' * (depth + 1)}{length} raw bytes"
        else:
            yield from self.value(depth + 1)

    def _values(self, count: int, depth: int) -> Iterator[tuple[bytes, str]]:
        for _ in range(count):
            yield from self.value(depth)

    def _take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        self._at += count
        return part
