"""What public methods do before the start, after the end and outside of their loop: they say so."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import pytest

from casty import (
    ActorNotFoundError,
    ActorStoppedError,
    ActorSystem,
    DistributedActorSystem,
    HandshakeError,
    NodeUnreachableError,
    StorageError,
    SystemStoppedError,
)
from tests.cluster.actors import Echo
from tests.cluster.harness import BOUND, client, cluster, node, pair, until, within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

type Call = Callable[[DistributedActorSystem], Awaitable[Any]]


async def _set_apply(system: DistributedActorSystem) -> None:
    system.set_apply_callback(print)


async def _set_snapshot(system: DistributedActorSystem) -> None:
    system.set_snapshot_callbacks(bytes, print)


RAFT: dict[str, Call] = {
    "append_command": lambda system: system.append_command("x"),
    "wait_ready": lambda system: system.wait_ready(),
    "create_snapshot": lambda system: system.create_snapshot(),
}
"""Calls that need a node that runs."""

SETTERS: dict[str, Call] = {"set_apply_callback": _set_apply, "set_snapshot_callbacks": _set_snapshot}
"""Calls that may come before the start."""

ACTORS: dict[str, Call] = {
    "spawn": lambda system: system.spawn(Echo),
    "lookup": lambda system: system.lookup("nobody", timeout=0.01),
    "stop": lambda system: system.stop(system.ref("n1", "here")),
    "ask": lambda system: system.ref("n1", "here").ask("x"),
    "ask elsewhere": lambda system: system.ref("other", "there").ask("x"),
    "send elsewhere": lambda system: system.ref("other", "there").send("x"),
    "shutdown": lambda system: system.shutdown(),
}


# ------------------------------------------------------------------------------------------- before the start


@pytest.mark.parametrize("call", RAFT)
async def test_before_the_start_there_is_no_raft_to_ask(call: str) -> None:
    """[ACTOR-35]: an error, and not False for ever."""
    system = node(size=1, node_id="n1")
    with pytest.raises(RuntimeError, match=rf"{call}\(\) needs a started node"):
        await RAFT[call](system)


async def test_before_the_start_actors_can_be_spawned_asked_and_found_and_callbacks_set() -> None:
    """[ACTOR-35]: what others know is not asked for."""
    system = node(size=1, node_id="n1")
    for setter in SETTERS.values():
        await setter(system)
    await system.spawn(Echo, name="here")
    assert await system.ref("n1", "here").ask("hi") == "hi"
    assert (await system.lookup("here")).name == "here"
    with pytest.raises(ActorNotFoundError, match="has not started"):
        await system.lookup("there", timeout=None)
    with pytest.raises(NodeUnreachableError, match="other is not connected"):
        await system.ref("other", "there").ask("hi")
    await system.ref("other", "there").send("hi")
    assert system.dead_letter_count == 1
    assert (system.is_leader, system.leader_id, system.commit_index, system.last_applied) == (False, None, 0, 0)
    assert dict(system.peers) == {}
    await system.shutdown()


@pytest.mark.parametrize("call", RAFT)
async def test_a_node_that_starts_is_waited_for_or_says_later(call: str, tmp_path: Path) -> None:
    """[ACTOR-35]: its disk is still being read."""
    system = node(size=1, node_id="n1", persistence_dir=tmp_path / "d")
    system.set_apply_callback(print)
    system.set_snapshot_callbacks(lambda: b"", print)
    serving = asyncio.create_task(system.serve())
    await asyncio.sleep(0)
    assert system.raft is None
    done = await within(RAFT[call](system))
    assert done is (None if call == "wait_ready" else False)
    with pytest.raises(ActorNotFoundError):
        await system.lookup("nobody", timeout=0.01)
    await system.shutdown()
    with contextlib.suppress(SystemStoppedError):  # it may not have come to the end of its start
        await within(serving)


# --------------------------------------------------------------------------------------------- after the end


@pytest.mark.parametrize("was_started", [True, False])
@pytest.mark.parametrize("call", [*RAFT, *SETTERS])
async def test_after_the_end_every_call_to_raft_says_so(call: str, was_started: bool) -> None:
    """[ACTOR-35]: also of a node that never ran."""
    system = node(size=1, node_id="n1")
    if was_started:
        async with system:
            await system.wait_ready(BOUND)
    else:
        await system.shutdown()
    with pytest.raises(SystemStoppedError, match=rf"{call}\(\) was called on a node that has shut down"):
        await (RAFT | SETTERS)[call](system)
    assert (system.is_leader, system.leader_id, system.commit_index) == (False, None, 0)


async def test_after_the_end_actors_are_gone() -> None:
    """[ACTOR-26], [ACTOR-35]."""
    system = node(size=1, node_id="n1")
    async with system:
        here = await system.spawn(Echo, name="here")
    with pytest.raises(SystemStoppedError):
        await system.spawn(Echo)
    with pytest.raises(SystemStoppedError, match="no node was asked"):
        await system.lookup("here")
    with pytest.raises(ActorStoppedError):
        await here.ask("x")
    with pytest.raises(ActorNotFoundError):
        await system.ref("n1", "here").ask("x")
    with pytest.raises(SystemStoppedError):
        await system.ref("other", "there").ask("x")
    await here.send("x")
    await system.ref("other", "there").send("x")
    assert system.dead_letter_count == 2
    await system.stop(here)
    await asyncio.gather(system.shutdown(), system.shutdown())
    for start in (system.serve, system.__aenter__):
        with pytest.raises(RuntimeError, match="make a new"):
            await start()


async def test_while_actors_stop_raft_still_works_and_then_says_that_it_is_over() -> None:
    """[ACTOR-26]: an actor may append what it has yet to; after it, nobody may."""
    outcomes: list[object] = []

    class Last(Echo):
        async def on_stop(self) -> None:
            outcomes.append(await system.append_command("last"))

    system = node(size=1, node_id="n1")
    async with system:
        await system.wait_ready(BOUND)
        await system.spawn(Last)
    assert outcomes == [True]


@pytest.mark.parametrize("call", [*RAFT, *SETTERS])
async def test_after_a_failure_of_the_disk_every_call_says_which(call: str) -> None:
    """PERSIST-4, [ACTOR-35]."""
    with pytest.raises(StorageError, match="on fire"):  # noqa: PT012 (the block is what raises)
        async with node(size=1, node_id="n1") as system:
            await system.wait_ready(BOUND)
            system.failure.happen(StorageError("on fire"))
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(BOUND)
            with pytest.raises(StorageError, match="on fire"):
                await (RAFT | SETTERS)[call](system)
            assert (system.is_leader, system.leader_id) == (False, None)


# ------------------------------------------------------------------------------------- another loop or thread


def in_a_thread(call: Callable[[], object]) -> BaseException | None:
    """What the call raises in another thread."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # the test looks at it
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(BOUND)
    assert not thread.is_alive(), "it hangs"
    return raised[0] if raised else None


