"""What a case is, and the catalogue of them all.

A case is a coroutine function that takes a `Stage`, decorated with its permanent id, the rules it checks and
what it
needs. Its docstring is what people read about it, in this form:

    A candidate whose last term is older is denied, however long its log.

    given: n1, a follower, holds entries 1 and 2 of term 2
    when: n2 asks for its vote in term 5 with a last entry (9, 1)
    expect: VOTE_RESPONSE, vote_granted false
    why: n2 could win and overwrite what is committed
    hint: compare the terms of the last entries before their indexes

An id is never given to another case; those that are gone stay in `RETIRED`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from inspect import getdoc
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Final

from conformance._rules import RULES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conformance.stage import Stage

type Play = Callable[[Stage], Awaitable[None]]

RETIRED: Final[frozenset[str]] = frozenset()
"""Ids of cases that are no more."""

GROUPS: Final = {
    "F": "framing",
    "D": "discovery",
    "M": "messaging",
    "E": "election",
    "R": "replication",
    "P": "persistence",
    "S": "snapshot",
    "C": "cluster",
    "X": "robustness",
    "T": "security",
    "L": "launch",
    "K": "services",
}
"""What the letter of an id stands for."""


class Level(StrEnum):
    """How much a failure says."""

    CORE = "core"
    """A MUST: a node that fails does not conform."""
    STRICT = "strict"
    """A SHOULD, or hygiene: a node that fails is NONSTRICT."""


class Layer(StrEnum):
    """What a case is played with."""

    SCRIPTED = "scripted"
    """One node under test; the suite plays all others."""
    LIVE = "live"
    """A cluster of nodes under test, with the recording proxy between them."""
    DISK = "disk"
    """A node whose disk is slow, full or damaged."""


class Harm(StrEnum):
    """What a failure leads to."""

    SAFETY = "safety"
    LIVENESS = "liveness"
    DURABILITY = "durability"
    PROTOCOL = "protocol"
    CRASH = "crash"
    HANG = "hang"
    SECURITY = "security"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing a node must do, and the play that shows whether it does."""

    id: str
    rules: tuple[str, ...]
    title: str
    given: str
    when: str
    expect: str
    why: str
    hint: str
    level: Level
    layer: Layer
    harm: Harm
    capabilities: frozenset[str]
    """What a node must declare for the case to apply to it."""
    tools: frozenset[str]
    """Programs and rights of the system without which it is skipped: see `conformance.node.means`."""
    tags: frozenset[str]
    """`nightly`: only when asked for. `timing`: judges by the clock."""
    seconds: float
    """How long it may take in all before it counts as hung, on a machine of ordinary speed."""
    play: Play
    module: str

    @property
    def group(self) -> str:
        """The chapter it belongs to, such as "election"."""
        return GROUPS[self.id[0]]


CATALOGUE: Final[dict[str, Case]] = {}
"""All cases that have been imported, by id; `load` imports all."""

_ID: Final = re.compile(rf"[{''.join(GROUPS)}]-[0-9]{{2,3}}[a-z]?")
_PARTS: Final = ("given", "when", "expect", "why", "hint")


def case(
    id: str,
    *rules: str,
    level: Level = Level.CORE,
    layer: Layer = Layer.SCRIPTED,
    harm: Harm = Harm.SAFETY,
    capabilities: tuple[str, ...] = (),
    tools: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    seconds: float = 60.0,
) -> Callable[[Play], Play]:
    """Enters a play into the catalogue.

    Raises ValueError, the author's mistake, for an id that is taken, retired or misshapen, for a rule that the
    specification does not have, and for a docstring that lacks a part.
    """

    def enter(play: Play) -> Play:
        if _ID.fullmatch(id) is None or id in CATALOGUE or id in RETIRED:
            raise ValueError(f"{play.__module__}: case id {id!r} is misshapen, taken or retired")
        if unknown := [rule for rule in rules if rule not in RULES]:
            raise ValueError(f"case {id}: no such rule in the specification: {', '.join(unknown)}")
        if not rules:
            raise ValueError(f"case {id}: names no rule")
        title, parts = _read_docstring(id, getdoc(play) or "")
        CATALOGUE[id] = Case(
            id=id,
            rules=rules,
            title=title,
            given=parts["given"],
            when=parts["when"],
            expect=parts["expect"],
            why=parts["why"],
            hint=parts["hint"],
            level=level,
            layer=layer,
            harm=harm,
            capabilities=frozenset(capabilities),
            tools=frozenset(tools),
            tags=frozenset(tags),
            seconds=seconds,
            play=play,
            module=play.__module__,
        )
        return play

    return enter


def load() -> dict[str, Case]:
    """The whole catalogue, in the order of groups and ids."""
    from conformance import cases

    for module in iter_modules(cases.__path__):
        import_module(f"{cases.__name__}.{module.name}")
    order = list(GROUPS)
    return dict(sorted(CATALOGUE.items(), key=lambda item: (order.index(item[0][0]), item[0][2:])))


def _read_docstring(id: str, text: str) -> tuple[str, dict[str, str]]:
    title, _, rest = text.partition("\n")
    parts: dict[str, str] = dict.fromkeys(_PARTS, "")
    part = ""
    for line in rest.splitlines():
        name, colon, said = line.partition(":")
        if colon and name in parts:
            part, line = name, said
        if part:
            parts[part] = f"{parts[part]} {line.strip()}".strip()
    if missing := [name for name in _PARTS[:4] if not parts[name]]:
        raise ValueError(f"case {id}: its docstring lacks {', '.join(missing)}")
    return title.strip(), parts
