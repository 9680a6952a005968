"""The command line: what can be said, and what is wrong with what was said."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from casty_console import argument
from wire_dump.fields import ABOUT, ALIASES
from wire_dump.input import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_FOUND: Final = 1
EXIT_UNREADABLE: Final = 2
EXIT_USAGE: Final = 64
EXIT_NO_INPUT: Final = 66
EXIT_UNAVAILABLE: Final = 69
EXIT_IO: Final = 74
EXIT_INTERRUPTED: Final = 130

COMMANDS: Final = ("show", "live", "decode", "encode", "check", "stats", "follow", "replay", "graph")

_EPILOG: Final = f"""\
Commands: {", ".join(COMMANDS)}; without one, show. wire-dump COMMAND --help tells more.

Filters (-f) use the field names of the specification: type==AE and term>=3 and src=="n1".
Beside them there are {", ".join(ABOUT)}.
Operators: == != < <= > >= ~ (regular expression) contains in (…), and or not ( ).
Short for types: {", ".join(f"{alias} {name}" for alias, name in ALIASES.items())}.

Exit status: 0 done; {EXIT_FOUND} something is not as it should be (check, decode, encode, replay --diff);
{EXIT_UNREADABLE} bytes that are no frames (check, decode; others with --strict), or nothing but such bytes and
packets that cannot be read; what was not read is told on standard error;
{EXIT_USAGE} the command line makes no sense; {EXIT_NO_INPUT} no such input;
{EXIT_UNAVAILABLE} nobody listens there, or one cannot (live, replay);
{EXIT_IO} reading or writing failed.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads a command line; where it makes no sense, says so and exits."""
    first = arguments[0] if arguments else ""
    if first not in COMMANDS and first not in ("-h", "--help", ""):
        arguments = ["show", *arguments]
    return _parser().parse_args(arguments)


def _parser() -> _Parser:
    parser = _Parser(
        prog="wire-dump",
        description="See every frame: of a capture, of a trace, of a running cluster, of a few bytes of hex.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _show(_with_input(commands.add_parser("show", help="one line per frame (what happens without a command)")))
    _live(commands.add_parser("live", help="stand between nodes and show frames as they pass"))
    _decode(commands.add_parser("decode", help="frames in hex, field by field"))
    _encode(commands.add_parser("encode", help="JSON to the frame it stands for, in hex"))
    _check(
        _with_input(commands.add_parser("check", help="schema of every frame, and what must hold between them"))
    )
    stats = _with_input(commands.add_parser("stats", help="counts, bytes and latencies"))
    stats.add_argument("-o", dest="output", default="text", choices=["text", "json"])
    _follow(_with_input(commands.add_parser("follow", help="one connection, both directions")))
    _replay(
        _with_input(commands.add_parser("replay", help="send recorded frames to a node, compare its replies"))
    )
    _graph(_with_input(commands.add_parser("graph", help="a space-time picture")))
    return parser


def _with_input(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Options of all commands that read an input."""
    parser.add_argument("file", help="a capture, a trace, a stream, hex text; - for standard input")
    parser.add_argument(
        "--input", choices=[str(kind) for kind in Kind], help="what it is, if it cannot be told"
    )
    parser.add_argument(
        "--resync", action="store_true", help="look for frames in streams that do not begin with one, too"
    )
    parser.add_argument(
        "--names", type=argument, default="", metavar="n1=HOST:PORT,…", help="nodes that say no hello"
    )
    parser.add_argument(
        "-f", dest="filter", type=argument, metavar="EXPR", help="only frames for which this holds"
    )
    parser.add_argument("--since", type=_seconds, metavar="SECONDS", help="from this time on")
    parser.add_argument("--until", type=_seconds, metavar="SECONDS", help="to this time")
    parser.add_argument("-c", dest="count", type=_count, metavar="COUNT", help="end after so many frames")
    parser.add_argument(
        "--redact",
        action="append",
        type=argument,
        default=[],
        metavar="ACTOR.FIELD",
        help="hide it; actor or field may be *",
    )
    parser.add_argument(
        "--strict", action="store_true", help=f"exit with {EXIT_UNREADABLE} where bytes are no frames"
    )
    return parser


def _with_looks(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Options of all commands that show frames."""
    parser.add_argument(
        "-o",
        dest="output",
        type=argument,
        default="text",
        metavar="FORM",
        help="text, json, hex, fields=NAME,…",
    )
    parser.add_argument(
        "-d", dest="detail", type=int, choices=range(5), default=1, help="0 types … 2 fields … 3 bytes"
    )
    parser.add_argument("-t", dest="times", choices=["rel", "abs", "delta"], default="rel")
    parser.add_argument("--color", choices=["auto", "always", "never"], default="auto")
    parser.add_argument("--show-payload", type=_count, metavar="N", help="characters of fields in a line")
    return parser


def _show(parser: argparse.ArgumentParser) -> None:
    _with_looks(parser)


def _live(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "relays", nargs="+", metavar="LISTEN=TARGET", help="[host:]port=host:port; port 0 for a free one"
    )
    parser.add_argument("--save", metavar="FILE.pcap", help="keep what passes as a capture")
    parser.add_argument("--trace", metavar="FILE.jsonl", help="keep it as a trace")
    parser.add_argument(
        "-f", dest="filter", type=argument, metavar="EXPR", help="show only frames for which this holds"
    )
    parser.add_argument("-c", dest="count", type=_count, metavar="COUNT", help="end after so many frames")
    parser.add_argument(
        "--redact", action="append", type=argument, default=[], metavar="ACTOR.FIELD", help="do not show it"
    )
    _with_looks(parser)


def _decode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "hex",
        nargs="+",
        type=argument,
        help="one frame or several, however the digits are grouped; - to read them",
    )
    parser.add_argument("--redact", action="append", type=argument, default=[], help=argparse.SUPPRESS)
    _with_looks(parser)
    parser.set_defaults(detail=2)


def _encode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "json", type=argument, help="an object with type, name and payload; - to read one from each line"
    )
    parser.add_argument("-o", dest="output", default="hex", choices=["hex", "raw"])


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", dest="output", default="text", choices=["text", "json"])
    parser.add_argument("--color", choices=["auto", "always", "never"], default="auto")
    parser.add_argument(
        "--complete",
        action=argparse.BooleanOptionalAction,
        help="the input holds every frame since the stores were made (assumed of the suite's traces only)",
    )


def _follow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("connection", nargs="?", type=_count, help="its number; without it, all are listed")
    _with_looks(parser)
    parser.set_defaults(detail=2)


def _replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="sender",
        required=True,
        type=argument,
        metavar="NODE",
        help="whose frames are sent again",
    )
    parser.add_argument("--to", dest="target", required=True, metavar="HOST:PORT", help="where they are sent")
    parser.add_argument(
        "--recorded", type=argument, metavar="NODE", help="of these, what was sent to this node"
    )
    parser.add_argument("--diff", action="store_true", help="compare the replies with the recorded ones")
    parser.add_argument("--wait", type=_seconds, default=2.0, help="how long a reply is waited for (2)")


def _graph(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", dest="output", required=True, metavar="FILE.svg|FILE.html")
    parser.add_argument("--title", type=argument, default="")
    parser.add_argument("--all", dest="everything", action="store_true", help="draw every heartbeat and ping")


SECONDS_MAX = 1e12
"""Captures count from 1970, and some programs that write them do not know the time."""


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= SECONDS_MAX:  # as NaN is not
        raise argparse.ArgumentTypeError(f"{text!r:.80} is no number of seconds, 0 or more")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        raise argparse.ArgumentTypeError(f"{text!r} is no count")
    return int(text)
