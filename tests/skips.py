"""Which tests did not run: told in plain words at the end, and with `--no-unexpected-skips` a failure.

A plugin of pytest. A test counts as not run if it was skipped or is expected to fail (xfail). `skips.toml` is
the list of those that may; with the option each other one fails and says why it did not run.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests import needs

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

FILE: Final = Path(__file__).with_suffix(".toml")
OPTION: Final = "--no-unexpected-skips"
TESTS_NAMED_MAX: Final = 3
"""The summary names so many tests for each reason, and counts the others."""

_EXPECTED: Final = pytest.StashKey["Mapping[str, str]"]()


def expected(file: Path) -> dict[str, str]:
    """The tests that may be skipped, by id, each with the reason. An id without parameters stands for all."""
    return dict(tomllib.loads(file.read_text(encoding="utf-8"))["skip"])


def is_expected(nodeid: str, list_: Iterable[str]) -> bool:
    """Whether a test, or all with its parameters, is on the list."""
    return not {nodeid, nodeid.partition("[")[0]}.isdisjoint(list_)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option."""
    text = f"fail each test that is skipped or expected to fail and is not listed in {FILE.name}"
    parser.getgroup("skips").addoption(OPTION, action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker, and reads the list where it is asked for."""
    config.addinivalue_line("markers", "needs(*names): skipped where the machine lacks one of tests/needs.py")
    if config.getoption(OPTION):
        config.stash[_EXPECTED] = expected(FILE)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test whose needs are not met. A name that `NEEDS` does not have is an error."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if reason := needs.lacking(name):
                pytest.skip(reason)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With the option, a test that did not run has failed."""
    report = yield
    if _EXPECTED in item.config.stash and _did_not_run(report):
        _forbid(report, item.config.stash[_EXPECTED])
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """With the option, a module that skips itself has failed: none of its tests ran."""
    report = yield
    if _EXPECTED in collector.config.stash and report.skipped:
        _forbid(report, collector.config.stash[_EXPECTED])
    return report


def _did_not_run(report: pytest.TestReport) -> bool:
    return report.skipped or hasattr(report, "wasxfail")


def _forbid(report: pytest.TestReport | pytest.CollectReport, list_: Mapping[str, str]) -> None:
    if is_expected(report.nodeid, list_):
        return
    what = "was expected to fail" if hasattr(report, "wasxfail") else "was skipped"
    report.longrepr = (
        f"{report.nodeid} {what}: {_reason(report)}\nIt is not listed in {FILE.name}; see {OPTION}."
    )
    report.outcome = "failed"
    if hasattr(report, "wasxfail"):
        del report.wasxfail


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if hasattr(report, "wasxfail"):
        return str(report.wasxfail) or "no reason was given"
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what did not run, why, and how to get what was missing."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    reports: list[Any] = [*terminalreporter.getreports("skipped"), *terminalreporter.getreports("xfailed")]
    for report in reports:
        by_reason[_reason(report)].append(report.nodeid)
    if not by_reason:
        return
    total = len(reports)
    terminalreporter.section(f"{total} test{'s' * (total != 1)} did not run")
    for reason, tests in by_reason.items():
        terminalreporter.line(f"{len(tests)} × {reason}")
        if advice := needs.advice(reason):
            terminalreporter.line(f"    To run them: {advice}.")
        for test in tests[:TESTS_NAMED_MAX]:
            terminalreporter.line(f"    {test}")
        if len(tests) > TESTS_NAMED_MAX:
            terminalreporter.line(f"    and {len(tests) - TESTS_NAMED_MAX} more")
