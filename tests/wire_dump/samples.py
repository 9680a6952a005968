"""Frames for tests: the golden vectors, and a few that make a short conversation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from conformance.wire.message import encode, message

ROOT: Final = Path(__file__).resolve().parents[2]
DATA: Final = Path(__file__).with_name("data")


def vectors(kind: str) -> dict[str, dict[str, Any]]:
    """The golden vectors below `valid` or `invalid`, by their ids."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "spec" / "vectors" / kind).glob("*.json")):
        found |= {vector["id"]: vector for vector in json.loads(path.read_text())["vectors"]}
    return found


def wire_of(vector: dict[str, Any]) -> bytes:
    """A vector's bytes."""
    return bytes.fromhex(vector["wire"]) if "wire" in vector else b"".join(map(bytes.fromhex, vector["chunks"]))


def hello(node: str, *, lane: str = "raft", port: int = 8001) -> bytes:
    """A node's hello."""
    return encode(
        message(
            "PEER_LIST.hello",
            node,
            version=1,
            cluster="casty",
            store_id=node.encode().ljust(16),
            boot_id=bytes(16),
            lane=lane,
            address=f"10.0.0.{node[-1]}:{port}",
            expected_size=3,
        )
    ).encode()


def heartbeat(node: str, seq: int, *, term: int = 1, commit: int = 0) -> bytes:
    """An AppendEntries without entries."""
    fields = {"prev_log_index": 0, "prev_log_term": 0, "entries": [], "leader_commit": commit}
    return encode(message("APPEND_ENTRIES_REQ", node, term=term, seq=seq, **fields)).encode()


def answer(node: str, seq: int, *, term: int = 1) -> bytes:
    """The answer to it."""
    fields = {"request_term": term, "success": True, "match_index": 0}
    return encode(message("APPEND_ENTRIES_RES", node, term=term, seq=seq, **fields)).encode()


def vote(node: str, seq: int, *, granted: bool = True) -> bytes:
    """A vote."""
    return encode(
        message("VOTE_RESPONSE", node, term=1, request_term=1, seq=seq, vote_granted=granted)
    ).encode()
