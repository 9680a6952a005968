"""Names, lookup and refs (spec/actors.md)."""

from __future__ import annotations

import asyncio
import threading
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pytest

from casty.actor import Actor, ActorRef, Context
from casty.errors import ActorNotFoundError, ActorStoppedError, NameTakenError
from casty.registry import NAME_BYTES_MAX, check_name
from casty.system import ActorSystem
from casty.wire import _protocol
from tests.support import run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Echo(Actor[Any]):
    """Replies with the message, or calls it with the context."""

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        ctx.reply(await msg(ctx) if callable(msg) else msg)


class Other(Actor[Any]):
    async def receive(self, msg: Any, ctx: Context[Any]) -> None: ...


class Special(Echo):
    """An Echo by inheritance."""


def spawn(name: str) -> Callable[[Context[Any]], Coroutine[Any, Any, Any]]:
    """A message that makes an Echo spawn another one."""

    async def spawn(ctx: Context[Any]) -> Any:
        return await ctx.spawn(Echo, name=name)

    return spawn


async def test_a_name_is_given_once() -> None:
    """[ACTOR-30]"""
    async with ActorSystem() as system:
        first = await system.spawn(Echo, name="a")
        with pytest.raises(NameTakenError, match="an actor named 'a' lives on this node already"):
            await system.spawn(Echo, name="a")
        assert await first.ask("still here") == "still here"
        await system.stop(first)
        await system.spawn(Echo, name="a")
    assert issubclass(NameTakenError, ValueError)


async def test_two_spawns_at_once_cannot_share_a_name() -> None:
    """[ACTOR-30]"""

    class Slow(Echo):
        async def on_start(self) -> None:
            await asyncio.sleep(0)

    async with ActorSystem() as system:
        outcomes = await asyncio.gather(
            *(system.spawn(Slow, name="a") for _ in range(3)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes[1:]] == [NameTakenError, NameTakenError]


async def test_children_share_the_names_of_their_node() -> None:
    """[ACTOR-30]"""
    async with ActorSystem() as system:
        parent = await system.spawn(Echo, name="parent")
        child = await parent.ask(spawn("child"))
        assert await system.lookup("child") == child
        with pytest.raises(NameTakenError):
            await system.spawn(Echo, name="child")


@pytest.mark.parametrize("name", ["a", "worker-1", "Größe 3", "演员", "x" * 255, "é" * 127, "a@b", " "])
async def test_these_are_names(name: str) -> None:
    """[ACTOR-31]"""
    async with ActorSystem() as system:
        ref = await system.spawn(Echo, name=name)
        assert ref.name == ref.address == name
        assert await system.lookup(name) == ref


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "has 0 bytes; 1 to 255 are allowed"),
        ("x" * 256, "has 256 bytes; 1 to 255 are allowed"),
        ("é" * 128, "has 256 bytes; 1 to 255 are allowed"),
        ("@1", "the actor name '@1' starts with '@', which marks actors without a name"),
        ("a\nb", "contains a control character"),
        ("a\x7f", "contains a control character"),
        ("\ud800", "half a surrogate pair"),
    ],
)
async def test_these_are_none(name: str, text: str) -> None:
    """[ACTOR-31]"""
    async with ActorSystem() as system:
        with pytest.raises(ValueError, match=text):
            await system.spawn(Echo, name=name)


def test_the_limit_is_that_of_the_wire() -> None:
    """[ACTOR-31] An actor whose name did not fit a frame could not be reached from another node."""
    assert NAME_BYTES_MAX == _protocol.NAME_BYTES_MAX


def test_a_name_is_text() -> None:
    """[ACTOR-31]"""
    with pytest.raises(TypeError, match="an actor name is a str, not 5"):
        check_name(5)  # type: ignore[arg-type]  # what a caller without a type checker may do


async def test_an_actor_without_a_name_has_an_address() -> None:
    """[ACTOR-31] Which is no name: nobody can look it up."""
    async with ActorSystem() as system:
        first, second = await system.spawn(Echo), await system.spawn(Echo)
        assert [first.name, second.name] == [None, None]
        assert [first.address, second.address] == ["@1", "@2"]
        assert repr(first) == "<ActorRef @1>"
        with pytest.raises(ActorNotFoundError):
            await system.lookup("@1")


async def test_lookup_finds_an_actor_by_name() -> None:
    """[ACTOR-32]"""
    async with ActorSystem() as system:
        ref = await system.spawn(Echo, name="a")
        assert await (await system.lookup("a")).ask("hello") == "hello"
        assert await system.lookup("a", Echo) == ref
        with pytest.raises(ActorNotFoundError, match="there is no actor named 'b'"):
            await system.lookup("b")
        await system.stop(ref)
        with pytest.raises(LookupError):
            await system.lookup("a")


async def test_lookup_with_a_class_wants_just_that_class() -> None:
    """[ACTOR-32]"""
    async with ActorSystem() as system:
        await system.spawn(Special, name="a")
        await system.lookup("a", Special)
        for wrong in (Other, Echo):
            text = f"actor 'a' is a {__name__}:Special, not a {__name__}:{wrong.__qualname__}"
            with pytest.raises(TypeError, match=text):
                await system.lookup("a", wrong)


async def test_refs_to_one_actor_are_equal() -> None:
    """[ACTOR-33]"""
    async with ActorSystem() as system, ActorSystem() as other_system:
        ref = await system.spawn(Echo, name="a")
        found = await system.lookup("a")

        async def own_ref(ctx: Context[Any]) -> Any:
            return ctx.self_ref

        assert {ref, found, await ref.ask(own_ref)} == {ref}
        assert ref != await system.spawn(Echo, name="b")
        assert ref != await other_system.spawn(Echo, name="a")
        assert ref != "a"
        assert (ref.node_id, repr(ref)) == (None, "<ActorRef a>")


