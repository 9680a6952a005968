"""The specification and its tests hold on to each other: no rule without a test, no pitfall without an
answer."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
SPEC = HERE.parents[1] / "spec"

ELSEWHERE = {
    "COMMIT-5": "the state machine's: tests/cluster/test_skips.py",
    "COMMIT-6": "what is in commands: tests/wire/test_readable.py",
    "ELECT-4": "the shell's clock: tests/cluster",
    "PERSIST-4": "the store's errors: tests/storage; the exit status: tests/processes",
    "PERSIST-5": "what is found at the start: tests/storage; the exit status: tests/processes",
    "PERSIST-6": "the store's syncs: tests/storage",
}
"""Rules that the core has no part in, and where they are proved."""


def cited() -> dict[str, set[str]]:
    """The rules that each test of this folder cites."""
    found: dict[str, set[str]] = {}
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.name.startswith("test_")
                and path.stem != "test_rules"
            ):
                found[f"{path.name}::{node.name}"] = set(
                    re.findall(r"\b[A-Z]+-\d+\b", ast.get_docstring(node) or "")
                )
    return found


def rules() -> dict[str, str]:
    """All rules of the specification and their pages."""
    protocol = tomllib.loads((SPEC / "protocol.toml").read_text(encoding="utf-8"))
    return {rule["id"]: rule["page"] for rule in protocol["rules"]}


def test_every_test_cites_a_rule_that_exists() -> None:
    """A test without a rule is a rumour."""
    known = rules().keys()
    assert [test for test, ids in cited().items() if not ids or not ids <= known] == []


def test_every_rule_of_raft_is_cited_by_a_test() -> None:
    """A rule without a test is a wish; those that are no matter of the core are named above."""
    known = set().union(*cited().values())
    assert {rule for rule, page in rules().items() if page == "raft"} - known == set(ELSEWHERE)


def test_the_table_of_pitfalls_keeps_its_word() -> None:
    """Every test and rule that it names is there, and the page is up to date."""
    command = [sys.executable, str(SPEC / "make_pitfalls.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
