"""The files a run leaves behind for people and programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from conformance.report.page import page
from conformance.report.results import badge, results
from conformance.report.text import nearby

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conformance.case import Case
    from conformance.front import Exit, Run
    from conformance.settings import Settings


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
    names = {"report": "report.html", "results": "results.json", "junit": "junit.xml", "badge": "badge.json"}
    return [f"{word:<8} {nearby(out / name)}" for word, name in names.items()]
