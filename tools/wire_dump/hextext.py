"""Reads bytes out of text: plain hex, and the dumps of xxd, hexdump -C, od, of this tool and of the
specification.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LINE_BYTES_MAX: Final = 1 << 20

_COLUMN: Final = r"(?:[0-9A-Fa-f]{2})+"
_NUMBERED: Final = re.compile(rf"\s*[0-9A-Fa-f]{{4,16}}(?::|\s*\|)\s*(?P<hex>{_COLUMN}(?: {_COLUMN})*)?.*")
"""`00000000: 0c00 026e  ...n` of xxd, `0000 | 0c 00 02 6e | ...n` of this tool."""
_CANONICAL: Final = re.compile(
    r"[0-9A-Fa-f]{6,16} {1,2}(?P<hex>[0-9A-Fa-f]{2}(?: {1,2}[0-9A-Fa-f]{2})*)\s*[|>].*"
)
"""`00000000  0c 00 02 6e  |...n|` of hexdump -C, with `>` of od."""
_EXPLAINED: Final = re.compile(rf"\s*(?P<hex>{_COLUMN}(?: {_COLUMN})*)(?: {{2,}}.*)?")
"""`0c 00 02   type 12`: as the pages of the specification show frames; plain hex, too."""
_OFFSET_ALONE: Final = re.compile(r"[0-9A-Fa-f]{6,16}\s*")
_TCPDUMP: Final = re.compile(r"\s*0x[0-9a-f]{4}:")


class NotHex(NamedTuple):
    """A line that is no hex: where it is, and from which column on."""

    line: int
    column: int
    text: str
    expected: str


def read_hex(lines: Iterable[bytes]) -> Iterator[bytes | NotHex]:
    """The bytes of each line; at the first line that makes no sense, what is wrong with it, and no more."""
    canonical = False
    for number, raw in enumerate(lines, 1):
        text = raw.decode("utf-8", "replace").rstrip("\r\n")
        bare = text.partition("#")[0] if "|" not in text and ">" not in text else text
        if not bare.strip() or bare.strip() == "*":
            continue
        if _TCPDUMP.match(bare):
            expected = "frames; this is how tcpdump -x shows whole packets: save a capture with tcpdump -w"
            yield NotHex(number, 0, text, expected)
            return
        if (match := _CANONICAL.fullmatch(bare)) is not None:
            canonical = True
        elif canonical and _OFFSET_ALONE.fullmatch(bare):
            continue
        else:
            match = _NUMBERED.fullmatch(bare) or _EXPLAINED.fullmatch(_without_marks(bare))
        if match is None:
            yield NotHex(number, _first_wrong(bare), text, "pairs of hex digits")
            return
        yield bytes.fromhex(match["hex"] or "")


def _without_marks(text: str) -> str:
    """Hex as programs write it: 0x0c, 0x00 or 0c:00."""
    text = re.sub(r"(?:\b|^)0[xX](?=[0-9A-Fa-f])|\\x", "", text)
    return re.sub(r"(?<=[0-9A-Fa-f]{2})[,:;] ?(?=[0-9A-Fa-f]{2}|$)", " ", text).rstrip(" ,")


def _first_wrong(text: str) -> int:
    match = re.match(rf"\s*(?:{_COLUMN}[ ,:]?)*", text)
    return min(match.end() if match else 0, max(0, len(text) - 1))
