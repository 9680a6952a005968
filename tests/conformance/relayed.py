"""A dialler and a node on plain sockets, and a relay between them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from conformance.proxy.network import Network
from conformance.trace.record import Closed, Sent
from conformance.trace.store import Trace
from conformance.wire.frame import Frame
from conformance.wire.message import encode, message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conformance.trace.record import Record

BOUND = 10.0
"""Seconds after which something that was expected is not coming."""


class Socket:
    """One end of a connection, read to the byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def write(self, *parts: Frame | bytes) -> None:
        self._writer.write(b"".join(part if isinstance(part, bytes) else part.encode() for part in parts))

    async def drain(self) -> None:
        async with asyncio.timeout(BOUND):
            await self._writer.drain()

    async def take(self, *parts: Frame | bytes) -> None:
        """Reads exactly these bytes next."""
        wanted = b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)
        async with asyncio.timeout(BOUND):
            assert await self._reader.readexactly(len(wanted)) == wanted

    async def read(self, size: int) -> bytes:
        """What has arrived, at least one byte."""
        async with asyncio.timeout(BOUND):
            return await self._reader.read(size)

    async def rest(self) -> tuple[bytes, Literal["fin", "reset"]]:
        """Everything up to the end, and which end that is."""
        got = b""
        try:
            async with asyncio.timeout(BOUND):
                while data := await self._reader.read(1 << 16):
                    got += data
        except ConnectionResetError:
            return got, "reset"
        return got, "fin"

    def finish(self) -> None:
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()

    async def abandon(self) -> None:
        """Leaves nothing open."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def reset(self) -> None:
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class Server:
    """A node's listener, which accepts when the test asks."""

    def __init__(self) -> None:
        self.address = ""
        self._all: list[Socket] = []
        self._accepted: asyncio.Queue[Socket] = asyncio.Queue()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._all.append(Socket(reader, writer))
            self._accepted.put_nowait(self._all[-1])

        self._server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1 << 16)
        self.address = "127.0.0.1:%d" % self._server.sockets[0].getsockname()[1]  # noqa: UP031 - sockets give tuples

    async def accept(self) -> Socket:
        async with asyncio.timeout(BOUND):
            return await self._accepted.get()

    @property
    def has_waiting(self) -> bool:
        return not self._accepted.empty()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for end in self._all:
            await end.abandon()


@dataclass(slots=True)
class Pair:
    """The network before n2, which `server` plays."""

    trace: Trace
    network: Network
    server: Server
    address: str
    dialled: list[Socket] = field(default_factory=list)

    async def dial(self) -> Socket:
        self.dialled.append(await dial(self.address))
        return self.dialled[-1]

    async def connect(self, name: str = "n1", lane: str = "all") -> tuple[Socket, Socket]:
        """A connection whose hello has been read: the dialler's end and the node's."""
        near = await self.dial()
        near.write(hello(name, lane))
        far = await self.server.accept()
        await far.take(hello(name, lane))
        return near, far

    @property
    def fates(self) -> list[tuple[str | None, str | None, str, str]]:
        """From whom, to whom, of what type and how each frame went."""
        sent = (record for record in self.trace if isinstance(record, Sent))
        return [(record.source, record.target, record.frame.kind, record.fate) for record in sent]

    @property
    def ends(self) -> list[tuple[str | None, str]]:
        return [(record.source, record.how) for record in self.trace if isinstance(record, Closed)]

    async def seen(self, fate: str, kind: str = "VOTE_REQUEST") -> Record:
        """Waits until a frame has met this fate."""

        def fits(record: Record) -> bool:
            return isinstance(record, Sent) and (record.fate, record.frame.kind) == (fate, kind)

        return await self.trace.wait(fits, seconds=BOUND)


@contextlib.asynccontextmanager
async def pair(seed: int = 1, *, dialler: str | None = None) -> AsyncIterator[Pair]:
    """n2 behind a network."""
    trace = Trace()
    network = Network(trace, random.Random(seed))
    server = Server()
    await server.start()
    network.serve("n2", server.address)
    pair = Pair(trace, network, server, await network.listen("n2", dialler=dialler))
    try:
        yield pair
    finally:
        async with asyncio.timeout(BOUND):
            await network.close()
            for end in pair.dialled:
                await end.abandon()
            await server.close()


async def dial(address: str) -> Socket:
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(BOUND):
        return Socket(*await asyncio.open_connection(host, int(port)))


def hello(name: str, lane: str = "all") -> Frame:
    return encode(
        message(
            "PEER_LIST.hello",
            name,
            version=1,
            cluster="casty",
            store_id=bytes(16),
            boot_id=bytes(16),
            lane=lane,
            address="127.0.0.1:1",
            expected_size=3,
        )
    )


def vote(term: int, name: str = "n1") -> Frame:
    return Frame(7, name.encode(), b"\x81\xa4term" + term.to_bytes(1))


def ping(number: int) -> Frame:
    return Frame(17, b"", b"\x81\xa2id" + number.to_bytes(1))


async def turns(count: int = 20) -> None:
    """Lets the loop turn: for what needs no clock, and must not happen."""
    for _ in range(count):
        await asyncio.sleep(0)
