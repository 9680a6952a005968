"""One member of the cluster that `test_kill` kills: appends commands while it leads, and keeps a journal.

Standard output: `READY address`, then `ACK id` for each command that `append_command` said True to. On standard
input, `dump` is answered with `STATE [ids]` once everything committed before is applied; its end ends the
member.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from casty import CommitUncertainError, DistributedActorSystem, StorageError
from casty.cluster.replication import index_being_applied

LANES = 16
MARK = "the end"


class State:
    """What the commands add up to: their ids. Each run writes down what it is given, and at which index."""

    def __init__(self, system: DistributedActorSystem, journal: Path) -> None:
        self.ids: list[str] = []
        self._system = system
        self._journal = journal.open("w", buffering=1)

    def apply(self, command: dict[str, Any]) -> None:
        self._journal.write(f"{index_being_applied(self._system)} {command['id']}\n")
        self.ids.append(command["id"])

    def create(self) -> bytes:
        return json.dumps([self._system.last_applied, self.ids]).encode()

    def restore(self, data: bytes) -> None:
        index, self.ids = json.loads(data)
        self._journal.write(f"{index} restored\n")


async def lead(system: DistributedActorSystem, lane: int) -> None:
    """Appends one command after the other for as long as this node leads, and whenever it does again."""
    count = 0
    while True:
        count += 1
        command = {"id": f"{system.node_id}.{os.getpid()}.{lane}.{count}"}
        try:
            if await system.append_command(command):
                print("ACK", command["id"], flush=True)
            else:
                await asyncio.sleep(0.01)
        except CommitUncertainError:
            pass
        except StorageError:
            return


async def settled(system: DistributedActorSystem, state: State) -> list[str]:
    """The ids of all commands before a mark that whoever leads appends, once that is applied here, too."""
    while MARK not in state.ids:
        if system.is_leader:
            with contextlib.suppress(CommitUncertainError):
                await system.append_command({"id": MARK})
        else:
            await asyncio.sleep(0.01)
    return [id for id in state.ids if id != MARK]  # a new leader may have appended another


async def main(node_id: str, folder: Path, seed: str, *, loads: bool) -> None:
    system = DistributedActorSystem(
        "127.0.0.1",
        0,
        [seed] if seed else [],
        3,
        node_id=node_id,
        persistence_dir=folder / "data",
        heartbeat_interval=0.05,
        election_timeout=0.2,
        snapshot_every=150,
    )
    state = State(system, folder / f"run-{os.getpid()}.journal")
    system.set_apply_callback(state.apply)
    system.set_snapshot_callbacks(state.create, state.restore)
    async with system:
        print("READY", system.listen, flush=True)
        lanes = [asyncio.create_task(lead(system, lane)) for lane in range(LANES if loads else 0)]
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            await system.wait_ready()
            print("STATE", json.dumps(await settled(system, state)), flush=True)
        for lane in lanes:
            lane.cancel()


if __name__ == "__main__":
    home = Path(sys.argv[2])
    home.mkdir(exist_ok=True)
    asyncio.run(main(sys.argv[1], home, sys.argv[3], loads=sys.argv[4] == "load"))
