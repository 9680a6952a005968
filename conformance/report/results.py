"""`results.json`: everything about a run, for programs; its schema is `results.schema.json` in this folder."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from conformance._protocol import PROTOCOL_VERSION
from conformance.case import GROUPS
from conformance.verdict import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from conformance.case import Case
    from conformance.front import Exit, Run
    from conformance.settings import Settings

FORMAT: Final = 1
VERDICTS: Final = {
    0: "conforms",
    1: "does not conform",
    2: "inconclusive",
    3: "harness error",
    130: "interrupted",
}
"""The exit statuses of a run in words."""


def results(
    settings: Settings, run: Run, status: Exit, cases: Mapping[str, Case], selected: int
) -> dict[str, Any]:
    """The run as JSON knows it. Paths are relative to the folder of the reports."""
    order = list(cases)
    outcomes = [outcome.as_dict() for outcome in run.outcomes]
    for outcome in outcomes:
        if outcome["artifacts"]:
            outcome["artifacts"] = os.path.relpath(outcome["artifacts"], settings.out)
    outcomes.sort(key=lambda outcome: (order.index(outcome["case"]), outcome["repeat"]))
    return {
        "format": FORMAT,
        "impl": settings.impl,
        "command": [*settings.command],
        "capabilities": sorted(settings.caps),
        "protocol": PROTOCOL_VERSION,
        "seed": settings.seed,
        "scale": round(settings.scale, 2),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "status": int(status),
        "verdict": VERDICTS[int(status)],
        "seconds": round(run.seconds, 3),
        "selected": selected,
        "selection": [*settings.selection],
        "summary": summary(outcome["state"] for outcome in outcomes),
        "trouble": run.trouble,
        "groups": [*GROUPS.values()],
        "cases": {id: describe(cases[id]) for id in order if any(o["case"] == id for o in outcomes)},
        "outcomes": outcomes,
    }


def summary(states: Iterable[str]) -> dict[str, int]:
    """How many there are of each state that occurs."""
    counts = Counter(states)
    return {state.value: counts[state.value] for state in State if counts[state.value]}


def describe(case: Case) -> dict[str, Any]:
    """What there is to know about a case."""
    texts = ("title", "group", "given", "when", "expect", "why", "hint")
    return {
        **{name: getattr(case, name) for name in texts},
        "level": case.level.value,
        "layer": case.layer.value,
        "harm": case.harm.value,
        "rules": [*case.rules],
        "capabilities": sorted(case.capabilities),
    }


def badge(results: Mapping[str, Any]) -> dict[str, Any]:
    """An endpoint badge in the form that shields.io reads."""
    counts = results["summary"]
    played = sum(counts.values()) - counts.get(State.UNSUPPORTED, 0) - counts.get(State.SKIP, 0)
    colour = {0: "brightgreen", 1: "red", 2: "yellow"}.get(results["status"], "lightgrey")
    message = f"{counts.get(State.PASS, 0)} of {played}" + (" selected" if results.get("selection") else "")
    if results["status"] not in (0, 1):
        message += f", {results['verdict']}"
    return {"schemaVersion": 1, "label": "casty conformance", "message": message, "color": colour}


class ResultsError(ValueError):
    """A file that no run of the suite has written."""


def read_results(path: Path) -> dict[str, Any]:
    """What a run left in this file, or in this folder. Raises `ResultsError` where that is something else."""
    if path.is_dir():
        path /= "results.json"
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ResultsError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:  # pyright: ignore[reportUnknownMemberType]
        raise ResultsError(f'{path} is no results.json of format {FORMAT}: it has no "format": {FORMAT}')
    return found  # pyright: ignore[reportUnknownVariableType]
