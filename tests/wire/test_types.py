"""Which types a node admits, and that nothing a peer says loads or runs anything (spec VALUE-2; T-01, T-02)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType

import msgpack
import pytest

from casty.errors import SerializationError, UnknownTypeError
from casty.wire import _protocol as p
from casty.wire.hints import classes_in
from casty.wire.types import TypeRegistry, wire_name
from tests.wire.nodes import value_codec
from tests.wire.orders import Add, Color, Get, Item, Order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from elsewhere import Unknown  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]


def named(name: str, code: int = p.EXT_DATACLASS, content: object = None) -> bytes:
    """A value of the type of that name, as a peer would send it."""
    body = msgpack.packb([name, {} if content is None else content])
    return msgpack.packb(msgpack.ExtType(code, body))


def admits(registry: TypeRegistry, cls: type) -> bool:
    """Whether a value of the class, under its own name, gets in."""
    try:
        registry.plan_named(wire_name(cls))
    except UnknownTypeError:
        return False
    return True


# Who gets in.


def test_nothing_is_admitted_at_first() -> None:
    """VALUE-2: the modules of these classes are loaded, and that alone is no reason."""
    registry = TypeRegistry()
    assert not any(admits(registry, cls) for cls in (Add, Order, Color))


def test_a_registered_type_is_admitted_and_its_package_trusted() -> None:
    """VALUE-2: one type of a package vouches for what is loaded of it."""
    registry = TypeRegistry()
    registry.register(Add)
    assert all(admits(registry, cls) for cls in (Add, Get, Color))


def test_a_type_sent_from_here_vouches_for_its_package() -> None:
    """VALUE-2: whoever says a word is not surprised to hear one back."""
    registry = TypeRegistry()
    value_codec(registry).encode([Get()])
    assert admits(registry, Order)


def test_trust_can_be_given_to_a_package_by_the_types_it_spawns() -> None:
    """VALUE-2: an actor class counts as a type of its package."""
    registry = TypeRegistry()
    registry.trust(Add)
    assert admits(registry, Order)


def test_trusted_modules_are_trusted_and_no_others() -> None:
    """VALUE-2: with a list, only the list counts; a module means itself and what is below it."""
    enough: list[list[str]] = [["tests"], ["tests.wire"], ["tests.wire.orders"], ["os", "tests.wire.orders"]]
    assert all(admits(TypeRegistry(trusted), Add) for trusted in enough)
    too_little: list[list[str]] = [[], ["test"], ["tests.wire.order"], ["tests.wire.orders.Add"]]
    for trusted in too_little:
        registry = TypeRegistry(trusted)
        registry.trust(Add)
        value_codec(registry).encode(Get())
        assert not admits(registry, Add)


def test_a_single_name_is_not_taken_for_its_letters() -> None:
    """VALUE-2: trust is given on purpose."""
    with pytest.raises(TypeError, match="must be a collection of names, not 'tests'"):
        TypeRegistry("tests")


def test_with_no_trusted_modules_the_registry_decides() -> None:
    """VALUE-2: (), and what was registered or is part of a spawned actor's messages."""
    registry = TypeRegistry(())
    registry.register(Get)
    registry.admit(Order | int)
    assert [cls for cls in (Add, Get, Item, Order, Color) if admits(registry, cls)] == [Get, Item, Order]


# What a message type is made of.

type Alias = Get | list["Add"]
type Broken = Unknown
type Wrong = types.NoSuchType  # type: ignore[name-defined]  # pyright: ignore[reportAttributeAccessIssue]
UserId = NewType("UserId", Add)


@dataclass
class Everything[T]:
    plain: Add
    quoted: Get
    optional: Item | None
    nested: dict[str, list[tuple[Order, ...]]]
    annotated: Annotated[Color, "note"]
    generic: T
    again: Everything[T] | None = None
    number: int = 0


@dataclass
class Partly:
    seen: Add
    unseen: Unknown
    also: list[Get] = field(default_factory=list)


class Odd(Enum):
    ONE = 1


