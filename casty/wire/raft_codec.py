"""Raft's RPCs to payloads and back.

What a message says by itself is checked here: that its fields are of their kinds, that a member list could be
one, that entries follow each other. What it says of the receiver's log is the core's to judge.
"""

from __future__ import annotations

from itertools import pairwise
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, assert_never

from casty.raft.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
    PreVoteResponse,
    VoteRequest,
    VoteResponse,
)
from casty.raft.types import Entry, EntryKind, NodeId, ServerId, StoreId
from casty.wire import _protocol as p
from casty.wire.packing import is_array, is_map, pack
from casty.wire.schema import (
    NODE_ID_FORM,
    Shape,
    acceptor,
    bad_payload,
    check_depth,
    is_node_id,
    mistyped,
    unpacked,
)
from casty.wire.words import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from casty.errors import ProtocolError
    from casty.raft.messages import Message
    from casty.raft.types import Members, Term


def encode_raft(message: Message) -> tuple[int, bytes]:
    """The frame's type and payload."""
    match message:
        case AppendEntriesRequest():
            return p.APPEND_ENTRIES_REQ, _append_entries_payload(message)
        case AppendEntriesResponse():
            return p.APPEND_ENTRIES_RES, _append_entries_answer(message)
        case VoteRequest():
            return p.VOTE_REQUEST, _ballot_payload(message)
        case VoteResponse():
            return p.VOTE_RESPONSE, _vote_payload(message)
        case PreVoteRequest():
            return p.PRE_VOTE_REQUEST, _ballot_payload(message)
        case PreVoteResponse():
            return p.PRE_VOTE_RESPONSE, _vote_payload(message)
        case InstallSnapshotRequest():
            return p.INSTALL_SNAPSHOT_REQ, _chunk_payload(message)
        case InstallSnapshotResponse():
            return p.INSTALL_SNAPSHOT_RES, _chunk_answer(message)
        case _:
            assert_never(message)


def decode_raft(kind: int, data: bytes) -> Message | None:
    """The RPC in the payload of a frame of this type; None if the type is none of Raft's.

    Raises `ProtocolError` BAD_PAYLOAD.
    """
    match kind:
        case p.APPEND_ENTRIES_REQ:
            return _append_entries(data)
        case p.APPEND_ENTRIES_RES:
            return AppendEntriesResponse(*_APPEND_ENTRIES_RES.read(data))
        case p.VOTE_REQUEST:
            fields = _VOTE_REQUEST.read(data)
            fields[-1] = _members("VOTE_REQUEST.members", fields[-1])
            return VoteRequest(*fields)
        case p.VOTE_RESPONSE:
            return VoteResponse(*_VOTE_RESPONSE.read(data))
        case p.PRE_VOTE_REQUEST:
            fields = _PRE_VOTE_REQUEST.read(data)
            fields[-1] = _members("PRE_VOTE_REQUEST.members", fields[-1])
            return PreVoteRequest(*fields)
        case p.PRE_VOTE_RESPONSE:
            return PreVoteResponse(*_PRE_VOTE_RESPONSE.read(data))
        case p.INSTALL_SNAPSHOT_REQ:
            return _chunk(data)
        case p.INSTALL_SNAPSHOT_RES:
            return InstallSnapshotResponse(*_INSTALL_SNAPSHOT_RES.read(data))
        case _:
            return None


# The classes of `casty.raft.messages` have the fields of these tables in the same order, but for AppendEntries.
_VOTE_REQUEST: Final = Shape("VOTE_REQUEST")
_VOTE_RESPONSE: Final = Shape("VOTE_RESPONSE")
_PRE_VOTE_REQUEST: Final = Shape("PRE_VOTE_REQUEST")
_PRE_VOTE_RESPONSE: Final = Shape("PRE_VOTE_RESPONSE")
_APPEND_ENTRIES_REQ: Final = Shape("APPEND_ENTRIES_REQ")
_APPEND_ENTRIES_RES: Final = Shape("APPEND_ENTRIES_RES")
_INSTALL_SNAPSHOT_REQ: Final = Shape("INSTALL_SNAPSHOT_REQ")
_INSTALL_SNAPSHOT_RES: Final = Shape("INSTALL_SNAPSHOT_RES")


# AppendEntries carries all the load, so its entries are taken by columns, in C.

_KINDS: Final[Mapping[str, EntryKind]] = MappingProxyType({kind.value: kind for kind in EntryKind})
_ENTRY: Final = itemgetter("term", "kind", "data")


