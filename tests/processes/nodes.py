"""A node in a process of its own, as a launcher sees it: what it says, what it logs, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster.peers import Peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]

BOUND = 30.0
"""Seconds within which a process has done whatever it is waited for, under strace and on a busy machine."""


def injecting(fault: str, *calls: str) -> tuple[str, ...]:
    """What comes before a command for strace to do that to these system calls of it."""
    names = ",".join(calls)
    return ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={names}", "-e", f"inject={names}:{fault}")


def limited(resource: str, most: int) -> tuple[str, ...]:
    """What comes before a command for it to have no more of a resource: `RLIMIT_…`."""
    code = f"import os, resource, sys; resource.setrlimit(resource.{resource}, ({most}, {most}))"
    return (sys.executable, "-c", f"{code}; os.execv(sys.argv[1], sys.argv[1:])")


class NodeProcess:
    """`casty node`, or another module, perhaps under another program."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, *, is_under: bool) -> None:
        self.process = process
        self.listen = ""
        self._log = log
        self._is_under = is_under

    @property
    def pid(self) -> int:
        """The node's own, where strace is its parent."""
        if not self._is_under:
            return self.process.pid
        own = self.process.pid
        return int(Path(f"/proc/{own}/task/{own}/children").read_text().split()[0])

    @property
    def log(self) -> str:
        """What it has written to standard error so far."""
        return self._log.read_text()

    async def line(self) -> str:
        """The next line of its standard output; empty if there is none any more."""
        assert self.process.stdout is not None
        async with asyncio.timeout(BOUND):
            return (await self.process.stdout.readline()).decode()

    def tell(self, line: str) -> None:
        """Writes a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    async def ready(self) -> None:
        line = await self.line()
        assert line.startswith("READY "), f"{line!r}\n{self.log}"
        self.listen = json.loads(line.removeprefix("READY "))["listen"]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def ended(self) -> int:
        """Its exit status, once it has one."""
        async with asyncio.timeout(BOUND):
            return await self.process.wait()

    async def connect(self, node_id: str = "peer") -> Peer:
        """A connection nobody has said hello on."""
        host, _, port = self.listen.rpartition(":")
        return Peer(*await asyncio.open_connection(host, int(port)), node_id)


@contextlib.asynccontextmanager
async def node(
    folder: Path,
    *arguments: str,
    node_id: str = "n1",
    under: tuple[str, ...] = (),
    module: str = "casty",
) -> AsyncIterator[NodeProcess]:
    """A node that is started, and killed in the end if it still runs. Its directory is `folder / node_id`."""
    if module == "casty":
        arguments = ("node", "--node-id", node_id, "--data-dir", str(folder / node_id), *arguments)
    log = folder / f"{node_id}.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(*under, sys.executable, "-m", module, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        yield NodeProcess(process, log, is_under=under[:1] == ("strace",))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


ALONE = ("--size", "1", "--election-ms", "100", "--heartbeat-ms", "30")
"""Arguments of a node that soon leads itself."""


async def kv(peer: Peer, number: int, **request: Any) -> dict[str, Any]:
    """What `$kv` answers, once there is a leader. AssertionError if the connection ends first."""
    while True:
        payload = await peer.ask("$kv", request, number, timeout_ms=int(BOUND * 1000))
        answer: dict[str, Any] = payload.get("value") or {"ok": False, "code": payload["code"]}
        if answer["ok"] or answer["code"] != "not_leader":
            return answer
        await asyncio.sleep(0.02)
