"""One planted bug: where, what instead of what, and which case finds it."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conformance.case import Case

TABLE: Final = Path(__file__).with_name("mutants.toml")
REFERENCE: Final = Path(__file__).resolve().parents[2] / "casty"
"""The reference node's package, beside this one in a checkout."""


class DriftError(ValueError):
    """The line to be changed is not there, or there twice: the code has moved on, and the table must follow."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of one line; `killed_by` is empty for a benign one, which every case must pass."""

    name: str
    file: str
    """Below `casty/`."""
    find: str
    replace: str
    killed_by: tuple[str, ...]
    rules: tuple[str, ...] = ()
    """What it breaks, where that is not the first rule of each case that finds it: see `broken`."""
    also: tuple[tuple[str, str, str], ...] = ()
    """Where two places hold the same thing off, the other one: file, find, replace."""
    nonstrict: tuple[str, ...] = ()
    """Cases that call a benign change NONSTRICT, for it leaves what a SHOULD asks for."""

    def plant(self, folder: Path) -> None:
        """Copies the reference node into `folder` and changes it. Raises `DriftError`."""
        target = folder / "casty"
        shutil.copytree(REFERENCE, target, ignore=shutil.ignore_patterns("__pycache__"))
        for file, find, replace in ((self.file, self.find, self.replace), *self.also):
            path = target / file
            text = path.read_text(encoding="utf-8")
            if (found := text.count(find)) != 1:
                raise DriftError(f"{self.name}: casty/{file} has {find!r} {found} times, not once")
            path.write_text(text.replace(find, replace), encoding="utf-8")


def load(path: Path = TABLE) -> list[Mutant]:
    """All mutants of the table. Raises `ValueError` for a name that comes twice."""
    rows: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["mutants"]
    mutants = [
        Mutant(
            row["name"],
            row["file"],
            row["find"],
            row["replace"],
            tuple(row.get("killed_by", ())),
            tuple(row.get("rules", ())),
            tuple((other["file"], other["find"], other["replace"]) for other in row.get("also", ())),
            tuple(row.get("nonstrict", ())),
        )
        for row in rows
    ]
    names = [mutant.name for mutant in mutants]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{path}: more than one mutant called {', '.join(sorted(twice))}")
    return mutants


def broken(mutant: Mutant, cases: Mapping[str, Case]) -> tuple[str, ...]:
    """The rules that it breaks: those it names, else the first of each case that finds it."""
    return mutant.rules or tuple(dict.fromkeys(cases[id].rules[0] for id in mutant.killed_by))
