"""User values to msgpack and back: what was encoded is what is decoded, in value and in kind (VALUE-1).

Plain values the msgpack library packs as they are. For all else it asks back, and is given an extension value
whose body another packer has packed meanwhile, since the first one is still at work.
"""

from __future__ import annotations

from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from casty.errors import SerializationError
from casty.wire import _protocol as p
from casty.wire.diagnosis import Inside, find_trouble
from casty.wire.extensions import BODIES, MAKERS, BodyError, array_of
from casty.wire.nesting import NestingError, check_value
from casty.wire.packing import (
    OddKeyError,
    extension,
    fault_of,
    is_array,
    is_map,
    new_packer,
    unpack,
    unpack_with_care,
)
from casty.wire.records import Choice, Record, is_sendable_class
from casty.wire.schema import is_node_id
from casty.wire.types import TypeRegistry
from casty.wire.words import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from casty.wire.packing import Extension

type Pack = Callable[[object], bytes]
type Encode = Callable[[Any, Pack], Extension]
"""Makes the extension value of one kind of value; what belongs into its body, the packer handed in packs."""
type RefParts = tuple[str, str]
"""A ref on the wire: the node it is at home on, and its address there."""


class Types(Protocol):
    """What a codec asks about classes, and about the names that others use for them."""

    def plan(self, cls: type, /) -> Record | Choice: ...
    def plan_named(self, name: str, /) -> Record | Choice: ...


class ValueCodec:
    """Encodes and decodes the values of one actor system, on one thread at a time.

    `ref_parts` gives the parts of a value that is a ref, None for any other; `make_ref` makes a ref of them.
    """

    def __init__(
        self,
        registry: Types,
        *,
        ref_parts: Callable[[object], RefParts | None] | None = None,
        make_ref: Callable[[str, str], object] | None = None,
    ) -> None:
        self._registry = registry
        self._ref_parts = ref_parts
        self._make_ref = make_ref
        self._encoders: dict[type, Encode] = dict(_BUILTIN_ENCODERS)
        self._makers: Mapping[int, Callable[[Any], object]] = {
            **MAKERS,
            p.EXT_DATACLASS: self._make_dataclass,
            p.EXT_ENUM: self._make_enum,
            p.EXT_REF: self._make_ref_of,
        }
        self._level: _Level | None = _Level(self._encoders, self._add_encoder, 0)

    def encode(self, value: object) -> bytes:
        """The value's msgpack. Raises `SerializationError`, which names the path to what cannot be sent."""
        # The packers are put away while they work, so that an encode within this one, from a property or a
        # finalizer, makes some of its own.
        level = self._level or _Level(self._encoders, self._add_encoder, 0)
        self._level = None
        try:
            data = level.pack(value)
            check_value(data)
        except Exception as error:
            raise SerializationError(self._trouble(value, error)) from error
        finally:
            self._level = level
        return data

    def decode(self, data: bytes) -> object:
        """The value. Raises `UnknownTypeError` for a type that is not admitted, else `SerializationError`."""
        try:
            check_value(data)
            try:
                return unpack(data, self._make)
            except OddKeyError:
                return unpack_with_care(data, self._make_with_care)
        except SerializationError:
            raise
        except Exception as error:
            raise SerializationError(f"the value cannot be decoded: {fault_of(error)[1]}") from error

    # Encoding: each class has a function that makes its extension values, added when the first one comes.

    def _add_encoder(self, value: object) -> Encode:
        cls = type(value)
        if self._ref_parts is not None and self._ref_parts(value) is not None:
            encode = _ref_encoder(self._ref_parts)
        elif is_sendable_class(cls):
            encode = _plan_encoder(self._registry.plan(cls))
        else:
            raise SerializationError(f"cannot send a value of type {_type_name(cls)}{_advice(cls)}")
        self._encoders[cls] = encode
        return encode

    def _trouble(self, value: object, error: Exception) -> str:
        trouble = find_trouble(value, self._inside, _Level(self._encoders, self._add_encoder, 0).pack)
        return trouble or f"{_type_name(type(value))} cannot be sent: {fault_of(error)[1]}"

    def _inside(self, value: object) -> Inside | None:
        """What a value is made of, for the search of what is wrong with it."""
        cls = type(value)
        if cls in (list, tuple, set, frozenset):
            items: Any = value
            return Inside(1 if cls is list else 2, ((f"[{at}]", item) for at, item in enumerate(items)))
        if cls is dict:
            pairs: Any = value
            keys = ((f"[key {_shown_key(key)}]", key) for key in pairs)
            return Inside(1, chain(keys, ((f"[{_shown_key(key)}]", item) for key, item in pairs.items())))
        if cls in _BUILTIN_ENCODERS or not is_sendable_class(cls):
            return None
        plan = self._registry.plan(cls)
        if isinstance(plan, Choice):
            return Inside(2, [(".value", plan.value_of(value))])
        return Inside(3, ((f".{name}", field) for name, field in plan.fields_of(value).items()))

    # Decoding: extension values as the library comes upon them, outermost first.

    def _make(self, code: int, body: bytes, *, with_care: bool = False) -> object:
        make = self._makers.get(code)
        if make is None:
            raise SerializationError(f"extension code {code} is not in the table")
        try:
            if code in p.EXT_RAW:
                return make(body)
            if with_care:
                return make(unpack_with_care(body, self._make_with_care))
            return make(unpack(body, self._make))
        except (SerializationError, OddKeyError):
            raise
        except Exception as error:
            raise SerializationError(
                f"a {p.EXT_NAMES[code]} cannot be decoded: {fault_of(error)[1]}"
            ) from error

    def _make_with_care(self, code: int, body: bytes) -> object:
        return self._make(code, body, with_care=True)

    def _make_dataclass(self, body: Any) -> object:
        # What `array_of` does for others, at a third of the price: every message comes through here.
        if not (is_array(body) and len(body) == 2 and type(body[0]) is str and is_map(body[1])):
            raise BodyError("its body is no array of a type and its fields")
        plan = self._registry.plan_named(body[0])
        if isinstance(plan, Record):
            return plan.build(body[1])
        raise BodyError(f"{plan.name} is an enum")

    def _make_enum(self, body: object) -> object:
        name, value = array_of(body, str, object)
        plan = self._registry.plan_named(name)
        if isinstance(plan, Choice):
            return plan.member(value)
        raise BodyError(f"{plan.name} is a dataclass")

    def _make_ref_of(self, body: object) -> object:
        node_id, address = array_of(body, str, str)
        if not is_node_id(node_id) or not address:
            raise BodyError(f"{shown(node_id)} and {shown(address)} are no node and its actor")
        if self._make_ref is None:
            raise BodyError("nothing here makes refs")
        return self._make_ref(node_id, address)


