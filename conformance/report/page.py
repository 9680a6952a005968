"""`report.html`: one page that holds everything, and needs nothing but a browser."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from conformance._rules import RULES
from conformance.report.evidence import Evidence
from conformance.report.html import SIGNS, TONES, document, pill, text, worst
from conformance.report.text import broken
from conformance.verdict import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

type Json = Mapping[str, Any]

_TONE_OF_STATUS = {0: "good", 1: "bad", 2: "odd", 3: "odd", 130: "odd"}
_FINDINGS = (State.FAIL, State.XPASS, State.HARNESS_ERROR, State.INCONCLUSIVE, State.NONSTRICT)


def page(results: Json, folder: Path) -> str:
    """The page for what `results` makes of a run; evidence is read from the artifacts within `folder`."""
    played: dict[str, list[Json]] = {}
    for outcome in results["outcomes"]:
        played.setdefault(outcome["case"], []).append(outcome)
    evidence = Evidence(folder)
    parts = [
        *_head(results),
        *_matrix(results, played),
        *_findings(results),
        *_groups(results, played, evidence),
        _foot(results),
    ]
    return document(f"Conformance of {results['impl']}", "\n".join(parts), script=True)


def _head(results: Json) -> Iterator[str]:
    played = sum(results["summary"].values())
    yield '<header><p class="kicker">Conformance report</p>'
    yield f"<h1>{text(results['impl'])}</h1>"
    yield f'<p class="sentence {_TONE_OF_STATUS[results["status"]]}">{text(_sentence(results))}</p>'
    facts = {
        "command": f"<code>{text(shlex.join(results['command']))}</code>",
        "cases": f"{played} of {results['selected']} selected{_chosen(results)}, in {results['seconds']:.1f} s",
        "declares": text(", ".join(results["capabilities"]) or "no capabilities"),
        "seed": f"<code>{text(results['seed'])}</code>, bounds of time × {results['scale']:g}",
        "ended": text(f"{results['ended']}, {results['system']}"),
    }
    yield '<dl class="facts">' + "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in facts.items()) + "</dl>"
    if results["trouble"]:
        yield f'<p class="trouble">{text(chr(10).join(results["trouble"]))}</p>'
    yield '<div class="tally">'
    for state, count in results["summary"].items():
        yield (
            f'<button data-state="{state}" aria-pressed="true">'
            f'<span class="{TONES[state]}">{SIGNS[state]} {state}</span> {count}</button>'
        )
    yield '<input id="search" type="search" placeholder="id, word, rule" aria-label="search">'
    yield '<button id="unfold">unfold</button></div></header>'


def _chosen(results: Json) -> str:
    """By which words, where not all are."""
    words = results.get("selection")
    return f" by <code>{text(shlex.join(words))}</code>" if words else ""


def _sentence(results: Json) -> str:
    counts = results["summary"]
    failed = counts.get(State.FAIL, 0) + counts.get(State.XPASS, 0)
    match results["status"]:
        case 0:
            part = ", as far as these cases go" if results.get("selection") else ""
            return f"Conforms{part}: {counts.get(State.PASS, 0)} cases passed, none failed."
        case 1:
            failed = failed or counts.get(State.NONSTRICT, 0)  # with --strict
            return f"Does not conform: {failed} of {sum(counts.values())} cases failed."
        case 2:
            return (
                f"Nothing wrong was seen, but {counts.get(State.INCONCLUSIVE, 0)} cases could not be finished."
            )
        case 130:
            return "Interrupted: this says nothing about the node as a whole."
        case _:
            return "The suite itself, or the machine, went wrong: this says nothing about the node."


def _matrix(results: Json, played: Mapping[str, list[Json]]) -> Iterator[str]:
    yield '<h2>All cases at a glance</h2><table class="matrix"><tbody>'
    for group, ids in _by_group(results):
        passed = sum(_state(played[id]) == State.PASS for id in ids)
        seconds = sum(outcome["seconds"] for id in ids for outcome in played[id])
        sums = f"{passed} of {len(ids)} · {seconds:.1f} s"
        yield f'<tr><th scope="row">{group}<span class="sum">{sums}</span></th>'
        tiles = "".join(_tile(id, results["cases"][id], _state(played[id])) for id in ids)
        yield f'<td><div class="tiles">{tiles}</div></td></tr>'
    yield "</tbody></table>"


def _tile(id: str, case: Json, state: str) -> str:
    sign = "" if state == State.PASS else f"{SIGNS[state]} "
    return (
        f'<a class="tile {TONES[state]}" href="#{id}" title="{text(f"{id}: {case['title']} {state}")}" '
        f"{_data(id, case, state)}>{sign}{id}</a>"
    )


def _data(id: str, case: Json, state: str) -> str:
    """What the filters look at."""
    words = " ".join(
        [id, case["title"], case["level"], case["layer"], case["harm"], case["group"], *case["rules"]]
    )
    return f'data-state="{state}" data-words="{text(words.lower())}"'


def _findings(results: Json) -> Iterator[str]:
    found = [outcome for outcome in results["outcomes"] if outcome["state"] in _FINDINGS]
    if not found:
        return
    yield '<h2>What was found</h2><ol class="findings">'
    for outcome in found:
        id = outcome["case"]
        case = results["cases"][id]
        yield f'<li>{pill(outcome["state"])} <a href="#{id}">{id}</a> {text(case["title"])}'
        said = outcome["reason"] or f"wanted {outcome['expected']}, got {outcome['got']}"
        yield f"<p>{text(_short(said))}</p></li>"
    yield "</ol>"


def _groups(results: Json, played: Mapping[str, list[Json]], evidence: Evidence) -> Iterator[str]:
    for group, ids in _by_group(results):
        yield f'<section class="group"><h2>{group.capitalize()}</h2>'
        for id in ids:
            yield from _entry(id, results["cases"][id], played[id], evidence)
        yield "</section>"


def _entry(id: str, case: Json, outcomes: list[Json], evidence: Evidence) -> Iterator[str]:
    state = _state(outcomes)
    seconds = sum(outcome["seconds"] for outcome in outcomes)
    is_open = " open" if state in _FINDINGS else ""
    yield f'<details class="entry" id="{id}" {_data(id, case, state)}{is_open}><summary>{pill(state)}'
    yield f'<span class="id mono">{id}</span><span class="what">{text(case["title"])}</span>'
    remarks = [case["level"]] if case["level"] != "core" else []
    remarks += [case["layer"], f"{seconds:.2f} s" + (f" ({len(outcomes)}×)" if len(outcomes) > 1 else "")]
    yield f'<span class="aside">{" · ".join(remarks)}</span></summary><div class="inside">'
    yield _clauses(case, "given", "when", "expect", "why", "hint")
    for outcome in outcomes:
        if len(outcomes) > 1 and outcome["state"] != State.PASS:
            yield f"<h3>{pill(outcome['state'])} repeat {outcome['repeat']}</h3>"
        yield from evidence.of(outcome, case)
    yield "<h3>What the specification says</h3>"
    found = [rule for each in outcomes for rule in broken(case["rules"], each["expected"])]
    for rule in dict.fromkeys([*found, *case["rules"]]):
        yield _norm(rule)
    yield "</div></details>"


def _clauses(case: Json, *names: str) -> str:
    labels = {"why": "why it matters"}
    rows = (f"<dt>{labels.get(name, name)}</dt><dd>{text(case[name])}</dd>" for name in names if case[name])
    return f'<dl class="clauses">{"".join(rows)}</dl>'


def _norm(id: str) -> str:
    """The full text of a rule."""
    rule = RULES.get(id)
    if rule is None:
        return f'<div class="norm"><p><b>{text(id)}</b></p></div>'
    source = f", {text(rule.source)}" if rule.source else ""
    why = f'<p class="reason">{text(rule.why)}</p>' if rule.why else ""
    head = f"<b>{rule.id}</b> ({rule.level}, {text(rule.place)}{source})"
    return f'<div class="norm"><p>{head}: {text(rule.text)}</p>{why}</div>'


def _foot(results: Json) -> str:
    chosen = [*results.get("selection", ()), "--seed", results["seed"]]
    command = f"{shlex.join(chosen)} -- {shlex.join(results['command'])}"
    return (
        "<footer><p>The same run once more:</p>"
        f'<pre class="wraps">conformance run {text(command)}</pre>'
        "<p>One case alone: <code>conformance replay</code> and the folder that it left behind. What is drawn "
        "at random comes again; how processes and networks interleave does not.</p></footer>"
    )


def _by_group(results: Json) -> Iterator[tuple[str, list[str]]]:
    for group in results["groups"]:
        ids = [id for id, case in results["cases"].items() if case["group"] == group]
        if ids:
            yield group, ids


def _state(outcomes: list[Json]) -> str:
    return worst([outcome["state"] for outcome in outcomes])


def _short(said: str) -> str:
    return said if len(said) <= 260 else said[:259] + "…"
