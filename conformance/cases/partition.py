"""Live clusters whose network is cut: between groups, in one direction, so that no two see the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from conformance._protocol import APPEND_ENTRIES_REQ, APPEND_ENTRIES_RES
from conformance.case import Harm, Layer, case
from conformance.verdict import Unmet
from conformance.wire.describe import summary

if TYPE_CHECKING:
    from conformance.cluster import Cluster
    from conformance.peer.client import Client
    from conformance.stage import Stage


async def silent(client: Client, *asks: int) -> None:
    """Raises `Unmet` if one of these asks of `$kv` has been answered with success."""
    await client.line.ping()
    for heard in client.line.inbox.all:
        if heard.message.kind != "ASK_RES" or heard["id"] not in asks:
            continue
        match heard.get("value"):
            case {"ok": True}:
                raise heard.unmet("no success without a majority (COMMIT-1)", summary(heard.message), "value")
            case _:
                pass


async def answers(cluster: Cluster, node: str, term: int) -> None:
    """Returns when this node has answered an AppendEntries, of this term at least, that is yet to come."""
    since = cluster.wires.now  # the answer may be on the wire before this coroutine has its turn again
    asked = await cluster.wires.frame(
        f"AppendEntries to {node} in term {term}",
        lambda seen: seen.target == node and seen.said["term"] >= term,
        APPEND_ENTRIES_REQ,
        since=since,
    )
    await cluster.wires.frame(
        f"{node} to answer the AppendEntries of {asked.source} in term {asked.said['term']}",
        lambda seen: (seen.source, seen.target, seen.said["seq"]) == (node, asked.source, asked.said["seq"]),
        APPEND_ENTRIES_RES,
        since=since,
    )


@case("C-06", "COMMIT-1", "APPEND-3", "COMMIT-4", layer=Layer.LIVE, seconds=120)
async def leader_in_the_minority_commits_nothing(stage: Stage) -> None:
    """A leader that is cut off acknowledges nothing, and what it took alone is gone in the end.

    given: three nodes and four clients at work
    when: the leader is cut off, and asked to put values; another is elected; the cut is healed
    expect: no success for what the old leader was asked; none of it is there at the end
    why: two leaders that both say yes are two clusters
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress()
        _, leader = await cluster.leader()
        client = await cluster.client(leader)
        cluster.network.partition([leader], cluster.others(leader))
        asks = [client.send_ask("$kv", {"op": "put", "key": f"lost{at}", "value": at}) for at in range(5)]
        await cluster.leader(besides=[leader])
        await work.progress()
        await silent(client, *asks)
        cluster.network.heal()
        await cluster.wires.leader(followers=2)
        await work.progress()
    for at in range(5):
        if (found := (await cluster.get(f"lost{at}")).value) is not None:
            raise Unmet(f"nothing under lost{at}, which no majority had", repr(found))
    await cluster.conclude(work)


@case("C-07", "COMMIT-1", "FORM-3", layer=Layer.LIVE, seconds=180)
async def majority_is_of_the_members(stage: Stage) -> None:
    """Two of five commit nothing, however alone they are; three do.

    given: five nodes, three of which are killed
    when: both that are left are asked to put values, and campaign in vain; then one comes back
    expect: no success and no election of two; success with three
    why: a majority of those who happen to be connected is no majority
    """
    cluster = await stage.cluster(5)
    await cluster.put("before", 1)
    left = stage.rng.sample(cluster.names, 2)
    dead = cluster.others(*left)
    await cluster.kill(*dead)
    clients = [await cluster.client(name) for name in left]
    asks = [client.send_ask("$kv", {"op": "put", "key": "alone", "value": 1}) for client in clients]
    await cluster.campaign_in_vain(*left)
    for client, ask in zip(clients, asks, strict=True):
        await silent(client, ask)
    await cluster.start(dead[0])
    await cluster.put("after", 2)
    await cluster.agree()


