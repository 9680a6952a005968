"""The `wire-dump` command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from casty_console import complain, is_lost, program
from wire_dump import arguments as line
from wire_dump.mistakes import UsageError
from wire_dump.sources import SourceError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status. Quiet when whoever reads the output stops reading."""
    parsed = line.parse(sys.argv[1:] if arguments is None else arguments)
    try:
        return _RUN[parsed.command](parsed)
    except SourceError as error:
        complain(f"wire-dump: {error}")
        return line.EXIT_NO_INPUT
    except UsageError as error:
        complain(f"wire-dump: {error}")
        return line.EXIT_USAGE
    except OSError as error:
        if is_lost(error):
            raise
        where = f"{error.filename}: " if error.filename else ""
        complain(f"wire-dump: {where}{error.strerror or error}")
        return line.EXIT_IO
    except KeyboardInterrupt:
        return line.EXIT_INTERRUPTED


def _show(parsed: argparse.Namespace) -> int:
    from wire_dump.show import show

    return show(parsed)


def _live(parsed: argparse.Namespace) -> int:
    from wire_dump.live import live

    return live(parsed)


def _decode(parsed: argparse.Namespace) -> int:
    from wire_dump.coding import decode

    return decode(parsed)


def _encode(parsed: argparse.Namespace) -> int:
    from wire_dump.coding import encode

    return encode(parsed)


def _check(parsed: argparse.Namespace) -> int:
    from wire_dump.checking import check

    return check(parsed)


def _stats(parsed: argparse.Namespace) -> int:
    from wire_dump.stats import stats

    return stats(parsed)


def _follow(parsed: argparse.Namespace) -> int:
    from wire_dump.show import follow

    return follow(parsed)


def _replay(parsed: argparse.Namespace) -> int:
    from wire_dump.replay import replay

    return replay(parsed)


def _graph(parsed: argparse.Namespace) -> int:
    from wire_dump.graph import graph

    return graph(parsed)


# Each command loads only what it needs.
_RUN: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "show": _show,
    "live": _live,
    "decode": _decode,
    "encode": _encode,
    "check": _check,
    "stats": _stats,
    "follow": _follow,
    "replay": _replay,
    "graph": _graph,
}

if __name__ == "__main__":
    sys.exit(main())
