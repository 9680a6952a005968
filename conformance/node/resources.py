"""What a running node costs, as Linux tells it (the means `proc`)."""

from __future__ import annotations

import os
from pathlib import Path

from conformance.verdict import HarnessError


def memory(pid: int) -> int:
    """Bytes of memory that the process has in use now (its resident set)."""
    for line in _status(pid):
        name, _, rest = line.partition(":")
        if name == "VmRSS":
            return int(rest.split()[0]) << 10
    raise HarnessError(f"/proc/{pid}/status says nothing of VmRSS")


def descriptors(pid: int) -> int:
    """How many descriptors the process has open."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError as error:
        raise HarnessError(f"cannot read /proc/{pid}/fd: {error.strerror}") from None


def _status(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise HarnessError(f"cannot read /proc/{pid}/status: {error.strerror}") from None
