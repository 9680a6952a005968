"""`python -m wire_dump.fuzz --inputs 1000000`: throws damaged inputs at everything that reads them.

Inputs are made of good ones by changes that know the structure: lengths, types and formats of fields, headers
of packets and files, the order, the cut and the repetition of segments. An input is found bad when it raises,
takes longer than `SECONDS_MAX`, or makes a line that is no line. A seed and a number make the same input again.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import signal
import time
from collections import Counter
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from casty_console import complain, program
from conformance.trace.invariants import Checker, scene
from conformance.trace.rows import Arrow
from conformance.trace.story import tell
from conformance.wire.message import check as problems_of
from wire_dump import connections, fragments, naming, reassembly, stats, stream, traces
from wire_dump.damage import an_input, worse
from wire_dump.events import Seen, records
from wire_dump.filters import FilterError, parse
from wire_dump.input import Input, Kind
from wire_dump.jsonform import frame_object, frame_of
from wire_dump.mistakes import UsageError
from wire_dump.naming import parse_names
from wire_dump.output import writer
from wire_dump.redaction import parse_marks, redacted
from wire_dump.sources import source_of
from wire_dump.specimens import good_frames
from wire_dump.stats import Totals
from wire_dump.text import Style

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from types import FrameType

    from wire_dump.events import Event

SECONDS_MAX: Final = 5.0
"""Of processor time: a hundred times as much as the slowest good input takes."""
_FORMS: Final = (
    "text",
    "json",
    "hex",
    "fields=time,src,type,term,entries.kind,message.op,error",
    "fields=number,conn,dst,kind,name,size,offset,fate,rule,value,entries,vote_granted,cluster_id,text",
)
_EXPRESSIONS: Final = (
    "type==AE and term>=1",
    'entries.kind=="command" or not name~"n."',
    "message.amount<3",
    "term in (1, 2)",
    'dst != "n2" or conn == 0x1 or type == "ae"',
    'kind ~ "PEER" and (rule contains "PAY" or vote_granted != true)',
    'cluster_id ~ "00" or message == nil or entries > 1',
    "value contains 1 or last_log_index == term or type in (RV, VR)",
    "(" * 100 + "term",
)
_MARKS: Final[tuple[list[str], ...]] = (["$kv.value"], ["*.*"], ["counter.amount", "$kv.op"], [])


def read(rng: random.Random, data: bytes) -> int:
    """Reads the input in every way; how many events there were. Raises for what must not be."""
    with _lower_limits() if rng.random() < 0.1 else nullcontext():
        return _read(rng, data)


def _read(rng: random.Random, data: bytes) -> int:
    kind = rng.choice(tuple(Kind)) if rng.random() < 0.03 else None
    names = {rng.choice(("10.0.0.1:8001", "8001")): "n7"} if rng.random() < 0.1 else None
    source = source_of(Input(io.BytesIO(data)), kind=kind, resync=rng.random() < 0.3, names=names)
    events: list[Event] = list(source.events)
    style = Style(
        rng.random() < 0.5, rng.randrange(5), rng.choice(("rel", "abs", "delta")), rng.choice((None, 20))
    )
    out = writer(rng.choice(_FORMS), style, source.clock)
    for event in events:
        for line in out.lines(event):
            assert "\n" not in line, line
            assert style.colour or "\x1b" not in line, line
    if rng.random() < 0.3:
        _read_further(rng, events)
    return len(events)


_LOW: Final = (
    (connections, "CONNECTIONS_MAX", 1),
    (connections, "HELD_BYTES_MAX", 60),
    (reassembly, "WAITING_BYTES_MAX", 100),
    (reassembly, "WINDOW_BYTES_MAX", 100),
    (fragments, "UNFINISHED_MAX", 1),
    (stream, "SEARCHED_BYTES_MAX", 100),
    (naming, "KNOWN_MAX", 1),
    (traces, "CONNECTIONS_MAX", 1),
    (stats, "OPEN_MAX", 1),
    (stats, "PAIRS_MAX", 1),
    (scene, "CONNECTIONS_MAX", 1),
    (naming, "LOOK_AHEAD_EVENTS", 1),
)


@contextmanager
def _lower_limits() -> Generator[None]:
    """Limits that small inputs reach."""
    before = [getattr(module, name) for module, name, _ in _LOW]
    for module, name, value in _LOW:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(_LOW, before, strict=True):
            setattr(module, name, value)


def _read_further(rng: random.Random, events: list[Event]) -> None:
    wanted = parse(rng.choice(_EXPRESSIONS[:-1]))
    totals, checker = Totals(), Checker(complete=rng.random() < 0.5)
    for event in events:
        wanted(event)
        totals.add(event)
    list(totals.lines())
    json.dumps(totals.as_object())
    for record in records(events):
        try:
            checker.feed(record)
        except ValueError:
            pass  # a mark of the suite that makes no sense
    story = tell(records(events), everything=rng.random() < 0.5)
    assert all(row.source in story.nodes for row in story.rows if isinstance(row, Arrow))
    for event in events:
        if isinstance(event, Seen):
            problems_of(event.frame, first=rng.choice((None, True, False)))
            again = frame_of(json.loads(json.dumps(frame_object(event.frame))))
            assert again.type == event.frame.type
    list(redacted(events, parse_marks(rng.choice(_MARKS))))


def expression(rng: random.Random) -> None:
    """A filter expression, damaged."""
    text = worse(rng, rng.choice(_EXPRESSIONS).encode(), rng.randint(0, 2)).decode("utf-8", "replace")
    try:
        parse(text)
    except FilterError:
        pass


def written(rng: random.Random) -> None:
    """The JSON of a frame, and names of nodes, damaged."""
    text = json.dumps(frame_object(rng.choice(good_frames(rng))))
    try:
        frame_of(json.loads(worse(rng, text.encode(), rng.randint(1, 2)).decode("utf-8", "replace")))
        parse_names(worse(rng, b"n1=127.0.0.1:1,n2=2", 1).decode("utf-8", "replace"))
    except (UsageError, json.JSONDecodeError):
        pass


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """0: nothing was found. 1: something was; the seed and the number of the input are named."""
    parser = argparse.ArgumentParser(prog="wire_dump.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parsed = parser.parse_args(arguments)
    signal.signal(signal.SIGPROF, _hang)
    counts: Counter[str] = Counter()
    began = time.monotonic()
    for number in range(parsed.first, parsed.first + parsed.inputs):
        problem = try_one(parsed.seed, number, counts)
        if problem:
            print(f"seed {parsed.seed}, input {number}: {problem}")
            return 1
        if number % 50_000 == 49_999:
            complain(f"{number + 1:,} inputs, {time.monotonic() - began:.0f} s")
    print(
        f"{parsed.inputs:,} inputs, {counts['events']:,} events: no exception, none longer than {SECONDS_MAX} s"
    )
    return 0


def try_one(seed: int, number: int, counts: Counter[str]) -> str:
    """What was wrong with how this input was read; empty if nothing was."""
    rng = random.Random(f"{seed}/{number}")
    signal.setitimer(signal.ITIMER_PROF, SECONDS_MAX)
    try:
        if number % 20 == 0:
            expression(rng)
            written(rng)
        counts["events"] += read(rng, an_input(rng))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""


def _hang(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"longer than {SECONDS_MAX} s")


if __name__ == "__main__":
    raise SystemExit(main())