def _append_entries_payload(message: AppendEntriesRequest) -> bytes:
    return pack(
        {
            "term": message.term,
            "seq": message.seq,
            "prev_log_index": message.prev_log_index,
            "prev_log_term": message.prev_log_term,
            "entries": [{"term": term, "kind": kind, "data": data} for term, kind, data in message.entries],
            "leader_commit": message.leader_commit,
        }
    )


def _append_entries(data: bytes) -> AppendEntriesRequest:
    term, seq, prev_log_index, prev_log_term, rows, leader_commit = _APPEND_ENTRIES_REQ.read(data)
    entries: tuple[Entry, ...] = ()
    if not prev_log_index and prev_log_term:
        text = f"APPEND_ENTRIES_REQ.prev_log_term is {prev_log_term} where prev_log_index is 0; expected 0"
        raise bad_payload("APPEND-9", text)
    if rows:
        terms, kinds, datas = _columns(rows, data)
        _check_order(terms, kinds, prev_log_index, prev_log_term, term)
        if "members" in kinds or "noop" in kinds:
            _check_contents(kinds, datas)
        entries = tuple(map(Entry._make, zip(terms, map(_KINDS.__getitem__, kinds), datas, strict=True)))
    return AppendEntriesRequest(term, seq, prev_log_index, prev_log_term, leader_commit, entries)


def _columns(rows: list[Any], data: bytes) -> tuple[tuple[Term, ...], tuple[str, ...], tuple[bytes, ...]]:
    """The entries' terms, kinds and data, if all are well-formed."""
    try:
        terms, kinds, datas = zip(*map(_ENTRY, rows), strict=True)
        if not (
            set(map(type, terms)) == {int}
            and min(terms) >= 0
            and max(terms) <= p.NUMBER_MAX
            and _KINDS.keys() >= set(kinds)
            and set(map(type, datas)) == {bytes}
        ):
            raise next(_faults(rows))
    except (KeyError, TypeError):  # no map, a key is missing, or a kind is no str
        raise next(_faults(rows)) from None
    if sum(map(len, rows)) > len(p.STRUCTS["entry"]) * len(rows):
        if not all(type(key) is str for row in rows for key in row):
            raise bad_payload("PAYLOAD-1", "APPEND_ENTRIES_REQ.entries: a key that is no str")
        check_depth("APPEND_ENTRIES_REQ", data)
    return terms, kinds, datas


def _faults(rows: list[Any]) -> Iterator[ProtocolError]:
    """What is wrong with each of the entries, the slow way."""
    for at, row in enumerate(rows):
        place = f"APPEND_ENTRIES_REQ.entries[{at}]"
        if not is_map(row):
            yield bad_payload("PAYLOAD-2", f"{place} is {shown(row)}; expected a map of an entry's fields")
        for field in p.STRUCTS["entry"] if is_map(row) else ():
            if field.name not in row:
                yield bad_payload("PAYLOAD-2", f"{place}.{field.name} is missing")
            elif not acceptor(field)(row[field.name]):
                yield mistyped(f"{place}.{field.name}", row[field.name], field)


def _check_order(
    terms: tuple[Term, ...], kinds: tuple[str, ...], prev_log_index: int, prev_log_term: int, term: int
) -> None:
    """Raises `ProtocolError` for entries that cannot follow each other in anybody's log."""
    in_order = [prev_log_term, *terms, term]
    if in_order != sorted(in_order):
        at = next(at for at, (one, other) in enumerate(pairwise(in_order)) if one > other)
        text = f"term {in_order[at]} at index {prev_log_index + at} before term {in_order[at + 1]}"
        raise bad_payload("APPEND-9", f"APPEND_ENTRIES_REQ.entries: {text}; expected terms that do not fall")
    expected = ["members"] if prev_log_index == 0 else []
    if kinds[: len(expected)] != tuple(expected) or kinds.count("members") != len(expected):
        text = f"kinds {', '.join(kinds[:8])} from index {prev_log_index + 1} on"
        raise bad_payload("FORM-8", f"APPEND_ENTRIES_REQ.entries: {text}; expected members at index 1 only")


def _check_contents(kinds: tuple[str, ...], datas: tuple[bytes, ...]) -> None:
    """Raises `ProtocolError` for a first entry that is no configuration, or a no-op that holds something."""
    for at, (kind, data) in enumerate(zip(kinds, datas, strict=True)):
        if kind == "members":
            _check_configuration(f"APPEND_ENTRIES_REQ.entries[{at}].data", data)
        elif kind == "noop" and data:
            text = f"APPEND_ENTRIES_REQ.entries[{at}] is a noop with {len(data):,} bytes of data; expected none"
            raise bad_payload("FORM-8", text)


