"""Every program of the project gets along with any standard streams, any locale and any name of a file."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from casty.demo.view import LiveView, PlainView, Row, Tally, open_view
from casty_console import PLAIN, argument, complain, is_coloured, json_text, program

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "wire_dump" / "data"
FRAME = "08 0002 6e31 00000028 84a47465726d05ac726571756573745f7465726d05a373657101ac766f74655f6772616e746564c3"

PLACES = ("casty", "conformance", "tools", "spec")
SOURCES = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for place in PLACES
    for path in sorted((ROOT / place).rglob("*.py"))
}
OUR_OWN = {"conformance/warden.py": "writes nothing", "casty/__main__.py": "calls casty.cli.main"}
"""Programs that need no console, and why."""

CASTY = [sys.executable, "-m", "casty.cli"]
CONFORMANCE = [sys.executable, "-m", "conformance"]
DUMP = [sys.executable, str(ROOT / "tools" / "wire-dump")]

COMMANDS: dict[str, list[str]] = {
    "casty --help": [*CASTY, "--help"],
    "casty demo --help": [*CASTY, "demo", "--help"],
    "casty node --describe": [*CASTY, "node", "--describe"],
    "casty node, a wrong name": [*CASTY, "node", "--node-id", "→ ☃"],
    "conformance --help": [*CONFORMANCE, "--help"],
    "conformance list": [*CONFORMANCE, "list", "--nightly"],
    "conformance explain": [*CONFORMANCE, "explain", "W2"],
    "conformance explain, a case": [*CONFORMANCE, "explain", "F-01"],
    "conformance rules": [*CONFORMANCE, "rules"],
    "conformance, what is not there": [*CONFORMANCE, "explain", "→ ☃"],
    "conformance compare, no file": [*CONFORMANCE, "compare", "→ ☃"],
    "wire-dump --help": [*DUMP, "--help"],
    "wire-dump": [*DUMP, str(DATA / "trace.jsonl"), "-d", "4", "-c", "40"],
    "wire-dump, JSON": [*DUMP, str(DATA / "cluster.pcap"), "-o", "json", "-c", "40"],
    "wire-dump, no such file": [*DUMP, "→ ☃"],
    "wire-dump check": [*DUMP, "check", str(DATA / "trace.jsonl")],
    "wire-dump stats": [*DUMP, "stats", str(DATA / "trace.jsonl")],
    "wire-dump follow": [*DUMP, "follow", str(DATA / "cluster.pcap")],
    "wire-dump decode": [*DUMP, "decode", *FRAME.split()],
    "wire-dump decode, no hex": [*DUMP, "decode", "→☃"],
    "wire-dump encode": [
        *DUMP,
        "encode",
        '{"type": "PING", "name": "→ ☃", "payload": {"id": 0, "pong": true}}',
    ],
    "wire-dump -f": [*DUMP, str(DATA / "trace.jsonl"), "-f", '"→ ☃"'],
    "wire-dump live": [*DUMP, "live", "→ ☃"],
    "wire-dump replay": [*DUMP, "replay", str(DATA / "trace.jsonl"), "--from", "→ ☃", "--to", "127.0.0.1:1"],
    "simulate": [sys.executable, str(ROOT / "tools" / "simulate.py"), "--seed", "1"],
    "bench --help": [sys.executable, str(ROOT / "tools" / "bench.py"), "--help"],
    "fuzz": [sys.executable, "-m", "wire_dump.fuzz", "--inputs", "5"],
    "mutants --help": [sys.executable, "-m", "conformance.mutants", "--help"],
    "generate": [sys.executable, str(ROOT / "spec" / "generate.py"), "--check"],
    "make_vectors": [sys.executable, str(ROOT / "spec" / "make_vectors.py"), "--check"],
    "make_pitfalls": [sys.executable, str(ROOT / "spec" / "make_pitfalls.py"), "--check"],
}
BARE = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def ran(
    command: Sequence[str | bytes],
    environment: dict[str, str] | None = None,
    *,
    given: bytes = b"",
    around: str = "",
    folder: Path = ROOT,
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command; `around` is what a shell does with it, such as `"$@" | head`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "PYTHONIO"))}
    words = ["bash", "-c", around, "bash", *command] if around else command
    return subprocess.run(
        words,
        input=given,
        capture_output=True,
        cwd=folder,
        env=clean | {"LC_ALL": "C.UTF-8", "NO_COLOR": "1"} | (environment or {}),
        check=False,
        timeout=50,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_no_program_fails_for_what_a_terminal_cannot_show(name: str) -> None:
    """The same status as in UTF-8, no traceback, the same text, with an equivalent for each of our signs."""
    plain, told = ran(COMMANDS[name]), ran(COMMANDS[name], BARE)
    assert b"Traceback" not in plain.stderr + told.stderr, told.stderr
    assert told.returncode == plain.returncode
    is_echoed = any("☃" in word for word in COMMANDS[name])  # which the locale C takes for bytes
    if not is_echoed and name not in ("simulate", "fuzz", "wire-dump, JSON"):  # times; escapes
        said = plain.stdout.decode() + plain.stderr.decode()
        assert words(told.stdout + told.stderr) == words(said.encode("ascii", "casty.plain"))


def words(text: bytes) -> list[str]:
    """Wherever lines are broken."""
    return text.decode("ascii").split()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "cp932", "utf-8"])
@pytest.mark.parametrize("name", ["wire-dump", "conformance, what is not there", "conformance explain, a case"])
def test_each_encoding_shows_as_much_as_it_can(encoding: str, name: str) -> None:
    """What it has stays as it is; terminals of Windows have code pages."""
    plain, told = ran(COMMANDS[name]), ran(COMMANDS[name], {"PYTHONIOENCODING": f"{encoding}:strict"})
    assert told.returncode == plain.returncode
    for expected, found in ((plain.stdout, told.stdout), (plain.stderr, told.stderr)):
        assert found == expected.decode().encode(encoding, "casty.plain")


def test_json_says_the_same_whatever_the_encoding() -> None:
    """Escapes, not equivalents: it is read by machines."""
    frame = '{"type": "ACTOR_MSG", "name": "é→☃", "payload": {"text": "é→𝄞"}}'
    encoded = ran([*DUMP, "encode", frame], BARE)
    assert encoded.stdout == ran([*DUMP, "encode", frame]).stdout
    found = [
        json.loads(ran([*DUMP, "-", "-o", "json"], environment, given=encoded.stdout).stdout.decode(encoding))
        for encoding, environment in (
            ("utf-8", {}),
            ("ascii", BARE),
            ("cp1252", {"PYTHONIOENCODING": "cp1252"}),
        )
    ]
    assert all(each == found[0] for each in found)
    assert (found[0]["name"], found[0]["payload"]) == ("é→☃", {"text": "é→𝄞"})
    again = ran([*DUMP, "encode", "-"], BARE, given=json.dumps(found[0], ensure_ascii=False).encode())
    assert again.stdout == encoded.stdout


def test_json_from_standard_input_is_utf_8() -> None:
    """What is not is shown with its place."""
    told = ran([*DUMP, "encode", "-"], given=b'\n{"type": "\xff"}\n')
    assert told.returncode == 64
    assert told.stderr == b"wire-dump: line 2: expected UTF-8, got byte ff in column 11\n"


def test_texts_on_the_command_line_are_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    """A filter finds the same frames."""
    frame = '{"type": "ACTOR_MSG", "name": "a", "payload": {"text": "é→"}}'
    (tmp_path / "said").write_bytes(bytes.fromhex(ran([*DUMP, "encode", frame]).stdout.decode()))
    for environment in ({}, BARE):
        command = [*DUMP, str(tmp_path / "said"), "--input", "raw", "-f", 'message.text == "é→"', "-o", "hex"]
        assert len(ran(command, environment).stdout.splitlines()) == 1


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    """Bytes that are no text: read, written and named."""
    folder = os.fsencode(tmp_path)
    capture, picture, page = (folder + name for name in (b"/\xff\xfe.pcap", b"/\xff.svg", b"/\xff.html"))
    Path(os.fsdecode(capture)).write_bytes((DATA / "cluster.pcap").read_bytes())
    for path, environment in ((picture, BARE), (page, {})):
        drawn = ran([*DUMP, "graph", capture, "-o", path, "--title", b"\xff \xe2\x86\x92"], environment)
        assert (drawn.returncode, drawn.stderr) == (0, b"")
        assert "\\xff →" in Path(os.fsdecode(path)).read_text(encoding="utf-8")
    commands: list[tuple[list[str | bytes], int]] = [
        ([*DUMP, b"\xff\xfe"], 66),
        ([*DUMP, "live", "0=127.0.0.1:1", "--save", b"none/\xff\xfe"], 64),
        ([*CONFORMANCE, "compare", b"\xff\xfe"], 64),
        ([*CONFORMANCE, "run", "--out", b"/dev/null/\xff\xfe", "--", "true"], 64),
        ([*CONFORMANCE, "run", "--expect", b"\xff\xfe", "--", "true"], 64),
        ([*CONFORMANCE, "run", "--", b"./\xff\xfe"], 64),
        ([*CONFORMANCE, "replay", b"\xff\xfe"], 64),
        ([*CASTY, "node", "--config", b"\xff\xfe"], 64),
        ([*CASTY, "node", "--tls-cert", b"\xff\xfe", "--tls-key", b"\xff\xfe", "--tls-ca", b"\xff\xfe"], 64),
        ([*CASTY, "node", "--node-id", b"\xff\xfe"], 64),
        ([*CASTY, "node", "--data-dir", b"/dev/null/\xff\xfe"], 64),
    ]
    for command, status in commands:
        told = ran(command, BARE)
        assert (told.returncode, b"Traceback" in told.stderr) == (status, False), told
        assert told.stdout == b"" and told.stderr.isascii()


@pytest.mark.parametrize("name", ["wire-dump", "conformance list", "wire-dump --help"])
def test_streams_may_be_closed_full_or_without_a_reader(name: str) -> None:
    """Quiet where nobody reads; 74 where it cannot be written; what is for standard error stays there."""
    command = COMMANDS[name]
    status = ran(command).returncode
    for closed in (">&-", ">&- 2>&- <&-", "2> >(true)"):
        told = ran(command, around=f'"$@" {closed}')
        assert (told.returncode, told.stderr) == (status, b""), closed
    left = ran(command, around='set -o pipefail; "$@" | true')
    assert (left.returncode in (0, status), left.stderr) == (True, b"")
    if "--help" in name:
        return  # argparse says nothing of it
    full = ran(command, around='"$@" >/dev/full')
    assert full.returncode == 74
    assert full.stderr == b"standard output cannot be written: No space left on device\n"


def test_a_complaint_has_no_other_place_than_standard_error() -> None:
    """Where that is closed, it is lost, and the status is not."""
    for closed in ("2>&-", "2> >(true)", ">&- 2>&-"):
        told = ran([*DUMP, "no such file"], around=f'"$@" {closed}')
        assert (told.returncode, told.stdout) == (66, b"")
        told = ran([*CASTY, "node", "--port", "x"], around=f'"$@" {closed}')
        assert (told.returncode, told.stdout) == (64, b"")


def test_a_node_whose_log_nobody_reads_ends_as_it_should() -> None:
    """Standard error is a pipe without a reader, or closed."""
    for closed in ("2> >(true)", "2>&-", ">&-"):
        command = [*CASTY, "node", "--size", "1", "--log-level", "debug"]
        told = ran(command, {"CF_EXIT_ON_EOF": "1"}, around=f'"$@" {closed}')
        assert told.returncode == 0, told


@pytest.mark.parametrize("width", ["0", "1", "x"])
def test_any_width_will_do(width: str) -> None:
    """COLUMNS may be wrong; NO_COLOR and a terminal that knows no escape sequences, too."""
    for name in ("conformance --help", "wire-dump --help"):
        assert ran(COMMANDS[name], {"COLUMNS": width, "TERM": "dumb"}).returncode == 0


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "live", "coloured"),
    [
        ({"TERM": "xterm", "COLUMNS": "100"}, True, True),
        ({"TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb", "COLUMNS": "100"}, False, False),
        ({"TERM": "xterm", "COLUMNS": "40"}, False, True),
    ],
)
def test_the_demonstration_draws_as_the_terminal_can(
    variables: dict[str, str], live: bool, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colours and a live view are two questions."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    view = open_view(plain=False)
    assert isinstance(view, LiveView if live else PlainView)
    assert isinstance(open_view(plain=True), PlainView)
    assert is_coloured() is coloured
    view.event("something " * 30, "good")
    view.update([Row("n1", "leader", 1, 2, 3, 4), Row("n2", "killed")], Tally(1, 2, 3))
    assert ("\x1b[1;32m" in out.getvalue()) is (live and coloured)
    if live:
        shown = re.sub(r"\x1b\[[0-9?;]*[A-Za-z]|\r", "", out.getvalue()).splitlines()
        assert max(map(len, shown)) < int(variables["COLUMNS"])


def test_each_sign_of_ours_has_an_equivalent() -> None:
    """A new one in a text of the programs is put into the table, or is an example of what users write."""
    examples = {"ß", "ö", "ñ", "é", "☃", "𝄞", "😀", "́", "\uffff", "\u202e", "\ufdfd", "\ud800"}
    found: dict[str, str] = {}
    for path, tree in SOURCES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                place = f"{path}:{node.lineno}"
                found |= {sign: place for sign in node.value if ord(sign) > 127}
    assert {sign: place for sign, place in found.items() if sign not in PLAIN and sign not in examples} == {}
    assert all(instead.isascii() for instead in PLAIN.values())


def test_every_program_is_one_with_a_console() -> None:
    """What can be started as a script or a module, or is installed as a command."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    installed = [place.partition(":")[0].replace(".", "/") for place in scripts.values()]
    started = {path for path, tree in SOURCES.items() if "__name__ == '__main__'" in ast.unparse(tree)}
    started |= {path for path in SOURCES if any(str(path).endswith(f"/{name}.py") for name in installed)}
    programs = {path for path in started if str(path.relative_to(ROOT)) not in OUR_OWN}
    assert len(programs) >= 10
    for path in programs:
        mains = [
            node for node in SOURCES[path].body if isinstance(node, ast.FunctionDef) and node.name == "main"
        ]
        assert [ast.unparse(mark) for main in mains for mark in main.decorator_list] == ["program"], path


