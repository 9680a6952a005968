"""A child that a node has forked lives on when the node is killed, and has nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.harness import BOUND, until
from tests.processes.forker import WAYS
from tests.processes.nodes import ALONE, kv, node

if TYPE_CHECKING:
    from tests.cluster.peers import Peer

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


def is_running(process: int) -> bool:
    """Whether it lives, and has not ended unseen."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


async def ends(peer: Peer) -> None:
    """Waits until the other side has ended the connection."""
    async with asyncio.timeout(BOUND):
        with contextlib.suppress(ConnectionResetError):
            while await peer.reader.read(1 << 16):
                pass


@pytest.mark.parametrize("way", WAYS)
async def test_a_forked_child_keeps_nothing_of_a_killed_node(way: str, tmp_path: Path) -> None:
    """[ACTOR-39], STORE-16, PERSIST-5: directory and port are free, and peers see that it ended; before
    that, the node goes on as if it had not forked."""
    place = str(tmp_path / "n1")
    async with node(tmp_path, way, "0", place, module="tests.processes.forker") as killed:
        await killed.ready()
        peer = await killed.connect()
        await peer.greet()
        assert (await kv(peer, 1, op="put", key="a", value=1))["ok"]
        killed.tell("fork")
        word, child = (await killed.line()).split()
        assert word == "CHILD"
        assert (await kv(peer, 2, op="put", key="a", value=2))["ok"]
        late = await killed.connect("late")
        await late.greet()
        killed.signal(signal.SIGKILL)
        await until(lambda: not is_running(killed.pid))  # the child has its pipes, so asyncio waits on
        assert is_running(int(child))
        await ends(peer)
        await ends(late)
        port = killed.listen.rpartition(":")[2]
        async with node(tmp_path, *ALONE, "--port", port) as next_one:
            await next_one.ready()
            assert next_one.listen == killed.listen
            again = await next_one.connect()
            await again.greet()
            assert (await kv(again, 1, op="get", key="a"))["value"] == 2
            again.close()
        assert is_running(int(child))
        peer.close()
        late.close()


REUSED = """
import os
from casty import descriptors

reading, writing = os.pipe()
of_no_account = os.open(os.devnull, os.O_RDONLY)
for claimed in (reading, of_no_account):
    descriptors.claim(claimed)
os.close(of_no_account)
fresh, its_end = os.pipe()
assert fresh == of_no_account, "the number is given out again"
child = os.fork()
if child == 0:
    try:
        assert os.read(fresh, 9) == b"still a pipe"[:9]
        assert os.read(reading, 9) == b"", "what is claimed is nothing here"
        assert not os.get_inheritable(reading)
        with descriptors.opening:
            descriptors.claim(os.open("/", os.O_RDONLY))
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0)
        assert os.waitpid(grandchild, 0)[1] == 0
        os._exit(0)
    except BaseException as error:
        print(repr(error))
        os._exit(1)
os.write(its_end, b"still a pipe")
os.write(writing, b"the parent has its own")
assert os.waitpid(child, 0)[1] == 0
assert os.read(reading, 99) == b"the parent has its own"
assert descriptors.is_claimed(f"/proc/self/fd/{reading}")
descriptors.release(reading)
assert not descriptors.is_claimed(f"/proc/self/fd/{reading}")
print("done")
"""


def test_a_child_gives_up_files_and_not_numbers() -> None:
    """[ACTOR-39] A number that was closed, and given out again for another file, is not the node's any more."""
    said = subprocess.run([sys.executable, "-c", REUSED], capture_output=True, text=True, check=False)
    assert (said.stdout, said.stderr) == ("done\n", "")


DURING = """
import os, sys, threading
from casty import descriptors

def opens():
    with descriptors.opening:
        opened.set()
        forks.wait(0.2)  # it does not, for the fork waits for this
        descriptors.claim(os.open(sys.argv[1], os.O_RDONLY))

opened, forks = threading.Event(), threading.Event()
thread = threading.Thread(target=opens)
thread.start()
opened.wait()
child = os.fork()
if child == 0:
    paths = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    os._exit(any(os.path.exists(path) and os.path.samefile(path, sys.argv[1]) for path in paths))
forks.set()
thread.join()
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.needs("proc")
def test_no_fork_comes_between_opening_and_claiming(tmp_path: Path) -> None:
    """STORE-16: what another thread opens at the moment of the fork is not in the child either."""
    command = [sys.executable, "-W", "ignore", "-c", DURING, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (said.stdout, said.stderr) == ("0\n", "")
