"""Reads the packets of a pcapng file."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from wire_dump.capture import PACKET_BYTES_MAX, Damage, Packet, cut_off

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wire_dump.input import Input
    from wire_dump.unread import Unread

_SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_OLD_PACKET: Final = 2
_SIMPLE_PACKET: Final = 3
_PACKET: Final = 6
_ORDERS: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_OPTION_RESOLUTION: Final = 9
_OPTION_OFFSET: Final = 14
_WITHOUT_PACKETS: Final = frozenset((4, 5, 10))
"""Names, statistics, secrets."""
_KEPT: Final = frozenset((_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET))
_INTERFACES_MAX: Final = 65_536


class _Interface(NamedTuple):
    link: int
    snap: int
    ticks_a_second: int
    offset_seconds: int


def read_pcapng(file: Input, unread: Unread) -> Iterator[Packet | Damage]:
    """The packets in the order of the file; at damage, what it is, as the last item. Counts blocks that might
    hold something and are not known.
    """
    reader = _Reader(file, unread)
    while True:
        at = file.offset
        head = file.read(8)
        if not head:
            return
        try:
            yield from reader.block(at, head)
        except _Damaged as damaged:
            yield damaged.damage
            return


class _Damaged(Exception):
    def __init__(self, damage: Damage) -> None:
        super().__init__(damage)
        self.damage = damage


class _Reader:
    """Goes through the blocks. A section begins with its own byte order and without interfaces."""

    def __init__(self, file: Input, unread: Unread) -> None:
        self._file = file
        self._unread = unread
        self._order = "<"
        self._interfaces: list[_Interface] = []
        self._last = 0

    def block(self, at: int, head: bytes) -> Iterator[Packet]:
        """Reads one block whose first eight bytes have been read. Raises `_Damaged`."""
        if len(head) < 8:
            raise _Damaged(cut_off(at, head, 8, "the header of a block"))
        if head[:4] == b"\x0a\x0d\x0d\x0a":
            self._section(at, head)
            return
        if not at:
            raise _Damaged(Damage(0, "a pcapng file, which begins with 0a0d0d0a", head[:4].hex(), head, 0, 4))
        kind, size = struct.unpack(self._order + "II", head)
        kept = kind in _KEPT
        if size < 12 or (kept and size > PACKET_BYTES_MAX):
            expected = f"a block of 12 to {PACKET_BYTES_MAX:,} bytes"
            raise _Damaged(Damage(at, expected, f"a length of {size:,}", head, 4, 8))
        padded = (size + 3) & ~3
        if not kept:
            there = self._file.skip(padded - 8)
            body = b""
        else:
            body = self._file.read(padded - 8)
            there = len(body)
        if there < padded - 8:
            raise _Damaged(cut_off(at, head + body, padded, "a block"))
        if not kept and kind not in _WITHOUT_PACKETS:
            self._unread.add(f"pcapng blocks of type 0x{kind:08x}")
        if kept:
            if struct.unpack(self._order + "I", body[-4:])[0] not in (size, padded):
                raise _Damaged(
                    Damage(
                        at + padded - 4,
                        f"the block's length again, {size:,}",
                        f"{int.from_bytes(body[-4:], 'little' if self._order == '<' else 'big'):,}",
                        body[-4:],
                        0,
                        4,
                    )
                )
            yield from self._content(at, kind, body[:-4])

    def _section(self, at: int, head: bytes) -> None:
        magic = self._file.read(4)
        if magic not in _ORDERS:
            expected = "a byte-order magic, 1a 2b 3c 4d either way round"
            raise _Damaged(Damage(at, expected, magic.hex(" ") or "the end", head + magic, 8, 12))
        self._order = _ORDERS[magic]
        self._interfaces = []
        (size,) = struct.unpack(self._order + "I", head[4:])
        padded = (size + 3) & ~3
        if size < 28 or self._file.skip(padded - 12) < padded - 12:
            raise _Damaged(Damage(at, "a whole section header", f"a length of {size:,}", head + magic, 4, 8))

    def _content(self, at: int, kind: int, body: bytes) -> Iterator[Packet]:
        order = self._order
        if kind == _INTERFACE:
            if len(body) < 8 or len(self._interfaces) >= _INTERFACES_MAX:
                raise _Damaged(Damage(at, "an interface", f"{len(body)} bytes", body, 0, len(body)))
            link, _, snap = struct.unpack(order + "HHI", body[:8])
            self._interfaces.append(_Interface(link, snap, *self._clock(body[8:])))
            return
        size = {_PACKET: 20, _OLD_PACKET: 20, _SIMPLE_PACKET: 4}[kind]
        if len(body) < size:
            raise _Damaged(Damage(at, f"{size} bytes of a packet's header", f"{len(body)}", body, 0, len(body)))
        if kind == _SIMPLE_PACKET:
            (length,) = struct.unpack(order + "I", body[:4])
            interface = self._interface(at, 0, body)
            original = length
            captured = min(length, interface.snap or length)
            nanoseconds = self._last
        else:
            # The obsolete block has a short number of the interface, then one of drops.
            number, high, low, captured, original = struct.unpack(order + "IIIII", body[:20])
            if kind == _OLD_PACKET:
                (number,) = struct.unpack(order + "H", body[:2])
            interface = self._interface(at, number, body)
            ticks = (high << 32 | low) * 1_000_000_000 // interface.ticks_a_second
            nanoseconds = self._last = ticks + interface.offset_seconds * 1_000_000_000
        if captured > len(body) - size:
            expected = f"at most {len(body) - size:,} captured bytes in this block"
            raise _Damaged(Damage(at, expected, f"{captured:,}", body, max(0, size - 8), size))
        data = body[size : size + captured]
        yield Packet(nanoseconds, interface.link, data, max(original, captured))

    def _interface(self, at: int, number: int, body: bytes) -> _Interface:
        if number >= len(self._interfaces):
            expected = f"one of {len(self._interfaces)} interfaces"
            raise _Damaged(Damage(at, expected, f"number {number}", body, 0, 4))
        return self._interfaces[number]

    def _clock(self, options: bytes) -> tuple[int, int]:
        """Ticks a second, and seconds to add, of an interface with these options."""
        ticks, offset, at = 1_000_000, 0, 0
        while at + 4 <= len(options):
            code, length = struct.unpack(self._order + "HH", options[at : at + 4])
            value = options[at + 4 : at + 4 + length]
            if code == 0 or len(value) < length:
                break
            if code == _OPTION_RESOLUTION and length == 1:
                power = value[0] & 0x7F
                ticks = 1 << power if value[0] & 0x80 else 10 ** min(power, 30)
            elif code == _OPTION_OFFSET and length == 8:
                (offset,) = struct.unpack(self._order + "q", value)
            at += 4 + ((length + 3) & ~3)
        return ticks, offset
