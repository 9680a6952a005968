"""One member comes back with an older copy of its directory: it is refused, nothing is lost (HELLO-11)."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest

from casty.raft.types import NodeId
from casty.storage.files import FileStore
from tests.processes.nodes import BOUND, node

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.processes.nodes import NodeProcess

TIMES = ("--heartbeat-ms", "60", "--election-ms", "250")
NAMES = ("n1", "n2", "n3")
COMMANDS = 200


class Cluster:
    """Three processes, each with a directory, and a client that asks them."""

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        self.folder = folder
        self.nodes: dict[str, NodeProcess] = {}
        self._stack = stack
        self._clients = 0

    async def start(self, name: str) -> None:
        seeds = ",".join(other.listen for other in self.nodes.values())
        seeding = ("--seeds", seeds) if seeds else ()
        process = await self._stack.enter_async_context(node(self.folder, *TIMES, *seeding, node_id=name))
        await process.ready()
        self.nodes[name] = process

    async def kill(self, name: str) -> None:
        process = self.nodes.pop(name)
        process.signal(signal.SIGKILL)
        await process.ended()

    async def ask(self, name: str, actor: str, **request: Any) -> dict[str, Any]:
        (answer,) = await self.ask_all(name, actor, [request])
        return answer

    async def ask_all(self, name: str, actor: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers, one after the other, on one connection."""
        self._clients += 1
        peer = await self.nodes[name].connect(f"client-{self._clients}")
        await peer.greet()
        answers: list[dict[str, Any]] = []
        for number, request in enumerate(requests, 1):
            payload = await peer.ask(actor, request, number, timeout_ms=int(BOUND * 1000))
            answers.append(payload.get("value") or {"ok": False, "code": payload["code"]})
            if not answers[-1].get("ok", True):
                break
        peer.close()
        return answers

    async def kv(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What `$kv` answers to these, where there is a leader for all of them."""
        async with asyncio.timeout(BOUND):
            while True:
                for name in list(self.nodes):
                    answers = await self.ask_all(name, "$kv", requests)
                    if all(answer["ok"] for answer in answers):
                        return answers
                await asyncio.sleep(0.02)

    async def put(self, first: int, count: int) -> None:
        """Returns when all are acknowledged; done twice, they are the same."""
        await self.kv([{"op": "put", "key": f"k{n}", "value": n} for n in range(first, first + count)])

    async def expect(self, count: int) -> None:
        """All that was acknowledged is there."""
        answers = await self.kv([{"op": "get", "key": f"k{n}"} for n in range(count)])
        assert [answer["value"] for answer in answers] == list(range(count))

    async def status(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = await self.ask(name, "$raft", op="status")
        return answer

    async def tell(self, name: str, copy: Path, first: int) -> int:
        """Puts numbers from `first` on until both others keep a revision of it above the copy's: the next one.

        They hear it within a second, and keep it with the next thing they write (PEER-11, HELLO-11).
        """
        scratch = self.folder / "scratch"
        before, _ = looked_at(copy, scratch)
        others = [self.folder / other for other in NAMES if other != name]
        while any(looked_at(other, scratch)[1].get(name, 0) <= before for other in others):
            await self.put(first, 1)
            first += 1
        return first

    async def a_member(self, *, leads: bool) -> str:
        """Who leads, or one that does not."""
        async with asyncio.timeout(BOUND):
            while True:
                for name in NAMES:
                    status = await self.status(name)
                    if status["leader"] is not None and (status["role"] == "leader") is leads:
                        return name
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    async with contextlib.AsyncExitStack() as stack:
        three = Cluster(folder, stack)
        for name in NAMES:
            await three.start(name)
        await three.put(0, 5)
        yield three


async def until(condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(BOUND):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {BOUND} s: {what}") from None


def looked_at(directory: Path, scratch: Path) -> tuple[int, dict[str, int]]:
    """The revision of a directory, and those it remembers of others, from a copy that is looked at."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(directory, scratch)
    store = FileStore.open(scratch, NodeId(directory.name.removesuffix("-copy")))
    try:
        known: dict[str, int] = {peer.server.node_id: peer.revision for peer in store.load().peers}
        return store.revision - 1, known
    finally:
        store.close()


@pytest.mark.parametrize("leads", [False, True], ids=["a follower", "the leader"])
async def test_a_member_with_an_older_copy_is_refused_and_nothing_is_lost(leads: bool, tmp_path: Path) -> None:
    """HELLO-11, PEER-11, LEADER-10: the copy was made while the process ran that was killed later."""
    async with cluster(tmp_path) as three:
        victim = await three.a_member(leads=leads)
        others = [name for name in NAMES if name != victim]
        data, copy = tmp_path / victim, tmp_path / f"{victim}-copy"
        shutil.copytree(data, copy)
        had = (await three.status(victim))["last_log_index"]
        await three.put(5, COMMANDS)
        # A follower has acknowledged them to a leader that lives; what a leader did, only its revision tells.
        number = await three.tell(victim, copy, 5 + COMMANDS) if leads else 5 + COMMANDS
        tellers = 2 if leads else 1
        await three.kill(victim)
        shutil.rmtree(data)
        shutil.copytree(copy, data)
        await three.start(victim)
        back = three.nodes[victim]
        await until(lambda: back.log.count("ERROR") >= tellers, f"{tellers} of {others} to tell it")
        assert back.process.returncode is None  # a peer's word takes no node down
        assert "is an older copy" in back.log
        assert "put the right directory back, or remove this one" in back.log
        assert sum("STALE_DATA" in three.nodes[other].log for other in others) >= tellers
        await three.put(number, 5)  # the other two go on
        assert (await three.status(victim))["last_log_index"] <= had
        await three.expect(number + 5)
        await three.kill(victim)
        shutil.rmtree(data)
        await three.start(victim)
        wanted = (await three.status(others[0]))["commit_index"]
        async with asyncio.timeout(BOUND):
            while (status := await three.status(victim))["last_applied"] < wanted:
                await asyncio.sleep(0.02)
        assert status["standing"] == "learner"


async def test_a_cluster_that_was_stopped_as_a_whole_remembers(tmp_path: Path) -> None:
    """HELLO-11, STORE-19: what was said of the directory is kept in those of the others."""
    async with cluster(tmp_path) as three:
        copy = tmp_path / "n3-copy"
        shutil.copytree(tmp_path / "n3", copy)
        await three.tell("n3", copy, 5)
        for name in NAMES:
            three.nodes[name].signal(signal.SIGTERM)
        for name in NAMES:
            assert await three.nodes[name].ended() == 0
    shutil.rmtree(tmp_path / "n3")
    shutil.copytree(copy, tmp_path / "n3")
    async with contextlib.AsyncExitStack() as stack:
        three = Cluster(tmp_path, stack)
        for name in reversed(NAMES):
            await three.start(name)
        await until(lambda: three.nodes["n3"].log.count("ERROR") >= 2, "both others to tell it")
        await three.expect(6)
