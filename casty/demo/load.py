"""Commands flowing into the cluster, and the account of what was promised about each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from casty.errors import ActorUnavailableError, AskTimeoutError

if TYPE_CHECKING:
    from casty.cluster.system import DistributedActorSystem

LANES = 8
"""Commands under way at a time."""

RETRY_SECONDS = 0.05


class Load:
    """Puts numbered keys, each once it is acknowledged never again, through whichever node leads.

    `acknowledged` holds every key a node said yes to, and may not be lost; `uncertain` those nobody knows of.
    """

    def __init__(self, system: DistributedActorSystem) -> None:
        self.acknowledged: set[str] = set()
        self.uncertain: set[str] = set()
        self.refused = 0
        self._system = system
        self._next = 0
        self._leader: str | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._running = True

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._lane()) for _ in range(LANES)]

    async def stop(self) -> None:
        """Lets the commands under way finish."""
        self._running = False
        await asyncio.gather(*self._tasks)

    async def _lane(self) -> None:
        while self._running:
            self._next += 1
            await self._put(f"key-{self._next:05}")

    async def _put(self, key: str) -> None:
        request = {"op": "put", "key": key, "value": key[::-1]}
        while self._running:
            answer = await self._ask(request)
            if answer is None:
                self.uncertain.add(key)
                return
            if answer["ok"]:
                self.acknowledged.add(key)
                return
            if not answer["definite"]:
                self.uncertain.add(key)
                return
            self.refused += 1
            self._leader = answer["leader"]
            await asyncio.sleep(RETRY_SECONDS)

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """The answer of the leader, as far as it is known; None where there was none, and anything may be."""
        nodes = sorted(self._system.peers)
        if not nodes:
            return _NOBODY
        known = self._leader
        target = known if known is not None and known in nodes else nodes[self._next % len(nodes)]
        try:
            answer: dict[str, Any] = await self._system.ref(target, "$kv").ask(request, timeout=3.0)
        except (ActorUnavailableError, AskTimeoutError):
            self._leader = None
            return None
        return answer


_NOBODY: dict[str, Any] = {"ok": False, "definite": True, "leader": None}
