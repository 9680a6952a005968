"""A node that forks while it runs, in the way that the first argument names, when a line comes.

Standard output: `READY {"listen": …}`, then `CHILD pid`. The child waits for a signal that never comes.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from casty import DistributedActorSystem
from casty.services import offer

if TYPE_CHECKING:
    from collections.abc import Callable

FORK = multiprocessing.get_context("fork")
POOL = ProcessPoolExecutor(1, mp_context=FORK)


def by_os() -> int:
    child = os.fork()
    if child == 0:
        while True:
            signal.pause()
    return child


def by_multiprocessing() -> int:
    process = FORK.Process(target=signal.pause)
    process.start()
    assert process.pid is not None
    return process.pid


def by_pool() -> int:
    child = POOL.submit(os.getpid).result()
    POOL.submit(signal.pause)  # busy, for one that waits for work sees its parent end
    return child


def by_subprocess() -> int:
    """With every descriptor that it may inherit."""
    code = "import signal; signal.pause()"
    return subprocess.Popen([sys.executable, "-c", code], close_fds=False).pid


def by_subprocess_that_prepares() -> int:
    code = "import signal; signal.pause()"
    return subprocess.Popen([sys.executable, "-c", code], close_fds=False, preexec_fn=int).pid


def with_no_descriptor_left() -> int:
    """The child cannot open any file more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
    taken: list[int] = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        child = by_os()
    for descriptor in taken:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return child


WAYS: dict[str, Callable[[], int]] = {
    "os": by_os,
    "thread": by_os,
    "multiprocessing": by_multiprocessing,
    "pool": by_pool,
    "subprocess": by_subprocess,
    "preparing": by_subprocess_that_prepares,
    "full": with_no_descriptor_left,
}


async def serve(how: str, port: int, folder: str) -> None:
    system = DistributedActorSystem(
        "127.0.0.1",
        port,
        expected_cluster_size=1,
        node_id="n1",
        persistence_dir=folder,
        heartbeat_interval=0.03,
        election_timeout=0.1,
    )
    async with system:
        await offer(system)
        print("READY", json.dumps({"listen": str(system.listen)}), flush=True)
        if how != "thread":
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            print("CHILD", WAYS[how](), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    way, number, place = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if way == "thread":  # the node runs in another one than forks
        threading.Thread(target=lambda: asyncio.run(serve(way, number, place)), daemon=True).start()
        sys.stdin.readline()
        print("CHILD", WAYS[way](), flush=True)
        threading.Event().wait()
    else:
        asyncio.run(serve(way, number, place))