@case("C-08", "COMMIT-1", "PREVOTE-2", layer=Layer.LIVE, seconds=240)
async def bridges_and_rings(stage: Stage) -> None:
    """Networks in which nodes see different others stay safe, and are used where a majority sees one of them.

    given: five nodes and four clients at work
    when: two pairs see each other only through the fifth; then each sees its two neighbours in a ring only
    expect: the work goes on in both; nothing is missing in the end
    why: such networks elect, and depose, without end, or believe in two majorities
    """
    cluster = await stage.cluster(5)
    a, b, _, d, e = stage.rng.sample(cluster.names, 5)
    ring = stage.rng.sample(cluster.names, 5)
    async with cluster.work() as work:
        await work.progress(10)
        cluster.network.partition([a, b], [d, e])
        await work.progress()
        cluster.network.heal()
        for at, name in enumerate(ring):
            cluster.network.partition([name], [ring[(at + 2) % 5]])
        await work.progress()
        cluster.network.heal()
        await work.progress(10)
    await cluster.conclude(work)


@case("C-09", "LEADER-4", "COMMIT-1", layer=Layer.LIVE, harm=Harm.LIVENESS, seconds=120)
async def deaf_leader_steps_down(stage: Stage) -> None:
    """A leader that is heard but hears nothing gives up, so that another can lead.

    given: three nodes; nothing reaches the leader from the others, but they hear its heartbeats
    when: it is asked to put a value; clients work
    expect: no success from it; another leads; the work goes on
    why: its heartbeats would keep everybody from electing one who can commit
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress()
        _, leader = await cluster.leader()
        client = await cluster.client(leader)
        cluster.lose(cluster.others(leader), [leader])
        ask = client.send_ask("$kv", {"op": "put", "key": "unheard", "value": 1})
        await cluster.leader(besides=[leader])
        await silent(client, ask)
        await work.progress()
        await silent(client, ask)
        cluster.network.heal()
        await work.progress()
    await cluster.conclude(work)


@case("C-10", "TERM-1", "ELECT-1", layer=Layer.LIVE, harm=Harm.LIVENESS, seconds=120)
async def mute_leader_follows_its_successor(stage: Stage) -> None:
    """A leader that hears but is not heard follows the one that the others elect.

    given: three nodes; nothing that the leader sends reaches the others
    when: they elect another
    expect: it answers the new leader's AppendEntries in the new term, and sends none of its own any more
    why: an old leader that goes on leads nobody, and answers clients
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress()
        _, leader = await cluster.leader()
        cluster.lose([leader], cluster.others(leader))
        term, _ = await cluster.leader(besides=[leader])
        await answers(cluster, leader, term)
        await answers(cluster, leader, term)  # now nothing of before is on its way on another connection
        since = cluster.wires.now
        await work.progress()
        for seen in cluster.wires.frames(APPEND_ENTRIES_REQ, since=since):
            if seen.source == leader and seen.said["term"] < term:
                raise seen.unmet(f"no AppendEntries of {leader} in a term before {term}")
        cluster.network.heal()
        await work.progress()
    await cluster.conclude(work)


@case("C-11", "PREVOTE-1", "PREVOTE-2", layer=Layer.LIVE, harm=Harm.LIVENESS, seconds=120)
async def deaf_follower_deposes_nobody(stage: Stage) -> None:
    """A follower that hears nothing asks for pre-votes for ever and disturbs nobody.

    given: three nodes and four clients at work; nothing reaches one follower, but it is heard
    when: it has asked for pre-votes in five rounds
    expect: it never asks for votes; the work goes on all the time
    why: its terms would depose every leader
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress()
        _, leader = await cluster.leader()
        follower = stage.rng.choice(cluster.others(leader))
        cluster.lose(cluster.others(follower), [follower])
        await asyncio.gather(cluster.campaign_in_vain(follower, rounds=4), work.progress())
        cluster.network.heal()
        await work.progress()
    await cluster.conclude(work)
