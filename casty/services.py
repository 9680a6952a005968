"""The actors that `casty node` offers: `$echo`, `$sleep`, `$kv` and `$raft` (spec/launch.md)."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

from casty.actor import Actor, Context
from casty.cluster.replication import index_being_applied
from casty.errors import (
    ApplyError,
    CommitUncertainError,
    MessageTooLargeError,
    OverloadedError,
    SerializationError,
    StorageError,
    SystemStoppedError,
)
from casty.kv import BadRequestError, KeyValue, checked
from casty.raft.types import Index
from casty.wire.words import shown

if TYPE_CHECKING:
    from casty.cluster.system import DistributedActorSystem
    from casty.kv import Scalar
    from casty.raft.types import ServerId, Term

CAPABILITIES = ("introspect", "snapshot", "prevote", "checkquorum", "skip", "tls", "mtls")
"""What the node declares beyond the core."""


class Echo(Actor[Any]):
    """Replies with the message."""

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        ctx.reply(msg)


class Sleep(Actor[int | float]):
    """Replies with a number of seconds once they have passed. Asks that overlap wait side by side."""

    async def receive(self, msg: int | float, ctx: Context[int | float]) -> None:
        if isinstance(msg, bool) or not 0 <= msg <= SLEEP_MAX:
            error = f"$sleep takes 0 to {SLEEP_MAX} seconds"  # the value is the asker's, and none of the log's
            raise ValueError(error)
        asyncio.get_running_loop().call_later(msg, ctx.reply, msg)

    def on_error(self, exc: Exception) -> bool:
        return True


SLEEP_MAX = 3600


class Replica:
    """The replicated dictionary of one node, and the results of the requests that began here."""

    def __init__(self, system: DistributedActorSystem) -> None:
        self.state = KeyValue()
        self._system = system
        self._begun = 0
        self._results: dict[int, tuple[Scalar | BadRequestError, Index, Term | None]] = {}
        self._open: set[int] = set()
        system.set_apply_callback(self._apply)
        system.set_snapshot_callbacks(self.state.snapshot, self.state.restore)

    async def run(self, request: dict[str, Any]) -> tuple[Scalar, Index, Term | None] | None:
        """Carries out a checked request on all nodes: its result here, index and term. None: not the leader.

        Raises BadRequestError for what the state does not allow, and what `append_command` does.
        """
        self._begun += 1
        number = self._begun
        self._open.add(number)
        origin = self._system.identity.boot_id
        try:
            if not await self._system.append_command({**request, "origin": origin, "number": number}):
                return None
            result, index, term = self._results.pop(number)
        finally:
            self._open.discard(number)
            self._results.pop(number, None)
        if isinstance(result, BadRequestError):
            raise result
        return result, index, term

    def _apply(self, command: object) -> None:
        """Checked like a request, on every node alike: another implementation may have appended it (KV-4)."""
        result: Scalar | BadRequestError
        try:
            result = self.state.apply(checked(command))
        except BadRequestError as error:
            result = error  # the same on every node, for the state is
        if (number := self._ours(command)) is not None:
            index, raft = index_being_applied(self._system), self._system.raft
            term = raft.log.term_at(index) if raft is not None else None
            self._results[number] = result, index, term

    def _ours(self, command: object) -> int | None:
        """The number of a request that began here and is still waited for."""
        match command:
            case {"origin": self._system.identity.boot_id, "number": int(number)} if number in self._open:
                return number
            case _:
                return None


class KV(Actor[dict[str, Any]]):
    """The way to the dictionary. Requests that overlap are in the log together."""

    def __init__(self, system: DistributedActorSystem, replica: Replica) -> None:
        self._system = system
        self._replica = replica
        self._tasks: set[asyncio.Task[None]] = set()

    async def receive(self, msg: dict[str, Any], ctx: Context[dict[str, Any]]) -> None:
        task = asyncio.ensure_future(self._answer(msg, ctx))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def on_stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _answer(self, request: dict[str, Any], ctx: Context[dict[str, Any]]) -> None:
        ctx.reply(await self._outcome(request))

    async def _outcome(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            done = await self._replica.run(checked(request))
        except BadRequestError as error:
            return self._no("bad_request", definite=True, text=str(error))
        except CommitUncertainError as error:
            return self._no("uncertain", definite=False, text=str(error))
        except OverloadedError as error:
            return self._no("overloaded", definite=True, text=str(error))
        except (SerializationError, MessageTooLargeError) as error:
            return self._no("bad_request", definite=True, text=str(error))
        except (StorageError, ApplyError, SystemStoppedError) as error:
            return self._no("stopped", definite=False, text=str(error))
        if done is None:
            return self._no("not_leader", definite=True, text="ask the leader")
        value, index, term = done
        return {"ok": True, "value": value, "index": index, "term": term}

    def _no(self, code: str, *, definite: bool, text: str) -> dict[str, Any]:
        leader = self._system.leader_id
        return {"ok": False, "code": code, "definite": definite, "leader": leader, "text": text}


class Introspection(Actor[dict[str, Any]]):
    """Says what the node's Raft knows (spec KV-3)."""

    def __init__(self, system: DistributedActorSystem, replica: Replica) -> None:
        self._system = system
        self._replica = replica

    def on_error(self, exc: Exception) -> bool:
        return True

    async def receive(self, msg: dict[str, Any], ctx: Context[dict[str, Any]]) -> None:
        match msg:
            case {"op": "status"}:
                ctx.reply(status(self._system))
            case {"op": "log", "from": int(first), "to": int(last)}:
                ctx.reply(self._log(first, last))
            case {"op": "digest"}:
                applied = self._system.last_applied
                ctx.reply({"last_applied": applied, "sha256": self._replica.state.digest()})
            case {"op": "snapshot"}:
                ctx.reply({"ok": await self._system.create_snapshot()})
            case _:
                error = f"$raft takes an op: status, log (from, to), digest or snapshot; not {shown(msg)}"
                raise ValueError(error)

    def _log(self, first: int, last: int) -> list[list[Any]]:
        raft = self._system.raft
        if raft is None:
            return []
        log = raft.log
        begin, end = max(first, log.base_index + 1), min(last, log.last_index)
        rows: list[list[Any]] = []
        for index in range(begin, end + 1):
            entry = log.entry(Index(index))
            digest = hashlib.sha256(entry.kind.encode() + b"\0" + entry.data).hexdigest()
            rows.append([index, entry.term, digest])
        return rows


