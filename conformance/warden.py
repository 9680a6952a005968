"""No process outlives a run: whatever was started under it is found again by a mark in its environment.

Nodes are ended as process groups; one that leaves its group, or whose group nobody can end any more because the
suite itself was killed, is found in `/proc` by the variable `CONFORMANCE_RUN`. Without a `/proc` the end of
standard input is all that tells such a node.

`python -m conformance.warden MARK` is the process that stays when a run is killed: it waits for the end of its
standard input, which the run holds open, and ends what is left of the run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK: Final = "CONFORMANCE_RUN"
"""The variable that everything started under a run inherits."""
_ROUNDS: Final = 50


class Stray(NamedTuple):
    """A process that carries a mark."""

    pid: int
    command: str


def marked(mark: str) -> Iterator[Stray]:
    """The processes whose environment at their start held the mark, but for the caller's own."""
    wanted = f"{MARK}={mark}".encode()
    for pid in filter(str.isdecimal, _listed()):
        if int(pid) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            environment = _read(pid, "environ").split(b"\0")
            if any(each == wanted or each.startswith(wanted + b"/") for each in environment):
                words = _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")
                yield Stray(int(pid), words.strip())


def end(mark: str) -> list[Stray]:
    """Kills them, and those that they start meanwhile; says which there were."""
    found: dict[int, Stray] = {}
    for _ in range(_ROUNDS):
        strays = list(marked(mark))
        if not strays:
            break
        for stray in strays:
            found.setdefault(stray.pid, stray)
            with contextlib.suppress(OSError):
                os.kill(stray.pid, signal.SIGKILL)
        time.sleep(0.02)  # the system needs a moment to end what is killed
    return [*found.values()]


class Warden:
    """Holds the watching process for as long as the run lasts."""

    def __init__(self, process: subprocess.Popen[bytes], mark: str, outer: str | None) -> None:
        self.mark = mark
        self._outer = outer
        self._process = process

    @classmethod
    def start(cls) -> Self:
        """Marks this process, so that all it starts from now on is marked, and starts the watching process."""
        mark = os.urandom(8).hex()
        command = [sys.executable, "-m", "conformance.warden", mark]
        unmarked = {name: value for name, value in os.environ.items() if name != MARK}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=unmarked, start_new_session=True)
        outer = os.environ.get(MARK)
        os.environ[MARK] = mark
        return cls(process, mark, outer)

    def dismiss(self) -> list[Stray]:
        """The run is over: ends what is left of it, and says what that was."""
        if self._outer is None:
            os.environ.pop(MARK, None)
        else:
            os.environ[MARK] = self._outer
        strays = end(self.mark)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        return strays


def _listed() -> list[str]:
    return os.listdir("/proc") if sys.platform.startswith("linux") else []


def _read(pid: str, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1024):
        pass
    end(sys.argv[1])
