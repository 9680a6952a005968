"""Disks that are slow, that fail, that are full, or that somebody has damaged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from conformance.verdict import HarnessError, Unplayable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from conformance.node.node import Node

SYNCS: Final = "fsync,fdatasync,sync_file_range,msync"
"""The calls by which a program makes what it wrote durable."""
RENAMES: Final = "rename,renameat,renameat2"
"""The calls by which a program gives a file its name once it is whole."""
_RENAME: Final = re.compile(r'rename(?:at2?)?\([^"]*"([^"]+)"[^"]*"([^"]+)"')
_ATTACH_SECONDS: Final = 20.0
_DETACH_SECONDS: Final = 5.0
"""More than any delay that is put before a call, for which it waits."""


@contextlib.asynccontextmanager
async def traced(node: Node, *expressions: str, log: Path | None = None) -> AsyncGenerator[None]:
    """strace on the running node and all its threads, from here to the end of the block.

    The expressions are its `-e` options. Raises `Unplayable` where it may not attach.
    """
    options = [word for expression in expressions for word in ("-e", expression)]
    command = ["strace", "-f", "-y", "-o", str(log) if log is not None else os.devnull, *options]
    tracer = await asyncio.create_subprocess_exec(
        *command,
        "-p",
        str(node.process.pid),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        await _attached(tracer)
        yield
    finally:
        await _detached(tracer)


async def _attached(tracer: asyncio.subprocess.Process) -> None:
    assert tracer.stderr is not None
    said = ""
    try:
        async with asyncio.timeout(_ATTACH_SECONDS):
            while line := (await tracer.stderr.readline()).decode(errors="replace"):
                if "attached" in line:
                    return
                said = line.strip()
    except TimeoutError:
        said = "silence"
    raise Unplayable(f"strace cannot attach to the node: {said}")


async def _detached(tracer: asyncio.subprocess.Process) -> None:
    """Has the tracer let the node go; killed, it would take it along.

    Told so while the node dies, it may wait for ever, for a process whose threads it has yet to let go itself:
    then there is no node to lose any more.
    """
    with contextlib.suppress(ProcessLookupError):
        tracer.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(_DETACH_SECONDS):
            await tracer.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            tracer.kill()
        await tracer.wait()


def slow(seconds: float) -> tuple[str, str]:
    """Expressions for `traced`: each sync takes so much longer."""
    return f"trace={SYNCS}", f"inject={SYNCS}:delay_enter={round(seconds * 1_000_000)}"


def failing(error: str = "EIO") -> tuple[str, str]:
    """Expressions for `traced`: the next sync fails, once; a repeated one would succeed."""
    return f"trace={SYNCS}", f"inject={SYNCS}:error={error}:when=1"


def deadly(which: int) -> tuple[str, str]:
    """Expressions for `traced`: the process is killed as it enters that sync, counted from 1."""
    return f"trace={SYNCS}", f"inject={SYNCS}:signal=KILL:when={which}"


def renamed(log: Path) -> list[tuple[Path, Path]]:
    """The old and the new names in a log of `traced` with `RENAMES`, in order. Absolute ones: others could be
    anywhere."""
    found = _RENAME.findall(log.read_text(encoding="utf-8", errors="replace"))
    return [(Path(old), Path(new)) for old, new in found if old.startswith("/") and new.startswith("/")]


class SmallDisk:
    """A file system in memory of a chosen size, which only processes started through it see."""

    def __init__(self, holder: asyncio.subprocess.Process, place: Path) -> None:
        self._holder = holder
        self.place = place

    @classmethod
    async def make(cls, place: Path, size: str) -> Self:
        """Mounts one at `place` in a namespace that lives as long as this object. Raises `Unplayable`."""
        holder = await asyncio.create_subprocess_exec(
            "unshare",
            "-rm",
            "sh",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        disk = cls(holder, place)
        path = shlex.quote(str(place))
        try:
            await disk._do(f"mkdir -p {path} && mount -t tmpfs -o size={size} none {path}")
        except HarnessError as error:
            await disk.close()
            raise Unplayable(str(error)) from None
        return disk

    @property
    def under(self) -> tuple[str, ...]:
        """What starts a command inside, in the present directory: nsenter by itself goes to the root."""
        enter = ("nsenter", "--user", "--mount", "--preserve-credentials", f"--target={self._holder.pid}", "--")
        return (*enter, "sh", "-c", 'cd "$0" && exec "$@"', os.getcwd())

    async def resize(self, size: str) -> None:
        """Makes it larger or smaller."""
        await self._do(f"mount -o remount,size={size} {shlex.quote(str(self.place))}")

    async def close(self) -> None:
        """Lets go of it; it vanishes with its last process."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        await self._holder.wait()

    async def _do(self, command: str) -> None:
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.write(f"{command} && echo done || echo failed\n".encode())
        said: list[str] = []
        async with asyncio.timeout(_ATTACH_SECONDS):
            while line := (await self._holder.stdout.readline()).decode(errors="replace").strip():
                if line == "done":
                    return
                said.append(line)
                if line == "failed":
                    break
        raise HarnessError(f"{command}: {' '.join(said) or 'the namespace has ended'}")


def files(folder: str | Path) -> list[Path]:
    """All files below a directory, in a fixed order."""
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def flip_in(folder: str | Path, mark: bytes) -> Path:
    """Flips one bit in the middle of the first place that holds these bytes; the file it is in.

    Raises `Unplayable` where no file holds them as they are: the node encodes its log in its own way.
    """
    for path in files(folder):
        data = bytearray(path.read_bytes())
        at = data.find(mark)
        if at >= 0:
            data[at + len(mark) // 2] ^= 0x10
            path.write_bytes(data)
            return path
    raise Unplayable("no file of the data directory holds the bytes of a command as they were sent")
