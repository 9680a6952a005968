"""A peer that speaks by hand: it can say hello properly, and then anything."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgpack

from casty.wire import _protocol as p
from casty.wire.frames import Frame, FrameDecoder, encode_frame
from tests.cluster.harness import BOUND, client, dialled, until

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from casty import DistributedActorSystem
    from casty.cluster.link import Link


def frame(kind: int, name: str = "", payload: object = None) -> bytes:
    """A frame with any payload."""
    packed: bytes = msgpack.packb(payload)
    return encode_frame(kind, name, packed)


@dataclass(frozen=True)
class Said:
    """A frame that came, its payload unpacked."""

    type: int
    name: str
    payload: Any


class Peer:
    """One TCP connection, from either side."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        node_id: str = "peer",
        boot_id: bytes | None = None,
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.node_id = node_id
        self.boot_id = boot_id or os.urandom(16)
        self.store_id = os.urandom(16)
        self._decoder = FrameDecoder()

    def send(self, *data: bytes) -> None:
        """Sends bytes as they are."""
        self.writer.write(b"".join(data))

    def say(self, kind: int, name: str = "", payload: object = None) -> None:
        """Sends one frame."""
        self.send(frame(kind, name, payload))

    def hello(self, *, name: Any = None, without: Any = "", **changes: object) -> bytes:
        """A hello that would be accepted, but for the changes."""
        fields: dict[str, object] = {
            "version": 1,
            "cluster": "casty",
            "store_id": self.store_id,
            "boot_id": self.boot_id,
            "lane": "actor",
            "address": "127.0.0.1:1",
            "expected_size": 3,
            "member": False,
        }
        fields |= changes
        fields.pop(without, None)
        return frame(p.PEER_LIST, self.node_id if name is None else name, fields)

    async def greet(self, **changes: object) -> Said:
        """Says hello, and returns the answer, having read the list of peers that follows."""
        self.send(self.hello(**changes))
        answer = await self.next()
        assert answer.type == p.PEER_LIST, answer
        peers = await self.next()
        assert set(peers.payload) == {"peers"}, peers
        self.send(frame(p.PEER_LIST, self.node_id, {"peers": []}))
        return answer

    async def next(self) -> Said:
        """The next frame but pings, which are answered. AssertionError if the stream ends, or none comes."""
        while True:
            said = await self._frame()
            assert said is not None, "the connection ended"
            unpacked = msgpack.unpackb(said.payload, strict_map_key=False)
            if said.type == p.PING and not unpacked["pong"]:
                self.say(p.PING, "", {"id": unpacked["id"], "pong": True})
                continue
            return Said(said.type, said.name, unpacked)

    async def _frame(self) -> Frame | None:
        async with asyncio.timeout(BOUND):
            while (found := self._decoder.next_frame()) is None:
                data = await self.reader.read(1 << 16)
                if not data:
                    return None
                self._decoder.receive_data(data)
        return found

    async def ask(self, actor: str, message: object, number: int = 1, **fields: object) -> dict[str, Any]:
        """Asks, and returns the answer's payload."""
        self.say(p.ASK_REQ, actor, {"id": number, "message": message} | fields)
        payload: dict[str, Any] = (await self.answer(number)).payload
        return payload

    async def answer(self, number: int) -> Said:
        """The ASK_RES of that number; other frames in between are read over."""
        while True:
            said = await self.next()
            if said.type == p.ASK_RES and said.payload["id"] == number:
                return said

    async def error(self) -> tuple[str, str]:
        """The next ERROR frame's code and rule; other frames in between are read over."""
        while True:
            said = await self.next()
            if said.type == p.ERROR:
                return said.payload["code"], said.payload["rule"]

    async def refused(self) -> str | None:
        """Reads to the end of the connection; the code of the ERROR that came last, if any did."""
        code = None
        async with asyncio.timeout(BOUND):
            with contextlib.suppress(ConnectionError):
                while (said := await self._frame()) is not None:
                    if said.type == p.ERROR:
                        code = msgpack.unpackb(said.payload)["code"]
        return code

    def stop_reading(self) -> None:
        """Leaves what comes in the kernel, until that has no more room."""
        cast("asyncio.Transport", self.writer.transport).pause_reading()

    def read_again(self) -> None:
        cast("asyncio.Transport", self.writer.transport).resume_reading()

    def close(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def peer_of(
    node: DistributedActorSystem,
    node_id: str = "peer",
    *,
    greet: bool = True,
    tls: ssl.SSLContext | None = None,
    boot_id: bytes | None = None,
    **hello: object,
) -> AsyncIterator[Peer]:
    """A peer that has dialled the node, and said hello."""
    host, port = node.listen
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    peer = Peer(reader, writer, node_id, boot_id)
    try:
        if greet:
            await peer.greet(**hello)
        yield peer
    finally:
        peer.close()
        await gone(peer)


async def gone(peer: Peer) -> None:
    """Waits until the peer's transport is closed."""
    with contextlib.suppress(ConnectionError):
        await peer.writer.wait_closed()


class Listener:
    """Where a node can dial a scripted peer. `next` is the connection it made last and nobody has had yet."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._came: asyncio.Queue[Peer] = asyncio.Queue()
        self._all: list[Peer] = []
        self.port = 0
        self.boot_id = os.urandom(16)
        self.store_id = os.urandom(16)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Listener:
        await self.listen()
        return self

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def deafen(self) -> None:
        """Accepts no more."""
        assert self._server is not None
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, boot_id=self.boot_id)
        peer.store_id = self.store_id
        self._all.append(peer)
        self._came.put_nowait(peer)

    async def next(self) -> Peer:
        async with asyncio.timeout(BOUND):
            return await self._came.get()

    @property
    def unseen(self) -> int:
        return self._came.qsize()

    @property
    def count(self) -> int:
        return len(self._all)

    async def greeted(self, node_id: str = "peer", **hello: object) -> Peer:
        """The next connection, once both sides have said hello."""
        peer = await self.next()
        peer.node_id = node_id
        first = await peer.next()
        assert first.type == p.PEER_LIST, first
        peer.send(peer.hello(**{"lane": first.payload["lane"], "address": self.address, **hello}))
        second = await peer.next()
        assert set(second.payload) == {"peers"}, second
        return peer

    async def __aexit__(self, *_: object) -> None:
        await self.deafen()
        for peer in self._all:
            peer.close()
        for peer in self._all:
            await gone(peer)


@dataclass(frozen=True)
class Clog:
    """A node in the middle of 15 MiB to a peer that does not read."""

    node: DistributedActorSystem
    peer: Peer
    link: Link
    sending: asyncio.Task[None]


@contextlib.asynccontextmanager
async def clogged() -> AsyncIterator[Clog]:
    """Node "a", dialled to "peer", with a sender that has to wait."""
    async with Listener() as listener, client(listener.address, node_id="a") as a:
        peer = await listener.greeted()
        await until(lambda: ("peer", "actor") in a.links.dialled)
        peer.stop_reading()
        sending = asyncio.create_task(a.ref("peer", "x").send(bytes(15 << 20)))
        link = dialled(a, "peer")
        await until(lambda: link.is_paused)
        yield Clog(a, peer, link, sending)
