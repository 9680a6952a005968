"""Live clusters that have much to do: long logs, large snapshots, and what they send and keep for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from conformance._protocol import (
    APPEND_ENTRIES_REQ,
    APPEND_ENTRIES_RES,
    BATCH_BYTES_MAX,
    CHUNK_BYTES_MAX,
    INSTALL_SNAPSHOT_REQ,
    INSTALL_SNAPSHOT_RES,
    VOTE_REQUEST,
)
from conformance.case import Harm, Layer, Level, case
from conformance.history.client import Client as Hand
from conformance.node.disk import files
from conformance.proxy.faults import Fault, Hold, Throttle
from conformance.verdict import Unmet

if TYPE_CHECKING:
    from conformance.cluster import Cluster
    from conformance.peer.client import Client
    from conformance.stage import Stage

LOOKING: Final = ("introspect", "snapshot")
NIGHTLY: Final = ("nightly",)
WINDOW: Final = 64
"""Asks that are open at a time."""


async def pour(cluster: Cluster, count: int, value: bytes, *, keys: int) -> None:
    """Puts a value so many times, over and over under a few keys, and many at a time.

    Raises `Unmet` where one is refused for good. One whose outcome is unknown is left at that.
    """
    left = count
    while left > 0:
        _, leader = await cluster.leader()
        client = await cluster.client(leader)
        while left > 0 and await _pour_window(client, min(WINDOW, left), value, keys):
            left -= WINDOW


async def _pour_window(client: Client, count: int, value: bytes, keys: int) -> bool:
    """Whether the node still led at the end of it."""
    puts = [{"op": "put", "key": f"k{at % keys}", "value": value} for at in range(count)]
    asks = [client.send_ask("$kv", put) for put in puts]
    answers = [await client.kv_answer(id) for id in asks]
    for answer in answers:
        if not answer["ok"] and answer["code"] not in ("not_leader", "uncertain"):
            raise Unmet("$kv to take a put", repr(answer))
    return all(answer["ok"] for answer in answers)


@case("R-27", "COMMIT-3", layer=Layer.LIVE, capabilities=("introspect",), seconds=120)
async def all_apply_the_same(stage: Stage) -> None:
    """Every node applies every entry once, in order: at equal indexes, states are equal.

    given: three nodes and four clients who add, append, and count
    when: the states are compared in the middle of the work, after a restart of each node, and at the end
    expect: wherever two nodes have applied as much, their states are equal
    why: replicas that differ are no replicas, and only time tells which one is asked
    """
    cluster = await stage.cluster()
    async with cluster.work() as work:
        for name in cluster.names:
            await work.progress(15)
            await cluster.note_digests()
            await cluster.restart(name)
        await work.progress()
        for _ in range(5):
            await cluster.note_digests()
    await cluster.conclude(work)


@case("R-30", "LEADER-1", level=Level.STRICT, layer=Layer.LIVE, harm=Harm.LIVENESS, seconds=120)
async def replication_is_thrifty(stage: Stage) -> None:
    """Each command is sent to each follower about once.

    given: three nodes
    when: ten commands of 50,000 bytes are put, one after the other
    expect: less than twice their bytes go to each follower
    why: what is sent twice halves what a network can carry
    """
    cluster = await stage.cluster()
    await cluster.wires.leader(followers=2)
    since = cluster.wires.now
    for number in range(10):
        await cluster.put(f"k{number}", bytes(50_000))
    await cluster.wires.pass_by(4, APPEND_ENTRIES_REQ)
    sent: Counter[str] = Counter()
    for seen in cluster.wires.frames(APPEND_ENTRIES_REQ, since=since):
        sent[seen.target] += sum(len(entry.data) for entry in seen.said["entries"])
    for name, size in sent.items():
        if size >= 2 * 10 * 50_000:
            raise Unmet(f"less than 1,000,000 bytes of entries to {name}", f"{size:,}")


@case("R-31", "LEADER-8", "APPEND-4", layer=Layer.LIVE, seconds=180)
async def long_logs_go_in_pieces(stage: Stage) -> None:
    """A follower that is far behind is caught up in requests that keep their limits.

    given: three nodes, one of which is down while 1,000 commands of 4,000 bytes are put
    when: it starts
    expect: it gets all; no request of more than one entry holds more than 1 MiB of them
    why: one request with everything is refused, or stops the heartbeats behind it
    """
    await _catch_up(stage, 1_000, 4_000)


@case("R-39", "LEADER-8", "APPEND-4", layer=Layer.LIVE, tags=NIGHTLY, seconds=900)
async def very_long_logs_go_in_pieces(stage: Stage) -> None:
    """A follower that is 50,000 entries behind is caught up in requests that keep their limits.

    given: three nodes, one of which is down while 50,000 commands of 400 bytes are put
    when: it starts
    expect: as R-31
    why: as R-31, for logs larger than a frame
    """
    await _catch_up(stage, 50_000, 400)


async def _catch_up(stage: Stage, count: int, size: int) -> None:
    cluster = await stage.cluster(election_ms=1000)
    await cluster.put("before", 1)
    behind = stage.rng.choice(cluster.names)
    await cluster.kill(behind)
    await pour(cluster, count, bytes(size), keys=4)
    last = (await cluster.put("after", 2)).index or 0
    since = cluster.wires.now
    await cluster.start(behind)
    await cluster.wires.frame(
        f"{behind} to acknowledge all entries up to {last}",
        lambda seen: seen.source == behind and seen.said["success"] and seen.said["match_index"] >= last,
        APPEND_ENTRIES_RES,
        since=since,
        seconds=cluster.patience + stage.scaled(count / 500),
    )
    for seen in cluster.wires.frames(APPEND_ENTRIES_REQ, since=since):
        sizes = [len(entry.data) for entry in seen.said["entries"]]
        if len(sizes) > 1 and sum(sizes) > BATCH_BYTES_MAX:
            raise Unmet(
                f"at most {BATCH_BYTES_MAX:,} bytes of entries", f"{len(sizes)} of {sum(sizes):,} bytes"
            )
    await cluster.agree()


@case("S-12", "SNAP-9", layer=Layer.LIVE, harm=Harm.LIVENESS, capabilities=LOOKING, seconds=180)
async def logs_stay_short(stage: Stage) -> None:
    """A node that is told to compacts its log by itself, again and again.

    given: three nodes that compact every 200 applied entries
    when: 3,000 commands are put
    expect: each node's snapshot is less than 600 entries old
    why: a log that only grows ends every service some day
    """
    cluster = await stage.cluster(snapshot_every=200, election_ms=1000)
    await pour(cluster, 3_000, bytes(100), keys=4)
    await cluster.agree()
    for name in cluster.names:
        status = await cluster.raft(name, "status")
        if status["snapshot_index"] < status["last_applied"] - 3 * 200:
            raise Unmet(f"{name} to have compacted its log every 200 entries", repr(status))


@case("S-19", "SNAP-9", layer=Layer.LIVE, harm=Harm.LIVENESS, capabilities=LOOKING, tags=NIGHTLY, seconds=900)
async def disks_do_not_fill_up(stage: Stage) -> None:
    """What is compacted away leaves the disk, too.

    given: a cluster of one that compacts every 20 applied entries
    when: 400 values of 250,000 bytes are put under one key, and 400 more
    expect: the second 100 MB take no 50 MB more on its disk
    why: as S-12; a log that nobody reads any more fills a disk as well
    """
    cluster = await stage.cluster(1, snapshot_every=20)
    await cluster.put("before", 1)
    past_the_trace = {"n1": cluster.nodes["n1"].address}
    hand = Hand(1, past_the_trace, stage.trace.now, stage.rng, size=1, attempt_seconds=stage.patience)
    sizes: list[int] = []
    for _ in range(2):
        for _ in range(400):
            await hand.run("put", "k", stage.rng.randbytes(250_000))
        sizes.append(sum(path.stat().st_size for path in files(cluster.nodes["n1"].launch.data_dir)))
    await hand.close()
    if sizes[1] - sizes[0] > 50_000_000:
        raise Unmet("no 50,000,000 bytes more on the disk", f"{sizes[0]:,} bytes, then {sizes[1]:,}")


@case("S-15", "SNAP-7", "SNAP-9", layer=Layer.LIVE, capabilities=LOOKING, seconds=180)
async def snapshots_never_go_back(stage: Stage) -> None:
    """A snapshot of its own that a node takes while it is sent one never makes an older of a newer.

    given: three nodes; one is cut off while the others work and compact their logs
    when: three times, the snapshot it is sent and the word to take one itself come to it at the same moment
    expect: its snapshot_index never falls, not over a restart either
    why: the log between an older snapshot and the present is gone (hashicorp/raft issue 248)
    """
    cluster = await stage.cluster()
    await cluster.put("before", 1)
    _, leader = await cluster.leader()
    behind = stage.rng.choice(cluster.others(leader))
    client = await cluster.client(behind)
    last = highest = 0
    async with cluster.work() as work:
        for _ in range(3):
            await work.progress(10)
            cluster.lose(cluster.others(behind), [behind])
            await work.progress(10)
            for name in cluster.others(behind):
                await cluster.raft(name, "snapshot")
            last = (await cluster.put("after", 2)).index or 0
            held = Fault(Hold(), target=behind, kinds=frozenset({INSTALL_SNAPSHOT_REQ}))
            cluster.network.heal()
            cluster.network.add(held)
            await cluster.wires.frame(
                f"the snapshot to be sent to {behind} (SNAP-8)",
                lambda seen: seen.target == behind,
                INSTALL_SNAPSHOT_REQ,
            )
            own = client.send_ask("$raft", {"op": "snapshot"})
            cluster.network.remove(held)
            await client.line.hear("ASK_RES", id=own)
            highest = await caught_up(cluster, behind, last, highest)
        await cluster.restart(behind)
        await caught_up(cluster, behind, last, highest)
    await cluster.conclude(work)


async def caught_up(cluster: Cluster, name: str, last: int, highest: int) -> int:
    """The index of a node's snapshot once it has applied `last`.

    Raises `Unmet` where that index is ever below `highest`, or below what it was before.
    """
    give_up = cluster.trace.now() + cluster.patience
    while True:
        status = await cluster.raft(name, "status")
        if status["snapshot_index"] < highest:
            raise Unmet(f"a snapshot of {name} up to {highest}, as before, or newer", repr(status))
        highest = status["snapshot_index"]
        if status["last_applied"] >= last:
            return highest
        if cluster.trace.now() > give_up:
            raise Unmet(f"{name} to apply entry {last} within {cluster.patience:.1f} s", repr(status))


@case("S-11", "SNAP-8", "SNAP-2", layer=Layer.LIVE, capabilities=LOOKING, tags=NIGHTLY, seconds=900)
async def large_snapshots_go_in_chunks(stage: Stage) -> None:
    """A snapshot of 64 MiB goes in chunks, with heartbeats between them, and costs no election.

    given: three nodes with an election timeout of 3 s and a state of 64 MiB; one was down meanwhile
    when: the others compact their logs, and it starts, behind a link that takes 16 MiB a second
    expect: chunks of at most 1 MiB, and heartbeats to the same node between them; nobody is elected
    why: a transfer that stops the heartbeats deposes the leader, and begins anew
    """
    cluster = await stage.cluster(election_ms=3000, heartbeat_ms=200)
    await cluster.put("before", 1)
    behind = (await cluster.leader()).leader
    await cluster.kill(behind)
    await cluster.leader()
    for number in range(64):
        await cluster.put(f"large{number}", stage.rng.randbytes(1 << 20))
    await asyncio.gather(*(cluster.raft(name, "snapshot") for name in cluster.others(behind)))
    slow = Throttle((16 << 20) / stage.settings.scale)  # four seconds in all, with twenty heartbeats
    cluster.network.add(Fault(slow, target=behind, kinds=frozenset({INSTALL_SNAPSHOT_REQ})))
    since = cluster.wires.now
    await cluster.start(behind)
    await cluster.wires.frame(
        "the snapshot to be installed (SNAP-8)",
        lambda seen: seen.source == behind and seen.said["installed"],
        INSTALL_SNAPSHOT_RES,
        since=since,
        seconds=stage.scaled(120),
    )
    for seen in cluster.wires.frames(INSTALL_SNAPSHOT_REQ, VOTE_REQUEST, since=since):
        if seen.record.frame.type == VOTE_REQUEST:
            raise seen.unmet("no election")
        if len(seen.said["data"]) > CHUNK_BYTES_MAX:
            raise Unmet(f"chunks of at most {CHUNK_BYTES_MAX:,} bytes", f"{len(seen.said['data']):,}")
    _expect_heartbeats(cluster, behind, since)
    await cluster.agree()


def _expect_heartbeats(cluster: Cluster, node: str, since: int) -> None:
    """Raises `Unmet` where this node was sent no heartbeat between the chunks of its snapshot.

    Those to others say nothing of a leader that has no word for the one it sends a snapshot.
    """
    sent = [
        seen.record.frame.type
        for seen in cluster.wires.frames(APPEND_ENTRIES_REQ, INSTALL_SNAPSHOT_REQ, since=since)
        if seen.target == node
    ]
    first, after = sent.index(INSTALL_SNAPSHOT_REQ), len(sent) - sent[::-1].index(INSTALL_SNAPSHOT_REQ)
    if APPEND_ENTRIES_REQ not in sent[first:after]:
        raise Unmet(f"heartbeats to {node} between the chunks (SNAP-8)", "none from the first to the last")
