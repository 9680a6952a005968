"""The commands: what they write, and what their exit status says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from conformance.wire.message import encode, message
from conformance.wire.value import Dataclass
from tests.wire_dump.packets import RST, Talk, pcap
from tests.wire_dump.samples import DATA, ROOT, answer, heartbeat, hello, vote
from wire_dump import checking
from wire_dump.cli import main
from wire_dump.stats import Latencies

if TYPE_CHECKING:
    from pathlib import Path

TRACE = str(DATA / "trace.jsonl")
CAPTURE = str(DATA / "cluster.pcap")
TOOL = str(ROOT / "tools" / "wire-dump")


class Told:
    """What a command wrote, and its status."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        try:
            self.status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            self.status = int(end.code or 0)
        captured = capsys.readouterr()
        self.out, self.err = captured.out, captured.err
        self.lines = captured.out.splitlines()


def talk(tmp_path: Path, conversation: Talk) -> Path:
    path = tmp_path / "talk.pcap"
    path.write_bytes(conversation.file())
    return path


def test_one_line_per_frame_aligned_and_the_same_every_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Time, who to whom, type, the fields that matter, size and number."""
    path = talk(
        tmp_path,
        Talk()
        .open()
        .say(hello("n1"))
        .say(hello("n2"), back=True)
        .say(heartbeat("n1", 7))
        .say(vote("n2", 3), back=True),
    )
    told = Told(capsys, path)
    assert told.lines == [
        "[   0.002000] n1 → n2 PEER_LIST.hello      lane=raft cluster='casty' size=3 address=10.0.0.1:8001 "
        "store=6e312020… boot=00000000…  <133 B #1>",
        "[   0.003000] n2 → n1 PEER_LIST.hello      lane=raft cluster='casty' size=3 address=10.0.0.2:8001 "
        "store=6e322020… boot=00000000…  <133 B #2>",
        "[   0.004000] n1 → n2 APPEND_ENTRIES_REQ   term=1 prev=(0,0) heartbeat commit=0 seq=7  <76 B #3>",
        "[   0.005000] n2 → n1 VOTE_RESPONSE        term=1 vote_granted=true seq=3  <49 B #4>",
    ]
    assert Told(capsys, path).out == told.out


def test_detail_goes_from_types_to_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 types, 1 the line, 2 fields, 3 bytes, 4 connections."""
    path = talk(tmp_path, Talk().open().say(vote("n2", 3)).end())
    lines = [Told(capsys, path, "-d", detail, "--names", "n1=8001").lines for detail in range(5)]
    assert [len(each) for each in lines] == [1, 1, 10, 14, 16]
    assert "vote_granted" not in lines[0][0]
    assert lines[2][-1] == "            0030   vote_granted = true"
    assert lines[3][-1].startswith("            0030 | c3")
    assert "connection 1 opened" in lines[4][0] and "closed: fin" in lines[4][-1]


def test_times_may_be_relative_absolute_or_from_line_to_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `-t` says."""
    path = talk(tmp_path, Talk().open().say(vote("n2", 3)).later(1).say(vote("n2", 4)))
    times = [line.partition("]")[0] for line in Told(capsys, path, "-t", "delta").lines]
    assert times == ["[   0.002000", "[   1.001000"]
    assert Told(capsys, path, "-t", "abs").lines[1].startswith("1970-01-01 00:00:01.004000")


def test_colour_is_for_terminals_unless_it_is_asked_for_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """NO_COLOR is heeded where it is not said otherwise."""
    assert "\x1b[" not in Told(capsys, TRACE, "-c", 5).out
    assert "\x1b[35m" in Told(capsys, TRACE, "-c", 5, "--color", "always").out
    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        assert coloured_on_terminal(environment) is coloured


def coloured_on_terminal(environment: dict[str, str]) -> bool:
    """Whether a terminal would get colours."""
    ours, theirs = os.openpty()
    plain = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    done = subprocess.run(
        [sys.executable, TOOL, TRACE, "-c", "3"], stdout=theirs, check=True, env=plain | environment, timeout=30
    )
    os.close(theirs)
    shown = os.read(ours, 4096)
    os.close(ours)
    assert done.returncode == 0
    return b"\x1b[" in shown


def test_what_a_stranger_wrote_does_not_reach_the_terminal_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Escape sequences in names, texts and keys are escaped, in every form of output."""
    nasty = (
        bytes.fromhex("01")
        + (5).to_bytes(2)
        + b"\x1b[2Jx"
        + bytes.fromhex("00000009")
        + b"\x81\xa3\x1b[2\xa3\x1b[3"
    )
    error = (
        b"\x10\0\0" + (33).to_bytes(4) + b"\x83\xa4code\xa2\x1bc\xa4rule\xa3\x1b[H\xa4text\xa9\x1b]0;x\x07yyy"
    )
    error = error[:3] + (len(error) - 7).to_bytes(4) + error[7:]
    path = tmp_path / "nasty.bin"
    path.write_bytes(nasty + error)
    for form in (["-d4"], ["-d0"], ["-o", "json"], ["-o", "hex"], ["-o", "fields=name,text,code,message"]):
        told = Told(capsys, path, "--input", "raw", *form)
        assert told.status == 0
        assert not re.search(r"[\x00-\x09\x0b-\x1f]", told.out.replace("\t", "")), form
    for command in ("check", "stats", "follow"):
        assert "\x1b" not in Told(capsys, command, path, "--input", "raw").out


