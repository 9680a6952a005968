"""What can be wrong with a network, to whom it happens, and what becomes of one frame.

Decisions only: nothing here waits, writes, or knows a socket. Every choice by chance comes from the `Random`
handed in, through a sequence of its own for each fault and each way, so that what happens to the frames from n1
to n2 does not depend on how much n3 has to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from conformance._protocol import TYPE_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.trace.record import Fate


@dataclass(frozen=True, slots=True)
class Drop:
    """The frame is lost; those after it arrive.

    A stream that is not read as frames cannot go on after a gap: there, everything from the first loss on is
    lost.
    """


@dataclass(frozen=True, slots=True)
class Hold:
    """The frame waits until it is released, and with it all that follows in its direction, the end included.

    When 4 MiB wait, the sender is not read any more, so that its own end is not noticed either.

    With `overtaken`, later frames pass it: an order that TCP never makes, for nodes that must not rely on it.
    """

    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class Delay:
    """The frame arrives `low` to `high` seconds later, evenly distributed; none overtakes it."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"a delay of {self.low} to {self.high} s; expected 0 ≤ low ≤ high")


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The frame arrives `copies` times more. Bytes that are no frames are left alone."""

    copies: int = 1

    def __post_init__(self) -> None:
        _positive("copies", self.copies)


@dataclass(frozen=True, slots=True)
class Slice:
    """The frame arrives in segments of `size` bytes, `pause` seconds apart; 0 is as fast as the loop turns."""

    size: int = 1
    pause: float = 0.0

    def __post_init__(self) -> None:
        _positive("size", self.size)


@dataclass(frozen=True, slots=True)
class Throttle:
    """The frame trickles at this rate, and what follows waits for it."""

    bytes_per_second: float

    def __post_init__(self) -> None:
        _positive("bytes_per_second", self.bytes_per_second)


@dataclass(frozen=True, slots=True)
class Corrupt:
    """The bits of `mask` are flipped in one byte: at `offset` from the beginning, or the end if negative.

    A frame that has no such byte passes.
    """

    offset: int
    mask: int = 0xFF

    def __post_init__(self) -> None:
        if not 0 < self.mask <= 0xFF:
            raise ValueError(f"mask is {self.mask}; expected 1 to 255")


@dataclass(frozen=True, slots=True)
class Blackhole:
    """The frame vanishes; and, where all kinds do, so does the end of the connection: nobody is told of it.

    The end that was kept back is passed on when the fault is removed.
    """


@dataclass(frozen=True, slots=True)
class Refuse:
    """A new connection is reset; what is open stays.

    Where a fault asks for a source or a lane, that is once the hello has told it, and its target never hears of
    the connection.
    """


type Action = Drop | Hold | Delay | Duplicate | Slice | Throttle | Corrupt | Blackhole | Refuse


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """An action and to whom it happens: None stands for any. Two faults that say the same are two.

    `kinds` are frame types; bytes that are no frames have none. `lane` is that of the connection. Each of the
    frames that fit is hit with `probability`, until `times` were.
    """

    action: Action
    source: str | None = None
    target: str | None = None
    kinds: frozenset[int] | None = None
    lane: str | None = None
    probability: float = 1.0
    times: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability is {self.probability}; expected 0 to 1")

    def __str__(self) -> str:
        who = f"{self.source or 'any'}→{self.target or 'any'}"
        kinds = (
            "" if self.kinds is None else " " + ",".join(TYPE_NAMES.get(k, str(k)) for k in sorted(self.kinds))
        )
        lane = f" lane {self.lane}" if self.lane else ""
        chance = f" with probability {self.probability}" if self.probability < 1 else ""
        times = "" if self.times is None else f" {self.times} times"
        return f"{self.action} {who}{kinds}{lane}{chance}{times}"


class Way(NamedTuple):
    """A direction of a connection: from whom to whom, None where unknown, and the connection's lane."""

    source: str | None
    target: str | None
    lane: str | None


@dataclass(slots=True)
class Plan:
    """What becomes of some bytes. Several faults may have their part in it, in the order of their addition."""

    data: bytes
    fate: Fate = "passed"
    detail: str = ""
    is_lost: bool = False
    hold: Fault | None = None
    """Waits for the release of this fault."""
    delay: float = 0.0
    """Seconds."""
    piece: int = 0
    """Bytes in a segment; 0: as it comes."""
    pause: float = 0.0
    """Seconds between segments."""
    rate: float = 0.0
    """Bytes a second; 0: as fast as it goes."""

    def note(self, fate: Fate, detail: str = "") -> None:
        """Remembers what was done: the first as the fate, everything in words."""
        told = f"{fate} {detail}".rstrip()
        if self.fate == "passed":
            self.fate, self.detail = fate, detail
        else:
            self.detail = f"{self.detail}; {told}".lstrip("; ")


FINAL: Final = (Drop, Hold, Blackhole)
"""After one of these, no other fault sees the frame."""

TRICKLES_A_SECOND: Final = 50
"""Writes in which a throttled frame goes: often enough to look even, seldom enough to cost nothing."""


