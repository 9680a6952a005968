"""A node can be told to end at any moment of its life, and more than once (spec LAUNCH-4)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.processes.nodes import ALONE, BOUND, ROOT, node

if TYPE_CHECKING:
    from pathlib import Path

    from tests.processes.nodes import NodeProcess

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

SIGNALS = (signal.SIGTERM, signal.SIGINT)

MOMENTS = {
    "when nothing is imported": ("import", "casty.cli"),
    "while it imports": ("import", "casty.cluster.system"),
    "in the middle of a module": ("import", "casty.wire.payload"),
    "while it reads its settings": ("open", "config.json"),
    "while it makes a loop": ("import", "asyncio.unix_events"),
    "while it binds": ("socket.bind", "127.0.0.1"),
    "while it locks": ("fcntl.flock", ""),
    "while it reads its log": ("open", "0000000001.open"),
    "while it makes its log": ("os.rename", "0000000001.open"),
    "while it dials": ("socket.connect", ""),
}


@pytest.mark.parametrize("number", SIGNALS, ids=str)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_node_that_starts_can_be_told_to_end(moment: str, number: signal.Signals, tmp_path: Path) -> None:
    """LAUNCH-4: from its first instruction on."""
    config = tmp_path / "config.json"
    settings = {"node_id": "n1", "n": 1, "data_dir": str(tmp_path / "n1"), "seeds": ["127.0.0.1:9"]}
    config.write_text(json.dumps(settings))
    event, word = MOMENTS[moment]
    program = [sys.executable, "-m", "tests.processes.signalled", number.name, event, word]
    command = [*program, "node", "--config", str(config), "--log-level", "error"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BOUND, check=False)
    assert (ended.returncode, ended.stderr) == (0, "SENT\n"), ended
    assert ended.stdout == "" or moment == "while it dials"


@pytest.mark.parametrize("number", SIGNALS, ids=str)
async def test_a_node_that_ends_can_be_told_again(number: signal.Signals, tmp_path: Path) -> None:
    """LAUNCH-4: to the last instruction, and it takes no harm."""
    async with node(tmp_path, *ALONE) as once:
        await once.ready()
        assert await told_without_end(once, number) == 0
        assert once.log.count("has ended as it was told") == 1
        assert "Traceback" not in once.log
    async with node(tmp_path, *ALONE) as again:
        await again.ready()


async def told_without_end(told: NodeProcess, number: signal.Signals) -> int:
    """Its exit status, when a signal came again and again until it had one."""
    ending = asyncio.create_task(told.ended())
    while not ending.done():
        if told.process.returncode is None:
            told.signal(number)
        await asyncio.wait([ending], timeout=0.002)
    return ending.result()


async def test_the_end_of_standard_input_is_noticed_while_a_node_starts(tmp_path: Path) -> None:
    """LAUNCH-4: at any time, so that a log that takes long to read keeps no node whose launcher was killed."""
    data = ("--node-id", "n1", "--data-dir", str(tmp_path / "n1"))
    os.environ["CF_EXIT_ON_EOF"] = "1"
    try:
        async with node(
            tmp_path, "lock_directory", "0", *data, *ALONE, module="tests.processes.hanging_disk"
        ) as hanging:
            assert await hanging.line() == "HANGS\n"
            assert hanging.process.stdin is not None
            hanging.process.stdin.close()
            assert await hanging.ended() == 0, hanging.log
    finally:
        del os.environ["CF_EXIT_ON_EOF"]


FORKS = """
import os, signal, sys
from casty import signals

signals.end_at_once()
with signals.heard(lambda: print("told", flush=True)):
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
        os._exit(3)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
"""


def test_a_forked_child_ends_by_a_signal_as_every_process_does() -> None:
    """[ACTOR-39] The node is told of its own signals only, and a pool can end its workers."""
    said = subprocess.run([sys.executable, "-c", FORKS, "SIGTERM"], capture_output=True, text=True, check=False)
    assert (said.stdout, said.stderr, said.returncode) == ("-15\ntold\n", "", 0)
    said = subprocess.run([sys.executable, "-c", FORKS, "SIGINT"], capture_output=True, text=True, check=False)
    assert said.stdout.endswith("told\n")
    assert "KeyboardInterrupt" in said.stderr
