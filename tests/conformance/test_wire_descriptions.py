"""Frames as people see them: a line, a tree, bytes with carets."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest
from hypothesis import given

from conformance.wire.describe import hexdump, said, summary, tree
from conformance.wire.frame import Frame
from conformance.wire.message import Entry, Message, Peer, Server, decode, encode, encode_configuration, message
from conformance.wire.packing import Ext
from conformance.wire.value import Dataclass, DateTime, EnumMember, Ref, pack
from tests.conformance.strategies import VALUES, messages

MEMBERS = (Server("n1", bytes(16)), Server("n2", bytes(16)))
VOTE: dict[str, Any] = {"seq": 1, "last_log_index": 9, "last_log_term": 2, "members": MEMBERS}
DATA = bytes(range(0x40, 0x40 + 75))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (
            message("ACTOR_MSG", "counter", message=Dataclass("s:Add", {"amount": 2})),
            "actor=counter s:Add(amount=2)",
        ),
        (message("LOOKUP_REQ", "c", id=7), "actor=c id=7"),
        (message("LOOKUP_RES", "c", id=7, found=False), "actor=c id=7 found=false"),
        (message("LOOKUP_RES", "c", id=7, found=True, actor_class="s:C"), "actor=c id=7 found=true class=s:C"),
        (
            message(
                "PEER_LIST.hello",
                "n1",
                version=1,
                cluster="casty",
                store_id=bytes(16),
                boot_id=b"\xff" * 16,
                lane="raft",
                address="h:1",
                expected_size=3,
                member=False,
            ),
            "lane=raft cluster='casty' size=3 address=h:1 client store=00000000… boot=ffffffff…",
        ),
        (message("PEER_LIST.peers", "n1", peers=(Peer("n2", "h:2"),)), "+1 peer n2=h:2"),
        (message("PEER_LIST.peers", "n1", peers=()), "+0 peers"),
        (message("ASK_REQ", "$kv", id=1, message={"op": "get"}), "actor=$kv id=1 {'op': 'get'}"),
        (message("ASK_REQ", "$kv", id=1, timeout_ms=50, message=None), "actor=$kv id=1 timeout=50ms nil"),
        (message("ASK_RES", "", id=1, value=None), "id=1 value=nil"),
        (
            message("ASK_RES", "", id=1, code="ACTOR_FAILED", error_type="E", text="a\nb"),
            "id=1 ACTOR_FAILED E 'a\\nb'",
        ),
        (
            message("VOTE_REQUEST", "n1", term=3, formation=True, **VOTE),
            "term=3 last=(9,2) formation members=n1,n2 seq=1",
        ),
        (
            message("PRE_VOTE_REQUEST", "n1", term=3, formation=False, **VOTE),
            "term=3 last=(9,2) members=n1,n2 seq=1",
        ),
        (
            message("VOTE_RESPONSE", "n2", term=3, request_term=3, seq=1, vote_granted=True),
            "term=3 vote_granted=true seq=1",
        ),
        (
            message("PRE_VOTE_RESPONSE", "n2", term=4, request_term=3, seq=1, vote_granted=False),
            "term=4 vote_granted=false request_term=3 seq=1",
        ),
        (
            message(
                "APPEND_ENTRIES_REQ",
                "n1",
                term=3,
                seq=5,
                prev_log_index=7,
                prev_log_term=2,
                entries=(Entry(2, "noop", b""), Entry(3, "command", b"x")),
                leader_commit=7,
            ),
            "term=3 prev=(7,2) +2 entries 8..9 commit=7 seq=5",
        ),
        (
            message(
                "APPEND_ENTRIES_REQ",
                "n1",
                term=3,
                seq=5,
                prev_log_index=7,
                prev_log_term=2,
                entries=(Entry(2, "noop", b""),),
                leader_commit=7,
            ),
            "term=3 prev=(7,2) +1 entry 8 commit=7 seq=5",
        ),
        (
            message(
                "APPEND_ENTRIES_REQ",
                "n1",
                term=3,
                seq=5,
                prev_log_index=0,
                prev_log_term=0,
                entries=(),
                leader_commit=0,
            ),
            "term=3 prev=(0,0) heartbeat commit=0 seq=5",
        ),
        (
            message("APPEND_ENTRIES_RES", "n2", term=3, request_term=3, seq=5, success=True, match_index=9),
            "term=3 success=true match=9 seq=5",
        ),
        (
            message(
                "APPEND_ENTRIES_RES",
                "n2",
                term=3,
                request_term=3,
                seq=5,
                success=False,
                match_index=0,
                conflict_index=4,
                conflict_term=1,
            ),
            "term=3 success=false conflict=(4,1) seq=5",
        ),
        (
            message(
                "INSTALL_SNAPSHOT_REQ",
                "n1",
                term=5,
                seq=3,
                last_included_index=90,
                last_included_term=4,
                cluster_id=bytes(16),
                members=MEMBERS,
                size=1011,
                checksum=7,
                offset=5,
                data=b"hello ",
                done=True,
            ),
            "term=5 last=(90,4) offset=5 +6 of 1,011 bytes done seq=3",
        ),
        (
            message(
                "INSTALL_SNAPSHOT_RES",
                "n2",
                term=5,
                request_term=5,
                seq=3,
                last_included_index=90,
                offset=6,
                installed=False,
            ),
            "term=5 last=90 installed=false offset=6 seq=3",
        ),
        (message("ERROR", "", code="BAD_PAYLOAD", rule="PAYLOAD-2", text="oh"), "BAD_PAYLOAD PAYLOAD-2 'oh'"),
        (message("PING", "", id=4, pong=False), "id=4"),
        (message("PING", "", id=4, pong=True), "id=4 pong"),
        (message("HEARTBEAT", "", payload=b"\xc0"), "payload=bin c0 (1 bytes)"),
        (message("PING", "", id=None), "id=nil"),
        (message("VOTE_REQUEST", "n1", term="x\x1b", members=[1]), "term='x\\x1b' members=[1]"),
    ],
    ids=lambda value: value.kind if isinstance(value, Message) else "",
)
def test_a_message_in_a_line(sent: Message, expected: str) -> None:
    """Right or wrong, with nothing in it that a terminal would obey."""
    assert summary(sent) == f"{sent.kind} {expected}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], "[1, 2, 3, 4, 5, 6, … 2 more]"),
        ((True, 1.0, None), "(true, 1.0, nil)"),
        ({1}, "{1}"),
        ([[[[[1]]]]], "[[[[…]]]]"),
        (b"\x00" * 9, "bin 0000000000000000… (9 bytes)"),
        ("x" * 50, f"{'x' * 40!r}…, 50 characters"),
        (EnumMember("s:Color", (1, 2)), "s:Color((1, 2))"),
        (Ref("n1", "@7"), "ref n1/@7"),
        (DateTime("2024-10-27T02:30:00.000000", 1, "UTC"), "2024-10-27T02:30:00.000000 UTC fold"),
        (["y" * 40] * 6, "[" + ", ".join([repr("y" * 40)] * 6)[:159] + "…"),
    ],
)
def test_a_value_in_a_few_words(value: Any, expected: str) -> None:
    assert said(value) == expected


def test_an_integer_of_many_digits_is_not_spelled_out() -> None:
    """To do so takes long, and Python refuses."""
    assert said({"x": 10**5000}) == "{'x': an integer of 16,610 bits}"


ZEROS = " ".join(["00"] * 16)
TREE = f"""\
0000+1     type = 12 APPEND_ENTRIES_REQ  (u8)
0001+2     name_length = 2  (u16)
0003+2     name = 'n1'  (utf8)
0005+4     payload_length = 167  (u32)
0009+167   payload = a map of 7  (fixmap)
000f+1       term = 1  (positive fixint)
0014+1       seq = 2  (positive fixint)
0024+1       prev_log_index = 0  (positive fixint)
0033+1       prev_log_term = 0  (positive fixint)
003c+89      entries = an array of 1  (fixarray)
003d+88        entries[0] = a map of 3  (fixmap)
0043+1           entries[0].term = 1  (positive fixint)
0049+8           entries[0].kind = 'members'  (fixstr)
0056+63          entries[0].data = bin 82 aa 63 6c 75 73 74 65 72 5f 69 64 c4 10 00 00… of 61 bytes  (bin 8)
0064+18            entries[0].data.cluster_id = bin {ZEROS} of 16 bytes  (bin 8)
007e+23            entries[0].data.members = an array of 1  (fixarray)
007f+22              entries[0].data.members[0] = an array of 2  (fixarray)
0080+3                 entries[0].data.members[0].node_id = 'n1'  (fixstr)
0083+18                entries[0].data.members[0].store_id = bin {ZEROS} of 16 bytes  (bin 8)
00a3+3       leader_commit = 300  (uint 16)
00ab+5       more = an array of 2  (fixarray)
00ac+1         more[0] = 1  (positive fixint)
00ad+3         more[1] = extension 99: of no known code, a body of 1 bytes  (fixext 1)
"""


def test_a_frame_as_a_tree() -> None:
    """Entry 1 is opened, the values of unknown fields are not; paths are those of problems."""
    data = encode_configuration(bytes(16), MEMBERS[:1])
    frame = encode(
        message(
            "APPEND_ENTRIES_REQ",
            "n1",
            term=1,
            seq=2,
            prev_log_index=0,
            prev_log_term=0,
            entries=(Entry(1, "members", data),),
            leader_commit=300,
            more=(1, Ext(99, b"?")),
        )
    )
    assert [str(line) for line in tree(frame)] == TREE.splitlines()


def test_a_value_as_a_tree() -> None:
    lines = tree(Frame(1, b"", pack([Dataclass("s:A", {"x": (None,)}), b""])))
    assert [(line.path, line.text, line.depth) for line in lines[3:]] == [
        ("message", "an array of 2", 0),
        ("message[0]", "extension 1: dataclass, a body of 12 bytes", 1),
        ("message[0][0]", "'s:A'", 2),
        ("message[0][1]", "a map of 1", 2),
        ("message[0][1].x", "extension 3: tuple, a body of 2 bytes", 3),
        ("message[0][1].x[0]", "nil", 4),
        ("message[1]", "bin of 0 bytes", 1),
    ]


def test_what_can_be_read_of_a_broken_frame_is_in_its_tree() -> None:
    lines = tree(Frame(17, b"", bytes.fromhex("83 a2 6964 07 a1 78 92 01 c1")))
    assert [line.path for line in lines[3:]] == ["", "id", "x", "x[0]"]


@given(messages())
def test_every_field_is_in_the_tree_with_its_bytes(sent: Message) -> None:
    frame = encode(sent)
    data = frame.encode()
    places = {line.path: data[line.start : line.end] for line in reversed(tree(frame))}
    for name, value in decode(frame).fields.items():
        if isinstance(value, int | str | bytes | None):
            assert places[name] == pack(value)
    assert data[: frame.payload_start] == b"".join(
        places.get(name, b"") for name in ("type", "name_length", "name", "payload_length")
    )


@given(VALUES)
def test_any_value_is_said_in_one_short_line(value: Any) -> None:
    assert len(said(value)) <= 200
    assert said(value).isprintable()


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (
            0x12,
            0x13,
            """\
