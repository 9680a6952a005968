"""The records of a trace: what can be seen of a cluster from its wires, and what was done to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from conformance.wire.frame import Frame

type Fate = Literal[
    "passed", "dropped", "held", "delayed", "duplicated", "sliced", "throttled", "corrupted", "blackholed"
]
"""What the network did with a frame. Where it did several things, the first; `Sent.detail` tells all."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection, written once it is known who dialled; None where that cannot be known.

    `time` is in seconds since the trace began, here and below. `connection` is the number by which later
    records mean this connection. `lane` is the one the dialler's hello named.
    """

    time: float
    connection: int
    dialler: str | None
    listener: str
    lane: str | None


@dataclass(frozen=True, slots=True)
class Sent:
    """One frame as its sender wrote it, seen when it had arrived whole and before it was delivered, if it was.

    `source` and `target` are node ids, None where unknown. `detail` is for people, but for `malformed`: that
    marks a frame that breaks its schema on purpose.
    """

    time: float
    connection: int
    source: str | None
    target: str | None
    frame: Frame
    fate: Fate = "passed"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that are no frames, or were never recognised as such, and why: `problem`."""

    time: float
    connection: int
    source: str | None
    target: str | None
    data: bytes
    problem: str


@dataclass(frozen=True, slots=True)
class Closed:
    """One side has ended a connection: `source`, or the network where None.

    `how` is ``fin`` or ``reset``, or says in words what else it was. After a FIN the other side may go on.
    """

    time: float
    connection: int
    source: str | None
    how: str


@dataclass(frozen=True, slots=True)
class Marked:
    """Something that no wire shows: a node's start, ready, kill, exit, pause, resume, and what the suite did.

    `node` is None for what is about no single node, such as a partition.
    """

    time: float
    node: str | None
    event: str
    text: str


type Record = Opened | Sent | Raw | Closed | Marked
