"""A mistake is named by its path and its bytes, with what was expected and what stands there."""

from __future__ import annotations

from typing import Any

import pytest

from conformance._protocol import ACTOR_MSG, ASK_REQ, PING
from conformance.wire.frame import Frame
from conformance.wire.message import (
    Entry,
    Message,
    check,
    decode,
    encode,
    message,
)
from conformance.wire.packing import Ext, Pairs, Raw
from conformance.wire.value import pack
from tests.conformance.mistakes import CONFIGURATION, FIELDS, MEMBERS, built, only_problem


@pytest.mark.parametrize("kind", FIELDS)
def test_nothing_is_wrong_with_what_the_mistakes_are_made_from(kind: str) -> None:
    assert check(built(kind)) == []


@pytest.mark.parametrize(
    ("kind", "changes", "path", "rule", "expected", "got"),
    [
        ("PING", {"id": True}, "id", "PAYLOAD-3", "an integer 0 … 2^64-1", "true"),
        ("PING", {"id": -1}, "id", "PAYLOAD-3", "an integer 0 … 2^64-1", "-1"),
        ("PING", {"id": 1.0}, "id", "PAYLOAD-3", "an integer 0 … 2^64-1", "1.0"),
        ("PING", {"pong": 1}, "pong", "PAYLOAD-2", "true or false", "1"),
        ("PING", {"pong": None}, "pong", "PAYLOAD-2", "true or false", "nil"),
        ("VOTE_REQUEST", {"term": 2**63}, "term", "PAYLOAD-3", "an integer 0 … 2^63-1", "9223372036854775808"),
        ("VOTE_REQUEST", {"members": {}}, "members", "PAYLOAD-2", "an array of server", "a map of 0"),
        (
            "VOTE_REQUEST",
            {"members": [MEMBERS[0], ["n2"]]},
            "members[1]",
            "PAYLOAD-2",
            "an array [node_id, store_id]",
            "an array of 1",
        ),
        (
            "VOTE_REQUEST",
            {"members": [["n1", bytes(15)]]},
            "members[0].store_id",
            "PAYLOAD-4",
            "a bin of 16 bytes",
            "bin 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 of 15 bytes",
        ),
        (
            "VOTE_REQUEST",
            {"members": [[b"n1", bytes(16)]]},
            "members[0].node_id",
            "PAYLOAD-4",
            "a str",
            "bin 6e 31 of 2 bytes",
        ),
        (
            "APPEND_ENTRIES_REQ",
            {"entries": [Entry(5, "noop", b""), {"term": "5", "kind": "noop", "data": b""}]},
            "entries[1].term",
            "PAYLOAD-3",
            "an integer 0 … 2^63-1",
            "'5'",
        ),
        (
            "APPEND_ENTRIES_REQ",
            {"entries": [{"term": 5, "kind": "other", "data": b""}]},
            "entries[0].kind",
            "PAYLOAD-2",
            'one of "members", "noop", "command"',
            "'other'",
        ),
        (
            "PEER_LIST.hello",
            {"lane": b"raft"},
            "lane",
            "PAYLOAD-2",
            'one of "raft", "actor", "all"',
            "bin 72 61",
        ),
        ("PEER_LIST.peers", {"peers": [None]}, "peers[0]", "PAYLOAD-2", "an array [node_id, address]", "nil"),
        ("ASK_REQ", {"timeout_ms": "1"}, "timeout_ms", "PAYLOAD-3", "an integer 0 … 2^63-1", "'1'"),
    ],
)
def test_a_field_of_another_kind(
    kind: str, changes: dict[str, Any], path: str, rule: str, expected: str, got: str
) -> None:
    """The bytes are those of the value, and of nothing else."""
    frame = built(kind, **changes)
    error = only_problem(frame)
    assert (error.stage, error.code, error.rule, error.path) == ("schema", "BAD_PAYLOAD", rule, path)
    assert error.expected == expected
    assert error.got.startswith(got)
    assert frame.encode()[error.start : error.end] == pack(wrong(changes, path))


def wrong(changes: dict[str, Any], path: str) -> Any:
    """What stands at the path, in what the frame was made from."""
    value: Any = changes
    for step in path.replace("[", ".[").split("."):
        if step.startswith("["):
            value = value[int(step[1:-1])]
        else:
            value = value[step] if isinstance(value, dict) else value[["node_id", "store_id"].index(step)]
    return value


