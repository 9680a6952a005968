"""Many cases played: pytest with its workers underneath, outcomes and an exit status on top."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from dataclasses import dataclass, field
from enum import IntEnum
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

import pytest

from conformance.plugin import CATALOGUE_FILE, WORKER_SUFFIX, outcome_of
from conformance.verdict import Outcome, State
from conformance.warden import Warden

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence
    from pathlib import Path
    from types import FrameType

    from conformance.case import Case
    from conformance.settings import Settings

PACKAGES: Final = {"xdist": "pytest-xdist", "pytest_timeout": "pytest-timeout"}
"""What must be installed besides pytest, by the name of its module."""


_UNPLAYED: Final = (State.SKIP, State.UNSUPPORTED)


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

    def unplayed(self, may_skip: Collection[str] | None) -> list[Outcome]:
        """Those that ended without being played and are not among the ids that may; none where all may."""
        if may_skip is None:
            return []
        return [each for each in self.outcomes if each.state in _UNPLAYED and each.case not in may_skip]

    def status(self, selected: int, *, strict: bool, may_skip: Collection[str] | None = None) -> Exit:
        """The worst that happened decides; a case that was selected and never ended is an error of the
        harness."""
        states = {outcome.state for outcome in self.outcomes}
        if self.interrupted:
            return Exit.INTERRUPTED
        if self.trouble or State.HARNESS_ERROR in states or len(self.outcomes) != selected:
            return Exit.HARNESS_ERROR
        if states & {State.FAIL, State.XPASS} or (strict and State.NONSTRICT in states):
            return Exit.FAILED
        return Exit.INCONCLUSIVE if State.INCONCLUSIVE in states or self.unplayed(may_skip) else Exit.CONFORMS


class Audience(Protocol):
    """Whoever wants to know how a run goes."""

    def started(self, case_id: str) -> None:
        """A case is being played."""

    def show(self, outcome: Outcome) -> None:
        """A case has ended."""


def lacking() -> list[str]:
    """The packages without which nothing can be played and which are not installed."""
    missing: list[str] = []
    for module, package in PACKAGES.items():
        try:
            import_module(module)
        except ImportError:
            missing.append(package)
    return missing


def play(
    settings: Settings, cases: Sequence[Case], *, workers: int, junit: Path | None, audience: Audience
) -> Run:
    """Plays the cases, `workers` at a time, and tells the audience of each; nothing runs on afterwards.

    SIGTERM and SIGHUP interrupt it as SIGINT does: what has come out so far is kept.
    """
    work = settings.out / ".work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    settings.write(work / "settings.json")
    (work / "cases.txt").write_text("\n".join(case.id for case in cases) + "\n", encoding="utf-8")
    (work / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    run = Run()
    began = time.monotonic()
    warden = Warden.start()
    try:
        with _interruptible(), _plain_environment():
            status = pytest.main(_arguments(work, workers, junit), plugins=[_Listener(run, work, audience)])
        run.interrupted = status == pytest.ExitCode.INTERRUPTED
        if status in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
            run.trouble.append(f"pytest ended with {pytest.ExitCode(status).name}")
    except KeyboardInterrupt:
        run.interrupted = True
    finally:
        strays = warden.dismiss()
    if not run.interrupted:
        run.trouble += [f"had to be ended after the run: {stray.command[:200]}" for stray in strays]
    run.seconds = time.monotonic() - began
    shutil.rmtree(work, ignore_errors=True)
    return run


def _arguments(work: Path, workers: int, junit: Path | None) -> list[str]:
    """What pytest is told: nothing of the user's own configuration and plugins plays a part."""
    arguments = [
        str(CATALOGUE_FILE),
        f"--rootdir={work}",
        f"-c{work / 'pytest.ini'}",
        "-pconformance.plugin",
        "-ppytest_timeout",
        "-pno:python",
        "-pno:cacheprovider",
        f"--conformance-settings={work / 'settings.json'}",
        f"--conformance-cases={work / 'cases.txt'}",
        f"--basetemp={work / 'tmp'}",
    ]
    if workers > 1:
        arguments += ["-pxdist.plugin", f"--numprocesses={workers}", "--dist=load", "--maxschedchunk=1"]
    if junit is not None:
        arguments += [f"--junitxml={junit}", "-ojunit_suite_name=conformance"]
    return arguments


@contextlib.contextmanager
def _plain_environment() -> Generator[None, None, None]:
    ours = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": ""}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _interruptible() -> Generator[None, None, None]:
    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    # In a shell's background SIGINT is ignored, and the others could not be passed on as one.
    handlers: dict[signal.Signals, Callable[[int, FrameType | None], object]] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: interrupt,
        signal.SIGHUP: interrupt,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Listener:
    """In the front's process: takes the place of pytest's own terminal reporter."""

    def __init__(self, run: Run, work: Path, audience: Audience) -> None:
        self._run = run
        self._work = work
        self._audience = audience

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            config.pluginmanager.unregister(reporter)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._audience.started(_case_of(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = outcome_of(report)
        if outcome is not None:
            self._run.outcomes.append(outcome)
            self._audience.show(outcome)
        elif report.failed:
            lines = report.longreprtext.strip().splitlines() or ["no word of why"]
            self._run.trouble.append(f"{_case_of(report.nodeid)}: {lines[-1][:300]}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._run.trouble.append(report.longreprtext.strip()[-2000:])

    def pytest_keyboard_interrupt(self) -> None:
        """The workers begin nothing more and end what they play."""
        for file in self._work.glob(f"*{WORKER_SUFFIX}"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(file.stem), signal.SIGINT)


def _case_of(nodeid: str) -> str:
    """The id of the case, from pytest's name for what it plays."""
    return nodeid.rpartition("::")[2].partition(".")[0]
