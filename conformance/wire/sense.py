"""Whether what a payload's fields say makes sense by itself, whatever its receiver knows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from conformance._protocol import CHUNK_BYTES_MAX, MEMBERS_MAX, PROTOCOL_VERSION
from conformance.wire.packed import PackedError, read
from conformance.wire.problem import extended, joined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conformance.wire.record import Configuration, Entry, Server
    from conformance.wire.schema import Fields

_NODE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_ADDRESS = re.compile(
    r"(?:\[(?P<v6>[^\s\0-\x1f\x7f-\x9f\[\]]+)\]|(?P<host>[^\s\0-\x1f\x7f-\x9f:\[\]]+)):(?P<port>[0-9]{1,5})"
)


def is_node_id(text: str) -> bool:
    """Whether a node may be called so (HELLO-5)."""
    return _NODE_ID.fullmatch(text) is not None


def judge(kind: str, name: str, message: Mapping[str, Any], fields: Fields) -> None:
    """Adds to `fields` what is wrong with a message whose fields are all of their kinds."""
    fields.stage = "value"
    match kind:
        case "PEER_LIST.hello":
            _hello(name, message, fields)
        case "ASK_RES":
            _answer(message, fields)
        case "VOTE_REQUEST" | "PRE_VOTE_REQUEST":
            _members(message["members"], fields, "members")
        case "APPEND_ENTRIES_REQ":
            _entries(message, fields)
        case "INSTALL_SNAPSHOT_REQ":
            _snapshot(message, fields)
        case _:
            pass


def judge_version(version: object, fields: Fields) -> None:
    """Says that a hello is of another version, and nothing else: the rest of it is not to be read (HELLO-4)."""
    node = fields.nodes.get("version")
    if node is None or not isinstance(version, int) or version == PROTOCOL_VERSION:
        return
    fields.problems.clear()
    fields.stage = "value"
    expected = f"version {PROTOCOL_VERSION}"
    fields.add("version", node, "HELLO-4", expected, str(version), code="VERSION_MISMATCH")


def configuration(data: bytes, start: int, end: int, fields: Fields, path: str) -> Configuration | None:
    """What the data of entry 1 says; None, and a problem in `fields`, where it is no configuration."""
    try:
        root = read(data, start, end)
    except PackedError as error:
        place = extended(path, error.path)
        fields.add_at(place, error.start, error.end, "PAYLOAD-2", error.expected, error.got)
        return None
    found = fields.configuration(root, path)
    if found is not None:
        _members(found.members, fields, joined(path, "members"))
    return found


def is_address(text: str) -> bool:
    """Whether a node could be dialled there: host:port or [v6]:port (HELLO-5)."""
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65_536:
        return False
    return len((found["host"] or found["v6"]).encode()) <= 253


def _hello(name: str, message: Mapping[str, Any], fields: Fields) -> None:
    if not is_address(message["address"]):
        fields.add(
            "address", fields.nodes["address"], "HELLO-5", "host:port or [v6]:port", ascii(message["address"])
        )
    if message["expected_size"] == 0:
        fields.add("expected_size", fields.nodes["expected_size"], "HELLO-5", "at least 1", "0")
    if not is_node_id(name):
        node = fields.nodes[""]
        expected = "a frame name of the form [A-Za-z0-9._:-]{1,64}, the sender's node id"
        fields.add_at("", 3, node.start - 4, "HELLO-5", expected, ascii(name))


def _answer(message: Mapping[str, Any], fields: Fields) -> None:
    if ("value" in message) == ("code" in message):
        got = "both" if "value" in message else "neither"
        fields.add("", fields.nodes[""], "PAYLOAD-2", "either value or code", got)


def _members(members: Sequence[Server], fields: Fields, path: str) -> None:
    if not 1 <= len(members) <= MEMBERS_MAX:
        expected = f"1 to {MEMBERS_MAX} servers"
        fields.add(path, fields.nodes[path], "PAYLOAD-3", expected, f"{len(members)}")
    before: bytes | None = None
    for at, (node_id, _) in enumerate(members):
        here = f"{path}[{at}].node_id"
        if not is_node_id(node_id):
            fields.add(here, fields.nodes[here], "HELLO-5", "a node id [A-Za-z0-9._:-]{1,64}", ascii(node_id))
        id = node_id.encode()
        if before is not None and id <= before:
            expected = f"a node id after {before.decode()!r} in the order of bytes"
            fields.add(here, fields.nodes[here], "PAYLOAD-3", expected, ascii(node_id))
        before = id


def _entries(message: Mapping[str, Any], fields: Fields) -> None:
    term: int = message["prev_log_term"]
    if message["prev_log_index"] == 0 and term != 0:
        fields.add("prev_log_term", fields.nodes["prev_log_term"], "APPEND-9", "term 0 at index 0", str(term))
    entries: Sequence[Entry] = message["entries"]
    for at, entry in enumerate(entries):
        path = f"entries[{at}]"
        node = fields.nodes[f"{path}.term"]
        if entry.term < term:
            expected = f"a term of at least {term}, that of the entry before"
            fields.add(f"{path}.term", node, "APPEND-9", expected, str(entry.term))
        elif entry.term > message["term"]:
            expected = f"a term of at most {message['term']}, the request's"
            fields.add(f"{path}.term", node, "APPEND-9", expected, str(entry.term))
        term = max(term, entry.term)
        _entry(message["prev_log_index"] + 1 + at, entry, fields, path)


def _entry(index: int, entry: Entry, fields: Fields, path: str) -> None:
    if (index == 1) != (entry.kind == "members"):
        expected = "kind members at index 1" if index == 1 else f"kind members at 1 only, not at index {index}"
        fields.add(f"{path}.kind", fields.nodes[f"{path}.kind"], "FORM-8", expected, entry.kind)
    data = fields.nodes[f"{path}.data"]
    if entry.kind == "noop" and entry.data:
        fields.add(f"{path}.data", data, "FORM-8", "no data in a noop", f"{len(entry.data):,} bytes")
    if entry.kind == "members":
        configuration(fields.data, data.body_start, data.end, fields, f"{path}.data")


def _snapshot(message: Mapping[str, Any], fields: Fields) -> None:
    _members(message["members"], fields, "members")
    if message["last_included_term"] > message["term"]:
        node = fields.nodes["last_included_term"]
        expected = f"a term of at most {message['term']}, the request's"
        fields.add("last_included_term", node, "SNAP-10", expected, str(message["last_included_term"]))
    if message["last_included_index"] == 0:
        fields.add("last_included_index", fields.nodes["last_included_index"], "SNAP-11", "at least 1", "0")
    if (length := len(message["data"])) > CHUNK_BYTES_MAX:
        expected = f"at most {CHUNK_BYTES_MAX:,} bytes"
        fields.add("data", fields.nodes["data"], "SNAP-11", expected, f"{length:,} bytes")
