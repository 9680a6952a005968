"""The files a run leaves behind for people and programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from conformance.report.page import page
from conformance.report.results import badge, results
from conformance.report.text import nearby

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from conformance.case import Case
    from conformance.front import Exit, Run
    from conformance.settings import Settings


NAMES: Final = {"report": "report.html", "results": "results.json", "junit": "junit.xml", "badge": "badge.json"}


def forget_reports(out: Path) -> None:
    """Removes those of an earlier run, so that nobody takes them for this one's if it comes to nothing."""
    for name in NAMES.values():
        (out / name).unlink(missing_ok=True)


def write_reports(
    settings: Settings, run: Run, status: Exit, cases: Mapping[str, Case], selected: int
) -> list[str]:
    """Writes them and says, a line each, where they are."""
    found = results(settings, run, status, cases, selected)
    out = settings.out
    texts = {
        "results.json": json.dumps(found, indent=1) + "\n",
        "badge.json": json.dumps(badge(found)) + "\n",
        "report.html": page(found, out),
    }
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8", errors="backslashreplace")
    return [f"{word:<8} {nearby(out / name)}" for word, name in NAMES.items()]
