"""A node under test over all its lives: started, killed, started again on the same directory."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from conformance.node.process import NodeProcess
from conformance.trace.record import Marked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from conformance.node.contract import Description, Launch
    from conformance.trace.store import Trace


class Node:
    """One server's command line and directory, and the process that runs now, if one does."""

    def __init__(
        self,
        template: Sequence[str],
        launch: Launch,
        folder: Path,
        trace: Trace,
        *,
        ready_seconds: float,
        environment: Mapping[str, str],
        under: Sequence[str] = (),
    ) -> None:
        self.launch = launch
        self.folder = folder
        """Where its standard error and configuration are kept."""
        self.under = tuple(under)
        """A program that starts the node's command, such as a tracer."""
        self.remarks: list[str] = []
        """What was wrong with how its processes ended or printed."""
        self.store_id: bytes | None = None
        """As its latest hello said."""
        self._first_id = launch.node_id
        self._template = tuple(template)
        self._trace = trace
        self._ready_seconds = ready_seconds
        self._environment = dict(environment)
        self._process: NodeProcess | None = None

    @property
    def node_id(self) -> str:
        """As it is told now, or was told first, when its directory is to know it."""
        return self.launch.node_id or self._first_id

    @property
    def process(self) -> NodeProcess:
        """The process of its present life."""
        assert self._process is not None, f"{self.node_id} does not run"
        return self._process

    @property
    def runs(self) -> bool:
        """Whether it has a process that has not ended."""
        return self._process is not None and self._process.status is None

    @property
    def address(self) -> str:
        """Where it listens in this life."""
        return self.process.description.listen

    @property
    def description(self) -> Description:
        """What its READY line said."""
        return self.process.description

    async def start(
        self, *, under: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """Starts it, or starts it again. Raises `Unmet` when there is no READY in time."""
        assert not self.runs, f"{self.node_id} runs already"
        await self._bury()
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "config.json"
        self.launch.write(config)
        command = [*(self.under if under is None else under), *self.launch.command(self._template, config)]
        self._trace.append(Marked(self._trace.now(), self.node_id, "start", " ".join(command)))
        env = self.launch.environment(config, self._environment | dict(environment or {}))
        self._process = await NodeProcess.start(command, env, self.folder, ready_seconds=self._ready_seconds)
        self._trace.append(Marked(self._trace.now(), self.node_id, "ready", self.address))

    async def kill(self) -> None:
        """`kill -9`; returns when the process is gone."""
        self._mark("kill")
        self.process.signal(signal.SIGKILL)
        await self.process.exited(self._ready_seconds)
        await self._bury()

    async def terminate(self, seconds: float) -> int:
        """SIGTERM; its exit status (LAUNCH-4 says 0)."""
        self._mark("terminate")
        self.process.signal(signal.SIGTERM)
        status = await self.exited(seconds)
        await self._bury()
        return status

    async def exited(self, seconds: float) -> int:
        """The exit status of a process that is to end by itself. Raises `Unmet` when it does not in time."""
        status = await self.process.exited(seconds)
        self._mark("exit", f"status {status}")
        return status

    def pause(self) -> None:
        """SIGSTOP."""
        self._mark("pause")
        self.process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._mark("resume")
        self.process.signal(signal.SIGCONT)

    async def end(self) -> None:
        """Kills what is left of it, at the end of the case."""
        await self._bury()

    def last_words(self) -> list[str]:
        """The end of its standard error."""
        from conformance.node.process import last_words

        return last_words(self.folder / "stderr.txt")

    async def _bury(self) -> None:
        if self._process is not None:
            self.remarks += await self._process.end()
            self._process = None

    def _mark(self, event: str, text: str = "") -> None:
        self._trace.append(Marked(self._trace.now(), self.node_id, event, text))