@pytest.mark.parametrize(
    ("hint", "found"),
    [
        (Add, {Add}),
        (Add | None, {Add}),
        (Alias, {Get}),
        (Broken, set()),
        (Wrong, set()),
        (Annotated[Add, Item("an annotation", 1.0)], {Add}),
        (UserId, {Add}),
        (Color, {Color}),
        (Literal[Odd.ONE, "x"], {Odd}),
        (Everything[Odd], {Everything, Add, Get, Item, Order, Color, Odd}),
        (Partly, {Partly, Add, Get}),
        (Order, {Order, Item}),
        (int, set()),
        (Any, set()),
        (None, set()),
        ("Add", set()),
    ],
    ids=lambda value: "" if isinstance(value, set) else str(value),
)
def test_a_message_type_names_classes_at_any_depth(hint: object, found: set[type]) -> None:
    """VALUE-2: what `Actor[...]` says, and the hints of fields, recursively; the rest names nothing."""
    assert classes_in([hint]) == found


def test_type_variables_and_callables_name_what_they_are_bound_to() -> None:
    """VALUE-2: hints may be generic themselves."""

    def bound[B: Add](value: B) -> Callable[[Get], B]:
        raise NotImplementedError

    def chosen[C: (Item, Order)](value: C) -> C:
        raise NotImplementedError

    assert classes_in([*bound.__type_params__]) == {Add}
    assert classes_in([*chosen.__type_params__]) == {Item, Order}
    assert classes_in([types.GenericAlias(list, ([Get, Color],))]) == {Get, Color}


def test_admission_reaches_the_fields_of_fields() -> None:
    """VALUE-2: without any trust, a spawned actor's messages can be made, and nothing else."""
    registry = TypeRegistry(())
    registry.admit(Everything[Odd])
    assert all(admits(registry, cls) for cls in (Everything, Odd, Order, Item))


# Names.


def test_a_name_given_at_registration_is_the_name_on_the_wire() -> None:
    """VALUE-2: so a class can move to another module and still be known."""
    registry = TypeRegistry(())
    codec = value_codec(registry)
    registry.register(Add, "shop/add")
    assert b"shop/add" in codec.encode(Add(2))
    assert codec.decode(named("shop/add")) == codec.decode(named(wire_name(Add))) == Add()


def test_a_later_registration_renames_what_has_been_sent_before() -> None:
    """VALUE-2: what is remembered of a class does not keep an old name."""
    registry = TypeRegistry()
    codec = value_codec(registry)
    assert b"tests.wire.orders:Add" in codec.encode(Add(2))
    registry.register(Add, "add")
    assert b"tests.wire.orders:Add" not in codec.encode(Add(2))
    assert codec.decode(codec.encode(Add(2))) == Add(2)


def test_a_name_belongs_to_one_class() -> None:
    """VALUE-2: otherwise a message would become something else."""
    registry = TypeRegistry()
    registry.register(Add, "x")
    registry.register(Add, "x")
    with pytest.raises(
        ValueError, match=r"'x' is registered for <class '.*Add'>, so it cannot be for <class '.*Get'>"
    ):
        registry.register(Get, "x")


@pytest.mark.parametrize("thing", [int, list, object, Exception, 5, None, len, Add()])
def test_only_dataclasses_and_enums_can_be_registered(thing: Any) -> None:
    """VALUE-2: nothing else is ever made."""
    with pytest.raises(TypeError, match="only dataclasses and enums can be registered, not"):
        TypeRegistry().register(thing)


def test_a_local_class_needs_a_name_and_then_travels() -> None:
    """VALUE-2: nobody could find it by its own."""

    @dataclass
    class Local:
        x: int

    registry = TypeRegistry()
    codec = value_codec(registry)
    with pytest.raises(SerializationError, match="is local to a function"):
        codec.encode(Local(1))
    with pytest.raises(ValueError, match="is local to a function, so it can be registered by name only"):
        registry.register(Local)
    registry.admit(Local)
    assert not admits(registry, Local)
    registry.register(Local, "local")
    assert codec.decode(codec.encode(Local(1))) == Local(1)
    assert not admits(registry, Local)


