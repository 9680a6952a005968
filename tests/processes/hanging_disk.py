"""`casty node` on a disk that hangs: the first argument names a call of it, the second how many go well."""

from __future__ import annotations

import os
import sys
from threading import Event
from typing import Any

from casty.cli import parse
from casty.launch import run_node
from casty.storage.disk import Disk


def hang(name: str, after: int) -> None:
    """Lets so many calls through, says HANGS on standard output at the next, and never comes back from it."""
    call = getattr(Disk, name)
    count = 0

    def instead(self: Disk, *args: Any) -> Any:
        nonlocal count
        count += 1
        if count > after:
            os.write(1, b"HANGS\n")  # not print: the node may end before this thread has let go of its lock
            Event().wait()
        return call(self, *args)

    setattr(Disk, name, instead)


if __name__ == "__main__":
    hang(sys.argv[1], int(sys.argv[2]))
    sys.exit(run_node(parse(["node", *sys.argv[3:]])))
