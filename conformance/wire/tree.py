"""A frame part by part: every field with its place in the bytes, as far as they can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from conformance._protocol import EXT_NAMES, EXT_RAW, SHAPES, STRUCT_FORMS, STRUCTS, TYPE_NAMES, Field
from conformance.wire.packed import Node, PackedError, key_label, read
from conformance.wire.problem import Label, joined
from conformance.wire.reading import examine
from conformance.wire.schema import described

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.wire.frame import Frame


class Line(NamedTuple):
    """One part of a frame: its bytes from `start` to `end`, the path of the field, and what it says."""

    start: int
    end: int
    path: str
    """As in `PayloadError`; empty for the payload as a whole."""
    depth: int
    """How far it is indented: 0 for the parts of the frame, 1 for the payload's fields …"""
    format: str
    """The layout's type or msgpack's format: ``u8``, ``fixstr``, ``uint 64`` …"""
    text: str

    def __str__(self) -> str:
        place = f"{self.start:04x}+{self.end - self.start:<5}"
        return f"{place} {'  ' * self.depth}{self.path or 'payload'} = {self.text}  ({self.format})"


class _Item(NamedTuple):
    node: Node
    path: str
    depth: int
    kind: str
    """What the tables say it is: a field's kind, a shape's name, or nothing for fields nobody knows."""


def tree(frame: Frame) -> list[Line]:
    """The frame's lines in the order of its bytes. Never raises: what cannot be read is left out."""
    return [*_head(frame), *_payload(frame)]


def _head(frame: Frame) -> Iterator[Line]:
    name_end = 3 + len(frame.name)
    name = TYPE_NAMES.get(frame.type, "of no known type")
    yield Line(0, 1, "type", 0, "u8", f"{frame.type} {name}")
    yield Line(1, 3, "name_length", 0, "u16", f"{len(frame.name)}")
    if frame.name:
        yield Line(3, name_end, "name", 0, "utf8", repr(frame.name.decode(errors="backslashreplace")))
    yield Line(name_end, frame.payload_start, "payload_length", 0, "u32", f"{len(frame.payload)}")


def _payload(frame: Frame) -> Iterator[Line]:
    found = examine(frame, None)
    if found.root is None:
        return
    data = frame.encode()
    is_value = found.kind == "ACTOR_MSG"
    todo = [_Item(found.root, "message" if is_value else "", 0, "value" if is_value else found.kind)]
    while todo:
        item = todo.pop()
        node = item.node
        yield Line(node.start, node.end, item.path, item.depth, node.format, _text(node))
        todo.extend(reversed(list(_parts(data, item))))


def _text(node: Node) -> str:
    if node.kind == "ext":
        name = EXT_NAMES.get(node.code, "of no known code")
        return f"extension {node.code}: {name}, a body of {node.count:,} bytes"
    return described(node)


def _parts(data: bytes, item: _Item) -> Iterator[_Item]:
    node = item.node
    match node.kind:
        case "map":
            fields = {field.name: field.kind for field in _fields(item.kind)}
            fallback = "value" if item.kind == "value" else ""
            for key, value in zip(node.children[::2], node.children[1::2], strict=False):
                label = key_label(key)
                kind = _entry_kind(node, fields.get(label, fallback)) if item.kind == "entry" else ""
                yield _Item(
                    value, joined(item.path, label), item.depth + 1, kind or fields.get(label, fallback)
                )
        case "array":
            for at, child in enumerate(node.children):
                step, kind = _element(item.kind, at)
                yield _Item(child, joined(item.path, step), item.depth + 1, kind)
        case "ext" if item.kind == "value" and node.code in EXT_NAMES and node.code not in EXT_RAW:
            yield from _body(data, node, item, "value")
        case "bin" if item.kind == "configuration":
            yield from _body(data, node, item, "configuration")
        case _:
            return


def _fields(kind: str) -> tuple[Field, ...]:
    return SHAPES.get(kind) or STRUCTS.get(kind, ())


def _entry_kind(entry: Node, kind: str) -> str:
    """The data of an entry of kind members is the configuration."""
    said = {
        key.value: value.value for key, value in zip(entry.children[::2], entry.children[1::2], strict=False)
    }
    return "configuration" if kind == "bin" and said.get("kind") == "members" else ""


def _element(kind: str, at: int) -> tuple[Label, str]:
    if kind.startswith("list<"):
        return at, kind[5:-1]
    if STRUCT_FORMS.get(kind) == "array" and at < len(STRUCTS[kind]):
        field = STRUCTS[kind][at]
        return field.name, field.kind
    return at, "value" if kind == "value" else ""


def _body(data: bytes, node: Node, item: _Item, kind: str) -> Iterator[_Item]:
    try:
        body = read(data, node.body_start, node.end, node.level)
    except PackedError as error:
        if error.seen is None:
            return
        body = error.seen
    # The body has no name of its own: its parts go by the path of what holds it.
    yield from _parts(data, _Item(body, item.path, item.depth, kind)) if body.children else ()
