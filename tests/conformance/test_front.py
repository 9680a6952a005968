"""What a run is told, what it says, and how it ends: settings, selection, states and statuses."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from conformance import warden
from conformance.case import Level, load
from conformance.cli import main
from conformance.front import Exit, Run
from conformance.runner import perform
from conformance.selection import SelectionError, select
from conformance.settings import Settings
from conformance.trace.invariants import INVARIANTS
from conformance.trial import verdict
from conformance.verdict import HarnessError, Outcome, State, Undecided, Unmet, Unplayable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from conformance.case import Case
    from conformance.stage import Stage

FULL = Settings(
    command=("node", "--id", "{node_id}"),
    impl="théirs/1",
    caps=frozenset({"tls", "introspect"}),
    seed="5eed",
    scale=2.5,
    keep=True,
    repeat=3,
    first_repeat=1,
    expected_failures={"E-01": "because"},
    reference=("other", "node"),
    selection=("E-*", "--layer", "disk"),
)


def outcomes(*states: State) -> list[Outcome]:
    return [Outcome(f"E-{at:02}", state, 0.1, "5eed") for at, state in enumerate(states, start=1)]


def test_settings_come_back_as_they_were(tmp_path: Path) -> None:
    FULL.write(tmp_path / "settings.json")
    assert Settings.read(tmp_path / "settings.json") == FULL


def test_settings_of_a_later_suite_are_read_for_what_is_known() -> None:
    assert Settings.from_dict(FULL.as_dict() | {"mood": "good"}) == FULL


def test_an_outcome_comes_back_as_it_was() -> None:
    outcome = Outcome("E-01", State.XFAIL, 0.5, "5eed/E-01/0", 2, "a", "b", "c", "d", "e", 7, 9, 1, 2, "f")
    outcome.notes.append("g")
    assert Outcome.from_dict(json.loads(json.dumps(outcome.as_dict()))) == outcome


@pytest.mark.parametrize(
    ("states", "strict", "status"),
    [
        ([State.PASS, State.SKIP, State.UNSUPPORTED], False, Exit.CONFORMS),
        ([State.PASS, State.XFAIL], True, Exit.CONFORMS),
        ([State.PASS, State.NONSTRICT], False, Exit.CONFORMS),
        ([State.PASS, State.NONSTRICT], True, Exit.FAILED),
        ([State.PASS, State.FAIL], False, Exit.FAILED),
        ([State.PASS, State.XPASS], False, Exit.FAILED),
        ([State.PASS, State.INCONCLUSIVE], False, Exit.INCONCLUSIVE),
        ([State.FAIL, State.INCONCLUSIVE], False, Exit.FAILED),
        ([State.FAIL, State.HARNESS_ERROR], False, Exit.HARNESS_ERROR),
        ([State.PASS], False, Exit.HARNESS_ERROR),  # two were selected: one never ended
    ],
)
def test_the_worst_that_happened_is_the_status(states: list[State], strict: bool, status: Exit) -> None:
    run = Run(outcomes(*states))
    assert run.status(max(2, len(states)), strict=strict) is status


@pytest.mark.parametrize("state", [State.SKIP, State.UNSUPPORTED])
def test_a_case_that_was_not_played_is_told_unless_it_is_expected(state: State) -> None:
    run = Run(
        [Outcome("E-01", State.PASS, 0.1, "s"), Outcome("E-02", state, 0.1, "s", reason="a tool is missing")]
    )
    assert run.status(2, strict=True) is Exit.CONFORMS
    assert run.status(2, strict=True, may_skip={"E-02"}) is Exit.CONFORMS
    assert run.status(2, strict=True, may_skip={"E-01"}) is Exit.INCONCLUSIVE
    assert [each.case for each in run.unplayed({"E-01"})] == ["E-02"]
    told = verdict("node", run, Exit.INCONCLUSIVE)
    assert told == f"nothing wrong was seen, but not all is known: {state} E-02"


def test_trouble_and_interruption_outweigh_the_cases() -> None:
    run = Run(outcomes(State.FAIL), trouble=["a worker crashed"])
    assert run.status(1, strict=False) is Exit.HARNESS_ERROR
    run.interrupted = True
    assert run.status(1, strict=False) is Exit.INTERRUPTED


def test_the_verdict_names_what_decided() -> None:
    run = Run(outcomes(State.PASS, State.FAIL, State.XPASS))
    assert verdict("x/1", run, Exit.FAILED) == "x/1 does not conform: FAIL E-02, XPASS E-03"
    better = Run(outcomes(State.PASS, State.XPASS, State.XFAIL))
    assert verdict("x/1", better, Exit.FAILED).startswith("x/1 does better than the baseline says")
    many = Run(outcomes(*[State.FAIL] * 12))
    assert verdict("x/1", many, Exit.FAILED).endswith("E-09 E-10 and 2 more")
    undecided = Run(outcomes(State.INCONCLUSIVE))
    assert verdict("x/1", undecided, Exit.INCONCLUSIVE).endswith("INCONCLUSIVE E-01")
    assert "nothing is said about the node" in verdict("x/1", undecided, Exit.INTERRUPTED)


def played(case: Case, play: Callable[[Stage], Awaitable[None]], folder: Path, **changed: object) -> Outcome:
    """The outcome of a case that does not start a node."""
    settings = Settings(command=("true",), out=folder, expected_failures={})
    return perform(replace(case, play=play), replace(settings, **changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (None, State.PASS, ""),
        (Unmet("yes", "no"), State.FAIL, ""),
        (Unplayable("no disk"), State.SKIP, "no disk"),
        (Undecided("10 s"), State.INCONCLUSIVE, "10 s"),
        (HarnessError("no pipe"), State.HARNESS_ERROR, "no pipe"),
        (ZeroDivisionError("1/0"), State.HARNESS_ERROR, "ZeroDivisionError: 1/0 (test_front.py:"),
    ],
)
def test_how_a_play_ends_is_the_state(
    tmp_path: Path, error: Exception | None, state: State, reason: str
) -> None:
    async def play(_: Stage) -> None:
        if error is not None:
            raise error

    outcome = played(load()["E-01"], play, tmp_path)
    assert (outcome.state, outcome.reason.startswith(reason)) == (state, True)
    assert bool(outcome.artifacts) == (tmp_path / "cases" / "E-01").exists() == state.has_evidence


def test_a_case_that_does_not_end_fails(tmp_path: Path) -> None:
    async def play(_: Stage) -> None:
        await asyncio.Event().wait()

    outcome = played(replace(load()["E-01"], seconds=0.1), play, tmp_path)
    assert (outcome.state, outcome.got) == (State.FAIL, "no end of it")


def test_the_baseline_and_the_level_say_what_a_failure_means(tmp_path: Path) -> None:
    async def fail(_: Stage) -> None:
        raise Unmet("yes", "no")

    async def succeed(_: Stage) -> None: ...

    core = load()["E-01"]
    strict = replace(core, level=Level.STRICT)
    baseline = {"E-01": "issue 7"}
    assert played(strict, fail, tmp_path).state is State.NONSTRICT
    known = played(core, fail, tmp_path, expected_failures=baseline)
    assert (known.state, known.reason) == (State.XFAIL, "issue 7")
    fixed = played(core, succeed, tmp_path, expected_failures=baseline)
    assert (fixed.state, fixed.reason) == (State.XPASS, "the baseline says that it fails: issue 7")


def test_what_is_not_declared_is_not_played(tmp_path: Path) -> None:
    async def play(_: Stage) -> None:
        raise AssertionError

    outcome = played(replace(load()["E-01"], capabilities=frozenset({"tls"})), play, tmp_path)
    assert (outcome.state, outcome.reason) == (State.UNSUPPORTED, "not declared: tls")


def test_a_passing_case_leaves_its_folder_only_when_asked_to(tmp_path: Path) -> None:
    async def play(_: Stage) -> None: ...

    assert played(load()["E-01"], play, tmp_path).artifacts == ""
    kept = played(load()["E-01"], play, tmp_path, keep=True, repeat=2).artifacts
    assert kept == str(tmp_path / "cases" / "E-01.0")


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["E-01"], {"E-01"}),
        (["E-0[12]", "R-03"], {"E-01", "E-02", "R-03"}),
        (["VOTE-2"], {case.id for case in load().values() if "VOTE-2" in case.rules}),
        (["election"], {case.id for case in load().values() if case.group == "election"}),
    ],
)
def test_cases_are_selected_by_id_pattern_rule_and_group(patterns: list[str], wanted: set[str]) -> None:
    found = {case.id for case in select(load().values(), patterns, nightly=True)}
    assert found == wanted


def test_levels_layers_and_nightly_cases_are_left_out() -> None:
    cases = load().values()
    assert {case.level for case in select(cases, level="core")} == {Level.CORE}
    assert {case.layer.value for case in select(cases, layers=["disk"])} == {"disk"}
    assert not [case.id for case in select(cases) if "nightly" in case.tags]
    nightly = [case.id for case in cases if "nightly" in case.tags]
    assert [case.id for case in select(cases, nightly[:1])] == nightly[:1]


@pytest.mark.parametrize(
    ("patterns", "layers", "said"),
    [
        (["E-99"], [], "'E-99' fits no case"),
        (["elections"], [], "election,"),
        (["E-01"], ["disk"], "no case is left to play: none that fits is of this layer"),
        (["nightly"], [], "C-19 .*only with --nightly"),
    ],
)
def test_a_run_of_nothing_is_refused(patterns: list[str], layers: list[str], said: str) -> None:
    with pytest.raises(SelectionError, match=said):
        select(load().values(), patterns, layers=layers)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "E-01"], "no command: conformance run"),
        (["run", "E-99", "--", "true"], "'E-99' fits no case"),
        (["run", "E-01", "--layer", "disk", "--", "true"], "no case is left to play"),
        (["run", "--workers", "0", "--", "true"], "'0' is no whole number from 1 to 100000"),
        (["run", "--repeat", "few", "--", "true"], "'few' is no whole number"),
        (["run", "--scale", "-1", "--", "true"], "'-1' is no number above 0"),
        (["run", "--fast", "--", "true"], "unrecognized arguments: --fast"),
        (["run", "--expect", "not-there.toml", "--", "true"], "--expect not-there.toml: "),
        (["replay", "not-there"], "not-there: No such file or directory; give the folder of a case"),
        (["explain", "E-99"], "'E-99' is neither a case nor a rule"),
        (["compare", "not-there"], "not-there: No such file"),
        (["run", "E-01", "--out", __file__, "--", "true"], "test_front.py is no folder"),
        (["replay", "not-there", "--out", __file__ + "/below"], "test_front.py is no folder"),
        (["list", "E-99"], "'E-99' fits no case"),
        ([], "the following arguments are required"),
    ],
)
def test_a_senseless_command_line_is_64(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 64
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("table", ["xfail", "skip"])
def test_a_baseline_names_cases_that_exist(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "baseline.toml").write_text(f'[{table}]\nE-99 = "never"\n')
    with pytest.raises(SystemExit, match="64"):
        main(["run", "--expect", str(tmp_path / "baseline.toml"), "--", "true"])
    assert "no such case: E-99" in capsys.readouterr().err


def test_a_fault_of_the_suite_is_not_the_node_s(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("conformance.cli.load", lambda: 1 // 0)
    assert main(["list"]) == Exit.HARNESS_ERROR
    assert "the suite itself went wrong: ZeroDivisionError" in capsys.readouterr().err


def test_cases_and_rules_are_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "E-01"]) == 0
    assert capsys.readouterr().out.startswith("E-01   The first candidate of a new term")
    assert main(["explain", "E-06"]) == 0
    said = capsys.readouterr().out
    assert "VOTE-3 (MUST, spec/raft.md#vote-3" in said and "  given  n1" in said
    assert main(["explain", "vote-3"]) == 0
    assert "    E-06   " in capsys.readouterr().out
    assert list(INVARIANTS) == [f"W{number}" for number in range(1, 13)]
    assert main(["explain", "W2"]) == 0
    said = capsys.readouterr().out
    assert "two votes of one server in one term" in said
    assert "VOTE-2 (MUST" in said and "FORM-9 (MUST" in said


def test_a_warden_finds_what_was_started_under_it() -> None:
    watch = warden.Warden.start()
    assert list(warden.marked(watch.mark)) == []
    assert watch.dismiss() == []
