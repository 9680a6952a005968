"""Which dataclasses and enums this node sends and admits, and what they are called on the wire.

A name that comes from the network is only compared: with what is registered, and, where its package is trusted,
with what this process has loaded already. Nothing is imported, and nothing but a dataclass or an enum can be
found (VALUE-2).
"""

from __future__ import annotations

import functools
import sys
from enum import EnumType
from types import ModuleType
from typing import TYPE_CHECKING

from casty.errors import SerializationError, UnknownTypeError
from casty.wire.hints import classes_in
from casty.wire.records import Choice, Record, is_sendable_class
from casty.wire.words import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAIN = "__main__"
_MAINS = (_MAIN, "__mp_main__")
"""What the module of the program is called: in the process that was started, and in those that
`multiprocessing` starts by its methods spawn and forkserver."""


class TypeRegistry:
    """The types of one node: each actor system has its own, and two may trust different things.

    With `trusted_modules` None, the top-level package of every type registered, spawned with or sent from here,
    and of what applies commands here, is trusted; a tuple trusts exactly those packages and modules, and the
    empty one none.
    """

    def __init__(self, trusted_modules: Iterable[str] | None = None) -> None:
        if isinstance(trusted_modules, str):  # an iterable, too, of names of one letter
            raise TypeError(f"trusted_modules must be a collection of names, not {trusted_modules!r}")
        self._trusted = None if trusted_modules is None else tuple(map(_name_to_import, trusted_modules))
        self._packages: set[str] = set()
        self._sent: set[str] = set()
        """Packages that are trusted for nothing else than that something of them was sent."""
        self._admitted: dict[str, type] = {}
        """Registered, or part of a spawned actor's message type; by every name that is accepted for it."""
        self._plans: dict[type, Record | Choice] = {}
        self._plans_by_name: dict[str, Record | Choice] = {}

    def register(self, cls: type, name: str | None = None) -> None:
        """Admits the class and trusts its package; `name` is what it is then called on the wire.

        Raises `TypeError` for anything but a dataclass or an enum, `ValueError` for a name that another class
        has, or that no other node could know.
        """
        if not is_sendable_class(cls):
            raise TypeError(f"only dataclasses and enums can be registered, not {cls!r}")
        if name is None and is_local(cls):
            raise ValueError(f"{cls.__qualname__} is local to a function, so it can be registered by name only")
        known = self._admitted.get(name or wire_name(cls), cls)
        if wire_name(known) != wire_name(cls):
            raise ValueError(f"{name!r} is registered for {known!r}, so it cannot be for {cls!r}")
        plan = self._plans.setdefault(cls, _plan(cls, ""))
        plan.name = name or wire_name(cls)
        self._admit(cls, plan.name)
        if not is_local(cls):
            self._admit(cls, wire_name(cls))

    def admit(self, *hints: object) -> None:
        """Admits a spawned actor's message types, and the dataclasses and enums that their fields' hints name.

        A hint is anything that may stand in `Actor[...]`: a class, a union, an alias, a generic.
        """
        for cls in classes_in(hints):
            if not is_local(cls):
                self._admit(cls, wire_name(cls))

    def trust(self, cls: type) -> None:
        """Trusts the package of a class that this node's own code uses, unless trust was given out by name."""
        self._packages.add(_package(wire_name(cls)))

    def trust_code(self, code: object) -> None:
        """Trusts the package of a function, or of a callable's class, that this node was given to call."""
        while isinstance(code, functools.partial):
            code = code.func
        module: object = getattr(code, "__module__", None)
        if isinstance(module, str):
            self._packages.add(_package(_name_to_import(module)))

    def plan(self, cls: type) -> Record | Choice:
        """How a class is taken apart to be sent. Raises `SerializationError` for one that cannot be."""
        plan = self._plans.get(cls)
        if plan is None:
            plan = self._plans[cls] = _plan(cls, self._name_to_send(cls))
            self._sent.add(_package(wire_name(cls)))
        return plan

    def is_common(self, cls: type) -> bool:
        """Whether a node that was set up like this one admits the class, though it has sent nothing yet."""
        name = wire_name(cls)
        return cls in self._admitted.values() or self._is_trusted(name, self._packages)

    def plan_named(self, name: str) -> Record | Choice:
        """How a class named by the network is put together. Raises `UnknownTypeError` if it is not admitted."""
        plan = self._plans_by_name.get(name)
        if plan is None:
            plan = self._plans_by_name[name] = _plan(self._find(name), name)
        return plan

    def plan_sent(self, name: str) -> Record | Choice:
        """How what was sent from here by that name is put together, by a node that admits it."""
        plans = (plan for plan in reversed(self._plans.values()) if plan.name == name)
        return next(plans, None) or self.plan_named(name)

    def _admit(self, cls: type, name: str) -> None:
        self._admitted[name] = cls
        self._plans_by_name.pop(name, None)
        self.trust(cls)

    def _name_to_send(self, cls: type) -> str:
        """`module:qualname`, if the other side can find the class by it."""
        name = wire_name(cls)
        if is_local(cls):
            raise SerializationError(
                f"{name} is local to a function, so no other node can find it; "
                "define it in a module or register it by name"
            )
        if self._admitted.get(name) is not cls and _loaded(name) is not cls:
            raise SerializationError(f"{name} does not lead to {cls!r}; register it by a name of its own")
        return name

    def _find(self, name: str) -> type:
        cls = self._admitted.get(name)
        if cls is None and self._is_trusted(name, self._packages | self._sent):
            cls = _loaded(name)
        if cls is None:
            raise UnknownTypeError(
                f"type {shown(name)} is not admitted: load its module before a message of it comes, and "
                "register it with system.register_type(...) or name its package in trusted_modules"
            )
        return cls

    def _is_trusted(self, name: str, packages: set[str]) -> bool:
        if self._trusted is None:
            return _package(name) in packages
        module = name.partition(":")[0]
        return any(module == trusted or module.startswith(f"{trusted}.") for trusted in self._trusted)


