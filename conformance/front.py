"""A run: pytest with its workers underneath, outcomes, reports and an exit status on top."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

import pytest

from conformance.plugin import CATALOGUE_FILE, outcome_of
from conformance.verdict import Outcome, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from conformance.case import Case
    from conformance.settings import Settings


class Exit(IntEnum):
    """The exit status of a run."""

    CONFORMS = 0
    FAILED = 1
    INCONCLUSIVE = 2
    HARNESS_ERROR = 3
    USAGE = 64
    INTERRUPTED = 130


@dataclass(slots=True)
class Run:
    """What came of it."""

    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    seconds: float = 0.0
    interrupted: bool = False
    trouble: list[str] = field(default_factory=list[str])
    """What went wrong outside of any case: a worker that crashed, a case without an outcome."""

    def status(self, selected: int, *, strict: bool) -> Exit:
        """The worst that happened decides; a case that was selected and never ended is an error of the
        harness."""
        states = {outcome.state for outcome in self.outcomes}
        if self.interrupted:
            return Exit.INTERRUPTED
        if self.trouble or State.HARNESS_ERROR in states or len(self.outcomes) != selected:
            return Exit.HARNESS_ERROR
        if states & {State.FAIL, State.XPASS} or (strict and State.NONSTRICT in states):
            return Exit.FAILED
        return Exit.INCONCLUSIVE if State.INCONCLUSIVE in states else Exit.CONFORMS


def play(
    settings: Settings,
    cases: Sequence[Case],
    *,
    workers: int,
    junit: Path | None,
    show: Callable[[Outcome], None],
) -> Run:
    """Plays the cases, `workers` at a time, and calls `show` with each outcome as it comes in."""
    work = settings.out / ".work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    settings.write(work / "settings.json")
    (work / "cases.txt").write_text("\n".join(case.id for case in cases) + "\n", encoding="utf-8")
    (work / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    arguments = [
        str(CATALOGUE_FILE),
        f"--rootdir={work}",
        f"-c{work / 'pytest.ini'}",
        "-pconformance.plugin",
        "-pno:python",
        "-pno:cacheprovider",
        f"--conformance-settings={work / 'settings.json'}",
        f"--conformance-cases={work / 'cases.txt'}",
        f"--basetemp={work / 'tmp'}",
    ]
    if workers > 1:
        arguments += [f"--numprocesses={workers}", "--dist=load", "--maxschedchunk=1"]
    if junit is not None:
        arguments += [f"--junitxml={junit}", "-ojunit_suite_name=conformance"]
    run = Run()
    began = time.monotonic()
    status = pytest.main(arguments, plugins=[_Listener(run, show)])
    run.seconds = time.monotonic() - began
    run.interrupted = status == pytest.ExitCode.INTERRUPTED
    if status in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
        run.trouble.append(f"pytest ended with {status!r}")
    shutil.rmtree(work, ignore_errors=True)
    return run


class _Listener:
    """In the front's process: takes the place of pytest's own terminal reporter."""

    def __init__(self, run: Run, show: Callable[[Outcome], None]) -> None:
        self._run = run
        self._show = show

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            config.pluginmanager.unregister(reporter)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = outcome_of(report)
        if outcome is not None:
            self._run.outcomes.append(outcome)
            self._show(outcome)
        elif report.failed:
            self._run.trouble.append(f"{report.nodeid}: {report.longreprtext.strip().splitlines()[-1][:300]}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._run.trouble.append(report.longreprtext.strip()[-2000:])
