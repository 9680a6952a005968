"""A program that uses the library: appends commands until its disk fails, and prints what it was told then.

The first argument says how it runs its node, as a `block` or with `serve`, the second where it keeps its data.
"""

from __future__ import annotations

import asyncio
import sys

from casty import CommitUncertainError, DistributedActorSystem, StorageError


async def append(system: DistributedActorSystem) -> None:
    """Prints the error of the command that could not be written, and those of calls that come later."""
    await system.wait_ready()
    print("READY", flush=True)
    while True:
        try:
            await system.append_command(bytes(20_000))
        except CommitUncertainError as error:
            print("APPEND", error, flush=True)
            break
    for call in (system.append_command("later"), system.wait_ready(), system.create_snapshot()):
        try:
            await call
        except StorageError as error:
            print("LATER", error, flush=True)


async def main(how: str, directory: str) -> None:
    system = DistributedActorSystem(
        "127.0.0.1", 0, (), 1, persistence_dir=directory, election_timeout=0.1, heartbeat_interval=0.03
    )
    try:
        if how == "serve":
            serving = asyncio.create_task(system.serve())
            while not system.is_started or system.raft is None:
                await asyncio.sleep(0.01)
            await append(system)
            await serving
        else:
            async with system:
                appending = asyncio.create_task(append(system))
                try:
                    await asyncio.Event().wait()
                finally:
                    await appending
    except StorageError as error:
        print("RAISED", type(error).__name__, error, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
