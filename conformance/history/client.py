"""A client of `$kv`: asks whoever leads, and never claims to know more about the outcome than it does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance.history.operation import Operation
from conformance.history.talk import NoAnswerError, NotSentError, Talk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from conformance.wire.message import Message

NOT_HANDLED = ("ACTOR_NOT_FOUND", "MAILBOX_FULL", "UNKNOWN_TYPE", "BAD_MESSAGE")
"""Ask errors after which the message was surely not handled (spec/messaging.md); of others nobody knows."""
WORTH_REPEATING = ("not_leader", "ACTOR_NOT_FOUND", "MAILBOX_FULL")
"""Refusals that another node, or this one later, may not repeat."""
BREATH = (0.01, 0.05)
"""Seconds between two attempts where nobody knows a leader: an election takes many times as long."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one attempt taught."""

    outcome: str
    value: Any = None
    index: int | None = None
    term: int | None = None
    leader: str | None = None
    code: str = ""


class Client:
    """One client: one operation at a time, on whichever node it thinks leads.

    `addresses` says where each node can be reached now; it is read at every attempt, for nodes move. `now` is
    the clock of the history. An attempt that is not answered within `attempt_seconds`, which should be
    shorter than an election timeout, has an unknown outcome and ends the operation; one that certainly failed
    because this node does not lead is repeated elsewhere, until `patience` seconds have passed."""

    def __init__(
        self,
        number: int,
        addresses: Mapping[str, str],
        now: Callable[[], float],
        rng: Random,
        *,
        cluster: str = "casty",
        size: int = 3,
        attempt_seconds: float = 0.5,
        patience: float = 5.0,
    ) -> None:
        self.number = number
        self.name = f"client-{number}-{rng.randrange(1 << 32):08x}"
        """Of its own, for a node id in use by another process is refused (HELLO-7)."""
        self._addresses = addresses
        self._now = now
        self._rng = rng
        self._cluster = cluster
        self._size = size
        self._attempt_seconds = attempt_seconds
        self._patience = patience
        self._boot_id = rng.randbytes(16)
        self._talks: dict[str, tuple[str, Talk]] = {}
        self._favourite: str | None = None

    async def run(self, op: str, key: str, argument: Any = None) -> Operation:
        """Does one operation and says what became of it."""
        operation = Operation(self.number, op, key, argument, self._now(), None, "failed")
        request = request_of(op, key, argument)
        give_up = operation.called + self._patience
        while True:
            node = self._choose()
            operation.node = node
            try:
                answer = read_answer(await self._ask(node, request))
            except NotSentError:
                answer = Answer("failed", code="not_leader")
            except NoAnswerError:
                answer = Answer("unknown")
            self._learn(node, answer)
            if answer.code not in WORTH_REPEATING or self._now() >= give_up:
                break
            if self._favourite is None:
                await asyncio.sleep(self._rng.uniform(*BREATH))
        operation.outcome, operation.value = answer.outcome, answer.value
        operation.index, operation.term = answer.index, answer.term
        operation.returned = self._now() if answer.outcome != "unknown" else None
        return operation

    async def close(self) -> None:
        """Ends its connections."""
        for _, talk in self._talks.values():
            await talk.close()
        self._talks.clear()

    def _choose(self) -> str:
        if self._favourite is not None and self._favourite in self._addresses:
            return self._favourite
        return self._rng.choice(sorted(self._addresses))

    def _learn(self, node: str, answer: Answer) -> None:
        """Goes on with who answered, with the leader that was named, or with anybody."""
        if answer.outcome == "ok":
            self._favourite = node
        elif answer.leader is not None and answer.leader != node:
            self._favourite = answer.leader
        else:
            self._favourite = None

    async def _ask(self, node: str, request: dict[str, Any]) -> Message:
        address = self._addresses[node]
        known = self._talks.get(node)
        if known is not None and (known[0] != address or known[1].is_over):
            await self._talks.pop(node)[1].close()
            known = None
        if known is None:
            talk = await Talk.begin(
                self.name, self._boot_id, self._cluster, self._size, address, self._attempt_seconds
            )
            self._talks[node] = known = (address, talk)
        return await known[1].ask("$kv", request, self._attempt_seconds)


def request_of(op: str, key: str, argument: Any) -> dict[str, Any]:
    """The map that `$kv` takes (spec/launch.md)."""
    request: dict[str, Any] = {"op": op, "key": key}
    if op == "cas":
        request["expect"], request["value"] = argument
    elif op in ("put", "incr", "append"):
        request["value"] = argument
    return request


def read_answer(said: Message) -> Answer:
    """What an ASK_RES of `$kv` says of the outcome. An answer that is none of the contract's leaves it
    unknown."""
    code = said.get("code")
    if code is not None:
        return Answer("failed" if code in NOT_HANDLED else "unknown", code=code)
    match said.get("value"):
        case {"ok": True, "value": value, "index": index, "term": term}:
            return Answer("ok", value, _number(index), _number(term))
        case {"ok": False, "definite": True, "code": str(why), "leader": leader}:
            return Answer("failed", code=why, leader=leader if isinstance(leader, str) else None)
        case {"ok": False, "leader": str(leader)}:
            return Answer("unknown", leader=leader)
        case _:
            return Answer("unknown")


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