def test_json_lines_can_be_encoded_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that was said, byte for byte."""
    told = Told(capsys, TRACE, "-o", "json")
    first = json.loads(told.lines[0])
    assert first["mark"] == "start"
    hexed = Told(capsys, TRACE, "-o", "hex").out
    import io

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(told.out.encode())))
    assert Told(capsys, "encode", "-").out == hexed
    assert len(hexed.splitlines()) == sum('"type"' in line for line in told.lines)


def test_integers_of_very_many_digits_are_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Python refuses to write more than some thousand decimal digits."""
    large = 10**6000
    path = tmp_path / "large.hex"
    for value, text in (
        (large, hex(large)),
        ([-large, [1]], f"[{hex(-large)} [1]]"),
        ({"a": large}, "{'a': an integer of 19,932 bits}"),
        (Dataclass("a:B", {"x": large}), "a:B(x=an integer of 19,932 bits)"),
    ):
        path.write_text(encode(message("ASK_REQ", "a", id=1, message=value)).encode().hex())
        assert Told(capsys, path, "-o", "fields=message").out.strip() == text
        for form in ("-d2", "-d4", "-ojson"):
            assert Told(capsys, path, form).status == 0
    for said in ("1" * 5000, {"$int": "1" * 5000}):
        frame = json.dumps({"type": 5, "name": "a", "payload": {"id": 1, "message": "?"}})
        told = Told(
            capsys, "encode", frame.replace('"?"', json.dumps(said) if isinstance(said, dict) else said)
        )
        assert (told.status, told.out) == (64, "")
        assert "integer" in told.err


def test_filters_times_and_counts_narrow_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers stay those of the input."""
    votes = Told(capsys, TRACE, "-f", "type in (RV, VR)").lines
    assert votes and all(" VOTE_RE" in line for line in votes)
    assert len(Told(capsys, TRACE, "-f", "type in (RV, VR)", "-c", 2).lines) == 2
    first = float(votes[0].partition("]")[0][1:])
    within = Told(capsys, TRACE, "-f", "type in (RV, VR)", "--since", first, "--until", first + 0.1).lines
    assert within and set(within) < set(votes)
    assert Told(capsys, TRACE, "-c", 0).lines == []


def test_redaction_hides_values_wherever_they_travel(capsys: pytest.CaptureFixture[str]) -> None:
    """In the question, in the log, in the answer; sizes stay."""
    plain = Told(capsys, TRACE, "-d", 3).out
    assert "'one'" in plain and "'key': 'x'" in plain
    assert b"one".hex() in Told(capsys, TRACE, "-o", "hex").out
    for form in (["-d3"], ["-o", "json"], ["-o", "hex"], ["-o", "fields=message,entries.data,value"]):
        hidden = Told(capsys, TRACE, "--redact", "$kv.value", *form).out
        assert "'one'" not in hidden and '"one"' not in hidden
        assert b"one".hex() not in hidden and b"one".hex(" ") not in hidden
    sizes = [
        re.findall(r"<(\d+) B", text) for text in (plain, Told(capsys, TRACE, "--redact", "*.value", "-d3").out)
    ]
    assert sizes[0] == sizes[1]
    assert "«redacted»" in Told(capsys, TRACE, "--redact", "$kv.*").out
    assert Told(capsys, TRACE, "--redact", "value").status == 64


def test_check_finds_nothing_wrong_with_a_cluster_that_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    """Schema and W1 to W12."""
    for path in (TRACE, CAPTURE):
        told = Told(capsys, "check", path)
        assert told.status == 0
        assert told.lines[-1].endswith("frames: nothing is wrong")


def test_check_of_no_frame_is_not_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The wrong port, an empty file: 2, and no word of nothing being wrong."""
    (empty := tmp_path / "empty").touch()
    for path in (empty, talk(tmp_path, Talk().open())):
        told = Told(capsys, "check", path)
        assert (told.status, told.lines[-1]) == (2, "0 frames: nothing was checked")


