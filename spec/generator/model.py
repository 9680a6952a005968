"""`protocol.toml` as typed values; reading it finds what is wrong with it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SCALARS = ("u63", "u64", "bool", "str", "bin", "bin16", "value")
FRAME_NAMES = ("actor", "node", "empty", "any")
PAYLOADS = ("value", "any")
PAGES = ("wire", "messaging", "cluster", "raft", "storage", "launch", "actors")
LEVELS = ("MUST", "SHOULD")
CONNECTIONS = ("close", "keep")
HAPPENED = ("no", "maybe", "yes")


@dataclass(frozen=True, slots=True)
class Limit:
    """A number nobody may exceed, with the reason for just this one."""

    name: str
    value: int
    unit: str
    about: str
    why: str
    configurable: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a payload or of a struct."""

    name: str
    type: str
    about: str
    optional: bool = False
    enum: tuple[str, ...] = ()

    @property
    def list_of(self) -> str | None:
        """The element's type where the field is a list."""
        return self.type[5:-1] if self.type.startswith("list<") and self.type.endswith(">") else None


@dataclass(frozen=True, slots=True)
class Form:
    """One of several shapes of a type's payload."""

    name: str
    about: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Type:
    """One type of frame. Its payload is made of `fields`, or has `forms`, or is something else: `payload`."""

    id: int
    name: str
    frame_name: str
    about: str
    reply: str | None = None
    payload: str | None = None
    fields: tuple[Field, ...] = ()
    forms: tuple[Form, ...] = ()

    @property
    def shapes(self) -> tuple[tuple[str, tuple[Field, ...]], ...]:
        """The type's shapes with their names; none where the payload is not a map of fields."""
        if self.forms:
            return tuple((f"{self.name}.{form.name}", form.fields) for form in self.forms)
        return ((self.name, self.fields),) if self.payload is None else ()


@dataclass(frozen=True, slots=True)
class Struct:
    """A part of payloads with a name of its own; an array holds its fields in order, a map by name."""

    name: str
    form: str
    about: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Extension:
    """One kind of extension value."""

    code: int
    name: str
    body: str
    about: str

    @property
    def is_raw(self) -> bool:
        """Whether the body is bytes of its own making, and no msgpack."""
        return self.body.endswith("raw bytes")


@dataclass(frozen=True, slots=True)
class Error:
    """One code of ERROR frames, and what becomes of the connection."""

    code: str
    connection: str
    about: str


@dataclass(frozen=True, slots=True)
class AskError:
    """One code of ASK_RES: whether the message may have been handled, and the library's exception for it."""

    code: str
    happened: str
    error: str
    about: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One sentence that binds an implementation."""

    id: str
    level: str
    page: str
    text: str
    why: str = ""
    source: str = ""

    @property
    def anchor(self) -> str:
        """Where on its page the rule is found: ``spec/raft.md#vote-3``."""
        return self.id.lower()


@dataclass(frozen=True, slots=True)
class FramePart:
    name: str
    type: str
    about: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """The whole of `protocol.toml`."""

    version: int
    frame: tuple[FramePart, ...]
    limits: tuple[Limit, ...]
    types: tuple[Type, ...]
    reserved: tuple[tuple[int, str], ...]
    structs: tuple[Struct, ...]
    extensions: tuple[Extension, ...]
    errors: tuple[Error, ...]
    ask_errors: tuple[AskError, ...]
    rules: tuple[Rule, ...]

    @property
    def shapes(self) -> tuple[tuple[str, tuple[Field, ...]], ...]:
        """Every payload with fields, by the name of its type (and form), in the order of the types."""
        return tuple(shape for type in self.types for shape in type.shapes)


def load(path: Path) -> Protocol:
    """Reads the file. Raises `TypeError` or `KeyError` for an entry that lacks something or has too much."""
    with path.open("rb") as file:
        raw = tomllib.load(file)
    return Protocol(
        version=raw["protocol"]["version"],
        frame=tuple(FramePart(**part) for part in raw["frame"]["fields"]),
        limits=tuple(Limit(name=name, **limit) for name, limit in raw["limits"].items()),
        types=tuple(_type(entry) for entry in raw["types"]),
        reserved=tuple((int(id), why) for id, why in raw["reserved_types"].items()),
        structs=tuple(Struct(**_with_fields(entry)) for entry in raw["structs"]),
        extensions=tuple(Extension(**entry) for entry in raw["extensions"]),
        errors=tuple(Error(**entry) for entry in raw["errors"]),
        ask_errors=tuple(AskError(**entry) for entry in raw["ask_errors"]),
        rules=tuple(Rule(**entry) for entry in raw["rules"]),
    )


def _type(entry: Mapping[str, Any]) -> Type:
    forms = tuple(Form(**_with_fields(form)) for form in entry.get("form", ()))
    if tuple(entry.get("forms", ())) != tuple(form.name for form in forms):
        raise KeyError(f"type {entry['name']}: forms = {entry.get('forms')} is not what follows")
    known = {"id", "name", "frame_name", "about", "reply", "payload"}
    plain = {key: value for key, value in entry.items() if key not in ("form", "forms", "fields")}
    if unknown := plain.keys() - known:
        raise KeyError(f"type {entry['name']}: unknown keys {sorted(unknown)}")
    return Type(**plain, fields=_fields(entry), forms=forms)


def _with_fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, "fields": _fields(entry)}


def _fields(entry: Mapping[str, Any]) -> tuple[Field, ...]:
    fields: Iterable[dict[str, Any]] = entry.get("fields", ())
    return tuple(_field({**field, "enum": tuple(field.get("enum", ()))}) for field in fields)


def _field(arguments: dict[str, Any]) -> Field:
    return Field(**arguments)
