"""What one node was sent in a recorded case, sent again to a fresh node: what does it answer?

So a failure of a live cluster becomes one node and a list of frames. The frames on the connections that others
had dialled to the node go out in the recorded order, each after the answers that the recording shows before it.
The fresh node has a store of its own: where frames name the old store, they name the new one. The checksum of a
snapshot that holds the name does not survive that.

What the node itself asked on the connections that it dialled depends on its clock, and is left out. So is
everything after the node's first life. A node that was a follower then says all there is to say; of one that
led, this shows only half.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from conformance.addresses import next_address_after
from conformance.artifacts import ArtifactError
from conformance.node.contract import Launch
from conformance.node.node import Node
from conformance.trace.record import Closed, Marked, Opened, Raw, Sent
from conformance.trace.store import Trace
from conformance.wire.describe import summary
from conformance.wire.frame import Frame, FrameError, FrameReader
from conformance.wire.message import Message, PayloadError, decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from conformance.trace.record import Record

SECONDS: Final = 2.0
"""How long an answer is waited for, on a machine of ordinary speed."""
_BY_THE_CLOCK: Final = ("PING", "PEER_LIST.peers", "HEARTBEAT", "")
"""What comes when it comes: neither sent again nor compared."""


@dataclass(slots=True)
class Step:
    """Something that the node was sent, and what it answered before it was sent anything else."""

    number: int
    connection: int
    source: str
    data: bytes
    text: str
    answers: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Script:
    """The steps of one node's first life."""

    node: str
    store_id: bytes = b""
    steps: list[Step] = field(default_factory=list[Step])
    asked: int = 0
    """How many requests the node made by itself."""


def read_script(records: Sequence[Record], node: str) -> Script:
    """What can be sent to a node again. Raises `ArtifactError` where the trace has nothing of the kind."""
    script = Script(node)
    inbound = {
        record.connection for record in records if isinstance(record, Opened) and record.listener == node
    }
    for number, record in enumerate(records):
        if isinstance(record, Marked) and record.node == node and record.event in ("kill", "exit", "terminate"):
            break
        if isinstance(record, Sent | Raw) and record.connection in inbound:
            _add(script, number, record)
        elif (
            isinstance(record, Sent)
            and record.source == node
            and _kind(record.frame).endswith(("REQ", "REQUEST"))
        ):
            script.asked += 1
        elif isinstance(record, Closed) and record.connection in inbound and record.source != node:
            script.steps.append(Step(number, record.connection, record.source or "?", b"", "closes"))
    if not script.steps:
        nodes = sorted({record.listener for record in records if isinstance(record, Opened)})
        raise ArtifactError(
            f"the trace shows nobody who dialled {node!r}; it has {', '.join(nodes) or 'no nodes'}"
        )
    return script


def _add(script: Script, number: int, record: Sent | Raw) -> None:
    if record.source == script.node:
        if isinstance(record, Sent) and _kind(record.frame) not in _BY_THE_CLOCK:
            said = decode(record.frame)
            script.store_id = said.get("store_id", script.store_id) or script.store_id
            step = next((each for each in reversed(script.steps) if each.connection == record.connection), None)
            if step is not None:
                step.answers.append(_told(said))
    elif isinstance(record, Raw):
        text = f"{len(record.data):,} bytes that are no frame"
        script.steps.append(Step(number, record.connection, record.source or "?", record.data, text))
    elif _kind(record.frame) != "PING":
        data, text = record.frame.encode(), _said(record.frame)
        script.steps.append(Step(number, record.connection, record.source or "?", data, text))


