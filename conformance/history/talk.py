"""One connection of a client to one node: hello as `member: false`, asks and their answers, pings answered."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Self

from conformance._protocol import PROTOCOL_VERSION
from conformance.addresses import next_address_after
from conformance.wire.frame import FrameError, FrameReader
from conformance.wire.message import Message, PayloadError, decode, encode, message

if TYPE_CHECKING:
    from collections.abc import Mapping

READ_BYTES = 1 << 16
NOBODY = "127.0.0.1:9"
"""The address that a client announces: nobody listens there, and nodes that dial it are refused at once."""


class NotSentError(Exception):
    """The request has not left: it certainly has no effect."""


class NoAnswerError(Exception):
    """The request may have left, and no answer will come: nobody knows its effect."""


class Talk:
    """A connection whose hellos have been said. Answers are told apart by the id of their ask."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._name = name
        self._reader = reader
        self._writer = writer
        self._open: dict[int, asyncio.Future[Message]] = {}
        self._asked = 0
        self._greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def begin(
        cls, name: str, boot_id: bytes, cluster: str, size: int, address: str, seconds: float
    ) -> Self:
        """Dials and says hello. Raises NotSentError when that does not succeed in time."""
        host, _, port = address.rpartition(":")
        talk: Self | None = None
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(
                    host.strip("[]"), int(port), happy_eyeballs_delay=next_address_after(host)
                )
                talk = cls(name, reader, writer)
                talk._send(_hello(name, boot_id, cluster, size))
                await asyncio.shield(talk._greeted)
                talk._send(message("PEER_LIST.peers", name, peers=[]))
                return talk
        except (OSError, TimeoutError) as error:
            if talk is not None:
                await talk.close()
            msg = f"no hello from {address} within {seconds} s: {str(error) or type(error).__name__}"
            raise NotSentError(msg) from None

    @property
    def is_over(self) -> bool:
        return self._ended

    async def ask(self, actor: str, request: Mapping[str, Any], seconds: float) -> Message:
        """The ASK_RES. Raises NotSentError or NoAnswerError."""
        if self._ended:
            msg = "the connection has ended"
            raise NotSentError(msg)
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
        try:
            self._send(
                message("ASK_REQ", actor, id=number, timeout_ms=int(seconds * 1000), message=dict(request))
            )
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            msg = f"no answer within {seconds} s"
            raise NoAnswerError(msg) from None
        finally:
            del self._open[number]

    async def close(self) -> None:
        self._end("closed by this client")
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    # ------------------------------------------------------------------------------------------------ reading

    async def _read(self) -> None:
        frames = FrameReader()
        try:
            while data := await self._reader.read(READ_BYTES):
                frames.feed(data)
                while (frame := frames.next_frame()) is not None:
                    self._heed(decode(frame))
        except (OSError, FrameError, PayloadError) as error:
            self._end(f"the connection is of no use any more: {error}")
        else:
            self._end("the node has closed the connection")
        finally:
            self._writer.close()

    def _heed(self, said: Message) -> None:
        match said.kind:
            case "PEER_LIST.hello":
                if not self._greeted.done():
                    self._greeted.set_result(None)
            case "PING" if not said["pong"]:
                self._send(message("PING", "", id=said["id"], pong=True))
            case "ASK_RES":
                answer = self._open.get(said["id"])
                if answer is not None and not answer.done():
                    answer.set_result(said)
            case _:
                pass

    def _send(self, said: Message) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(said).encode())

    def _end(self, why: str) -> None:
        self._ended = True
        if not self._greeted.done():
            self._greeted.set_exception(ConnectionError(why))
            self._greeted.exception()  # it is no news where nobody waits for it
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(NoAnswerError(why))


def _hello(name: str, boot_id: bytes, cluster: str, size: int) -> Message:
    return message(
        "PEER_LIST.hello",
        name,
        version=PROTOCOL_VERSION,
        cluster=cluster,
        store_id=boot_id,
        boot_id=boot_id,
        lane="actor",
        address=NOBODY,
        expected_size=size,
        member=False,
    )
