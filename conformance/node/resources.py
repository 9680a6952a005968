"""What a running node costs, as Linux tells it (the means `proc`)."""

from __future__ import annotations

import os
from pathlib import Path

from conformance.verdict import HarnessError


def memory(pid: int) -> int:
    """Bytes of memory that the process has in use now (its resident set)."""
    return _size(pid, "VmRSS")


def peak(pid: int) -> int:
    """The most bytes of memory that the process has ever had in use."""
    return _size(pid, "VmHWM")


def descriptors(pid: int) -> int:
    """How many descriptors the process has open."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError as error:
        raise HarnessError(f"cannot read /proc/{pid}/fd: {error.strerror}") from None


def _size(pid: int, wanted: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise HarnessError(f"cannot read /proc/{pid}/status: {error.strerror}") from None
    for line in lines:
        name, _, rest = line.partition(":")
        if name == wanted:
            return int(rest.split()[0]) << 10
    raise HarnessError(f"/proc/{pid}/status says nothing of {wanted}")
