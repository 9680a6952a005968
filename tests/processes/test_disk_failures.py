"""A disk that fails or hangs in a real process: that ends in time, says why in one line, and keeps its word."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from tests.processes.nodes import ALONE, injecting, kv, limited, node
from tests.support import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.peers import Peer

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

traced = pytest.mark.needs("strace")

FAILS_ONCE = injecting("error=EIO:when=12", "fdatasync")
"""The start and an election take fewer. The next one would succeed: whoever tries again is not found out."""

NO_ROOM = limited("RLIMIT_FSIZE", 700 << 10)
"""What a full disk is like: a file that cannot grow."""

FAILING = [pytest.param(FAILS_ONCE, "Input/output error", marks=traced, id="EIO"), (NO_ROOM, "the disk took")]


async def incremented(peer: Peer) -> int:
    """Counts up by one, as long as the node says it has; how often it said so."""
    count = 0
    try:
        while (await kv(peer, count + 1, op="incr", key="n", value=1))["ok"]:
            count += 1
            padding = await kv(peer, 1_000_000 + count, op="put", key="padding", value=bytes(20_000))
            if not padding["ok"]:
                break
    except (AssertionError, ConnectionError):
        pass  # the connection ended: the last one is one that nobody answered
    return count


@pytest.mark.parametrize(("under", "words"), FAILING, ids=["EIO", "no room"])
def test_a_disk_error_ends_the_process_with_its_status_and_one_line(
    under: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    """PERSIST-4: exit status 74; nothing is tried again, and what was acknowledged is there after a restart."""

    async def main() -> None:
        async with node(tmp_path, *ALONE, under=under) as failing:
            await failing.ready()
            peer = await failing.connect()
            await peer.greet()
            acknowledged = await incremented(peer)
            assert acknowledged > 0
            assert await failing.ended() == 74, failing.log
            assert await failing.line() == ""
            peer.close()
            lines = failing.log.splitlines()
            said = [line for line in lines if line.startswith("casty node: ")]
            assert said == [lines[-1]]
            assert str(tmp_path / "n1") in said[0]
            assert words in said[0]
            assert "Traceback" not in failing.log
            assert sum("Raft has ended on node n1: " in line for line in lines) == 1
        async with node(tmp_path, *ALONE) as mended:
            await mended.ready()
            peer = await mended.connect()
            await peer.greet()
            count = (await kv(peer, 1, op="get", key="n"))["value"]
            assert acknowledged <= count <= acknowledged + 1
            peer.close()

    run(main(), timeout=100)


@pytest.mark.parametrize(("under", "words"), FAILING, ids=["EIO", "no room"])
@pytest.mark.parametrize("how", ["block", "serve"])
def test_a_disk_error_is_raised_to_who_runs_the_node_and_to_who_waits(
    how: str, under: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    """PERSIST-4: by `async with` and `serve()`, by the call that was waiting, and by every later one."""

    async def main() -> None:
        directory = str(tmp_path / "d")
        async with node(tmp_path, how, directory, under=under, module="tests.processes.scribe") as scribe:
            assert await scribe.line() == "READY\n", scribe.log
            told = [await scribe.line() for _ in range(5)]
            assert await scribe.ended() == 0, scribe.log
        assert [line.split()[0] for line in told] == ["APPEND", "LATER", "LATER", "LATER", "RAISED"]
        assert told[-1].startswith(f"RAISED StorageError {directory}: ")
        assert all(words in line and directory in line for line in told)

    run(main(), timeout=100)


HANGING = "tests.processes.hanging_disk"


async def test_a_disk_that_hangs_does_not_keep_a_node_from_ending(tmp_path: Path) -> None:
    """LAUNCH-4: it was told to end, and what the disk never took was promised to nobody."""
    data = ("--node-id", "n1", "--data-dir", str(tmp_path / "n1"))
    async with node(tmp_path, "sync_data", "8", *data, *ALONE, module=HANGING) as hanging:
        await hanging.ready()
        peer = await hanging.connect()
        await peer.greet()
        counting = asyncio.create_task(incremented(peer))
        assert await hanging.line() == "HANGS\n"
        hanging.signal(signal.SIGTERM)
        assert await hanging.ended() == 0
        acknowledged = await counting
        assert acknowledged > 0
        assert hanging.log.count("the disk of node n1 has hung for 5 s") == 1
        assert "Traceback" not in hanging.log
        peer.close()
    async with node(tmp_path, *ALONE) as mended:
        await mended.ready()
        peer = await mended.connect()
        await peer.greet()
        assert acknowledged <= (await kv(peer, 1, op="get", key="n"))["value"] <= acknowledged + 1
        peer.close()


async def test_a_snapshot_that_hangs_does_not_keep_a_node_from_ending(tmp_path: Path) -> None:
    """LAUNCH-4: its bytes are written by another thread than the log's."""
    data = ("--node-id", "n1", "--data-dir", str(tmp_path / "n1"))
    compacting = ("--snapshot-every", "1")
    async with node(tmp_path, "rename", "1", *data, *ALONE, *compacting, module=HANGING) as hanging:
        await hanging.ready()
        peer = await hanging.connect()
        await peer.greet()
        assert (await kv(peer, 1, op="put", key="a", value=1))["ok"]
        assert await hanging.line() == "HANGS\n"
        assert (await kv(peer, 2, op="put", key="a", value=2))["ok"]  # and holds up no commit
        hanging.signal(signal.SIGTERM)
        assert await hanging.ended() == 0
        assert hanging.log.count("the disk of node n1 has hung for 5 s") == 1
        peer.close()


@pytest.mark.parametrize("call", ["make_directory", "lock_directory", "lock_file", "sync", "rename"])
async def test_a_node_that_hangs_in_its_start_can_be_told_to_end(call: str, tmp_path: Path) -> None:
    """LAUNCH-4: at any time; it says READY to nobody then."""
    data = ("--node-id", "n1", "--data-dir", str(tmp_path / "n1"))
    async with node(tmp_path, call, "0", *data, *ALONE, module=HANGING) as hanging:
        assert await hanging.line() == "HANGS\n"
        hanging.signal(signal.SIGTERM)
        assert await hanging.ended() == 0, hanging.log
        assert await hanging.line() == ""
        assert "Traceback" not in hanging.log
