"""The trace's file says what was recorded, and says where it does not."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.trace import store
from conformance.trace.json_lines import from_line, to_line
from conformance.trace.record import Closed, Marked, Opened, Raw, Record, Sent
from conformance.trace.store import Header, Trace, TraceError, read_header, read_trace
from conformance.wire.frame import Frame
from tests.support import run

if TYPE_CHECKING:
    from pathlib import Path

FRAME = Frame(7, b"n1", b"\x81\xa4term\x05")
RECORDS: list[Record] = [
    Marked(0.0, "n1", "start", "node --id n1"),
    Opened(0.25, 1, "n1", "n2", "raft"),
    Sent(0.5, 1, "n1", "n2", FRAME),
    Sent(0.75, 1, "n2", "n1", FRAME, "delayed", "0.1 s"),
    Opened(1.0, 2, None, "n2", None),
    Raw(1.25, 2, None, "n2", b"\xff\x00", "no frame"),
    Closed(1.5, 1, "n1", "fin"),
    Closed(1.75, 2, None, "reset"),
    Marked(2.0, None, "heal", ""),
]

SENT = '{"t": 1, "event": "sent", "conn": 1, "from": "a", "to": "b", "fate": '
NAMES = st.text(max_size=10)
MAYBE = st.none() | NAMES
TIMES = st.integers(0, 10**9).map(lambda micros: micros / 1_000_000)
NUMBERS = st.integers(0, 2**40)
FRAMES = st.builds(Frame, st.integers(0, 255), st.binary(max_size=20), st.binary(max_size=40))
ANY = st.one_of(
    st.builds(Opened, TIMES, NUMBERS, MAYBE, NAMES, MAYBE),
    st.builds(
        Sent, TIMES, NUMBERS, MAYBE, MAYBE, FRAMES, st.sampled_from(["passed", "dropped", "held"]), NAMES
    ),
    st.builds(Raw, TIMES, NUMBERS, MAYBE, MAYBE, st.binary(max_size=40), NAMES),
    st.builds(Closed, TIMES, NUMBERS, MAYBE, NAMES),
    st.builds(Marked, TIMES, MAYBE, NAMES, NAMES),
)


def written(path: Path, records: list[Record] = RECORDS) -> Path:
    trace = Trace(path, nodes=["n1", "n2"])
    for record in records:
        trace.append(record)
    trace.close()
    return path


@given(ANY)
def test_every_record_is_one_line_and_comes_back(record: Record) -> None:
    line = to_line(record)
    assert "\n" not in line
    assert from_line(line) == record


def test_a_file_gives_back_its_records_and_its_header(tmp_path: Path) -> None:
    path = written(tmp_path / "wire.jsonl")
    assert list(read_trace(path)) == RECORDS
    header = read_header(path)
    assert header.nodes == ("n1", "n2")
    assert abs(header.began - datetime.now(UTC)) < timedelta(minutes=10)


def test_a_line_is_what_the_specification_of_the_file_says(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in written(tmp_path / "wire.jsonl").read_text().splitlines()]
    assert lines[0].keys() == {"casty-trace", "began", "nodes"}
    assert lines[4] == {
        "t": 0.75,
        "event": "sent",
        "conn": 1,
        "from": "n2",
        "to": "n1",
        "kind": "VOTE_REQUEST",
        "fate": "delayed",
        "detail": "0.1 s",
        "bytes": FRAME.encode().hex(),
    }


def test_a_record_is_in_the_file_before_append_returns(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from conformance.trace.record import Marked\n"
        "from conformance.trace.store import Trace\n"
        "trace = Trace(sys.argv[1])\n"
        "trace.append(Marked(1.0, 'n1', 'note', 'the last word'))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "wire.jsonl"
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == -9
    assert list(read_trace(path)) == [Marked(1.0, "n1", "note", "the last word")]


def test_a_file_that_ends_within_a_line_gives_what_is_before_it(tmp_path: Path) -> None:
    path = written(tmp_path / "wire.jsonl")
    path.write_bytes(path.read_bytes()[:-10])
    records = read_trace(path)
    assert [next(records) for _ in RECORDS[:-1]] == RECORDS[:-1]
    with pytest.raises(TraceError, match=r"line 10: the file ends within a line") as error:
        next(records)
    assert error.value.is_torn


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "not JSON"),
        ("nonsense", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", r"a record is an object"),
        ("{}", "no 't'"),
        ('{"t": "1"}', "'t' is '1'; expected int or float"),
        ('{"t": true}', "'t' is True; expected int or float"),
        ('{"t": NaN}', "NaN is no number of JSON"),
        ('{"t": 1}', "no 'event'"),
        ('{"t": 1, "event": "flew"}', "event is 'flew'; known are opened, sent"),
        ('{"t": 1, "event": "closed", "conn": "1"}', "'conn' is '1'; expected int"),
        (
            '{"t": 1, "event": "closed", "conn": 1, "from": 7, "how": "fin"}',
            "'from' is 7; expected str or NoneType",
        ),
        ('{"t": 1, "event": "closed", "conn": 1, "from": null}', "no 'how'"),
        (
            '{"t": 1, "event": "raw", "conn": 1, "from": "a", "to": "b", "problem": "", "bytes": "0g"}',
            "hexadecimal",
        ),
        (
            SENT + '"passed", "bytes": "0700"}',
            "less than",
        ),
        (
            SENT + '"passed", "bytes": "070000ffffffff"}',
            "no frame: ",
        ),
        (
            SENT + '"passed", "bytes": "0700000000000001"}',
            "more than one frame",
        ),
        (
            SENT + '"eaten", "bytes": "07000000000000"}',
            "fate is 'eaten'",
        ),
    ],
)
def test_a_line_that_is_no_record_is_named_with_the_reason(line: str, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path / "wire.jsonl", RECORDS[:1])
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(TraceError, match=reason) as error:
        list(read_trace(path))
    assert error.value.line == 3
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "ends within a line"),
        ("{}\n", 'expected {"casty-trace": 1'),
        ("7\n", 'expected {"casty-trace": 1'),
        ('{"casty-trace": 2}\n', "a trace of version 2; this reader knows 1"),
        ('{"casty-trace": 1, "began": "now"}\n', "'began' is 'now'; expected a time"),
        ('{"casty-trace": 1}\n', "'began' is None; expected a time"),
        ('{"casty-trace": 1, "began": "2026-01-01", "nodes": 7}\n', "'nodes' is 7; expected a list"),
        ('{"casty-trace": 1, "began": "2026-01-01", "nodes": ["a", 1]}\n', "expected a list of node ids"),
    ],
)
def test_a_file_that_is_no_trace_says_so(line: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(line or "x")
    with pytest.raises(TraceError, match=reason):
        read_header(path)
    with pytest.raises(TraceError, match=reason):
        list(read_trace(path))


def test_an_empty_file_is_no_trace(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(TraceError, match="line 1: ''; expected"):
        read_header(tmp_path / "empty")


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "wire.jsonl", [])
    with path.open("ab") as file:
        file.write(b"\xff\n")
    with pytest.raises(TraceError, match="line 2: not UTF-8 at byte 0"):
        list(read_trace(path))


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LINE_CHARS_MAX", 1000)
    path = written(tmp_path / "wire.jsonl", [])
    with path.open("a") as file:
        file.write(" " * 5000)
    with pytest.raises(TraceError, match="line 2: longer than 1,000 bytes"):
        list(read_trace(path))


def test_later_keys_are_read_over() -> None:
    assert from_line('{"t":1,"event":"marked","node":null,"mark":"heal","text":"","mood":[1]}') == Marked(
        1, None, "heal", ""
    )


def test_text_that_no_utf8_holds_can_be_recorded(tmp_path: Path) -> None:
    record = Marked(0.0, "n1", "start", "file \udcff")
    assert list(read_trace(written(tmp_path / "wire.jsonl", [record]))) == [record]


def test_a_trace_in_memory_is_a_sequence() -> None:
    trace = Trace()
    for record in RECORDS:
        trace.append(record)
    assert (len(trace), list(trace), trace[0], trace[-2:]) == (9, RECORDS, RECORDS[0], RECORDS[-2:])
    assert (trace.next_connection(), trace.next_connection()) == (1, 2)
    assert 0 <= trace.now() <= trace.now()


def test_waiting_finds_what_is_there_and_what_will_come() -> None:
    async def main() -> None:
        trace = Trace()
        trace.append(RECORDS[0])
        assert await trace.wait(lambda record: record == RECORDS[0], seconds=1) is RECORDS[0]
        waiting = asyncio.create_task(trace.wait(lambda record: isinstance(record, Sent), seconds=10))
        later = asyncio.create_task(trace.wait(lambda record: isinstance(record, Marked), seconds=10, start=1))
        await asyncio.sleep(0)
        for record in RECORDS[1:]:
            trace.append(record)
        assert (await waiting, await later) == (RECORDS[2], RECORDS[-1])
        with pytest.raises(TimeoutError, match=r"within 0.01 s; the last was Marked\(time=2.0"):
            await trace.wait(lambda _: False, seconds=0.01)

    run(main())


def test_a_trace_that_keeps_nothing_still_tells_and_writes(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    trace = Trace(path, keep=False)
    told: list[Record] = []
    forget = trace.watch(told.append)
    trace.append(RECORDS[0])
    forget()
    trace.append(RECORDS[1])
    trace.close()
    trace.append(RECORDS[2])
    assert (told, len(trace), list(read_trace(path))) == (RECORDS[:1], 0, RECORDS[:2])


def test_a_header_without_a_time_zone_is_of_utc() -> None:
    header = Header.from_line('{"casty-trace": 1, "began": "2026-01-02T03:04:05"}')
    assert header == Header(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), ())
    assert Header.from_line(header.to_line()) == header