@pytest.mark.parametrize("kind", FIELDS)
def test_a_field_that_is_missing(kind: str) -> None:
    """The bytes are those of the map it is missing from."""
    for name in FIELDS[kind]:
        if kind == "ASK_RES" and name == "value":
            continue
        frame = built(kind, **{name: ...})
        problem = only_problem(frame, first=kind == "PEER_LIST.hello")
        assert (problem.rule, problem.path, problem.got) == ("PAYLOAD-2", name, "no such field")
        assert (problem.start, problem.end) == (frame.payload_start, frame.size)


@pytest.mark.parametrize(
    ("payload", "rule", "path", "expected", "got", "range"),
    [
        ("", "FRAME-5", "", "a value", "the end", (0, 0)),
        ("c0 c0", "FRAME-5", "", "one value and its end", "1 bytes after it", (1, 2)),
        ("82 a2 6964 07 a4 706f6e67 c1", "FRAME-5", "pong", "a value", "byte c1", (10, 11)),
        ("82 a2 6964 cd01", "PAYLOAD-6", "id", "the rest of a uint 16", "1 bytes and the end", (5, 6)),
        ("82 a2 6964 07 a4 70", "PAYLOAD-6", "(key 1)", "a str of 4 bytes", "1 bytes and the end", (5, 7)),
        ("81 a1 78 dd ffffffff", "PAYLOAD-6", "x", "4,294,967,295 elements as announced", "0 bytes", (3, 8)),
        ("81 a1 78 93 c0 df 00000002 c0", "PAYLOAD-6", "x[1]", "2 pairs as announced", "1 bytes", (5, 10)),
        ("81 a1 78 a2 c3 28", "PAYLOAD-4", "x", "a str of UTF-8", "c3", (4, 5)),
        ("81 a3 eda080 c0", "PAYLOAD-4", "(key 0)", "a str of UTF-8", "ed", (2, 3)),
        ("81 a1 78 c7 05 63 c0", "PAYLOAD-6", "x", "a body of 5 bytes", "1 bytes and the end", (3, 7)),
    ],
)
def test_bytes_that_are_no_msgpack(
    payload: str, rule: str, path: str, expected: str, got: str, range: tuple[int, int]
) -> None:
    frame = Frame(PING, b"", bytes.fromhex(payload))
    error = only_problem(frame)
    assert (error.stage, error.code, error.rule, error.path) == ("msgpack", "BAD_PAYLOAD", rule, path)
    assert error.expected == expected
    assert error.got.startswith(got)
    assert (error.start - frame.payload_start, error.end - frame.payload_start) == range


