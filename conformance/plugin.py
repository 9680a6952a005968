"""The pytest plugin by which cases are items: workers play them, the front hears of every outcome."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from conformance import interruption
from conformance.case import Case, Layer, load
from conformance.report.text import failure
from conformance.runner import perform
from conformance.settings import Settings
from conformance.verdict import Outcome, State

if TYPE_CHECKING:
    from collections.abc import Iterator

PROPERTY: Final = "conformance"
"""The user property in which an outcome travels from a worker to the front."""
WORKER_SUFFIX: Final = ".worker"
"""Of the files, next to the settings, that are called by the workers' process ids."""
CATALOGUE_FILE: Final = Path(__file__).with_name("case.py")
"""What the front gives pytest to collect: it stands for all cases."""

_SETTINGS: Final = pytest.StashKey[Settings]()
_FAILED: Final = (State.FAIL, State.XPASS, State.HARNESS_ERROR)
_SKIPPED: Final = (State.SKIP, State.UNSUPPORTED, State.INCONCLUSIVE, State.XFAIL)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option, which the front sets."""
    group = parser.getgroup("conformance")
    group.addoption("--conformance-settings", metavar="FILE", help="what `conformance run` was asked for")
    group.addoption("--conformance-cases", metavar="FILE", help="the ids to play, one a line")


def pytest_configure(config: pytest.Config) -> None:
    """Reads the settings once for each process; a worker leaves word of itself for an interruption."""
    if path := config.getoption("--conformance-settings"):
        config.stash[_SETTINGS] = Settings.read(Path(path))
        if hasattr(config, "workerinput"):
            os.setpgid(0, 0)  # the terminal's SIGINT is for the front, which passes it on, once
            signal.signal(signal.SIGINT, interruption.note)
            Path(path).with_name(f"{os.getpid()}{WORKER_SUFFIX}").touch()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The catalogue, in the place of the module that defines it."""
    if file_path == CATALOGUE_FILE and _SETTINGS in parent.config.stash:
        return Catalogue.from_parent(parent, path=file_path)  # pyright: ignore[reportUnknownMemberType]
    return None


class Catalogue(pytest.File):
    """The cases that were selected, those that take long first, each as often as it is to be repeated."""

    def collect(self) -> Iterator[CaseItem]:
        settings = self.config.stash[_SETTINGS]
        wanted = Path(str(self.config.getoption("--conformance-cases"))).read_text(encoding="utf-8").split()
        catalogue = load()
        for id in sorted(
            wanted, key=lambda id: (catalogue[id].layer is Layer.SCRIPTED, -catalogue[id].seconds)
        ):
            for repeat in range(settings.first_repeat, settings.first_repeat + settings.repeat):
                name = id if settings.repeat == 1 else f"{id}.{repeat}"
                yield CaseItem.from_parent(  # pyright: ignore[reportUnknownMemberType]
                    self,
                    name=name,
                    nodeid=f"{catalogue[id].group}::{name}",  # JUnit's readers group by what comes first
                    case=catalogue[id],
                    repeat=repeat,
                )


class CaseItem(pytest.Item):
    """One case, once."""

    def __init__(self, *, case: Case, repeat: int, **rest: Any) -> None:
        super().__init__(**rest)  # pyright: ignore[reportUnknownMemberType] -- pytest leaves its keywords untyped
        self.case = case
        self.repeat = repeat
        self.outcome: Outcome | None = None
        settings = self.config.stash[_SETTINGS]
        # The play has a bound of its own; this one is for a suite whose loop does not turn any more.
        self.add_marker(pytest.mark.timeout(60 + 2 * case.seconds * settings.scale))
        for mark in (case.group, case.level.value, case.layer.value, case.harm.value, *case.tags, *case.rules):
            self.extra_keyword_matches.add(mark)

    def runtest(self) -> None:
        """Plays the case; raises what makes pytest see it as failed or skipped."""
        self.outcome = outcome = perform(self.case, self.config.stash[_SETTINGS], self.repeat)
        self.user_properties.append((PROPERTY, json.dumps(outcome.as_dict())))
        if outcome.state in _SKIPPED:
            pytest.skip(f"{outcome.state}: {outcome.reason}")
        if outcome.state in _FAILED:
            raise NotPassed(outcome)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The failure as the console shows it; whatever else went wrong as pytest does."""
        if isinstance(excinfo.value, NotPassed):
            return failure(self.case, excinfo.value.outcome)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it is, and what it is called."""
        return self.path, None, f"{self.case.id} {self.case.title}"


class NotPassed(Exception):
    """Carries an outcome through pytest."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.case)
        self.outcome = outcome


def outcome_of(report: pytest.TestReport) -> Outcome | None:
    """The outcome that a report brings, None for one of set-up, tear-down or a crashed worker."""
    if report.when != "call":
        return None
    for name, value in report.user_properties:
        if name == PROPERTY:
            return Outcome.from_dict(json.loads(str(value)))
    return None
