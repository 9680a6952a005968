"""The house as a failing test: imports point one way, the pure stay pure, and the slices keep apart."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

import casty

ROOT = Path(__file__).parent.parent
LINES_MAX = 600
FUNCTION_LINES_MAX = 60
"""Without the signature."""
SOURCES = [
    path for top in ("casty", "conformance", "spec", "tools") for path in sorted((ROOT / top).rglob("*.py"))
]

# From the bottom up. A module imports from its own row or a lower one; a package's row holds for what is not
# named by itself. Imports that only type checkers see are free within a package.
ROWS = (
    {"errors", "arguments", "descriptors", "paths", "signals"},
    {"raft"},
    {"wire", "storage"},
    {"mailbox", "actor", "bag", "family", "hooks", "ending", "dead_letters", "message_types"},
    {"construction", "context", "cell", "ref"},
    {"registry"},
    {"system", "testing"},
    {"cluster.skips"},
    {
        "cluster.address",
        "cluster.alarm",
        "cluster.book",
        "cluster.calls",
        "cluster.certificates",
        "cluster.dialling",
        "cluster.dice",
        "cluster.errand",
        "cluster.handshake",
        "cluster.lookup",
        "cluster.machine",
        "cluster.naming",
        "cluster.outlook",
        "cluster.readiness",
        "cluster.refusals",
        "cluster.repeats",
        "cluster.sizes",
        "cluster.storeroom",
        "cluster.tls",
        "cluster.turn",
        "cluster.writer",
        "cluster.remote",
        "cluster.revisions",
        "cluster.link",
        "cluster.listener",
        "cluster.switchboard",
    },
    {"cluster.node", "cluster.body"},
    {
        "cluster.peer",
        "cluster.messaging",
        "cluster.election",
        "cluster.persistence",
        "cluster.replication",
        "cluster.snapshot",
    },
    {"cluster.exchange"},
    {"cluster.system"},
    {""},
    {"kv", "services", "settings"},
    {"launch"},
    {"demo", "cli"},
    {"__main__"},
)

UPWARDS = {
    ("system", "cluster.system"): "`ActorSystem.distributed()` is the front door of what is built on it",
    ("cli", "demo.show"): "each command loads only what it needs",
    ("cli", "__main__"): "`python -m casty.cli` is the same program",
}

PURE = (
    "arguments",
    "raft",
    "wire",
    "storage.records",
    "storage.contents",
    "storage.ledger",
    "cluster.address",
    "cluster.book",
    "cluster.calls",
    "cluster.handshake",
    "cluster.naming",
    "cluster.outlook",
    "cluster.refusals",
    "cluster.repeats",
    "cluster.sizes",
    "cluster.skips",
    "kv",
)
IMPURE = {"asyncio", "socket", "time", "os", "threading", "uuid", "logging", "pathlib", "subprocess"}
VALUE_TYPES = {("wire.extensions", "uuid")}
"""uuid is also a kind of value that can be sent."""

SLICES = ("peer", "messaging", "election", "persistence", "replication", "snapshot")


class Import(NamedTuple):
    by: str
    of: str
    typing_only: bool


def _modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted((ROOT / "casty").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / "casty").with_suffix("").parts)
        found[name.removesuffix("__init__").removesuffix(".")] = ast.parse(path.read_text())
    return found


MODULES = _modules()


def _imports(name: str) -> list[Import]:
    """Every import of the module, wherever in it."""
    tree = MODULES[name]
    hidden: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            hidden |= {inner for statement in node.body for inner in ast.walk(statement)}
    found: list[Import] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [Import(name, alias.name, node in hidden) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively in line {node.lineno}"
            source = node.module or ""
            submodules = [f"{source}.{alias.name}" for alias in node.names]
            known = [full for full in submodules if full.removeprefix("casty.") in MODULES and "casty" in full]
            found += [Import(name, of, node in hidden) for of in known or [source]]
    return found


def _inside(imported: str) -> str | None:
    if imported != "casty" and not imported.startswith("casty."):
        return None
    return imported.removeprefix("casty").removeprefix(".")


def _row(module: str) -> int:
    parts = module.split(".")
    for length in range(len(parts), -1, -1):
        for number, row in enumerate(ROWS):
            if ".".join(parts[:length]) in row and (length or not module):
                return number
    raise AssertionError(f"casty.{module} has no place in the house: give it one in ROWS")


def test_imports_point_one_way() -> None:
    """architecture.md §2; what a module may know is below it."""
    upwards: list[str] = []
    for name in MODULES:
        for found in _imports(name):
            target = _inside(found.of)
            if target is None or found.typing_only or (name, target) in UPWARDS:
                continue
            if _row(target) > _row(name):
                upwards.append(f"casty.{name} imports casty.{target}, which is above it")
    assert upwards == []


def test_imports_run_in_no_circle() -> None:
    """architecture.md §2."""
    edges = {
        name: {
            target
            for found in _imports(name)
            if not found.typing_only
            and (target := _inside(found.of)) is not None
            and (name, target) not in UPWARDS
        }
        for name in MODULES
    }

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join([*path, name])
        for target in edges.get(name, ()):
            if target not in done:
                visit(target, (*path, name))
        done.add(name)

    done: set[str] = set()
    for name in MODULES:
        visit(name, ())


def test_the_packages_see_of_each_other_what_they_may() -> None:
    """raft/ sees none of the others; wire/ and storage/ see raft's values and nothing else of it."""
    values = {"raft.types", "raft.messages", "raft.configuration"}
    for name in MODULES:
        for found in _imports(name):
            target = _inside(found.of)
            if target is None:
                continue
            package = name.split(".")[0]
            if package == "raft":
                assert target == "errors" or target.split(".")[0] == "raft", f"casty.{name} imports {target}"
            elif package in ("wire", "storage"):
                allowed = {package, "errors", *(["descriptors", "paths"] if package == "storage" else [])}
                assert target.split(".")[0] in allowed or target in values, f"casty.{name} imports {target}"


