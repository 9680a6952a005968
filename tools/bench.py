#!/usr/bin/env python3
"""How fast Casty is, beside the bare limit of each kind of work, measured in the same run on the same machine.

    tools/dev run python tools/bench.py            all of it, some 30 seconds
    tools/dev run python tools/bench.py local      one part: local, remote or raft

A figure by itself says little on a shared machine; compare the ratios to the limits. These are, for a send,
a deque and a coroutine call per message; for an ask, a future and one turn of the loop; for a remote ask, a
msgpack echo over `asyncio.Protocol` between two processes; for a commit, one such echo and one fdatasync.
Casty and its limit take turns, a tenth of a second each, so that what else the machine does slows both; a ratio
is the median over these pairs, with the range of the middle half of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgpack

from casty.actor import Actor, Context
from casty.cluster.system import DistributedActorSystem
from casty.system import ActorSystem
from casty_console import program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROUNDS = 25
ROUND_SECONDS = 0.1
"""So often Casty and its limit take turns, and how long each turn is at least."""

COMMIT_SECONDS = 1.5
"""How long commits are measured."""

COMMAND = {"op": "put", "key": "key-000001", "value": "0123456789abcdef"}


class Counter(Actor[int]):
    """Counts what it is sent, and says the count when asked a negative number."""

    def __init__(self) -> None:
        self.count = 0

    async def receive(self, msg: int, ctx: Context[int]) -> None:
        if msg < 0:
            ctx.reply(self.count)
        else:
            self.count += 1


type Work = Callable[[int], Awaitable[None]]
"""Does something so many times."""


class Pairs(NamedTuple):
    """Rates a second of Casty and of its limit, taken in turns."""

    ours: list[float]
    limit: list[float]

    @property
    def ratios(self) -> list[float]:
        return [ours / limit for ours, limit in zip(self.ours, self.limit, strict=True)]


class Table:
    """Rows of figure and limit, printed as they come."""

    def __init__(self) -> None:
        print(f"{'work':<34}{'casty':>14}{'bare limit':>14}{'ratio':>9}   middle half")

    def rates(self, work: str, pairs: Pairs) -> None:
        low, ratio, high = statistics.quantiles(pairs.ratios)
        ours, limit = statistics.median(pairs.ours), statistics.median(pairs.limit)
        print(
            f"{work:<34}{ours:>12,.0f}/s{limit:>12,.0f}/s{ratio:>8.2f}x   {low:.2f} to {high:.2f}", flush=True
        )

    def rate(self, work: str, ours: float, limit: float) -> None:
        print(f"{work:<34}{ours:>12,.0f}/s{limit:>12,.0f}/s{ours / limit:>8.2f}x", flush=True)

    def latency(self, work: str, ours: float, limit: float) -> None:
        print(f"{work:<34}{ours * 1e3:>11.2f} ms{limit * 1e3:>11.2f} ms{ours / limit:>8.1f}x", flush=True)


async def in_turns(ours: Work, limit: Work, batch: int) -> Pairs:
    """How often a second each can be done, in batches of `batch`, after one batch each to warm up."""
    await ours(batch)
    await limit(batch)
    pairs = Pairs([], [])
    for _ in range(ROUNDS):
        pairs.ours.append(await rate_of(ours, batch))
        pairs.limit.append(await rate_of(limit, batch))
    return pairs


async def rate_of(work: Work, batch: int) -> float:
    """How often a second the work is done in one round."""
    done, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < ROUND_SECONDS:
        await work(batch)
        done += batch
    return done / spent


# --------------------------------------------------------------------------------------------------- local


async def local(table: Table) -> None:
    async with ActorSystem() as system:
        counter = await system.spawn(Counter)

        async def send(count: int) -> None:
            for number in range(count):
                await counter.send(number)
            await counter.ask(-1)

        async def ask(count: int) -> None:
            for _ in range(count):
                await counter.ask(-1)

        table.rates("local send", await in_turns(send, _bare_send, 10_000))
        table.rates("local ask", await in_turns(ask, _bare_ask, 5_000))


async def _bare_send(count: int) -> None:
    mailbox: deque[int] = deque()
    total = 0

    async def receive(message: int) -> None:
        nonlocal total
        total += message

    for number in range(count):
        mailbox.append(number)
        await receive(mailbox.popleft())


async def _bare_ask(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        future: asyncio.Future[int] = loop.create_future()
        loop.call_soon(future.set_result, 1)
        await future


# -------------------------------------------------------------------------------------------------- remote


class Echo(asyncio.Protocol):
    """The least a server can do: unpack what comes, pack it again, send it back."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._unpacker.feed(data)
        assert self._transport is not None
        self._transport.write(b"".join(msgpack.packb(message) for message in self._unpacker))


