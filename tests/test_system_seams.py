"""What the cluster layer builds on: delivery from outside, askers of its own, and the system's own hooks."""

from __future__ import annotations

import asyncio
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

from casty.actor import Actor, Context
from casty.dead_letters import DeadLetter
from casty.errors import ActorFailedError, ActorNotFoundError, ActorStoppedError, CastyError, MailboxFullError
from casty.system import ActorSystem

if TYPE_CHECKING:
    from casty.actor import Progress
    from casty.registry import Registry


class Asker:
    """An asker at the end of a connection, as `casty.actor.Asker` describes it."""

    def __init__(self) -> None:
        self.progress: Progress = "still queued"
        self.outcome: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.is_gone = False

    def done(self) -> bool:
        return self.is_gone or self.outcome.done()

    def reply(self, value: object, /) -> None:
        self.outcome.set_result(value)

    def fail(self, error: CastyError, /) -> None:
        self.outcome.set_exception(error)
        self.outcome.exception()


class Doubler(Actor[int]):
    def __init__(self) -> None:
        self.count = 0
        self.contexts: list[Context[int]] = []

    async def receive(self, msg: int, ctx: Context[int]) -> None:
        self.count += 1
        self.contexts.append(ctx)
        if msg < 0:
            await asyncio.Event().wait()
        if msg:
            ctx.reply(2 * msg)


class Node(ActorSystem):
    """A system that can be delivered to from outside, as by a connection."""

    @property
    def node_id(self) -> str:
        return "node-1"

    @property
    def registry(self) -> Registry:
        return self._registry


async def test_what_comes_from_outside_is_delivered_without_waiting() -> None:
    """[ACTOR-2] [ACTOR-15] By name or by number; an idle actor answers before `deliver` returns."""
    async with Node() as system:
        await system.spawn(Doubler, name="named")
        unnamed = await system.spawn(Doubler)
        for address in ("named", unnamed.address):
            asker = Asker()
            system.registry.deliver(address, (21, asker))
            assert asker.outcome.result() == 42
            system.registry.deliver(address, (21, None))


async def test_an_unknown_address_fails_the_asker_or_makes_a_dead_letter() -> None:
    """[ACTOR-3] [ACTOR-9]"""
    letters: list[DeadLetter] = []
    async with Node(on_dead_letter=letters.append) as system:
        asker = Asker()
        system.registry.deliver("nobody", (1, asker))
        system.registry.deliver("nobody", (1, None))
        with pytest.raises(ActorNotFoundError, match="there is no actor nobody on node node-1"):
            asker.outcome.result()
    assert letters == [DeadLetter(1, "nobody", "node-1", "there is no actor nobody on node node-1")]


async def test_a_message_of_another_type_is_refused() -> None:
    """[ACTOR-6] True, by the way, is an int."""
    letters: list[DeadLetter] = []
    async with Node(on_dead_letter=letters.append) as system:
        await system.spawn(Doubler, name="doubler")
        asker = Asker()
        system.registry.deliver("doubler", ("text", asker))
        system.registry.deliver("doubler", ("text", None))
        system.registry.deliver("doubler", (True, None))
        with pytest.raises(ActorFailedError) as caught:
            asker.outcome.result()
        assert caught.value.error_type == "UnhandledMessage"
        assert caught.value.message == "actor doubler takes int, not str"
        assert caught.value.node_id == "node-1"
    (letter,) = letters
    assert (letter.message, letter.address) == ("text", "doubler")


async def test_a_full_mailbox_is_not_waited_for() -> None:
    """[ACTOR-5]"""
    letters: list[DeadLetter] = []
    async with Node(mailbox_size=2, on_dead_letter=letters.append, shutdown_timeout=0) as system:
        await system.spawn(Doubler, name="doubler")
        system.registry.deliver("doubler", (-1, None))
        await asyncio.sleep(0)
        for number in (1, 2, 3):
            system.registry.deliver("doubler", (number, None))
        asker = Asker()
        system.registry.deliver("doubler", (4, asker))
        with pytest.raises(MailboxFullError, match="the mailbox of actor doubler is full: 2 messages"):
            asker.outcome.result()
        assert [letter.message for letter in letters] == [3]


async def test_an_actor_that_is_stopping_is_a_stopped_one() -> None:
    """[ACTOR-9]"""
    async with Node(shutdown_timeout=0) as system:
        doubler = await system.spawn(Doubler, name="doubler")
        await doubler.send(-1)
        stopping = asyncio.create_task(system.stop(doubler, timeout=0))
        await asyncio.sleep(0)
        asker = Asker()
        system.registry.deliver("doubler", (1, asker))
        with pytest.raises(ActorStoppedError):
            asker.outcome.result()
        await stopping


async def test_an_asker_that_is_gone_is_spared_the_answer() -> None:
    """[ACTOR-13] [ACTOR-11] Its message is not started, or its reply is dropped and counted."""
    async with Node() as system:
        actor = Doubler()
        await system.spawn(lambda: actor, name="doubler")
        gone = Asker()
        gone.is_gone = True
        system.registry.deliver("doubler", (1, gone))
        assert actor.count == 0
        asker = Asker()
        system.registry.deliver("doubler", (0, asker))
        assert asker.progress == "handled without a reply"
        asker.is_gone = True
        actor.contexts[0].reply("too late")
        assert system.late_reply_count == 1
        assert not asker.outcome.done()


async def test_an_asker_that_is_gone_is_not_refused_either() -> None:
    """[ACTOR-13] Nobody is told twice."""
    async with Node() as system:
        gone = Asker()
        gone.is_gone = True
        system.registry.deliver("nobody", (1, gone))
        assert not gone.outcome.done()


async def test_failures_name_the_node_they_happened_on() -> None:
    """[ACTOR-8]"""

    class Failing(Actor[int]):
        async def receive(self, msg: int, ctx: Context[int]) -> None:
            raise ValueError("no")

    async with Node() as system:
        failing = await system.spawn(Failing)
        with pytest.raises(ActorFailedError, match="ValueError: no on node node-1"):
            await failing.ask(1)


async def test_the_cluster_learns_which_actors_come() -> None:
    """So that it may admit their messages."""
    admitted: list[Any] = []

    class Watching(ActorSystem):
        def _admitted(self, kind: Any) -> None:
            super()._admitted(kind)
            admitted.append(kind)

    async with Watching() as system:
        await system.spawn(Doubler)
    assert admitted == [Doubler]


def test_distributed_makes_a_system_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed's factory: the arguments go where the seed says, the options through."""

    def distributed_system(*args: Any, **options: Any) -> Any:
        return args, options

    module = types.ModuleType("casty.cluster.system")
    module.DistributedActorSystem = distributed_system  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "casty.cluster.system", module)
    made: Any = ActorSystem.distributed(
        host="192.168.1.10", port=8001, seeds=["192.168.1.11:8001"], expected_cluster_size=3, node_id="node-1"
    )
    assert made == (("192.168.1.10", 8001, ["192.168.1.11:8001"], 3), {"node_id": "node-1"})
    made = ActorSystem.distributed("::1", 8001)
    assert made == (("::1", 8001, (), 3), {})
