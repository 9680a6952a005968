"""A message in as few words as a picture has room for, and the tone in which it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from conformance.wire.describe import said
from conformance.wire.extension import Dataclass

if TYPE_CHECKING:
    from conformance.wire.message import Message

type Tone = Literal["vote", "append", "quiet", "snapshot", "actor", "control", "error", "lead", "fault", "note"]
"""Of what sort something is; pictures have a colour for each."""


def caption(message: Message) -> tuple[str, Tone]:
    """What stands at the arrow, and the arrow's tone."""
    match message.kind:
        case "PRE_VOTE_REQUEST":
            return f"PreVote for term {message['term'] + 1}, log {_last(message)}", "vote"
        case "PRE_VOTE_RESPONSE":
            return f"pre-vote {_granted(message)}", "vote"
        case "VOTE_REQUEST":
            return f"RequestVote term {message['term']}, log {_last(message)}", "vote"
        case "VOTE_RESPONSE":
            return f"vote {_granted(message)}", "vote"
        case "APPEND_ENTRIES_REQ":
            return _append(message)
        case "APPEND_ENTRIES_RES":
            if message["success"]:
                return f"ok up to {message['match_index']}", "append"
            hint = f", try {message['conflict_index']}" if "conflict_index" in message.fields else ""
            return f"refused{hint} {_higher(message)}".rstrip(), "error"
        case "INSTALL_SNAPSHOT_REQ":
            end = message["offset"] + len(message["data"])
            upto = message["last_included_index"]
            return (
                f"snapshot up to {upto}: bytes {message['offset']:,}–{end:,}{' done' * message['done']}",
                "snapshot",
            )
        case "INSTALL_SNAPSHOT_RES":
            return "installed ✓" if message["installed"] else f"next byte {message['offset']:,}", "snapshot"
        case "ACTOR_MSG":
            return f"{message.name} ← {_value(message['message'])}", "actor"
        case "ASK_REQ":
            return f"ask {message.name} {_value(message['message'])}", "actor"
        case "ASK_RES":
            return (
                (f"reply {_value(message['value'])}", "actor")
                if "value" in message.fields
                else (
                    f"reply ✗ {message.get('code')}",
                    "error",
                )
            )
        case "LOOKUP_REQ":
            return f"where is {message.name}?", "actor"
        case "LOOKUP_RES":
            return f"{message.name} is {'here' if message['found'] else 'not here'}", "actor"
        case "ERROR":
            return f"ERROR {message['code']}", "error"
        case "PEER_LIST.hello":
            return f"hello, lane {message['lane']}", "control"
        case "PEER_LIST.peers":
            return f"peers: {', '.join(peer.node_id for peer in message['peers'])}", "control"
        case "PING":
            return "pong" if message["pong"] else "ping", "control"
        case _:
            return message.kind, "control"


def _append(message: Message) -> tuple[str, Tone]:
    entries, first = message["entries"], message["prev_log_index"] + 1
    if not entries:
        return f"heartbeat, commit {message['leader_commit']}", "quiet"
    last = first + len(entries) - 1
    which = f"entry {first}" if first == last else f"entries {first}–{last}"
    kinds = {entry.kind for entry in entries} - {"command"}
    what = f" ({', '.join(sorted(kinds))})" if kinds else ""
    return f"AppendEntries {which}{what}", "append"


def _last(message: Message) -> str:
    return f"({message['last_log_index']},{message['last_log_term']})"


def _granted(message: Message) -> str:
    return "granted ✓" if message["vote_granted"] else f"denied ✗ {_higher(message)}".rstrip()


def _higher(message: Message) -> str:
    return f"(term {message['term']})" if message["term"] != message["request_term"] else ""


def _value(value: Any) -> str:
    match value:
        case {"op": str(op), "key": key}:
            return f"{op} {said(key)}"
        case {"op": str(op)}:
            return op
        case {"ok": True, "index": index}:
            return f"ok, entry {said(index)}"
        case {"ok": False, "code": code}:
            return f"✗ {said(code)}"
        case Dataclass(tag, fields):
            return f"{tag.rpartition(':')[2]}({', '.join(f'{k}={said(v)}' for k, v in fields.items())})"
        case _:
            return said(value)