async def _awaited(call: Call, system: DistributedActorSystem) -> None:
    await call(system)


@pytest.mark.parametrize("call", [*RAFT, *SETTERS, *ACTORS])
async def test_from_another_loop_nothing_is_done(call: str) -> None:
    """[ACTOR-34]: RuntimeError at once, and the node goes on."""
    async with node(size=1, node_id="n1") as system:
        await system.wait_ready(BOUND)
        here = await system.spawn(Echo, name="here")
        before = system.commit_index
        every = RAFT | SETTERS | ACTORS
        error = in_a_thread(lambda: asyncio.run(_awaited(every[call], system)))
        if call == "stop":
            assert isinstance(error, (RuntimeError, ValueError))
        else:
            assert isinstance(error, RuntimeError)
            assert "outside the event loop" in str(error)
        assert await here.ask("hi") == "hi"
        assert await system.append_command("x") is True
        assert system.commit_index == before + 1
        assert system.dead_letter_count == 0


async def test_a_setter_in_a_thread_without_a_loop_is_refused() -> None:
    """[ACTOR-34]: it would wake a task of another thread."""
    async with node(size=1, node_id="n1") as system:
        for setter in (
            lambda: system.set_apply_callback(print),
            lambda: system.set_snapshot_callbacks(bytes, print),
        ):
            assert isinstance(in_a_thread(setter), RuntimeError)
        assert in_a_thread(lambda: (system.is_leader, system.leader_id, system.peers)) is None
        system.set_apply_callback(print)


async def test_a_start_in_the_wrong_loop_is_no_start() -> None:
    """[ACTOR-34]: the node can be started where it belongs."""
    system = node(size=1, node_id="n1")
    await system.spawn(Echo, name="here")
    error = in_a_thread(lambda: asyncio.run(system.serve()))
    assert isinstance(error, RuntimeError)
    assert not system.is_started
    async with system:
        await system.wait_ready(BOUND)


async def test_a_local_system_belongs_to_its_loop_too() -> None:
    """[ACTOR-34]: asks, lookups, stops and the shutdown; and sends to an actor that is idle."""
    async with ActorSystem() as system:
        here = await system.spawn(Echo, name="here")
        calls: list[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: here.ask("x"),
            lambda: here.send("x"),
            lambda: system.lookup("here"),
            lambda: system.spawn(Echo),
            lambda: system.stop(here),
            lambda: system.shutdown(),
        ]
        for call in calls:
            error = in_a_thread(lambda call=call: asyncio.run(call()))  # type: ignore[misc]
            assert isinstance(error, RuntimeError)
        assert await here.ask("hi") == "hi"


# ------------------------------------------------------------------------------------ who tries again and again