class EchoClient(asyncio.Protocol):
    """Asks by number, and is answered by number."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker()
        self._transport: asyncio.Transport | None = None
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._next = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._unpacker.feed(data)
        for number, value in self._unpacker:
            self._open.pop(number).set_result(value)

    async def ask(self, value: object) -> object:
        assert self._transport is not None
        self._next += 1
        future = self._open[self._next] = asyncio.get_running_loop().create_future()
        self._transport.write(msgpack.packb([self._next, value]))
        return await future


async def remote(table: Table) -> None:
    async with await started("echo") as echo, await started("counter") as server:
        loop = asyncio.get_running_loop()
        host, port = echo.listen.split(":")
        _, bare = await loop.create_connection(EchoClient, host, int(port))
        async with DistributedActorSystem(
            "127.0.0.1", 0, [server.listen], 1, node_id="b", member=False
        ) as node:
            counter = await node.lookup("counter", Counter, timeout=10)

            def asking(ask: Callable[[int], Awaitable[object]], lanes: int) -> Work:
                async def lane(count: int) -> None:
                    for _ in range(count):
                        await ask(-1)

                async def work(count: int) -> None:
                    await asyncio.gather(*(lane(count // lanes) for _ in range(lanes)))

                return work

            for lanes in (1, 64):
                pairs = await in_turns(asking(counter.ask, lanes), asking(bare.ask, lanes), 640)
                table.rates(f"remote ask, {lanes} at a time", pairs)


# ---------------------------------------------------------------------------------------------------- raft


async def raft(table: Table) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        limit = await bare_commit(folder)
        async with (
            await started("member", "a", str(folder / "a"), "") as first,
            await started("member", "b", str(folder / "b"), first.listen) as second,
            await started("member", "c", str(folder / "c"), first.listen) as third,
        ):
            figures = await measured([first, second, third])
    for lanes, (rate, p50) in figures.items():
        if lanes == "1":
            table.latency("commit, 3 processes, 1 in flight", p50, limit)
        else:
            table.rate(f"commit, {lanes} in flight", rate, 1 / limit)
            print(f"{'':<34}{p50 * 1e3:>11.2f} ms  p50")


async def measured(members: list[Child]) -> dict[str, tuple[float, float]]:
    """Tells every member to measure; the one that leads does."""
    answers = await asyncio.gather(*(member.command("measure") for member in members))
    for answer in answers:
        if answer:
            return {lanes: (rate, p50) for lanes, (rate, p50) in answer.items()}
    raise RuntimeError("no member led")


async def bare_commit(folder: Path) -> float:
    """Seconds for one echoed message and one fdatasync: what no replicated commit can beat."""
    async with await started("echo") as echo:
        host, port = echo.listen.split(":")
        _, bare = await asyncio.get_running_loop().create_connection(EchoClient, host, int(port))
        descriptor = os.open(folder / "bare", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        times: list[float] = []
        for _ in range(300):
            began = time.perf_counter()
            await bare.ask(COMMAND)
            os.write(descriptor, b"x" * 100)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - began)
        os.close(descriptor)
    return statistics.median(times)


async def commits(system: DistributedActorSystem, lanes: int) -> tuple[float, float]:
    """Commits a second, and the median seconds of one, with `lanes` of them under way."""
    times: list[float] = []
    end = time.perf_counter() + COMMIT_SECONDS

    async def lane() -> None:
        while (began := time.perf_counter()) < end:
            if not await system.append_command(COMMAND):
                raise RuntimeError("leadership was lost")
            times.append(time.perf_counter() - began)

    await asyncio.gather(*(lane() for _ in range(lanes)))
    return len(times) / COMMIT_SECONDS, statistics.median(times)


# ------------------------------------------------------------------------------------- the other processes


class Child:
    """This script in another process, in one of the roles below."""

    def __init__(self, process: asyncio.subprocess.Process, listen: str) -> None:
        self.listen = listen
        self._process = process

    async def command(self, text: str) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{text}\n".encode())
        return json.loads(await self._process.stdout.readline())

    async def __aenter__(self) -> Child:
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def started(role: str, *arguments: str, script: str = __file__) -> Child:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        script,
        role,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    return Child(process, (await process.stdout.readline()).decode(errors="replace").strip())


async def be_echo() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"{host}:{port}", flush=True)
    await line()


async def be_counter() -> None:
    async with DistributedActorSystem("127.0.0.1", 0, [], 1, node_id="a", member=False) as system:
        await system.spawn(Counter, name="counter")
        print(system.listen, flush=True)
        await line()


async def be_member(node_id: str, directory: str, seed: str) -> None:
    seeds = [seed] if seed else []
    async with DistributedActorSystem(
        "127.0.0.1", 0, seeds, 3, node_id=node_id, persistence_dir=directory
    ) as system:
        system.set_apply_callback(lambda command: None)
        print(system.listen, flush=True)
        await line()
        await system.wait_ready(20)
        figures = {}
        if system.is_leader:
            figures = {str(lanes): await commits(system, lanes) for lanes in (1, 64, 1000)}
        print(json.dumps(figures), flush=True)
        await line()


async def line() -> str:
    """The next line of standard input, waited for beside the loop."""
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


@program
def main() -> int:
    """Measures what the command line names."""
    asyncio.run(_main())
    return 0


async def _main() -> None:
    parser = argparse.ArgumentParser(description="Casty beside the bare limits")
    parser.add_argument("part", nargs="?", choices=["local", "remote", "raft", "echo", "counter", "member"])
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    match arguments.part:
        case "echo":
            await be_echo()
        case "counter":
            await be_counter()
        case "member":
            await be_member(*arguments.rest)
        case part:
            table = Table()
            for name, measure in (("local", local), ("remote", remote), ("raft", raft)):
                if part in (None, name):
                    await measure(table)


if __name__ == "__main__":
    sys.exit(main())
