"""All nodes die at once, under load, at random moments, again and again: nothing acknowledged is lost.

`CASTY_KILL_ROUNDS=50 tools/dev test tests/processes/test_kill.py` does as many rounds as you like, and
`CASTY_KILL_SEED` repeats the moments of a run.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from typing import TYPE_CHECKING, Self

import pytest

from tests.processes.member import MARK
from tests.support import run

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = int(os.environ.get("CASTY_KILL_ROUNDS", "4"))
SEED = int(os.environ.get("CASTY_KILL_SEED", str(random.randrange(1 << 30))))
NODES = ("n1", "n2", "n3")


class Member:
    """One process of `member.py`, and what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.address = ""
        self.acknowledged: set[str] = set()
        self._process = process
        self._ready = asyncio.Event()
        self._state: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, node_id: str, folder: Path, seed: str, *, loads: bool) -> Self:
        log = folder / f"{node_id}.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.processes.member",
                node_id,
                str(folder / node_id),
                seed,
                "load" if loads else "idle",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=1 << 26,
            )
        member = cls(process)
        async with asyncio.timeout(30):
            await member._ready.wait()
        assert member.address, f"{node_id} did not start:\n{log.read_text()[-2000:]}"
        return member

    async def kill(self) -> None:
        """SIGKILL. What it had written to its pipe before is still read: an acknowledgement is one for good."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def state(self) -> list[str]:
        assert self._process.stdin is not None
        self._process.stdin.write(b"dump\n")
        async with asyncio.timeout(30):
            return await self._state

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := (await self._process.stdout.readline()).decode():
            kind, _, rest = line.rstrip("\n").partition(" ")
            match kind:
                case "READY":
                    self.address = rest
                    self._ready.set()
                case "ACK" if line.endswith("\n"):
                    self.acknowledged.add(rest)
                case "STATE":
                    self._state.set_result(json.loads(rest))
                case _:
                    pass
        self._ready.set()  # or it never will be


async def start_all(folder: Path, *, loads: bool) -> list[Member]:
    first = await Member.start("n1", folder, "", loads=loads)
    others = (Member.start(who, folder, first.address, loads=loads) for who in NODES[1:])
    return [first, *await asyncio.gather(*others)]


async def one_round(folder: Path, chance: random.Random) -> set[str]:
    """Starts all, lets them work, kills all; what they acknowledged."""
    members = await start_all(folder, loads=True)
    try:
        async with asyncio.timeout(30):
            while sum(len(member.acknowledged) for member in members) < 20:
                await asyncio.sleep(0.01)
        await asyncio.sleep(chance.uniform(0, 0.4))
    finally:
        await asyncio.gather(*(member.kill() for member in members))
    return set().union(*(member.acknowledged for member in members))


type Journal = list[tuple[int, str]]
"""What one run of a node was given: index and command, or "restored"."""


def journals(folder: Path) -> dict[str, Journal]:
    """Every run's journal; the line a kill cut short is left out."""
    found: dict[str, Journal] = {}
    for path in folder.glob("*/run-*.journal"):
        lines = [line.partition(" ") for line in path.read_text().split("\n")[:-1]]
        found[path.name] = [(int(number), what) for number, _, what in lines]
    return found


def check_journals(found: dict[str, Journal]) -> set[str]:
    """COMMIT-3: in every run the indexes rise by one, from the start or a snapshot, and what is at an index is
    the same everywhere. A no-op has an index but is not shown: a step may be wider where nobody was shown more.
    """
    command_at: dict[int, str] = {}
    for name, journal in found.items():
        for index, what in journal:
            if what != "restored":
                assert command_at.setdefault(index, what) == what, f"{name}: two commands at index {index}"
    for name, journal in found.items():
        last = 0
        for index, what in journal:
            assert index > last or (what == "restored" and index == last), f"{name}: {index} after {last}"
            if what != "restored":
                missed = [i for i in range(last + 1, index) if i in command_at]
                assert not missed, f"{name} was never given {missed[:5]}"
            last = index
    return set(command_at.values())


@pytest.mark.processes
@pytest.mark.timeout(60 + 15 * ROUNDS)
def test_no_acknowledged_command_is_lost_when_all_nodes_are_killed(tmp_path: Path) -> None:
    """PERSIST-1, COMMIT-3, COMMIT-4: True means that it survives SIGKILL of every node at once."""

    async def main() -> None:
        chance = random.Random(SEED)
        acknowledged: set[str] = set()
        for _ in range(ROUNDS):
            acknowledged |= await one_round(tmp_path, chance)
        members = await start_all(tmp_path, loads=False)
        try:
            states = await asyncio.gather(*(member.state() for member in members))
        finally:
            await asyncio.gather(*(member.kill() for member in members))
        again = f"replay with CASTY_KILL_SEED={SEED} CASTY_KILL_ROUNDS={ROUNDS}"
        assert states[0] == states[1] == states[2], again
        assert len(states[0]) == len(set(states[0])), f"a command was applied twice; {again}"
        assert acknowledged <= set(states[0]), f"{len(acknowledged - set(states[0]))} were lost; {again}"
        assert check_journals(journals(tmp_path)) <= {*states[0], MARK}, again
        print(f"{ROUNDS} rounds, {len(acknowledged)} acknowledged, {len(states[0])} applied, seed {SEED}")

    run(main(), timeout=50 + 15 * ROUNDS)
