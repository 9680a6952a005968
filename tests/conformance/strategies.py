"""What hypothesis makes messages and users' values of."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from conformance._protocol import NUMBER_MAX, SHAPES
from conformance.wire.extension import is_hashable, lowered
from conformance.wire.message import Boot, Entry, Message, Peer, Server, encode_configuration, message
from conformance.wire.value import Dataclass, DateTime, EnumMember, Ref, Time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance._protocol import Field

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NODE_IDS = st.from_regex(r"[A-Za-z0-9._:-]{1,8}", fullmatch=True)
ADDRESSES = st.builds(
    "{}:{}".format, st.sampled_from(["10.0.0.1", "[::1]", "a-host.example", "größe"]), st.integers(1, 65535)
)
IDS = st.binary(min_size=16, max_size=16)
OFFSETS = st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23)).map(datetime.timezone)
ZONES = st.sampled_from(["Europe/Berlin", "UTC", "Etc/GMT+5", "America/Argentina/Buenos_Aires"])
INTEGERS = st.integers() | st.integers(-(2**63), 2**64 - 1) | st.integers(-(2**600), 2**600)


def _as_datetime(clock: datetime.datetime) -> DateTime:
    return DateTime(*lowered(clock).body)


def _as_time(clock: datetime.time) -> Time:
    return Time(*lowered(clock).body)


CLOCKS = st.datetimes(timezones=st.none() | OFFSETS).map(_as_datetime)
LOCAL_CLOCKS = st.builds(
    DateTime, st.datetimes().map(lambda at: _as_datetime(at).text), st.integers(0, 1), ZONES
)
TIMES = st.times(timezones=st.none() | OFFSETS).map(_as_time)

SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    INTEGERS,
    st.floats(),
    TEXTS,
    st.binary(max_size=40),
    st.dates(),
    st.timedeltas(),
    st.decimals(),
    st.uuids(),
    st.complex_numbers(),
    CLOCKS,
    LOCAL_CLOCKS,
    TIMES,
    st.builds(Ref, NODE_IDS, TEXTS.filter(bool)),
)
KEYS: st.SearchStrategy[Any] = st.recursive(
    # Python has no hash for the decimal sNaN, and NaN may stand but once in a map or a set (VALUE-6).
    SCALARS.filter(is_hashable).filter(lambda key: key == key),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(inner, max_size=3),
        st.builds(EnumMember, TEXTS, inner),
        st.builds(Dataclass, TEXTS, st.dictionaries(TEXTS, inner, max_size=3)),
    ),
    max_leaves=4,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS | KEYS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=4),
        st.builds(Dataclass, TEXTS, st.dictionaries(TEXTS, inner, max_size=3)),
        st.builds(EnumMember, TEXTS, inner),
    ),
    max_leaves=12,
)

_SCALAR_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "u63": st.integers(0, NUMBER_MAX),
    "u64": st.integers(0, 2**64 - 1),
    "bool": st.booleans(),
    "str": TEXTS,
    "bin": st.binary(max_size=40),
    "bin16": IDS,
    "value": VALUES,
    "list<boot>": st.lists(st.builds(Boot, IDS, st.integers(0, NUMBER_MAX)), max_size=4).map(tuple),
    "list<peer>": st.lists(st.builds(Peer, TEXTS, TEXTS), max_size=4).map(tuple),
}


def _members(pairs: dict[str, bytes]) -> tuple[Server, ...]:
    return tuple(Server(*pair) for pair in sorted(pairs.items()))


MEMBERS = st.dictionaries(NODE_IDS, IDS, min_size=1, max_size=5).map(_members)


@st.composite
def _entries(draw: st.DrawFn, prev_index: int, prev_term: int, term: int) -> tuple[Entry, ...]:
    """Entries that may follow: their terms rise, and the configuration is at index 1, only and always."""
    terms = sorted(draw(st.lists(st.integers(prev_term, term), max_size=4)))
    entries = list[Entry]()
    for index, entry_term in enumerate(terms, prev_index + 1):
        if index == 1:
            data = encode_configuration(draw(IDS), draw(MEMBERS))
            entries.append(Entry(entry_term, "members", data))
        else:
            kind = draw(st.sampled_from(["noop", "command"]))
            entries.append(Entry(entry_term, kind, b"" if kind == "noop" else draw(st.binary(max_size=20))))
    return tuple(entries)


@st.composite
def messages(draw: st.DrawFn, kinds: Sequence[str] = ("ACTOR_MSG", *SHAPES)) -> Message:
    """Messages with which nothing is wrong."""
    kind = draw(st.sampled_from(kinds))
    if kind == "ACTOR_MSG":
        return message(kind, draw(TEXTS), message=draw(VALUES))
    fields: dict[str, Any] = {}
    for field in SHAPES[kind]:
        if not field.optional or draw(st.booleans()):
            fields[field.name] = draw(_field(field))
    match kind:
        case "PEER_LIST.hello":
            fields["version"] = 1
            fields["address"] = draw(ADDRESSES)
            fields["expected_size"] = draw(st.integers(1, NUMBER_MAX))
        case "ASK_RES":
            fields.pop("code" if draw(st.booleans()) else "value", None)
            if "value" not in fields and "code" not in fields:
                fields["code"] = draw(TEXTS)
        case "APPEND_ENTRIES_REQ":
            fields["prev_log_index"] = index = draw(st.integers(0, 2**40))
            fields["prev_log_term"] = term = draw(st.integers(0, fields["term"])) if index else 0
            fields["entries"] = draw(_entries(index, term, fields["term"]))
        case "INSTALL_SNAPSHOT_REQ":
            fields["last_included_term"] = draw(st.integers(0, fields["term"]))
            fields["last_included_index"] = draw(st.integers(1, NUMBER_MAX))
        case _:
            pass
    return message(kind, draw(NODE_IDS), **fields)


def _field(field: Field) -> st.SearchStrategy[Any]:
    if field.choices:
        return st.sampled_from(field.choices)
    if field.kind == "list<server>":
        return MEMBERS
    return st.just(()) if field.kind == "list<entry>" else _SCALAR_FIELDS[field.kind]