def test_a_class_defined_again_takes_the_place_of_the_first() -> None:
    """VALUE-2: a reloaded module is not a name clash."""
    registry = TypeRegistry(())
    registry.register(Add)
    again: Any = dataclass(type("Add", (), {"__annotations__": {"amount": int}, "__module__": Add.__module__}))
    registry.register(again)
    assert type(value_codec(registry).decode(named(wire_name(Add), content={"amount": 1}))) is again


def test_what_is_unknown_is_told_how_to_become_known() -> None:
    """VALUE-2: UNKNOWN_TYPE says what to do about it, and repeats little of the name."""
    with pytest.raises(
        UnknownTypeError, match=r"type 'shop:Refund' is not admitted: .*register_type.*trusted_modules"
    ):
        value_codec().decode(named("shop:Refund"))
    with pytest.raises(UnknownTypeError) as caught:
        value_codec().decode(named("shop:" + "\x1b" * 10_000))
    assert len(str(caught.value)) < 700
    assert "\x1b" not in str(caught.value)


# The main module, which has two names.


@pytest.fixture
def main_module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A `__main__` with a dataclass in it."""
    module = types.ModuleType("__main__")
    module.__dict__["Job"] = make_class("__main__", "Job")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def make_class(module: str, name: str) -> Any:
    return dataclass(type(name, (), {"__annotations__": {"n": int}, "__module__": module}))


def test_a_script_is_called_main(main_module: types.ModuleType) -> None:
    """VALUE-2: every node that runs the same script has the same `__main__`."""
    registry = TypeRegistry()
    codec = value_codec(registry)
    job = main_module.Job(1)
    data = codec.encode(job)
    assert b"__main__:Job" in data
    assert codec.decode(data) == job


def test_a_module_run_with_m_is_called_by_its_name(
    main_module: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VALUE-2: so it meets nodes that have imported it."""
    main_module.__spec__ = importlib.util.spec_from_loader("shop.worker", None)
    imported = types.ModuleType("shop.worker")
    imported.__dict__["Job"] = make_class("shop.worker", "Job")
    imported.__dict__["Only"] = make_class("shop.worker", "Only")
    monkeypatch.setitem(sys.modules, "shop.worker", imported)
    registry = TypeRegistry(("shop",))
    codec = value_codec(registry)
    data = codec.encode(main_module.Job(1))
    assert b"shop.worker:Job" in data
    assert type(codec.decode(data)) is main_module.Job
    assert type(codec.decode(named("shop.worker:Only", content={"n": 1}))) is imported.Only


@pytest.mark.parametrize("started_with_m", [False, True])
@pytest.mark.parametrize("still_runs", [False, True])
def test_the_program_is_the_same_module_in_a_spawned_process(
    monkeypatch: pytest.MonkeyPatch, started_with_m: bool, still_runs: bool
) -> None:
    """VALUE-2: `multiprocessing` runs it once more there, by another name, and then calls it by both."""
    here = types.ModuleType("__mp_main__")
    here.__dict__["Job"] = make_class("__mp_main__", "Job")
    if started_with_m:
        here.__spec__ = importlib.util.spec_from_loader("shop.worker", None)
    monkeypatch.setitem(sys.modules, "__mp_main__", here)
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__") if still_runs else here)
    name = b"shop.worker:Job" if started_with_m else b"__main__:Job"
    for trusted in ((), ("__mp_main__",), ("__main__",), None):
        registry = TypeRegistry(trusted)
        if trusted == ():
            registry.register(here.Job)
        if trusted == ("__main__",) and still_runs and started_with_m:
            continue  # there is another program by this name
        codec = value_codec(registry)
        data = codec.encode(here.Job(1))
        assert name in data
        assert type(codec.decode(data)) is here.Job
        with pytest.raises(UnknownTypeError):
            codec.decode(named("__mp_main__:Job", content={"n": 1}))


