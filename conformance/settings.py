"""What one run of the suite was asked for, in a form that the front hands to its workers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self


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
    expected_failures: dict[str, str]
    """Ids that fail as known, with the reason (the baseline)."""
    reference: tuple[str, ...] = ()
    """The command of another implementation, for mixed clusters."""

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), default=_plain, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """The reverse of `write`."""
        given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        given |= {
            "command": tuple(given["command"]),
            "reference": tuple(given["reference"]),
            "caps": frozenset(given["caps"]),
            "out": Path(given["out"]),
        }
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in given.items() if name in known})


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
