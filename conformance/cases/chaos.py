"""Live clusters in bad weather: frames late, lost, doubled, slow; disks slow or full; everything at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final

from conformance._protocol import VOTE_REQUEST
from conformance.case import Harm, Layer, case
from conformance.node.disk import SmallDisk, slow, traced
from conformance.node.means import missing
from conformance.proxy.faults import Delay, Drop, Duplicate, Fault, Hold, Throttle
from conformance.verdict import Unmet
from conformance.witness import RAFT
from conformance.work import LOAD

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from conformance.cluster import Cluster
    from conformance.stage import Stage

NIGHTLY: Final = ("nightly",)
LONG_LOAD: Final = replace(LOAD, operations_per_key=40)
"""Where leaders die all the time, many outcomes are unknown: on many keys, there are few of them on each."""


@case("C-14", "ELECT-1", "LEADER-1", layer=Layer.LIVE, harm=Harm.LIVENESS, seconds=180)
async def jitter_stops_nobody(stage: Stage) -> None:
    """Frames that come up to 0.3 s late, each another time, stop nobody whose timeout allows for it.

    given: three nodes with an election timeout of 1.5 s and four clients at work
    when: every frame of Raft is delayed by 0 to 0.3 s
    expect: the work goes on, nobody asks for votes, and nothing is missing
    why: this is the network between two cities
    """
    cluster = await stage.cluster(election_ms=1500, heartbeat_ms=150)
    async with cluster.work() as work:
        await work.progress()
        await cluster.wires.leader(followers=2)
        since = cluster.wires.now
        cluster.network.add(Fault(Delay(0.0, 0.3), kinds=RAFT))
        await work.progress(25)
        cluster.network.heal()
        await work.progress(5)
        for seen in cluster.wires.frames(VOTE_REQUEST, since=since):
            raise seen.unmet("no election because frames come late")
    await cluster.conclude(work)


@case("C-15", "LEADER-7", "PEER-2", "TERM-3", layer=Layer.LIVE, seconds=180)
async def lost_frames_and_cut_connections(stage: Stage) -> None:
    """One frame in ten is lost, and connections are cut again and again: nothing is lost for good.

    given: three nodes and four clients at work
    when: 10 % of Raft's frames are lost, and eight times, with frames between, the leader and a follower are
        cut apart while what it sent is on its way, and then two nodes of chance
    expect: nothing is missing; the work goes on once that is over
    why: a cut loses what was sent; who takes it for delivered leaves a gap
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress()
        cluster.network.add(Fault(Drop(), kinds=RAFT, probability=0.1))
        for _ in range(8):
            _, leader = await cluster.leader()
            follower = stage.rng.choice(cluster.others(leader))
            under_way = Fault(Hold(), leader, follower, kinds=RAFT)
            cluster.network.add(under_way)
            await cluster.wires.pass_by(stage.rng.randint(10, 40))
            await cluster.network.reset(leader, follower)
            cluster.network.remove(under_way)
            await cluster.network.reset(*stage.rng.sample(cluster.names, 2))
        cluster.network.heal()
        await work.progress()
    await cluster.conclude(work)


@case("C-16", "TERM-3", "APPEND-3", "LEADER-6", "PEER-7", layer=Layer.LIVE, seconds=180)
async def doubled_and_late_frames(stage: Stage) -> None:
    """Frames that come twice, or on a connection that its sender has given up, do no harm.

    given: three nodes and four clients at work; 30 % of Raft's frames come twice
    when: six times, what one node sends another is held, its connections are cut, and what was held arrives
    expect: the work goes on; nothing is missing
    why: what is late belongs to another term, or another round
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress()
        doubled = Fault(Duplicate(), kinds=RAFT, probability=0.3)
        cluster.network.add(doubled)
        for _ in range(6):
            source, target = stage.rng.sample(cluster.names, 2)
            held = Fault(Hold(), source, target, kinds=RAFT)
            cluster.network.add(held)
            await cluster.wires.pass_by(stage.rng.randint(5, 30))
            await cluster.network.cut(source, target)
            await cluster.network.release(held)
            cluster.network.remove(held)
            await work.progress(5)
        cluster.network.remove(doubled)
        await work.progress()
    await cluster.conclude(work)


@case("C-17", "COMMIT-1", "APPEND-4", layer=Layer.LIVE, harm=Harm.LIVENESS, seconds=120)
async def slow_link_holds_up_nobody_else(stage: Stage) -> None:
    """A follower behind a very slow link holds up nobody but itself.

    given: three nodes and four clients at work
    when: what the leader sends one follower trickles at 20 bytes a second
    expect: the work goes on; when the link is good again, the follower catches up
    why: a leader that waits for all is as slow as the slowest
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress()
        _, leader = await cluster.leader()
        follower = stage.rng.choice(cluster.others(leader))
        cluster.network.add(Fault(Throttle(20), leader, follower))
        await work.progress(60)  # which would trickle for minutes
        cluster.network.heal()
        await cluster.network.reset(leader, follower)  # what waits would trickle on
        await cluster.wires.leader(followers=2)
        await work.progress(5)
    await cluster.conclude(work)


