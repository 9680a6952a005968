"""Messages with which nothing is wrong but what a test changes in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from conformance._rules import RULES
from conformance.wire.message import (
    Entry,
    PayloadError,
    Server,
    check,
    decode,
    encode,
    encode_configuration,
    message,
)

if TYPE_CHECKING:
    from conformance.wire.frame import Frame

MEMBERS = tuple(Server(f"n{number}", bytes([number]) * 16) for number in (1, 2, 3))
CONFIGURATION = encode_configuration(bytes(16), MEMBERS)
FIELDS: dict[str, dict[str, Any]] = {
    "PEER_LIST.hello": {
        "version": 1,
        "cluster": "c",
        "store_id": bytes(16),
        "boot_id": bytes(16),
        "lane": "raft",
        "address": "h:1",
        "expected_size": 3,
    },
    "PEER_LIST.peers": {"peers": [["n2", "h:2"]]},
    "ASK_REQ": {"id": 1, "message": None},
    "ASK_RES": {"id": 1, "value": None},
    "VOTE_REQUEST": {
        "term": 5,
        "seq": 1,
        "last_log_index": 9,
        "last_log_term": 4,
        "formation": False,
        "members": MEMBERS,
    },
    "APPEND_ENTRIES_REQ": {
        "term": 5,
        "seq": 2,
        "prev_log_index": 7,
        "prev_log_term": 2,
        "entries": [Entry(4, "noop", b""), Entry(5, "command", b"x")],
        "leader_commit": 7,
    },
    "INSTALL_SNAPSHOT_REQ": {
        "term": 5,
        "seq": 3,
        "last_included_index": 9,
        "last_included_term": 5,
        "cluster_id": bytes(16),
        "members": MEMBERS,
        "size": 1,
        "checksum": 0,
        "offset": 0,
        "data": b"x",
        "done": True,
    },
    "PING": {"id": 7, "pong": False},
}


def built(kind: str, **changes: Any) -> Frame:
    """A message with which nothing is wrong but these fields; `...` leaves one out."""
    fields = {name: value for name, value in {**FIELDS[kind], **changes}.items() if value is not ...}
    return encode(message(kind, "n1", **fields))


def only_problem(frame: Frame, first: bool | None = None) -> PayloadError:
    [problem] = check(frame, first=first)
    with pytest.raises(PayloadError) as caught:
        decode(frame, first=first)
    assert str(caught.value) == str(problem)
    assert problem.rule in RULES
    return problem
