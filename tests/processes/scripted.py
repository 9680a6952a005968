"""Peers played by the test, and the process they play against."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Self

from casty.cluster.address import Address
from casty.raft.configuration import encode_configuration
from casty.raft.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    PreVoteRequest,
    VoteRequest,
)
from casty.raft.types import (
    ClusterId,
    Configuration,
    Entry,
    EntryKind,
    Index,
    NodeId,
    ServerId,
    StoreId,
    Term,
)
from casty.wire.frames import FrameDecoder
from casty.wire.messages import Hello, MessageCodec, Peers
from casty.wire.payload import ValueCodec
from casty.wire.types import TypeRegistry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from casty.raft.messages import Message
    from casty.raft.types import Members

CLUSTER = ClusterId(b"c" * 16)


class NodeUnderTest:
    """`casty node` in a process of its own, perhaps under another program such as strace."""

    def __init__(self, process: asyncio.subprocess.Process, listen: str) -> None:
        self.process = process
        self.address = listen

    @classmethod
    async def start(
        cls,
        node_id: str,
        folder: Path,
        *,
        size: int,
        election_ms: int,
        under: tuple[str, ...] = (),
        seeds: str = "",
    ) -> Self:
        command = [*under, sys.executable, "-m", "casty.cli", "node", "--node-id", node_id]
        command += ["--data-dir", str(folder / node_id), "--size", str(size), "--log-level", "warning"]
        command += [
            "--election-ms",
            str(election_ms),
            "--heartbeat-ms",
            str(election_ms // 4),
            "--seeds",
            seeds,
        ]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"CF_EXIT_ON_EOF": "1"},
            start_new_session=True,
        )
        assert process.stdout is not None
        async with asyncio.timeout(20):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("READY "), line
        return cls(process, json.loads(line.removeprefix("READY "))["listen"])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def kill(self) -> None:
        """SIGKILL to the whole group: strace and the node under it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


class ScriptedPeer:
    """Another node, as far as the node under test can tell: it says hello, and what the test wants said."""

    def __init__(self, number: int, size: int) -> None:
        self.server = ServerId(NodeId(f"n{number}"), StoreId(bytes([number]) * 16))
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        self.other: ServerId | None = None
        """The node under test, once it said hello."""
        self._size = size
        self._wire = MessageCodec(ValueCodec(TypeRegistry()))
        self._boot = os.urandom(16)
        self._address = ""
        self._reply_on: asyncio.StreamWriter | None = None
        self._request_on: asyncio.StreamWriter | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None

    async def meet(self, address: str) -> None:
        """Listens, and dials the node under test."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._address = str(Address(*self._server.sockets[0].getsockname()))
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(self._hello("raft"))
        self._request_on = writer
        met = asyncio.Event()
        self._tasks.append(asyncio.create_task(self._read(reader, writer, met)))
        async with asyncio.timeout(10):
            await met.wait()

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def request(self, message: Message) -> None:
        """Sends on the connection this peer dialled."""
        assert self._request_on is not None
        self._request_on.write(self._wire.encode_raft(self.server.node_id, message))

    def reply(self, message: Message) -> None:
        """Answers on the connection the node under test dialled."""
        assert self._reply_on is not None
        self._reply_on.write(self._wire.encode_raft(self.server.node_id, message))

    async def expect[T](self, kind: type[T], condition: Callable[[T], bool] = lambda _: True) -> T:
        """The next message of that kind that fits; others are passed over."""
        async with asyncio.timeout(15):
            while True:
                message: Any = await self.heard.get()
                if isinstance(message, kind) and condition(message):
                    return message

    def _hello(self, lane: str) -> bytes:
        node_id, store_id = self.server
        hello = Hello(node_id, "casty", store_id, self._boot, lane, self._address, self._size)
        return self._wire.encode(hello)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._read(reader, writer, asyncio.Event())

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, met: asyncio.Event
    ) -> None:
        self._writers.append(writer)
        decoder = FrameDecoder()
        hello: Hello | None = None
        while data := await _read(reader):
            decoder.receive_data(data)
            while (frame := decoder.next_frame()) is not None:
                if hello is None:
                    hello = self._wire.decode_hello(frame)
                    self.other = ServerId(hello.node_id, hello.store_id)
                    if writer is not self._request_on:
                        writer.write(self._hello(hello.lane))
                        if hello.lane == "raft":
                            self._reply_on = writer
                    writer.write(self._wire.encode(Peers(self.server.node_id, ())))
                    met.set()
                else:
                    message: Any = self._wire.decode(frame)
                    self.heard.put_nowait(message)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """What has arrived; nothing where the connection has ended, however it did."""
    with contextlib.suppress(OSError):
        return await reader.read(65536)
    return b""


class Cast:
    """The node under test and the peers the test plays, with the lines they have to speak."""

    def __init__(self, node: NodeUnderTest, peers: list[ScriptedPeer]) -> None:
        self.node = node
        self.peers = peers

    async def meet(self) -> None:
        for peer in self.peers:
            await peer.meet(self.node.address)

    async def leave(self) -> None:
        for peer in self.peers:
            await peer.leave()

    @property
    def members(self) -> Members:
        other = self.peers[0].other
        assert other is not None
        return (other, *(peer.server for peer in self.peers))

    def entry_one(self, term: int) -> Entry:
        data = encode_configuration(Configuration(CLUSTER, self.members))
        return Entry(Term(term), EntryKind.MEMBERS, data)

    def pre_vote(self, term: int, seq: int) -> PreVoteRequest:
        return PreVoteRequest(Term(term), seq, Index(0), Term(0), True, self.members)

    def vote(
        self, term: int, seq: int, *, formation: bool = True, last: tuple[int, int] = (0, 0)
    ) -> VoteRequest:
        index, last_term = last
        return VoteRequest(Term(term), seq, Index(index), Term(last_term), formation, self.members)


def append(
    term: int, seq: int, entries: tuple[Entry, ...], *, prev: tuple[int, int] = (0, 0), commit: int = 0
) -> AppendEntriesRequest:
    index, prev_term = prev
    return AppendEntriesRequest(Term(term), seq, Index(index), Term(prev_term), Index(commit), entries)


def acknowledged(request: AppendEntriesRequest) -> AppendEntriesResponse:
    match = Index(request.prev_log_index + len(request.entries))
    return AppendEntriesResponse(request.term, request.term, request.seq, True, match)
