"""Makes frames of every type as they should be, for `damage` to begin with."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from conformance.wire.message import encode, encode_configuration, message
from conformance.wire.record import Entry, Peer, Server
from conformance.wire.value import Dataclass, DateTime, EnumMember, Ref, Time

if TYPE_CHECKING:
    import random

    from conformance.wire.frame import Frame

_IDS: Final = dict.fromkeys(("store_id", "boot_id", "cluster_id"), bytes(16))
_SERVERS: Final = (Server("n1", bytes(16)), Server("n2", bytes([1] * 16)))
_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    1,
    -1,
    1 << 60,
    1.5,
    "text",
    b"bytes",
    [1, [2]],
    {"op": "put", "key": "x", "value": 1},
    {1: "a", "b": 2},
    (1, 2),
    {1, 2},
    Dataclass("shop:Add", {"amount": 2}),
    EnumMember("shop:Color", "blue"),
    Ref("n1", "counter"),
    1 << 70,
    complex(1, 2),
    frozenset((1, 2)),
    date(2026, 1, 2),
    timedelta(days=-1, seconds=5),
    Decimal("-12.50"),
    UUID(int=7),
    DateTime("2026-01-02T03:04:05.000000", 0, "Europe/Berlin"),
    DateTime("2026-01-02T03:04:05.000000+01:00", 0, None),
    Time("03:04:05.000000", 1, None),
)
_CONFIGURATION: Final = encode_configuration(bytes(16), _SERVERS)
_CONFIGURATIONS: Final = (
    *[_CONFIGURATION] * 4,
    encode_configuration(bytes(16), _SERVERS[::-1]),
    encode_configuration(bytes(15), _SERVERS),
    _CONFIGURATION[:-1],
    _CONFIGURATION + b"x",
    b"\xc1",
    b"",
)
"""Right ones, and what is none."""


def good_frames(rng: random.Random) -> list[Frame]:
    """A few frames as they should be, of any types."""
    return [encode(_message(rng, rng.choice(_KINDS))) for _ in range(rng.randint(1, 3))]


def large_frame(rng: random.Random, size: int) -> bytes:
    """A snapshot's chunk of about this size."""
    chunk = {"size": 1 << 21, "checksum": 1, "offset": 0, "data": bytes(size + rng.randrange(2)), "done": False}
    last = {"last_included_index": 1, "last_included_term": 1, "cluster_id": bytes(16)}
    said = message("INSTALL_SNAPSHOT_REQ", "n1", term=1, seq=1, members=_SERVERS, **last, **chunk)
    return encode(said).encode()


def conversation(rng: random.Random) -> list[tuple[str, str, Frame]]:
    """What two nodes say to each other, with who says it to whom: an election, the log, a snapshot, as often as
    chance has it.
    """
    said = [("n1", _message(rng, "PEER_LIST.hello", "n1")), ("n2", _message(rng, "PEER_LIST.hello", "n2"))]
    index, seq = 0, 0
    for _ in range(rng.randint(1, 3)):
        leader, other = rng.choice((("n1", "n2"), ("n2", "n1")))
        term = rng.randint(1, 3)
        for kind in rng.choices(("VOTE", "APPEND_ENTRIES", "INSTALL_SNAPSHOT"), (3, 4, 1), k=rng.randint(1, 5)):
            seq += 1
            base: dict[str, Any] = {"term": term, "seq": seq}
            answer = base | {"request_term": term}
            match kind:
                case "VOTE":
                    log = {"last_log_index": index, "last_log_term": min(term, index)}
                    ask = {**log, "formation": not index, "members": _SERVERS}
                    said.append((leader, message("VOTE_REQUEST", leader, **base, **ask)))
                    granted = rng.random() < 0.8
                    said.append((other, message("VOTE_RESPONSE", other, **answer, vote_granted=granted)))
                case "APPEND_ENTRIES":
                    first = rng.randint(0, index)
                    entries = [Entry(term, "noop", b"") for _ in range(rng.randint(0, 2))]
                    if not first:
                        entries.insert(0, Entry(term, "members", rng.choice(_CONFIGURATIONS)))
                    log = {"prev_log_index": first, "prev_log_term": term if first else 0}
                    index = max(index, first + len(entries))
                    commit = rng.randint(0, index)
                    ask = {**log, "entries": entries, "leader_commit": commit}
                    said.append((leader, message("APPEND_ENTRIES_REQ", leader, **base, **ask)))
                    match = {"success": rng.random() < 0.8, "match_index": rng.randint(0, index)}
                    hint = {} if match["success"] else {"conflict_index": rng.randint(1, 3)}
                    said.append((other, message("APPEND_ENTRIES_RES", other, **answer, **match, **hint)))
                case _:
                    last = {"last_included_index": index + 1, "last_included_term": term}
                    chunk = {"size": 1, "checksum": 1, "offset": 0, "data": b"x", "done": True}
                    ask = {**last, **chunk, "cluster_id": bytes(16), "members": _SERVERS}
                    said.append((leader, message("INSTALL_SNAPSHOT_REQ", leader, **base, **ask)))
                    done = {"last_included_index": index + 1, "offset": 1, "installed": rng.random() < 0.8}
                    said.append((other, message("INSTALL_SNAPSHOT_RES", other, **answer, **done)))
    return [(source, "n2" if source == "n1" else "n1", encode(each)) for source, each in said]