def status(system: DistributedActorSystem) -> dict[str, Any]:
    """The node's Raft at a glance, as `$raft` says it."""
    raft = system.raft
    if raft is None:
        return {"node_id": system.node_id, "standing": "none", "role": "none"}
    now = raft.status()
    configuration = raft.configuration
    return {
        "node_id": now.node_id,
        "store_id": raft.me.store_id,
        "standing": str(now.standing),
        "role": str(now.role),
        "term": now.term,
        "leader": _server(now.leader),
        "voted_for": _server(now.voted_for),
        "commit_index": now.commit_index,
        "last_applied": system.last_applied,
        "durable_index": now.durable_index,
        "last_log_index": now.last_log_index,
        "last_log_term": now.last_log_term,
        "snapshot_index": now.snapshot_index,
        "snapshot_term": now.snapshot_term,
        "cluster_id": configuration.cluster_id if configuration is not None else None,
    }


def _server(server: ServerId | None) -> list[Any] | None:
    return None if server is None else [server.node_id, server.store_id]


async def offer(system: DistributedActorSystem) -> Replica:
    """Spawns all of them."""
    replica = Replica(system)
    await system.spawn(Echo, name="$echo")
    await system.spawn(Sleep, name="$sleep")
    await system.spawn(KV, name="$kv", system=system, replica=replica)
    await system.spawn(Introspection, name="$raft", system=system, replica=replica)
    return replica
