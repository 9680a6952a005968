"""The reports of a run: for people, for programs, and for browsers."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from conformance.case import load
from conformance.cli import main
from conformance.report import results as results_module
from conformance.report.compare import page as comparison
from conformance.report.compare import table
from conformance.report.console import Console
from conformance.report.page import page
from conformance.report.results import badge, read_results
from conformance.report.text import broken, failure, printable
from conformance.verdict import Outcome, State
from tests.conformance.nodes import casty, miniature, play, suite
from tests.conformance.schemas import mistakes
from tests.needs import browser

pytestmark = pytest.mark.processes

SCHEMA: dict[str, Any] = json.loads(
    Path(results_module.__file__).with_name("results.schema.json").read_text(encoding="utf-8")
)
HOSTILE = "</pre><script>alert(1)</script>\x1b[31m\x00\ud800 & 'quoted' \"twice\""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run leaves behind that has a failure, a pass, and a case that does not apply."""
    out = tmp_path_factory.mktemp("run")
    ended = play(out, ["E-01", "E-06", "R-14"], miniature("always_grants"), "--keep", "--seed=5eed")
    assert ended.status == 1, ended.err
    return out


@pytest.fixture
def found(folder: Path) -> dict[str, Any]:
    return read_results(folder)


def test_the_results_are_as_their_schema_says(found: dict[str, Any]) -> None:
    assert mistakes(found, SCHEMA) == []
    assert found["summary"] == {"PASS": 1, "FAIL": 1, "UNSUPPORTED": 1}
    assert (found["verdict"], found["impl"], found["seed"]) == (
        "does not conform",
        "miniature/always_grants",
        "5eed",
    )
    assert [outcome["case"] for outcome in found["outcomes"]] == ["E-01", "E-06", "R-14"]
    assert {each["artifacts"] for each in found["outcomes"]} == {"cases/E-01", "cases/E-06", ""}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"status": 7}, "$.status is 7"),
        ({"seed": 5}, "$.seed is 5, no string"),
        ({"scale": 0}, "$.scale is 0, not more than 0"),
        ({"mood": 1}, "$ has mood"),
        ({"outcomes": [{}]}, "$.outcomes[0] lacks case"),
    ],
)
def test_the_schema_finds_what_is_wrong(found: dict[str, Any], changed: dict[str, Any], said: str) -> None:
    assert any(each.startswith(said) for each in mistakes(found | changed, SCHEMA))


def test_junit_holds_each_case_and_the_text_of_each_failure(folder: Path) -> None:
    suite_ = ET.parse(folder / "junit.xml").getroot()[0]
    counts = {name: suite_.get(name) for name in ("name", "tests", "failures", "errors", "skipped")}
    assert counts == {"name": "conformance", "tests": "3", "failures": "1", "errors": "0", "skipped": "1"}
    cases = {case.get("name"): case for case in suite_.iter("testcase")}
    assert {case.get("classname") for case in cases.values()} == {"election", "replication"}
    text = cases["E-06"].find("failure")
    assert text is not None and text.text is not None
    assert "wanted VOTE_RESPONSE with vote_granted=False" in text.text
    assert "conformance replay " in text.text
    skipped = cases["R-14"].find("skipped")
    assert skipped is not None and "not declared" in (skipped.get("message") or "")


@pytest.mark.parametrize(
    ("counts", "status", "message", "colour"),
    [
        ({"PASS": 9, "SKIP": 1}, 0, "9 of 9", "brightgreen"),
        ({"PASS": 9, "FAIL": 1, "UNSUPPORTED": 3}, 1, "9 of 10", "red"),
        ({"PASS": 9, "INCONCLUSIVE": 1}, 2, "9 of 10, inconclusive", "yellow"),
        ({"PASS": 9}, 130, "9 of 9, interrupted", "lightgrey"),
    ],
)
def test_the_badge(counts: dict[str, int], status: int, message: str, colour: str) -> None:
    made = badge({"summary": counts, "status": status, "verdict": results_module.VERDICTS[status]})
    assert made == {"schemaVersion": 1, "label": "casty conformance", "message": message, "color": colour}


