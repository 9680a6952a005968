"""Real directories for the tests: made, read, and refused."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from casty.errors import UnusableStoreError
from casty.storage.disk import Disk
from tests.storage.histories import append, commands
from tests.storage.stores import file_store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from casty.raft.types import Recovered, Write

FIRST = "0000000001.open"
SNAPSHOT = re.compile(r"\d{20}-[0-9a-f]{8}\.snap")

ROLLED = tuple(append(1 + 2 * n, *commands(2, 900)) for n in range(6))
"""Enough for three segments."""


def store_with(path: Path, *writes: Write) -> Path:
    """A directory to which these writes were made, one by one."""
    store = file_store(Disk(), path)
    store.load()
    for write in writes:
        store.write([write])
    store.close()
    return path


def recovered_from(path: Path) -> Recovered:
    store = file_store(Disk(), path)
    try:
        return store.load()
    finally:
        store.close()


def contents_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir() if file.name != "lock"}


def refusal(path: Path) -> str:
    """Why the directory is refused, without its path. Nothing in it was changed, and it is refused again."""
    before = contents_of(path)
    for _ in range(2):
        with pytest.raises(UnusableStoreError) as refused:
            recovered_from(path)
    assert contents_of(path) == before
    text = str(refused.value)
    assert text.startswith(str(path))
    assert not text.endswith(".")
    return text.removeprefix(str(path)).lstrip(":/ ")


def output_of(command_line: Sequence[str]) -> list[str]:
    """The lines that a command prints. It must succeed; what it complains of is shown."""
    done = subprocess.run(command_line, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
