"""One other node, played by the suite: it listens, dials, says hello, and leaves the rest to the case."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from conformance._protocol import PROTOCOL_VERSION
from conformance.addresses import next_address_after
from conformance.peer.line import Heard, Inbox, Line
from conformance.verdict import Unmet
from conformance.wire.message import Message, Server, message

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from random import Random

    from conformance.peer.credentials import Credentials
    from conformance.trace.store import Trace
    from conformance.wire.message import Boot, Entry

RAFT_REQUESTS = ("VOTE_REQUEST", "PRE_VOTE_REQUEST", "APPEND_ENTRIES_REQ", "INSTALL_SNAPSHOT_REQ")


class HandshakeError(Unmet):
    """The node will have no TLS connection with this peer."""


class Peer:
    """A scripted node. Its requests go out on the line it dialled; the node's requests come on lines the
    node dialled."""

    def __init__(
        self, node_id: str, *, size: int, trace: Trace, rng: Random, patience: float, member: bool = True
    ) -> None:
        self.node_id = node_id
        self.store_id = rng.randbytes(16)
        self.boot_id = rng.randbytes(16)
        self.cluster = "casty"
        self.cluster_id: bytes | None = None
        self.address = ""
        """Where it listens and what it advertises; empty for one that does not listen."""
        self.member = member
        self.lines: list[Line] = []
        """Every connection it ever had with the node."""
        self.requests = Inbox(f"the connections dialled to {node_id}", patience)
        """What the node asks and tells on the connections it dialled, whichever they are."""
        self.credentials: Credentials | None = None
        """What it speaks TLS with; without, it speaks plain text."""
        self.answers_hello = True
        self.lives = False
        """Whether it answers each AppendEntries at once, for what it has stored before (APPEND-8): so a
        leader stays one
        though the case decides what is acknowledged."""
        self.stored = 0
        """The highest index it has acknowledged."""
        self.revision: int | None = None
        """How far its data directory has come (HELLO-10); None for one that does not say."""
        self.boots: list[Boot] | None = None
        self.patience = patience
        self._size = size
        self._trace = trace
        self._rng = rng
        self._server: asyncio.Server | None = None
        self._raft: Line | None = None
        self._seq = 0
        self._dialled = {"actor": asyncio.Event(), "raft": asyncio.Event()}

    @property
    def server(self) -> Server:
        """The pair that votes are given to (FORM-1)."""
        return Server(self.node_id, self.store_id)

    @property
    def raft(self) -> Line:
        """The line it dialled, on which its Raft requests go out."""
        assert self._raft is not None, f"{self.node_id} has not dialled"
        return self._raft

    async def listen(self, sock: socket.socket | None = None) -> str:
        """Accepts the node's connections on a port of its own, or on a socket that is bound already."""
        if sock is None:
            tls = None if self.credentials is None else self.credentials.listening()
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=2**20, ssl=tls)
        else:
            self._server = await asyncio.start_server(self._accept, sock=sock, limit=2**20)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self.address

    async def connect(self, address: str, node: str | None) -> Line:
        """A bare connection to the node, without a hello. `node` is who is thought to be there."""
        host, _, port = address.rpartition(":")
        tls = None if self.credentials is None else self.credentials.dialling()
        try:
            async with asyncio.timeout(self.patience):
                reader, writer = await asyncio.open_connection(
                    host.strip("[]"),
                    int(port),
                    limit=2**20,
                    ssl=tls,
                    happy_eyeballs_delay=next_address_after(host),
                )
        except (OSError, TimeoutError) as error:
            if tls is not None and isinstance(error, ssl.SSLError | ConnectionError):
                raise HandshakeError(f"a TLS handshake with the node at {address}", str(error)) from None
            expected = f"the node to accept a connection at {address} (LAUNCH-2)"
            raise Unmet(expected, str(error) or "silence") from None
        return self._line(reader, writer, node)

    async def dial(self, address: str, node: str, lane: str = "raft") -> Line:
        """Connects, says hello and waits for the node's."""
        line = await self.connect(address, node)
        line.opened(self.node_id, node, lane)
        line.send(self.hello(lane))
        try:
            heard = await line.hear("PEER_LIST.hello")
        except Unmet as unmet:
            raise Unmet(f"{unmet.expected} (HELLO-1)", unmet.got, frame=unmet.frame) from None
        if heard.message.name != node:
            raise heard.unmet(f"a hello of {node}", f"one of {heard.message.name}")
        line.send(self.peers())
        if lane != "actor":
            self._raft = line
        return line

    async def dialled(self, lane: str = "raft") -> None:
        """Returns once the node has dialled this peer for that lane and both hellos are said (PEER-2)."""
        try:
            async with asyncio.timeout(self.patience):
                await self._dialled[lane].wait()
        except TimeoutError:
            raise Unmet(
                f"the node to dial {self.node_id} at {self.address} (PEER-2)",
                f"no hello in {self.patience:.1f} s",
            ) from None

    def hello(self, lane: str = "raft", **changed: Any) -> Message:
        """Its hello; `changed` replaces fields, for one that is wrong on purpose. None leaves a field out."""
        fields: dict[str, Any] = {
            "version": PROTOCOL_VERSION,
            "cluster": self.cluster,
            "cluster_id": self.cluster_id,
            "store_id": self.store_id,
            "boot_id": self.boot_id,
            "lane": lane,
            "address": self.address or "127.0.0.1:9",
            "expected_size": self._size,
            "member": None if self.member else False,
            "revision": self.revision,
            "boots": self.boots,
        }
        fields |= changed
        return message("PEER_LIST.hello", self.node_id, **{k: v for k, v in fields.items() if v is not None})

    def peers(self, *known: tuple[str, str]) -> Message:
        """The second PEER_LIST, with the nodes it knows: pairs of node id and address."""
        return message("PEER_LIST.peers", self.node_id, peers=list(known))

    def next_seq(self) -> int:
        """A number it has not used in this boot (LEADER-8)."""
        self._seq += 1
        return self._seq

    async def ask(self, request: Message, *, seconds: float | None = None) -> Heard:
        """Sends a Raft request and waits for the response that repeats its seq."""
        seq = self.request(request)
        kind = request.kind.replace("REQUEST", "RESPONSE").replace("_REQ", "_RES")
        if kind == request.kind:
            raise AssertionError(f"{request.kind} has no response")
        return await self.raft.hear(kind, seconds=seconds, seq=seq)

    def request(self, request: Message, detail: str = "") -> int:
        """Sends a request, under a new seq unless it has one; returns the seq."""
        seq: int = request.get("seq") or self.next_seq()
        self.raft.send(Message(request.kind, request.name, {**request.fields, "seq": seq}), detail=detail)
        return seq

    def request_vote(
        self,
        term: int,
        last: tuple[int, int],
        members: Sequence[Server],
        *,
        formation: bool = False,
        pre: bool = False,
    ) -> Message:
        """A VOTE_REQUEST, or a PRE_VOTE_REQUEST, of this peer; `last` is (index, term) of its last entry."""
        return message(
            "PRE_VOTE_REQUEST" if pre else "VOTE_REQUEST",
            self.node_id,
            term=term,
            last_log_index=last[0],
            last_log_term=last[1],
            formation=formation,
            members=list(members),
        )

    def append(
        self, term: int, prev: tuple[int, int], entries: Sequence[Entry] = (), *, commit: int = 0
    ) -> Message:
        """An APPEND_ENTRIES_REQ of this peer as the leader of `term`; `prev` is (index, term)."""
        return message(
            "APPEND_ENTRIES_REQ",
            self.node_id,
            term=term,
            prev_log_index=prev[0],
            prev_log_term=prev[1],
            entries=list(entries),
            leader_commit=commit,
        )

    def answer(self, heard: Heard, **fields: Any) -> None:
        """Answers a Raft request of the node on the line it came on; term, request_term and seq follow from
        it."""
        kind = heard.message.kind.replace("REQUEST", "RESPONSE").replace("_REQ", "_RES")
        term: int = heard["term"]
        given = {"term": term, "request_term": term, "seq": heard["seq"]} | fields
        heard.line.send(message(kind, self.node_id, **given))

    def grant(self, heard: Heard) -> None:
        """Grants the vote or pre-vote that the node asks for."""
        self.answer(heard, vote_granted=True)

    def acknowledge(self, heard: Heard) -> None:
        """Takes the entries of the node's AppendEntries for stored."""
        end = heard["prev_log_index"] + len(heard["entries"])
        self.stored = max(self.stored, end)
        self.answer(heard, success=True, match_index=end)

    async def restart(self) -> None:
        """Cuts all its connections and comes back under a new boot id; its store, and its address, stay."""
        for line in self.lines:
            await line.close()
        self.lines.clear()
        self.boot_id = self._rng.randbytes(16)
        self._seq = 0
        for dialled in self._dialled.values():
            dialled.clear()
        self.requests.skip()

    async def leave(self) -> None:
        """Ends everything it has open."""
        if self._server is not None:
            self._server.close()
        for line in self.lines:
            await line.close()

    def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, node: str | None) -> Line:
        line = Line(reader, writer, peer=self.node_id, node=node, trace=self._trace, patience=self.patience)
        self.lines.append(line)
        return line

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = self._line(reader, writer, None)

        def take(heard: Heard) -> bool:
            """Answers the hello; everything else the node says here goes into the one inbox of requests."""
            if heard.message.kind == "PEER_LIST.hello" and line.hello is heard:
                if self.answers_hello:
                    line.send(self.hello(heard["lane"]), self.peers())
                    self._dialled["actor" if heard["lane"] == "actor" else "raft"].set()
                return True
            if heard.message.kind == "PING":  # the answer to one of this line's own
                return False
            if self.lives and heard.message.kind == "APPEND_ENTRIES_REQ":
                end = heard["prev_log_index"] + len(heard["entries"])
                self.answer(heard, success=True, match_index=min(self.stored, end))
            self.requests.put(heard)
            return True

        line.on_heard = take
