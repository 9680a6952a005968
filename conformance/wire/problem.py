"""What is wrong with a frame, and just where: `PayloadError`."""

from __future__ import annotations

from typing import Final, Literal

type Stage = Literal["frame", "msgpack", "schema", "value"]
"""Where a mistake shows: in the layout, in the payload as msgpack, in its fields, in what they say.

The golden vectors call the last one `semantic`.
"""

STAGES: Final[tuple[Stage, ...]] = ("frame", "msgpack", "schema", "value")
"""In the order in which a frame goes through them."""

type Label = str | int
"""One step of a path: a field's name or an element's index."""


class PayloadError(Exception):
    """A frame that breaks the specification: its sender's fault.

    `path` names the field, such as ``entries[2].term``, and is empty for the payload as a whole; `start` and
    `end` are its bytes within the frame. `code` is what a receiver answers, `rule` what was broken.
    """

    def __init__(
        self,
        stage: Stage,
        code: str,
        rule: str,
        *,
        kind: str = "",
        path: str = "",
        expected: str,
        got: str,
        start: int,
        end: int,
    ) -> None:
        place = f"{kind}.{path}" if kind and path else kind or path or "payload"
        super().__init__(f"{place}: expected {expected}, got {got} (bytes {start} to {end}; {code}, {rule})")
        self.stage: Stage = stage
        self.code = code
        self.rule = rule
        self.kind = kind
        self.path = path
        self.expected = expected
        self.got = got
        self.start = start
        self.end = end


def joined(path: str, label: Label) -> str:
    """The path one step further: with 2 ``entries`` becomes ``entries[2]``, with ``term`` ``entries.term``."""
    if isinstance(label, int):
        return f"{path}[{label}]"
    return f"{path}.{label}" if path else label


def extended(path: str, rest: str) -> str:
    """The path on by another one: ``message`` and ``[1].amount`` give ``message[1].amount``."""
    return f"{path}{rest}" if not path or not rest or rest.startswith("[") else f"{path}.{rest}"


class Misfit(Exception):
    """A body that does not fit its code (VALUE-4)."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got


def shown(value: object) -> str:
    """What a value is, in a few words, however large it is."""
    match value:
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case int() if value.bit_length() > 64:
            return f"an integer of {value.bit_length():,} bits"
        case str() if len(value) > 40:
            return f"{value[:40]!r}…, {len(value):,} characters"
        case bytes():
            start = f"{value[:16].hex(' ')}{'…' * (len(value) > 16)} " if value else ""
            return f"bin {start}of {len(value):,} bytes"
        case list():
            return "an array"
        case dict():
            return "a map"
        case int() | float() | str():
            return repr(value)
        case _:
            return f"a {type(value).__name__.lower()}"
