"""From a frame to its fields, through the stages in which a mistake may show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from conformance import _protocol as protocol
from conformance.wire import sense
from conformance.wire.packed import Node, PackedError, read
from conformance.wire.problem import STAGES, PayloadError, Stage
from conformance.wire.schema import Fields

if TYPE_CHECKING:
    from conformance.wire.frame import Frame
    from conformance.wire.record import Configuration

_NAME_START = 3
_HELLO, _PEERS = "PEER_LIST.hello", "PEER_LIST.peers"


@dataclass(slots=True)
class Examined:
    """What a frame says, as far as it can be read, and all that is wrong with it: by stage, then by place."""

    kind: str
    name: str = ""
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    problems: list[PayloadError] = field(default_factory=list[PayloadError])
    root: Node | None = None
    """The payload as it stands in the bytes; what could be read of it where that is not all."""


def examine(frame: Frame, first: bool | None) -> Examined:
    """Takes a frame apart. `first`: whether it must be a hello; None to tell by its fields if it is."""
    found = Examined(frame.kind)
    if first and frame.type != protocol.PEER_LIST:
        _add(found, frame, "schema", "HELLO_EXPECTED", "HELLO-1", "a PEER_LIST", frame.kind, 0, 1)
        return found
    try:
        found.name = frame.name.decode()
    except UnicodeDecodeError as error:
        start, end = _NAME_START + error.start, _NAME_START + error.end
        got = f"{frame.name[error.start : error.end].hex(' ')} ({error.reason})"
        _add(found, frame, "frame", "BAD_NAME", "FRAME-3", "a name of UTF-8", got, start, end)
        return found
    if frame.type not in protocol.TYPE_NAMES:
        _add(found, frame, "frame", "UNKNOWN_FRAME_TYPE", "FRAME-6", "a known type", str(frame.type), 0, 1)
        return found
    if frame.type == protocol.HEARTBEAT:
        found.fields = {"payload": frame.payload}
        return found
    _payload(frame, first, found)
    found.problems.sort(key=lambda problem: (STAGES.index(problem.stage), problem.start))
    return found


def configuration(data: bytes) -> Configuration:
    """What an entry of kind members holds. Raises `PayloadError`."""
    fields = Fields(data, "configuration")
    found = sense.configuration(data, 0, len(data), fields, "")
    if found is None or fields.problems:
        raise fields.problems[0]
    return found


def _payload(frame: Frame, first: bool | None, found: Examined) -> None:
    data = frame.encode()
    try:
        root = found.root = read(data, frame.payload_start)
    except PackedError as error:
        found.root = error.seen
        place = (error.expected, error.got, error.start, error.end)
        _add(found, frame, "msgpack", "BAD_PAYLOAD", error.rule, *place, path=error.path)
        return
    if frame.type == protocol.PEER_LIST:
        found.kind = _form(root, first)
    fields = Fields(data, found.kind)
    if frame.type == protocol.ACTOR_MSG:
        found.fields = {"message": fields.value(root, "message")}
    else:
        found.fields = fields.of_payload(root, found.kind)
        if found.kind == _HELLO:
            sense.judge_version(found.fields.get("version"), fields)
        if not fields.problems:
            sense.judge(found.kind, found.name, found.fields, fields)
    found.problems = fields.problems


def _form(root: Node, first: bool | None) -> str:
    if first is None:
        first = root.kind == "map" and any(key.value == "version" for key, _ in root.pairs)
    return _HELLO if first else _PEERS


def _add(
    found: Examined,
    frame: Frame,
    stage: Stage,
    code: str,
    rule: str,
    expected: str,
    got: str,
    start: int,
    end: int,
    path: str = "",
) -> None:
    problem = PayloadError(
        stage, code, rule, kind=frame.kind, path=path, expected=expected, got=got, start=start, end=end
    )
    found.problems.append(problem)