async def test_who_tries_again_and_again_holds_up_nobody(tmp_path: Path) -> None:
    """[ACTOR-4]: each answer needs no wait, but without one nothing would ever change."""
    system = node(size=1, node_id="n1", persistence_dir=tmp_path / "d")

    async def until_it_works(call: Call) -> object:
        while True:
            try:
                done = await call(system)
            except (RuntimeError, ActorNotFoundError, SystemStoppedError):
                continue
            if done is not False:
                return done

    trying = [
        asyncio.create_task(until_it_works(call))
        for call in (RAFT["append_command"], RAFT["wait_ready"], lambda system: system.lookup("late"))
    ]
    async with system:
        await system.spawn(Echo, name="late")
        outcomes: list[Any] = await within(asyncio.gather(*trying))
        assert outcomes[0] is True
        assert outcomes[2].name == "late"


async def test_asks_of_who_is_not_there_hold_up_nobody() -> None:
    """[ACTOR-4]: of a node that is not connected, and of an actor that has stopped."""
    async with pair() as (a, b):
        here = await a.spawn(Echo, name="here")
        await a.stop(here)
        turns = 0

        def count() -> None:
            nonlocal turns
            turns += 1

        loop = asyncio.get_running_loop()
        for ref in (here, b.ref("nowhere", "x"), b.ref("a", "here")):
            for _ in range(10):
                loop.call_soon(count)
                before = turns
                with pytest.raises((ActorStoppedError, NodeUnreachableError, ActorNotFoundError)):
                    await ref.ask("x")
                assert turns > before


async def test_who_waits_again_and_again_for_seeds_that_refuse_holds_up_nobody() -> None:
    """[ACTOR-4], HELLO-4."""
    async with node(node_id="seed", size=5) as seed, node(seed, node_id="n") as refused:
        with pytest.raises(HandshakeError):
            await within(refused.wait_ready())
        turned = asyncio.Event()
        asyncio.get_running_loop().call_soon(turned.set)
        with pytest.raises(HandshakeError):
            await refused.wait_ready()
        assert turned.is_set()


# ------------------------------------------------------------------------------------- callbacks are set once


class Two:
    """Two callbacks of each kind, which are other objects each time they are looked up."""

    def apply(self, command: object) -> None: ...
    def other(self, command: object) -> None: ...
    def create(self) -> bytes:
        return b""

    def restore(self, data: bytes) -> None: ...


@pytest.mark.parametrize("when", ["before the start", "after it"])
async def test_a_second_callback_is_refused_and_the_first_stays(when: str) -> None:
    """[ACTOR-36]: the same one again is no second."""
    two = Two()
    system = node(size=1, node_id="n1")
    async with contextlib.AsyncExitStack() as stack:
        if when == "after it":
            await stack.enter_async_context(system)
        for _ in range(2):
            system.set_apply_callback(two.apply)
            system.set_snapshot_callbacks(two.create, two.restore)
        with pytest.raises(RuntimeError, match=r"set_apply_callback\(\) was called before, with .*Two.apply"):
            system.set_apply_callback(two.other)
        with pytest.raises(RuntimeError, match=r"set_apply_callback\(\) was called before"):
            system.set_apply_callback(Two().apply)
        with pytest.raises(RuntimeError, match=r"set_snapshot_callbacks\(\) was called before"):
            system.set_snapshot_callbacks(two.create, two.other)
        assert system.machine._apply == two.apply
        assert system.machine._restore == two.restore
    await system.shutdown()


@pytest.mark.parametrize("wrong", [None, 1, "apply", b""])
async def test_what_cannot_be_called_is_no_callback(wrong: Any) -> None:
    """[ACTOR-36]: None does not unset one either."""
    system = node(size=1)
    with pytest.raises(TypeError, match="must be a function or another callable"):
        system.set_apply_callback(wrong)
    for given in ((wrong, print), (bytes, wrong)):
        with pytest.raises(TypeError, match="must be a function or another callable"):
            system.set_snapshot_callbacks(*given)
    assert not system.machine.has_callback
    system.set_apply_callback(print)
    with pytest.raises(TypeError):
        system.set_apply_callback(wrong)
    if wrong is not None:
        with pytest.raises(TypeError, match="on_dead_letter"):
            ActorSystem(on_dead_letter=wrong)


async def test_a_node_without_raft_may_share_its_program() -> None:
    """FORM-10, [ACTOR-36]: it sets callbacks that are never called, and is told where it asks for more."""
    async with cluster(1) as (alone,), client(alone, node_id="c", size=1) as outside:
        outside.set_apply_callback(print)
        outside.set_snapshot_callbacks(bytes, print)
        assert await outside.append_command("x") is False
        for call in (RAFT["wait_ready"], RAFT["create_snapshot"]):
            with pytest.raises(RuntimeError, match="takes part in Raft"):
                await call(outside)
        await until(lambda: outside.peers)
