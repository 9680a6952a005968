"""Live clusters that lose nodes: killed, stopped, started again, under the load of clients.

Every case ends with what `Cluster.conclude` demands: commands succeed, the states of all nodes agree, what was
acknowledged is there, and one dictionary explains every answer. The ids C-22, M-14 and S-13 are kept for the
extensions `reads` and `sessions`.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Final

from conformance._protocol import APPEND_ENTRIES_REQ, INSTALL_SNAPSHOT_RES, VOTE_REQUEST
from conformance.case import Harm, Layer, case
from conformance.history.client import Client as Hand
from conformance.stage import CLUSTER_MS
from conformance.verdict import Unmet, Unplayable

if TYPE_CHECKING:
    from conformance.history.operation import Operation
    from conformance.stage import Stage

QUIET_MS: Final = 1500
"""The election timeout of clusters of which a case asserts that nobody is elected."""
LOOKING: Final = ("introspect", "snapshot")


@case("C-01", "ELECT-1", "LEADER-1", layer=Layer.LIVE, harm=Harm.LIVENESS, tags=("timing",))
async def one_leader_stays(stage: Stage) -> None:
    """Without faults, the leader that was elected goes on leading in its term.

    given: three nodes with an election timeout of 1.5 s that have elected a leader
    when: six seconds of heartbeats pass
    expect: nobody asks for votes; the same leader, in the same term
    why: each election is a time without service
    """
    cluster = await stage.cluster(election_ms=QUIET_MS, heartbeat_ms=100)
    reign = await cluster.wires.leader(followers=2)
    since = cluster.wires.now
    await cluster.wires.pass_by(2 * 60, APPEND_ENTRIES_REQ)
    for seen in cluster.wires.frames(VOTE_REQUEST, since=since):
        raise seen.unmet("no election without a fault")
    if (after := await cluster.leader()) != reign:
        raise Unmet(f"{reign.leader} to lead on in term {reign.term}", f"{after.leader} in term {after.term}")


@case("C-02", "ELECT-1", "COMMIT-1", "COMMIT-4", "KV-2", layer=Layer.LIVE, seconds=120)
async def killed_leader_loses_nothing(stage: Stage) -> None:
    """A leader is killed under load: another takes over, and no acknowledged command is lost.

    given: three nodes and four clients at work
    when: the leader is killed, and started again once others have gone on
    expect: a new leader; the work goes on; nothing that was acknowledged is missing
    why: this is what a replicated log is for
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress()
        _, leader = await cluster.leader()
        await cluster.kill(leader)
        await cluster.leader()
        await work.progress()
        await cluster.start(leader)
        await work.progress()
    await cluster.conclude(work)


@case("C-03", "APPEND-2", "COMMIT-1", "COMMIT-3", "LEADER-7", layer=Layer.LIVE, seconds=120)
async def killed_follower_catches_up(stage: Stage) -> None:
    """A follower that was killed catches up after its restart, to the same state as the others.

    given: three nodes and four clients at work
    when: a follower is killed, misses commands, and is started again
    expect: equal states, once all have applied the same
    why: a follower that is not what the others are loses data when it leads
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress()
        _, leader = await cluster.leader()
        follower = stage.rng.choice(cluster.others(leader))
        await cluster.kill(follower)
        await work.progress(40)
        await cluster.start(follower)
        await work.progress()
    await cluster.conclude(work)


@case("C-04", "PERSIST-1", "COMMIT-3", layer=Layer.LIVE, harm=Harm.DURABILITY, seconds=120)
async def all_killed_at_once_lose_nothing(stage: Stage) -> None:
    """All nodes are killed at once and started again: what was acknowledged is there.

    given: three nodes and four clients at work
    when: `kill -9` for all three, and a start of all three
    expect: the work goes on; nothing that was acknowledged is missing
    why: a power cut takes all of them
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress(40)
        await cluster.restart()
        await work.progress()
    await cluster.conclude(work)


@case("C-05", "PERSIST-1", "ELECT-3", layer=Layer.LIVE, seconds=180)
async def rolling_kills(stage: Stage) -> None:
    """Five nodes are killed one after the other, each started again while the next is down.

    given: five nodes and four clients at work
    when: one after the other is killed, in an order of chance; each starts again when the next has gone and the
        three that are left have gone on without both
    expect: the work goes on all the time; nothing is missing
    why: every restart for a new version is like this
    """
    cluster = await stage.cluster(5)
    order = stage.rng.sample(cluster.names, 5)
    async with cluster.work() as work:
        await work.progress(10)
        await cluster.kill(order[0])
        for before, name in pairwise(order):
            await cluster.kill(name)
            await work.progress(5)  # a majority of five is three: who asks for four waits for `before`
            await asyncio.gather(cluster.start(before), work.progress(5))
        await cluster.start(order[-1])
        await work.progress(5)
    await cluster.conclude(work)


