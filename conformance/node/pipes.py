"""The two pipes between the suite and a node: its standard input and its standard output.

They are not those of asyncio's subprocess, with which nobody hears of a process's end before every descendant
that inherited a pipe has ended, too: a node that leaves a child behind would hold up the suite.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Self


class Pipes:
    """`stdin` and `stdout` are for the process; what it prints is read from `output`."""

    def __init__(self, output: asyncio.StreamReader, transport: asyncio.ReadTransport, fds: list[int]) -> None:
        self.output = output
        self._transport = transport
        self.stdin, self.stdout, self._input = fds
        self._open = set(fds)

    @classmethod
    async def open(cls, limit: int) -> Self:
        """New pipes; a line of output may have `limit` bytes."""
        stdin, input = os.pipe()
        read, stdout = os.pipe()
        loop = asyncio.get_running_loop()
        output = asyncio.StreamReader(limit=limit)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), os.fdopen(read, "rb", buffering=0)
        )
        return cls(output, transport, [stdin, stdout, input])

    def started(self) -> None:
        """The process has its ends: they are closed here."""
        self._close(self.stdin, self.stdout)

    def close_input(self) -> None:
        """The end of the process's standard input."""
        self._close(self._input)

    def close(self) -> None:
        """Closes all of it, whoever else has it open."""
        self._transport.close()
        self._close(*self._open)

    def _close(self, *fds: int) -> None:
        for fd in self._open.intersection(fds):
            self._open.discard(fd)
            with contextlib.suppress(OSError):
                os.close(fd)
