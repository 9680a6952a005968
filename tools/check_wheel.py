#!/usr/bin/env python3
"""Builds the wheel and uses it as its users will: installed alone, without this checkout on the path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from casty_console import program

ROOT = Path(__file__).resolve().parent.parent

PACKAGE_DATA = (
    "casty/py.typed",
    "casty/spec/protocol.toml",
    "casty/spec/schemas/casty.cddl",
    "conformance/certificates/authority.pem",
)
"""What others read out of the package; the vectors are checked as a folder."""

IMPORTS = """
import importlib.resources, tomllib, casty
spec = importlib.resources.files("casty") / "spec"
rules = tomllib.loads((spec / "protocol.toml").read_text(encoding="utf-8"))["rules"]
assert len(rules) > 100, len(rules)
missing = [name for name in casty.__all__ if not hasattr(casty, name)]
assert not missing, missing
print(casty.__file__)
"""


def run(*command: str | Path, **options: str) -> str:
    """Runs a command away from the checkout and returns what it printed."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        [str(part) for part in command],
        env=environment | options,
        cwd=tempfile.gettempdir(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} exited with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel, built with the backend that is installed already."""
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def check_content(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    missing = [name for name in PACKAGE_DATA if name not in names]
    if missing or not any(name.startswith("casty/spec/vectors/") for name in names):
        sys.exit(f"{wheel.name} lacks {missing or 'the vectors'}")
    strays = [name for name in names if name.split("/")[0] in ("tests", "tools")]
    if strays:
        sys.exit(f"{wheel.name} holds what is none of its users' business: {strays[:5]}")


def check_node(python: Path, folder: Path) -> None:
    """`casty node`, from the installed package, starts, says READY and ends when it is told to."""
    casty = python.with_name("casty")
    described = json.loads(run(casty, "node", "--describe"))
    node = subprocess.Popen(
        [casty, "node", "--size", "1", "--data-dir", str(folder / "data"), "--log-level", "warning"],
        env={**os.environ, "CF_EXIT_ON_EOF": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=folder,
        encoding="utf-8",
        errors="replace",
    )
    assert node.stdin is not None and node.stdout is not None
    line = node.stdout.readline()
    node.stdin.close()
    status = node.wait(timeout=30)
    if not line.startswith("READY ") or status != 0:
        sys.exit(f"casty node printed {line!r} and exited with {status}")
    ready = json.loads(line.removeprefix("READY "))
    if ready["impl"] != described["impl"]:
        sys.exit(f"casty node is {ready['impl']}, but describes itself as {described['impl']}")


def check_tools(python: Path, wheel: Path, folder: Path) -> None:
    """The suite, with its extra, plays cases against the installed node; wire-dump needs nothing more."""
    tools = python.parent
    run(tools / "casty-wire-dump", "decode", "1100000000000b82a2696401a4706f6e67c2")
    run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", f"{wheel}[conformance]")
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    cases = ["F-01", "E-02", "P-03"]
    run(tools / "conformance", "run", *cases, "--out", folder / "results", "--", "casty", "node", PATH=path)


@program
def main() -> int:
    """Builds it, installs it and uses it; ends with what is wrong."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder)
        check_content(wheel)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", wheel)
        installed = json.loads(
            run(python, "-m", "pip", "--disable-pip-version-check", "list", "--format", "json")
        )
        others = {package["name"] for package in installed} - {"casty", "msgpack", "pip", "setuptools"}
        if others:
            sys.exit(f"the wheel brought more than msgpack: {others}")
        where = run(python, "-c", IMPORTS).strip()
        if str(ROOT) in where:
            sys.exit(f"the checkout was imported instead of the wheel: {where}")
        check_node(python, folder)
        check_tools(python, wheel, folder)
        print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, installed alone with msgpack; a node passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