0000 | 40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f | @ABCDEFGHIJKLMNO
0010 | 50 51 52 53 54 55 56 57 58 59 5a 5b 5c 5d 5e 5f | PQRSTUVWXYZ[\\]^_
             ^^ term
0020 | 60 61 62 63 64 65 66 67 68 69 6a 6b 6c 6d 6e 6f | `abcdefghijklmno""",
        ),
        (
            0x3F,
            0x42,
            """\
0020 | 60 61 62 63 64 65 66 67 68 69 6a 6b 6c 6d 6e 6f | `abcdefghijklmno
0030 | 70 71 72 73 74 75 76 77 78 79 7a 7b 7c 7d 7e 7f | pqrstuvwxyz{|}~.
                                                    ^^
0040 | 80 81 82 83 84 85 86 87 88 89 8a                | ...........
       ^^ ^^ term""",
        ),
        (
            75,
            75,
            """\
0030 | 70 71 72 73 74 75 76 77 78 79 7a 7b 7c 7d 7e 7f | pqrstuvwxyz{|}~.
0040 | 80 81 82 83 84 85 86 87 88 89 8a                | ...........
                                        ^ term""",
        ),
    ],
)
def test_bytes_with_carets(start: int, end: int, expected: str) -> None:
    """A line of context around the bytes; an empty range is a place."""
    assert hexdump(DATA, start, end, "term") == expected


def test_of_many_bytes_the_middle_is_left_out() -> None:
    lines = hexdump(bytes(1000), 16, 500).splitlines()
    assert [line[:4] for line in lines if "|" in line] == [
        "0000",
        "0010",
        "0020",
        "0030",
        "01d0",
        "01e0",
        "01f0",
        "0200",
    ]
    assert "     … 400 bytes" in lines


def test_the_middle_that_is_left_out_costs_nothing() -> None:
    """Going through it line by line took half a minute for a megabyte, and hours for the largest frame."""
    began = process_time()
    assert hexdump(bytes(1 << 24), 0, 1 << 24).count("\n") == 12
    assert process_time() - began < 1


def test_all_bytes_without_carets_and_none() -> None:
    assert hexdump(DATA).count("\n") == 4
    assert "^^" not in hexdump(DATA)
    assert hexdump(b"", 0, 0) == f"0000 | {'':47} | \n       ^"
