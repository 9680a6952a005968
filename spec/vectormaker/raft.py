"""Raft's messages."""

from __future__ import annotations

from typing import Any

from vectormaker.bytes import FALSE, NIL, TRUE, Value, array, binary, boolean, fields, text, uint
from vectormaker.meeting import CLUSTER
from vectormaker.vector import Group, valid

LARGEST = uint(2**63 - 1)


def server(node_id: str, number: int) -> Value:
    return array(text(node_id), binary(bytes([number]) * 16))


MEMBERS = array(server("n1", 1), server("n2", 2), server("n3", 3))


def ballot(
    term: int = 5, seq: int = 1, *, formation: bool = False, members: Value = MEMBERS, **changes: Value
) -> Value:
    """The payload of VOTE_REQUEST and PRE_VOTE_REQUEST."""
    said = {
        "term": uint(term),
        "seq": uint(seq),
        "last_log_index": uint(100),
        "last_log_term": uint(4),
        "formation": boolean(formation),
        "members": members,
    }
    return fields(**(said | changes))


def vote(*, granted: bool, term: int = 5) -> Value:
    """The payload of VOTE_RESPONSE and PRE_VOTE_RESPONSE."""
    return fields(term=uint(term), request_term=uint(5), seq=uint(1), vote_granted=boolean(granted))


def entry(term: int, kind: str, data: bytes = b"", **more: Value) -> Value:
    return fields(term=uint(term), kind=text(kind), data=binary(data), **more)


def append(*entries: Value, prev: tuple[int, int] = (100, 4), commit: int = 99, **changes: Value) -> Value:
    """The payload of APPEND_ENTRIES_REQ, in term 5."""
    said = {
        "term": uint(5),
        "seq": uint(2),
        "prev_log_index": uint(prev[0]),
        "prev_log_term": uint(prev[1]),
        "entries": array(*entries),
        "leader_commit": uint(commit),
    }
    return fields(**(said | changes))


def appended(*, success: bool, match: int = 0, **more: Value) -> Value:
    """The payload of APPEND_ENTRIES_RES."""
    return fields(
        term=uint(5),
        request_term=uint(5),
        seq=uint(2),
        success=boolean(success),
        match_index=uint(match),
        **more,
    )


def chunk(data: bytes, offset: int, *, done: bool, **changes: Value) -> Value:
    """The payload of INSTALL_SNAPSHOT_REQ: of a snapshot of 11 bytes, `hello world`."""
    said = {
        "term": uint(5),
        "seq": uint(3),
        "last_included_index": uint(90),
        "last_included_term": uint(4),
        "cluster_id": CLUSTER,
        "members": MEMBERS,
        "size": uint(11),
        "checksum": uint(0x0D4A1185),
        "offset": uint(offset),
        "data": binary(data),
        "done": boolean(done),
    }
    return fields(**(said | changes))


def installed(offset: int, *, done: bool) -> Value:
    """The payload of INSTALL_SNAPSHOT_RES."""
    return fields(
        term=uint(5),
        request_term=uint(5),
        seq=uint(3),
        last_included_index=uint(90),
        offset=uint(offset),
        installed=boolean(done),
    )


CONFIGURATION = fields(cluster_id=CLUSTER, members=MEMBERS)
FIRST = entry(1, "members", CONFIGURATION.wire)
COMMAND = entry(5, "command", b"\x81\xa1x\x01")


def raft(id: str, type: int, payload: Value, comment: str, *rules: str, canonical: bool = True) -> Any:
    return valid(id, type, "n1", payload, comment, *rules, canonical=canonical)