# Nothing is run.


def test_no_name_from_the_network_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """VALUE-2, T-02: not even one whose package is trusted."""
    (tmp_path / "shop_canary.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for registry in (TypeRegistry(), TypeRegistry(("shop_canary",))):
        with pytest.raises(UnknownTypeError):
            value_codec(registry).decode(named("shop_canary:Canary"))
    assert "shop_canary" not in sys.modules


def test_the_decoder_of_old_would_have_run_a_command(tmp_path: Path) -> None:
    """VALUE-2, T-01: no class but a dataclass or an enum is made, whatever its package is trusted for."""
    canary = tmp_path / "canary"
    registry = TypeRegistry(("subprocess", "os", "builtins"))
    arguments = {"args": ["touch", str(canary)]}
    for name in ("subprocess:Popen", "subprocess:run", "os:system", "builtins:eval", "builtins:int"):
        for code in (p.EXT_DATACLASS, p.EXT_ENUM):
            with pytest.raises(UnknownTypeError):
                value_codec(registry).decode(named(name, code, arguments))
    assert not canary.exists()
    assert "Popen" in vars(subprocess)


@pytest.mark.parametrize(
    "name",
    [
        "tests.wire.orders:",
        ":Add",
        "tests.wire.orders",
        "tests.wire.orders:Add.amount",
        "tests.wire.orders:Color.RED",
        "tests.wire.orders:annotations",
        "tests.wire.orders:orders_registry",
        "tests.wire.orders:dataclass",
        "tests.wire.orders:TypeRegistry",
        "tests.wire.orders:sys.modules",
        "tests.wire.test_types:Add",
        "tests.wire.test_types:p.EXT_DATACLASS",
        "tests.wire.orders:Add.__class__",
        "tests.wire.orders:Add.__init__.__globals__",
        "tests..orders:Add",
        "",
    ],
)
def test_a_name_must_be_the_classs_own(name: str) -> None:
    """VALUE-2: what a module has imported, and attributes of classes, go by other names."""
    with pytest.raises(UnknownTypeError):
        value_codec(TypeRegistry(("tests", ""))).decode(named(name))


def test_modules_that_load_on_demand_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """VALUE-2: looking is done in namespaces, past `__getattr__` and `__getattribute__`."""
    asked: list[str] = []

    class Lazy(types.ModuleType):
        def __getattribute__(self, name: str) -> Any:
            asked.append(name)
            raise AssertionError(name)

    class Proxy:
        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            asked.append("__class__")
            return type

    eager = types.ModuleType("lazy_shop.eager")
    eager.__dict__.update(thing=Proxy(), __getattr__=asked.append)
    monkeypatch.setitem(sys.modules, "lazy_shop", Lazy("lazy_shop"))
    monkeypatch.setitem(sys.modules, "lazy_shop.eager", eager)
    monkeypatch.setitem(sys.modules, "lazy_shop.nothing", None)
    codec = value_codec(TypeRegistry(("lazy_shop",)))
    for name in (
        "lazy_shop:Thing",
        "lazy_shop.eager:Thing",
        "lazy_shop.eager:thing",
        "lazy_shop.nothing:Thing",
    ):
        with pytest.raises(UnknownTypeError):
            codec.decode(named(name))
    assert asked == []


def test_enums_and_dataclasses_are_not_taken_for_each_other() -> None:
    """VALUE-4: the code says which of the two it is."""
    codec = value_codec(TypeRegistry(("tests",)))
    with pytest.raises(SerializationError, match="orders:Color is an enum"):
        codec.decode(named("tests.wire.orders:Color"))
    with pytest.raises(SerializationError, match="orders:Add is a dataclass"):
        codec.decode(named("tests.wire.orders:Add", p.EXT_ENUM, 1))
    with pytest.raises(SerializationError, match="could not be made: ValueError: 7 is not a valid Color"):
        codec.decode(named("tests.wire.orders:Color", p.EXT_ENUM, 7))