@case("C-18", "COMMIT-2", "LEADER-1", layer=Layer.LIVE, harm=Harm.LIVENESS, tools=("strace",), seconds=120)
async def slow_disk_of_a_leader(stage: Stage) -> None:
    """A leader whose disk is slow, and any that comes after it, goes on committing.

    given: three nodes and four clients at work
    when: each sync of the leader takes 0.2 s longer
    expect: the work goes on; nothing is missing
    why: a disk that is slow now and then must not end the service
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress()
        _, leader = await cluster.leader()
        async with traced(cluster.nodes[leader], *slow(0.2)):
            await work.progress(10)
        await work.progress(5)
    await cluster.conclude(work)


@case("C-26", "PERSIST-4", "COMMIT-1", layer=Layer.LIVE, harm=Harm.DURABILITY, tools=("tmpfs",), seconds=180)
async def full_disk_ends_one_node_only(stage: Stage) -> None:
    """A node whose disk is full ends; the others go on.

    given: three nodes; the disk of one has 4 MiB
    when: clients put values of 300,000 bytes until it ends by itself, with status 74
    expect: the work of the others goes on; nothing is missing
    why: a node that goes on without its disk acknowledges what it does not have
    """
    cluster = await stage.cluster(is_started=False)
    small = stage.rng.choice(cluster.names)
    node = cluster.nodes[small]
    disk = await SmallDisk.make(stage.folder / "small", "4m")
    stage.closing.push_async_callback(disk.close)
    node.launch, node.under = replace(node.launch, data_dir=str(disk.place / "data")), disk.under
    await cluster.start()
    ending = asyncio.create_task(node.exited(cluster.patience))
    async with cluster.work() as work:
        await work.progress(5)
        while not ending.done():
            await cluster.put("large", bytes(300_000))
        if (status := await ending) != 74:
            raise Unmet(f"exit status 74 of {small}, whose disk is full", f"{status}")
        cluster.network.serve(small, None)
        await work.progress()
    await cluster.conclude(work)


@case("C-19", "VOTE-3", "COMMIT-1", "PERSIST-1", layer=Layer.LIVE, tags=NIGHTLY, seconds=1800)
async def figure_eight_churn(stage: Stage) -> None:
    """Leaders die all the time, most of them before they have committed what they took (Figure 8).

    given: five nodes that compact their logs every 50 entries, and four clients at work
    when: 200 times, the leader is killed after a while of chance, and one that is down starts again
    expect: the work goes on in the end; nothing is missing
    why: entries of many terms, on many different subsets of nodes, are where commit rules go wrong
    """
    cluster = await stage.cluster(5, snapshot_every=50)
    down: list[str] = []
    async with cluster.work(LONG_LOAD) as work:
        for _ in range(200):
            _, leader = await cluster.leader()
            await cluster.wires.pass_by(stage.rng.randint(1, 60))
            await cluster.kill(leader)
            down.append(leader)
            if len(down) == 2:
                await cluster.start(down.pop(stage.rng.randrange(2)))
        await cluster.start(*down)
        await work.progress()
    await cluster.conclude(work)


@case("C-20", "COMMIT-1", "PERSIST-1", "PEER-2", layer=Layer.LIVE, tags=NIGHTLY, seconds=900)
async def swarm(stage: Stage) -> None:
    """Everything goes wrong at once; when it is over, the cluster works within a bound.

    given: five nodes that compact their logs every 40 entries, and five clients at work
    when: for a minute, nodes of chance are killed, stopped and cut off, and frames lost, late and doubled
    expect: after all is healed, the work goes on; nothing is missing
    why: faults come together, and each of them hides another
    """
    cluster = await stage.cluster(5, snapshot_every=40)
    victims: set[str] = set()

    async def misfortunes(until: float, chance: Random) -> None:
        while stage.trace.now() < until:
            victim = chance.choice(sorted(set(cluster.names) - victims))
            victims.add(victim)
            async with misfortune(cluster, victim, chance):
                await cluster.wires.pass_by(chance.randint(20, 300))
            victims.remove(victim)

    async with cluster.work(replace(LONG_LOAD, clients=5)) as work:
        await work.progress()  # formation needs all of them
        until = stage.trace.now() + 60
        tasks = [asyncio.create_task(misfortunes(until, Random(stage.rng.random()))) for _ in range(2)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await work.progress()
    await cluster.conclude(work)


@asynccontextmanager
async def misfortune(cluster: Cluster, victim: str, chance: Random) -> AsyncGenerator[None]:
    """Something bad, drawn by chance, that happens to one node for as long as the block lasts."""
    kinds = ["killed", "stopped", "cut off", "deaf", "mute", "wet", "reset"]
    kinds += ["slow disk"] if not missing(frozenset({"strace"})) else []
    async with AsyncExitStack() as over:
        match chance.choice(kinds):
            case "killed":
                await cluster.kill(victim)
                over.push_async_callback(cluster.start, victim)
            case "stopped":
                cluster.pause(victim)
                over.callback(cluster.resume, victim)
            case "slow disk":
                await over.enter_async_context(traced(cluster.nodes[victim], *slow(chance.uniform(0.01, 0.3))))
            case "reset":
                await cluster.network.reset(victim, chance.choice(cluster.others(victim)))
            case kind:
                for fault in bad_weather(cluster, victim, kind):
                    cluster.network.add(fault)
                    over.callback(cluster.network.remove, fault)
        yield


def bad_weather(cluster: Cluster, victim: str, kind: str) -> list[Fault]:
    """Faults between one node and all others."""
    ways = [(a, b) for other in cluster.others(victim) for a, b in ((victim, other), (other, victim))]
    match kind:
        case "mute":
            return [Fault(Drop(), a, b) for a, b in ways if a == victim]
        case "deaf":
            return [Fault(Drop(), a, b) for a, b in ways if b == victim]
        case "wet":
            return [
                Fault(action, a, b, kinds=RAFT, probability=0.1)
                for a, b in ways
                for action in (Drop(), Duplicate(), Delay(0.0, 0.05))
            ]
        case _:
            return [Fault(Drop(), a, b) for a, b in ways]
