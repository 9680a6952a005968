"""User values to msgpack and back: what was encoded is what is decoded, in value and in kind (VALUE-1).

Plain values the msgpack library packs as they are. For all else it asks back, and is given an extension value
whose body another packer has packed meanwhile, since the first one is still at work.
"""

from __future__ import annotations

from datetime import datetime, time
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol
from zoneinfo import ZoneInfo

from casty.errors import SerializationError
from casty.wire import _protocol as p
from casty.wire.diagnosis import Inside, find_trouble
from casty.wire.evidence import PLAIN, are_doubtful_keys, is_doubtful
from casty.wire.extensions import BODIES
from casty.wire.nesting import NestingError, check_value
from casty.wire.packing import array_of_packed, extension, fault_of, new_packer
from casty.wire.reader import ValueReader, checked_ref
from casty.wire.records import Choice, Record, is_sendable_class
from casty.wire.types import TypeRegistry
from casty.wire.words import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from casty.wire.packing import Extension

type Pack = Callable[[object], bytes]
type Encode = Callable[[Any, _Level], Extension]
"""Makes the extension value of one kind of value; the level packs its body, and looks at what is in it."""
type RefParts = tuple[str, str]
"""A ref on the wire: the node it is at home on, and its address there."""


class Types(Protocol):
    """What a codec asks about classes, and about the names that others use for them."""

    def plan(self, cls: type, /) -> Record | Choice: ...
    def plan_named(self, name: str, /) -> Record | Choice: ...
    def plan_sent(self, name: str, /) -> Record | Choice: ...


class ValueCodec:
    """Encodes and decodes the values of one actor system, on one thread at a time.

    `ref_parts` gives the parts of a value that is a ref, None for any other; `make_ref` makes a ref of them.
    `replicated` is for commands, which each member must read alike: no field may be unknown or drawn anew, and
    no zone go by a name.
    """

    def __init__(
        self,
        registry: Types,
        *,
        ref_parts: Callable[[object], RefParts | None] | None = None,
        make_ref: Callable[[str, str], object] | None = None,
        replicated: bool = False,
    ) -> None:
        self._registry = registry
        self._ref_parts = ref_parts
        self._encoders: dict[type, Encode] = dict(_BUILTIN_ENCODERS)
        if replicated:
            self._encoders |= {kind: _without_zone(self._encoders[kind]) for kind in (datetime, time)}
        self._reader = ValueReader(registry.plan_named, make_ref, exact=replicated)
        self._trial = ValueReader(registry.plan_sent, make_ref, exact=replicated)
        self._level: _Level | None = _Level(self._encoders, self._add_encoder)

    def encode(self, value: object) -> bytes:
        """The value's msgpack. Raises `SerializationError`, which names the path to what cannot be sent.

        That is all that a receiver would refuse, its types aside, and all that would not come back as it was:
        what may not, by its kind, is decoded here and encoded again (VALUE-8).
        """
        return self._encoded(value, value)

    def encode_around(self, fields: dict[str, object], value: object) -> bytes:
        """As `encode`, for the fields of a payload, one of which is a user's value."""
        return self._encoded(fields, value)

    def decode(self, data: bytes) -> object:
        """The value. Raises `UnknownTypeError` for a type that is not admitted, else `SerializationError`."""
        return self._reader.decode(data)

    def _encoded(self, whole: object, value: object) -> bytes:
        # The packers are put away while they work, so that an encode within this one, from a property or a
        # finalizer, makes some of its own.
        level = self._level or _Level(self._encoders, self._add_encoder)
        self._level = None
        try:
            level.in_doubt = False
            data = level.pack(whole)
            if type(value) not in PLAIN:
                self._judge(level, value, data)
            check_value(data)
            return data
        except Exception as error:
            raise SerializationError(self._trouble(whole, error)) from error
        finally:
            self._level = level

    def _judge(self, level: _Level, value: object, data: bytes) -> None:
        """Raises where no receiver could read what was just packed, or would read something else."""
        if type(value) not in self._encoders:
            level.look_at((value,))
        if level.in_doubt:
            try:
                decoded = self._trial.decode(data)
            except SerializationError as error:
                raise SerializationError(f"no node could read it again: {error}") from error
            if level.pack(decoded) != data:
                raise SerializationError("it would arrive as another value: what its class makes of it differs")

    def _attempt(self, part: object) -> None:
        """Raises what is wrong with a part of a value."""
        level = _Level(self._encoders, self._add_encoder)
        data = level.pack(part)
        self._judge(level, part, data)
        check_value(data)

    # Each class has a function that makes its extension values, added when the first one comes.

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
        trouble = find_trouble(value, self._inside, self._attempt)
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


def copy_value(value: Any, *, keep: type | tuple[type, ...] = ()) -> Any:
    """What another node would get if the value were sent to it. Raises `SerializationError` if it could not be.

    Instances of `keep`, such as refs, are handed over as they are.
    """
    kept: dict[int, object] = {}

    def part_of(value: object) -> RefParts | None:
        if not isinstance(value, keep):
            return None
        kept[id(value)] = value
        return "here", str(id(value))

    codec = ValueCodec(TypeRegistry(), ref_parts=part_of, make_ref=lambda node_id, at: kept[int(at)])
    return codec.decode(codec.encode(value))


