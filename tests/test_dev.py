"""`tools/dev` takes what it is told from where it is called, in whatever directory that is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SAYS = """#!/bin/sh
[ "$1" = -c ] || echo "$(basename "$0") in $(pwd -P): $*"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which every command says where it is, and what it was told."""
    root = tmp_path.resolve() / "a checkout"
    programs = root / ".venv" / "bin"
    programs.mkdir(parents=True)
    (root / "tools").mkdir()
    (root / "tests" / "raft").mkdir(parents=True)
    (root / "tests" / "raft" / "test_log.py").touch()
    shutil.copy(ROOT / "tools" / "dev", root / "tools")
    (root / "pyproject.toml").write_text("the same")
    for group in ("dev", "run"):
        (programs.parent / f"installed-{group}").write_text("the same")
    for name in ("python", "casty", "conformance"):
        (programs / name).write_text(SAYS)
        (programs / name).chmod(0o755)
    return root


def said(program: Path | str, *arguments: str, cwd: Path, **more: str) -> str:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"CASTY_WORKERS": "0", "CDPATH": str(cwd), **more}
    command = [str(program), *arguments]
    ended = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    return ended.stdout.strip()


@pytest.mark.parametrize("called", ["relative", "absolute", "linked"])
def test_what_is_told_is_meant_from_where_it_is_called(checkout: Path, called: str) -> None:
    here = checkout / "tests" / "raft"
    (here / "link").symlink_to(checkout / "tools" / "dev")
    ways = {"relative": "../../tools/dev", "absolute": str(checkout / "tools" / "dev"), "linked": "./link"}
    dev = ways[called]
    assert said(dev, "run", "python", "x.py", cwd=here) == f"python in {here}: x.py"
    assert said(dev, "demo", "--keep", "x", cwd=here) == f"casty in {here}: demo --keep x"
    assert said(dev, "conformance", "list", cwd=here) == f"conformance in {here}: list"
    assert "tools/dev test [ARGS]" in said(dev, "help", cwd=here)


def test_tests_are_named_from_there_and_all_run_where_no_path_is_told(checkout: Path, tmp_path: Path) -> None:
    here, dev = checkout / "tests" / "raft", checkout / "tools" / "dev"
    pytest_in = "python in {}: -m pytest --numprocesses=0 --dist=worksteal"
    for path in ("test_log.py", "test_log.py::test_x", "../raft", str(here)):
        assert said(dev, "test", path, "-q", cwd=here) == f"{pytest_in.format(here)} {path} -q"
    for place in (checkout, here, tmp_path.resolve()):
        everything = f"{pytest_in.format(place)} -k some {checkout}/tests"
        assert said(dev, "test", "-k", "some", cwd=place) == everything


def test_another_interpreter_is_named_from_there(checkout: Path) -> None:
    here = checkout / "tests"
    (checkout / ".venv").rename(checkout / ".venv-mine")
    told = {"CASTY_PYTHON": "./mine"}
    assert said("../tools/dev", "run", "python", "x", cwd=here, **told) == f"python in {here}: x"
