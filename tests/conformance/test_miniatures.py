"""The suite against nodes that are wrong in one way each: the right state and status, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from conformance.cli import main
from tests.conformance.nodes import marked, miniature, play, strays_of, suite, until
from tests.conformance.test_golden_failures import IMPATIENT, MINIATURES, golden, played, told

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes


MISTAKES: Final = (
    ("always_grants", "E-06", "vote_granted=True"),
    ("always_agrees", "R-03", "success=True"),
    ("echo_all", "E-01", "one of n"),
    ("accept_and_close", "E-01", "was closed by the node"),
    ("deaf", "E-01", "nothing more on the connection"),
    ("speaks_garbage", "E-01", "no whole frame: 48 54 54 50"),
    ("exits_at_once", "E-01", "exit status 3; its last words: cannot do this today"),
    ("never_ready", "E-01", "silence; its last words: thinking about it"),
    ("floods_stdout", "E-01", "printed more than READY to standard output: b'all is well"),
    ("two_ready_lines", "E-01", "printed more than READY to standard output: b'READY"),
    ("leaves_a_child", "E-01", "it left a process behind: "),
    ("ignores_sigterm", "E-02", "vote_granted=True"),
)
"""Of a miniature, in a case, with some words of what the case got."""


@pytest.mark.needs("proc")
@pytest.mark.parametrize(("name", "case", "got"), MISTAKES)
def test_each_mistake_is_told_and_nothing_is_left(
    tmp_path: Path, name: str, case: str, got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the letter, where there is a golden text."""
    with marked(monkeypatch) as mark:
        outcome = played(name, case, tmp_path)
        assert strays_of(mark) == []
    assert (outcome.state, got in outcome.got) == ("FAIL", True), outcome
    kept = tmp_path / "out" / "cases" / case
    assert outcome.artifacts == str(kept)
    assert {"case.json", "repro.sh", "wire.jsonl", "wire.pcap", "picture.html"} <= set(os.listdir(kept))
    assert (kept / "nodes" / "n1" / "argv.txt").read_text().strip().endswith(f"conformance.miniatures.{name}")
    if (name, case) in MINIATURES:
        assert told(name, case, outcome) == golden(name, case).read_text(encoding="utf-8")


def test_each_miniature_with_a_golden_text_is_played() -> None:
    """In the test above."""
    assert {(name, case) for name, case, _ in MISTAKES} >= {*MINIATURES}


@pytest.mark.needs("proc")
@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("always_grants", {"E-01": "PASS", "E-06": "FAIL"}),
        ("ignores_sigterm", {"E-01": "PASS", "E-03": "PASS"}),
        ("leaves_a_child", {"E-01": "FAIL"}),
    ],
)
def test_a_run_ends_with_the_status_of_its_worst_case(
    tmp_path: Path, name: str, states: dict[str, str]
) -> None:
    ended = play(tmp_path, [*states], miniature(name))
    assert ended.status == ("FAIL" in states.values()), ended.err
    assert {id: outcome_of(tmp_path, id)["state"] for id in states} == states
    for id, state in states.items():
        assert (f"FAIL {id} core" in ended.out) == (state == "FAIL")


def outcome_of(out: Path, case: str) -> dict[str, Any]:
    """What `results.json` says of a case."""
    found = json.loads((out / "results.json").read_text())["outcomes"]
    return next(each for each in found if each["case"] == case)


