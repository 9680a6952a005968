"""The texts about one case: what it is, and how it failed."""

from __future__ import annotations

import os
import re
from textwrap import fill
from typing import TYPE_CHECKING, Final

from conformance._rules import RULES
from conformance.case import Layer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from conformance._rules import Rule
    from conformance.case import Case
    from conformance.verdict import Outcome

WIDTH: Final = 112
_INDENT: Final = 9
_CITED: Final = re.compile(r"\b[A-Z]+-\d+[a-z]?\b")


def explanation(case: Case, width: int = WIDTH) -> str:
    """Everything about a case, for `conformance explain`."""
    lines = [f"{case.id}  {case.title}", f"  {case.level}, {case.layer}, {case.harm}{_needs(case)}", ""]
    lines += [
        _part(name, getattr(case, name), width)
        for name in ("given", "when", "expect", "why", "hint")
        if getattr(case, name)
    ]
    for id in case.rules:
        lines += ["", rule_text(RULES[id], width)]
    return "\n".join(lines)


def rule_text(rule: Rule, width: int = WIDTH) -> str:
    """A rule, where it stands, and why it is there."""
    lines = [f"  {rule.id} ({rule.level}, {_place(rule)})"]
    lines += [
        fill(text, width, initial_indent="    ", subsequent_indent="    ")
        for text in (rule.text, rule.why)
        if text
    ]
    return "\n".join(lines)


def failure(case: Case, outcome: Outcome, width: int = WIDTH) -> str:
    """One failure as the console shows it: rule, given, when, expect, got, bytes, why, and how to see it
    again."""
    return "\n".join([_head(case, outcome, width), *_body(case, outcome, width)])


def _head(case: Case, outcome: Outcome, width: int) -> str:
    left = f"{outcome.state} {case.id} {case.level}  {case.title}"
    right = f"{outcome.seconds:.2f}s  seed={seed_of(outcome)}"
    room = width - len(right) - 2
    if len(left) > room:
        return f"{fill(left, width, subsequent_indent='     ')}\n{right:>{width}}"
    return f"{left:<{room}}  {right}"


def broken(rules: Sequence[str], expected: str) -> list[str]:
    """The rules that a failure is about: the case's own, unless what was expected cites others alone. A node
    that does not start fails every case, and breaks the rules of none.
    """
    cited = [id for id in dict.fromkeys(_CITED.findall(expected)) if id in RULES]
    return cited if cited and not set(cited) & set(rules) else [*rules]


def _body(case: Case, outcome: Outcome, width: int) -> Iterator[str]:
    rules = broken(case.rules, outcome.expected)
    for id in rules:
        rule = RULES[id]
        yield _part("rule", f"{id} ({_place(rule)}): {rule.text}", width)
    for name in ("given", "when", "expect"):
        yield _part(name, getattr(case, name), width)
    if outcome.expected:
        yield _part("wanted", outcome.expected, width)
    if outcome.got:
        yield _part("got", outcome.got, width)
    if outcome.frame:
        yield _part("", f"{outcome.frame}{':' if outcome.hexdump else ''}", width)
    yield from (f"{' ' * _INDENT}{line}" for line in outcome.hexdump.splitlines())
    if outcome.reason:
        yield _part("reason", outcome.reason, width)
    for note in outcome.notes:
        yield _part("note", note, width)
    if rules == [*case.rules] or case.layer is Layer.LIVE:
        yield _part("why it matters", case.why, width)
        if case.hint:
            yield _part("hint", case.hint, width)
    elif why := " ".join(RULES[id].why for id in rules if RULES[id].why):
        yield _part("why it matters", why, width)
    if outcome.artifacts:
        folder = nearby(outcome.artifacts)
        yield _part("kept", folder, width)
        yield _part("again", f"{program()} replay {folder}", width)


def program() -> str:
    """What this was started as: `tools/dev` says so, for `conformance` alone is not on everybody's path."""
    return os.environ.get("CONFORMANCE") or "conformance"


def seed_of(outcome: Outcome) -> str:
    """The seed of the run, without what the case adds."""
    return outcome.seed.partition("/")[0]


def nearby(path: str | Path) -> str:
    """A path from where the user is, if that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def printable(text: str) -> str:
    """The text with everything replaced that a terminal would obey: what a node says is only shown."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape", "surrogatepass").decode()
        for c in text
    )


def _place(rule: Rule) -> str:
    return f"{rule.place}, {rule.source}" if rule.source else rule.place


def _part(name: str, text: str, width: int) -> str:
    """One paragraph under its name."""
    return fill(
        printable(text),
        width,
        initial_indent=f"  {name:<{_INDENT - 3}} ",
        subsequent_indent=" " * _INDENT,
        break_on_hyphens=False,
    )


def _needs(case: Case) -> str:
    needs = sorted(case.capabilities) + sorted(case.tools) + sorted(case.tags)
    return f"; needs {', '.join(needs)}" if needs else ""
