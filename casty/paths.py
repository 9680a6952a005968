"""Paths that mean the same later as when they were given, wherever the process has gone meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast


def absolute(path: str | os.PathLike[str], what: str = "") -> Path:
    """The path from the working directory of this moment; `~` at its beginning is a home directory, as in a
    shell.

    Raises ValueError, beginning with `what` it is for, where it leads nowhere.
    """
    text = cast("str | bytes", os.fspath(path))  # a caller without types may give either
    label = f"{what} " if what else ""
    if isinstance(text, bytes):
        msg = f"{label}must be a path in str, not {path!r}"
        raise TypeError(msg)
    if not text or "\0" in text:
        msg = f"{label}must be a path, not {text!r}"
        raise ValueError(msg)
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        msg = f"{label}must be a path, not {text!r}: there is no such home directory; {'./' + text!r} is a file"
        raise ValueError(msg)
    try:
        return Path(expanded).absolute()
    except FileNotFoundError:
        msg = f"{label}must be absolute, not {text!r}: the working directory no longer exists"
        raise ValueError(msg) from None