def copy_value(value: Any, *, keep: type | tuple[type, ...] = ()) -> Any:
    """What another node would get if the value were sent to it. Raises `SerializationError` if it could not be.

    Instances of `keep`, such as refs, are handed over as they are.
    """
    kept: list[object] = []

    def part_of(value: object) -> RefParts | None:
        if not isinstance(value, keep):
            return None
        kept.append(value)
        return "here", str(len(kept) - 1)

    codec = ValueCodec(TypeRegistry(), ref_parts=part_of, make_ref=lambda node_id, at: kept[int(at)])
    return codec.decode(codec.encode(value))


class _Level:
    """A packer, and one more for the bodies of what it meets, for no packer may be entered twice."""

    __slots__ = ("_add", "_deeper", "_depth", "_encoders", "pack")

    def __init__(self, encoders: dict[type, Encode], add: Callable[[object], Encode], depth: int) -> None:
        self.pack: Pack = new_packer(self._extension)
        self._encoders = encoders
        self._add = add
        self._depth = depth
        self._deeper: _Level | None = None

    def _extension(self, value: object) -> Extension:
        encode = self._encoders.get(type(value)) or self._add(value)
        deeper = self._deeper or self._dig()
        return encode(value, deeper.pack)

    def _dig(self) -> _Level:
        if self._depth > p.DEPTH_MAX // 2:  # an extension value with another in it takes two levels at least
            raise NestingError
        self._deeper = _Level(self._encoders, self._add, self._depth + 1)
        return self._deeper


def _builtin_encoder(code: int, body_of: Callable[[Any], Any]) -> Encode:
    if code in p.EXT_RAW:
        return lambda value, pack: extension(code, body_of(value))
    return lambda value, pack: extension(code, pack(body_of(value)))


def _plan_encoder(plan: Record | Choice) -> Encode:
    if isinstance(plan, Choice):
        return lambda value, pack: extension(p.EXT_ENUM, pack([plan.name, plan.value_of(value)]))
    return lambda value, pack: extension(p.EXT_DATACLASS, pack([plan.name, plan.fields_of(value)]))


def _ref_encoder(ref_parts: Callable[[object], RefParts | None]) -> Encode:
    def encode(value: object, pack: Pack) -> Extension:
        parts = ref_parts(value)
        if parts is None:
            raise SerializationError(f"cannot send {value!r}, which no other node could reach")
        return extension(p.EXT_REF, pack(list(parts)))

    return encode


_BUILTIN_ENCODERS: Final[Mapping[type, Encode]] = MappingProxyType(
    {kind: _builtin_encoder(code, body_of) for kind, (code, body_of) in BODIES.items()}
)


def _shown_key(key: object) -> str:
    return shown(key) if type(key) in _PLAIN else type(key).__name__


def _type_name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _advice(cls: type) -> str:
    """What to send instead, where that is easy to tell."""
    if tuple in cls.__mro__ and getattr(cls, "_fields", None) is not None:
        return ": a named tuple would arrive as a plain one, so make it a dataclass"
    for base in cls.__mro__[1:]:
        if base in _PLAIN or base in BODIES:
            return f": it would arrive as a plain {base.__name__}, so send that"
    return ""


_PLAIN: Final = frozenset({dict, list, str, bytes, bytearray, int, float})
