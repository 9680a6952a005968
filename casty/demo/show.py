"""The demonstration itself, act by act."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casty.cluster.system import DistributedActorSystem
from casty.demo.chat import ChatRoom, GetHistory, GetUsers, Join, Message
from casty.demo.load import Load
from casty.demo.process import NodeProcess
from casty.demo.view import LiveView, Row, Tally, open_view
from casty.errors import ActorUnavailableError, AskTimeoutError
from casty.paths import absolute
from casty_console import complain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from casty.demo.view import View

NODES = ("n1", "n2", "n3")
EXIT_USAGE = 64
PERIOD = 0.1
"""Seconds between two looks at the nodes."""

PAUSE = 1.5
"""Seconds between the acts, for whoever watches."""

PATIENCE = 12.0
"""Seconds any one act may take."""


class DemoFailedError(Exception):
    """Something the demonstration promises did not happen."""


def run_demo(arguments: argparse.Namespace) -> int:
    """Runs the demonstration; returns 0 only if every promise was kept."""
    logging.disable(logging.WARNING)  # the view says what happens
    view = open_view(plain=arguments.plain)
    with contextlib.ExitStack() as stack:
        if arguments.keep is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="casty-demo-")))
        else:
            try:
                folder = absolute(arguments.keep, "--keep")
                folder.mkdir(parents=True, exist_ok=True)
            except (OSError, ValueError) as error:
                view.close()
                complain(f"casty demo: {error}")
                return EXIT_USAGE
        try:
            verdict = asyncio.run(_run(folder, view))
        except (DemoFailedError, RuntimeError, TimeoutError) as error:
            view.close()
            complain(f"\nThe demonstration failed: {error}")
            return 1
        view.close()
        print(verdict)
        return 0


async def _run(folder: Path, view: View) -> str:
    nodes = [NodeProcess(who, folder, size=len(NODES), hosts_room=who == "n1") for who in NODES]
    try:
        for node in nodes:
            await node.start([other.listen for other in nodes if other.is_running and other is not node])
            view.event(f"node {node.node_id} started: process {node.pid}, {node.listen}")
        seeds = [node.listen for node in nodes]
        async with DistributedActorSystem(
            "127.0.0.1", 0, seeds, len(NODES), node_id="demo", member=False
        ) as system:
            return await _Show(system, nodes, view).play()
    finally:
        await asyncio.gather(*(node.stop() for node in nodes))


class _Show:
    """The acts, in order, with a look at the nodes all the while."""

    def __init__(self, system: DistributedActorSystem, nodes: list[NodeProcess], view: View) -> None:
        self._system = system
        self._nodes = {node.node_id: node for node in nodes}
        self._view = view
        self._load = Load(system)
        self._statuses: dict[str, dict[str, Any]] = {}
        self._leaders: list[str] = []
        self._snapshots_installed = 0
        self._pause = PAUSE if isinstance(view, LiveView) else 0.0

    async def play(self) -> str:
        looking = asyncio.create_task(self._look())
        try:
            await self._form()
            await self._chat()
            self._load.start()
            await self._until(lambda: len(self._load.acknowledged) >= 300, "300 commands")
            await asyncio.sleep(self._pause)
            await self._fail_over("catches up from the log", compact=False)
            await asyncio.sleep(self._pause)
            await self._fail_over("catches up through a snapshot", compact=True)
            await asyncio.sleep(self._pause)
            await self._load.stop()
            return await self._prove()
        finally:
            looking.cancel()

    # ------------------------------------------------------------------------------------------- the acts

    async def _form(self) -> None:
        await self._until(lambda: self._leader() is not None, "a leader")
        self._view.event(f"a cluster of {len(NODES)} has formed; {self._leader()} leads", "good")

    async def _chat(self) -> None:
        """The seed's chat room: an actor on one node, found by name from this process."""
        room = await self._system.lookup("general", ChatRoom, timeout=5.0)
        await room.send(Join("demo"))
        await room.send(Message("demo", "Hello from another process!"))
        users, history = await room.ask(GetUsers()), await room.ask(GetHistory())
        self._view.event(
            f"chat room 'general' found on {room.node_id}: users {users}, {len(history)} message(s)"
        )

    async def _fail_over(self, how: str, *, compact: bool) -> None:
        """Kills the leader under load, sees the others go on, and brings it back."""
        victim = self._leader()
        if victim is None:
            raise DemoFailedError("there was no leader to kill")
        node = self._nodes[victim]
        pid = node.pid
        await node.kill()
        self._statuses.pop(victim, None)
        before = len(self._load.acknowledged)
        self._view.event(f"leader {victim} killed (SIGKILL, process {pid})", "bad")
        await self._until(lambda: self._leader() not in (None, victim), "another leader")
        self._view.event(f"{self._leader()} leads now, in term {self._term()}", "good")
        await asyncio.sleep(self._pause)
        await self._until(lambda: len(self._load.acknowledged) >= before + 300, "300 more commands")
        self._view.event("the work went on: 300 more commands acknowledged without it")
        if compact:
            await self._compact()
        await node.start([other.listen for other in self._nodes.values() if other.is_running])
        self._view.event(f"node {victim} is back: process {node.pid}, {node.listen}")
        await self._until(lambda: self._has_caught_up(victim), f"{victim} to catch up")
        base = self._statuses[victim]["snapshot_index"]
        if compact and base == 0:
            raise DemoFailedError(f"{victim} caught up, but not through a snapshot")
        self._snapshots_installed += compact
        self._view.event(f"{victim} {how}{f' that ends at entry {base}' if compact else ''}", "good")

    async def _compact(self) -> None:
        """Has the living nodes drop the log that the dead one would need."""
        for who, node in self._nodes.items():
            if node.is_running:
                await self._system.ref(who, "$raft").ask({"op": "snapshot"}, timeout=5.0)
        self._view.event("the log was compacted into snapshots; the dead node's next entry is gone")

    async def _prove(self) -> str:
        """All states are equal, and every acknowledged command is in them."""
        keys = sorted(self._load.acknowledged)
        there = [await self._are_there(keys[i : i + 200]) for i in range(0, len(keys), 200)]
        lost = [key for key, is_there in zip(keys, itertools.chain(*there), strict=True) if not is_there]
        if lost:
            raise DemoFailedError(f"{len(lost)} acknowledged commands were lost, such as {', '.join(lost[:5])}")
        await self._until(self._is_settled, "all nodes to apply everything")
        digests = {who: (await self._ask(who, {"op": "digest"}))["sha256"] for who in NODES}
        if len(set(digests.values())) != 1:
            found = ", ".join(f"{who} has {digest}" for who, digest in digests.items())
            raise DemoFailedError(f"the states differ: {found}")
        index = self._statuses[NODES[0]]["last_applied"]
        return (
            f"\n{len(self._load.acknowledged)} commands were acknowledged, and every one is there.\n"
            f"{len(self._load.uncertain)} more were under way when a leader died, and may or may not be.\n"
            f"2 leaders were killed; {', '.join(self._leaders)} led in turn; "
            f"{self._snapshots_installed} node came back through a snapshot.\n"
            f"All {len(NODES)} nodes have the same state after entry {index}: {digests[NODES[0]][:16]}…"
        )

    async def _are_there(self, keys: list[str]) -> list[bool]:
        """Whether each key has its value, read through the log and so after everything acknowledged."""
        leader = self._system.ref(self._leader() or NODES[0], "$kv")
        answers = await asyncio.gather(*(leader.ask({"op": "get", "key": key}) for key in keys))
        return [a["ok"] and a["value"] == key[::-1] for key, a in zip(keys, answers, strict=True)]

    # ------------------------------------------------------------------------------------ looking at nodes

    async def _look(self) -> None:
        while True:
            for who in NODES:
                with contextlib.suppress(ActorUnavailableError, AskTimeoutError):
                    self._statuses[who] = await self._ask(who, {"op": "status"})
            leader = self._leader()
            if leader is not None and self._leaders[-1:] != [leader]:
                self._leaders.append(leader)
            load = self._load
            tally = Tally(len(load.acknowledged), load.refused, len(load.uncertain))
            self._view.update([self._row(who) for who in NODES], tally)
            await asyncio.sleep(PERIOD)

    async def _ask(self, who: str, request: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await self._system.ref(who, "$raft").ask(request, timeout=1.0)
        return answer

    def _row(self, who: str) -> Row:
        if not self._nodes[who].is_running:
            return Row(who, "killed")
        status = self._statuses.get(who)
        if status is None:
            return Row(who, "starting")
        figures = (status[name] for name in ("term", "commit_index", "last_applied", "snapshot_index"))
        return Row(who, status["role"], *figures)

    def _leader(self) -> str | None:
        """Who says that it leads, in the highest term."""
        leading = [(s["term"], who) for who, s in self._statuses.items() if s["role"] == "leader"]
        return max(leading)[1] if leading else None

    def _term(self) -> int:
        return max(int(status["term"]) for status in self._statuses.values())

    def _has_caught_up(self, who: str) -> bool:
        if who not in self._statuses or self._leader() is None:
            return False
        mine, leader = self._statuses[who], self._statuses[self._leader() or who]
        return bool(mine["last_applied"] > 0 and leader["commit_index"] - mine["last_applied"] <= 200)

    def _is_settled(self) -> bool:
        ends = {(s["last_log_index"], s["last_applied"]) for s in self._statuses.values()}
        return len(self._statuses) == len(NODES) and len(ends) == 1 and all(a == b for a, b in ends)

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    await asyncio.sleep(PERIOD / 2)
        except TimeoutError:
            raise DemoFailedError(f"waited {PATIENCE:g} s for {what}") from None
