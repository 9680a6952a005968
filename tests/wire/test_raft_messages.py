"""Raft's messages: to frames and back, and what no server could mean (APPEND-9, FORM-6, FORM-8; R-29, X-05)."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from casty.errors import MessageTooLargeError, ProtocolError
from casty.raft.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    VoteRequest,
    VoteResponse,
)
from casty.raft.types import ClusterId, Entry, EntryKind, Index, NodeId, ServerId, StoreId, Term
from casty.wire import _protocol as p
from casty.wire.frames import Frame
from casty.wire.messages import MessageCodec
from tests.wire.nodes import frame_of, new_node, value_codec

LARGEST = p.NUMBER_MAX
ID = ClusterId(b"c" * 16)


def server(node_id: str, number: int = 1) -> ServerId:
    return ServerId(NodeId(node_id), StoreId(bytes([number]) * 16))


MEMBERS = (server("n1"), server("n2"), server("n3"))


def command(term: int, data: bytes = b"x") -> Entry:
    return Entry(Term(term), EntryKind.COMMAND, data)


CONFIGURATION = {"cluster_id": ID, "members": [list(member) for member in MEMBERS]}
FIRST = Entry(Term(0), EntryKind.MEMBERS, msgpack.packb(CONFIGURATION))


def append(*entries: Entry, prev: int = 100, prev_term: int = 4, term: int = 5) -> AppendEntriesRequest:
    return AppendEntriesRequest(Term(term), 7, Index(prev), Term(prev_term), Index(99), entries)


def chunk(data: bytes, members: tuple[ServerId, ...] = MEMBERS) -> InstallSnapshotRequest:
    return InstallSnapshotRequest(
        Term(5), 7, Index(9), Term(4), ID, members, size=11, checksum=1, offset=0, data=data, done=False
    )


MESSAGES: list[Message] = [
    VoteRequest(Term(5), 1, Index(9), Term(4), formation=True, members=MEMBERS),
    VoteRequest(Term(LARGEST), 2**64 - 1, Index(LARGEST), Term(LARGEST), formation=False, members=MEMBERS[:1]),
    VoteResponse(Term(5), Term(4), 1, vote_granted=True),
    PreVoteRequest(Term(5), 1, Index(0), Term(0), formation=False, members=MEMBERS),
    PreVoteResponse(Term(5), Term(4), 1, vote_granted=False),
    append(),
    append(FIRST, command(5), prev=0, prev_term=0),
    append(*(command(4, bytes(number)) for number in range(100)), Entry(Term(5), EntryKind.NOOP, b"")),
    AppendEntriesResponse(Term(5), Term(5), 7, success=True, match_index=Index(100)),
    AppendEntriesResponse(Term(5), Term(5), 7, success=False, match_index=Index(0), conflict_index=Index(1)),
    AppendEntriesResponse(
        Term(5), Term(5), 7, success=False, match_index=Index(0), conflict_index=Index(0), conflict_term=Term(0)
    ),
    chunk(b"hello"),
    chunk(b"x" * p.CHUNK_BYTES_MAX),
    InstallSnapshotResponse(Term(5), Term(5), 7, Index(9), offset=5, installed=False),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_from_its_frame(message: Message) -> None:
    """PAYLOAD-7: equal, with the same types in it, and with the sender for a name."""
    codec = new_node().messages
    frame = frame_of(codec.encode_raft("n1", message))
    assert frame.name == "n1"
    again = codec.decode(frame)
    assert again == message
    assert repr(again) == repr(message)


def fields_of(message: Message, **changes: object) -> tuple[int, dict[str, Any]]:
    frame = frame_of(new_node().messages.encode_raft("n1", message))
    return frame.type, msgpack.unpackb(frame.payload) | changes


def fault(message: Message, **changes: object) -> str:
    """What is wrong with the message if some of its fields are others."""
    kind, fields = fields_of(message, **changes)
    with pytest.raises(ProtocolError) as caught:
        new_node().messages.decode(Frame(kind, "n1", msgpack.packb(fields)))
    assert caught.value.code == "BAD_PAYLOAD"
    return f"{caught.value.rule}: {caught.value.text}"


# Entries.

GOOD = {"term": 5, "kind": "command", "data": b""}


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([GOOD, None], "PAYLOAD-2: APPEND_ENTRIES_REQ.entries[1] is nil; expected a map of an entry's fields"),
        ([[5, "noop", b""]], "PAYLOAD-2: APPEND_ENTRIES_REQ.entries[0] is an array of 3; expected a map"),
        ([GOOD, {"term": 5, "data": b""}], "PAYLOAD-2: APPEND_ENTRIES_REQ.entries[1].kind is missing"),
        (
            [{**GOOD, "term": True}],
            f"PAYLOAD-3: APPEND_ENTRIES_REQ.entries[0].term is true; expected an integer 0 … {LARGEST}",
        ),
        ([{**GOOD, "term": 5.0}], "PAYLOAD-3: APPEND_ENTRIES_REQ.entries[0].term is 5.0; expected an integer"),
        ([{**GOOD, "term": -1}], "PAYLOAD-3: APPEND_ENTRIES_REQ.entries[0].term is -1; expected an integer"),
        (
            [GOOD, {**GOOD, "term": LARGEST + 1}],
            f"PAYLOAD-3: APPEND_ENTRIES_REQ.entries[1].term is {LARGEST + 1}; expected",
        ),
        (
            [{**GOOD, "kind": "config"}],
            "PAYLOAD-2: APPEND_ENTRIES_REQ.entries[0].kind is 'config'; expected one of members, ",
        ),
        (
            [{**GOOD, "kind": [1]}],
            "PAYLOAD-2: APPEND_ENTRIES_REQ.entries[0].kind is an array of 1; expected one of",
        ),
        ([{**GOOD, "data": "x"}], "PAYLOAD-4: APPEND_ENTRIES_REQ.entries[0].data is 'x'; expected a bin"),
        ("abc", "PAYLOAD-2: APPEND_ENTRIES_REQ.entries is 'abc'; expected an array"),
    ],
)
def test_an_entry_that_is_none_is_named(entries: object, text: str) -> None:
    """PAYLOAD-2 … PAYLOAD-4: index, field, value, expectation."""
    assert fault(append(), entries=entries).startswith(text)


def test_unknown_fields_of_an_entry_are_ignored_unless_too_deep() -> None:
    """PAYLOAD-1, PAYLOAD-6: an entry is a map of fields like any other."""
    kind, fields = fields_of(append(command(5)))
    fields["entries"][0]["trace"] = {"a": [1]}
    assert new_node().messages.decode(Frame(kind, "n1", msgpack.packb(fields))) == append(command(5))
    deep: Any = []
    for _ in range(260):
        deep = [deep]
    assert fault(append(), entries=[{**GOOD, "trace": deep}]).startswith("PAYLOAD-6: ")


@pytest.mark.parametrize(
    ("terms", "prev_term", "text"),
    [
        ([5, 4], 4, "term 5 at index 101 before term 4; expected terms that do not fall"),
        ([3], 4, "term 4 at index 100 before term 3; expected terms that do not fall"),
        ([4, 6], 4, "term 6 at index 102 before term 5; expected terms that do not fall"),
    ],
)
def test_terms_do_not_fall(terms: list[int], prev_term: int, text: str) -> None:
    """APPEND-9: nor do they exceed the request's, in anybody's log."""
    entries = [{**GOOD, "term": term} for term in terms]
    expected = f"APPEND-9: APPEND_ENTRIES_REQ.entries: {text}"
    assert fault(append(prev_term=prev_term), entries=entries) == expected


@pytest.mark.parametrize(
    ("prev", "kinds"),
    [
        (0, ["command"]),
        (0, ["noop", "members"]),
        (0, ["members", "members"]),
        (1, ["members"]),
        (7, ["noop", "members"]),
    ],
)
def test_the_configuration_is_entry_one_and_no_other(prev: int, kinds: list[str]) -> None:
    """FORM-8: members at index 1, and only there."""
    entries = [{**GOOD, "kind": kind} for kind in kinds]
    text = fault(append(prev=prev, prev_term=0), entries=entries)
    assert text.startswith(
        f"FORM-8: APPEND_ENTRIES_REQ.entries: kinds {', '.join(kinds)} from index {prev + 1} on"
    )


# Member lists.


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([], "PAYLOAD-2: VOTE_REQUEST.members has 0 servers; expected 1 to 64"),
        (
            [server(f"n{n:02}") for n in range(65)],
            "PAYLOAD-2: VOTE_REQUEST.members has 65 servers; expected 1 to 64",
        ),
        (
            [server("b"), server("a")],
            "PAYLOAD-2: VOTE_REQUEST.members has 'b' before 'a'; expected distinct ids, sorted",
        ),
        (
            [server("a"), server("a", 2)],
            "PAYLOAD-2: VOTE_REQUEST.members has 'a' before 'a'; expected distinct ids",
        ),
        (
            [server("a"), server("B")],
            "PAYLOAD-2: VOTE_REQUEST.members has 'a' before 'B'; expected distinct ids",
        ),
        (
            [server("a b")],
            "HELLO-5: VOTE_REQUEST.members[0].node_id is 'a b'; expected 1 to 64 of the characters A-Z",
        ),
        ([["a"]], "PAYLOAD-2: VOTE_REQUEST.members[0] is an array of 1; expected [node_id, store_id]"),
        ([server("a"), None], "PAYLOAD-2: VOTE_REQUEST.members[1] is nil; expected [node_id, store_id]"),
        (
            [["a", b"short"]],
            "PAYLOAD-4: VOTE_REQUEST.members[0].store_id is b'short' of 5 bytes; expected a bin of 16 bytes",
        ),
        (
            [["a", "s" * 16]],
            f"PAYLOAD-4: VOTE_REQUEST.members[0].store_id is '{'s' * 16}'; expected a bin of 16 bytes",
        ),
        ([[1, b"s" * 16]], "HELLO-5: VOTE_REQUEST.members[0].node_id is 1; expected 1 to 64 of"),
    ],
)
def test_a_member_list_that_is_none_is_named(members: object, text: str) -> None:
    """FORM-4, FORM-6: sorted by the bytes of distinct node ids, 1 to 64 of them."""
    assert fault(MESSAGES[0], members=members).startswith(text)


@pytest.mark.parametrize("message", [MESSAGES[3], MESSAGES[11]], ids=["pre-vote", "snapshot"])
def test_every_member_list_is_looked_at(message: Message) -> None:
    """FORM-6: in pre-votes and snapshots as in votes."""
    assert fault(message, members=[]).endswith(".members has 0 servers; expected 1 to 64")


# Sizes.


def test_a_chunk_has_a_largest_size() -> None:
    """SNAP-2: chunk_bytes_max, and not a byte more."""
    text = fault(chunk(b""), data=b"x" * (p.CHUNK_BYTES_MAX + 1))
    assert text == "SNAP-11: INSTALL_SNAPSHOT_REQ.data is 1,048,577 bytes; the limit is 1,048,576"


def test_a_frame_over_the_limit_is_refused_before_it_is_sent() -> None:
    """FRAME-4: so that a command is refused before it is in the log."""
    codec = MessageCodec(value_codec(), frame_bytes_max=1000)
    with pytest.raises(MessageTooLargeError, match="APPEND_ENTRIES_REQ frame of"):
        codec.encode_raft("n1", append(command(5, b"x" * 1000)))


def test_every_number_ends_where_its_kind_does() -> None:
    """PAYLOAD-3, X-05: u63 at 2^63-1, and nothing overflows on the way there."""
    for message in MESSAGES:
        _, fields = fields_of(message)
        for name, value in fields.items():
            if type(value) is int and name != "seq":
                assert fault(message, **{name: LARGEST + 1}).startswith("PAYLOAD-3"), name
