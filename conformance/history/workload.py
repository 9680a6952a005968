"""What clients do to `$kv` for a history that can be judged: few at a time, on keys that are soon left, with
values that nobody else writes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from conformance.history.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conformance.history.operation import Operation

CLIENTS_MAX = 6
"""The check is exponential in how many operations overlap."""

MIXES: dict[str, tuple[tuple[str, int], ...]] = {
    "register": (("put", 5), ("get", 6), ("cas", 4), ("delete", 1)),
    "counter": (("incr", 3), ("get", 2)),
    "text": (("append", 3), ("get", 2)),
}
"""What is done to a key of each kind, and how often. Kinds are not mixed: `incr` of a text is refused."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much there is to do."""

    clients: int = 4
    keys: int = 3
    """In use at a time"""
    operations_per_key: int = 150
    """Then a new key takes its place, so that no key's history grows long"""
    pause: tuple[float, float] = (0.0, 0.01)
    """Seconds between two operations of a client"""

    def __post_init__(self) -> None:
        if not 1 <= self.clients <= CLIENTS_MAX:
            msg = f"clients must be 1 to {CLIENTS_MAX}, not {self.clients}: the check is exponential in them"
            raise ValueError(msg)


class Plan:
    """What comes next, drawn from one seed. Clients that share it share the keys."""

    def __init__(self, rng: Random, load: Load) -> None:
        self._rng = rng
        self._load = load
        self._written = 0
        self._keys: list[tuple[str, str]] = []
        self._used: dict[str, int] = {}
        self._made = 0
        self._seen: dict[tuple[int, str], Any] = {}

    def next(self, client: int) -> tuple[str, str, Any]:
        """Op, key and argument."""
        kind, key = self._key()
        ops, weights = zip(*MIXES[kind], strict=True)
        [op] = self._rng.choices(ops, weights)
        match op:
            case "put":
                return op, key, self._value(client)
            case "cas":
                return op, key, (self._seen.get((client, key)), self._value(client))
            case "incr":
                return op, key, 1
            case "append":
                return op, key, f"{self._value(client)} "
            case _:
                return op, key, None

    def learn(self, operation: Operation) -> None:
        """What a client saw last is what its next cas expects."""
        if operation.outcome != "ok":
            return
        match operation.op:
            case "get":
                self._seen[operation.client, operation.key] = operation.value
            case "put":
                self._seen[operation.client, operation.key] = operation.argument
            case "cas" if operation.value is True:
                self._seen[operation.client, operation.key] = operation.argument[1]
            case _:
                pass

    def _value(self, client: int) -> str:
        self._written += 1
        return f"{client}.{self._written}"

    def _key(self) -> tuple[str, str]:
        while len(self._keys) < self._load.keys:
            self._made += 1
            kind = tuple(MIXES)[self._made % len(MIXES)]
            self._keys.append((kind, f"{kind}-{self._made}"))
        chosen = self._rng.choice(self._keys)
        used = self._used[chosen[1]] = self._used.get(chosen[1], 0) + 1
        if used >= self._load.operations_per_key:
            self._keys.remove(chosen)
        return chosen


async def run_workload(
    addresses: Mapping[str, str],
    rng: Random,
    now: Callable[[], float],
    enough: Callable[[list[Operation]], bool],
    *,
    load: Load | None = None,
    history: list[Operation] | None = None,
    cluster: str = "casty",
    size: int = 3,
    attempt_seconds: float = 0.5,
    patience: float = 5.0,
) -> list[Operation]:
    """Lets clients work until `enough` says so of the history so far; the history, in the order of its ends.

    A list given as `history` is filled while they work, for others to watch. Operations that are under way
    then are brought to an end. One that is cancelled is not in the history, so a workload must not be
    cancelled if the history is to be judged."""
    load = load or Load()
    plan = Plan(Random(rng.random()), load)
    done: list[Operation] = [] if history is None else history

    async def work(number: int) -> None:
        own = Random(f"{seed} {number}")
        client = Client(
            number,
            addresses,
            now,
            own,
            cluster=cluster,
            size=size,
            attempt_seconds=attempt_seconds,
            patience=patience,
        )
        try:
            while not enough(done):
                operation = await client.run(*plan.next(number))
                plan.learn(operation)
                done.append(operation)
                await asyncio.sleep(own.uniform(*load.pause))
        finally:
            await client.close()

    seed = rng.random()
    async with asyncio.TaskGroup() as group:
        for number in range(1, load.clients + 1):
            group.create_task(work(number))
    return done
