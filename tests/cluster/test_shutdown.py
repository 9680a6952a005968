"""How a node ends: in order, however it is told to, and with nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from casty import (
    Actor,
    ActorStoppedError,
    CommitUncertainError,
    Context,
    NodeUnreachableError,
    SystemStoppedError,
)
from casty.cluster import link as link_module
from casty.cluster.storeroom import open_store
from casty.raft.types import NodeId
from casty.storage.files import FileStore
from tests.cluster.actors import Counter, Echo, Mute, Total, spawned
from tests.cluster.harness import BOUND, client, cluster, leader_of, meshed, node, others, pair, until, within
from tests.cluster.peers import Listener, clogged, peer_of

if TYPE_CHECKING:
    from pathlib import Path

    from casty import DistributedActorSystem


class Asker(Actor[Any]):
    """When it stops, it asks an actor elsewhere."""

    def __init__(self, ref: Any, heard: list[Any]) -> None:
        self.ref = ref
        self.heard = heard

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        self.heard.append(await self.ref.ask(Total()))

    async def on_stop(self) -> None:
        self.heard.append(await self.ref.ask(Total()))


async def test_actors_can_use_the_network_until_they_have_stopped() -> None:
    """Rule 24: actors first, then open asks, then Raft, then the connections."""
    async with pair() as (a, b):
        await a.spawn(Counter, name="counter")
        heard: list[Any] = []
        asker = await b.spawn(Asker, ref=await b.lookup("counter"), heard=heard)
        await asker.send("go")
        await b.shutdown()
        assert heard == [0, 0]
        with pytest.raises(SystemStoppedError):
            await b.spawn(Echo)


async def test_open_asks_and_lookups_and_commands_end_with_the_node() -> None:
    """Rule 24: each with an exception that says whether it may have happened."""
    async with cluster(2) as nodes:
        leader = await leader_of(nodes)
        other = others(nodes, leader)[0]
        await other.spawn(Mute, name="mute")
        asking = asyncio.create_task((await leader.lookup("mute")).ask(1, timeout=None))
        looking = asyncio.create_task(leader.lookup("nowhere", timeout=BOUND))
        await until(lambda: leader.asks and leader.open_searches)
        applying = asyncio.Event()

        async def never(command: object) -> None:
            applying.set()
            await asyncio.Event().wait()

        leader.set_apply_callback(never)
        appending = asyncio.create_task(leader.append_command("x", timeout=None))
        await within(applying.wait())
        leader.set_snapshot_callbacks(bytes, bytes)
        snapping = asyncio.create_task(leader.create_snapshot())
        await asyncio.sleep(0)
        await leader.shutdown()
        for call, error in (
            (asking, SystemStoppedError),
            (looking, SystemStoppedError),
            (appending, CommitUncertainError),
            (snapping, SystemStoppedError),
        ):
            with pytest.raises(error):
                await within(call)


async def test_the_other_side_learns_at_once() -> None:
    """MSG-9: connections are closed, not left to time out."""
    async with pair() as (a, b):
        mute = await spawned(a, Mute(), "mute")
        asking = asyncio.create_task(b.ref("a", "mute").ask(1, timeout=None))
        await within(mute.came.wait())
        await a.shutdown()
        with pytest.raises(ActorStoppedError, match="node a"):
            await within(asking)
        await until(lambda: not b.peers)
        with pytest.raises(NodeUnreachableError):
            await b.ref("a", "mute").ask(1)


async def test_an_actor_may_shut_its_system_down() -> None:
    """Rule 24: the call returns at once, and serve() when all is over."""

    class Ender(Actor[Any]):
        async def receive(self, msg: Any, ctx: Context[Any]) -> None:
            await ctx.system.shutdown()
            ctx.reply("done")

    system = client(node_id="a")
    ender = await system.spawn(Ender)
    serving = asyncio.create_task(system.serve())
    await until(lambda: system.is_started and system.tasks)
    assert await ender.ask("end") == "done"
    await within(serving)
    async with client(node_id="b") as block:
        assert await (await block.spawn(Ender)).ask("end") == "done"
    await block.shutdown()


async def test_shutdown_twice_and_by_many_is_one() -> None:
    """Rule 24."""
    system = node(size=1)
    serving = asyncio.create_task(system.serve())
    await until(lambda: system.is_leader)
    await asyncio.gather(*(system.shutdown() for _ in range(3)))
    await within(serving)
    await system.shutdown()
    with pytest.raises(RuntimeError, match="started already"):
        await system.serve()
    unstarted = node()
    await unstarted.shutdown()
    with pytest.raises(SystemStoppedError):
        await unstarted.serve()


@pytest.mark.parametrize("steps", range(6))
async def test_shutdown_during_the_start_ends_it(steps: int, tmp_path: Path) -> None:
    """Rule 24: whichever step the start has reached."""
    system = node(size=1, persistence_dir=tmp_path / "d")
    serving = asyncio.create_task(system.serve())
    for _ in range(steps):
        await asyncio.sleep(0)
    await within(system.shutdown())
    try:
        await within(serving)
    except SystemStoppedError:
        pass
    assert _unfinished() == []
    async with node(size=1, persistence_dir=tmp_path / "d"):
        pass  # the directory is free


async def test_the_same_order_when_the_body_raises_or_serve_is_cancelled() -> None:
    """Rule 24."""
    stopped: list[str] = []

    class Last(Echo):
        async def on_stop(self) -> None:
            stopped.append("actor")

    with pytest.raises(LookupError):  # noqa: PT012 (the block is what raises)
        async with client() as system:
            await system.spawn(Last)
            raise LookupError
    assert stopped == ["actor"]
    system = client()
    await system.spawn(Last)
    serving = asyncio.create_task(system.serve())
    await until(lambda: system.tasks)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert stopped == ["actor", "actor"]
    assert _unfinished() == []


async def test_a_second_cancellation_does_not_leave_half_a_node_behind() -> None:
    """Rule 24: whoever leaves early would leave sockets, and a thread that holds the directory."""

    async def block() -> None:
        async with client(node_id="a"):
            await asyncio.Event().wait()

    for life in (block(), client(node_id="a").serve()):
        running = asyncio.create_task(life)
        await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert _unfinished() == []


async def test_a_peer_that_does_not_read_holds_nobody_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 24, phase 6: what is queued is flushed, within a bound."""
    monkeypatch.setattr(link_module, "LINGER_SECONDS", 0.05)
    async with clogged() as clog:
        await within(clog.node.shutdown())
        await within(clog.sending)


