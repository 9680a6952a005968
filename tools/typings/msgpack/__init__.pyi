# The part of msgpack that Casty uses; the package ships no types of its own.

from collections.abc import Callable
from typing import Any, NamedTuple

class ExtType(NamedTuple):
    code: int
    data: bytes

class Timestamp: ...

class Packer:
    def __init__(
        self,
        *,
        default: Callable[[Any], Any] | None = ...,
        use_bin_type: bool = ...,
        strict_types: bool = ...,
        autoreset: bool = ...,
        datetime: bool = ...,
        unicode_errors: str | None = ...,
        buf_size: int = ...,
    ) -> None: ...
    def pack(self, obj: object, /) -> bytes: ...
    def pack_array_header(self, size: int, /) -> bytes: ...
    def pack_map_header(self, size: int, /) -> bytes: ...
    def pack_ext_type(self, typecode: int, data: bytes, /) -> bytes: ...
    def bytes(self) -> bytes: ...
    def reset(self) -> None: ...

class Unpacker:
    def __init__(
        self,
        file_like: object = ...,
        *,
        raw: bool = ...,
        use_list: bool = ...,
        strict_map_key: bool = ...,
        object_hook: Callable[[dict[Any, Any]], Any] | None = ...,
        object_pairs_hook: Callable[[list[tuple[Any, Any]]], Any] | None = ...,
        ext_hook: Callable[[int, bytes], Any] = ...,
        max_buffer_size: int = ...,
        timestamp: int = ...,
    ) -> None: ...
    def feed(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def unpack(self) -> Any: ...
    def skip(self) -> None: ...
    def tell(self) -> int: ...
    def read_array_header(self) -> int: ...
    def read_map_header(self) -> int: ...
    def __iter__(self) -> Unpacker: ...
    def __next__(self) -> Any: ...

def packb(
    obj: object,
    /,
    *,
    default: Callable[[Any], Any] | None = ...,
    use_bin_type: bool = ...,
    strict_types: bool = ...,
) -> bytes: ...
def unpackb(
    packed: bytes | bytearray | memoryview,
    /,
    *,
    raw: bool = ...,
    use_list: bool = ...,
    strict_map_key: bool = ...,
    object_hook: Callable[[dict[Any, Any]], Any] | None = ...,
    object_pairs_hook: Callable[[list[tuple[Any, Any]]], Any] | None = ...,
    ext_hook: Callable[[int, bytes], Any] = ...,
    timestamp: int = ...,
) -> Any: ...

class PackException(Exception): ...
class UnpackException(Exception): ...
class BufferFull(UnpackException): ...
class OutOfData(UnpackException): ...
class FormatError(ValueError, UnpackException): ...
class StackError(ValueError, UnpackException): ...

class ExtraData(ValueError):
    unpacked: Any
    extra: bytes

UnpackValueError = ValueError