VOTES = Group(
    "valid/raft-votes.json",
    "VOTE_REQUEST and PRE_VOTE_REQUEST with their answers",
    (
        raft("VOTE-ASKED", 7, ballot(), "A member asks for a vote", "ELECT-3"),
        raft("VOTE-FORMATION", 7, ballot(formation=True), "A server that is no member yet does", "FORM-3"),
        raft("VOTE-ALONE", 7, ballot(members=array(server("n1", 1))), "A cluster of one", "FORM-4"),
        raft(
            "VOTE-BYTE-ORDER",
            7,
            ballot(
                members=array(
                    server("N1", 1), server("n-1", 2), server("n1", 3), server("n10", 4), server("n2", 5)
                )
            ),
            "Members are sorted by the bytes of their ids",
            "FORM-4",
        ),
        raft(
            "VOTE-LARGEST",
            7,
            ballot(2**63 - 1, 2**64 - 1, last_log_index=LARGEST, last_log_term=LARGEST),
            "The largest numbers",
            "PAYLOAD-3",
        ),
        raft(
            "VOTE-EMPTY-LOG",
            7,
            ballot(1, last_log_index=uint(0), last_log_term=uint(0)),
            "An empty log",
            "ELECT-3",
        ),
        raft("VOTE-GRANTED", 8, vote(granted=True), "Yes", "VOTE-2"),
        raft("VOTE-DENIED", 8, vote(granted=False, term=9), "No, and the voter is in a later term", "TERM-2"),
        raft("PRE-VOTE-ASKED", 18, ballot(), "Would you?", "PREVOTE-1"),
        raft("PRE-VOTE-FORMATION", 18, ballot(formation=True), "Before a cluster is formed", "FORM-3"),
        raft("PRE-VOTE-GRANTED", 19, vote(granted=True), "I would", "PREVOTE-2"),
        raft(
            "PRE-VOTE-DENIED",
            19,
            vote(granted=False, term=9),
            "I would not, and am in a later term",
            "PREVOTE-3",
        ),
        raft(
            "VOTE-LONG-FORMATS",
            7,
            fields(
                term=uint(5, 8),
                seq=uint(1, 4),
                last_log_index=uint(100, 2),
                last_log_term=uint(4, 1),
                formation=FALSE,
                members=array(array(text("n1", 2), binary(b"\x01" * 16, 4), width=2), width=4),
            ),
            "Everything in a longer format than it needs",
            "PAYLOAD-3",
            "PAYLOAD-4",
            canonical=False,
        ),
    ),
)

REPLICATION = Group(
    "valid/raft-append.json",
    "APPEND_ENTRIES_REQ and its answers",
    (
        raft("APPEND-HEARTBEAT", 12, append(), "Without entries, a heartbeat", "LEADER-1"),
        raft(
            "APPEND-FIRST", 12, append(FIRST, prev=(0, 0), commit=0), "Entry 1 is the configuration", "FORM-6"
        ),
        raft("APPEND-NOOP", 12, append(entry(5, "noop")), "A new leader's no-op", "LEADER-2"),
        raft("APPEND-COMMAND", 12, append(COMMAND), "A command", "APPEND-4"),
        raft("APPEND-EMPTY-COMMAND", 12, append(entry(5, "command")), "A command of no bytes", "APPEND-4"),
        raft(
            "APPEND-MANY",
            12,
            append(*(entry(4, "command", b"c" * size) for size in range(20)), entry(5, "noop"), commit=120),
            "More than fit a fixarray, of two terms",
            "APPEND-4",
            "APPEND-9",
        ),
        raft(
            "APPEND-FROM-ONE",
            12,
            append(FIRST, COMMAND, prev=(0, 0), commit=2),
            "The log from its start",
            "APPEND-2",
        ),
        raft(
            "APPEND-UNKNOWN-FIELD",
            12,
            append(entry(5, "command", b"x", trace=NIL), lease=TRUE),
            "Unknown fields, in an entry as well",
            "PAYLOAD-1",
            canonical=False,
        ),
        raft("APPEND-ACCEPTED", 13, appended(success=True, match=102), "Durable up to 102", "APPEND-7"),
        raft(
            "APPEND-PART",
            13,
            appended(success=True, match=100),
            "The rest follows when it is durable",
            "APPEND-8",
        ),
        raft("APPEND-REFUSED", 13, appended(success=False), "Refused, plainly", "APPEND-2"),
        raft(
            "APPEND-CONFLICT",
            13,
            appended(success=False, conflict_index=uint(88), conflict_term=uint(3)),
            "Refused, with a hint: the first index of the term found there",
            "LEADER-5",
        ),
        raft(
            "APPEND-SHORT",
            13,
            appended(success=False, conflict_index=uint(42)),
            "The log ends before",
            "LEADER-5",
        ),
    ),
)

SNAPSHOTS = Group(
    "valid/raft-snapshots.json",
    "INSTALL_SNAPSHOT_REQ and its answers",
    (
        raft("SNAPSHOT-FIRST", 14, chunk(b"hello ", 0, done=False), "The first chunk", "SNAP-2"),
        raft("SNAPSHOT-LAST", 14, chunk(b"world", 6, done=True), "The last one", "SNAP-2"),
        raft(
            "SNAPSHOT-EMPTY",
            14,
            chunk(b"", 0, done=True, size=uint(0), checksum=uint(0)),
            "A snapshot of no bytes",
            "SNAP-2",
        ),
        raft("SNAPSHOT-WANTED", 15, installed(6, done=False), "Byte 6 is the next one wanted", "SNAP-2"),
        raft("SNAPSHOT-INSTALLED", 15, installed(11, done=True), "It is installed, durably", "SNAP-4"),
    ),
)