@pytest.mark.parametrize(
    ("frame", "path", "rule", "expected"),
    [
        (built("ASK_RES", code="X"), "", "PAYLOAD-2", "either value or code, got both"),
        (built("ASK_RES", value=...), "", "PAYLOAD-2", "either value or code, got neither"),
        (built("VOTE_REQUEST", members=[]), "members", "PAYLOAD-3", "1 to 64 servers, got 0"),
        (
            built("VOTE_REQUEST", members=MEMBERS[::-1][1:]),
            "members[1].node_id",
            "PAYLOAD-3",
            "a node id after 'n2' in the order of bytes, got 'n1'",
        ),
        (
            built("VOTE_REQUEST", members=[["n 1", bytes(16)]]),
            "members[0].node_id",
            "HELLO-5",
            "a node id [A-Za-z0-9._:-]{1,64}, got 'n 1'",
        ),
        (
            built("APPEND_ENTRIES_REQ", prev_log_term=5, entries=[Entry(4, "noop", b"")]),
            "entries[0].term",
            "APPEND-9",
            "a term of at least 5, that of the entry before, got 4",
        ),
        (
            built("APPEND_ENTRIES_REQ", entries=[Entry(5, "noop", b""), Entry(6, "noop", b"")]),
            "entries[1].term",
            "APPEND-9",
            "a term of at most 5, the request's, got 6",
        ),
        (
            built("APPEND_ENTRIES_REQ", entries=[Entry(5, "members", CONFIGURATION)]),
            "entries[0].kind",
            "FORM-8",
            "kind members at 1 only, not at index 8, got members",
        ),
        (
            built("APPEND_ENTRIES_REQ", prev_log_index=0, prev_log_term=0, entries=[Entry(5, "noop", b"")]),
            "entries[0].kind",
            "FORM-8",
            "kind members at index 1, got noop",
        ),
        (
            built("APPEND_ENTRIES_REQ", entries=[Entry(5, "noop", b"x")]),
            "entries[0].data",
            "FORM-8",
            "no data in a noop, got 1 bytes",
        ),
        (
            built(
                "APPEND_ENTRIES_REQ",
                prev_log_index=0,
                prev_log_term=0,
                entries=[Entry(5, "members", pack({"cluster_id": 1, "members": []}))],
            ),
            "entries[0].data.cluster_id",
            "PAYLOAD-4",
            "a bin of 16 bytes, got 1",
        ),
        (
            built("INSTALL_SNAPSHOT_REQ", last_included_term=6),
            "last_included_term",
            "SNAP-10",
            "a term of at most 5, the request's, got 6",
        ),
        (
            built("INSTALL_SNAPSHOT_REQ", last_included_index=0),
            "last_included_index",
            "SNAP-11",
            "at least 1, got 0",
        ),
        (
            built("INSTALL_SNAPSHOT_REQ", data=bytes(2**20 + 1)),
            "data",
            "SNAP-11",
            "at most 1,048,576 bytes, got 1,048,577 bytes",
        ),
        (
            built("APPEND_ENTRIES_REQ", prev_log_index=0, prev_log_term=2, entries=[]),
            "prev_log_term",
            "APPEND-9",
            "term 0 at index 0, got 2",
        ),
        (built("PEER_LIST.hello", address="h"), "address", "HELLO-5", "host:port or [v6]:port, got 'h'"),
        (built("PEER_LIST.hello", expected_size=0), "expected_size", "HELLO-5", "at least 1, got 0"),
    ],
)
def test_fields_that_make_no_sense_together(frame: Frame, path: str, rule: str, expected: str) -> None:
    error = check(frame)[0]
    assert (error.stage, error.code, error.path, error.rule) == ("value", "BAD_PAYLOAD", path, rule)
    assert f"expected {expected} (bytes {error.start} to {error.end}; BAD_PAYLOAD, {rule})" in str(error)


@pytest.mark.parametrize(
    ("value", "path", "bad", "expected", "got"),
    [
        (Ext(99, b"?"), "message", Ext(99, b"?"), "an extension code of the table", "code 99"),
        (
            [1, {"a": Ext(4, [1, 1])}],
            "message[1].a",
            Ext(4, [1, 1]),
            "set with no element twice",
            "2 elements, 1",
        ),
        (
            Ext(3, [Ext(2, ["n1"])]),
            "message[0]",
            Ext(2, ["n1"]),
            "ref with array [node_id, name]",
            "an array ['n1']",
        ),
        (
            Ext(1, ["a:B", {1: 2}]),
            "message",
            Ext(1, ["a:B", {1: 2}]),
            "dataclass with array [type,",
            "a field called 1",
        ),
        (
            Ext(1, ["a:B", {"x": Ext(10, [0, True, 0])}]),
            "message[1].x",
            Ext(10, [0, True, 0]),
            "timedelta with",
            "an arr",
        ),
        (
            (Ext(13, b"\x00\x01"),),
            "message[0]",
            Ext(13, b"\x00\x01"),
            "bigint with an integer outside",
            "bin 00 01",
        ),
        (Ext(3, Raw(b"\x92\x01")), "message", Raw(b"\x92\x01"), "2 elements as announced", "1 bytes for them"),
        (Ext(3, Raw(b"\x91\xc1")), "message[0]", Raw(b"\xc1"), "a value", "byte c1"),
    ],
)
def test_values_that_are_none(value: Any, path: str, bad: Any, expected: str, got: str) -> None:
    """VALUE-4, in a message as in an ask."""
    for type, payload in ((ACTOR_MSG, pack(value)), (ASK_REQ, pack({"id": 1, "message": value}))):
        frame = Frame(type, b"echo", payload)
        error = only_problem(frame)
        assert (error.stage, error.code, error.rule, error.path) == ("value", "BAD_MESSAGE", "VALUE-4", path)
        assert error.expected.startswith(expected)
        assert error.got.startswith(got)
        at = frame.encode()[error.start : error.end]
        assert pack(bad).startswith(at) if isinstance(bad, Raw) else at == pack(bad)


