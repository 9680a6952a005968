"""Hides what must not be shown, before anything shows it: `--redact '$kv.value'`.

A mark is ACTOR.FIELD, ACTOR.* for all that is said to an actor, or *.FIELD for every actor. Replies do not name
the actor that gives them, so a field that is hidden for one actor is hidden in all replies. Entries of the log
and snapshots hold what was said before, in the application's form: they are hidden as soon as anything is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from conformance.wire.frame import Frame
from conformance.wire.message import encode as encoded
from conformance.wire.message import message
from conformance.wire.problem import PayloadError
from conformance.wire.value import Dataclass
from wire_dump.events import Seen, Trouble
from wire_dump.kinds import is_list, is_map, is_plain_tuple
from wire_dump.mistakes import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from conformance.wire.message import Message
    from conformance.wire.record import Entry
    from wire_dump.events import Event

HIDDEN: Final = "«redacted»"


class RedactionError(UsageError):
    """A mark that cannot be read."""


def parse_marks(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Actor and field of each mark, `*` for any."""
    marks: list[tuple[str, str]] = []
    for text in texts:
        actor, _, field = text.rpartition(".")
        if not actor or not field:
            raise RedactionError(f"--redact {text!r}: expected ACTOR.FIELD, ACTOR.* or *.FIELD")
        marks.append((actor, field))
    return marks


def redacted(events: Iterable[Event], marks: Sequence[tuple[str, str]]) -> Iterator[Event]:
    """The events without what the marks name. A frame keeps its size, but not what it holds."""
    for event in events:
        match event:
            case Seen():
                event.redact(_without(event, marks))
            case Trouble():
                event.data, event.start, event.end = b"", 0, 0
            case _:
                pass
        yield event


def _without(event: Seen, marks: Sequence[tuple[str, str]]) -> Frame:
    said = event.decoded
    if isinstance(said, PayloadError):
        return Frame(
            event.frame.type, event.frame.name, b"\xc0"
        )  # whatever it is, it may be what is to be hidden
    fields = dict(said.fields)
    match said.kind:
        case "ACTOR_MSG" | "ASK_REQ":
            hide = {field for actor, field in marks if actor in ("*", said.name)}
            fields["message"] = _hidden(fields["message"], hide) if hide else fields["message"]
        case "ASK_RES":
            hide = {field for _, field in marks}
            fields |= {name: _hidden(fields[name], hide) for name in ("value",) if name in fields}
            fields |= {name: HIDDEN for name in ("text",) if name in fields}
        case "APPEND_ENTRIES_REQ":
            fields["entries"] = [_entry(entry) for entry in fields["entries"]]
        case "INSTALL_SNAPSHOT_REQ":
            fields["data"] = b"\0" * len(fields["data"])
        case "HEARTBEAT":
            fields["payload"] = b"\xc0"
        case _:
            return event.frame
    return encoded(_changed(said, fields))


def _changed(said: Message, fields: dict[str, Any]) -> Message:
    return message(said.kind, said.name, **fields)


def _entry(entry: Entry) -> Entry:
    return entry._replace(data=b"\0" * len(entry.data)) if entry.kind == "command" else entry


def _hidden(value: Any, fields: set[str]) -> Any:
    """The value without these fields, however deep they lie."""
    if "*" in fields:
        return HIDDEN
    if is_map(value):
        return {key: HIDDEN if key in fields else _hidden(item, fields) for key, item in value.items()}
    if isinstance(value, Dataclass):
        return Dataclass(value.tag, _hidden(value.fields, fields))
    if is_list(value):
        return [_hidden(item, fields) for item in value]
    return tuple(_hidden(item, fields) for item in value) if is_plain_tuple(value) else value
