"""Running the suite as a user does, against small nodes, and looking for what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pytest

VARIABLE = "CONFORMANCE_TEST"
"""The variable by which a test knows the processes that exist because of it."""


def miniature(name: str) -> list[str]:
    """The command of one of `conformance.miniatures`."""
    return [sys.executable, "-m", f"conformance.miniatures.{name}"]


def casty() -> list[str]:
    """The command of the reference node."""
    return [sys.executable, "-m", "casty.cli", "node"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    status: int
    out: str
    err: str


class Mark(NamedTuple):
    """What is in the environment of all that a test starts."""

    value: str
    environment: dict[str, str]


def suite(*arguments: str) -> list[str]:
    """The command line of the suite."""
    return [sys.executable, "-m", "conformance", *arguments]


def play(out: Path, cases: Sequence[str], node: Sequence[str], *options: str) -> Ended:
    """`conformance run`, one case at a time; nothing may be left of it."""
    with marked() as mark:
        done = subprocess.run(
            suite("run", *cases, "--workers", "1", "--scale", "1", f"--out={out}", *options, "--", *node),
            env=mark.environment,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert strays_of(mark) == []
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def marked(monkeypatch: pytest.MonkeyPatch | None = None) -> Iterator[Mark]:
    """A mark of its own, which with `monkeypatch` this process has, too."""
    value = uuid4().hex
    mark = Mark(value, {**os.environ, VARIABLE: value})
    if monkeypatch is not None:
        monkeypatch.setenv(VARIABLE, value)
    try:
        yield mark
    finally:
        for pid, _ in _marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, 9)


def strays_of(mark: Mark) -> list[str]:
    """The commands of all processes that were started under the mark and run."""
    return [command for _, command in _marked(mark)]


def _marked(mark: Mark) -> list[tuple[int, str]]:
    wanted = f"{VARIABLE}={mark.value}".encode()
    found: list[tuple[int, str]] = []
    for pid in filter(str.isdecimal, os.listdir("/proc") if os.path.isdir("/proc/self") else []):
        with suppress(OSError):
            with open(f"/proc/{pid}/environ", "rb") as file:
                environment = file.read().split(b"\0")
            if wanted in environment:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    found.append((int(pid), file.read().replace(b"\0", b" ").decode(errors="replace")))
    return found


def until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Returns when the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
