"""Each rule of spec/actors.md has its tests: a rule without one is a wish, a test without a rule a rumour."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
RULE = re.compile(r"\[(ACTOR-\d+)\]")


def rules() -> list[str]:
    """The rules of the page, in its order."""
    page = (ROOT / "spec" / "actors.md").read_text()
    return re.findall(r"^\*\*\[(ACTOR-\d+)\]", page, flags=re.MULTILINE)


def cited() -> set[str]:
    """The rules that the docstrings of tests cite."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found.update(RULE.findall(ast.get_docstring(node) or ""))
    return found


def test_every_rule_is_cited_by_a_test_and_every_citation_is_a_rule() -> None:
    """In both directions."""
    assert cited() == set(rules())


def test_the_rules_are_numbered_in_order() -> None:
    """So that one finds them."""
    assert rules() == [f"ACTOR-{number}" for number in range(1, len(rules()) + 1)]