@case("C-25", "VOTE-3", "APPEND-3", "PERSIST-1", layer=Layer.LIVE, seconds=120)
async def cut_off_leader_comes_back_with_one_other(stage: Stage) -> None:
    """A leader is cut off, all are killed, and only it and one who went on without it come back.

    given: three nodes; the leader is cut off and takes commands that it cannot commit; the others go on
    when: all are killed; the old leader and one of the others start
    expect: what the majority acknowledged is there; what the old leader took alone is not
    why: the longer log may be the wrong one
    """
    cluster = await stage.cluster()
    await cluster.put("before", 1)
    _, leader = await cluster.leader()
    client = await cluster.client(leader)
    cluster.network.partition([leader], cluster.others(leader))
    since = cluster.wires.now
    for number in range(8):
        client.send_ask("$kv", {"op": "put", "key": f"alone{number}", "value": number})
    await cluster.leader(besides=[leader], since=since)
    await cluster.put("after", 2)
    await cluster.kill()
    cluster.network.heal()
    other = stage.rng.choice(cluster.others(leader))
    await cluster.start(leader, other)
    for key, value in (("before", 1), ("after", 2), *((f"alone{number}", None) for number in range(8))):
        if (found := (await cluster.get(key)).value) != value:
            raise Unmet(f"{key} to be {value!r}", repr(found))
    await cluster.agree()


@case("C-12", "LEADER-4", "COMMIT-4", "TERM-1", layer=Layer.LIVE, seconds=120)
async def stopped_leader_answers_nothing_stale(stage: Stage) -> None:
    """A leader that was stopped and wakes up after its successor was elected gives no stale answer.

    given: x is 1; the leader is stopped (SIGSTOP), a get and a put of x wait before it
    when: another leads and x is set to 2; the old leader goes on (SIGCONT)
    expect: the get is not answered with 1; the put is no success in the old term
    why: the process did not notice that it slept (etcd issue 20418)
    hint: nothing is answered before a majority has been heard since the question came
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await cluster.put("x", 1)
        term, leader = await cluster.leader()
        client = await cluster.client(leader)
        cluster.pause(leader)
        read = client.send_ask("$kv", {"op": "get", "key": "x"})
        write = client.send_ask("$kv", {"op": "put", "key": "x", "value": 3})
        await cluster.leader(besides=[leader])
        await cluster.put("x", 2)
        cluster.resume(leader)
        answer = await client.kv_answer(read)
        if answer["ok"] and answer["value"] == 1:
            raise Unmet("no answer, or one that is not 1", repr(answer))
        answer = await client.kv_answer(write)
        if answer["ok"] and answer["term"] == term:
            raise Unmet(f"no success in term {term}, which is over", repr(answer))
        await work.progress()
    await cluster.conclude(work)


@case("C-13", "LEADER-4", "ELECT-1", layer=Layer.LIVE, harm=Harm.LIVENESS, seconds=120)
async def stopped_majority_recovers(stage: Stage) -> None:
    """A majority that was stopped and goes on makes a working cluster again.

    given: three nodes and four clients at work
    when: the leader and a follower are stopped for three election timeouts; then both go on
    expect: the work goes on, and nothing is missing
    why: machines are suspended, and moved
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress()
        _, leader = await cluster.leader()
        alone, other = stage.rng.sample(cluster.others(leader), 2)
        clock = await cluster.client(alone)
        cluster.pause(leader, other)
        await clock.value("$sleep", 3 * CLUSTER_MS / 1000 * stage.settings.scale)
        cluster.resume(leader, other)
        await work.progress()
    await cluster.conclude(work)


@case("C-23", "COMMIT-3", "COMMIT-4", "KV-2", layer=Layer.LIVE, seconds=120)
async def counts_stay_within_their_bounds(stage: Stage) -> None:
    """A counter is at least what was acknowledged, and at most that and what is uncertain.

    given: three nodes and four clients who count
    when: the leader is killed, twice, and started again
    expect: acknowledged ≤ count ≤ acknowledged + uncertain
    why: each increment has one effect or none; only those who do not know which may say so
    """
    cluster = await stage.cluster()
    counted: list[Operation] = []
    over = asyncio.Event()

    async def count(number: int) -> None:
        chance = Random(f"{seed} {number}")
        hand = Hand(number, cluster.addresses, stage.trace.now, chance, attempt_seconds=stage.scaled(1.0))
        while not over.is_set():
            counted.append(await hand.run("incr", "n", 1))
        await hand.close()

    seed = stage.rng.random()
    async with asyncio.TaskGroup() as group:
        for number in range(1, 5):
            group.create_task(count(number))
        for _ in range(2):
            await cluster.put("mark", len(counted))
            _, leader = await cluster.leader()
            await cluster.kill(leader)
            await cluster.leader()
            await cluster.start(leader)
        await cluster.put("mark", len(counted))
        over.set()
    outcomes = [done.outcome for done in counted]
    least, most = outcomes.count("ok"), len(outcomes) - outcomes.count("failed")
    total = (await cluster.get("n")).value or 0
    stage.note(f"{least} acknowledged, {most - least} uncertain, {total} in all")
    if not 0 < least <= total <= most:
        raise Unmet(f"a count of {least} to {most}, and more than 0", f"{total}")
    await cluster.agree()


