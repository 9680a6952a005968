"""msgpack as the specification wants it. The only module that imports the package.

The package reads a value in C, gives extension values to a hook, and refuses lengths that exceed the payload.
What it leaves to us is here and in `nesting`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeGuard

from msgpack import ExtType, Packer, Unpacker, packb, unpackb
from msgpack.exceptions import (  # type: ignore[import-untyped]
    ExtraData,
    FormatError,
    OutOfData,
    StackError,
)

from casty.wire.keys import check_keys
from casty.wire.words import clipped, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

type Extension = Any
"""An extension value that no hook has looked at: a tuple of code and body, made by `extension`."""

_SKIM_BYTES_MIN: Final = 1024
"""Smaller payloads cannot make the package ask for more than 8 MiB: 1024 levels of 1024 elements."""

_LARGE_BYTES_MIN: Final = 16 * 1024
"""Maps in smaller payloads are made in milliseconds, even if every key has the same hash."""


def pack(value: object) -> bytes:
    """The msgpack bytes of plain values, in the shortest formats. Subclasses go as what they derive from."""
    packed: bytes = packb(value)
    return packed


def new_packer(default: Callable[[Any], Extension]) -> Callable[[object], bytes]:
    """A `pack` that asks `default` about everything but exact msgpack types. It must not be entered twice."""
    packing: Callable[[object], bytes] = Packer(default=default, strict_types=True).pack
    return packing


def array_of_packed(items: list[bytes]) -> bytes:
    """The msgpack of an array whose elements are packed already."""
    head: bytes = Packer().pack_array_header(len(items))
    return head + b"".join(items)


def extension(code: int, body: bytes) -> Extension:
    """An extension value as it is, made without checks that cost as much as the packing."""
    made: Extension = _new(ExtType, (code, body))
    return made


class OddKeyError(ValueError):
    """A map has a key that is neither str nor bin: `unpack_with_care` can tell whether another equals it."""


def unpack(data: bytes, extension_hook: Callable[[int, bytes], object] = extension) -> object:
    """The one value in `data`. Raises what the hook raises, `OddKeyError` with a hook, or else what `fault_of`
    explains."""
    if len(data) > _SKIM_BYTES_MIN:
        skim(data)
    if extension_hook is extension:
        return unpackb(data, ext_hook=extension_hook, strict_map_key=False)
    if len(data) > _LARGE_BYTES_MIN:
        return unpackb(data, ext_hook=extension_hook, object_pairs_hook=_map_of, strict_map_key=False)
    try:
        return unpackb(data, ext_hook=extension_hook)
    except ValueError as error:
        if "not allowed for map key" in str(error):
            raise OddKeyError from None
        raise


def unpack_with_care(data: bytes, extension_hook: Callable[[int, bytes], object]) -> object:
    """As `unpack`, at twice the price, whatever the keys: a map loses none of them (VALUE-6)."""
    if len(data) > _SKIM_BYTES_MIN:
        skim(data)
    return unpackb(data, ext_hook=extension_hook, object_pairs_hook=_map_of, strict_map_key=False)


def _map_of(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    check_keys([key for key, _ in pairs])
    return dict(pairs)


def skim(data: bytes) -> None:
    """Raises, as `unpack` does, unless `data` is one value. Reads over it without making anything of it.

    So nobody makes room for elements that never come; and what is no msgpack can be told from what Python has
    no value for, such as a map with an array for a key.
    """
    unpacker = _reader(data)
    unpacker.skip()
    if (end := unpacker.tell()) != len(data):
        raise ExtraData(None, data[end:])


def is_packed_map(data: bytes) -> bool:
    """Whether `data`, which is one value, is a map."""
    return 0x80 <= data[0] <= 0x8F or data[0] in (0xDE, 0xDF)


def split_map(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of the map that `data` is, each still packed."""
    unpacker = _reader(data)
    for _ in range(unpacker.read_map_header()):
        start = unpacker.tell()
        unpacker.skip()
        middle = unpacker.tell()
        unpacker.skip()
        yield data[start:middle], data[middle : unpacker.tell()]


def packed_field(data: bytes, name: str) -> bytes | None:
    """The value of that key, still packed, if `data` is a map and can be read over as far as that."""
    try:
        fields = split_map(data) if is_packed_map(data) else ()
        return next((value for key, value in fields if key == pack(name)), None)
    except Exception:  # of what kind, does not matter: here it ends
        return None


def _reader(data: bytes) -> Any:
    unpacker = Unpacker(max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    return unpacker


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether `unpack` made the value of an array."""
    return type(value) is list


def is_map(value: object) -> TypeGuard[dict[Any, Any]]:
    """Whether `unpack` made the value of a map."""
    return type(value) is dict


def fault_of(error: Exception) -> tuple[str, str]:
    """The rule that bytes break for which `unpack` raised `error`, and how, as the end of a sentence."""
    text = text_of(error)
    match error:
        case ExtraData():
            return "FRAME-5", "bytes follow the value"
        case FormatError():
            return "FRAME-5", "0xc1 is no msgpack format"
        case UnicodeDecodeError():
            return "PAYLOAD-4", f"the str {bytes(error.object[:32])!r} is not UTF-8 at byte {error.start}"
        case StackError() | RecursionError():
            return "PAYLOAD-6", "it is nested too deep"
        case OutOfData():
            return "PAYLOAD-6", "it announces more than it holds"
        case ValueError() if "incomplete" in text or "exceeds" in text:
            return "PAYLOAD-6", "it announces more than it holds"
        case TypeError() if "unhashable" in text:
            return "PAYLOAD-1", "a map has an array or a map for a key"
        case _:
            return "PAYLOAD-2", clipped(text)


_new: Final[Any] = tuple.__new__  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
