"""The `casty` command."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn

from casty import __version__
from casty_console import program

if TYPE_CHECKING:
    from collections.abc import Sequence


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status."""
    parsed = parse(arguments)
    if parsed.command == "node":
        from casty.launch import run_node  # each command loads only what it needs

        return run_node(parsed)
    from casty.demo.show import run_demo

    return run_demo(parsed)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads a command line; where it makes no sense, says so and exits with status 64 (spec/launch.md)."""
    return _parser().parse_args(arguments)


class _Parser(argparse.ArgumentParser):
    """Exits as launchers expect it."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


EXIT_USAGE = 64


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="casty", description="Actors and a replicated log across machines")
    parser.add_argument("--version", action="version", version=f"casty {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_node(commands.add_parser("node", help="run one node, with a replicated key-value store"))
    _add_demo(commands.add_parser("demo", help="watch three nodes survive the death of their leader"))
    return parser


def _add_node(node: argparse.ArgumentParser) -> None:
    node.add_argument("--node-id", help="its name for good; else the one its directory remembers")
    node.add_argument("--data-dir", help="where it keeps everything; else only in memory")
    node.add_argument("--host", help="address to listen on (127.0.0.1)")
    node.add_argument("--port", help="port to listen on (0: one that is free)")
    node.add_argument("--advertise", help="address that others are told")
    node.add_argument("--seeds", help="addresses of other nodes, separated by commas")
    node.add_argument("--size", dest="n", help="how many members the cluster is to have (3)")
    node.add_argument("--heartbeat-ms", help="heartbeat interval (300)")
    node.add_argument("--election-ms", help="election timeouts are drawn from one to two times this (1000)")
    node.add_argument("--cluster", help="the cluster's name (casty)")
    node.add_argument("--kept-entries", help="entries that stay behind a snapshot, for nodes that lack a few")
    node.add_argument("--snapshot-every", help="compact the log after so many entries (0: never by itself)")
    node.add_argument("--seed", help="a number for what the node draws at random, identities aside")
    node.add_argument(
        "--skip-entry",
        action="append",
        metavar="INDEX:TERM:CHECKSUM",
        help="an entry of the log that no member can read, not to be applied; every member must be told it",
    )
    node.add_argument("--tls-cert", metavar="FILE", help="its certificate, in PEM: it then speaks TLS only")
    node.add_argument("--tls-key", metavar="FILE", help="the key of that certificate")
    node.add_argument("--tls-ca", metavar="FILE", help="the authority that signs the certificates of all nodes")
    node.add_argument(
        "--tls-check-node-id",
        action="store_true",
        default=None,  # not given, so that the environment and the file count
        help="others' certificates must name their node ids",
    )
    node.add_argument("--config", help="a JSON file with the same settings")
    node.add_argument("--describe", action="store_true", help="print what this node can do, and exit")
    node.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])


def _add_demo(demo: argparse.ArgumentParser) -> None:
    demo.add_argument("--plain", action="store_true", help="print lines instead of a live view")
    demo.add_argument("--keep", metavar="DIR", help="keep the nodes' data and logs in DIR")


if __name__ == "__main__":
    from casty.__main__ import run

    sys.exit(run())
