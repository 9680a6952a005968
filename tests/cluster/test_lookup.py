"""Lookups: who is found, who is asked, and how long that takes."""

from __future__ import annotations

import asyncio

import pytest

from casty import ActorNotFoundError, NodeUnreachableError, SystemStoppedError
from casty.cluster.lookup import GRACE
from casty.wire import _protocol as p
from tests.cluster.actors import Counter, Echo
from tests.cluster.harness import client, meshed, pair, until, within
from tests.cluster.peers import Listener


async def test_lookup_prefers_home_then_the_smallest_node_id() -> None:
    """MSG-7; actors.md rule 30."""
    async with pair() as (a, b), client(a, node_id="c") as c:
        await meshed(a, b, c)
        await b.spawn(Counter, name="x")
        await a.spawn(Counter, name="x")
        assert (await c.lookup("x")).node_id == "a"
        assert (await b.lookup("x")).node_id == "b"
        mine = await c.spawn(Counter, name="x")
        assert await c.lookup("x") is mine


async def test_lookup_that_finds_nothing_says_where_it_looked() -> None:
    """Rule 31."""
    async with pair() as (a, b):
        await a.spawn(Counter)
        for name in ("x", "@1"):
            with pytest.raises(
                ActorNotFoundError, match=rf"no actor named '{name}' here or on a, after 0\.05 s"
            ):
                await b.lookup(name, timeout=0.05)
        assert len(b.searches) == 0
        assert not b.open_searches


async def test_lookup_checks_the_class_here_and_elsewhere() -> None:
    """Rule 31."""
    async with pair() as (a, b):
        await a.spawn(Counter, name="x")
        for system in (a, b):
            with pytest.raises(
                TypeError, match=r"actor 'x' is a tests\.cluster\.actors:Counter, not a .*:Echo"
            ):
                await system.lookup("x", Echo)
            assert (await system.lookup("x", Counter)).name == "x"


async def test_lookup_asks_nodes_that_come_while_it_waits() -> None:
    """Rule 31: users need no loop around it."""
    async with client(node_id="b") as b:
        looking = asyncio.create_task(b.lookup("x", timeout=20))
        await until(lambda: b.open_searches)
        async with client(b, node_id="a") as a:
            await a.spawn(Counter, name="x")
            assert (await within(looking)).node_id == "a"


async def test_lookup_finds_what_is_spawned_while_it_waits() -> None:
    """Rule 31: here or elsewhere; who starts first does not matter."""
    async with pair() as (a, b):
        for home in (a, b):
            name = f"of-{home.node_id}"
            looking = asyncio.create_task(b.lookup(name, Counter, timeout=20))
            await until(lambda: b.open_searches)
            await until(lambda: not len(b.searches))  # everybody has said no
            await home.spawn(Counter, name=name)
            assert (await within(looking)).node_id == home.node_id
            assert len(b.searches) == 0


async def test_a_lookup_does_not_wait_for_a_node_that_is_slow_once_another_has_answered() -> None:
    """Rule 31: a node that never answers costs a moment, not the timeout; nothing is left open."""
    async with Listener() as listener, client(listener.address, node_id="b") as b:
        peer = await listener.greeted("slow")
        async with client(b, node_id="a") as a:
            await meshed(a, b)
            await a.spawn(Counter, name="x")
            begun = asyncio.get_running_loop().time()
            assert (await b.lookup("x", timeout=20)).node_id == "a"
            assert GRACE * 0.9 <= asyncio.get_running_loop().time() - begun < 10
            assert len(b.searches) == 0
            assert peer.node_id == "slow"


async def test_what_one_node_has_is_found_though_another_never_answers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 31: however soon the timeout comes; and the node that is asked again meanwhile is one."""
    async with Listener() as listener, client(listener.address, node_id="b") as b:
        await listener.greeted("slow")
        async with client(b, node_id="a") as a:
            await meshed(a, b)
            await a.spawn(Counter, name="x")
            assert (await b.lookup("x", timeout=20)).node_id == "a"
            monkeypatch.setattr("casty.cluster.lookup.GRACE", 20.0)
            assert (await b.lookup("x", timeout=1.0)).node_id == "a"
    assert "several nodes" not in caplog.text


async def test_a_node_lost_in_the_middle_of_a_lookup_counts_as_a_no() -> None:
    """Rule 31."""
    async with Listener() as listener, client(listener.address, node_id="b") as b:
        peer = await listener.greeted("slow")
        await until(lambda: ("slow", "actor") in b.links.dialled)
        looking = asyncio.create_task(b.lookup("x", timeout=20))
        assert (await peer.next()).type == p.LOOKUP_REQ
        await listener.deafen()
        peer.close()
        await until(lambda: not b.peers)
        async with client(b, node_id="a") as a:
            await a.spawn(Counter, name="x")
            assert (await within(looking)).node_id == "a"
            assert len(b.searches) == 0


async def test_before_its_start_and_after_its_end_a_node_looks_only_at_home() -> None:
    """Rule 27b."""
    system = client(node_id="a")
    ref = await system.spawn(Counter, name="x")
    assert (str(ref), ref.node_id) == ("x on node a", "a")
    assert await system.lookup("x") is ref
    with pytest.raises(ActorNotFoundError, match="has not started"):
        await system.lookup("y")
    with pytest.raises(NodeUnreachableError):
        await system.ref("b", "y").ask(1)
    async with system:
        pass
    with pytest.raises(SystemStoppedError, match="has shut down"):
        await system.lookup("y")
    with pytest.raises(SystemStoppedError, match="has shut down"):
        await system.ref("b", "y").ask(1)


async def test_a_node_without_a_name_has_none_before_its_start() -> None:
    """Refs to its actors can be printed and compared all the same."""
    system = client()
    ref = await system.spawn(Counter, name="x")
    assert system.node_id is None
    assert str(ref) == "x"
    assert ref == await system.lookup("x")
    assert not system.peers
    async with system:
        assert ref.node_id == str(system.listen)
        assert str(ref) == f"x on node {system.listen}"
