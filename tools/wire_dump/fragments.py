"""Puts IP packets together from their fragments, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

UNFINISHED_MAX: Final = 256
"""Packets that wait for more fragments; of more, the oldest is given up."""
PARTS_MAX: Final = 1024
"""Fragments of one packet: 65,535 bytes in the smallest that a link may ask for (68 bytes) are 1,366, but
these carry no stream that matters."""
PACKET_BYTES_MAX: Final = 65_535


@dataclass(slots=True)
class _Packet:
    parts: dict[int, bytes] = field(default_factory=dict[int, bytes])
    held: int = 0
    size: int | None = None


class Fragments:
    """Takes fragments in any order. Where two overlap, the one that begins first counts."""

    def __init__(self) -> None:
        self._unfinished: OrderedDict[bytes, _Packet] = OrderedDict()
        self.lost = 0
        """Fragments that were given up."""

    @property
    def waiting(self) -> int:
        """Fragments that wait for others."""
        return sum(len(packet.parts) for packet in self._unfinished.values())

    def add(self, key: bytes, offset: int, data: bytes, *, is_last: bool) -> bytes | None:
        """The whole content of the packet that `key` names, once its last missing fragment is here."""
        packet = self._unfinished.get(key)
        if packet is None:
            packet = self._unfinished[key] = _Packet()
            if len(self._unfinished) > UNFINISHED_MAX:
                _, oldest = self._unfinished.popitem(last=False)
                self.lost += len(oldest.parts)
        if is_last and packet.size is None:
            packet.size = offset + len(data)
        before = packet.parts.get(offset, b"")
        if len(data) >= len(before):
            packet.parts[offset] = data
            packet.held += len(data) - len(before)
        if len(packet.parts) > PARTS_MAX or offset + len(data) > PACKET_BYTES_MAX:
            self.lost += len(self._unfinished.pop(key).parts)
            return None
        if packet.size is None or packet.held < packet.size:
            return None
        whole = _joined(packet.parts, packet.size)
        if whole is not None:
            del self._unfinished[key]
        return whole


def _joined(parts: dict[int, bytes], size: int) -> bytes | None:
    whole = bytearray()
    for offset, data in sorted(parts.items()):
        if offset > len(whole):
            return None
        whole += data[len(whole) - offset :]
    return bytes(whole[:size]) if len(whole) >= size else None
