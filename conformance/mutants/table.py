"""Who kills whom, as markdown: the same text for the same results, whatever machine they come from."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from conformance.mutants.mutant import broken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from conformance.case import Case
    from conformance.mutants.mutant import Mutant

FILE: Final = Path(__file__).with_name("KILLED.md")
"""What the last whole run has found, for readers."""
_COMMAND: Final = f"python -m conformance.mutants --table conformance/mutants/{FILE.name}"
_CHANGE_CHARS_MAX: Final = 160


class Row(NamedTuple):
    """What became of one mutant."""

    mutant: Mutant
    killers: tuple[str, ...]
    """Of the cases that are to find it, those that did."""


def document(rows: Sequence[Row], cases: Mapping[str, Case]) -> str:
    """The whole table, and those that nobody or not everybody found, in the order given."""
    return "\n".join(_lines(rows, cases)) + "\n"


def _lines(rows: Sequence[Row], cases: Mapping[str, Case]) -> Iterator[str]:
    yield from (f"<!-- Written by `{_COMMAND}`. -->", "", "# Who kills whom", "")
    yield "Each bug was planted in a copy of the reference node, alone; the cases named with it failed."
    yield from ("", "| mutant | change | rules broken | killed by |", "|---|---|---|---|")
    for mutant, killers in rows:
        changes = ((mutant.file, mutant.find, mutant.replace), *mutant.also)
        change = "; ".join(f"{file}: {_change(find, replace)}" for file, find, replace in changes)
        rules = ", ".join(broken(mutant, cases))
        yield f"| {mutant.name} | {change} | {rules} | {', '.join(killers) or '**none**'} |"
    yield from ("", "## Survivors", "")
    survivors = [(row, [id for id in row.mutant.killed_by if id not in row.killers]) for row in rows]
    found = [f"- {row.mutant.name}, which {', '.join(blind)} did not find" for row, blind in survivors if blind]
    yield from found or ["None."]


def _change(find: str, replace: str) -> str:
    """What goes and what comes instead, without the lines around it that stay."""
    old, new = find.splitlines(), replace.splitlines()
    for _ in range(2):  # the end first, then the beginning
        pairs = zip(old[::-1], new[::-1], strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        old, new = old[: len(old) - same][::-1], new[: len(new) - same][::-1]
    if not new:
        return f"without {_code(old)}"
    return f"{_code(old)} → {_code(new)}" if old else f"with {_code(new)}"


def _code(lines: list[str]) -> str:
    text = " ".join(" ".join(lines).split())
    if len(text) > _CHANGE_CHARS_MAX:
        text = f"{text[: _CHANGE_CHARS_MAX - 1]}…"
    return f"`{text.replace('|', chr(92) + '|')}`"
