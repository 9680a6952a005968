#!/usr/bin/env python3
"""Writes what comes from `protocol.toml`: constants, tables and schemas. With --check, says what is stale."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

SPEC = Path(__file__).resolve().parent
sys.path[:0] = [str(SPEC), str(SPEC.parent / "tools")]  # so that it runs from anywhere, and under any name

from generator import examples, lua, model, python, schemas, sense, tables  # noqa: E402

from casty_console import complain, program  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DIFF_LINES_MAX = 12


def generated(spec: Path = SPEC) -> Iterator[tuple[Path, str]]:
    """Every generated file with the text it should have. Raises `ValueError` for a source without sense."""
    try:
        protocol = model.load(spec / "protocol.toml")
    except (KeyError, TypeError) as error:
        raise ValueError(f"protocol.toml: {error}") from error
    if problems := sense.problems(protocol):
        raise ValueError("protocol.toml: " + "\nprotocol.toml: ".join(problems))
    yield spec.parent / "casty" / "wire" / "_protocol.py", python.protocol_module(protocol)
    yield spec.parent / "conformance" / "_protocol.py", python.suite_module(protocol)
    yield spec.parent / "conformance" / "_rules.py", python.rules_module(protocol)
    yield spec.parent / "tools" / "wire_dump" / "casty.lua", lua.dissector(protocol)
    yield spec / "schemas" / "casty.cddl", schemas.cddl(protocol)
    yield spec / "schemas" / "vectors.json", schemas.vectors(protocol)
    golden = examples.load(spec / "vectors")
    for page in sorted(spec.glob("*.md")):
        yield page, tables.fill_in(page.name, page.read_text(encoding="utf-8"), protocol, golden)


def stale(spec: Path = SPEC) -> Iterator[tuple[Path, str, str]]:
    """The generated files that are not as they should be: path, what is there, what should be."""
    for path, text in generated(spec):
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        if there != text:
            yield path, there, text


@program
def main(arguments: Sequence[str] | None = None, spec: Path = SPEC) -> int:
    """0: everything is up to date, or has been written. 1: something is stale. 2: the source makes no sense."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if something is stale")
    check: bool = parser.parse_args(arguments).check
    try:
        files = list(stale(spec))
    except ValueError as error:
        complain(str(error))
        return 2
    for path, there, text in files:
        name = path.relative_to(spec.parent)
        if check:
            complain(f"{name} is stale; run python spec/generate.py")
            complain(_short_diff(there, text))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return 1 if check and files else 0


def _short_diff(there: str, text: str) -> str:
    diff = difflib.unified_diff(there.splitlines(), text.splitlines(), "there", "should be", lineterm="", n=1)
    lines = list(diff)
    more = [f"… {len(lines) - DIFF_LINES_MAX} more lines"] if len(lines) > DIFF_LINES_MAX else []
    return "\n".join(lines[:DIFF_LINES_MAX] + more)


if __name__ == "__main__":
    raise SystemExit(main())
