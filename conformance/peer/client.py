"""Somebody who is no member: says hello with `member: false`, asks actors and looks them up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from conformance.wire.message import message

if TYPE_CHECKING:
    from conformance.peer.line import Heard, Line
    from conformance.peer.peer import Peer


class Client:
    """One connection of the actor lane, and the numbers of its asks."""

    def __init__(self, peer: Peer, line: Line) -> None:
        self.peer = peer
        self.line = line
        self._id = 0

    def next_id(self) -> int:
        """A number that no ask or lookup of this connection has had."""
        self._id += 1
        return self._id

    def send_ask(self, actor: str, value: Any, *, timeout_ms: int | None = None, detail: str = "") -> int:
        """Sends an ASK_REQ and returns its id; `detail` as in `Line.send`."""
        id = self.next_id()
        fields: dict[str, Any] = {"id": id, "message": value}
        if timeout_ms is not None:
            fields = {"id": id, "timeout_ms": timeout_ms, "message": value}
        self.line.send(message("ASK_REQ", actor, **fields), detail=detail)
        return id

    async def ask(self, actor: str, value: Any, *, seconds: float | None = None) -> Heard:
        """The ASK_RES to an ask."""
        id = self.send_ask(actor, value)
        return await self.line.hear("ASK_RES", id=id, seconds=seconds)

    async def value(self, actor: str, value: Any, *, seconds: float | None = None) -> Any:
        """What an actor replies. Raises `Unmet` when the answer is an error."""
        heard = await self.ask(actor, value, seconds=seconds)
        if heard.get("code") is not None:
            raise heard.unmet(f"a reply of {actor} to {value!r}", f"{heard['code']}: {heard.get('text')}")
        return heard.get("value")

    async def kv(self, op: str, key: str, **rest: Any) -> dict[str, Any]:
        """The answer of `$kv`, success or not (KV-2)."""
        return await self.kv_answer(self.send_ask("$kv", {"op": op, "key": key, **rest}))

    async def kv_answer(self, id: int) -> dict[str, Any]:
        """The answer of `$kv` to the ask of that id. Raises `Unmet` for any other answer than KV-2 says."""
        heard = await self.line.hear("ASK_RES", id=id)
        answer = heard.get("value")
        if not _is_map(answer) or not isinstance(answer.get("ok"), bool):
            got = f"{heard['code']}: {heard.get('text')}" if heard.get("code") is not None else repr(answer)
            raise heard.unmet("an answer of $kv as KV-2 says, a map with ok", got)
        return answer

    async def raft(self, op: str, **rest: Any) -> Any:
        """The answer of `$raft` (KV-3)."""
        return await self.value("$raft", {"op": op, **rest})

    async def lookup(self, actor: str) -> bool:
        """Whether an actor of that name runs on the node (MSG-7)."""
        id = self.next_id()
        self.line.send(message("LOOKUP_REQ", actor, id=id))
        found: bool = (await self.line.hear("LOOKUP_RES", id=id))["found"]
        return found


def _is_map(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)