def _check_configuration(place: str, data: bytes) -> None:
    value = unpacked(place, data)
    cluster_field, members_field = p.STRUCTS["configuration"]
    if not is_map(value):
        raise bad_payload("FORM-8", f"{place} is {shown(value)}; expected a map of a configuration's fields")
    for field in (cluster_field, members_field):
        if field.name not in value:
            raise bad_payload("FORM-8", f"{place}.{field.name} is missing")
        if not acceptor(field)(value[field.name]):
            raise mistyped(f"{place}.{field.name}", value[field.name], field)
    _members(f"{place}.members", value[members_field.name])


def _append_entries_answer(message: AppendEntriesResponse) -> bytes:
    fields: dict[str, object] = {
        "term": message.term,
        "request_term": message.request_term,
        "seq": message.seq,
        "success": message.success,
        "match_index": message.match_index,
    }
    if message.conflict_index is not None:
        fields["conflict_index"] = message.conflict_index
    if message.conflict_term is not None:
        fields["conflict_term"] = message.conflict_term
    return pack(fields)


def _ballot_payload(message: VoteRequest | PreVoteRequest) -> bytes:
    return pack(
        {
            "term": message.term,
            "seq": message.seq,
            "last_log_index": message.last_log_index,
            "last_log_term": message.last_log_term,
            "formation": message.formation,
            "members": message.members,
        }
    )


def _vote_payload(message: VoteResponse | PreVoteResponse) -> bytes:
    return pack(
        {
            "term": message.term,
            "request_term": message.request_term,
            "seq": message.seq,
            "vote_granted": message.vote_granted,
        }
    )


def _chunk_payload(message: InstallSnapshotRequest) -> bytes:
    return pack(
        {
            "term": message.term,
            "seq": message.seq,
            "last_included_index": message.last_included_index,
            "last_included_term": message.last_included_term,
            "cluster_id": message.cluster_id,
            "members": message.members,
            "size": message.size,
            "checksum": message.checksum,
            "offset": message.offset,
            "data": message.data,
            "done": message.done,
        }
    )


def _chunk(data: bytes) -> InstallSnapshotRequest:
    fields = _INSTALL_SNAPSHOT_REQ.read(data)
    fields[5] = _members("INSTALL_SNAPSHOT_REQ.members", fields[5])
    message = InstallSnapshotRequest(*fields)
    if message.last_included_index == 0:
        text = "INSTALL_SNAPSHOT_REQ.last_included_index is 0; expected the index of an entry"
        raise bad_payload("SNAP-11", text)
    if message.last_included_term > message.term:
        text = f"INSTALL_SNAPSHOT_REQ.last_included_term is {message.last_included_term} in term {message.term}"
        raise bad_payload("SNAP-10", text)
    if len(message.data) > p.CHUNK_BYTES_MAX:
        text = f"INSTALL_SNAPSHOT_REQ.data is {len(message.data):,} bytes; the limit is {p.CHUNK_BYTES_MAX:,}"
        raise bad_payload("SNAP-11", text)
    return message


def _chunk_answer(message: InstallSnapshotResponse) -> bytes:
    return pack(
        {
            "term": message.term,
            "request_term": message.request_term,
            "seq": message.seq,
            "last_included_index": message.last_included_index,
            "offset": message.offset,
            "installed": message.installed,
        }
    )


def _members(place: str, rows: list[Any]) -> Members:
    """The list's servers, if it could be a cluster's: 1 to `members_max`, sorted by node id, ids distinct."""
    store_field = p.STRUCTS["server"][1]
    for at, row in enumerate(rows):
        if not is_array(row) or len(row) != 2:
            raise bad_payload("PAYLOAD-2", f"{place}[{at}] is {shown(row)}; expected [node_id, store_id]")
        if not is_node_id(row[0]):
            raise bad_payload("HELLO-5", f"{place}[{at}].node_id is {shown(row[0])}; expected {NODE_ID_FORM}")
        if not acceptor(store_field)(row[1]):
            raise mistyped(f"{place}[{at}].store_id", row[1], store_field)
    if not 1 <= len(rows) <= p.MEMBERS_MAX:
        raise bad_payload("PAYLOAD-2", f"{place} has {len(rows)} servers; expected 1 to {p.MEMBERS_MAX}")
    members = tuple(ServerId(NodeId(node_id), StoreId(store_id)) for node_id, store_id in rows)
    for one, other in pairwise(members):
        if one.node_id >= other.node_id:  # ASCII, so str compares as the bytes do
            text = f"{place} has {one.node_id!r} before {other.node_id!r}"
            raise bad_payload("PAYLOAD-2", f"{text}; expected distinct ids, sorted")
    return members
