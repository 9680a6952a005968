"""The command `conformance`: hold a node, given by the command that starts it, to the specification."""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from conformance.case import GROUPS, Layer, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.case import Case

_EPILOG = """\
examples:
  conformance run -- casty node
  conformance run election R-06 --workers 4 -- ./my-node --config {config}
  conformance list persistence
  conformance explain E-06
  conformance replay conformance-results/cases/E-06

CMD starts one node and follows the launch contract (spec/launch.md). It may hold {config} {node_id}
{data_dir} {advertise}
{seeds} {n} {heartbeat_ms} {election_ms} {seed}; the same values are always in the environment as CF_CONFIG,
CF_NODE_ID …

exit status: 0 the node conforms; 1 it does not; 2 a check could not be finished; 3 the suite or the machine
went wrong;
64 the command line makes no sense; 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line (of the process, without `arguments`) and returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command: list[str] = []
    if "--" in given:
        at = given.index("--")
        given, command = given[:at], given[at + 1 :]
    parsed = _parser().parse_args(given)
    match parsed.verb:
        case "run":
            return _run(parsed, command)
        case "list":
            return _list(parsed)
        case "explain":
            return _explain(parsed.what)
        case verb:
            raise AssertionError(verb)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(64)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="conformance",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=_Parser)
    run = verbs.add_parser(
        "run", help="play cases against CMD", usage="conformance run [CASES] [OPTIONS] -- CMD …"
    )
    _add_selection(run)
    run.add_argument(
        "--workers", type=int, default=max(2, min(8, os.cpu_count() or 2)), metavar="N", help="cases at a time"
    )
    run.add_argument("--seed", help="of everything random; a run prints its own")
    run.add_argument("--repeat", type=int, default=1, metavar="N", help="play each case so often")
    run.add_argument(
        "--scale", type=float, metavar="X", help="how slow this machine is, 1 to 8 (measured, without)"
    )
    run.add_argument(
        "--out", type=Path, default=Path("conformance-results"), metavar="DIR", help="reports and artifacts"
    )
    run.add_argument("--keep", action="store_true", help="keep the artifacts of cases that passed, too")
    run.add_argument("--strict", action="store_true", help="NONSTRICT fails the run")
    run.add_argument("--expect", type=Path, metavar="FILE", help="a baseline: TOML with [xfail] id = reason")
    run.add_argument("--reference", metavar="CMD", help="another implementation's command, for mixed clusters")
    run.add_argument("-v", "--verbose", action="store_true", help="a line for each case")
    listing = verbs.add_parser("list", help="the cases, or some of them")
    _add_selection(listing)
    explain = verbs.add_parser("explain", help="a case (E-06) or a rule (VOTE-3) and why it is there")
    explain.add_argument("what", metavar="ID")
    return parser


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "cases",
        nargs="*",
        metavar="CASES",
        help="ids, patterns (E-*), rules (VOTE-3), tags or groups: " + ", ".join(GROUPS.values()),
    )
    parser.add_argument("--layer", action="append", default=[], choices=[layer.value for layer in Layer])
    parser.add_argument(
        "--level", default="strict", choices=["core", "strict"], help="core leaves out what is only a SHOULD"
    )
    parser.add_argument("--nightly", action="store_true", help="also the long ones")


def _select(parsed: argparse.Namespace) -> list[Case]:
    from conformance.selection import SelectionError, select

    try:
        return select(
            load().values(), parsed.cases, layers=parsed.layer, level=parsed.level, nightly=parsed.nightly
        )
    except SelectionError as error:
        _die(str(error))


def _list(parsed: argparse.Namespace) -> int:
    for case in _select(parsed):
        remarks = [
            case.layer.value,
            *([case.level.value] if case.level != "core" else []),
            *sorted(case.capabilities | case.tags),
        ]
        print(f"{case.id:<6} {case.title}  [{', '.join(remarks)}]  {' '.join(case.rules)}")
    return 0


def _explain(what: str) -> int:
    from conformance._protocol import RULES
    from conformance.report.text import explanation

    cases = load()
    if what in cases:
        print(explanation(cases[what]))
    elif what in RULES:
        rule = RULES[what]
        print(f"{rule.id} ({rule.level}, {rule.place})\n  {rule.text}\n  {rule.why}".rstrip())
        print("checked by: " + ", ".join(case.id for case in cases.values() if what in case.rules))
    else:
        _die(f"{what!r} is neither a case nor a rule; see `conformance list`")
    return 0


def _run(parsed: argparse.Namespace, command: list[str]) -> int:
    try:
        from conformance.front import Exit, play
    except ImportError as error:
        _die(f"{error.name} is missing: install casty[conformance]")
    from conformance.probe import CommandError, describe, time_scale
    from conformance.report.console import Console
    from conformance.report.files import write_reports
    from conformance.runner import choose_seed
    from conformance.settings import Settings
    from conformance.verdict import HarnessError

    if not command:
        _die("no command: conformance run [CASES] [OPTIONS] -- CMD …")
    cases = _select(parsed)
    scale = parsed.scale or time_scale()
    try:
        described = describe(command, scale)
    except CommandError as error:
        _die(str(error))
    except HarnessError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return Exit.HARNESS_ERROR
    settings = Settings(
        command=tuple(command),
        impl=described.impl,
        caps=described.caps,
        seed=parsed.seed or choose_seed(),
        scale=scale,
        out=parsed.out.absolute(),
        keep=parsed.keep,
        repeat=parsed.repeat,
        expected_failures=_baseline(parsed.expect),
        reference=tuple((parsed.reference or "").split()),
    )
    settings.out.mkdir(parents=True, exist_ok=True)
    console = Console(load(), len(cases) * parsed.repeat, verbose=parsed.verbose)
    console.begin(described.impl, command, settings.seed, parsed.workers)
    run = play(settings, cases, workers=parsed.workers, junit=settings.out / "junit.xml", show=console.show)
    status = run.status(len(cases) * parsed.repeat, strict=parsed.strict)
    console.end(run.outcomes, run.seconds, write_reports(settings, run, status))
    for trouble in run.trouble:
        print(f"conformance: {trouble}", file=sys.stderr)
    if run.interrupted:
        print("conformance: interrupted; the nodes are ended, the artifacts kept", file=sys.stderr)
    return status


def _baseline(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("xfail", {})
    except (OSError, tomllib.TOMLDecodeError) as error:
        _die(f"--expect {path}: {error}")
    if unknown := set(table) - set(load()):
        _die(f"--expect {path}: no such case: {', '.join(sorted(unknown))}")
    return {id: str(reason) for id, reason in table.items()}


def _die(text: str) -> NoReturn:
    print(f"conformance: {text}", file=sys.stderr)
    raise SystemExit(64)