class CommonTypes:
    """The types of a node as all nodes know them that were set up like it, for what each of them must read."""

    def __init__(self, types: TypeRegistry) -> None:
        self._types = types

    def plan_named(self, name: str) -> Record | Choice:
        """As `TypeRegistry.plan_named`."""
        return self._types.plan_named(name)

    plan_sent = plan_named
    """What is sent from here must be read here, too, after a restart."""

    def plan(self, cls: type) -> Record | Choice:
        """As `TypeRegistry.plan`. Raises `SerializationError` where only who sends some admits the class."""
        if not self._types.is_common(cls):
            raise SerializationError(
                f"{wire_name(cls)} could not be read by every member, nor here after a restart: annotate the "
                "apply callback's parameter with it, or register it with system.register_type(...) on all nodes"
            )
        return self._types.plan(cls)


def wire_name(cls: type) -> str:
    """`module:qualname`. The program's module goes by its own name where it was started with `python -m`, and
    by `__main__` elsewhere, whichever process of the program it is."""
    return f"{_name_to_import(cls.__module__)}:{cls.__qualname__}"


def is_local(cls: type) -> bool:
    """Whether the class was defined inside a function, where nobody can find it by name."""
    return "<locals>" in cls.__qualname__


def _plan(cls: type, name: str) -> Record | Choice:
    return Choice(cls, name) if isinstance(cls, EnumType) else Record(cls, name)


def _package(name: str) -> str:
    return name.partition(":")[0].partition(".")[0]


def _name_to_import(module: str) -> str:
    if module not in _MAINS:
        return module
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return _MAIN if spec is None else spec.name


def _loaded(name: str) -> type | None:
    """The dataclass or enum of that name, if it is loaded. Looks into namespaces only, so no code runs."""
    module_name, _, qualname = name.partition(":")
    places = [main for main in _MAINS if _name_to_import(main) == module_name]
    for module in map(sys.modules.get, (*places, module_name)):
        found: object = module
        for part in qualname.split("."):
            found = _namespace(found).get(part)
        if is_sendable_class(found) and wire_name(found) == name:
            return found
    return None


def _namespace(thing: object) -> Mapping[str, object]:
    """A module's or a class's names, past any `__getattr__`: those of lazy modules import."""
    if issubclass(type(thing), ModuleType):
        names: Mapping[str, object] = object.__getattribute__(thing, "__dict__")
        return names
    if issubclass(type(thing), type):
        return vars(thing)
    return {}
