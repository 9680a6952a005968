"""Makes damaged inputs of good ones, by changes that know the structure; `fuzz` reads them.

Lengths, types and formats of fields, headers of packets and files; the order, the cut and the repetition of
segments.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final, cast

from conformance._protocol import ACTOR_MSG
from conformance.wire.frame import Frame
from conformance.wire.packed import PackedError, read
from wire_dump.bodies import worse_value
from wire_dump.jsonform import frame_of, payload_object
from wire_dump.kinds import is_list
from wire_dump.specimens import conversation, good_frames, large_frame

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

_NASTY: Final = (
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"\x91" * 200 + b"\xc0",
    b"\x91" * 300,
    b"\xa2\xff\xfe",
    b"\xc7\x05\x01\x92",
    b"\xcb\x7f\xf8",
)
_NUMBERS: Final = (0, 1, 2, 4, 0x7F, 0x80, 0xFF)


def worse(rng: random.Random, data: bytes, times: int) -> bytes:
    """The bytes with some changes that know nothing of what they are."""
    out = bytearray(data)
    for _ in range(times):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(6):
            case 0 if at < len(out):
                out[at] = rng.choice(_NUMBERS) if rng.random() < 0.5 else rng.randrange(256)
            case 1:
                del out[at : at + rng.randint(1, 8)]
            case 2:
                out[at:at] = rng.choice(_NASTY)
            case 3:
                out[at:at] = out[at : at + rng.randint(1, 40)]
            case 4:
                del out[at:]
            case _:
                out[at : at + 4] = struct.pack(">I", rng.choice((0, 1, 1 << 16, 1 << 24, 0xFFFFFFFF)))
    return bytes(out)


def worse_frame(rng: random.Random, frame: Frame) -> bytes:
    """The bytes of the frame, one of its parts wrong."""
    wire = frame.encode()
    match rng.randrange(9):
        case 0:
            return Frame(
                rng.choice((0, 10, 11, 20, 200, 255, frame.type ^ 1)), frame.name, frame.payload
            ).encode()
        case 1:
            name = rng.choice((b"", b"\xff", b"x" * 300, b"\x1b[2J", "é".encode(), frame.name))
            return Frame(frame.type, name, frame.payload).encode()
        case 2:
            return Frame(frame.type, frame.name, worse(rng, frame.payload, 1)).encode()
        case 3:
            return Frame(frame.type, frame.name, rng.choice((b"", b"\xc0", b"\x80", b"\x90", *_NASTY))).encode()
        case 4 | 5:
            return Frame(frame.type, frame.name, _worse_payload(rng, frame)).encode()
        case 6:
            at = 3 + len(frame.name)
            return wire[:at] + struct.pack(">I", rng.choice((0, 1 << 20, 1 << 24, 0xFFFFFFFF))) + wire[at + 4 :]
        case 7:
            return Frame(frame.type, frame.name, _wider(rng, frame.payload)).encode()
        case _:
            return wire


def _wider(rng: random.Random, payload: bytes) -> bytes:
    """One value in a longer format than it needs."""
    try:
        nodes = [read(payload)]
    except PackedError:
        return payload
    for node in nodes:
        nodes.extend(node.children)
    at = rng.choice(nodes).start
    first, rest = payload[at], payload[at + 1 :]
    match first:
        case _ if first < 0x80 or first >= 0xE0:
            head = struct.pack(">Bq", 0xD3, first if first < 0x80 else first - 256)
        case _ if first < 0x90:
            head = struct.pack(">BI", 0xDF, first - 0x80)
        case _ if first < 0xA0:
            head = struct.pack(">BI", 0xDD, first - 0x90)
        case _ if first < 0xC0:
            head = struct.pack(">BI", 0xDB, first - 0xA0)
        case _:
            head = payload[at : at + 1]
    return payload[:at] + head + rest


def _worse_payload(rng: random.Random, frame: Frame) -> bytes:
    """A field missing, twice, of another kind, too large or too small, or one that nobody knows."""
    if frame.type == ACTOR_MSG:
        return _packed(worse_value(rng))
    found: Any = payload_object(frame.payload)
    if not isinstance(found, dict) or "$raw" in found:
        return worse(rng, frame.payload, 1)
    value = cast("dict[str, Any]", found)
    name = rng.choice(list(value))
    if name == "members":
        value[name] = rng.choice(
            ([], value[name][::-1], value[name] * 40, value[name][:1] * 2, [["n 1", {"$bin": "00" * 16}]])
        )
        return _packed(value)
    if name == "version":
        value[name] = rng.choice((0, 2, "1"))
        return _packed(value)
    if name in ("message", "value") and rng.random() < 0.9:
        value[name] = worse_value(rng)
        return _packed(value)
    if isinstance(value[name], int) and rng.random() < 0.5:
        value[name] = rng.choice(_INTEGERS)
        return _packed(value)
    if isinstance(value[name], list) and value[name] and rng.random() < 0.7:
        value[name][-1] = _worse_element(rng, value[name][-1])
        return _packed(value)
    match rng.randrange(5):
        case 0:
            del value[name]
        case 1:
            value[name] = rng.choice(_OTHERS)
        case 2:
            value[rng.choice(("unknown", "member", "code", "value"))] = rng.choice(
                ([1, {"a": None}], False, {"$map": [[[1], 2]]}, worse_value(rng))
            )
        case 3:
            value[name] = worse_value(rng)
        case _:
            value = {"$map": [*([key, item] for key, item in value.items()), [name, 1], [1, 2]]}
    return _packed(value)


def _packed(value: Any) -> bytes:
    return frame_of({"type": ACTOR_MSG, "payload": value}).payload


def _worse_element(rng: random.Random, element: Any) -> Any:
    """A struct with a part of it changed."""
    if isinstance(element, dict):
        struct = cast("dict[str, Any]", element)
        name = rng.choice(list(struct))
        changed: dict[str, Any] = {name: rng.choice((*_OTHERS, *_INTEGERS))}
        return {**struct, **changed}
    if is_list(element):
        return [*element[: rng.randrange(3)], rng.choice((*_OTHERS, "n 1", "nowhere"))]
    return element


_INTEGERS: Final[tuple[Any, ...]] = (
    0,
    1,
    2,
    3,
    4,
    300,
    {"$int": str((1 << 63) - 1)},
    {"$int": str((1 << 64) - 1)},
)
_OTHERS: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    1.5,
    "x",
    "long " * 20,
    [],
    {},
    [[]],
    {"$bin": "00"},
    {"$int": str(1 << 63)},
)


def _segment(rng: random.Random, data: bytes, sequence: int, flags: int, *, back: bool) -> bytes:
    port = 50000 + (rng.random() < 0.1)
    ports = (8001, port) if back else (port, 8001)
    head = struct.pack(
        ">HHIIBBHHH", *ports, sequence & 0xFFFFFFFF, rng.randrange(1 << 32), 0x50, flags, 65535, 0, 0
    )
    ends = (b"\x0a\0\0\2", b"\x0a\0\0\1") if back else (b"\x0a\0\0\1", b"\x0a\0\0\2")
    if rng.random() < 0.15:
        return struct.pack(">IHBB", 6 << 28, 20 + len(data), 6, 64) + ends[0] * 4 + ends[1] * 4 + head + data
    return struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(data), 1, 0, 64, 6, 0) + ends[0] + ends[1] + head + data


def packets(rng: random.Random, stream: bytes) -> list[bytes]:
    """The stream in segments: cut, swapped, repeated, left out, after a handshake or without one."""
    start = rng.choice((0, 1000, (1 << 32) - 5))
    parts: list[tuple[int, bytes]] = []
    at = 0
    while at < len(stream):
        size = rng.choice((1, 7, 40, 200, 2000))
        parts.append((at, stream[at : at + size]))
        at += size
    for _ in range(rng.choice((0, 0, 1, 3))):
        index = rng.randrange(len(parts)) if parts else 0
        match rng.randrange(4) if parts else 3:
            case 0:
                parts.insert(rng.randrange(len(parts) + 1), parts[index])
            case 1:
                del parts[index]
            case 2:
                other = rng.randrange(len(parts))
                parts[index], parts[other] = parts[other], parts[index]
            case _:
                parts.insert(index if parts else 0, (rng.choice((-1, at - 1)), b"\0"))
    out = [_segment(rng, part, start + 1 + place, 16, back=rng.random() < 0.05) for place, part in parts]
    if rng.random() < 0.7:
        out[:0] = [_segment(rng, b"", start, 2, back=False), _segment(rng, b"", 0, 18, back=True)]
    if rng.random() < 0.5:
        out.append(_segment(rng, b"", start + 1 + len(stream), rng.choice((17, 4, 2)), back=rng.random() < 0.2))
    return [worse(rng, packet, 1) if rng.random() < 0.05 else packet for packet in out]


_LINKS: Final[tuple[tuple[int, bytes], ...]] = (
    (101, b""),
    (1, bytes(12) + b"\x08\0"),
    (1, bytes(12) + b"\x81\0\0\1\x08\0"),
    (0, bytes(4)),
    (113, bytes(14) + b"\x08\0"),
    (276, b"\x08\0" + bytes(18)),
    (1, bytes(12) + b"\x88\x47\0\x01\x01\x40"),
    (1, bytes(12) + b"\x88\x64\x11\0\0\7\0\0\0\x21"),
    (9, b"\xff\x03\0\x21"),
    (101, b"\x45" + bytes(8) + b"\x2f" + bytes(10) + b"\0\0\x08\0"),
    (127, bytes(8)),
)


def capture(rng: random.Random, stream: bytes) -> bytes:
    """A pcap file."""
    order = rng.choice("<>")
    link, head = rng.choice(_LINKS)
    out = [struct.pack(order + "IHHiIII", rng.choice((0xA1B2C3D4, 0xA1B23C4D)), 2, 4, 0, 0, 65535, link)]
    for number, packet in enumerate(packets(rng, stream)):
        data = head + packet
        data = data[: rng.randrange(len(data))] if rng.random() < 0.03 else data
        out.append(struct.pack(order + "IIII", number, 0, len(data), len(data)) + data)
    return b"".join(out)


def capture_ng(rng: random.Random, stream: bytes) -> bytes:
    """A pcapng file."""
    order = rng.choice("<>")

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        size = struct.pack(order + "I", len(body) + 12)
        return struct.pack(order + "I", kind) + size + body + size

    link, head = rng.choice(_LINKS)
    options = rng.choice((b"", struct.pack(order + "HHB3x", 9, 1, 9), struct.pack(order + "HHq", 14, 8, 5)))
    out = [block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))]
    out.append(block(1, struct.pack(order + "HHI", link, 0, rng.choice((0, 60))) + options))
    for number, packet in enumerate(packets(rng, stream)):
        data = head + packet
        sizes = (len(data), len(data))
        match rng.randrange(8):
            case 0:
                out.append(block(3, struct.pack(order + "I", len(data)) + data))
            case 1:
                out.append(block(2, struct.pack(order + "HHIIII", 0, 0, 0, number, *sizes) + data))
            case 2:
                out.append(block(rng.randrange(4, 99), data))
            case _:
                out.append(block(6, struct.pack(order + "IIIII", 0, 0, number, *sizes) + data))
    return b"".join(out)


_ODD: Final[tuple[Any, ...]] = (None, -1, "x", [], {}, 1e400)


def trace(rng: random.Random, frames: Sequence[Frame], stream: bytes) -> bytes:
    """A trace in lines of JSON: of some frames, or of two nodes that elect, replicate and take a snapshot."""
    lines: list[dict[str, Any]] = [{"casty-trace": 1, "began": "2026-01-01T00:00:00+00:00", "nodes": ["n1"]}]
    lines.append({"t": 0, "event": "opened", "conn": 1, "dialler": "n1", "listener": "n2", "lane": None})
    if rng.random() < 0.5:
        said = [("n1", "n2", frame.encode()) for frame in frames]
    else:
        said = [
            (source, target, worse_frame(rng, frame) if rng.random() < 0.1 else frame.encode())
            for source, target, frame in conversation(rng)
        ]
    for number, (name, target, data) in enumerate(said):
        source, connection = (rng.choice((None, name)), rng.choice((1, 2))) if rng.random() < 0.1 else (name, 1)
        fate = rng.choice(("passed", "passed", "passed", "dropped", "held"))
        ends = {"conn": connection, "from": source, "to": target}
        lines.append({"t": number, "event": "sent", **ends, "fate": fate, "bytes": data.hex()})
    lines.append(
        {"t": 5, "event": "raw", "conn": 1, "from": "n1", "to": None, "problem": "p", "bytes": stream.hex()}
    )
    mark = rng.choice(("kill", "kill", "digest", "tampered"))
    text = rng.choice(("x", f"applied={rng.randrange(3)} sha256={rng.randrange(2):064x}"))
    lines.append({"t": 6, "event": "marked", "node": rng.choice(("n1", None)), "mark": mark, "text": text})
    lines.append({"t": 7, "event": "closed", "conn": 1, "from": "n1", "how": rng.choice(("fin", "reset"))})
    if rng.random() < 0.3:
        line = rng.choice(lines)
        line[rng.choice([*line])] = rng.choice(_ODD)
    if rng.random() < 0.1:
        lines.insert(rng.randrange(1, len(lines)), lines.pop(rng.randrange(1, len(lines))))
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def hex_text(rng: random.Random, stream: bytes) -> bytes:
    """Hex in one dress or another."""
    rows = range(0, len(stream), 16)
    match rng.randrange(7):
        case 4:
            lines = [f"{at:08x}  {stream[at : at + 16].hex(' ')}  |.|" for at in rows]
            return "\n".join([*lines, f"{len(stream):08x}", "*"]).encode()
        case 5:
            return b"".join(b"\\x%02x" % byte for byte in stream) or b"00"
        case 6:
            return b"\t0x0000:  4500 003c" if rng.random() < 0.2 else b"00 0" + stream.hex().encode()
        case 0:
            return stream.hex(rng.choice((" ", ":", ","))).encode() if stream else b""
        case 1:
            return "\n".join(f"{at:08x}: {stream[at : at + 16].hex()}  ." for at in rows).encode()
        case 2:
            return "\n".join(f"{at:04x} | {stream[at : at + 16].hex(' ')} | ." for at in rows).encode()
        case _:
            return b"# comment\n" + stream.hex().encode()


def an_input(rng: random.Random) -> bytes:
    """One damaged input of any kind."""
    frames = good_frames(rng)
    stream = b"".join(worse_frame(rng, frame) if rng.random() < 0.5 else frame.encode() for frame in frames)
    if rng.random() < 0.15:
        stream = worse(rng, stream, 2)
    if rng.random() < 0.001:
        return large_frame(rng, 1 << 20) + stream
    if rng.random() < 0.003:
        stream = large_frame(rng, 70_000) + stream
    data = {
        0: lambda: stream,
        1: lambda: hex_text(rng, stream),
        2: lambda: trace(rng, frames, stream[:40]),
        3: lambda: capture_ng(rng, stream),
    }.get(rng.randrange(7), lambda: capture(rng, stream))()
    if rng.random() < 0.25:
        return worse(rng, data, rng.randint(1, 3))
    return worse(rng, data[:64], 1) + data[64:] if rng.random() < 0.1 else data