def test_nothing_depends_on_the_locale_and_complaints_go_one_way() -> None:
    """Text files and pipes have an encoding that is named; standard error is written by `complain`."""
    wrong: list[str] = []
    for path, tree in SOURCES.items():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func).rpartition(".")[2]
            given = {word.arg: ast.unparse(word.value) for word in call.keywords}
            shown = ast.unparse(call)
            is_text = name in ("read_text", "write_text") or (
                name in ("open", "fdopen")
                and isinstance(call.func, ast.Name | ast.Attribute)
                and re.search(r"(?:^|\.)(?:open|fdopen)\((?:.*, )?['\"](?:r|w|a|x|r\+|w\+)['\"]", shown)
            )
            if (is_text and "encoding" not in given) or given.get("text") == "True":
                wrong.append(f"{path}:{call.lineno}: {shown}")
            is_complaint = name == "print" and given.get("file") == "sys.stderr"
            if is_complaint and path.parent.name != "miniatures" and path.name != "casty_console.py":
                wrong.append(f"{path}:{call.lineno}: {shown}")
    assert wrong == []


def test_a_program_ends_with_its_own_status(capsys: pytest.CaptureFixture[str]) -> None:
    """And with 0 where its reader has gone; any other error is its own."""

    @program
    def good() -> int:
        print("→ \udcff")
        return 3

    @program
    def unread() -> int:
        raise BrokenPipeError

    @program
    def bad() -> int:
        raise ValueError("mine")

    assert (good(), unread()) == (3, 0)
    with pytest.raises(ValueError, match="mine"):
        bad()
    assert capsys.readouterr().out == "→ \\xff\n"


def test_texts_are_shown_as_far_as_the_stream_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """The unit: equivalents, bytes of names, and numbers for all others."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, "ascii", errors="casty.plain"))
    complain("a → b… \udcff ☃")
    assert raw.getvalue() == b"a -> b... \\xff \\u2603\n"
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "utf-8"))
    assert json_text({"a": "é"}) == '{"a": "é"}'
    assert json_text({"a": "é\udcff"}) == '{"a": "\\u00e9\\udcff"}'
    assert argument("\udcff é") == "\\xff é"