_KINDS: Final = (
    "PEER_LIST.hello",
    "PEER_LIST.peers",
    "VOTE_REQUEST",
    "VOTE_RESPONSE",
    "PRE_VOTE_REQUEST",
    "PRE_VOTE_RESPONSE",
    "APPEND_ENTRIES_REQ",
    "APPEND_ENTRIES_RES",
    "INSTALL_SNAPSHOT_REQ",
    "INSTALL_SNAPSHOT_RES",
    "ACTOR_MSG",
    "ASK_REQ",
    "ASK_RES",
    "LOOKUP_REQ",
    "LOOKUP_RES",
    "ERROR",
    "PING",
    "HEARTBEAT",
)


def _message(rng: random.Random, kind: str, node: str = "") -> Any:
    node = node or rng.choice(("n1", "n2"))
    term, seq = rng.randint(0, 3), rng.randint(0, 9)
    base: dict[str, Any] = {"term": term, "seq": seq}
    response = base | {"request_term": term}
    value = rng.choice(_VALUES)
    match kind:
        case "PEER_LIST.hello":
            address = {"lane": "raft", "address": "10.0.0.1:1", "expected_size": 3}
            ids = _IDS | {"store_id": next(server.store_id for server in _SERVERS if server.node_id == node)}
            return message(kind, node, version=1, cluster="casty", **ids, **address)
        case "PEER_LIST.peers":
            return message(kind, node, peers=[Peer("n1", "10.0.0.1:1")])
        case "VOTE_REQUEST" | "PRE_VOTE_REQUEST":
            log = {"last_log_index": seq, "last_log_term": term}
            return message(kind, node, **base, **log, formation=False, members=_SERVERS)
        case "VOTE_RESPONSE" | "PRE_VOTE_RESPONSE":
            return message(kind, node, **response, vote_granted=rng.random() < 0.5)
        case "APPEND_ENTRIES_REQ":
            entries = [
                Entry(term, rng.choice(("command", "command", "noop")), rng.choice((b"x", b"")))
            ] * rng.randint(0, 2)
            if rng.random() < 0.3:
                seq, entries = 0, [Entry(term, "members", rng.choice(_CONFIGURATIONS)), *entries]
            log = {"prev_log_index": seq, "prev_log_term": term, "leader_commit": seq}
            return message(kind, node, **base, **log, entries=entries)
        case "APPEND_ENTRIES_RES":
            fields = {
                "success": rng.random() < 0.7,
                "match_index": seq,
                "conflict_index": 1,
                "conflict_term": 1,
            }
            return message(kind, node, **response, **fields)
        case "INSTALL_SNAPSHOT_REQ":
            last = {"last_included_index": seq, "last_included_term": term, "cluster_id": bytes(16)}
            data = {"size": 9, "checksum": 1, "offset": seq, "data": b"chunk", "done": seq > 4}
            return message(kind, node, **base, **last, **data, members=_SERVERS)
        case "INSTALL_SNAPSHOT_RES":
            return message(kind, node, **response, last_included_index=seq, offset=seq, installed=seq > 4)
        case "ACTOR_MSG":
            return message(kind, "counter", message=value)
        case "ASK_REQ":
            return message(kind, "$kv", id=seq, timeout_ms=5, message=value)
        case "ASK_RES":
            failed = {"code": "ACTOR_FAILED", "error_type": "ValueError", "text": "no"}
            return message(kind, "", id=seq, **(failed if seq > 5 else {"value": value}))
        case "LOOKUP_REQ":
            return message(kind, "counter", id=seq)
        case "LOOKUP_RES":
            return message(kind, "counter", id=seq, found=True, actor_class="shop:Counter")
        case "ERROR":
            return message(kind, "", code="BAD_PAYLOAD", rule="PAYLOAD-2", text="no")
        case "PING":
            return message(kind, "", id=seq, pong=seq > 4)
        case _:
            return message(kind, "", payload=b"\xc1")
