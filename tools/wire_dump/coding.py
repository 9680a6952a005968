"""`wire-dump decode` and `wire-dump encode`: frames from hex, frames to hex."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

from casty_console import complain
from conformance.wire.message import check as problems_of
from conformance.wire.problem import PayloadError
from wire_dump.arguments import EXIT_FOUND, EXIT_UNREADABLE
from wire_dump.events import Seen
from wire_dump.input import Input, Kind
from wire_dump.jsonform import FormError, frame_of
from wire_dump.output import writer
from wire_dump.redaction import parse_marks, redacted
from wire_dump.selection import Watch
from wire_dump.show import style_of, write
from wire_dump.sources import open_source, source_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from wire_dump.events import Event


def decode(parsed: argparse.Namespace) -> int:
    """Shows the frames that the hex digits are.

    1 where a frame breaks a rule, 2 where the bytes are no frames.
    """
    if parsed.hex == ["-"]:
        source = open_source("-")
    else:
        source = source_of(Input(io.BytesIO(" ".join(parsed.hex).encode())), kind=Kind.HEX)
    watch, broken = Watch(source), list[int]()
    events = _watched(watch.over(source.events), broken)
    marks = parse_marks(parsed.redact)
    out = writer(parsed.output, style_of(parsed), source.clock)
    write(redacted(events, marks) if marks else events, out)
    if not watch.frames and not watch.unreadable:
        complain("wire-dump: there is no frame to decode")
        return EXIT_UNREADABLE
    return EXIT_UNREADABLE if watch.unreadable else EXIT_FOUND if broken else 0


def _watched(events: Iterable[Event], broken: list[int]) -> Iterator[Event]:
    for event in events:
        if isinstance(event, Seen) and isinstance(event.decoded, PayloadError):
            broken.append(event.number)
        yield event


def encode(parsed: argparse.Namespace) -> int:
    """Writes the frames of JSON objects.

    A frame that breaks a rule is written all the same, and the rule is named.
    """
    broken = False
    for where, value in _objects(parsed.json):
        try:
            frame = frame_of(value)
        except FormError as error:
            raise FormError(f"{where}{error}") from None
        for problem in problems_of(frame):
            complain(f"wire-dump: {where}{problem}")
            broken = True
        if parsed.output == "raw":
            sys.stdout.buffer.write(frame.encode())
        else:
            print(frame.encode().hex())
    return EXIT_FOUND if broken else 0


def _objects(text: str) -> Iterator[tuple[str, Any]]:
    """Each object with where it was found. JSON is UTF-8, whatever the locale."""
    if text != "-":
        yield "", _parsed(text, "")
        return
    for number, data in enumerate(sys.stdin.buffer, 1):
        if data.strip():
            where = f"line {number}: "
            try:
                value = _parsed(data.decode(), where)
            except UnicodeDecodeError as error:
                wrong = f"byte {data[error.start]:02x} in column {error.start + 1}"
                raise FormError(f"{where}expected UTF-8, got {wrong}") from None
            if (
                not isinstance(value, dict) or "type" in value
            ):  # `-o json` tells of other things than frames, too
                yield where, value


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1] if text.strip() else ""
        start = max(0, error.colno - 40)
        shown = f"{line[start : start + 80]}\n  {' ' * (error.colno - 1 - start)}^"
        raise FormError(f"{where}no JSON: {error.msg} (column {error.colno})\n  {shown}") from None
    except RecursionError:
        raise FormError(f"{where}nested too deep") from None
    except ValueError:  # an integer of thousands of digits, which Python does not read
        raise FormError(f"{where}an integer does not fit 64 bits; a larger one is an $ext of code 13") from None
