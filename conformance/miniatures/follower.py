"""The least that passes for a follower: hello, votes, entries, pings. It remembers nothing, nor campaigns."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from conformance.miniatures.contract import node_id
from conformance.wire.frame import FrameReader
from conformance.wire.message import Message, PayloadError, decode, encode, message

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

type Judge = Callable[[Message], bool]

STORE, BOOT = os.urandom(16), os.urandom(16)


def talks(*, votes: Judge, takes: Judge) -> Callable[[socket.socket], None]:
    """A handler that asks `votes` about each request for a vote and `takes` about each AppendEntries."""

    def talk(connection: socket.socket) -> None:
        reader = FrameReader()
        while data := connection.recv(65536):
            reader.feed(data)
            while (frame := reader.next_frame()) is not None:
                try:
                    answer = _answer(decode(frame), connection, votes, takes)
                except PayloadError:
                    continue
                if answer is not None:
                    connection.sendall(encode(answer).encode())

    return talk


def _answer(asked: Message, connection: socket.socket, votes: Judge, takes: Judge) -> Message | None:
    match asked.kind:
        case "PEER_LIST.hello":
            connection.sendall(encode(_hello(asked, connection)).encode())
            return message("PEER_LIST.peers", node_id(), peers=[])
        case "PING" if not asked["pong"]:
            return message("PING", node_id(), id=asked["id"], pong=True)
        case "VOTE_REQUEST" | "PRE_VOTE_REQUEST":
            return _response(asked, vote_granted=votes(asked))
        case "APPEND_ENTRIES_REQ":
            end = asked["prev_log_index"] + len(asked["entries"])
            if takes(asked):
                return _response(asked, success=True, match_index=end)
            return _response(asked, success=False, conflict_index=max(1, asked["prev_log_index"]))
        case _:
            return None


def _hello(asked: Message, connection: socket.socket) -> Message:
    host, port = connection.getsockname()
    return message(
        "PEER_LIST.hello",
        node_id(),
        version=asked["version"],
        cluster=asked["cluster"],
        store_id=STORE,
        boot_id=BOOT,
        lane=asked["lane"],
        address=os.environ.get("CF_ADVERTISE") or f"{host}:{port}",
        expected_size=asked["expected_size"],
    )


def _response(asked: Message, **fields: object) -> Message:
    kind = asked.kind.replace("REQUEST", "RESPONSE").replace("_REQ", "_RES")
    term = asked["term"]
    return message(kind, node_id(), term=term, request_term=term, seq=asked["seq"], **fields)