class Faults:
    """The faults in force, and what they make of frames."""

    def __init__(self, rng: Random) -> None:
        self._base = rng.getrandbits(64)
        self._added = 0
        self._serials: dict[Fault, int] = {}
        self._hits: dict[Fault, int] = {}
        self._dice: dict[tuple[Fault, Way], Random] = {}

    def add(self, fault: Fault) -> None:
        self._added += 1
        self._serials[fault] = self._added
        self._hits[fault] = 0

    def remove(self, fault: Fault) -> None:
        """Forgets the fault. Does nothing if it is not in force."""
        self._serials.pop(fault, None)
        self._hits.pop(fault, None)
        for key in [key for key in self._dice if key[0] is fault]:
            del self._dice[key]

    def __iter__(self) -> Iterator[Fault]:
        return iter(tuple(self._serials))

    def may_touch(self, target: str) -> bool:
        """Whether any fault could concern what is sent to this node, whoever sends it."""
        return any(fault.target in (None, target) for fault in self._live())

    def concern(self, way: Way) -> bool:
        """Whether any frame of this way could be hit."""
        return any(_is_on(fault, way) for fault in self._live() if not isinstance(fault.action, Refuse))

    def concern_kind(self, way: Way, kind: int | None) -> bool:
        """Whether a frame of this type could be hit; None: bytes that are no frame."""
        return any(self._fitting(way, kind))

    def plan(self, way: Way, kind: int | None, data: bytes) -> Plan:
        """What becomes of this frame, or of these bytes if `kind` is None. Counts, and throws the dice."""
        plan = Plan(data)
        for fault in self._fitting(way, kind):
            if self._hit(fault, way):
                _apply(plan, fault, self._random(fault, way), is_frame=kind is not None)
                if isinstance(fault.action, FINAL):
                    break
        return plan

    def refusal(self, way: Way, *, early: bool, is_dialler_known: bool) -> Fault | None:
        """The fault that refuses this new connection; None if it may come in.

        Asked twice: `early`, when the connection comes, of faults that need no hello; then of the others.
        """
        for fault in self._live():
            needs_hello = fault.lane is not None or (fault.source is not None and not is_dialler_known)
            is_due = isinstance(fault.action, Refuse) and needs_hello is not early
            if is_due and _is_on(fault, way) and self._hit(fault, way):
                return fault
        return None

    def keeper_of_the_end(self, way: Way) -> Fault | None:
        """The blackhole in which the end of this way vanishes, too."""
        for fault in self._live():
            if isinstance(fault.action, Blackhole) and fault.kinds is None and _is_on(fault, way):
                return fault
        return None

    def _live(self) -> Iterator[Fault]:
        for fault, hits in self._hits.items():
            if fault.times is None or hits < fault.times:
                yield fault

    def _fitting(self, way: Way, kind: int | None) -> Iterator[Fault]:
        for fault in tuple(self._live()):
            fits_kind = fault.kinds is None or kind in fault.kinds
            if fits_kind and _is_on(fault, way) and not isinstance(fault.action, Refuse):
                yield fault

    def _hit(self, fault: Fault, way: Way) -> bool:
        if fault.probability < 1 and self._random(fault, way).random() >= fault.probability:
            return False
        self._hits[fault] += 1
        return True

    def _random(self, fault: Fault, way: Way) -> Random:
        if (fault, way) not in self._dice:
            self._dice[fault, way] = Random(f"{self._base}/{self._serials[fault]}/{'/'.join(map(str, way))}")
        return self._dice[fault, way]


def _is_on(fault: Fault, way: Way) -> bool:
    wanted = fault.source, fault.target, fault.lane
    return all(want is None or want == name for want, name in zip(wanted, way, strict=True))


def _apply(plan: Plan, fault: Fault, dice: Random, *, is_frame: bool) -> None:
    match fault.action:
        case Drop():
            plan.is_lost = True
            plan.note("dropped")
        case Blackhole():
            plan.is_lost = True
            plan.note("blackholed")
        case Hold(overtaken):
            plan.hold = fault
            plan.note("held", "and overtaken" if overtaken else "")
        case Delay(low, high):
            seconds = dice.uniform(low, high)
            plan.delay += seconds
            plan.note("delayed", f"{seconds:.6f} s")
        case Duplicate(copies):
            if is_frame:
                plan.data *= copies + 1
                plan.note("duplicated", f"{copies + 1} in all")
        case Slice(size, pause):
            plan.piece, plan.pause = size, pause
            plan.note("sliced", f"{size} bytes each")
        case Throttle(rate):
            plan.rate = rate
            plan.piece = plan.piece or max(1, int(rate / TRICKLES_A_SECOND))
            plan.note("throttled", f"{rate:g} bytes a second")
        case Corrupt(offset, mask):
            _corrupt(plan, offset, mask)
        case Refuse():
            raise AssertionError("a Refuse is about connections")


def _corrupt(plan: Plan, offset: int, mask: int) -> None:
    place = offset if offset >= 0 else len(plan.data) + offset
    if 0 <= place < len(plan.data):
        changed = bytearray(plan.data)
        changed[place] ^= mask
        plan.data = bytes(changed)
        plan.note("corrupted", f"byte {place} by {mask:#04x}")


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} is {value}; expected more than 0")
