"""Who belongs to a cluster, and with how many it goes on."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest

from casty import CommitUncertainError, SystemStoppedError
from tests.cluster.actors import Echo
from tests.cluster.harness import Recorder, append, cluster, durable, meshed, node, others, until, within

if TYPE_CHECKING:
    from pathlib import Path


async def test_wait_ready_waits_for_the_cluster_to_form() -> None:
    """FORM-6: entry 1 is committed; with a bound it raises TimeoutError, and at the end it is told."""
    async with node(node_id="a") as a:
        with pytest.raises(TimeoutError):
            await a.wait_ready(0.01)
        assert not a.ready_waiters
        waiting = asyncio.create_task(a.wait_ready())
        async with node(a, node_id="b"):
            assert not waiting.done()
            async with node(a, node_id="c"):
                await within(waiting)
                await a.wait_ready()

    async with node(node_id="a") as a:
        waiting = asyncio.create_task(a.wait_ready())
        await asyncio.sleep(0)
    with pytest.raises(SystemStoppedError):
        await within(waiting)


async def test_two_nodes_need_both() -> None:
    """FORM-3, COMMIT-1."""
    async with cluster(2) as nodes:
        leader = await append(nodes, "x")
        await others(nodes, leader)[0].shutdown()
        with pytest.raises(CommitUncertainError):
            await leader.append_command("y", timeout=0.05)


async def test_the_cluster_goes_on_without_one_of_three() -> None:
    """COMMIT-1, ELECT-1: a new leader is elected, and what was committed stays."""
    async with cluster() as nodes:
        machines = [Recorder(each) for each in nodes]
        leader = await append(nodes, "before")
        await leader.shutdown()
        left = others(nodes, leader)
        await append(left, "after")
        kept = [machine for each, machine in zip(nodes, machines, strict=True) if each in left]
        await until(lambda: all(machine.commands == ["before", "after"] for machine in kept))


async def test_an_extra_node_hosts_actors_and_holds_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """FORM-10: a node that came after the cluster formed, though it would be a member."""
    async with cluster() as nodes, node(nodes[0], node_id="extra") as extra:
        await meshed(*nodes, extra)
        await extra.spawn(Echo, name="echo")
        assert await (await nodes[1].lookup("echo")).ask("hi") == "hi"
        leader = await append(nodes, "x")
        assert not extra.is_leader
        assert extra.commit_index == 0
        assert await extra.append_command("y") is False
        assert leader.commit_index == 2


async def test_a_fourth_node_before_formation_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """FORM-4, FORM-11: nobody forms a cluster of three with four; without the fourth it forms."""
    four = [node(node_id=name, size=3) for name in "dabc"]
    async with four[0] as d, node(d, node_id="a") as a, node(d, node_id="b") as b:
        # Members that are not connected yet cannot form; a fourth id among three blocks.
        await meshed(a, b, d)
        await within(a.wait_ready())
    async with node(node_id="a", size=2) as a:  # noqa: SIM117 (reads in the order it happens)
        async with node(a, node_id="b", size=2, election_timeout=5.0) as b:
            async with node(a, node_id="c", size=2, election_timeout=5.0) as c:
                await meshed(a, b, c)
                await until(lambda: "cannot form a cluster of 2" in caplog.text)
                assert all(f"{name}/" in caplog.text for name in "abc")


async def test_who_lost_its_disk_is_a_learner(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """FORM-9, FORM-1: it gets the log and applies it, never leads, and one warning says so."""
    async with cluster(each=durable(tmp_path)) as nodes:
        leader = await append(nodes, 1)
        lost = others(nodes, leader)[0]
        name = lost.identity.node_id
        await lost.shutdown()
        shutil.rmtree(tmp_path / name)
        back = node(leader, node_id=name, persistence_dir=tmp_path / name)
        machine = Recorder(back)
        async with back:
            await until(lambda: machine.commands == [1])
            assert await leader.append_command(2)
            await until(lambda: machine.commands == [1, 2])
            assert not back.is_leader
            assert back.raft is not None
            assert back.raft.status().standing == "learner"
    assert "is a learner" in caplog.text
