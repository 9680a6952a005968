"""The program `casty`, and `python -m casty`."""

from __future__ import annotations

import sys

from casty import signals


def run() -> int:
    """Runs the command line of the process and returns its exit status.

    A node can be told to end from here on, though all that it needs has yet to be imported.
    """
    is_node = sys.argv[1:2] == ["node"]
    if is_node:
        signals.end_at_once()
    try:
        from casty.cli import main

        return main()
    finally:
        if is_node:
            signals.ignore()


if __name__ == "__main__":
    sys.exit(run())
