"""Every kind of input is told apart by itself, and gives the same frames."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from conformance._protocol import HEARTBEAT
from conformance.trace.record import Marked, Opened, Raw, Sent
from conformance.trace.store import Trace
from conformance.wire.frame import Frame, FrameReader
from tests.wire_dump.packets import Talk, events, frames, pcap, troubles
from tests.wire_dump.samples import ROOT, heartbeat, hello, vectors, wire_of
from wire_dump import traces
from wire_dump.events import Seen
from wire_dump.input import Input, Kind, kind_of
from wire_dump.naming import Names, NamesError, Naming, parse_names
from wire_dump.sources import SourceError, open_source, source_of

if TYPE_CHECKING:
    from pathlib import Path

    from wire_dump.events import Event

SAID = hello("n1") + heartbeat("n1", 1)
DUMPS = {
    "plain": SAID.hex(),
    "spaces and lines": "\n".join(SAID[at : at + 7].hex(" ") for at in range(0, len(SAID), 7)),
    "comments": f"# a hello\n{hello('n1').hex()}\n\n# and a heartbeat\n{heartbeat('n1', 1).hex()}\n",
    "0x and commas": ", ".join(f"0x{byte:02x}" for byte in SAID),
    "colons": SAID.hex(":"),
    "an escaped string": "".join(f"\\x{byte:02x}" for byte in SAID),
}


@pytest.mark.parametrize("name", DUMPS)
def test_hex_is_read_in_any_dress(name: str) -> None:
    """As people paste it."""
    assert frames(events(DUMPS[name].encode())) == [hello("n1"), heartbeat("n1", 1)]


def test_dumps_of_other_programs_are_read() -> None:
    """xxd, hexdump -C, od and this tool's own, by their layout; lines of `*` and a last offset alone, too."""
    rows = [(at, SAID[at : at + 16]) for at in range(0, len(SAID), 16)]
    text = ["".join(chr(b) if 32 <= b < 127 else "." for b in row) for _, row in rows]
    pairs = [" ".join(row[i : i + 2].hex() for i in range(0, len(row), 2)) for _, row in rows]
    halves = [f"{row[:8].hex(' ')}  {row[8:].hex(' ')}".rstrip() for _, row in rows]
    shapes = {
        "xxd": [f"{at:08x}: {pair:<39}  {said}" for (at, _), pair, said in zip(rows, pairs, text, strict=True)],
        "hexdump -C": [
            f"{at:08x}  {half:<49} |{said}|" for (at, _), half, said in zip(rows, halves, text, strict=True)
        ]
        + [f"{len(SAID):08x}"],
        "od": [f"{at:06x} {row.hex(' '):<47}  >{said}<" for (at, row), said in zip(rows, text, strict=True)]
        + [f"{len(SAID):06x}"],
        "own": [f"{at:04x} | {row.hex(' '):<47} | {said}" for (at, row), said in zip(rows, text, strict=True)],
        "the specification": [f"    {row.hex(' '):<35}  what it says" for _, row in rows],
    }
    for name, lines in shapes.items():
        assert frames(events("\n".join(lines).encode())) == [hello("n1"), heartbeat("n1", 1)], name


def test_what_is_no_hex_is_shown_with_its_place() -> None:
    """The line, the column, a caret."""
    [trouble] = troubles(events(b"04 00 02\n6e 31 zz 00\n"))
    assert trouble.got == "'zz 00' in line 2, column 7"
    assert trouble.text[trouble.start] == "z"
    [packet] = troubles(events(b"\t0x0000:  4500 003c\n"))[:1]
    assert "tcpdump -w" in packet.expected


def test_a_stream_is_read_as_it_is() -> None:
    """Frames and nothing else; unknown types are skipped by their lengths, if it is said what it is."""
    assert frames(events(SAID)) == [hello("n1"), heartbeat("n1", 1)]
    strange = b"\xc8\0\0\0\0\0\1x" + SAID
    assert frames(source_of(Input(io.BytesIO(strange)), kind=Kind.RAW).events)[1:] == [
        hello("n1"),
        heartbeat("n1", 1),
    ]
    assert frames(events(b"\xff" * 20 + SAID + heartbeat("n1", 2), resync=True))[-1] == heartbeat("n1", 2)


def test_the_end_within_a_frame_is_told() -> None:
    """How much of what."""
    [trouble] = troubles(events(SAID[:-4]))
    assert trouble.expected == "all 76 bytes of this APPEND_ENTRIES_REQ"
    assert trouble.got == "72, then the end"


def test_a_trace_is_read_to_its_torn_end(tmp_path: Path) -> None:
    """What was written is there; the line that is not whole is named."""
    trace = Trace(tmp_path / "trace.jsonl", nodes=("n1", "n2"))
    reader = FrameReader()
    reader.feed(SAID)
    first, second = reader.next_frame(), reader.next_frame()
    assert first is not None and second is not None
    trace.append(Opened(0.0, 1, "n1", "n2", "raft"))
    trace.append(Sent(0.1, 1, "n1", "n2", first))
    trace.append(Sent(0.2, 1, "n1", "n2", second, "dropped", "by a fault"))
    trace.append(Raw(0.3, 1, "n1", "n2", b"\xff\xfe", "no frame"))
    trace.append(Marked(0.4, "n1", "kill", "SIGKILL"))
    trace.close()
    whole = (tmp_path / "trace.jsonl").read_bytes()
    found = events(whole)
    assert frames(found) == [hello("n1"), heartbeat("n1", 1)]
    assert [trouble.offset for trouble in troubles(found)] == [len(SAID)]
    torn = events(whole[:-5])
    assert "line 6" in troubles(torn)[-1].expected and "ends within" in troubles(torn)[-1].got
    wrong = troubles(events(whole + b'{"t": 1, "event": "sung"}\n'))[-1]
    assert "'sung'" in wrong.got


