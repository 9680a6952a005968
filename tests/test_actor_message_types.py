"""What an actor class accepts, as far as it can be told at run time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import spec_from_loader
from types import ModuleType
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    Optional,
    Protocol,
    TypedDict,
    TypeVar,
    Union,
    runtime_checkable,
)

import pytest

from casty.actor import Actor, Context
from casty.message_types import class_name, message_types
from casty.system import ActorSystem


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Get:
    pass


@dataclass(frozen=True)
class Box[T]:
    content: T


class Base[M](Actor[M]):
    async def receive(self, msg: M, ctx: Context[M]) -> None: ...


type Both = Add | Get
type Pair[T] = tuple[T, T] | list[T]
type Itself[T] = T
type Nothing = None
type Json = dict[str, Json] | list[Json] | str | None
type Endless = Endless | int  # type: ignore[misc]  # checkers refuse it, Python does not
type Broken = NotDefinedAnywhere  # type: ignore[name-defined]  # noqa: F821 (that is the point)

UserId = NewType("UserId", str)
AnyT = TypeVar("AnyT")
BoundT = TypeVar("BoundT", bound=Add)
ChoiceT = TypeVar("ChoiceT", int, str)


class Shape(TypedDict):
    sides: int


class Silent(Protocol):
    name: str


@runtime_checkable
class Named(Protocol):
    name: str


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Add, (Add,)),
        (Add | Get, (Add, Get)),
        (Union[Add, Get], (Add, Get)),  # noqa: UP007 (the older spelling is another class at run time)
        (Optional[Add], (Add, type(None))),  # noqa: UP045 (as above)
        (Both, (Add, Get)),
        (Both | Add, (Add, Get)),
        (Pair[int], (tuple, list)),
        (Itself[Add], (Add,)),
        (Add | Nothing, (Add, type(None))),
        (Json, (dict, list, str, type(None))),
        (Endless, (int,)),
        (None, (type(None),)),
        (Box[int], (Box,)),
        (list[int] | dict[str, int], (list, dict)),
        (Literal["on", 1], (str, int)),
        (Annotated[Add, "with a note"], (Add,)),
        (UserId, (str,)),
        (Shape, (dict,)),
        (Named, (Named,)),
        (Callable[[], None], (Callable,)),
        (float, (float, int)),
        (complex, (complex, float, int)),
        (BoundT, (Add,)),
        (ChoiceT, (int, str)),
        ("Add | Get", (Add, Get)),
    ],
)
def test_a_union_is_taken_apart(annotation: Any, expected: tuple[type, ...]) -> None:
    """[ACTOR-6] Whatever it is made of."""
    assert message_types(Base[annotation]) == expected


@pytest.mark.parametrize(
    "annotation",
    [Any, object, Any | Add, AnyT, Silent, Broken, 5, "NotDefinedAnywhere"],
)
def test_what_cannot_be_told_admits_everything(annotation: Any) -> None:
    """[ACTOR-6]"""
    assert message_types(Base[annotation]) is None


class Counter(Base[Add | Get]):
    pass


class Swapped[First, Second](Base[Second]):
    pass


class Concrete(Swapped[Get, Add]):
    pass


class BoxOf[T](Actor[Box[T] | T]):
    async def receive(self, msg: Box[T] | T, ctx: Context[Box[T] | T]) -> None: ...


class Mixin:
    pass


class Mixed(Mixin, Counter):
    pass


class Bare(Actor):  # type: ignore[type-arg]  # as a user without a type checker writes it
    async def receive(self, msg, ctx): ...  # type: ignore[no-untyped-def]  # as above


@pytest.mark.parametrize(
    ("actor_class", "expected"),
    [
        (Counter, (Add, Get)),
        (Concrete, (Add,)),
        (Swapped[Get, Add], (Add,)),
        (Mixed, (Add, Get)),
        (BoxOf[int], (Box, int)),
        (Actor[Add], (Add,)),
        (Swapped, None),
        (BoxOf, None),
        (Bare, None),
        (Actor, None),
        (Add, None),
    ],
)
def test_the_message_type_is_found_through_all_bases(actor_class: Any, expected: Any) -> None:
    """[ACTOR-6]"""
    assert message_types(actor_class) == expected


async def test_a_class_made_with_arguments_is_remembered_with_them() -> None:
    """[ACTOR-6] Also where a function makes it."""
    async with ActorSystem() as system:
        refs: list[Any] = [await system.spawn(BoxOf[int]), await system.spawn(lambda: BoxOf[str]())]
        cells = [system._registry.find(ref.address) for ref in refs]
        assert [message_types(cell.generic_kind) for cell in cells if cell is not None] == [
            (Box, int),
            (Box, str),
        ]


def test_a_class_whose_module_is_gone_admits_what_its_names_cannot_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """[ACTOR-6]"""

    class Orphan(Base["Add"]):
        pass

    monkeypatch.setattr(Orphan, "__module__", "no_such_module")
    assert "no_such_module" not in sys.modules
    assert message_types(Orphan) is None


def test_a_class_is_called_by_module_and_qualified_name() -> None:
    """[ACTOR-32]"""
    assert class_name(Counter) == "tests.test_actor_message_types:Counter"
    assert class_name(BoxOf[int]) == "tests.test_actor_message_types:BoxOf"


def test_a_class_of_a_module_run_with_m_is_called_by_the_modules_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 31: else no node that has imported the module could look for it by its class."""
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(Counter, "__module__", "__main__")
    assert class_name(Counter) == "__main__:Counter"
    main.__spec__ = spec_from_loader("shop.counters", None)
    assert class_name(Counter) == "shop.counters:Counter"