def test_check_says_what_is_wrong_and_of_what_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1 for a broken rule, 2 for bytes that are no frames."""
    beats = heartbeat("n1", 1, term=5), heartbeat("n1", 2, term=4)
    two = talk(tmp_path, Talk().open().say(hello("n1")).say(hello("n2"), back=True).say(beats[0]).say(beats[1]))
    told = Told(capsys, "check", two, "--complete")
    assert told.status == 1
    assert told.lines[0] == (
        "[   0.004000] W1 n1: n1 leads term 5 (#3) and never asked for a vote in it (VOTE-6)  #3"
    )
    found = json.loads(Told(capsys, "check", two, "-o", "json", "--complete").lines[1])
    assert (found["invariant"], found["frames"]) == ("W1", [4])
    assert Told(capsys, "check", two).status == 0  # what was before may hold the votes
    wrong = talk(
        tmp_path, Talk().open().say(hello("n1")).say(heartbeat("n1", 1).replace(b"\xa3seq\x01", b"\xa3seq\xc0"))
    )
    told = Told(capsys, "check", wrong)
    assert told.status == 1
    assert "W12" in told.out and "^^ seq" in told.out
    cut = talk(tmp_path, Talk().open().say(hello("n1")).say(heartbeat("n1", 1)[:-5]).end(flags=RST))
    told = Told(capsys, "check", cut)
    assert told.status == 2
    assert told.lines[-1] == "1 frame: nothing is wrong; 1 place where bytes are no frames"
    assert (Told(capsys, cut).status, Told(capsys, cut, "--strict").status) == (0, 2)


def test_check_names_frames_after_any_number_of_other_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is forgotten of the others does not move the numbers of frames."""
    monkeypatch.setattr(checking, "OTHERS_MAX", 3)
    packets = [packet for number in range(20) for packet in Talk(9 * number).open().end(flags=RST).packets]
    beats = heartbeat("n1", 1, term=5), heartbeat("n1", 2, term=4)
    talk = Talk().open().say(hello("n1")).say(hello("n2"), back=True).say(beats[0]).say(beats[1])
    path = tmp_path / "churn.pcap"
    path.write_bytes(pcap([*packets, *talk.packets]))
    told = Told(capsys, "check", path, "--complete")
    assert "n1 leads term 5 (#3) and never asked" in told.lines[0]
    assert told.lines[0].endswith("  #3")