@pytest.mark.parametrize(
    ("kind", "expected", "got"),
    [
        (Kind.PCAP, "a pcap file, which begins with a1b2c3d4 or a1b23c4d", "afa54265"),
        (Kind.PCAPNG, "a pcapng file, which begins with 0a0d0d0a", "afa54265"),
        (Kind.TRACE, "the first line of a trace", "byte af, which is no UTF-8, in column 1"),
        (Kind.HEX, "pairs of hex digits", "in line 1, column 1"),
        (Kind.RAW, "a whole frame", "13, then the end"),
    ],
)
def test_what_is_not_of_the_kind_that_it_is_said_to_be(kind: Kind, expected: str, got: str) -> None:
    """`--input pcap` for what is none ends with what it is, and no traceback."""
    data = b"\xaf\xa5Be\x87\xb6w\x196\xb6\xbf\xc2\n"
    [trouble] = troubles(source_of(Input(io.BytesIO(data)), kind=kind).events)
    assert trouble.expected == expected and got in trouble.got
    assert troubles(source_of(Input(io.BytesIO(data[:3])), kind=kind).events)


def test_a_trace_whose_connections_nobody_opened_does_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a frame begins is forgotten of the connections that were heard of first."""
    monkeypatch.setattr(traces, "CONNECTIONS_MAX", 2)
    converter = traces.Converter()
    frame = Frame(HEARTBEAT, b"", b"\xc0")
    told = [converter.event(Sent(0.0, number, "n1", "n2", frame)) for number in (1, 1, 2, 2, 3, 2, 1)]
    assert [event.offset for event in told if isinstance(event, Seen)] == [0, 8, 0, 8, 0, 16, 0]


def test_kinds_are_told_by_their_first_bytes() -> None:
    """No frame of the golden vectors is taken for text."""
    valid = [wire_of(vector) for vector in vectors("valid").values()]
    assert {kind_of(wire[:4096]) for wire in valid if wire} == {Kind.RAW}
    assert kind_of(json.dumps({"casty-trace": 1}).encode()) is Kind.TRACE
    assert kind_of(b"") is Kind.HEX or events(b"") == []
    assert events(b"") == []


def test_compressed_files_and_files_that_are_none_are_named(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "a.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(30))
    with pytest.raises(SourceError, match="zstd"):
        open_source(str(tmp_path / "a.zst"))
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(SourceError, match=str(path)):
            open_source(str(path))


def test_names_come_from_hellos_and_from_the_command_line() -> None:
    """The listener's is known from its answer; before that, a frame waits."""
    talk = Talk().open().say(heartbeat("n1", 1)).say(heartbeat("n1", 2))
    unnamed = source_of(Input(io.BytesIO(talk.file())))
    assert {event.target for event in unnamed.events if isinstance(event, Seen)} == {"10.0.0.2:8001"}
    for given in ("n7=10.0.0.2:8001", "n7=8001"):
        named = source_of(Input(io.BytesIO(talk.file())), names=parse_names(given))
        assert {event.target for event in named.events if isinstance(event, Seen)} == {"n7"}
    for wrong in ("n1", "n1=", "n1=host:port"):
        with pytest.raises(NamesError, match="expected NODE=HOST:PORT"):
            parse_names(wrong)


def test_gossip_names_listeners_that_say_nothing() -> None:
    """A hello's own address, and those of others in a peer list."""
    first = Talk().open().say(hello("n2", port=8001), back=True)
    second = Talk(9000).open().say(heartbeat("n1", 1))
    packets = [*first.packets, *second.packets]
    named = [event for event in events(pcap(packets)) if isinstance(event, Seen)]
    assert named[-1].target == "n2"


def test_standard_input_is_an_input_like_any_other() -> None:
    """And is shown as it comes."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "wire-dump"), "-", "-o", "fields=type,seq"],
        input=SAID,
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.stdout.decode() == "PEER_LIST\t\nAPPEND_ENTRIES_REQ\t1\n"
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_node_that_refuses_is_called_by_its_name() -> None:
    """Once its hello was heard; what is about no node stays so."""
    naming = Naming(Names())
    reader = FrameReader()
    reader.feed(hello("n2"))
    said = reader.next_frame()
    assert said is not None
    told: list[Event] = [
        Opened(0.0, 1, "10.0.0.1:5", "10.0.0.2:8001", None),
        Seen(0.1, 1, "10.0.0.2:8001", None, said, 0),
        Marked(0.2, "10.0.0.2:8001", "refused", ""),
        Marked(0.3, "10.0.0.9:1", "refused", ""),
        Marked(0.4, None, "live", ""),
    ]
    found = [event for each in told for event in naming.push(event=each)] + list(naming.flush())
    assert [event.node for event in found if isinstance(event, Marked)] == ["n2", "10.0.0.9:1", None]