async def perform(
    folder: Path, script: Script, command: Sequence[str], scale: float, out: Path
) -> list[list[str]]:
    """What a fresh node answers to each step. Raises `Unmet` where it does not even start."""
    config = folder / "nodes" / script.node / "config.json"
    try:
        given = json.loads(config.read_text(encoding="utf-8"))
        launch = Launch(**given | {"seeds": (), "caps": tuple(given["caps"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{config}: {error}") from None
    home = out / "nodes" / script.node
    launch = replace(launch, data_dir=str(home / "data"))
    node = Node(command, launch, home, Trace(), ready_seconds=15 * scale, environment={})
    try:
        await node.start()
        return await _feed(node.address, script, SECONDS * scale)
    finally:
        await node.end()


async def _feed(address: str, script: Script, seconds: float) -> list[list[str]]:
    lines: dict[int, _Line] = {}
    answers: list[list[str]] = []
    store = b""
    async with contextlib.AsyncExitStack() as closing:
        for step in script.steps:
            if step.connection not in lines:
                lines[step.connection] = line = await _Line.open(address)
                closing.push_async_callback(line.close)
            line = lines[step.connection]
            if not step.data:
                line.writer.close()
            elif store and script.store_id:
                line.send(step.data.replace(script.store_id, store))
            else:
                line.send(step.data)
            answers.append(await line.hear(len(step.answers), seconds))
            store = line.store_id or store
    return answers


class _Line:
    """A connection to the fresh node."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.store_id = b""
        self._heard: asyncio.Queue[str] = asyncio.Queue()
        self._reads = asyncio.create_task(self._read(reader))

    @classmethod
    async def open(cls, address: str) -> _Line:
        host, _, port = address.rpartition(":")
        there = await asyncio.open_connection(
            host.strip("[]"), int(port), happy_eyeballs_delay=next_address_after(host)
        )
        return cls(*there)

    def send(self, data: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(data)

    async def hear(self, count: int, seconds: float) -> list[str]:
        """The next answers, as many as there were, or fewer if no more come; and any others that are there."""
        heard: list[str] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(heard) < count:
                    heard.append(await self._heard.get())
        while not self._heard.empty():
            heard.append(self._heard.get_nowait())
        return heard

    async def close(self) -> None:
        self._reads.cancel()
        await asyncio.gather(self._reads, return_exceptions=True)
        self.writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        frames = FrameReader()
        with contextlib.suppress(ConnectionError, FrameError):
            while data := await reader.read(65536):
                frames.feed(data)
                while (frame := frames.next_frame()) is not None:
                    if _kind(frame) in _BY_THE_CLOCK:
                        continue
                    said = decode(frame)
                    self.store_id = said.get("store_id", b"") or self.store_id
                    self._heard.put_nowait(_told(said))


def report(script: Script, answers: Sequence[Sequence[str]]) -> Iterator[str]:
    """The steps with what was answered then and now; the differences stand out."""
    differ = 0
    for step, now in zip(script.steps, answers, strict=True):
        yield f"#{step.number:<4} {step.source} → {script.node}  {step.text}"
        for at in range(max(len(step.answers), len(now))):
            then_said = step.answers[at] if at < len(step.answers) else "nothing"
            now_said = now[at] if at < len(now) else "nothing"
            if then_said == now_said:
                yield f"          as then  {then_said}"
            else:
                differ += 1
                yield f"      ≠   then     {then_said}"
                yield f"          now      {now_said}"
    yield f"\n{len(script.steps)} steps, {differ} other answers than in the recording"
    if script.asked:
        yield f"{script.node} also made {script.asked} requests by itself: those are left out"


def _kind(frame: Frame) -> str:
    """The message's kind; empty where it is none."""
    try:
        return decode(frame).kind
    except PayloadError:
        return ""


def _said(frame: Frame) -> str:
    try:
        return summary(decode(frame))
    except PayloadError as error:
        return f"{frame.kind}, malformed: {error}"


def _told(said: Message) -> str:
    """An answer in one line; of a hello only what is the same for every node of the same kind."""
    if said.kind == "PEER_LIST.hello":
        return f"{said.kind} lane={said['lane']} cluster={said['cluster']} size={said['expected_size']}"
    return summary(said)