async def test_a_ref_on_a_node_says_so() -> None:
    """[ACTOR-33]"""

    class Node(ActorSystem):
        @property
        def node_id(self) -> str:
            return "node-1"

    async with Node() as system, Node() as twin:
        ref = await system.spawn(Echo, name="a")
        assert (ref.node_id, repr(ref)) == ("node-1", "<ActorRef a on node node-1>")
        assert ref == await twin.spawn(Echo, name="a"), "a node is known by its id alone"


class FarRef(ActorRef[Any]):
    """A ref of another kind, as a cluster has them."""

    def __init__(self, node_id: str, address: str) -> None:
        self._node_id = node_id
        self.address = address

    @property
    def node_id(self) -> str:
        return self._node_id

    async def send(self, msg: Any) -> None:
        raise NotImplementedError

    async def _ask(self, msg: Any, timeout: float | None) -> Any:
        return msg, timeout


async def test_a_ref_of_another_kind_is_equal_too() -> None:
    """[ACTOR-33] Nothing but the address tells refs apart."""

    class Node(ActorSystem):
        @property
        def node_id(self) -> str:
            return "node-1"

    async with Node() as system:
        ref = await system.spawn(Echo, name="a")
        far = FarRef("node-1", "a")
        assert {ref, far} == {ref}
        assert far != FarRef("node-2", "a")
        assert (repr(far), far.name) == (repr(ref), ref.name)
        assert await far.ask("hello") == ("hello", 5.0)


async def test_what_holds_a_ref_can_be_copied() -> None:
    """[ACTOR-33] The address is; the actor, its system and the event loop are not."""

    @dataclass
    class Question:
        reply_to: ActorRef[Any]

    async with ActorSystem() as system:
        ref = await system.spawn(Echo)
        assert asdict(Question(ref)) == {"reply_to": ref}
        assert deepcopy([ref])[0] is ref


async def test_a_ref_reaches_the_next_holder_of_its_name() -> None:
    """[ACTOR-33]"""
    async with ActorSystem() as system:
        ref = await system.spawn(Echo, name="a")
        await system.stop(ref)
        with pytest.raises(ActorStoppedError):
            await ref.ask("anybody?")
        successor = await system.spawn(Echo, name="a")
        assert await ref.ask("hello") == "hello"
        await ref.send("hello")
        assert ref == successor
        await system.stop(ref)
        with pytest.raises(ActorNotFoundError):
            await system.lookup("a")


async def test_a_ref_without_a_name_reaches_one_actor_only() -> None:
    """[ACTOR-33]"""
    async with ActorSystem() as system:
        ref = await system.spawn(Echo)
        await system.stop(ref)
        await system.spawn(Echo)
        with pytest.raises(ActorStoppedError):
            await ref.ask("hello")


def test_a_system_belongs_to_one_loop() -> None:
    """[ACTOR-34]"""
    system = ActorSystem()
    run(_spawn(system))
    with pytest.raises(RuntimeError, match="outside the event loop"):
        run(_spawn(system))


async def _spawn(system: ActorSystem) -> Any:
    return await system.spawn(Echo)


def test_two_systems_share_nothing() -> None:
    """[ACTOR-34] Not even with one loop each, in a thread each."""
    answers: list[str] = []

    async def main(greeting: str) -> None:
        async with ActorSystem() as system:
            echo = await system.spawn(Echo, name="echo")
            for _ in range(100):
                answers.append(await echo.ask(greeting))
                await asyncio.sleep(0)

    threads = [threading.Thread(target=run, args=(main(greeting),)) for greeting in ("hello", "bye")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["bye"] * 100 + ["hello"] * 100


@pytest.mark.parametrize("use", ["send", "ask", "spawn", "stop"])
async def test_using_actors_from_a_foreign_loop_raises_in_debug_mode(use: str) -> None:
    """[ACTOR-34]"""
    asyncio.get_running_loop().set_debug(True)
    async with ActorSystem() as system:
        echo = await system.spawn(Echo)
        uses: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "send": lambda: echo.send("a"),
            "ask": lambda: echo.ask("a"),
            "spawn": lambda: system.spawn(Echo),
            "stop": lambda: system.stop(echo),
        }

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="outside the event loop"):
                run(uses[use]())

        await asyncio.to_thread(elsewhere)
        assert await echo.ask("a") == "a"


async def test_replying_from_a_foreign_thread_raises_in_debug_mode() -> None:
    """[ACTOR-34] The asker is still there for whoever replies properly."""
    asyncio.get_running_loop().set_debug(True)
    async with ActorSystem() as system:
        echo = await system.spawn(Echo)

        async def reply_elsewhere(ctx: Context[Any]) -> str:
            with pytest.raises(RuntimeError):
                await asyncio.to_thread(ctx.reply, "from a thread")
            return "from the loop"

        assert await echo.ask(reply_elsewhere) == "from the loop"


async def test_debug_mode_works_like_any_other() -> None:
    """[ACTOR-34] [ACTOR-4] The checks come on top."""
    asyncio.get_running_loop().set_debug(True)
    async with ActorSystem() as system:
        echo = await system.spawn(Echo)
        for number in range(3000):
            await echo.send(number)
        assert await echo.ask("a") == "a"
