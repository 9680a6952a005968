"""What is kept of a case for people to look at, and to play it again: one folder, readable without the suite.

case.json            the case, the settings of the run, what came of it
repro.sh             the one command that plays it again
wire.jsonl           every frame and every event, in order (also wire.pcap, for Wireshark)
picture.html         the messages between the nodes, drawn
nodes/*/             config.json, argv.txt, stderr.txt and the data directory of each node
timeline.html        the history of the clients, where the case has one
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from conformance.settings import Settings
from conformance.trace.pcap import write_capture
from conformance.trace.picture import page
from conformance.trace.record import Marked
from conformance.trace.store import TraceError, read_trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conformance.case import Case
    from conformance.trace.record import Record
    from conformance.trace.store import Trace
    from conformance.verdict import Outcome

FORMAT: Final = 1
CASE_FILE: Final = "case.json"


def name_of(case_id: str, repeat: int, settings: Settings) -> str:
    """The folder's name within `cases`: the id, with a number where cases are repeated."""
    return case_id if settings.repeat == 1 else f"{case_id}.{repeat}"


def begin(folder: Path, case: Case, settings: Settings, repeat: int) -> None:
    """Writes what is known before the case is played: so that one that was interrupted can be played again."""
    _write_case(folder, case, settings, repeat, None)
    script = folder / "repro.sh"
    script.write_text(
        "#!/bin/sh\n"
        f"# Plays {case.id} once more, with the command and the seed of the run that left this folder behind.\n"
        'here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)\n'
        'exec ${CONFORMANCE:-conformance} replay "$@" "$here"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)


def finish(folder: Path, case: Case, settings: Settings, outcome: Outcome, trace: Trace) -> None:
    """Adds the outcome, and the trace in the forms that other programs and people read."""
    _write_case(folder, case, settings, outcome.repeat, outcome)
    for record in trace:
        if isinstance(record, Marked) and record.event == "start" and record.node is not None:
            place = folder / "nodes" / record.node
            place.mkdir(parents=True, exist_ok=True)  # a refused start may have left nothing there
            with (place / "argv.txt").open("a", encoding="utf-8") as file:
                file.write(f"{record.text}\n")
    write_capture(trace, trace.header, folder / "wire.pcap")
    (folder / "picture.html").write_text(
        page(trace, title=f"{case.id}  {case.title}"), encoding="utf-8", errors="backslashreplace"
    )


class ArtifactError(ValueError):
    """A folder that holds no case that could be played again."""


class Kept(NamedTuple):
    """A case as it was played."""

    case: str
    settings: Settings
    repeat: int
    directory: str
    """Where the run was started: relative paths in the command are meant from there."""
    outcome: dict[str, Any] | None
    """None where it was interrupted."""


def read_case(folder: Path) -> Kept:
    """What the folder of a case that was kept says. Raises `ArtifactError` where it is no such folder."""
    path = folder / CASE_FILE if folder.is_dir() else folder
    try:
        given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        settings = Settings.from_dict(given["settings"])
        id, directory = str(given["case"]["id"]), str(given["directory"])
        return Kept(id, settings, int(given["repeat"]), directory, given["outcome"])
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}; give the folder of a case that was kept") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is not what a run left behind: {error!r}") from None


def records(folder: Path) -> Iterator[Record]:
    """The trace that was kept, up to where it can be read."""
    with contextlib.suppress(OSError, TraceError):
        yield from read_trace(folder / "wire.jsonl")


def _write_case(folder: Path, case: Case, settings: Settings, repeat: int, outcome: Outcome | None) -> None:
    texts = ("id", "title", "given", "when", "expect", "why", "hint")
    fields = {
        "format": FORMAT,
        "case": {name: getattr(case, name) for name in texts} | {"rules": [*case.rules]},
        "command": shlex.join(settings.command),
        "directory": os.getcwd(),
        "settings": settings.as_dict(),
        "repeat": repeat,
        "outcome": None if outcome is None else outcome.as_dict(),
    }
    text = json.dumps(fields, indent=1, ensure_ascii=True)
    (folder / CASE_FILE).write_text(text + "\n", encoding="utf-8")
