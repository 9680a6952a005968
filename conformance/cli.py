"""The command `conformance`: hold a node, given by the command that starts it, to the specification."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tomllib
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from casty_console import complain, is_lost, program
from conformance.case import GROUPS, Layer, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.case import Case

FAILED = 1
USAGE = 64
HARNESS_ERROR = 3
INTERRUPTED = 130

_EPILOG = """\
examples:
  conformance run -- casty node
  conformance run election R-06 --workers 4 -- ./my-node --config {config}
  conformance list persistence
  conformance explain E-06
  conformance replay conformance-results/cases/E-06
  conformance compare ours/results.json theirs/results.json -o compare.html

CMD starts one node and follows the launch contract (spec/launch.md). It may hold {config} {node_id} {data_dir}
{advertise} {seeds} {n} {heartbeat_ms} {election_ms} {seed}; the same values are always in the environment as
CF_CONFIG, CF_NODE_ID …

exit status: 0 the node conforms; 1 it does not; 2 a check could not be finished; 3 the suite or the machine
went wrong; 64 the command line makes no sense; 130 interrupted
"""


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line (of the process, without `arguments`) and returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command: list[str] = []
    if "--" in given:
        at = given.index("--")
        given, command = given[:at], given[at + 1 :]
    parsed = _parser().parse_args(given)
    try:
        return _do(parsed, command)
    except KeyboardInterrupt:
        complain("conformance: interrupted")
        return INTERRUPTED
    except Exception as error:
        if is_lost(error):
            raise
        traceback.print_exc()
        complain(f"conformance: the suite itself went wrong: {type(error).__name__}: {error}")
        return HARNESS_ERROR


def _do(parsed: argparse.Namespace, command: list[str]) -> int:
    match parsed.verb:
        case "run":
            return _run(parsed, command)
        case "replay":
            return _replay(parsed, command)
        case "list":
            return _list(parsed)
        case "explain":
            return _explain(parsed.what)
        case "compare":
            return _compare(parsed)
        case "rules":
            return _rules(parsed)
        case verb:
            raise AssertionError(verb)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        complain(f"{self.prog}: {message}")
        raise SystemExit(USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="conformance",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=_Parser)
    _add_run(
        verbs.add_parser(
            "run", help="play cases against CMD", usage="conformance run [CASES] [OPTIONS] -- CMD …"
        )
    )
    again = verbs.add_parser("replay", help="play a case that was kept once more, with the same seed")
    again.add_argument(
        "artifact", type=Path, metavar="ARTIFACT", help="its folder, such as conformance-results/cases/E-06"
    )
    again.add_argument(
        "--out", type=Path, default=Path("conformance-replay"), metavar="DIR", help="reports and artifacts"
    )
    again.add_argument(
        "--as-script",
        metavar="NODE",
        help="only send this node what it was sent then, and show what it answers",
    )
    listing = verbs.add_parser("list", help="the cases, or some of them")
    _add_selection(listing)
    explain = verbs.add_parser("explain", help="a case (E-06), a rule (VOTE-3) or an invariant (W2)")
    explain.add_argument("what", metavar="ID")
    compare = verbs.add_parser("compare", help="runs of several implementations, side by side")
    compare.add_argument("results", type=Path, nargs="+", metavar="RESULTS", help="results.json, or its folder")
    compare.add_argument("-o", "--output", type=Path, metavar="FILE", help="also as a page")
    compare.add_argument("--all", action="store_true", help="also the cases on which all agree")
    rules = verbs.add_parser("rules", help="which cases check which rule")
    what = rules.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="write the table to conformance/RULES.md")
    what.add_argument(
        "--check", action="store_true", help="fail if that file is old, or a MUST has neither case nor excuse"
    )
    return parser


def _add_run(run: argparse.ArgumentParser) -> None:
    _add_selection(run)
    workers = max(2, min(8, os.cpu_count() or 2))
    run.add_argument(
        "--workers", type=_count, default=workers, metavar="N", help=f"cases at a time ({workers})"
    )
    run.add_argument("--seed", help="of everything random; a run prints its own")
    run.add_argument("--repeat", type=_count, default=1, metavar="N", help="play each case so often")
    run.add_argument(
        "--scale",
        type=_scale,
        metavar="X",
        help="by which all bounds of time are multiplied (measured, 1 to 8)",
    )
    run.add_argument(
        "--out", type=Path, default=Path("conformance-results"), metavar="DIR", help="reports and artifacts"
    )
    run.add_argument("--keep", action="store_true", help="keep the artifacts of cases that passed, too")
    run.add_argument("--strict", action="store_true", help="NONSTRICT fails the run")
    run.add_argument(
        "--expect",
        type=Path,
        metavar="FILE",
        help="a baseline: TOML with [xfail] id = reason for cases that fail, [skip] for those not played",
    )
    run.add_argument(
        "--no-unexpected-skips",
        action="store_true",
        help="end with status 2 if a case is not played (SKIP, UNSUPPORTED) and not under [skip] of --expect",
    )
    run.add_argument("--reference", metavar="CMD", help="another implementation's command, for mixed clusters")
    run.add_argument("-v", "--verbose", action="store_true", help="a line for each case")


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


COUNT_MAX = 100_000
"""Of workers and of repetitions: more is a mistake at the command line."""


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or not 1 <= int(text) <= COUNT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is no whole number from 1 to {COUNT_MAX}")
    return int(text)


def _scale(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is no number above 0, at most 100")
    return value


def _select(parsed: argparse.Namespace) -> list[Case]:
    from conformance.selection import SelectionError, select

    try:
        return select(
            load().values(), parsed.cases, layers=parsed.layer, level=parsed.level, nightly=parsed.nightly
        )
    except SelectionError as error:
        _die(str(error))


def _selection(parsed: argparse.Namespace) -> tuple[str, ...]:
    """The words that choose the same cases again."""
    layers = [word for layer in parsed.layer for word in ("--layer", layer)]
    level = ["--level", parsed.level] if parsed.level != "strict" else []
    return (*parsed.cases, *layers, *level, *(["--nightly"] if parsed.nightly else []))


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
    from conformance._rules import RULES
    from conformance.report.text import explanation, rule_text
    from conformance.trace.invariants import INVARIANTS

    cases = load()
    if what not in cases:
        what = what.upper()
    if what in INVARIANTS:
        text, rules = INVARIANTS[what]
        print(f"{what}  What no trace of a cluster shows whose nodes keep the rules:\n  {text}")
        for rule in (RULES[id] for id in rules if id in RULES):
            print(f"\n{rule_text(rule)}")
    elif what in cases:
        print(explanation(cases[what]))
    elif what in RULES:
        print(rule_text(RULES[what]))
        print("\n  checked by")
        for case in cases.values():
            if what in case.rules:
                print(f"    {case.id:<6} {case.title}")
    else:
        _die(f"{what!r} is neither a case nor a rule nor an invariant (W1 … W12); see `conformance list`")
    return 0


def _compare(parsed: argparse.Namespace) -> int:
    from conformance.report.compare import page, table
    from conformance.report.results import ResultsError, read_results

    try:
        runs = [read_results(path) for path in parsed.results]
    except ResultsError as error:
        _die(str(error))
    print(table(runs, is_whole=parsed.all))
    if parsed.output is not None:
        try:
            parsed.output.write_text(page(runs), encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            _die(f"-o {parsed.output}: {error.strerror}")
        print(f"\npage     {parsed.output}")
    return 0


def _rules(parsed: argparse.Namespace) -> int:
    from conformance import traceability

    text = traceability.document()
    if parsed.write:
        traceability.FILE.write_text(text, encoding="utf-8")
        print(traceability.FILE)
    elif not parsed.check:
        print(text, end="")
    complaints = traceability.complaints() if parsed.write or parsed.check else []
    if parsed.check and not traceability.is_current(text):
        complaints.append(f"{traceability.FILE.name} is out of date: conformance rules --write")
    for complaint in complaints:
        complain(f"conformance: {complaint}")
    return 1 if complaints else 0


def _check_working_directory() -> None:
    """Dies where it no longer exists: the command is started there, and paths are meant from there."""
    try:
        os.getcwd()
    except FileNotFoundError:
        _die("the working directory no longer exists; start in one that does")


def _run(parsed: argparse.Namespace, command: list[str]) -> int:
    _check_working_directory()
    if not command:
        _die("no command: conformance run [CASES] [OPTIONS] -- CMD …")
    cases = _select(parsed)
    failures, skips = (_baseline(parsed.expect, table) for table in ("xfail", "skip"))
    _check_folder(parsed.out)
    _need_packages()
    from conformance.probe import CommandError, time_scale
    from conformance.runner import choose_seed
    from conformance.settings import Settings
    from conformance.trial import Manner, hold

    settings = Settings(
        command=tuple(command),
        seed=parsed.seed or choose_seed(),
        scale=parsed.scale or time_scale(),
        out=parsed.out.absolute(),
        keep=parsed.keep,
        repeat=parsed.repeat,
        expected_failures=failures,
        reference=tuple(shlex.split(parsed.reference or "")),
        selection=_selection(parsed),
    )
    manner = Manner(
        workers=parsed.workers,
        is_strict=parsed.strict,
        is_verbose=parsed.verbose,
        may_skip=frozenset(skips) if parsed.no_unexpected_skips else None,
    )
    try:
        return hold(settings, cases, manner)[0]
    except CommandError as error:
        _die(str(error))


def _replay(parsed: argparse.Namespace, command: list[str]) -> int:
    _check_working_directory()
    _need_packages()
    from conformance.artifacts import ArtifactError
    from conformance.probe import CommandError
    from conformance.replay import replay, replay_script
    from conformance.verdict import Unmet

    try:
        if parsed.as_script:
            for line in replay_script(parsed.artifact, parsed.as_script, tuple(command)):
                print(line)
            return 0
        _check_folder(parsed.out)
        return replay(parsed.artifact, tuple(command), parsed.out)
    except (ArtifactError, CommandError) as error:
        _die(str(error))
    except Unmet as unmet:
        _die(str(unmet), FAILED)


def _need_packages() -> None:
    try:
        from conformance.front import lacking
    except ModuleNotFoundError as error:
        missing = [str(error.name)]
    else:
        missing = lacking()
    if missing:
        _die(f"not installed: {', '.join(missing)}; pip install 'casty[conformance]'", HARNESS_ERROR)


def _check_folder(out: Path) -> None:
    """Dies where the folder of the reports is none that can be written to, or made."""
    found = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not found.is_dir():
        _die(f"--out {out}: {found} is no folder")
    if not os.access(found, os.W_OK | os.X_OK):
        _die(f"--out {out}: {found} cannot be written to")


def _baseline(path: Path | None, name: str) -> dict[str, str]:
    """A table of ids and reasons in the baseline."""
    if path is None:
        return {}
    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8")).get(name, {})
    except (OSError, ValueError) as error:
        _die(f"--expect {path}: {error}")
    if not isinstance(table, dict):
        _die(f"--expect {path}: [{name}] is no table of ids and reasons")
    reasons = {str(id): str(reason) for id, reason in cast("dict[str, object]", table).items()}
    if unknown := reasons.keys() - load().keys():
        _die(f"--expect {path}: no such case: {', '.join(sorted(unknown))}")
    return reasons


def _die(text: str, status: int = USAGE) -> NoReturn:
    complain(f"conformance: {text}")
    raise SystemExit(status)
