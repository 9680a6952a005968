"""The rows of a story: what a picture draws, one below the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conformance.trace.words import Tone

type Role = str
"""``follower``, ``prevote``, ``candidate``, ``leader``, ``paused``, ``down``, or ``absent`` before anything is
known.
"""


@dataclass(slots=True)
class Row:
    """One line of the story. `roles` and `chips` are what it changes, by node."""

    time: float
    roles: dict[str, Role] = field(default_factory=dict[str, Role])
    chips: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class Arrow(Row):
    """A message."""

    source: str = ""
    target: str = ""
    text: str = ""
    tone: Tone = "actor"
    fate: str = "passed"
    about: str = ""
    """All of it, for those who ask."""


@dataclass(slots=True)
class Band(Row):
    """Messages that are told together: how many of what, until when, and between whom."""

    end: float = 0.0
    text: str = ""
    groups: tuple[tuple[str, ...], ...] = ()


@dataclass(slots=True)
class Turn(Row):
    """Something that becomes of a node: it leads, it is killed, it starts."""

    node: str = ""
    text: str = ""
    tone: Tone = "note"


@dataclass(slots=True)
class Note(Row):
    """Something about no single node."""

    text: str = ""
    tone: Tone = "note"


@dataclass(slots=True)
class Story:
    """The rows in the order of time, the nodes in the order in which they are shown, and what was left out."""

    rows: list[Row]
    nodes: list[str]
    left_out: int = 0
    roles: dict[str, Role] = field(default_factory=dict[str, Role])
    """Of the nodes, before the first row."""


def nodes_of(row: Row) -> Iterable[str]:
    """The nodes that the row is about."""
    match row:
        case Arrow():
            return (row.source, row.target)
        case Band():
            return (node for group in row.groups for node in group)
        case Turn():
            return (row.node,)
        case _:
            return ()