@case("C-24", "KV-4", "FORM-3", "COMMIT-1", layer=Layer.LIVE, harm=Harm.PROTOCOL, seconds=180)
async def one_stranger_among_two(stage: Stage) -> None:
    """Two nodes under test and one of another implementation are one cluster.

    given: n1 and n2 under test, n3 of the reference; four clients at work
    when: the leader is killed and started again, twice
    expect: the work goes on; nothing is missing; the states agree
    why: a protocol is what two who never met make of it
    """
    await _mixed(stage, "n3")


@case("C-27", "KV-4", "FORM-3", "COMMIT-1", layer=Layer.LIVE, harm=Harm.PROTOCOL, seconds=180)
async def one_among_two_strangers(stage: Stage) -> None:
    """One node under test and two of another implementation are one cluster.

    given: n1 under test, n2 and n3 of the reference; four clients at work
    when: the leader is killed and started again, twice
    expect: the work goes on; nothing is missing; the states agree
    why: it must follow strangers, too, and get along with what they elect
    """
    await _mixed(stage, "n2", "n3")


async def _mixed(stage: Stage, *strangers: str) -> None:
    reference = stage.settings.reference
    if not reference:
        raise Unplayable("no other implementation was named as the reference")
    cluster = await stage.cluster(commands=dict.fromkeys(strangers, reference))
    async with cluster.work() as work:
        for _ in range(2):
            await work.progress()
            _, leader = await cluster.leader()
            await cluster.kill(leader)
            await cluster.leader()
            await cluster.start(leader)
        await work.progress()
    await cluster.conclude(work)


@case("C-21", "SNAP-8", "SNAP-9", "COMMIT-3", layer=Layer.LIVE, capabilities=LOOKING, seconds=120)
async def laggard_gets_a_snapshot_while_leaders_change(stage: Stage) -> None:
    """A node that is far behind is caught up by a snapshot, though the leader dies over it.

    given: three nodes; one is down while the others work and compact their logs
    when: it starts, and the leader is killed and started again
    expect: the snapshot is installed; the work goes on with it; the states agree
    why: a transfer that begins anew with each leader must end, and one that is cut must leave nothing half
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress()
        _, leader = await cluster.leader()
        behind = stage.rng.choice(cluster.others(leader))
        await cluster.kill(behind)
        await work.progress(40)
        for name in cluster.others(behind):
            if not (await cluster.raft(name, "snapshot"))["ok"]:
                raise Unmet(f"$raft snapshot of {name} to compact its log", "ok false")
        since = cluster.wires.now
        _, leader = await cluster.leader()
        await cluster.start(behind)
        await cluster.kill(leader)
        await work.progress(5)
        await cluster.start(leader)
        await cluster.wires.frame(
            f"the snapshot to be installed by {behind} (SNAP-8)",
            lambda seen: seen.source == behind and seen.said["installed"],
            INSTALL_SNAPSHOT_RES,
            since=since,
        )
        await work.progress()
    await cluster.conclude(work)


@case("P-21", "LAUNCH-4", "PERSIST-1", "COMMIT-3", layer=Layer.LIVE, harm=Harm.DURABILITY, seconds=120)
async def told_to_end_under_load(stage: Stage) -> None:
    """Told to end under load, a node ends with status 0, and comes back as the server it was.

    given: three nodes and four clients at work
    when: one after the other, the leader first, gets SIGTERM and is started again
    expect: exit status 0 each time; the work goes on; nothing is missing
    why: this is how every service is stopped
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        await work.progress()
        _, leader = await cluster.leader()
        for name in (leader, *cluster.others(leader)):
            cluster.network.serve(name, None)
            if (status := await cluster.nodes[name].terminate(stage.patience)) != 0:
                raise Unmet(f"exit status 0 of {name} after SIGTERM", f"{status}")
            await work.progress(10)
            await cluster.start(name)
        await work.progress(10)
    await cluster.conclude(work)


@case("P-23", "PERSIST-1", "PERSIST-2", layer=Layer.LIVE, harm=Harm.DURABILITY, seconds=180)
async def killed_again_and_again(stage: Stage) -> None:
    """Nodes that are killed again and again keep every promise.

    given: three nodes that compact their logs every 25 entries, and four clients at work
    when: six times, a node of chance is killed and started again at once
    expect: the work goes on; nothing is missing; no invariant of the wires is broken
    why: each kill meets the disk in another place
    """
    cluster = await stage.cluster(snapshot_every=25)
    async with cluster.work() as work:
        for _ in range(6):
            await work.progress(stage.rng.randint(1, 12))
            await cluster.restart(stage.rng.choice(cluster.names))
        await work.progress()
    await cluster.conclude(work)
