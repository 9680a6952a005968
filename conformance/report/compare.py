"""Runs of several implementations, or of several versions of one, side by side."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any

from conformance.case import GROUPS
from conformance.report.html import SIGNS, TONES, document, text, worst
from conformance.report.text import printable
from conformance.verdict import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

type Json = Mapping[str, Any]

_ABSENT = "·"


def table(runs: Sequence[Json], *, is_whole: bool = False) -> str:
    """For a terminal: a column for each run, a row for each case that not all passed (all, if `is_whole`)."""
    columns = [_column(run) for run in runs]
    names = _names(runs)
    width = max(14, *(len(name) + 2 for name in names))
    lines = [f"{'':<60}" + "".join(f"{printable(name):>{width}}" for name in names)]
    for group, ids in _by_group(runs):
        rows = [
            f"  {id:<6} {_short(_title(runs, id), 50):<51}"
            + "".join(f"{column.get(id, _ABSENT):>{width}}" for column in columns)
            for id in ids
            if is_whole or {column.get(id, State.PASS) for column in columns} != {State.PASS}
        ]
        passed = (_passed(column, ids) or _ABSENT for column in columns)
        lines += [f"{group:<60}" + "".join(f"{cell:>{width}}" for cell in passed), *rows]
    verdicts = "".join(f"{run['verdict']:>{width}}" for run in runs)
    lines.append(f"{'all':<60}{verdicts}")
    if len({run["impl"] for run in runs}) < len(runs):
        lines += ["", *(f"{name}: {shlex.join(run['command'])}" for name, run in zip(names, runs, strict=True))]
    return printable("\n".join(lines))


def page(runs: Sequence[Json]) -> str:
    """The same as a page, with every case."""
    return document(f"Conformance of {', '.join(_names(runs))}", "\n".join(_parts(runs)))


def _parts(runs: Sequence[Json]) -> Iterator[str]:
    columns = [_column(run) for run in runs]
    yield '<header><p class="kicker">Conformance, side by side</p>'
    yield f"<h1>{text(' and '.join(_names(runs)))}</h1></header>"
    yield '<div class="scrolls" tabindex="0"><table class="versions"><thead><tr><th></th><th></th>'
    yield "".join(f"<th>{text(name)}</th>" for name in _names(runs)) + "</tr></thead><tbody>"
    yield from _facts(runs)
    for group, ids in _by_group(runs):
        yield f'<tr class="group"><th colspan="2">{group}</th>'
        for column in columns:
            yield f"<th>{_passed(column, ids)}</th>"
        yield "</tr>"
        for id in ids:
            states = [column.get(id) for column in columns]
            differs = ' class="differs"' if len(set(filter(None, states))) > 1 else ""
            yield f'<tr{differs}><td class="mono">{id}</td><td>{text(_title(runs, id))}</td>'
            yield "".join(map(_cell, states)) + "</tr>"
    yield "</tbody></table></div>"
    yield "<footer><p>A bar at the left marks the cases on which the runs differ.</p></footer>"


def _facts(runs: Sequence[Json]) -> Iterator[str]:
    rows = {
        "command": [shlex.join(run["command"]) for run in runs],
        "verdict": [run["verdict"] for run in runs],
        "declares": [", ".join(run["capabilities"]) or "nothing" for run in runs],
        "states": [", ".join(f"{count} {state}" for state, count in run["summary"].items()) for run in runs],
        "seed": [run["seed"] for run in runs],
        "ended": [run["ended"] for run in runs],
    }
    for name, cells in rows.items():
        yield f'<tr><td colspan="2">{name}</td>' + "".join(f"<td>{text(cell)}</td>" for cell in cells) + "</tr>"


def _cell(state: str | None) -> str:
    if state is None:
        return '<td class="none">not played</td>'
    return f'<td class="{TONES[state]}">{SIGNS[state]} {state}</td>'


def _passed(column: Mapping[str, str], ids: Sequence[str]) -> str:
    """How many of those that were played; empty where none was."""
    played = [column[id] for id in ids if id in column]
    return f"{played.count(State.PASS)} of {len(played)}" if played else ""


def _column(run: Json) -> dict[str, str]:
    """The worst state of each case."""
    states: dict[str, list[str]] = {}
    for outcome in run["outcomes"]:
        states.setdefault(outcome["case"], []).append(outcome["state"])
    return {id: worst(found) for id, found in states.items()}


def _names(runs: Sequence[Json]) -> list[str]:
    """What the implementations call themselves, with a number where several do so alike."""
    counts = Counter(run["impl"] for run in runs)
    seen: Counter[str] = Counter()
    names: list[str] = []
    for run in runs:
        impl = str(run["impl"])
        seen[impl] += 1
        names.append(f"{impl} ({seen[impl]})" if counts[impl] > 1 else impl)
    return names


def _by_group(runs: Sequence[Json]) -> Iterator[tuple[str, list[str]]]:
    """The groups in their order, with the ids that any run has, in the order of the runs."""
    letters = {group: letter for letter, group in GROUPS.items()}
    cases = {id: case for run in runs for id, case in run["cases"].items()}
    groups = [*GROUPS.values(), *sorted({case["group"] for case in cases.values()} - letters.keys())]
    for group in groups:
        ids = sorted((id for id, case in cases.items() if case["group"] == group), key=_order)
        if ids:
            yield group, ids


def _order(id: str) -> tuple[str, str]:
    return id[0], id[2:].zfill(4)


def _title(runs: Sequence[Json], id: str) -> str:
    return next(str(run["cases"][id]["title"]) for run in runs if id in run["cases"])


def _short(title: str, most: int) -> str:
    return title if len(title) <= most else title[: most - 1] + "…"
