"""The suite stands by itself: it imports nothing of the library, and its lower half nothing of pytest."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conformance._rules import RULES, Rule

ROOT = Path(__file__).resolve().parents[2]
SUITE = sorted([*(ROOT / "conformance").rglob("*.py"), *(ROOT / "tools" / "wire_dump").rglob("*.py")])
WITHOUT_PYTEST = ("wire", "trace", "proxy", "history", "wire_dump")


def imported(path: Path) -> set[str]:
    """The packages that a module imports, wherever in it, by name."""
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=str(module), level=0):
                names.add(module)
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if "import" in ast.unparse(node.func):
                names.add(name)
            case _:
                pass
    return {name.partition(".")[0] for name in names}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SUITE, ids=name_of)
def test_nothing_of_the_library_is_imported(path: Path) -> None:
    assert "casty" not in imported(path)


@pytest.mark.parametrize("path", [p for p in SUITE if set(p.parts) & set(WITHOUT_PYTEST)], ids=name_of)
def test_what_wire_dump_stands_on_imports_nothing_of_pytest(path: Path) -> None:
    assert not imported(path) & {"pytest", "_pytest", "xdist", "hypothesis"}


@pytest.mark.parametrize("path", [p for p in SUITE if "wire" in p.parts], ids=name_of)
def test_the_codec_needs_the_standard_library_only(path: Path) -> None:
    assert imported(path) <= {*sys.stdlib_module_names, "conformance"}


def test_imports_are_found() -> None:
    """Else the tests above would show nothing."""
    assert imported(ROOT / "tests" / "wire" / "vectors.py")
    assert "casty" in {name for path in (ROOT / "tests" / "wire").glob("*.py") for name in imported(path)}
    assert "pytest" in imported(Path(__file__))


def test_the_codec_loads_without_the_library() -> None:
    """Not even by a detour."""
    code = (
        "import conformance.wire.describe, sys; print(sorted({'casty', 'msgpack', 'pytest'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_rule_says_where_it_stands(rule: Rule) -> None:
    """`spec/raft.md#vote-3` leads to a heading of that id, and the text below it is the rule's."""
    page, _, anchor = rule.place.partition("#")
    assert anchor == rule.id.lower()
    assert rule.level in ("MUST", "SHOULD")
    prose = (ROOT / page).read_text()
    below = re.search(rf"^### {re.escape(rule.id)}\n\n(.*?)\n\n(.*?)$", prose, re.MULTILINE)
    assert below is not None
    assert below.groups() == (f"{rule.level} · {rule.source}" if rule.source else rule.level, rule.text)
