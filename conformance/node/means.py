"""What this machine lets the suite do: tracing, limits, mounts. A case that needs more is skipped, with the
reason."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


def missing(tools: frozenset[str]) -> str:
    """Why a case with these needs cannot be played here; empty if it can."""
    return "; ".join(reason for tool in sorted(tools) if (reason := _MEANS[tool]()))


@cache
def _strace() -> str:
    """Tracing with fault injection: slow, failing and deadly fsyncs."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    return _tried(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "true"],
        "strace may not trace here (ptrace)",
    )


@cache
def _tmpfs() -> str:
    """A file system of a chosen size, in a user and mount namespace of the node's own."""
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        return "unshare is not installed"
    return _tried(
        ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"],
        "no user namespace with a mount of its own here",
    )


@cache
def _proc() -> str:
    """The memory and descriptors of a process, read from /proc."""
    return "" if sys.platform.startswith("linux") else "there is no /proc here"


@cache
def _quickack() -> str:
    """A say in when TCP acknowledges."""
    return "" if hasattr(socket, "TCP_QUICKACK") else "TCP_QUICKACK, an option of Linux, is missing"


@cache
def _prlimit() -> str:
    """Limits for one process."""
    return "" if shutil.which("prlimit") is not None else "prlimit is not installed"


def faketime() -> str:
    """The library that gives a process a wall clock of one's own; empty where it is not installed."""
    roots = (Path("/usr/lib"), Path("/usr/lib64"))
    found = sorted(path for root in roots for path in root.glob("**/libfaketime.so.1"))
    return str(found[0]) if found else ""


@cache
def _faketime() -> str:
    return "" if faketime() else "libfaketime is not installed"


_MEANS: Final[dict[str, Callable[[], str]]] = {
    "faketime": _faketime,
    "strace": _strace,
    "tmpfs": _tmpfs,
    "proc": _proc,
    "prlimit": _prlimit,
    "quickack": _quickack,
}
TOOLS: Final = frozenset(_MEANS)
"""The names a case may put into `tools`."""


def _tried(command: list[str], otherwise: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{otherwise}: {error}"
    return "" if done.returncode == 0 else f"{otherwise}: {done.stderr.decode(errors='replace').strip()[:120]}"
