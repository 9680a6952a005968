"""Frames for people: what a message says in a line, a frame's fields as a tree, its bytes with carets below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.wire.clock import DateTime, Time
from conformance.wire.extension import Dataclass, EnumMember, Ref
from conformance.wire.hexdump import hexdump
from conformance.wire.packing import is_dict, is_list, is_set, is_tuple
from conformance.wire.problem import shown
from conformance.wire.tree import Line, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from conformance.wire.message import Message

__all__ = ["Line", "details", "hexdump", "said", "summary", "tree"]

_ITEMS_MAX = 6
_DEPTH_MAX = 4
_SAID_CHARACTERS_MAX = 160


def summary(message: Message) -> str:
    """One line: the kind, and the fields that matter. Never raises, whatever the fields hold."""
    return f"{message.kind} {details(message)}".rstrip()


def details(message: Message) -> str:
    """The fields that matter: ``term=3 prev=(7,2) +2 entries 8..9 commit=7``, where a pair is (index,term)."""
    make = _DETAILS.get(message.kind)
    try:
        parts = list(make(message) if make else _all(message))
    except (KeyError, TypeError, ValueError, AttributeError):
        parts = list(_all(message))  # built on purpose with fields of other kinds, or without them
    return _escaped(" ".join(filter(None, parts)))


def said(value: object, depth: int = 0) -> str:
    """A value in a few words: ``shop.orders:Add(amount=2)``, ``[1, 2, … 7 more]``, with strs escaped."""
    if depth == _DEPTH_MAX:
        return "…"
    match value:
        case Dataclass(tag, fields):
            named = (f"{_escaped(name)}={said(item, depth + 1)}" for name, item in fields.items())
            text = f"{_escaped(tag)}({_listed(named, len(fields))})"
        case EnumMember(tag, member):
            text = f"{_escaped(tag)}({said(member, depth + 1)})"
        case Ref(node_id, name):
            text = f"ref {_escaped(node_id)}/{_escaped(name)}"
        case DateTime() | Time():
            text = " ".join(filter(None, (_escaped(value.text), value.zone, "fold" * value.fold)))
        case _ if is_list(value) or is_tuple(value) or is_set(value):
            brackets = "[]" if is_list(value) else "()" if is_tuple(value) else "{}"
            items = _listed((said(item, depth + 1) for item in value), len(value))
            text = brackets[0] + items + brackets[1]
        case _ if is_dict(value):
            pairs = (f"{said(key, depth + 1)}: {said(item, depth + 1)}" for key, item in value.items())
            text = "{" + _listed(pairs, len(value)) + "}"
        case bytes():
            text = f"bin {value[:8].hex()}{'…' * (len(value) > 8)} ({len(value):,} bytes)"
        case None | bool() | int() | float() | str():
            text = shown(value)
        case _:
            text = _escaped(str(value))
    return text if len(text) <= _SAID_CHARACTERS_MAX else text[:_SAID_CHARACTERS_MAX] + "…"


def _listed(items: Iterable[str], count: int) -> str:
    shown_items = [item for _, item in zip(range(_ITEMS_MAX), items, strict=False)]
    more = [f"… {count - _ITEMS_MAX:,} more"] if count > _ITEMS_MAX else []
    return ", ".join(shown_items + more)


def _escaped(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]


def _all(message: Message) -> Iterable[str]:
    yield from (f"{name}={said(value)}" for name, value in message.fields.items())


def _hello(message: Message) -> Iterable[str]:
    yield f"lane={message['lane']} cluster={said(message['cluster'])} size={message['expected_size']}"
    yield f"address={_escaped(message['address'])}"
    yield "client" * (message.get("member") is False)
    for name in ("store_id", "boot_id", "cluster_id"):
        if name in message.fields:
            yield f"{name.removesuffix('_id')}={_id(message[name])}"
    yield _revision(message)
    yield f"boots={len(message['boots'])}" if "boots" in message.fields else ""
    yield f"version={message['version']}" * (message["version"] != 1)


def _id(id: bytes) -> str:
    """The first four bytes: enough to tell stores and boots apart."""
    return id[:4].hex() + "…" * (len(id) > 4)


def _peers(message: Message) -> Iterable[str]:
    peers = message["peers"]
    yield f"+{_counted(len(peers), 'peer')}"
    yield _listed((f"{_escaped(peer.node_id)}={_escaped(peer.address)}" for peer in peers), len(peers))
    yield _revision(message)


def _revision(message: Message) -> str:
    return f"revision={message['revision']}" if "revision" in message.fields else ""


def _counted(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def _actor(message: Message) -> str:
    return f"actor={_escaped(message.name)}"


def _actor_message(message: Message) -> Iterable[str]:
    yield from (_actor(message), said(message["message"]))


def _lookup(message: Message) -> Iterable[str]:
    yield f"{_actor(message)} id={message['id']}"
    if "found" in message.fields:
        yield f"found={_bool(message['found'])}"
        yield f"class={_escaped(message['actor_class'])}" if "actor_class" in message.fields else ""


def _bool(value: object) -> str:
    return shown(value)


def _ask(message: Message) -> Iterable[str]:
    yield f"{_actor(message)} id={message['id']}"
    yield f"timeout={message['timeout_ms']}ms" if "timeout_ms" in message.fields else ""
    yield said(message["message"])


def _answer(message: Message) -> Iterable[str]:
    yield f"id={message['id']}"
    if "value" in message.fields:
        yield f"value={said(message['value'])}"
    for name in ("code", "error_type"):
        yield _escaped(message.get(name, ""))
    yield said(message["text"]) if "text" in message.fields else ""


def _vote_request(message: Message) -> Iterable[str]:
    yield f"term={message['term']} last=({message['last_log_index']},{message['last_log_term']})"
    yield "formation" * message["formation"]
    yield f"members={_names(message)} seq={message['seq']}"


def _names(message: Message) -> str:
    return ",".join(_escaped(server.node_id) for server in message["members"])


def _vote_response(message: Message) -> Iterable[str]:
    yield f"term={message['term']} vote_granted={_bool(message['vote_granted'])}"
    yield from _request(message)


def _request(message: Message) -> Iterable[str]:
    """Which request is answered: its term only where it is not the one that the response is of."""
    yield f"request_term={message['request_term']}" * (message["request_term"] != message["term"])
    yield f"seq={message['seq']}"


def _append(message: Message) -> Iterable[str]:
    index, entries = message["prev_log_index"], message["entries"]
    yield f"term={message['term']} prev=({index},{message['prev_log_term']})"
    if entries:
        indexes = f"{index + 1}" if len(entries) == 1 else f"{index + 1}..{index + len(entries)}"
        yield f"+{_counted(len(entries), 'entry', 'entries')} {indexes}"
    else:
        yield "heartbeat"
    yield f"commit={message['leader_commit']} seq={message['seq']}"


def _append_response(message: Message) -> Iterable[str]:
    yield f"term={message['term']} success={_bool(message['success'])}"
    yield f"match={message['match_index']}" * bool(message["success"])
    if "conflict_index" in message.fields:
        term = f",{message['conflict_term']}" if "conflict_term" in message.fields else ""
        yield f"conflict=({message['conflict_index']}{term})"
    yield from _request(message)


def _snapshot(message: Message) -> Iterable[str]:
    yield f"term={message['term']} last=({message['last_included_index']},{message['last_included_term']})"
    yield f"offset={message['offset']} +{len(message['data']):,} of {_counted(message['size'], 'byte')}"
    yield "done" * message["done"]
    yield f"seq={message['seq']}"


def _snapshot_response(message: Message) -> Iterable[str]:
    yield f"term={message['term']} last={message['last_included_index']}"
    yield f"installed={_bool(message['installed'])} offset={message['offset']}"
    yield from _request(message)


def _error(message: Message) -> Iterable[str]:
    yield f"{_escaped(message['code'])} {_escaped(message['rule'])} {said(message['text'])}"


def _ping(message: Message) -> Iterable[str]:
    yield f"id={message['id']} {'pong' * message['pong']}".rstrip()


_DETAILS: Mapping[str, Callable[[Message], Iterable[str]]] = {
    "ACTOR_MSG": _actor_message,
    "LOOKUP_REQ": _lookup,
    "LOOKUP_RES": _lookup,
    "PEER_LIST.hello": _hello,
    "PEER_LIST.peers": _peers,
    "ASK_REQ": _ask,
    "ASK_RES": _answer,
    "VOTE_REQUEST": _vote_request,
    "VOTE_RESPONSE": _vote_response,
    "APPEND_ENTRIES_REQ": _append,
    "APPEND_ENTRIES_RES": _append_response,
    "INSTALL_SNAPSHOT_REQ": _snapshot,
    "INSTALL_SNAPSHOT_RES": _snapshot_response,
    "ERROR": _error,
    "PING": _ping,
    "PRE_VOTE_REQUEST": _vote_request,
    "PRE_VOTE_RESPONSE": _vote_response,
}
