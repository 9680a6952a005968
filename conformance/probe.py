"""What a command is, before anything is played: does it start, what does it declare, is it honest about it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from conformance.node.contract import Launch, read_description
from conformance.verdict import HarnessError, Unmet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.node.contract import Description

INVENTED: Final = "no-such-capability"
UNSUPPORTED_STATUS: Final = 127
_SECONDS: Final = 20.0


class CommandError(ValueError):
    """There is no such program: the caller's mistake."""


def describe(command: Sequence[str], scale: float) -> Description:
    """What the command declares by `--describe`.

    Raises `CommandError` where there is no such program, and `HarnessError` where it gives no description or
    promises a capability that was made up: then nothing it declares can be relied on.
    """
    if shutil.which(command[0]) is None:
        raise CommandError(f"there is no program {command[0]!r}")
    status, out, err = _run([*_filled(command), "--describe"], (), scale)
    if status != 0:
        raise HarnessError(
            f"{' '.join(command)} --describe ended with status {status}, not 0 (LAUNCH-5){_last(err)}"
        )
    try:
        described = read_description(out)
    except Unmet as unmet:
        raise HarnessError(f"--describe printed {unmet.got}, not {unmet.expected} (LAUNCH-5)") from None
    status, _, err = _run(_filled(command), (INVENTED,), scale)
    if status != UNSUPPORTED_STATUS:
        raise HarnessError(
            f"asked for the capability {INVENTED!r}, the node ended with {_how(status)}, not with 127 "
            f"(LAUNCH-5): what it declares cannot be relied on{_last(err)}"
        )
    return described


def time_scale() -> float:
    """How much slower than an ordinary machine this one starts a Python: 1 at least, 8 at most."""
    began = time.monotonic()
    for _ in range(3):
        subprocess.run([sys.executable, "-S", "-c", "pass"], check=False)
    return min(8.0, max(1.0, (time.monotonic() - began) / 3 / 0.05))


def _filled(command: Sequence[str]) -> list[str]:
    return Launch(node_id="n1", data_dir=str(Path(tempfile.gettempdir()) / "conformance-none")).command(
        command, Path(os.devnull)
    )


def _run(command: Sequence[str], caps: tuple[str, ...], scale: float) -> tuple[int | None, str, str]:
    """Status (None: it did not end in time), standard output and standard error; the whole group is ended."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        launch = Launch(node_id="n1", data_dir=folder, caps=caps)
        config = Path(folder) / "config.json"
        launch.write(config)
        with subprocess.Popen(
            list(command),
            env=launch.environment(config, {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate(timeout=_SECONDS * scale)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                return None, out.decode(errors="replace"), err.decode(errors="replace")
            return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


def _how(status: int | None) -> str:
    return "no end in time" if status is None else f"status {status}"


def _last(err: str) -> str:
    lines = err.strip().splitlines()
    return f"; it said: {lines[-1][:200]}" if lines else ""