class _Level:
    """A packer, and one more for the bodies of what it meets, for no packer may be entered twice."""

    __slots__ = ("_add", "_deeper", "_depth", "_encoders", "_outermost", "in_doubt", "pack")

    def __init__(
        self,
        encoders: dict[type, Encode],
        add: Callable[[object], Encode],
        depth: int = 0,
        outermost: _Level | None = None,
    ) -> None:
        self.pack: Pack = new_packer(self._extension)
        self.in_doubt = False
        """Of the outermost level: whether something was met that may not come back as it was."""
        self._encoders = encoders
        self._add = add
        self._depth = depth
        self._outermost = outermost or self
        self._deeper: _Level | None = None

    def look_at(self, values: Collection[object]) -> None:
        """Notes whether what was packed comes back as it was. Raises where no node would take it."""
        if not PLAIN.issuperset(map(type, values)) and is_doubtful(values, self._encoders):
            self.doubt()

    def look_at_keys(self, keys: Collection[object]) -> None:
        """As `look_at`, for the elements of a set."""
        if are_doubtful_keys(keys):
            self.doubt()

    def doubt(self) -> None:
        """Notes that the value has to be tried."""
        self._outermost.in_doubt = True

    def _extension(self, value: object) -> Extension:
        encode = self._encoders.get(type(value)) or self._add(value)
        return encode(value, self._deeper or self._dig())

    def _dig(self) -> _Level:
        if self._depth > p.DEPTH_MAX // 2:  # an extension value with another in it takes two levels at least
            raise NestingError
        self._deeper = _Level(self._encoders, self._add, self._depth + 1, self._outermost)
        return self._deeper


def _builtin_encoder(code: int, body_of: Callable[[Any], Any]) -> Encode:
    if code in p.EXT_RAW:
        return lambda value, level: extension(code, body_of(value))
    return lambda value, level: extension(code, level.pack(body_of(value)))


def _tuple_encoder(code: int) -> Encode:
    def encode(value: tuple[Any, ...], level: _Level) -> Extension:
        body = level.pack(list(value))
        level.look_at(value)
        return extension(code, body)

    return encode


def _set_encoder(code: int) -> Encode:
    """The elements go in the order of their bytes, so that equal sets are equal bytes in every process."""

    def encode(value: set[Any] | frozenset[Any], level: _Level) -> Extension:
        body = array_of_packed(sorted(map(level.pack, value)))
        level.look_at_keys(value)
        return extension(code, body)

    return encode


def _plan_encoder(plan: Record | Choice) -> Encode:
    return _member_encoder(plan) if isinstance(plan, Choice) else _record_encoder(plan)


def _member_encoder(plan: Choice) -> Encode:
    def encode(member: object, level: _Level) -> Extension:
        value = plan.value_of(member)
        body = level.pack([plan.name, value])
        if not plan.is_evident(member):
            level.look_at((value,))
            level.doubt()
        return extension(p.EXT_ENUM, body)

    return encode


def _record_encoder(plan: Record) -> Encode:
    def encode(value: object, level: _Level) -> Extension:
        fields = plan.fields_of(value)
        body = level.pack([plan.name, fields])
        level.look_at(fields.values())
        if not plan.is_evident:
            level.doubt()
        return extension(p.EXT_DATACLASS, body)

    return encode


def _ref_encoder(ref_parts: Callable[[object], RefParts | None]) -> Encode:
    def encode(value: object, level: _Level) -> Extension:
        parts = ref_parts(value)
        if parts is None:
            raise SerializationError(f"cannot send {value!r}, which no other node could reach")
        return extension(p.EXT_REF, level.pack(list(checked_ref(*parts))))

    return encode


def _without_zone(encode: Encode) -> Encode:
    """As `encode`, but for moments in a zone that goes by its name, which each node's own table explains."""

    def encode_alike(value: datetime | time, level: _Level) -> Extension:
        if isinstance(value.tzinfo, ZoneInfo):
            raise SerializationError(
                f"{value} is in the zone {value.tzinfo}, which is what each node's own table of zones says: "
                "append it with a fixed offset, and the zone's name as a str beside it"
            )
        return encode(value, level)

    return encode_alike


_BUILTIN_ENCODERS: Final[Mapping[type, Encode]] = MappingProxyType(
    {
        **{kind: _builtin_encoder(code, body_of) for kind, (code, body_of) in BODIES.items()},
        tuple: _tuple_encoder(p.EXT_TUPLE),
        set: _set_encoder(p.EXT_SET),
        frozenset: _set_encoder(p.EXT_FROZENSET),
    }
)


def _shown_key(key: object) -> str:
    return shown(key) if type(key) in _PACKED_AS_THEY_ARE else type(key).__name__


def _type_name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _advice(cls: type) -> str:
    """What to send instead, where that is easy to tell."""
    if tuple in cls.__mro__ and getattr(cls, "_fields", None) is not None:
        return ": a named tuple would arrive as a plain one, so make it a dataclass"
    for base in cls.__mro__[1:]:
        if base in _PACKED_AS_THEY_ARE or base in BODIES:
            return f": it would arrive as a plain {base.__name__}, so send that"
    return ""


_PACKED_AS_THEY_ARE: Final = frozenset({dict, list, str, bytes, bytearray, int, float})
