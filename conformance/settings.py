"""What one run of the suite was asked for, in a form that the front hands to its workers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The command under test, and how it is to be tested."""

    command: tuple[str, ...]
    """With the placeholders of the launch contract."""
    impl: str = ""
    caps: frozenset[str] = frozenset()
    """What the implementation declared by `--describe`."""
    seed: str = "0"
    scale: float = 1.0
    """How much slower than an ordinary machine this one is: bounds are multiplied by it."""
    out: Path = Path("conformance-results")
    keep: bool = False
    """Keep the artifacts of cases that passed, too."""
    repeat: int = 1
    """How often each case is played."""
    first_repeat: int = 0
    """The number of the first of them: what is drawn at random depends on it."""
    expected_failures: dict[str, str]
    """Ids that fail as known, with the reason (the baseline)."""
    reference: tuple[str, ...] = ()
    """The command of another implementation, for mixed clusters."""
    selection: tuple[str, ...] = ()
    """The words of the command line that chose the cases: all, without."""

    def as_dict(self) -> dict[str, Any]:
        """In the terms of JSON."""
        plain = {"command": [*self.command], "reference": [*self.reference], "caps": sorted(self.caps)}
        plain["selection"] = [*self.selection]
        return asdict(self) | plain | {"out": str(self.out)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """The reverse of `as_dict`. Raises KeyError or TypeError where `given` is something else."""
        known = {field.name for field in fields(cls)}
        exact: dict[str, Any] = {
            "command": tuple(given["command"]),
            "reference": tuple(given["reference"]),
            "caps": frozenset(given["caps"]),
            "selection": tuple(given.get("selection", ())),
            "out": Path(given["out"]),
        }
        return cls(**{name: value for name, value in given.items() if name in known} | exact)

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """The reverse of `write`."""
        return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
