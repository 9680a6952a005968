"""The texts about one case: what it is, and how it failed."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from conformance._protocol import RULES

if TYPE_CHECKING:
    from conformance.case import Case
    from conformance.verdict import Outcome

WIDTH = 112


def explanation(case: Case) -> str:
    """Everything about a case, for `conformance explain`."""
    lines = [f"{case.id}  {case.title}", f"  {case.level}, {case.layer}, {case.harm}{_needs(case)}", ""]
    lines += [
        _part(name, getattr(case, name))
        for name in ("given", "when", "expect", "why", "hint")
        if getattr(case, name)
    ]
    for id in case.rules:
        rule = RULES[id]
        lines += [
            "",
            f"  {rule.id} ({rule.level}, {rule.place})",
            fill(rule.text, WIDTH, initial_indent="    ", subsequent_indent="    "),
        ]
    return "\n".join(lines)


def failure(case: Case, outcome: Outcome) -> str:
    """One failure as the console shows it: rule, given, when, expect, got, bytes, why, and how to see it
    again."""
    head = f"{outcome.state} {case.id} {case.level}  {case.title}"
    lines = [f"{head:<88}  {outcome.seconds:6.2f}s  seed={outcome.seed}"]
    lines += [_part("rule", f"{id} ({RULES[id].place}): {RULES[id].text}") for id in case.rules]
    lines += [_part("given", case.given), _part("when", case.when), _part("expect", case.expect)]
    if outcome.expected:
        lines.append(_part("wanted", outcome.expected))
    if outcome.got:
        lines.append(_part("got", f"{outcome.got}{f'   {outcome.frame}' if outcome.frame else ''}"))
    if outcome.reason:
        lines.append(_part("reason", outcome.reason))
    lines += [f"         {line}" for line in outcome.hexdump.splitlines()]
    lines += [_part("note", note) for note in outcome.notes]
    lines.append(_part("why it matters", case.why))
    if case.hint:
        lines.append(_part("hint", case.hint))
    if outcome.artifacts:
        lines.append(_part("kept", f"{outcome.artifacts}   replay it: conformance replay {outcome.artifacts}"))
    return "\n".join(lines)


def _part(name: str, text: str) -> str:
    return fill(text, WIDTH, initial_indent=f"  {name:<6} ", subsequent_indent=" " * 9, break_on_hyphens=False)


def _needs(case: Case) -> str:
    needs = sorted(case.capabilities) + sorted(case.tools) + sorted(case.tags)
    return f"; needs {', '.join(needs)}" if needs else ""
