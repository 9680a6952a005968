"""Filters say what they mean, and where they make no sense."""

from __future__ import annotations

import pytest

from conformance.wire.frame import Frame
from conformance.wire.message import encode, message
from conformance.wire.record import Entry
from conformance.wire.value import Dataclass
from tests.wire_dump.samples import hello
from wire_dump.events import Seen, Trouble
from wire_dump.fields import ABOUT, ALIASES, SPECIFIED, shown, values
from wire_dump.filters import FilterError, parse

ENTRIES = [Entry(2, "noop", b""), Entry(3, "command", b"x")]
APPEND = encode(
    message(
        "APPEND_ENTRIES_REQ",
        "n1",
        term=3,
        seq=7,
        prev_log_index=1,
        prev_log_term=2,
        entries=ENTRIES,
        leader_commit=1,
    )
)
ASK = encode(message("ASK_REQ", "$kv", id=1, message={"op": "put", "key": "x", "deep": [{"a": 1}, {"a": 2}]}))
ADD = encode(message("ACTOR_MSG", "counter", message=Dataclass("shop:Add", {"amount": 2.5})))
VOTE = encode(message("VOTE_RESPONSE", "n2", term=3, request_term=3, seq=1, vote_granted=True))
HELLO = Frame(4, b"n1", hello("n1")[9:])
WRONG = Frame(8, b"n2", b"\x80")


def seen(frame: Frame) -> Seen:
    return Seen(1.5, 2, "n1", "n2", frame, 64, number=9)


HOLDS = [
    ("type==APPEND_ENTRIES_REQ and term>=3 and src=='n1'", APPEND, True),
    ('type==AE && term>3 || src!="n1"', APPEND, False),
    ('type=="AE"', APPEND, True),
    ("type==12", APPEND, True),
    ("type in (AR, RV, 12)", APPEND, True),
    ("type in (AR)", APPEND, False),
    ("not type==AE", VOTE, True),
    ("!!(type==VR)", VOTE, True),
    ("entries>1", APPEND, True),
    ("entries==2", APPEND, True),
    ('entries.kind=="noop"', APPEND, True),
    ('entries.kind!="noop"', APPEND, False),
    ('entries.kind!="members"', APPEND, True),
    ('entries.data=="78"', APPEND, True),
    ("entries.term<prev_log_term", APPEND, False),
    ("term==entries.term", APPEND, True),
    ("match_index", APPEND, False),
    ("match_index!=5", APPEND, False),
    ("vote_granted", VOTE, True),
    ("vote_granted==true", VOTE, True),
    ("vote_granted==1", VOTE, False),
    ('message.op~"^p.t$"', ASK, True),
    ("message.deep.a==2", ASK, True),
    ("message.deep.b==2", ASK, False),
    ("message.amount>2.4", ADD, True),
    ("message.amount==2.5e0", ADD, True),
    ('message.tag contains "Add"', ADD, True),
    ("name=='$kv'", ASK, True),
    ("name contains 'oun'", ADD, True),
    ('store_id~"^6e31"', HELLO, True),
    ('kind=="PEER_LIST.hello"', HELLO, True),
    ("time>=1.5 and conn==2 and number==0x9 and offset==64 and size>10 and dst=='n2'", VOTE, True),
    ("fate=='passed'", VOTE, True),
    ('error=="BAD_PAYLOAD" and rule', WRONG, True),
    ("error", VOTE, False),
    ('term<"a"', VOTE, False),
    ("message==nil", ASK, False),
    ("term==003", APPEND, True),
]


@pytest.mark.parametrize(("text", "frame", "expected"), HOLDS)
def test_expressions_hold_where_they_should(text: str, frame: Frame, expected: bool) -> None:
    """By the table in `filters`."""
    assert parse(text)(seen(frame)) is expected


WRONGS = {
    "trm>3": ("did you mean term?", 0),
    "entries.index>3": ("there is no field entries.index; entries have term, kind, data", 0),
    "term>": ("expected a value", 5),
    "term>3 and": ("expected the name of a field", 10),
    "term>3 term<5": ("expected and, or, or the end", 7),
    "(term>3": ("expected a closing parenthesis", 7),
    "src==n1": ('a string is written "n1"', 5),
    'src=="n1': ("this string does not end", 5),
    "term § 3": ("not understood", 5),
    "type = AE": ("equal is written ==", 5),
    "AE": ("for frames of a type: type==AE", 0),
    "type==AX": ("there is no type AX", 6),
    'type=="AX"': ("there is no type AX", 6),
    'name~"(("': ("no regular expression", 7),
    "type in AE": ("expected an opening parenthesis", 8),
    "type in (AE": ("expected a comma or a closing parenthesis", 11),
    "and": ("expected the name of a field", 0),
    "": ("expected the name of a field", 0),
    "term==" + "9" * 5000: ("too many digits", 6),
    "(" * 60 + "term": ("nested deeper", 50),
}


@pytest.mark.parametrize("text", WRONGS)
def test_a_mistake_is_shown_with_a_caret_below_it(text: str) -> None:
    """What was expected, the expression, and where."""
    expected, at = WRONGS[text]
    with pytest.raises(FilterError) as error:
        parse(text)
    said, shown_text, caret = str(error.value).split("\n")
    assert expected in said
    assert shown_text == "  " + text
    assert caret == "  " + " " * at + "^"


def test_every_field_of_the_specification_has_a_name() -> None:
    """Those of the tables come from the generated ones, and aliases are of types that there are."""
    assert {"term", "entries", "store_id", "leader_commit", "done", "found"} <= SPECIFIED
    assert not ABOUT.keys() & {"term"}
    assert len(set(ALIASES.values())) == len(ALIASES)


def test_columns_are_text() -> None:
    """As `-o fields=` writes them."""
    event = seen(APPEND)
    assert shown(event, "entries.kind") == "noop,command"
    assert shown(event, "entries.data") == ",78"
    assert shown(event, "type") == "APPEND_ENTRIES_REQ"
    assert shown(seen(VOTE), "vote_granted") == "true"
    assert shown(seen(ASK), "message.deep.a") == "1,2"
    assert shown(seen(HELLO), "match_index") == ""
    odd = seen(encode(message("ACTOR_MSG", "a", message=["\x1b[2J", None, 1.0, [b"\0"]])))
    assert shown(odd, "message") == "['\\x1b[2J' nil 1.000000 [00]]"


def test_troubles_have_a_place_and_an_error() -> None:
    """Filters and columns may ask them, too."""
    trouble = Trouble(1.0, 3, "n1", "n2", 7, "a frame", "none")
    assert values(trouble, "conn") == [3]
    assert values(trouble, "error") == ["NOT_A_FRAME"]
    assert values(trouble, "term") == []