@pytest.mark.parametrize(
    ("node", "status", "said"),
    [
        (miniature("dishonest"), 1, "status 127 when asked for the capability 'no-such-capability' (LAUNCH-5)"),
        (miniature("undescribed"), 1, "got 'usage: undescribed [--help]"),
        (miniature("not_there"), 1, "No module named conformance.miniatures.not_there"),
        (["env", "no-such-program"], 1, "no-such-program"),
        (["no-such-program", "--fast"], 64, "there is no program 'no-such-program'"),
        (["casty node --fast"], 64, "give the command as words"),
        (["/"], 64, "'/' is a directory, not a program"),
        ([os.path.abspath(__file__)], 64, "is not executable"),
    ],
    ids=["dishonest", "undescribed", "module", "wrapped", "program", "quoted", "directory", "script"],
)
def test_a_command_that_cannot_be_tested_is_told_at_once(
    tmp_path: Path,
    node: list[str],
    status: int,
    said: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    with marked(monkeypatch) as mark:
        try:
            ended = main(["run", "E-01", "--scale", str(IMPATIENT), f"--out={out}", "--", *node])
        except SystemExit as stop:
            ended = stop.code  # type: ignore[assignment] # an int: the suite's own
        assert strays_of(mark) == []
    printed = capfd.readouterr()
    assert (ended, printed.out) == (status, "")
    assert said in printed.err
    assert all(line.startswith("conformance: ") for line in printed.err.splitlines())
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "got"),
    [("never_ready", "got silence; its last words: thinking about it"), ("exits_at_once", "got exit status 3")],
)
def test_a_node_that_does_not_start_is_not_waited_for_in_every_case(
    tmp_path: Path, name: str, got: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.json").write_text("of a run before this one")
    with marked(monkeypatch) as mark:
        assert main(["run", "--scale", "0.1", f"--out={out}", "--", *miniature(name)]) == 1
        assert strays_of(mark) == []
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "expected a READY line" in printed.err and got in printed.err
    assert "nothing was played; `conformance explain LAUNCH-2`" in printed.err
    assert list(out.iterdir()) == []


STARTS: Final = {
    where: f"import os, sys, signal as s; s.signal(s.SIGINT, s.{how}); os.execv(sys.argv[1], sys.argv[1:])"
    for where, how in (("foreground", "SIG_DFL"), ("background", "SIG_IGN"))
}
"""What comes before a command that a shell starts: in the background SIGINT is ignored."""


@pytest.mark.needs("proc")
@pytest.mark.parametrize(
    ("where", "workers", "number"),
    [
        ("foreground", "1", signal.SIGINT),
        ("foreground", "2", signal.SIGINT),
        ("foreground", "2", signal.SIGTERM),
        ("background", "1", signal.SIGTERM),
        ("background", "2", signal.SIGTERM),
        ("background", "2", signal.SIGKILL),
    ],
)
@pytest.mark.timeout(120)
def test_an_interrupted_run_leaves_no_process_and_keeps_what_there_is(
    tmp_path: Path, where: str, workers: str, number: signal.Signals
) -> None:
    node = miniature("ignores_sigterm")
    command = suite(
        "run", "E-01", "R-26", "--workers", workers, "--scale", "5", f"--out={tmp_path}", "--", *node
    )
    command = [sys.executable, "-c", STARTS[where], *command]
    with marked() as mark:
        with subprocess.Popen(
            command,
            env=mark.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            # R-26 waits for a leader that this node never becomes, far longer than a test may.
            trace = tmp_path / "cases" / "R-26" / "wire.jsonl"
            until(lambda: trace.exists() and '"from": "n1"' in trace.read_text(), "a word of the node")
            assert any("ignores_sigterm" in command for command in strays_of(mark))
            if number == signal.SIGINT:
                os.killpg(process.pid, number)  # as a terminal does
            else:
                process.send_signal(number)
            out, err = process.communicate(timeout=30)
        until(lambda: not strays_of(mark), "the end of all processes", 10)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130)
    assert json.loads((tmp_path / "cases" / "R-26" / "case.json").read_text())["outcome"] is None
    if number != signal.SIGKILL:
        assert "conformance: interrupted after" in err
        assert "Traceback" not in out + err
        assert json.loads((tmp_path / "results.json").read_text())["verdict"] == "interrupted"


@pytest.mark.needs("proc")
@pytest.mark.timeout(120)
def test_a_worker_that_is_killed_is_the_suite_s_trouble(tmp_path: Path) -> None:
    command = suite("run", "E-01", "R-26", "--workers", "2", "--scale", "5", f"--out={tmp_path}", "--")
    with marked() as mark:
        with subprocess.Popen(
            [*command, *miniature("ignores_sigterm")],
            env=mark.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            trace = tmp_path / "cases" / "R-26" / "wire.jsonl"
            until(lambda: trace.exists() and '"from": "n1"' in trace.read_text(), "a word of the node")
            for worker in (tmp_path / ".work").glob("*.worker"):
                os.kill(int(worker.stem), signal.SIGKILL)
            # xdist starts others in their place, which have nothing left to play.
            out, err = process.communicate(timeout=60)
        assert strays_of(mark) == []
    assert process.returncode == 3
    assert "the suite went wrong" in out
    assert "conformance: R-26: worker 'gw" in err
    assert "had to be ended after the run: " in err


def test_a_run_without_its_packages_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "xdist.py").write_text("raise ModuleNotFoundError('No module named xdist', name='xdist')")
    with marked() as mark:
        environment = mark.environment
        environment["PYTHONPATH"] = f"{tmp_path}:{environment.get('PYTHONPATH', '')}"
        done = subprocess.run(
            suite("run", "E-01", "--", *miniature("deaf")),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "conformance: not installed: pytest-xdist; pip install 'casty[conformance]'\n"


@pytest.mark.parametrize(
    ("options", "status"), [((), 0), (("--no-unexpected-skips",), 2)], ids=["", "forbidden"]
)
def test_a_missing_tool_is_a_reason_to_skip(tmp_path: Path, options: tuple[str, ...], status: int) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for program in ("env", "sh"):
        found = shutil.which(program)
        assert found is not None
        (bare / program).symlink_to(found)
    with marked() as mark:
        environment = mark.environment
        environment["PATH"] = str(bare)
        done = subprocess.run(
            suite(
                "run", "P-06", "--workers=1", f"--out={tmp_path}", *options, "--", *miniature("always_grants")
            ),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == status
    assert "1 × SKIP: strace is not installed" in done.stdout
    told = "conformance: P-06 was not played, and no baseline says so: SKIP: strace is not installed"
    assert (told in done.stderr) is bool(options)
