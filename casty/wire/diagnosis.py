"""Finds where in a value the trouble is, once encoding it has failed: `Order.items[3].price: cannot send …`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from casty.wire._protocol import DEPTH_MAX
from casty.wire.words import shown, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PATH_SHOWN_MAX = 120
"""How much of a path is shown; one that leads in a circle would have no end."""


class Inside(NamedTuple):
    """What a value is made of on the wire."""

    levels: int
    """How many levels of nesting it opens."""
    parts: Iterable[tuple[str, object]]
    """Each part, and what leads to it from here: `.price`, `[3]`."""


def find_trouble(
    value: object, inside: Callable[[object], Inside | None], encode: Callable[[object], object]
) -> str | None:
    """The path to the innermost part that cannot be encoded, with the reason; None where all of them can.

    `inside` says what a value is made of, None for one without parts; it or `encode` raises the reason.
    """

    def search(value: object, path: str, depth: int) -> str | None:
        try:
            found = inside(value)
            if found is None:
                encode(value)
                return None
        except Exception as error:
            return _sentence(path, _reason(error))
        if depth + found.levels > DEPTH_MAX:
            return _sentence(path, f"nested deeper than {DEPTH_MAX} levels, perhaps in a circle")
        for step, part in found.parts:
            if trouble := search(part, path + step, depth + found.levels):
                return trouble
        try:
            encode(value)  # each part can be sent by itself, but perhaps not together
        except Exception as error:
            return _sentence(path, _reason(error))
        return None

    root = type(value).__name__
    trouble = search(value, root, 0)
    return trouble.removeprefix(f"{root}: ") if trouble is not None else None


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return f"the str {shown(error.object)} is no text: half a surrogate pair at {error.start}"
    return text_of(error)


def _sentence(path: str, text: str) -> str:
    shown = path if len(path) <= _PATH_SHOWN_MAX else f"{path[:_PATH_SHOWN_MAX]}…"
    return f"{shown}: {text}"