async def test_what_was_sent_before_the_end_arrives() -> None:
    """Rule 24, phase 6: connections are flushed before they are closed."""
    async with client(node_id="a") as a:
        mute = await spawned(a, Mute(), "mute")
        async with client(a, node_id="b") as b:
            await meshed(a, b)
            for number in range(100):
                await b.ref("a", "mute").send(number)
        await until(lambda: len(mute.asked) == 100)


async def test_nobody_is_dialled_after_the_end() -> None:
    """Rule 24: a connection that is lost because this node closes it is not made again."""
    async with Listener() as listener:
        a = client(listener.address, node_id="a")
        async with a:
            await listener.greeted()
        count = listener.count
        await asyncio.sleep(0.15)
        assert listener.count == count
        assert _unfinished() == []
        assert a.dial_alarm._handle is None


def _unfinished() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.done()]


async def _life(directory: Path) -> None:
    """Everything a cluster can be doing, and its end."""

    async def each(system: DistributedActorSystem) -> None:
        await system.spawn(Echo, name=f"echo-{system.node_id}")

    async with cluster(each=lambda n: {"persistence_dir": directory / f"n{n}"}) as nodes:
        await asyncio.gather(*(each(system) for system in nodes))
        leader = await leader_of(nodes)
        leader.set_apply_callback(lambda command: None)
        assert await leader.append_command(1)
        for system in nodes:
            assert await (await system.lookup("echo-n1")).ask(bytes(100_000)) == bytes(100_000)
        async with peer_of(leader) as peer:
            await peer.ask("nobody", 1)


async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """No task, no thread of the store, no socket, and no warning of asyncio's debug mode."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 10.0
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    await _life(tmp_path / "first")
    assert _unfinished() == []
    assert [thread.name for thread in threading.enumerate() if thread.name == "casty-writer"] == []
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
    open_sockets = [
        thing for thing in gc.get_objects() if isinstance(thing, socket.socket) and thing.fileno() >= 0
    ]
    names = {sock.family for sock in open_sockets if sock.type == socket.SOCK_STREAM}
    assert names <= {socket.AF_UNIX}  # the loop's own


async def test_a_start_that_is_cancelled_while_its_disk_is_read_lets_go_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PERSIST-5: nobody would ever unlock the directory otherwise."""
    closed = threading.Event()
    reading = threading.Event()
    go_on = threading.Event()
    load, close = FileStore.load, FileStore.close

    def slow(store: FileStore) -> Any:
        reading.set()
        go_on.wait(BOUND)
        return load(store)

    def noted(store: FileStore) -> None:
        close(store)
        closed.set()

    monkeypatch.setattr(FileStore, "load", slow)
    monkeypatch.setattr(FileStore, "close", noted)
    opening = asyncio.create_task(open_store(tmp_path / "d", None, NodeId("n")))
    await until(reading.is_set)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert not closed.is_set()
    go_on.set()
    await until(closed.is_set)
    store, node_id, _ = await open_store(tmp_path / "d", None, NodeId("other"))
    assert node_id == "n"
    store.close()
