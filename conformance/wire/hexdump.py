"""Bytes as people read them, sixteen a line, with carets below the ones in question."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROW = 16
_MARKED_ROWS_MAX = 6
"""Of a longer range the middle is left out."""


def hexdump(
    data: bytes, start: int | None = None, end: int | None = None, label: str = "", context: int = 1
) -> str:
    """The bytes from `start` to `end` marked, with `context` lines around them; without a start all, unmarked.

    An empty range is one place: that before byte `start`, which may be the end of the data. The label stands at
    the last carets.

        0020 | 61 6e 74 65 64 c3 a3 73 65 71 01                | anted..seq.
                              ^^ vote_granted
    """
    if start is None:
        return "\n".join(_row(data, at) for at in range(0, len(data), _ROW))
    start = min(max(start, 0), len(data))
    end = min(max(start, start if end is None else end), len(data))
    return "\n".join(_marked(data, start, end, label, context))


def _marked(data: bytes, start: int, end: int, label: str, context: int) -> Iterator[str]:
    first, last = start // _ROW, max(start, end - 1) // _ROW
    rows = range(max(0, first - context), min(last + context, max(first, (len(data) - 1) // _ROW)) + 1)
    half = _MARKED_ROWS_MAX // 2
    left_out = range(first + half, last + 1 - half)
    if last - first < _MARKED_ROWS_MAX:
        left_out = range(rows.stop, rows.stop)
    for row in chain(range(rows.start, left_out.start), range(left_out.stop, rows.stop)):
        if row == left_out.stop:
            yield f"     … {len(left_out) * _ROW:,} bytes"
        yield _row(data, row * _ROW)
        if first <= row <= last:
            yield _carets(row * _ROW, start, end) + (f" {label}" if label and row == last else "")


def _row(data: bytes, at: int) -> str:
    part = data[at : at + _ROW]
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
    return f"{at:04x} | {part.hex(' '):<{3 * _ROW - 1}} | {text}"


def _carets(at: int, start: int, end: int) -> str:
    if start == end:
        return " " * (7 + 3 * (start - at)) + "^"
    low, high = max(start, at), min(end, at + _ROW)
    return " " * (7 + 3 * (low - at)) + " ".join(["^^"] * (high - low))
