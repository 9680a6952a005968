"""A capture made of a trace: read back by hand here, and by tshark where there is one."""

from __future__ import annotations

import struct
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.trace.packet import SEGMENT_BYTES_MAX, Conversation, Endpoint, checksum
from conformance.trace.pcap import LISTENER_PORT, convert, write_capture
from conformance.trace.record import Closed, Marked, Opened, Raw, Record, Sent
from conformance.trace.store import Header, Trace, TraceError
from conformance.wire.frame import Frame, FrameReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER = Header(datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC), ("n1", "n2", "n3"))
SMALL, LARGE = Frame(7, b"n1", b"\x81\xa4term\x05"), Frame(1, b"an-actor", bytes(200_001))
RECORDS: list[Record] = [
    Marked(0.0, "n1", "start", "node"),
    Opened(0.1, 1, "n1", "n2", "raft"),
    Sent(0.2, 1, "n1", "n2", SMALL),
    Sent(0.3, 1, "n2", "n1", SMALL, "dropped"),
    Opened(0.4, 2, "n3", "n1", "all"),
    Sent(0.5, 2, "n3", "n1", LARGE, "delayed", "0.1 s"),
    Sent(0.6, 2, "n1", "n3", SMALL),
    Closed(0.7, 1, "n1", "fin"),
    Sent(0.8, 1, "n2", "n1", LARGE),
    Closed(0.9, 1, "n2", "fin"),
    Closed(1.0, 2, None, "reset"),
    Opened(1.1, 3, None, "n2", None),
    Raw(1.2, 3, None, "n2", b"GET / HTTP/1.1\r\n\r\n", "no frame"),
    Closed(1.3, 3, "n2", "reset"),
]
HOSTS = {"n1": "10.0.0.1", "n2": "10.0.0.2", "n3": "10.0.0.3", None: "10.0.255.254"}


class Packet(NamedTuple):
    time: float
    source: tuple[str, int]
    target: tuple[str, int]
    seq: int
    ack: int
    flags: int
    data: bytes