@pytest.mark.parametrize("pure", PURE)
def test_what_is_pure_has_no_clock_no_dice_and_no_disk(pure: str) -> None:
    """architecture.md §2: so that one seed replays one cluster."""
    modules = [name for name in MODULES if name == pure or name.startswith(f"{pure}.")]
    assert modules
    for name in modules:
        for found in _imports(name):
            root = found.of.split(".")[0]
            if not found.typing_only and (name, root) not in VALUE_TYPES:
                assert root not in IMPURE | {"random"}, f"casty.{name} imports {found.of}"


def _class(module: str, ending: str) -> ast.ClassDef:
    classes = [node for node in MODULES[module].body if isinstance(node, ast.ClassDef)]
    return next(node for node in classes if node.name.endswith(ending))


MIXINS = {slice: _class(f"cluster.{slice}", "Mixin") for slice in SLICES}
METHODS = {
    slice: {node.name for node in mixin.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for slice, mixin in MIXINS.items()
}


@pytest.mark.parametrize("slice", SLICES)
def test_a_slice_has_no_state_of_its_own(slice: str) -> None:
    """architecture.md §2: no `__init__`, no `self.x =`; slots are empty."""
    mixin = MIXINS[slice]
    assert "__init__" not in METHODS[slice]
    assert any(ast.unparse(node) == "__slots__ = ()" for node in mixin.body)
    for node in ast.walk(mixin):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            assert ast.unparse(node.value) != "self", f"line {node.lineno} sets self.{node.attr}"


@pytest.mark.parametrize("slice", SLICES)
def test_a_slice_calls_no_other_and_shares_no_name_with_it(slice: str) -> None:
    """architecture.md §2: what it wants of another it posts to the core, or leaves to the loop."""
    for other, methods in METHODS.items():
        if other == slice:
            continue
        assert not METHODS[slice] & methods
        for node in ast.walk(MIXINS[slice]):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
                assert node.attr not in methods, f"{slice} uses {other}'s {node.attr} in line {node.lineno}"


@pytest.mark.parametrize("slice", SLICES)
def test_a_slices_docstring_is_its_contract(slice: str) -> None:
    """architecture.md §2, and what it provides is public and there."""
    contract = ast.get_docstring(MIXINS[slice]) or ""
    for word in ("Needs:", "Provides:", "Handles:", "Performs:"):
        assert word in contract
    provided = contract.split("Provides:")[1].split("Handles:")[0]
    named = set(provided.replace(".", " ").replace("`", " ").replace(",", " ").split())
    public = {name for name in METHODS[slice] if not name.startswith("_")}
    for_links = {"link_made", "link_fault", "link_cut", "link_unread", "link_lost"}
    inner = {*for_links, "send_remote", "ask_remote"}
    assert public - inner == named


def test_no_module_is_long() -> None:
    """CONTRIBUTING.md: beyond this, there is a noun hiding in it."""
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > LINES_MAX} == {}


def test_no_function_is_long() -> None:
    """CONTRIBUTING.md: beyond this, it does more than one thing."""
    long: list[str] = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.body[0].lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {lines} lines")
    assert long == []


def test_each_module_says_what_question_it_answers() -> None:
    """aesthetics.md §4."""
    assert [name for name, tree in MODULES.items() if not ast.get_docstring(tree)] == []


def _public(name: str) -> list[tuple[str, ast.AST]]:
    """What `casty` exports from this module, with its public methods."""
    exported = {
        alias.name
        for node in MODULES[""].body
        if isinstance(node, ast.ImportFrom) and node.module == f"casty.{name}"
        for alias in node.names
    }
    found: list[tuple[str, ast.AST]] = []
    for node in MODULES[name].body:
        if isinstance(node, ast.ClassDef) and node.name in exported:
            found.append((node.name, node))
            functions = [part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
            public = [function for function in functions if not function.name.startswith("_")]
            found += [(f"{node.name}.{function.name}", function) for function in public]
    return found


SPEAK_FOR_THEMSELVES = {
    "ActorRef.name",
    "Context.self_ref",
    "Context.system",
}


def test_every_public_name_has_a_docstring() -> None:
    """aesthetics.md §4: its first line says what the caller gets."""
    silent = []
    for module in MODULES:
        names = _public(module)
        for place, (name, node) in enumerate(names):
            assert isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            is_overload = any(ast.unparse(mark) == "overload" for mark in node.decorator_list)
            is_overridden = module == "cluster.system" and place > 0 and node.name in _inherited()
            if not (ast.get_docstring(node) or is_overload or is_overridden or name in SPEAK_FOR_THEMSELVES):
                silent.append(f"{module}: {name}")
    assert silent == []


def _inherited() -> set[str]:
    return set().union(*METHODS.values())


def test_all_that_is_exported_is_named() -> None:
    """`from casty import *`, the documentation and what type checkers see agree."""
    tree = MODULES[""]
    inside = [
        node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "casty" in str(node.module)
    ]
    imported = {alias.name for node in inside for alias in node.names}
    listed = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert set(listed) == imported
    for node in inside:
        assert all(getattr(casty, name.name).__module__ == node.module for name in node.names), node.module
    assert set(listed) <= set(dir(casty))
    with pytest.raises(AttributeError, match="module 'casty' has no attribute 'importlib2'"):
        casty.importlib2  # type: ignore[attr-defined]  # noqa: B018
    assert all(first.lower() != second.lower() for first, second in pairwise(sorted(listed)))
