"""What a command is, before anything is played: does it start, what does it declare, is it honest about it."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from conformance.node.contract import Launch, read_description
from conformance.node.process import NodeProcess
from conformance.stage import READY_SECONDS
from conformance.verdict import Unmet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.node.contract import Description

INVENTED: Final = "no-such-capability"
UNSUPPORTED_STATUS: Final = 127
_SECONDS: Final = 10.0
_OUTPUT_MAX: Final = 65536
_LOOK_SECONDS: Final = 0.02


class CommandError(ValueError):
    """There is no such program: the caller's mistake."""


def check_program(word: str) -> None:
    """Raises `CommandError` where the first word of a command names no program that can be started."""
    if shutil.which(word) is not None:
        return
    path = Path(word)
    if path.is_dir():
        raise CommandError(f"{word!r} is a directory, not a program")
    if path.exists() and "/" in word:
        raise CommandError(f"{word!r} is not executable: chmod +x it, or put its interpreter first")
    if " " in word:
        raise CommandError(
            f"there is no program {word!r}: give the command as words, not as one text in quotes"
        )
    raise CommandError(f"there is no program {word!r}")


def describe(command: Sequence[str], scale: float) -> Description:
    """What the command declares by `--describe`.

    Raises `CommandError` where there is no such program, and `Unmet`, the node's fault, where it gives no
    description or does not refuse a capability that was made up: then nothing it declares can be relied on.
    """
    check_program(command[0])
    answer = _run([*_filled(command), "--describe"], (), scale)
    if answer.status != 0:
        raise Unmet("--describe to end with status 0 (LAUNCH-5)", f"{answer.how}{answer.last_words}")
    try:
        described = read_description(answer.out)
    except Unmet as unmet:
        raise Unmet(f"--describe to print {unmet.expected} (LAUNCH-5)", unmet.got) from None
    answer = _run(_filled(command), (INVENTED,), scale)
    if answer.status != UNSUPPORTED_STATUS:
        expected = f"status 127 when asked for the capability {INVENTED!r} (LAUNCH-5)"
        raise Unmet(expected, f"{answer.how}: what it declares cannot be relied on{answer.last_words}")
    return described


async def start(command: Sequence[str], scale: float) -> None:
    """Starts a node once and ends it. Raises `Unmet`, the node's fault, where it prints no READY line: it would
    not in any case either, and each would wait for it.
    """
    with tempfile.TemporaryDirectory(prefix="conformance-", ignore_cleanup_errors=True) as folder:
        launch = Launch(node_id="n1", data_dir=str(Path(folder) / "data"))
        config = Path(folder) / "config.json"
        launch.write(config)
        process = await NodeProcess.start(
            launch.command(command, config),
            launch.environment(config, {}),
            Path(folder),
            ready_seconds=READY_SECONDS * scale,
        )
        await process.end()


def time_scale() -> float:
    """How much slower than an ordinary machine this one starts a Python: 1 at least, 8 at most."""
    began = time.monotonic()
    for _ in range(3):
        subprocess.run([sys.executable, "-S", "-c", "pass"], check=False)
    return min(8.0, max(1.0, (time.monotonic() - began) / 3 / 0.05))


class _Answer(NamedTuple):
    status: int | None
    """None: it did not end in time."""
    seconds: float
    out: str
    err: str

    @property
    def how(self) -> str:
        if self.status is None:
            return f"no end within {self.seconds:.1f} s"
        return f"status {self.status}" if self.status >= 0 else f"its end by signal {-self.status}"

    @property
    def last_words(self) -> str:
        lines = self.err.strip().splitlines()
        return f"; its last words: {lines[-1][:200]}" if lines else ""


def _filled(command: Sequence[str]) -> list[str]:
    return Launch(node_id="n1", data_dir=str(Path(tempfile.gettempdir()) / "conformance-none")).command(
        command, Path(os.devnull)
    )


def _run(command: Sequence[str], caps: tuple[str, ...], scale: float) -> _Answer:
    """How a process ends by itself, and the beginning of what it says; its whole group is ended then."""
    with tempfile.TemporaryDirectory(prefix="conformance-", ignore_cleanup_errors=True) as folder:
        launch = Launch(node_id="n1", data_dir=folder, caps=caps)
        config = Path(folder) / "config.json"
        launch.write(config)
        try:
            process = subprocess.Popen(
                list(command),
                env=launch.environment(config, {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError(f"cannot start {command[0]!r}: {error.strerror}") from None
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            with process.stdin, process.stdout, process.stderr:
                return _listen(process, process.stdout, process.stderr, _SECONDS * scale)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listen(process: subprocess.Popen[bytes], out: IO[bytes], err: IO[bytes], seconds: float) -> _Answer:
    """Reads both until the process ends. Who else has inherited them may go on: that is not waited for."""
    said = {out: b"", err: b""}
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for pipe in said:
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ)
        while True:
            status = process.poll()
            ready = selector.select(0 if status is not None else _LOOK_SECONDS) if selector.get_map() else []
            for key, _ in ready:
                pipe = out if key.fileobj is out else err
                data = os.read(pipe.fileno(), _OUTPUT_MAX)
                if not data:
                    selector.unregister(pipe)
                said[pipe] = (said[pipe] + data)[:_OUTPUT_MAX]
            is_late = time.monotonic() > deadline
            if is_late or (status is not None and not ready):
                texts = (text.decode(errors="replace") for text in said.values())
                return _Answer(status, seconds, *texts)
            if not selector.get_map():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_SECONDS)
