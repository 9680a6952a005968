"""User values from bytes: outermost first, as the library comes upon extension values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casty.errors import SerializationError
from casty.wire import _protocol as p
from casty.wire.extensions import MAKERS, BodyError, array_of
from casty.wire.nesting import check_value
from casty.wire.packing import OddKeyError, fault_of, is_array, is_map, unpack, unpack_with_care
from casty.wire.records import Choice, Record
from casty.wire.schema import is_node_id
from casty.wire.words import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class ValueReader:
    """Makes values of bytes. `find` says how a class of a name is put together."""

    def __init__(
        self,
        find: Callable[[str], Record | Choice],
        make_ref: Callable[[str, str], object] | None,
        *,
        exact: bool,
    ) -> None:
        self._find = find
        self._make_ref = make_ref
        self._exact = exact
        self._makers: Mapping[int, Callable[[Any], object]] = {
            **MAKERS,
            p.EXT_DATACLASS: self._make_dataclass,
            p.EXT_ENUM: self._make_enum,
            p.EXT_REF: self._make_ref_of,
        }

    def decode(self, data: bytes) -> object:
        """The value. Raises `UnknownTypeError` for a type that `find` does not, else `SerializationError`."""
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
        plan = self._find(body[0])
        if isinstance(plan, Record):
            return plan.build(body[1], exact=self._exact)
        raise BodyError(f"{plan.name} is an enum")

    def _make_enum(self, body: object) -> object:
        name, value = array_of(body, str, object)
        plan = self._find(name)
        if isinstance(plan, Choice):
            return plan.member(value)
        raise BodyError(f"{plan.name} is a dataclass")

    def _make_ref_of(self, body: object) -> object:
        node_id, address = checked_ref(*array_of(body, str, str))
        if self._make_ref is None:
            raise BodyError("nothing here makes refs")
        return self._make_ref(node_id, address)


def checked_ref(node_id: str, address: str) -> tuple[str, str]:
    """The parts of a ref. Raises `BodyError` for what cannot be an actor's (VALUE-7)."""
    if not is_node_id(node_id) or not address:
        raise BodyError(f"{shown(node_id)} and {shown(address)} are no node and its actor")
    return node_id, address
