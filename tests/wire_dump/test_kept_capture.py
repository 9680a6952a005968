"""One run of a real cluster: what tcpdump captured, what the relay saw and what the trace kept is the same.

Two runs are kept, both captured on the side of the nodes that dial, with
`tcpdump --immediate-mode -i lo -w FILE 'port A or port B or port C'`, the ports being those of the relays.

- `live-*`: three nodes behind `wire-dump live A=… B=… C=… --save live-saved.pcap --trace live-trace.jsonl`.
  They form a cluster, the leader is killed, another is elected.
- `cluster.pcap` and `trace.jsonl`: the suite's relays, with its marks in the trace. A command is committed
  before the leader is killed and one after, and the first leader comes back.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from conformance._protocol import TYPE_NAMES
from conformance.trace.pcap import convert
from tests.wire_dump.samples import DATA, ROOT
from wire_dump.events import Seen, Trouble
from wire_dump.sources import open_source

if TYPE_CHECKING:
    from pathlib import Path

TRACE, CAPTURE = DATA / "trace.jsonl", DATA / "cluster.pcap"

type Conversation = tuple[tuple[str, tuple[bytes, ...]], ...]
"""What each end of a connection said."""


def conversations(path: Path) -> Counter[Conversation]:
    """The frames of each connection, by direction; times and segmentation aside."""
    found: dict[int, dict[str, list[bytes]]] = {}
    source = open_source(str(path))
    for event in source.events:
        assert not isinstance(event, Trouble)
        if isinstance(event, Seen):
            found.setdefault(event.connection, {}).setdefault(event.source or "", []).append(
                event.frame.encode()
            )
    source.data.close()
    return Counter(
        tuple(sorted((node, tuple(frames)) for node, frames in ends.items())) for ends in found.values()
    )


def test_what_live_shows_saves_and_traces_is_what_tcpdump_captured() -> None:
    """The same connections, and on each the same frames in each direction."""
    captured = conversations(DATA / "live-tcpdump.pcap")
    assert captured == conversations(DATA / "live-saved.pcap") == conversations(DATA / "live-trace.jsonl")
    assert sum(captured.values()) == 20
    assert sum(len(frames) for each in captured.elements() for _, frames in each) == 308


def test_capture_and_trace_hold_the_same_frames_in_each_direction() -> None:
    """But for hellos that the relay had nobody to give to: the capture saw them leave and be reset."""
    captured, traced = conversations(CAPTURE), conversations(TRACE)
    assert not traced - captured
    assert sum(traced.values()) >= 15
    assert sum(len(frames) for each in traced for _, frames in each) >= 200
    for [(_, frames)] in captured - traced:
        assert len(frames) == 1 and TYPE_NAMES[frames[0][0]] == "PEER_LIST"


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_the_relay_s_own_capture_holds_them_too(form: str, tmp_path: Path) -> None:
    """Written with headers that no network ever saw."""
    convert(TRACE, tmp_path / f"relay.{form}")
    assert conversations(tmp_path / f"relay.{form}") == conversations(TRACE)


def dissected(path: Path, *fields: str, only: str = "casty") -> list[list[str]]:
    """What tshark's fields say, a list for each packet."""
    script = ROOT / "tools" / "wire_dump" / "casty.lua"
    columns = [part for field in fields for part in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-X", f"lua_script:{script}", "-r", path, "-Y", only, "-T", "fields", *columns],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert "Lua" not in done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.needs("tshark")
def test_the_dissector_finds_the_same_frames() -> None:
    """Types and payloads, frame by frame, in the order of the capture."""
    source = open_source(str(CAPTURE))
    ours = [
        (str(event.frame.type), event.frame.payload.hex()) for event in source.events if isinstance(event, Seen)
    ]
    source.data.close()
    theirs = [
        pair
        for types, payloads in dissected(CAPTURE, "casty.type", "casty.payload")
        for pair in zip(types.split(","), payloads.split(","), strict=True)
    ]
    assert Counter(theirs) == Counter(ours)


@pytest.mark.needs("tshark")
def test_the_dissector_s_filters_use_the_names_of_the_specification() -> None:
    """Numbers, bools, texts, bytes, and what is wrong."""
    source = open_source(str(CAPTURE))
    messages = [event.decoded for event in source.events if isinstance(event, Seen)]
    source.data.close()
    granted = sum(getattr(each, "fields", {}).get("vote_granted") is True for each in messages)
    assert sum(map(len, dissected(CAPTURE, "casty.term", only="casty.vote_granted == 1"))) == granted
    assert dissected(CAPTURE, "casty.kind", only='casty.kind == "noop"') == [["noop"], ["noop,command"]]
    assert dissected(CAPTURE, "frame.number", only="casty.malformed") == []
    hellos = dissected(CAPTURE, "casty.store_id", only='casty.lane == "raft"')
    assert hellos and all(len(each) == 32 for row in hellos for each in row[0].split(","))


@pytest.mark.needs("tshark")
def test_the_dissector_follows_frames_over_segments_and_names_mistakes(tmp_path: Path) -> None:
    """Frames cut anywhere are put together; malformed ones are marked."""
    from tests.wire_dump.packets import Talk
    from tests.wire_dump.samples import heartbeat, hello, vote

    said = (
        hello("n1")
        + heartbeat("n1", 1)
        + vote("n1", 2).replace(b"\xc3", b"\x01")
        + b"\xc8\0\0\0\0\0\1x"
        + vote("n1", 3)
    )
    talk = Talk().open()
    for at in range(0, len(said), 50):
        talk.say(said[at : at + 50])
    (tmp_path / "cut.pcap").write_bytes(talk.end().file())
    types = [type for row in dissected(tmp_path / "cut.pcap", "casty.type") for type in row[0].split(",")]
    assert types == ["4", "12", "8", "200", "8"]
    assert len(dissected(tmp_path / "cut.pcap", "casty.type", only="casty.malformed")) == 1
    assert len(dissected(tmp_path / "cut.pcap", "casty.type", only="casty.unknown_type")) == 1


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_tshark_reads_the_same_times_and_lengths_of_packets(form: str, tmp_path: Path) -> None:
    """The oracle for both file formats."""
    from wire_dump.capture import Packet, read_pcap
    from wire_dump.input import Input
    from wire_dump.pcapng import read_pcapng
    from wire_dump.unread import Unread

    path = CAPTURE
    if form == "pcapng":
        convert(TRACE, tmp_path / "relay.pcapng")
        path = tmp_path / "relay.pcapng"
    file = Input(path.open("rb", buffering=0))
    packets = read_pcapng(file, Unread()) if form == "pcapng" else read_pcap(file)
    ours = [(packet.nanoseconds, len(packet.data)) for packet in packets if isinstance(packet, Packet)]
    file.close()
    theirs = [
        (round(int(seconds) * 1_000_000_000 + int(rest)), int(length))
        for time, length in dissected(path, "frame.time_epoch", "frame.cap_len", only="frame")
        for seconds, rest in [time.split(".")]
    ]
    assert ours == theirs