def test_stats_count_and_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Answers belong to the questions whose seq they repeat."""
    conversation = Talk().open().say(hello("n1")).say(hello("n2"), back=True)
    for seq in range(10):
        conversation.say(heartbeat("n1", seq)).later(0.009).say(answer("n2", seq), back=True)
    path = talk(tmp_path, conversation.say(heartbeat("n1", 99)))
    found = json.loads(Told(capsys, "stats", path, "-o", "json").out)
    assert found["types"]["APPEND_ENTRIES_REQ"] == {"frames": 11, "bytes": 11 * 76, "least": 76, "most": 76}
    times = found["latencies"]["APPEND_ENTRIES_REQ → APPEND_ENTRIES_RES"]
    assert times["count"] == 10
    assert times["p50"] == pytest.approx(0.010, rel=0.02)
    assert found["unanswered"] == 1
    assert "APPEND_ENTRIES_REQ → APPEND_ENTRIES_RES" in Told(capsys, "stats", path).out


def test_percentiles_are_exact_within_two_percent() -> None:
    """In a bounded number of buckets."""
    times = Latencies()
    for number in range(1, 10_001):
        times.add(number / 1000)
    assert times.percentile(0.5) == pytest.approx(5.0, rel=0.02)
    assert times.percentile(0.99) == pytest.approx(9.9, rel=0.02)
    assert times.percentile(1.0) == 10.0
    assert len(times.buckets) < 600


def test_follow_lists_connections_and_shows_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its number."""
    path = talk(tmp_path, Talk().open().say(hello("n1")).say(hello("n2"), back=True).end(flags=RST))
    listed = Told(capsys, "follow", path).lines
    assert listed[1].split() == ["1", "0.000000", "n1", "→", "n2", "2", "266", "reset"]
    shown = Told(capsys, "follow", path, 1).out
    assert shown.count("lane = 'raft'") == 2
    told = Told(capsys, "follow", path, 2)
    assert (told.out, told.status) == ("", 64)
    assert told.err == "wire-dump: there is no connection 2; without a number, all are listed\n"
    assert Told(capsys, "follow", path, 2, "-f", "type==AE").status == 0
    assert len(Told(capsys, "follow", CAPTURE, 4, "-c", 3, "-d", 1).lines) == 3  # of its frames, not of all


BAD_LINES = {
    "--nonsense": 64,
    f"{TRACE} -d 9": 64,
    f"{TRACE} -f term>": 64,
    f"{TRACE} -o yaml": 64,
    f"{TRACE} -o fields=trm": 64,
    f"{TRACE} --names n1": 64,
    f"{TRACE} --since soon": 64,
    f"{TRACE} -c many": 64,
    f"graph {TRACE} -o picture.png": 64,
    f"graph {TRACE} -o /no/such/folder/picture.svg": 64,
    f"replay {TRACE} --from n9 --to 127.0.0.1:1": 64,
    f"replay {TRACE} --from n1 --to 127.0.0.1:1": 64,
    f"replay {TRACE} --from n1 --to nowhere": 64,
    f"replay {TRACE} --from n1 --recorded n2 --to 127.0.0.1:1": 69,
    "live 127.0.0.1": 64,
    "live 0=127.0.0.1:1 --save /no/such/folder/x.pcap": 64,
    "live 192.0.2.1:9=127.0.0.1:1": 69,
    "/no/such/file": 66,
    "": 64,
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_command_line_that_makes_no_sense_is_one_line_and_a_status(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was wrong with what was said, and never a traceback."""
    told = Told(capsys, *line.split())
    assert told.status == BAD_LINES[line]
    assert "wire-dump" in told.err
    assert "Traceback" not in told.err


def test_help_tells_of_filters_and_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    """Once, at the top."""
    told = Told(capsys, "--help")
    assert told.status == 0
    assert "AE APPEND_ENTRIES_REQ" in told.out and "Exit status" in told.out


def test_a_reader_that_leaves_ends_the_tool_quietly() -> None:
    """`wire-dump … | head -1`."""
    with subprocess.Popen(
        [sys.executable, TOOL, TRACE, "-d4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 0


def test_without_the_library_and_without_pytest_it_runs() -> None:
    """The tool needs msgpack at most, and nothing of casty."""
    code = (
        "import sys, runpy; sys.argv = ['wire-dump', sys.argv[1], '-c', '1']\n"
        "for name in ('casty', 'pytest'): sys.modules[name] = None\n"
        "try: runpy.run_path(sys.argv[0] if False else " + repr(TOOL) + ", run_name='__main__')\n"
        "except SystemExit as end: raise SystemExit(end.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, TRACE], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e300", "x", "0x10"])
def test_what_is_no_time_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of `--since`, and of all that are read the same way."""
    told = Told(capsys, TRACE, f"--since={text}")
    assert told.status != 0
    assert f"{text!r} is no number of seconds, 0 or more" in told.err
