"""Whether a payload has the fields that the tables of `spec/wire.md` give its type (PAYLOAD-1 … PAYLOAD-4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from conformance._protocol import NUMBER_MAX, SHAPES, STRUCT_FORMS, STRUCTS, Field
from conformance.wire.problem import PayloadError, Stage, joined, shown
from conformance.wire.record import Boot, Configuration, Entry, Peer, Server
from conformance.wire.value import faults_of_unread, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conformance.wire.packed import Node

BROKEN: Final = object()
"""Stands for a field with a problem."""

_RECORDS: Mapping[str, Callable[..., Server | Entry | Peer | Boot]] = {
    "server": Server,
    "entry": Entry,
    "peer": Peer,
    "boot": Boot,
}


class Fields:
    """Reads the fields of one payload; what is wrong is added to `problems`."""

    def __init__(self, data: bytes, kind: str) -> None:
        self.problems: list[PayloadError] = []
        self.nodes: dict[str, Node] = {}
        """By its path, each value that has one."""
        self.stage: Stage = "schema"
        """That of the problems that are added from now on."""
        self.data = data
        self._kind = kind

    def of_payload(self, root: Node, shape: str) -> dict[str, Any]:
        """The known fields that are present, in the order of the table."""
        self.nodes[""] = root
        return self._map(root, SHAPES[shape], "")

    def value(self, node: Node, path: str) -> Any:
        """A user's value."""
        self.nodes[path] = node
        return unpack(self.data, node, self.problems, self._kind, path)

    def configuration(self, root: Node, path: str) -> Configuration | None:
        """The data of entry 1."""
        before = len(self.problems)
        self.nodes[path] = root
        fields = self._map(root, STRUCTS["configuration"], path)
        whole = len(self.problems) == before
        return Configuration(fields["cluster_id"], fields["members"]) if whole else None

    def add(
        self, path: str, node: Node, rule: str, expected: str, got: str, *, code: str = "BAD_PAYLOAD"
    ) -> None:
        """Notes what is wrong with a value."""
        self.add_at(path, node.start, node.end, rule, expected, got, code=code)

    def add_at(
        self, path: str, start: int, end: int, rule: str, expected: str, got: str, *, code: str = "BAD_PAYLOAD"
    ) -> None:
        """Notes what is wrong with some bytes."""
        problem = PayloadError(
            self.stage, code, rule, kind=self._kind, path=path, expected=expected, got=got, start=start, end=end
        )
        self.problems.append(problem)

    def _map(self, node: Node, fields: tuple[Field, ...], path: str) -> dict[str, Any]:
        if node.kind != "map":
            rule = "PAYLOAD-2" if path else "PAYLOAD-1"
            self.add(path, node, rule, f"a map of {', '.join(field.name for field in fields)}", described(node))
            return {}
        present = self._keys(node, path)
        known = {field.name for field in fields}
        for name, value in present.items():
            if name not in known and value.level:
                self._unread(joined(path, name), value)
        found: dict[str, Any] = {}
        for field in fields:
            here = joined(path, field.name)
            if field.name in present:
                found[field.name] = self._field(present[field.name], field, here)
            elif not field.optional:
                self.add(here, node, "PAYLOAD-2", expectation(field), "no such field")
        return found

    def _keys(self, node: Node, path: str) -> Mapping[str, Node]:
        present: dict[str, Node] = {}
        for key, value in node.pairs:
            if isinstance(key.value, str):
                present[key.value] = value
            else:
                # Many a reader of msgpack cannot even represent an array or a map as a key.
                stage, self.stage = self.stage, "msgpack" if key.kind in ("array", "map") else self.stage
                self.add(path, key, "PAYLOAD-1", "a str as a key", described(key))
                self.stage = stage
        return present

    def _unread(self, path: str, node: Node) -> None:
        """A field that nobody knows is ignored, but not whatever it is."""
        stage, self.stage = self.stage, "msgpack"
        for rule, at, expected in faults_of_unread(self.data, node):
            self.add(path, at, rule, expected, described(at))
        self.stage = stage

    def _field(self, node: Node, field: Field, path: str) -> Any:
        self.nodes[path] = node
        if field.kind == "value":
            return unpack(self.data, node, self.problems, self._kind, path)
        if field.kind.startswith("list<"):
            return self._list(node, Field(field.name, field.kind[5:-1]), path)
        if field.kind in STRUCTS:
            return self._struct(node, field.kind, path)
        if not _FITS[field.kind](node) or (field.choices and node.value not in field.choices):
            self.add(path, node, _rule(field, node), expectation(field), described(node))
            return BROKEN
        return node.value

    def _list(self, node: Node, element: Field, path: str) -> Any:
        if node.kind != "array":
            self.add(path, node, "PAYLOAD-2", f"an array of {element.kind}", described(node))
            return BROKEN
        return tuple(self._field(child, element, joined(path, at)) for at, child in enumerate(node.children))

    def _struct(self, node: Node, struct: str, path: str) -> Any:
        fields = STRUCTS[struct]
        if STRUCT_FORMS[struct] == "map":
            found = self._map(node, fields, path)
            values = [found.get(field.name, BROKEN) for field in fields]
        elif node.kind == "array" and len(node.children) == len(fields):
            pairs = zip(node.children, fields, strict=True)
            values = [self._field(child, field, joined(path, field.name)) for child, field in pairs]
        else:
            names = ", ".join(field.name for field in fields)
            self.add(path, node, "PAYLOAD-2", f"an array [{names}]", described(node))
            return BROKEN
        return BROKEN if BROKEN in values else _RECORDS[struct](*values)


def _is_int(node: Node, end: int) -> bool:
    return node.kind == "int" and isinstance(node.value, int) and 0 <= node.value <= end


_FITS: Mapping[str, Callable[[Node], bool]] = {
    "u63": lambda node: _is_int(node, NUMBER_MAX),
    "u64": lambda node: _is_int(node, (1 << 64) - 1),
    "bool": lambda node: node.kind == "bool",
    "str": lambda node: node.kind == "str",
    "bin": lambda node: node.kind == "bin",
    "bin16": lambda node: isinstance(node.value, bytes) and node.kind == "bin" and len(node.value) == 16,
}
_EXPECTED = {
    "u63": "an integer 0 … 2^63-1",
    "u64": "an integer 0 … 2^64-1",
    "bool": "true or false",
    "str": "a str",
    "bin": "a bin",
    "bin16": "a bin of 16 bytes",
    "value": "a value",
}


def expectation(field: Field) -> str:
    """What a field must be, in words."""
    if field.choices:
        return "one of " + ", ".join(f'"{choice}"' for choice in field.choices)
    if field.kind.startswith("list<"):
        return f"an array of {field.kind[5:-1]}"
    return _EXPECTED.get(field.kind, f"a {field.kind}")


def _rule(field: Field, node: Node) -> str:
    if node.kind == "nil" or field.choices:
        return "PAYLOAD-2"
    return {"u63": "PAYLOAD-3", "u64": "PAYLOAD-3", "bool": "PAYLOAD-2"}.get(field.kind, "PAYLOAD-4")


def described(node: Node) -> str:
    """What stands in the bytes, in a few words."""
    match node.kind:
        case "array":
            return f"an array of {len(node.children)}"
        case "map":
            return f"a map of {len(node.children) // 2}"
        case "ext":
            return f"extension value {node.code}"
        case _:
            return shown(node.value)
