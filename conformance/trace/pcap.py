"""A trace as a capture that tcpdump, tshark and Wireshark read: pcap, or pcapng with names and remarks.

Both hold raw IPv4 (LINKTYPE_RAW). Node k has the address 10.0.0.k, in the order of the trace's header and then
of appearance; whoever never said its name has 10.0.255.254. Connection c is dialled from port 49152 + c. A
frame stands where its sender wrote it, whatever became of it: pcapng says so in a comment, pcap has no room for
it.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, assert_never

from conformance.trace.packet import Conversation, Endpoint
from conformance.trace.record import Closed, Marked, Opened, Raw, Sent
from conformance.trace.store import read_header, read_trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from conformance.trace.record import Record
    from conformance.trace.store import Header

LINKTYPE_RAW: Final = 101
PACKET_BYTES_MAX: Final = 65535
LISTENER_PORT: Final = 47000
DIALLER_PORTS: Final = range(49152, 65536)
"""A port comes again after 16,384 connections, with a new handshake."""

UNKNOWN: Final = bytes([10, 0, 255, 254])
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Capture(Protocol):
    """A file format for packets."""

    def packet(self, micros: int, data: bytes, comment: str) -> None: ...
    def name(self, address: bytes, name: str) -> None: ...


class Pcap:
    """The format of libpcap, version 2.4, with times in microseconds."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, PACKET_BYTES_MAX, LINKTYPE_RAW))

    def packet(self, micros: int, data: bytes, comment: str) -> None:
        """Writes a packet; the comment is lost."""
        self._file.write(struct.pack("<IIII", *divmod(micros, 1_000_000), len(data), len(data)) + data)

    def name(self, address: bytes, name: str) -> None:
        """Does nothing: pcap has no names."""


class Pcapng:
    """The format of pcapng, version 1.0: one interface, times in microseconds."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
        self._block(1, struct.pack("<HHI", LINKTYPE_RAW, 0, PACKET_BYTES_MAX))

    def packet(self, micros: int, data: bytes, comment: str) -> None:
        """Writes an enhanced packet block."""
        head = struct.pack("<IIIII", 0, micros >> 32, micros & 0xFFFFFFFF, len(data), len(data))
        self._block(6, head + _padded(data) + (_comment(comment) if comment else b""))

    def name(self, address: bytes, name: str) -> None:
        """Writes a name resolution block with one name."""
        self._block(
            4, _option(1, address + name.encode(errors="backslashreplace")[:4096] + b"\0") + _option(0, b"")
        )

    def _block(self, type: int, body: bytes) -> None:
        size = struct.pack("<I", len(body) + 12)
        self._file.write(struct.pack("<I", type) + size + body + size)


class PcapWriter:
    """Writes each record it is given as the packets it stands for."""

    def __init__(self, capture: Capture, header: Header) -> None:
        self._capture = capture
        self._began = header.began
        self._addresses: dict[str, bytes] = {}
        self._open: dict[int, tuple[str, Conversation]] = {}
        self._remarks: list[str] = []
        for node in header.nodes:
            self._address(node)

    def write(self, record: Record) -> None:
        """Adds a record; those of one connection in their order. A mark becomes a remark on the next packet."""
        match record:
            case Opened(time, connection, dialler, listener):
                self._add(time, self._begin(connection, dialler, listener), "")
            case Sent(time, connection, source, target, frame, fate, detail):
                self._bytes(time, connection, source, target, frame.encode(), _remark(fate, detail))
            case Raw(time, connection, source, target, data, problem):
                self._bytes(time, connection, source, target, data, problem)
            case Closed(time, connection, source, how):
                self._end(time, connection, source, how)
            case Marked(_, node, event, text):
                self._remarks.append(" ".join(filter(None, (node, event, text))))
            case _:
                assert_never(record)

    def _begin(self, connection: int, dialler: str | None, listener: str) -> Iterator[bytes]:
        port = DIALLER_PORTS[connection % len(DIALLER_PORTS)]
        ends = Endpoint(self._address(dialler), port), Endpoint(self._address(listener), LISTENER_PORT)
        conversation = Conversation(*ends)
        self._open[connection] = listener, conversation
        return conversation.handshake()

    def _bytes(
        self, time: float, connection: int, source: str | None, target: str | None, data: bytes, remark: str
    ) -> None:
        if connection not in self._open:
            # The trace begins in the middle of this connection.
            self._add(time, self._begin(connection, source, target or ""), "")
        listener, conversation = self._open[connection]
        self._add(time, conversation.data(data, from_listener=source == listener), remark)

    def _end(self, time: float, connection: int, source: str | None, how: str) -> None:
        if connection in self._open:
            listener, conversation = self._open[connection]
            from_listener = source == listener
            end = conversation.fin if how == "fin" else conversation.reset
            self._add(time, end(from_listener=from_listener), "" if how in ("fin", "reset") else how)

    def _add(self, time: float, packets: Iterable[bytes], remark: str) -> None:
        micros = (self._began - _EPOCH) // timedelta(microseconds=1) + round(time * 1_000_000)
        for packet in packets:
            comment = "; ".join(filter(None, (*self._remarks, remark)))
            self._capture.packet(micros, packet, comment)
            self._remarks.clear()
            remark = ""

    def _address(self, node: str | None) -> bytes:
        if not node:
            return UNKNOWN
        if node not in self._addresses:
            number = len(self._addresses) + 1
            self._addresses[node] = bytes([10, 0, number >> 8 & 255, number & 255])
            self._capture.name(self._addresses[node], node)
        return self._addresses[node]


def write_capture(records: Iterable[Record], header: Header, path: str | Path) -> None:
    """Writes a trace as a capture: pcapng where the name ends so, else pcap."""
    path = Path(path)
    with path.open("wb") as file:
        writer = PcapWriter(Pcapng(file) if path.suffix == ".pcapng" else Pcap(file), header)
        for record in records:
            writer.write(record)


def convert(trace: str | Path, capture: str | Path) -> None:
    """Writes a trace's file as a capture, in the memory of one record.

    Raises `TraceError` where it is no trace; what stood before the mistake is in the capture then.
    """
    write_capture(read_trace(trace), read_header(trace), capture)


def _remark(fate: str, detail: str) -> str:
    return "; ".join(filter(None, ("" if fate == "passed" else fate, detail)))


def _comment(text: str) -> bytes:
    # An option holds 65,535 bytes; a comment longer than a screen is of no use.
    return _option(1, text.encode(errors="backslashreplace")[:4096]) + _option(0, b"")


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
