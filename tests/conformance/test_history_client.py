"""The client claims what it knows of an outcome, and no more."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from conformance.history.client import Client, read_answer, request_of
from conformance.history.operation import Operation
from conformance.history.workload import CLIENTS_MAX, MIXES, Load, Plan, run_workload
from conformance.wire.frame import FrameReader
from conformance.wire.message import Message, decode, encode, message
from tests.support import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

type Answering = Callable[["Stand", Message], dict[str, Any] | None]


def ok(value: Any, index: int = 5, term: int = 2) -> dict[str, Any]:
    return {"value": {"ok": True, "value": value, "index": index, "term": term}}


def no(code: str, *, definite: bool, leader: str | None = None) -> dict[str, Any]:
    return {"value": {"ok": False, "code": code, "definite": definite, "leader": leader, "text": "…"}}


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        (ok(3), "ok"),
        (no("not_leader", definite=True, leader="n2"), "failed"),
        (no("bad_request", definite=True), "failed"),
        (no("uncertain", definite=False), "unknown"),
        (no("stopped", definite=False), "unknown"),
        ({"code": "ACTOR_NOT_FOUND", "text": "…"}, "failed"),
        ({"code": "MAILBOX_FULL", "text": "…"}, "failed"),
        ({"code": "ACTOR_STOPPED", "text": "…"}, "unknown"),
        ({"code": "ACTOR_FAILED", "text": "…"}, "unknown"),
        ({"code": "REPLY_TOO_LARGE", "text": "…"}, "unknown"),
        ({"code": "SOMETHING_NEW", "text": "…"}, "unknown"),
        ({"value": {"ok": True}}, "unknown"),
        ({"value": {"ok": False, "definite": True}}, "unknown"),
        ({"value": "yes"}, "unknown"),
    ],
    ids=str,
)
def test_an_answer_says_what_it_says_and_anything_else_leaves_it_open(
    fields: dict[str, Any], outcome: str
) -> None:
    assert read_answer(message("ASK_RES", "", id=1, **fields)).outcome == outcome


def test_requests_are_those_of_the_contract() -> None:
    assert request_of("cas", "k", (None, 2)) == {"op": "cas", "key": "k", "expect": None, "value": 2}
    assert request_of("get", "k", None) == {"op": "get", "key": "k"}
    assert request_of("incr", "k", 1) == {"op": "incr", "key": "k", "value": 1}


class Stand:
    """Stands in for a node: says hello, and answers asks as it is told to."""

    def __init__(self, name: str, answering: Answering) -> None:
        self.name = name
        self.asked: list[Message] = []
        self.hello: Message | None = None
        self.pongs = 0
        self.hangs_up = False
        self._answering = answering
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Stand:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def address(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader()
        while data := await reader.read(65536):
            frames.feed(data)
            while (frame := frames.next_frame()) is not None:
                for said in self._heed(decode(frame)):
                    writer.write(encode(said).encode())
                if self.hangs_up:
                    break
            if self.hangs_up:
                break
        writer.close()

    def _heed(self, said: Message) -> list[Message]:
        match said.kind:
            case "PEER_LIST.hello":
                self.hello = said
                fields = {**said.fields, "boot_id": self.name.encode().rjust(16), "member": True}
                return [message("PEER_LIST.hello", self.name, **fields)]
            case "PEER_LIST.peers":
                return [message("PING", "", id=7, pong=False)]
            case "PING":
                self.pongs += said["pong"]
                return []
            case "ASK_REQ":
                self.asked.append(said)
                fields = self._answering(self, said) or {}
                return [message("ASK_RES", "", id=said["id"], **fields)] if fields else []
            case kind:
                raise AssertionError(f"a client says {kind}")


def do(stands: list[Stand], act: Callable[[Client], Awaitable[Operation]], **options: Any) -> Operation:
    """Runs one client against these, the first of which it tries first."""

    async def main() -> Operation:
        for stand in stands:
            await stand.__aenter__()
        addresses = {stand.name: stand.address for stand in stands}
        client = Client(1, addresses, time.monotonic, random.Random(1), **options)
        client._favourite = stands[0].name  # pyright: ignore[reportPrivateUsage] -- so that the first try is known
        try:
            return await act(client)
        finally:
            await client.close()
            for stand in stands:
                await stand.__aexit__()

    return run(main())


def test_a_client_says_it_is_one_answers_pings_and_asks_kv() -> None:
    stand = Stand("n1", lambda _, said: ok(None))
    operation = do([stand], lambda client: client.run("put", "x", 1))
    assert stand.hello is not None
    assert (stand.hello["member"], stand.hello["lane"], stand.pongs) == (False, "actor", 1)
    [asked] = stand.asked
    assert (asked.name, asked["message"]) == ("$kv", {"op": "put", "key": "x", "value": 1})
    assert (operation.outcome, operation.index, operation.term, operation.node) == ("ok", 5, 2, "n1")
    assert operation.returned is not None
    assert operation.called < operation.returned


def test_a_follower_s_refusal_leads_to_the_leader_within_one_operation() -> None:
    follower = Stand("n1", lambda _, said: no("not_leader", definite=True, leader="n2"))
    leader = Stand("n2", lambda _, said: ok(7))
    operation = do([follower, leader], lambda client: client.run("get", "x"))
    assert (operation.outcome, operation.value, operation.node) == ("ok", 7, "n2")
    assert [len(stand.asked) for stand in (follower, leader)] == [1, 1]


def test_what_is_not_answered_in_time_is_unknown_and_not_asked_again() -> None:
    silent, other = Stand("n1", lambda _, said: None), Stand("n2", lambda _, said: ok(7))
    operation = do([silent, other], lambda client: client.run("incr", "x", 1), attempt_seconds=0.05)
    assert (operation.outcome, operation.returned, operation.value) == ("unknown", None, None)
    assert (len(silent.asked), len(other.asked)) == (1, 0)


def test_a_connection_lost_after_the_request_leaves_it_unknown() -> None:
    def vanish(stand: Stand, _: Message) -> None:
        stand.hangs_up = True

    operation = do([Stand("n1", vanish)], lambda client: client.run("incr", "x", 1))
    assert operation.outcome == "unknown"


def test_a_node_that_cannot_be_reached_has_certainly_done_nothing() -> None:
    """The client goes on to another, and says failed when nobody can be reached in its patience."""

    async def main() -> Operation:
        client = Client(1, {"n1": "127.0.0.1:9"}, time.monotonic, random.Random(1), patience=0.1)
        return await client.run("put", "x", 1)

    operation = run(main())
    assert operation.outcome == "failed"
    assert operation.returned is not None


def test_a_refusal_for_good_is_not_repeated() -> None:
    stand = Stand("n1", lambda _, said: no("bad_request", definite=True))
    operation = do([stand], lambda client: client.run("incr", "x", 1))
    assert (operation.outcome, len(stand.asked)) == ("failed", 1)


def test_an_unknown_outcome_that_was_told_is_not_repeated() -> None:
    stand = Stand("n1", lambda _, said: no("uncertain", definite=False))
    operation = do([stand], lambda client: client.run("incr", "x", 1))
    assert (operation.outcome, len(stand.asked)) == ("unknown", 1)


# --------------------------------------------------------------------------------------------------- workloads


def drawn(seed: int, count: int = 400) -> list[tuple[str, str, Any]]:
    plan = Plan(random.Random(seed), Load(keys=2, operations_per_key=50))
    return [plan.next(1 + number % 3) for number in range(count)]


def test_a_plan_repeats_with_its_seed_and_writes_no_value_twice() -> None:
    steps = drawn(5)
    assert steps == drawn(5)
    assert steps != drawn(6)
    written = [
        argument[1] if op == "cas" else argument for op, _, argument in steps if op in ("put", "cas", "append")
    ]
    assert len(written) == len(set(written)) > 50
    assert {op for op, _, _ in steps} == {op for mix in MIXES.values() for op, _ in mix}
    uses = [sum(key == used for _, used, _ in steps) for key in {key for _, key, _ in steps}]
    assert max(uses) == 50


def test_a_cas_expects_what_its_client_saw() -> None:
    plan = Plan(random.Random(1), Load(keys=3, operations_per_key=100_000))
    register = next(key for op, key, _ in (plan.next(1) for _ in range(100)) if op == "put")
    plan.learn(Operation(1, "get", register, None, 0, 1, "ok", "seen"))
    plan.learn(Operation(1, "get", register, None, 0, None, "unknown"))
    expected = next(argument[0] for op, _, argument in (plan.next(1) for _ in range(400)) if op == "cas")
    assert expected == "seen"


def test_too_many_clients_are_refused() -> None:
    with pytest.raises(ValueError, match="1 to 6, not 7"):
        Load(clients=CLIENTS_MAX + 1)


def test_a_workload_ends_when_it_has_enough_and_finishes_what_it_began() -> None:
    async def main() -> list[Operation]:
        async with Stand("n1", lambda _, said: ok(None)) as stand:
            return await run_workload(
                {"n1": stand.address}, random.Random(1), time.monotonic, lambda history: len(history) >= 40
            )

    history = run(main())
    assert 40 <= len(history) < 40 + CLIENTS_MAX
    assert {operation.client for operation in history} == {1, 2, 3, 4}
    assert {operation.outcome for operation in history} == {"ok"}
