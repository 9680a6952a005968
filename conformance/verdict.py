"""How a case ends, and the exceptions by which a play says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from conformance.wire.frame import Frame


class State(StrEnum):
    """The state of one case after a run."""

    PASS = "PASS"
    FAIL = "FAIL"
    NONSTRICT = "NONSTRICT"
    """It broke a SHOULD: remarkable, not wrong."""
    UNSUPPORTED = "UNSUPPORTED"
    """The node does not declare the capability."""
    SKIP = "SKIP"
    """This machine lacks the means; the reason is given."""
    XFAIL = "XFAIL"
    """It failed, as the baseline says."""
    XPASS = "XPASS"
    """It passed, though the baseline says that it fails: the baseline is out of date."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """Nothing wrong was seen, but the check could not be finished."""
    HARNESS_ERROR = "HARNESS-ERROR"
    """The suite itself, or the machine, went wrong: nothing is said about the node."""

    @property
    def has_evidence(self) -> bool:
        """Whether something happened that people will want to look at: its artifacts are kept."""
        return self in _REMARKABLE


_REMARKABLE: Final = (
    State.FAIL, State.NONSTRICT, State.XFAIL, State.XPASS, State.INCONCLUSIVE, State.HARNESS_ERROR,
)  # fmt: skip


class Unmet(AssertionError):
    """The node did something else than the case expects: the node's fault.

    `frame` with the byte range `start..end` is where it shows, if it shows in a frame.
    """

    def __init__(
        self, expected: str, got: str, *, frame: Frame | None = None, start: int = 0, end: int = 0
    ) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got
        self.frame = frame
        self.start = start
        self.end = end


class Unplayable(Exception):
    """The machine lacks what the case needs: SKIP, with this reason."""


class Undecided(Exception):
    """A check hit its cap: INCONCLUSIVE, with this reason."""


class HarnessError(Exception):
    """The suite's fault, or the machine's: never the node's."""


@dataclass(slots=True)
class Outcome:
    """What one run of one case came to."""

    case: str
    state: State
    seconds: float
    seed: str
    repeat: int = 0
    expected: str = ""
    got: str = ""
    reason: str = ""
    """Why it was skipped, inconclusive or an error of the harness; for a failure, notes such as the node's
    last words."""
    hexdump: str = ""
    """The bytes in which a failure shows, with carets below them."""
    frame: str = ""
    """Which frame that is: number, direction, size."""
    record: int = -1
    """The index in the trace of the record in which a failure shows; -1 where it shows in none."""
    seen: int = 0
    """How many records the trace had when the play ended: those after them are of the cleaning up."""
    start: int = 0
    end: int = 0
    """The bytes of that frame in question: none where both are 0."""
    artifacts: str = ""
    """The folder that was kept, empty if none was."""
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For `results.json` and the way from a worker to the front."""
        return {name: getattr(self, name) for name in self.__slots__} | {"state": self.state.value}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Outcome:
        """The reverse of `as_dict`."""
        known = {name: value for name, value in fields.items() if name in cls.__slots__}
        given: dict[str, Any] = {**known, "state": State(fields["state"])}
        return cls(**given)