class _Reader(HTMLParser):
    """Checks that elements are closed as they were opened, and notes what the page refers to."""

    VOID = frozenset({"meta", "input", "br", "path", "rect", "circle", "line"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("href", "src"):
                self.references.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag, f"line {self.getpos()}"


def read(text: str) -> _Reader:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    return reader


def test_the_page_needs_nothing_else_and_leads_to_what_is_there(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    reader = read(text)
    for reference in reader.references:
        if reference.startswith("#"):
            assert reference[1:] in reader.ids
        else:
            assert (folder / reference).exists()
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    for part in (
        "wanted</b>VOTE_RESPONSE with vote_granted=False",
        '<span class="caret">',
        "VOTE_REQUEST term=3 last=(9,1)",
        '<tr class="here">',
        "<b>VOTE-3</b> (MUST, spec/raft.md#vote-3",
        "With the durable log alone, an acknowledgement",  # why the rule is there
        "FAIL: wanted VOTE_RESPONSE",  # in the picture
        "conformance run E-01 E-06 R-14 --seed 5eed -- ",
    ):
        assert part in text, part


def test_whatever_a_node_says_is_only_shown(folder: Path, found: dict[str, Any]) -> None:
    hostile = found["outcomes"][1] | dict.fromkeys(("got", "expected", "reason", "hexdump", "frame"), HOSTILE)
    only = {"cases": {"E-06": found["cases"]["E-06"]}, "outcomes": [hostile]}
    text = page(found | only | {"impl": HOSTILE, "trouble": [HOSTILE]}, folder)
    read(text)
    assert "<script>alert" not in text
    assert "\x1b" not in text and "\x00" not in text
    text.encode()
    outcome = Outcome("E-06", State.FAIL, 0.1, "5eed", got=HOSTILE, notes=[HOSTILE])
    assert "\x1b" not in failure(load()["E-06"], outcome)
    assert printable("a\x1b[0m\n→ ü\ud800") == "a\\x1b[0m\n→ ü\\ud800"


def test_a_page_says_what_was_selected_and_how_to_run_it_again(tmp_path: Path, found: dict[str, Any]) -> None:
    """A run of three cases is not shown as one of all."""
    assert found["selection"] == ["E-01", "E-06", "R-14"]
    some = found | {"status": 0, "selection": ["E-*", "--layer", "disk"]}
    text = page(some, tmp_path)
    assert "Conforms, as far as these cases go: 1 cases passed" in text
    assert "conformance run &#x27;E-*&#x27; --layer disk --seed 5eed -- " in text
    assert badge(some)["message"] == "1 of 2 selected"
    text = page(some | {"selection": []}, tmp_path)
    assert "Conforms: 1 cases passed" in text and "conformance run --seed 5eed -- " in text
    strict = {"status": 1, "summary": {"PASS": 2, "NONSTRICT": 1}}
    assert "Does not conform: 1 of 3 cases failed." in page(some | strict, tmp_path)


def test_a_failure_is_played_again_by_the_program_that_showed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Outcome("E-06", State.FAIL, 0.1, "5eed", artifacts="cases/E-06")
    assert "  again  conformance replay cases/E-06" in failure(load()["E-06"], outcome)
    monkeypatch.setenv("CONFORMANCE", "./tools/dev conformance")
    assert "  again  ./tools/dev conformance replay cases/E-06" in failure(load()["E-06"], outcome)


def test_a_failure_names_the_rules_that_were_broken() -> None:
    """Those of its case, unless what was expected cites others alone."""
    assert broken(["VOTE-2"], "VOTE_RESPONSE with vote_granted=False") == ["VOTE-2"]
    assert broken(["VOTE-2", "TERM-1"], "W2 (VOTE-2, FORM-9) to hold over the whole trace") == [
        "VOTE-2",
        "TERM-1",
    ]
    assert broken(["VOTE-4"], "W9 (PERSIST-1, APPEND-3) to hold") == ["PERSIST-1", "APPEND-3"]
    outcome = Outcome("E-14", State.FAIL, 0.1, "5eed", expected="W9 (PERSIST-1, APPEND-3) to hold", got="it")
    text = failure(load()["E-14"], outcome)
    assert "  rule   PERSIST-1 (" in text and "VOTE-4" not in text and "why it matters" not in text


def test_without_its_artifacts_a_failure_is_still_told(tmp_path: Path, found: dict[str, Any]) -> None:
    text = page(found, tmp_path)
    read(text)
    assert "wanted</b>VOTE_RESPONSE with vote_granted=False" in text
    assert "Who said what to whom" not in text


def test_runs_are_compared(folder: Path, found: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    better = found | {
        "impl": "theirs/2",
        "verdict": "conforms",
        "outcomes": [each | {"state": "PASS"} for each in found["outcomes"] if each["case"] != "R-14"],
        "cases": {id: case for id, case in found["cases"].items() if id != "R-14"},
    }
    (tmp_path / "results.json").write_text(json.dumps(better))
    output = tmp_path / "compare.html"
    assert main(["compare", str(folder), str(tmp_path / "results.json"), "-o", str(output)]) == 0
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[-2:] for line in printed.splitlines() if line.strip()}
    assert rows["E-06"] == ["FAIL", "PASS"]
    assert rows["R-14"] == ["UNSUPPORTED", "·"]
    assert "E-01" not in rows and "E-01" in table([found, better], is_whole=True)
    text = output.read_text(encoding="utf-8")
    read(text)
    assert '<tr class="differs"><td class="mono">E-06</td>' in text
    assert "miniature/always_grants and theirs/2" in text
    assert "theirs/2 (2)" in comparison([better, better])
    fixed = better | {"command": ["./fixed"], "cases": {}, "outcomes": []}
    told = table([better, fixed])
    assert "theirs/2 (2): ./fixed" in told and " of 0" not in told + comparison([better, fixed])


def test_results_of_something_else_are_refused(tmp_path: Path) -> None:
    for text, said in (
        ("[]", "no results.json of format 1"),
        ("{", "is not JSON"),
        ('{"format": 9}', "format 1"),
    ):
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(results_module.ResultsError, match=said):
            read_results(tmp_path)


def test_a_kept_case_is_played_again_with_its_seed(folder: Path, tmp_path: Path) -> None:
    kept = folder / "cases" / "E-06"
    environment = os.environ | {"CONFORMANCE": f"{sys.executable} -m conformance"}
    done = subprocess.run(
        [kept / "repro.sh", "--out", tmp_path / "again"],
        env=environment, capture_output=True, text=True, check=False, cwd=tmp_path.parent,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "conformance: E-06 is FAIL, as before" in done.stderr
    again = read_results(tmp_path / "again")
    assert [(each["case"], each["seed"]) for each in again["outcomes"]] == [("E-06", "5eed/E-06/0")]
    other = subprocess.run(
        suite("replay", str(kept), "--out", str(tmp_path / "other"), "--", *casty()),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (other.returncode, "E-06 is PASS; it was FAIL before" in other.stderr) == (0, True), other.stderr


def test_what_a_node_was_sent_is_sent_to_another(folder: Path, capsys: Any) -> None:
    kept = str(folder / "cases" / "E-06")
    assert main(["replay", kept, "--as-script", "n1"]) == 0
    same = capsys.readouterr().out
    assert "n3 → n1  VOTE_REQUEST term=3 last=(9,1)" in same
    assert "as then  VOTE_RESPONSE term=3 vote_granted=true" in same
    assert ", 0 other answers than in the recording" in same
    assert main(["replay", kept, "--as-script", "n1", "--", *casty()]) == 0
    other = capsys.readouterr().out
    assert "≠   then     VOTE_RESPONSE term=3 vote_granted=true" in other
    assert "    now      VOTE_RESPONSE term=3 vote_granted=false" in other
    assert ", 1 other answers than in the recording" in other


@pytest.mark.parametrize(
    ("node", "command", "status", "said"),
    [
        ("n7", [], 64, "the trace shows nobody who dialled 'n7'; it has n1"),
        ("n1", miniature("exits_at_once"), 1, "exit status 3; its last words: cannot do this today"),
    ],
)
def test_a_script_needs_a_node(
    folder: Path, capsys: Any, node: str, command: list[str], status: int, said: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["replay", str(folder / "cases" / "E-06"), "--as-script", node, "--", *command])
    assert stop.value.code == status
    assert said in capsys.readouterr().err


def test_a_replay_does_not_overwrite_what_it_plays(folder: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit, match="64"):
        main(["replay", str(folder / "cases" / "E-06"), "--out", str(folder)])
    assert "would be overwritten" in capsys.readouterr().err


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, *states: State) -> str:
    console = Console(load(), len(states), verbose=False, stream=stream)
    console.begin("x/1", ["node", "{config}"], "5eed", 1)
    ids = ["R-01", "E-01", "E-02", "F-01"]
    outcomes = [Outcome(id, state, 1.5, "5eed/x/0", got="no") for id, state in zip(ids, states, strict=False)]
    for outcome in outcomes:
        console.started(outcome.case)
        console.show(outcome)
    console.end(outcomes, 3.0, "the verdict", ["report   report.html"])
    return stream.getvalue()


def test_the_console_is_quiet_where_nobody_watches() -> None:
    text = shown(io.StringIO(), State.PASS, State.PASS, State.SKIP)
    assert "\x1b" not in text and "\r" not in text
    assert text.splitlines()[:2] == ["x/1: 3 cases, 1 worker, seed 5eed", "  node {config}"]
    table_ = text[text.index("  PASS") :].splitlines()
    assert [line.split()[0] for line in table_[:4]] == ["PASS", "election", "replication", "all"]
    assert "2 played of 3 selected" in text
    assert text.endswith("the verdict\n  report   report.html\n")


def test_a_terminal_has_progress_and_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    text = shown(_Terminal(), State.PASS, State.FAIL)
    assert "\r\x1b[K1/2  0:00" in text
    assert "\x1b[1;31mFAIL E-01 core" in text
    monkeypatch.setenv("NO_COLOR", "1")
    plain = shown(_Terminal(), State.PASS, State.FAIL)
    assert "\x1b[1;31m" not in plain and "\r\x1b[K" in plain
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in shown(_Terminal(), State.PASS, State.FAIL)


def test_failures_fit_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("NO_COLOR", "1")
    text = re.sub(r"\r\x1b\[K[^\n\r]*", "", shown(_Terminal(), State.FAIL))
    assert max(map(len, text.splitlines())) <= 70


def test_a_reader_that_goes_away_is_no_error() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    assert shown(Gone(), State.PASS, State.FAIL) == ""


@pytest.mark.needs("chromium")
@pytest.mark.timeout(120)
def test_a_browser_shows_the_page_without_complaint(folder: Path, tmp_path: Path) -> None:
    """Its script runs, nothing is reported on its console, and the picture of the failure has a size."""
    probe = (
        "<script>addEventListener('load', () => {"
        "const find = (what) => document.querySelector(what), search = find('#search');"
        "const picture = find('#E-06 .drawn svg'), size = picture.getBoundingClientRect();"
        "search.value = 'vote-3'; search.dispatchEvent(new Event('input'));"
        "const seen = [size.width > 300, size.height > 200, picture.textContent.includes('granted'),"
        "find('#E-06').open, find('#E-01').open, find('#R-14').hidden,"
        "document.documentElement.scrollWidth <= innerWidth];"
        "document.title = JSON.stringify(seen); });</script></body>"
    )
    text = (folder / "report.html").read_text(encoding="utf-8").replace("</body>", probe)
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
            f"--user-data-dir={tmp_path / 'profile'}", "--window-size=420,900", "--virtual-time-budget=3000",
            "--dump-dom", (tmp_path / "report.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None, done.stderr
    assert json.loads(title[1]) == [True, True, True, True, False, True, True]
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