def test_all_that_is_wrong_is_listed_by_stage_and_then_by_place() -> None:
    frame = Frame(7, b"n1", pack(Pairs([("seq", True), (1, 2), ("term", -1), ([], 0), ("members", [["n1"]])])))
    assert [(error.stage, error.path, error.rule) for error in check(frame)] == [
        ("msgpack", "", "PAYLOAD-1"),
        ("schema", "last_log_index", "PAYLOAD-2"),
        ("schema", "last_log_term", "PAYLOAD-2"),
        ("schema", "formation", "PAYLOAD-2"),
        ("schema", "seq", "PAYLOAD-3"),
        ("schema", "", "PAYLOAD-1"),
        ("schema", "term", "PAYLOAD-3"),
        ("schema", "members[0]", "PAYLOAD-2"),
    ]


@pytest.mark.parametrize(
    ("frame", "stage", "code", "rule", "range"),
    [
        (Frame(1, b"a\xff", b"\xc0"), "frame", "BAD_NAME", "FRAME-3", (4, 5)),
        (Frame(200, b"a", b"\xc1"), "frame", "UNKNOWN_FRAME_TYPE", "FRAME-6", (0, 1)),
        (Frame(10, b"", b"\xc0"), "frame", "UNKNOWN_FRAME_TYPE", "FRAME-6", (0, 1)),
        (Frame(PING, b"", pack([1, True])), "schema", "BAD_PAYLOAD", "PAYLOAD-1", (7, 10)),
    ],
)
def test_frames_that_are_wrong_before_their_fields(
    frame: Frame, stage: str, code: str, rule: str, range: tuple[int, int]
) -> None:
    error = only_problem(frame)
    assert (error.stage, error.code, error.rule, (error.start, error.end)) == (stage, code, rule, range)


def test_what_comes_first_is_a_hello_and_nothing_later_is() -> None:
    """The forms of PEER_LIST are told apart by their place (HELLO-1); by their fields where it is not known."""
    hello, peers = built("PEER_LIST.hello"), built("PEER_LIST.peers")
    assert (decode(hello, first=True).kind, decode(hello).kind) == ("PEER_LIST.hello", "PEER_LIST.hello")
    assert (decode(peers, first=False).kind, decode(peers).kind) == ("PEER_LIST.peers", "PEER_LIST.peers")
    assert only_problem(hello, first=False).path == "peers"
    assert {error.path for error in check(peers, first=True)} == set(FIELDS["PEER_LIST.hello"])
    assert only_problem(built("PING"), first=True).code == "HELLO_EXPECTED"


def test_of_a_hello_of_another_version_nothing_else_is_read() -> None:
    """HELLO-4: another version may have another schema."""
    frame = encode(message("PEER_LIST.hello", "not an id", version=2, lane=7))
    error = only_problem(frame)
    assert (error.code, error.rule, error.path, error.got) == ("VERSION_MISMATCH", "HELLO-4", "version", "2")


def test_a_hello_is_named_as_a_node() -> None:
    """HELLO-5; the bytes are those of the name."""
    frame = encode(Message("PEER_LIST.hello", "n 1", FIELDS["PEER_LIST.hello"]))
    error = only_problem(frame)
    assert (error.rule, error.got, frame.encode()[error.start : error.end]) == ("HELLO-5", "'n 1'", b"n 1")


def test_unknown_fields_are_nobodys_business() -> None:
    """PAYLOAD-1: whatever they hold, but for an array as a key, what is no msgpack, or too deep (PAYLOAD-6)."""
    deep: Any = 0
    for _ in range(255):
        deep = [deep]
    strange = [Ext(99, b"?"), Ext(1, ["no.such:Type", 7]), {1.5: 0, True: 1}]
    assert check(built("PING", more=strange, other=deep)) == []
    assert only_problem(built("PING", more=[{1.5: Pairs([([], {})])}])).rule == "PAYLOAD-1"
    assert only_problem(built("PING", other=[deep])).rule == "PAYLOAD-6"


def test_the_body_of_an_extension_value_counts_as_levels() -> None:
    """A tuple is two levels (PAYLOAD-6): 127 of them and two arrays are 256, and one array more is too deep."""
    value: Any = []
    for _ in range(127):
        value = (value,)
    assert check(Frame(ACTOR_MSG, b"a", pack([value]))) == []
    error = only_problem(Frame(ACTOR_MSG, b"a", pack([[value]])))
    assert (error.stage, error.code, error.rule) == ("msgpack", "BAD_PAYLOAD", "PAYLOAD-6")
    assert (error.expected, error.got) == ("at most 256 levels", "level 257")
