#!/usr/bin/env python3
"""How fast Casty is beside others that do the same work, measured in one run on the same machine.

    python tools/bench_peers.py               everything whose peers are installed, about two minutes
    python tools/bench_peers.py commits       one part: actors or commits

The peers are pykka and pysyncobj (packages of these names), and etcd (its server, and the package grpcio).
One that is missing is passed over, with a line that says so. Casty and its peers take turns; a figure is the
median of the rounds, and so is a ratio, round by round. Every peer runs as it comes: PySyncObj keeps its log
in memory, where etcd and Casty sync theirs to disk. Commands are appended in the leader's process, but for
etcd's, which a client sends to the leader over gRPC.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import importlib.util
import json
import shutil
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench import COMMAND, COMMIT_SECONDS, Counter, line, measured, rate_of, started

from casty.system import ActorSystem
from casty_console import program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ROUNDS: Final = 3
LANES: Final = (1, 64, 1000)
"""So many commands are under way at once."""

type Figures = dict[str, tuple[float, float]]
"""For each kind of work: how often a second, and the median seconds of one."""


def missing(*packages: str, program: str = "") -> str:
    """What of this is not installed; empty if all is."""
    lacks = [package for package in packages if importlib.util.find_spec(package) is None]
    if program and shutil.which(program) is None:
        lacks.append(program)
    return ", ".join(lacks)


async def compare(contenders: dict[str, tuple[str, Callable[[], Awaitable[Figures]]]]) -> None:
    """Lets them take turns, the first of them being Casty, and prints a table."""
    for name, (lacks, _) in contenders.items():
        if lacks:
            print(f"{name} is not measured: {lacks} not installed")
    present = {name: measure for name, (lacks, measure) in contenders.items() if not lacks}
    rounds = [{name: await measure() for name, measure in present.items()} for _ in range(ROUNDS)]
    ours = next(iter(present))
    print(f"\n{'work':<28}{'who':<12}{'a second':>12}{'median':>12}   Casty is")
    for work in rounds[0][ours]:
        for name in present:
            rate = statistics.median(one[name][work][0] for one in rounds)
            median = statistics.median(one[name][work][1] for one in rounds)
            ratio = statistics.median(one[ours][work][0] / one[name][work][0] for one in rounds)
            beside = f"{ratio:.1f} times as fast" if name != ours else ""
            print(f"{work:<28}{name:<12}{rate:>12,.0f}{median * 1e3:>9.2f} ms   {beside}")


# ---------------------------------------------------------------------------------------------------- actors


async def actors() -> None:
    await compare({"Casty": ("", casty_actors), "Pykka": (missing("pykka"), pykka_actors)})


async def casty_actors() -> Figures:
    async with ActorSystem() as system:
        counter = await system.spawn(Counter)

        async def send(count: int) -> None:
            for number in range(count):
                await counter.send(number)
            await counter.ask(-1)

        async def ask(count: int) -> None:
            for _ in range(count):
                await counter.ask(-1)

        return {"send": figure(await rate_of(send, 5_000)), "ask": figure(await rate_of(ask, 5_000))}


async def pykka_actors() -> Figures:
    pykka = importlib.import_module("pykka")

    class PykkaCounter(pykka.ThreadingActor):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def on_receive(self, message: int) -> int:
            self.count += message >= 0
            return self.count

    counter = PykkaCounter.start()

    async def send(count: int) -> None:
        for number in range(count):
            counter.tell(number)
        counter.ask(-1)

    async def ask(count: int) -> None:
        for _ in range(count):
            counter.ask(-1)

    try:
        return {"send": figure(await rate_of(send, 1_000)), "ask": figure(await rate_of(ask, 200))}
    finally:
        counter.stop()


def figure(rate: float) -> tuple[float, float]:
    return rate, 1 / rate


# --------------------------------------------------------------------------------------------------- commits


async def replicated() -> None:
    await compare(
        {
            "Casty": ("", casty_commits),
            "etcd": (missing("grpc", program="etcd"), etcd_commits),
            "PySyncObj": (missing("pysyncobj"), pysyncobj_commits),
        }
    )


def named(figures: dict[str, tuple[float, float]]) -> Figures:
    return {f"commit, {lanes} in flight": figure for lanes, figure in figures.items()}


async def casty_commits() -> Figures:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            await started("member", "a", str(folder / "a"), "") as first,
            await started("member", "b", str(folder / "b"), first.listen) as second,
            await started("member", "c", str(folder / "c"), first.listen) as third,
        ):
            return named(await measured([first, second, third]))


async def in_lanes(commit: Callable[[], Awaitable[object]]) -> Figures:
    """The figures of a way to commit one command, with so many under way at once."""
    figures: dict[str, tuple[float, float]] = {}
    for lanes in LANES:
        times: list[float] = []
        end = time.perf_counter() + COMMIT_SECONDS

        async def lane(times: list[float] = times, end: float = end) -> None:
            while (began := time.perf_counter()) < end:
                await commit()
                times.append(time.perf_counter() - began)

        await asyncio.gather(*(lane() for _ in range(lanes)))
        figures[str(lanes)] = len(times) / COMMIT_SECONDS, statistics.median(times)
    return figures


def free_ports(count: int) -> list[int]:
    """Ports that nobody has at this moment; neither peer can be told to choose."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