def packets(path: Path) -> Iterator[Packet]:
    """Every packet of a pcap; asserts that its lengths and checksums are right."""
    content = path.read_bytes()
    assert struct.unpack_from("<IHHiIII", content) == (0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    place = 24
    while place < len(content):
        seconds, micros, kept, size = struct.unpack_from("<IIII", content, place)
        assert kept == size
        yield parsed(seconds + micros / 1_000_000, content[place + 16 : place + 16 + size])
        place += 16 + size


def parsed(time: float, data: bytes) -> Packet:
    words, size, protocol = data[0] & 15, int.from_bytes(data[2:4]), data[9]
    assert (data[0] >> 4, size, protocol) == (4, len(data), 6)
    head, segment = data[: 4 * words], data[4 * words :]
    assert checksum(head) == 0
    pseudo = data[12:20] + b"\x00\x06" + len(segment).to_bytes(2)
    assert checksum(pseudo + segment + bytes(len(segment) % 2)) == 0
    from_port, to_port, seq, ack, offset, flags = struct.unpack_from(">HHIIBB", segment)
    hosts = [".".join(map(str, data[start : start + 4])) for start in (12, 16)]
    return Packet(
        time, (hosts[0], from_port), (hosts[1], to_port), seq, ack, flags, segment[offset >> 4 << 2 :]
    )


def streams(found: list[Packet]) -> dict[tuple[str, str], bytes]:
    """The bytes from host to host, joined; asserts that sequence and acknowledgement numbers fit."""
    joined: dict[tuple[str, str], bytes] = {}
    expected: dict[tuple[object, object], int] = {}
    for packet in found:
        way = packet.source, packet.target
        begins = packet.flags & 2
        assert packet.seq == (0 if begins else expected[way])
        expected[way] = packet.seq + len(packet.data) + bool(packet.flags & 3)
        if packet.flags & 16:
            assert packet.ack == expected[way[::-1]]
        hosts = packet.source[0], packet.target[0]
        joined[hosts] = joined.get(hosts, b"") + packet.data
    return joined


def captured(path: Path, records: list[Record] = RECORDS) -> Path:
    write_capture(records, HEADER, path)
    return path


def test_the_frames_come_back_out_of_the_packets(tmp_path: Path) -> None:
    found = list(packets(captured(tmp_path / "wire.pcap")))
    joined = streams(found)
    wanted: dict[tuple[str, str], list[Frame]] = {}
    for record in RECORDS:
        if isinstance(record, Sent):
            wanted.setdefault((HOSTS[record.source], HOSTS[record.target]), []).append(record.frame)
    for hosts, frames in wanted.items():
        reader = FrameReader()
        reader.feed(joined[hosts])
        assert [reader.next_frame() for _ in frames] == frames
        assert reader.rest == b""
    assert joined[HOSTS[None], HOSTS["n2"]] == b"GET / HTTP/1.1\r\n\r\n"


def test_packets_have_the_time_of_their_record_and_the_ports_of_their_connection(tmp_path: Path) -> None:
    found = list(packets(captured(tmp_path / "wire.pcap")))
    assert f"{found[0].time:.6f}" == f"{HEADER.began.timestamp() + 0.1:.6f}"
    assert [packet.time for packet in found] == sorted(packet.time for packet in found)
    first = found[0]
    assert (first.source, first.target) == (("10.0.0.1", 49153), ("10.0.0.2", LISTENER_PORT))
    assert max(len(packet.data) for packet in found) == SEGMENT_BYTES_MAX


def test_connections_begin_with_a_handshake_and_end_as_they_did(tmp_path: Path) -> None:
    found = list(packets(captured(tmp_path / "wire.pcap")))
    flags = {
        port: [
            packet.flags for packet in found if port in (packet.source[1], packet.target[1]) and not packet.data
        ]
        for port in (49153, 49154, 49155)
    }
    for seen in flags.values():
        assert seen[:3] == [2, 18, 16]
    assert flags[49153].count(17) == 2
    assert flags[49154][-1] == 20
    assert flags[49155][-1] == 20
    assert found[-1].source[0] == HOSTS["n2"]


def test_bytes_after_the_end_have_no_packet(tmp_path: Path) -> None:
    late = [
        *RECORDS,
        Sent(1.4, 1, "n1", "n2", SMALL),
        Closed(1.5, 1, "n1", "fin"),
        Closed(1.6, 3, "n2", "reset"),
    ]
    before, after = captured(tmp_path / "a.pcap"), captured(tmp_path / "b.pcap", late)
    assert before.read_bytes() == after.read_bytes()


def test_a_trace_that_begins_within_a_connection_has_its_handshake_made_up(tmp_path: Path) -> None:
    found = list(
        packets(captured(tmp_path / "wire.pcap", [Sent(0.2, 9, "n2", "n4", SMALL), Closed(1, 8, "n1", "fin")]))
    )
    assert [packet.flags for packet in found] == [2, 18, 16, 24, 16]
    assert [packet.source[0] for packet in found[:2]] == ["10.0.0.2", "10.0.0.4"]


def test_sequence_numbers_go_round(tmp_path: Path) -> None:
    conversation = Conversation(Endpoint(bytes(4), 1), Endpoint(bytes(4), 2))
    list(conversation.handshake())
    conversation._dialler.next = 2**32 - 3
    [data, ack] = [parsed(0, packet) for packet in conversation.data(b"12345", from_listener=False)]
    assert (data.seq, ack.ack) == (2**32 - 3, 2)


@given(st.binary(max_size=100).filter(lambda data: len(data) % 2 == 0))
def test_the_checksum_is_that_of_the_standard(data: bytes) -> None:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    # 0 and 0xffff are the same number in ones' complement.
    assert checksum(data) % 0xFFFF == (~total & 0xFFFF) % 0xFFFF


def test_a_trace_file_becomes_a_capture(tmp_path: Path) -> None:
    trace = Trace(tmp_path / "wire.jsonl", nodes=HEADER.nodes)
    for record in RECORDS:
        trace.append(record)
    trace.close()
    convert(tmp_path / "wire.jsonl", tmp_path / "wire.pcap")
    write_capture(RECORDS, trace.header, tmp_path / "same.pcap")
    assert (tmp_path / "wire.pcap").read_bytes() == (tmp_path / "same.pcap").read_bytes()
    with (tmp_path / "wire.jsonl").open("a") as file:
        file.write("torn")
    with pytest.raises(TraceError, match="line 16"):
        convert(tmp_path / "wire.jsonl", tmp_path / "wire.pcap")
    assert (tmp_path / "wire.pcap").read_bytes() == (tmp_path / "same.pcap").read_bytes()


def blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    content = path.read_bytes()
    place = 0
    while place < len(content):
        type, size = struct.unpack_from("<II", content, place)
        assert size % 4 == 0
        assert content[place + size - 4 : place + size] == content[place + 4 : place + 8]
        yield type, content[place + 8 : place + size - 4]
        place += size


def test_pcapng_holds_the_same_packets_with_names_and_remarks(tmp_path: Path) -> None:
    found = list(blocks(captured(tmp_path / "wire.pcapng")))
    assert [type for type, _ in found[:5]] == [0x0A0D0D0A, 1, 4, 4, 4]
    names = [
        body[8 : 4 + struct.unpack_from("<H", body, 2)[0]].rstrip(b"\0") for type, body in found if type == 4
    ]
    assert names == [b"n1", b"n2", b"n3"]
    content = (captured(tmp_path / "wire.pcap")).read_bytes()
    place = 24
    comments: list[str] = []
    for body in (body for type, body in found if type == 6):
        high, low, size = struct.unpack_from("<III", body, 4)
        seconds, micros, _, _ = struct.unpack_from("<IIII", content, place)
        assert (high << 32) + low == seconds * 1_000_000 + micros
        assert body[20 : 20 + size] == content[place + 16 : place + 16 + size]
        place += 16 + size
        options = body[20 + size + -size % 4 :]
        if options:
            code, length = struct.unpack_from("<HH", options)
            assert code == 1
            comments.append(options[4 : 4 + length].decode())
    assert place == len(content)
    assert comments == ["n1 start node", "dropped", "delayed; 0.1 s", "no frame"]


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("name", ["wire.pcap", "wire.pcapng"])
def test_tshark_reads_it_without_a_remark(name: str, tmp_path: Path) -> None:
    path = captured(tmp_path / name)

    def lines(*options: str) -> list[str]:
        checks = [
            "-o",
            "tcp.check_checksum:TRUE",
            "-o",
            "ip.check_checksum:TRUE",
            "-o",
            "tcp.analyze_sequence_numbers:TRUE",
        ]
        done = subprocess.run(
            ["tshark", "-r", str(path), *checks, *options],
            capture_output=True,
            text=True,
            check=True,
            timeout=50,
        )
        return done.stdout.splitlines()

    wanted = len(list(packets(captured(tmp_path / "count.pcap"))))
    assert len(lines()) == wanted
    # It notes the beginning and the end of connections, and warns of each RST, which was one.
    remarks = "_ws.expert.severity > 0x00400000 || _ws.malformed || tcp.analysis.flags"
    assert lines("-Y", f"tcp.flags.reset == 0 && ({remarks})") == []
    assert len(lines("-Y", "tcp.checksum.status == 1 && ip.checksum.status == 1")) == wanted
