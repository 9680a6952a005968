"""One process of a node under test, in a session of its own so that nothing of it outlives the case."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from conformance.node.contract import read_ready
from conformance.node.pipes import Pipes
from conformance.verdict import HarnessError, Unmet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from conformance.node.contract import Description

_UNKNOWN_STATUS: Final = 255
STDOUT_MAX: Final = 65536
"""So many bytes of standard output are kept; a node that prints more floods it."""


class NodeProcess:
    """A started command: READY awaited, standard output watched, standard error kept in a file."""

    def __init__(
        self, process: asyncio.subprocess.Process, pipes: Pipes, errors: Path, description: Description
    ) -> None:
        self.description = description
        self.errors = errors
        """The file with everything it wrote to standard error."""
        self.printed = b""
        """What came on standard output after READY: nothing, with a node that keeps LAUNCH-2."""
        self._process = process
        self._pipes = pipes
        self._watch = asyncio.create_task(self._read_on())

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], folder: Path, *, ready_seconds: float
    ) -> Self:
        """Starts the command and waits for its READY line.

        Raises `Unmet`, the node's fault, when it ends, is silent or says something else first;
        `HarnessError` when
        there is no such command.
        """
        errors = folder / "stderr.txt"
        pipes = await Pipes.open(STDOUT_MAX)
        with _opened(errors) as stderr:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=pipes.stdin,
                    stdout=pipes.stdout,
                    stderr=stderr,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                pipes.close()
                raise HarnessError(f"cannot start {command[0]!r}: {error.strerror}") from None
        pipes.started()
        try:
            description = await _await_ready(process, pipes.output, errors, ready_seconds)
        except BaseException:
            await _end_group(process)
            pipes.close()
            raise
        return cls(process, pipes, errors, description)

    @property
    def pid(self) -> int:
        """Of the command, which is the leader of its process group."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    def signal(self, number: signal.Signals) -> None:
        """To the whole group: a tracer and the node under it alike."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def close_input(self) -> None:
        """The end of its standard input (LAUNCH-4)."""
        self._pipes.close_input()

    async def exited(self, seconds: float) -> int:
        """Its exit status. Raises `Unmet` when it still runs after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                return await _true_status(self.pid, await self._process.wait())
        except TimeoutError:
            raise Unmet(f"the process to end within {seconds:.1f} s", "it still runs") from None

    async def end(self) -> list[str]:
        """Kills whatever is left of the group; says what was wrong with how the node left."""
        left = await _end_group(self._process)
        await asyncio.wait([self._watch], timeout=1.0)  # what it printed last may still be in the pipe
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        self._pipes.close()
        remarks: list[str] = []
        if left:
            remarks.append("it left other processes of its group behind")
        if self.printed:
            remarks.append(f"it printed more than READY to standard output: {self.printed[:80]!r}")
        return remarks

    def last_words(self, lines: int = 8) -> list[str]:
        """The end of its standard error."""
        return last_words(self.errors, lines)

    async def _read_on(self) -> None:
        while data := await self._pipes.output.read(STDOUT_MAX):
            self.printed = (self.printed + data)[:STDOUT_MAX]


def _opened(errors: Path) -> BinaryIO:
    errors.parent.mkdir(parents=True, exist_ok=True)
    return errors.open("ab")


def last_words(errors: Path, lines: int = 8) -> list[str]:
    """The last lines of a file of standard error, read from its end however large it is."""
    with contextlib.suppress(OSError), errors.open("rb") as file:
        file.seek(max(0, errors.stat().st_size - 8192))
        return [line.decode(errors="replace") for line in file.read().splitlines()[-lines:]]
    return []


async def _await_ready(
    process: asyncio.subprocess.Process, output: asyncio.StreamReader, errors: Path, seconds: float
) -> Description:
    try:
        async with asyncio.timeout(seconds):
            line = await output.readline()
            if not line:
                status = await process.wait()
                raise Unmet("a READY line (LAUNCH-2)", f"exit status {status}{_said(errors)}")
    except TimeoutError:
        raise Unmet(f"a READY line within {seconds:.1f} s (LAUNCH-2)", f"silence{_said(errors)}") from None
    except ValueError:
        raise Unmet("a READY line (LAUNCH-2)", f"more than {STDOUT_MAX} bytes without an end of line") from None
    return read_ready(line.decode(errors="replace"))


async def _true_status(pid: int, status: int) -> int:
    """While a tracer has yet to let go of a dead process, its parent cannot ask how it ended: asyncio says
    255 then."""
    while status == _UNKNOWN_STATUS:
        try:
            ended, raw = os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 -- it does not wait
        except ChildProcessError:
            if not _is_alive_or_zombie(pid):
                break
        else:
            if ended:
                return os.waitstatus_to_exitcode(raw)
        await asyncio.sleep(0.01)
    return status


def _said(errors: Path) -> str:
    words = last_words(errors, 1)
    return f"; its last words: {words[0][:200]}" if words else ""


async def _end_group(process: asyncio.subprocess.Process) -> bool:
    """Kills the group and reaps the leader. True where the leader had ended and others of the group had not."""
    orphans = process.returncode is not None and _group_lives(process.pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    return orphans


def _group_lives(leader: int) -> bool:
    """Whether a process of the group runs; zombies, which some parent has yet to reap, do not count."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not sys.platform.startswith("linux") or any(map(_is_alive, _members(leader)))


def _members(group: int) -> list[str]:
    found: list[str] = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            fields = _stat(pid)
            if int(fields[2]) == group:
                found.append(pid)
    return found


def _is_alive_or_zombie(pid: int) -> bool:
    try:
        _stat(str(pid))
    except OSError:
        return False
    return True


def _is_alive(pid: str) -> bool:
    try:
        return _stat(pid)[0] not in ("Z", "X")
    except OSError:
        return False


def _stat(pid: str) -> list[str]:
    """The fields of `/proc/PID/stat` after the name, which may hold anything: state, parent, group …"""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()
