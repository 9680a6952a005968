"""The nodes of the demonstration as operating-system processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS = 15.0
STOP_SECONDS = 5.0


class NodeProcess:
    """One node: started, killed without warning, started again on the same data directory."""

    def __init__(self, node_id: str, folder: Path, *, size: int, hosts_room: bool) -> None:
        self.node_id = node_id
        self.listen = ""
        self._data = folder / node_id
        self._log = folder / f"{node_id}.log"
        self._size = size
        self._hosts_room = hosts_room
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, seeds: list[str]) -> None:
        """Starts the node and waits for its READY line. Raises RuntimeError with the end of its log."""
        command = [sys.executable, "-m", "casty.demo.member", "--node-id", self.node_id]
        command += ["--data-dir", str(self._data), "--size", str(self._size), "--seeds", ",".join(seeds)]
        command += ["--heartbeat-ms", "100", "--election-ms", "400", "--kept-entries", "0"]
        environment = os.environ | {"CF_EXIT_ON_EOF": "1"}
        if self._hosts_room:
            environment["CASTY_DEMO_ROOM"] = "1"
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        assert self._process.stdout is not None, "standard output is a pipe"
        try:
            async with asyncio.timeout(START_SECONDS):
                line = (await self._process.stdout.readline()).decode(errors="replace")
        except TimeoutError:
            line = ""
        if not line.startswith("READY "):
            tail = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
            msg = f"node {self.node_id} did not start:\n{tail}"
            raise RuntimeError(msg)
        self.listen = json.loads(line.removeprefix("READY "))["listen"]

    async def kill(self) -> None:
        """SIGKILL: no goodbye, no flush, whatever it was doing."""
        if self._process is not None and self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> None:
        """Asks the node to end, by closing its standard input, and insists if it does not."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            await self.kill()
