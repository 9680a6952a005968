#!/usr/bin/env python3
"""Writes `pitfalls.md` from `pitfalls.toml`. With --check, says whether it is stale, and writes nothing.

A row that names a test which is not there, or a rule nobody wrote, is an error: the table must not promise more
than the repository keeps.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

SPEC = Path(__file__).resolve().parent
sys.path.insert(0, str(SPEC.parent / "tools"))  # so that it runs from anywhere

from casty_console import complain, program  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = SPEC.parent
ROWS = 82

_HEAD = """\
# Pitfalls

Mistakes that other Raft implementations made and paid for, each found in their code, issues or post-mortems.
For each: what breaks, the rules that forbid it, and how we know that this implementation does not make it. A
test is named by its file and its claim; *prevented* names the shape of the code that leaves no room for the
mistake; *later* the feature that does not exist yet, and with it neither does the mistake.

Made by `python spec/make_pitfalls.py` from [pitfalls.toml](pitfalls.toml), which fails where a test or a rule
is missing. The rules are explained in [raft.md](raft.md).
"""


@dataclass(frozen=True, slots=True)
class Pitfall:
    """One row: a mistake, what it breaks, and what keeps us from it."""

    number: int
    group: str
    title: str
    invariant: str
    rules: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    """Each ``tests/path.py::function``."""
    prevented: str = ""
    later: str = ""
    pending: str = ""
    """What proof is still to come, and where."""


def load(path: Path) -> list[Pitfall]:
    """The rows of the file. Raises `TypeError` for one that lacks something or has too much."""
    rows: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["pitfalls"]
    for row in rows:
        row |= {key: tuple(row.get(key, ())) for key in ("rules", "tests")}
    return [Pitfall(**row) for row in rows]


# --------------------------------------------------------------------------------------------- what is wrong


def problems(pitfalls: Sequence[Pitfall], rules: Mapping[str, str]) -> Iterator[str]:
    """One sentence for each row that promises what is not there."""
    if [pitfall.number for pitfall in pitfalls] != list(range(1, ROWS + 1)):
        yield f"expected rows 1 to {ROWS}, in this order"
    for pitfall in pitfalls:
        place = f"row {pitfall.number}"
        if not (pitfall.tests or pitfall.prevented or pitfall.later or pitfall.pending):
            yield f"{place}: neither tests nor prevented, later or pending"
        if not (pitfall.rules or pitfall.later or pitfall.prevented):
            yield f"{place}: no rule forbids it"
        yield from (f"{place}: no rule {rule}" for rule in pitfall.rules if rule not in rules)
        yield from (f"{place}: no test {test}" for test in pitfall.tests if not _exists(test))


def _exists(test: str) -> bool:
    name, _, function = test.partition("::")
    return name.startswith("tests/") and function in _tests_in(ROOT / name)


@cache
def _tests_in(path: Path) -> frozenset[str]:
    """The names of the test functions in a file, methods of test classes as ``Class::function``."""
    if not path.is_file():
        return frozenset()
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{name}" for name in _functions(node.body)}
        names |= set(_functions([node]))
    return frozenset(names)


def _functions(body: Sequence[ast.stmt]) -> list[str]:
    functions = [node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node.name for node in functions if node.name.startswith("test_")]


# ------------------------------------------------------------------------------------------------- the page


def page(pitfalls: Sequence[Pitfall], rules: Mapping[str, str]) -> str:
    """The whole of `pitfalls.md`; `rules` maps the id of each rule to its page."""
    parts = [_HEAD]
    for group in dict.fromkeys(pitfall.group for pitfall in pitfalls):
        rows = [pitfall for pitfall in pitfalls if pitfall.group == group]
        head = ["| | the mistake | breaks | rules | how we know |", "|---|---|---|---|---|"]
        parts.append("\n".join([f"## {group}\n", *head, *(_row(pitfall, rules) for pitfall in rows)]) + "\n")
    parts.append(_summary(pitfalls))
    return "\n".join(parts)


def _row(pitfall: Pitfall, rules: Mapping[str, str]) -> str:
    links = ", ".join(f"[{rule}]({rules[rule]}.md#{rule.lower()})" for rule in pitfall.rules)
    known = [f"`{name.removeprefix('tests/')}`: {function}" for name, _, function in map(_split, pitfall.tests)]
    known += [f"*prevented:* {pitfall.prevented}"] if pitfall.prevented else []
    known += [f"*later:* {pitfall.later}"] if pitfall.later else []
    known += [f"*still to come:* {pitfall.pending}"] if pitfall.pending else []
    cells = (str(pitfall.number), pitfall.title, pitfall.invariant, links, "<br>".join(known))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _split(test: str) -> tuple[str, str, str]:
    name, colons, function = test.partition("::")
    return name, colons, function.removeprefix("test_").replace("_", " ")


def _summary(pitfalls: Sequence[Pitfall]) -> str:
    tested = sum(bool(pitfall.tests) for pitfall in pitfalls)
    prevented = sum(bool(pitfall.prevented and not pitfall.tests) for pitfall in pitfalls)
    later = sum(bool(pitfall.later) for pitfall in pitfalls)
    lines = [
        f"Of {len(pitfalls)}: {tested} tested, {prevented} prevented by the shape of the code, {later} later."
    ]
    open_rows = [pitfall for pitfall in pitfalls if pitfall.pending]
    if open_rows:
        lines += ["", "## Still to come", ""]
        lines += [f"- **{pitfall.number}** {pitfall.title}: {pitfall.pending}" for pitfall in open_rows]
    return "\n".join(lines) + "\n"


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """0: the page is up to date, or has been written. 1: it is stale. 2: the table makes no sense."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is stale")
    check: bool = parser.parse_args(arguments).check
    protocol = tomllib.loads((SPEC / "protocol.toml").read_text(encoding="utf-8"))
    rules = {rule["id"]: rule["page"] for rule in protocol["rules"]}
    try:
        pitfalls = load(SPEC / "pitfalls.toml")
    except TypeError as error:
        complain(f"pitfalls.toml: {error}")
        return 2
    if wrong := list(problems(pitfalls, rules)):
        complain("\n".join(f"pitfalls.toml: {sentence}" for sentence in wrong))
        return 2
    path, text = SPEC / "pitfalls.md", page(pitfalls, rules)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return 0
    if check:
        complain("spec/pitfalls.md is stale; run python spec/make_pitfalls.py")
        return 1
    path.write_text(text, encoding="utf-8")
    print("wrote spec/pitfalls.md")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