# etcd: three servers, and a client that knows as much protobuf as a put takes.


async def etcd_commits() -> Figures:
    grpc = importlib.import_module("grpc")
    key, value = (str(COMMAND[name]).encode() for name in ("key", "value"))
    put = b"".join((b"\x0a", bytes([len(key)]), key, b"\x12", bytes([len(value)]), value))
    async with etcd_cluster() as leader, grpc.aio.insecure_channel(leader) as channel:
        call = channel.unary_unary("/etcdserverpb.KV/Put")
        return named(await in_lanes(lambda: call(put)))


@contextlib.asynccontextmanager
async def etcd_cluster() -> AsyncIterator[str]:
    """The address of the leader of three."""
    clients, peers = free_ports(3), free_ports(3)
    everybody = ",".join(f"e{at}=http://127.0.0.1:{port}" for at, port in enumerate(peers))
    with tempfile.TemporaryDirectory() as folder:
        servers: list[asyncio.subprocess.Process] = []
        try:
            for at in range(3):
                client, peer = f"http://127.0.0.1:{clients[at]}", f"http://127.0.0.1:{peers[at]}"
                arguments = {
                    "name": f"e{at}",
                    "data-dir": f"{folder}/e{at}",
                    "listen-client-urls": client,
                    "advertise-client-urls": client,
                    "listen-peer-urls": peer,
                    "initial-advertise-peer-urls": peer,
                    "initial-cluster": everybody,
                    "log-level": "error",
                }
                command = [f"--{name}={value}" for name, value in arguments.items()]
                quiet = asyncio.subprocess.DEVNULL
                servers.append(
                    await asyncio.create_subprocess_exec("etcd", *command, stdout=quiet, stderr=quiet)
                )
            yield f"127.0.0.1:{await asyncio.to_thread(leading, clients)}"
        finally:
            for server in servers:
                server.terminate()
            await asyncio.gather(*(server.wait() for server in servers))


def leading(ports: list[int]) -> int:
    """The client port of the server that leads, as soon as one does."""
    bound = time.monotonic() + 20
    while time.monotonic() < bound:
        for port in ports:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/v3/maintenance/status", b"{}")
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=2) as answer:
                status = json.load(answer)
                if status.get("leader") == status["header"]["member_id"]:
                    return port
        time.sleep(0.05)
    raise RuntimeError("etcd has no leader after 20 s")


# PySyncObj: three processes of this script.


async def pysyncobj_commits() -> Figures:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
    async with contextlib.AsyncExitStack() as stack:
        members = []
        for at in range(3):
            own, *others = addresses[at:] + addresses[:at]
            members.append(
                await stack.enter_async_context(await started("pysyncobj", own, *others, script=__file__))
            )
        return named(await measured(members))


async def be_pysyncobj(own: str, *others: str) -> None:
    library: Any = importlib.import_module("pysyncobj")

    class Store(library.SyncObj):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(own, list(others))
            self.state: dict[str, str] = {}

        @library.replicated  # type: ignore[untyped-decorator]
        def put(self, key: str, value: str) -> None:
            self.state[key] = value

    store = Store()
    print(own, flush=True)
    await line()
    while not store._isReady():
        await asyncio.sleep(0.01)
    figures: Figures = {}
    if store._isLeader():
        loop = asyncio.get_running_loop()

        async def commit() -> None:
            error = 1
            while error:  # without a leader for a moment, as happens on a busy machine
                done: asyncio.Future[int] = loop.create_future()

                def told(_: object, error: int, done: asyncio.Future[int] = done) -> None:
                    loop.call_soon_threadsafe(done.set_result, error)

                store.put(COMMAND["key"], COMMAND["value"], callback=told)
                error = await done

        figures = await in_lanes(commit)
    print(json.dumps(figures), flush=True)
    await line()
    store.destroy()


@program
def main() -> int:
    """Measures what the command line names."""
    asyncio.run(_main())
    return 0


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["actors", "commits", "pysyncobj"])
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part == "pysyncobj":
        await be_pysyncobj(*arguments.rest)
        return
    for name, part in (("actors", actors), ("commits", replicated)):
        if arguments.part in (None, name):
            await part()


if __name__ == "__main__":
    sys.exit(main())
