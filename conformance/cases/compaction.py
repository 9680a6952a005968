"""Compaction: what a server that dropped its log still knows, and how it helps others (Raft §7)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from zlib import crc32

from conformance.case import Harm, Level, case
from conformance.cases.leadership import carries
from conformance.cases.snapshot import LOOKING, expect_values
from conformance.peer.troupe import LEADER_MS, command, entries
from conformance.verdict import Unmet
from conformance.wire.message import Entry
from conformance.wire.value import pack

if TYPE_CHECKING:
    from conformance.peer.client import Client
    from conformance.peer.line import Heard
    from conformance.peer.peer import Peer
    from conformance.peer.troupe import Troupe
    from conformance.stage import Stage


async def compact(client: Client) -> None:
    """Has the node compact its log up to what is applied."""
    if not (await client.raft("snapshot"))["ok"]:
        raise Unmet("$raft snapshot to compact the log", "ok false")


async def compacted_leader(stage: Stage) -> tuple[Troupe, Client]:
    """n1 leads and has put k2 … k5 at indexes 2 to 5, which n3 acknowledged; then it compacted its log."""
    troupe = await stage.troupe(eager=True)
    n3 = troupe.peers[1]
    await troupe.lead()
    client = await troupe.client()
    for index in range(2, 6):
        await put(troupe, client, n3, index)
    await compact(client)
    return troupe, client


async def put(troupe: Troupe, client: Client, follower: Peer, index: int) -> None:
    """Puts a value, acknowledged by this follower; raises `Unmet` unless it is committed at this index."""
    id = client.send_ask("$kv", {"op": "put", "key": f"k{index}", "value": index})
    follower.acknowledge(await carries(troupe, follower, index))
    answer = await client.kv_answer(id)
    if not answer["ok"] or answer["index"] != index:
        raise Unmet(f"$kv put to be committed at index {index}", repr(answer))


@case("S-18", "SNAP-9", "COMMIT-3", capabilities=LOOKING)
async def only_what_is_applied_is_compacted(stage: Stage) -> None:
    """A server compacts up to what it has applied, and keeps what comes after.

    given: n1, a follower with entries up to (5, 1), committed and applied to 3
    when: it is told to compact
    expect: snapshot_index at most 3; entries 4 and 5 are still there, and applied when they are committed
    why: what is not applied is in no state, and would be lost with the log
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1, 1, 1, 1), commit=3)
    await troupe.applied(3)
    await compact(await troupe.client())
    status = await troupe.status()
    if status["snapshot_index"] > 3 or status["last_log_index"] != 5:
        raise Unmet("a snapshot up to 3 at most, and a log up to 5", repr(status))
    (await n2.ask(n2.append(1, (5, 1), commit=5))).expect(success=True, match_index=5)
    await troupe.applied(5)


@case("R-14", "SNAP-9", "LEADER-3", capabilities=LOOKING)
async def indexes_go_on_after_compaction(stage: Stage) -> None:
    """The next command after a compaction stands at the next index, not at the first.

    given: n1 leads; entries up to 5 are applied and compacted away
    when: a client puts another value
    expect: it is committed at index 6, and sent after an entry 5 of the right term
    why: an index that comes twice means two commands in one place
    """
    troupe, client = await compacted_leader(stage)
    await put(troupe, client, troupe.peers[1], 6)


@case("R-15", "SNAP-9", "APPEND-2", harm=Harm.LIVENESS, capabilities=LOOKING)
async def prev_term_comes_from_the_snapshot(stage: Stage) -> None:
    """After a compaction, prev_log_term of the entry at the snapshot's end is the snapshot's last term.

    given: n1 leads term T; entries up to 5, of term T, are compacted away; n3 has them all
    when: n1 sends heartbeats and the next entry to n3
    expect: AppendEntries after (5, T)
    why: with prev_log_term 0 every follower refuses, and the cluster stands still
    """
    troupe, client = await compacted_leader(stage)
    n3 = troupe.peers[1]
    n3.requests.skip()
    heard = await n3.requests.hear("APPEND_ENTRIES_REQ", prev_log_index=5)
    heard.expect(prev_log_term=troupe.term)
    await put(troupe, client, n3, 6)


@case("S-10", "SNAP-8", "FORM-6", "SNAP-2", harm=Harm.LIVENESS, capabilities=LOOKING)
async def leader_sends_its_snapshot_to_who_is_behind(stage: Stage) -> None:
    """A follower whose next entry is compacted away gets the snapshot, and then the entries after it.

    given: n1 leads; entries up to 5 are compacted away; n2 has entry 1 only
    when: n2 refuses with conflict_index 2, then takes the snapshot
    expect: INSTALL_SNAPSHOT_REQ up to 5 with the list, the cluster id, size and checksum that
    fit;
    AppendEntries after 5 then
    why: it would be behind for ever
    """
    troupe, client = await compacted_leader(stage)
    n2, n3 = troupe.peers
    n2.lives = False
    data = await take_snapshot(troupe, n2, 5)
    if data != pack([[f"k{index}", index] for index in range(2, 6)]):
        raise Unmet("a snapshot of k2 … k5 as KV-5 says", data[:80].hex())
    n2.stored, n2.lives = 5, True
    heard = await n2.requests.hear("APPEND_ENTRIES_REQ", prev_log_index=5)
    heard.expect(prev_log_term=troupe.term)
    await put(troupe, client, n3, 6)
    n2.acknowledge(await carries(troupe, n2, 6))


@case("S-53", "SNAP-12", level=Level.STRICT, harm=Harm.LIVENESS, capabilities=LOOKING)
async def leader_asks_what_the_follower_has(stage: Stage) -> None:
    """Before a large snapshot the leader asks which part is wanted, and after a lost connection again.

    given: n1 leads; three values of 600,000 bytes are compacted away; n2 has entry 1 only
    when: n2 wants an offset in the middle, cuts the connection at the first chunk, and refuses the next
    AppendEntries
    expect: an empty chunk at offset 0 each time, before the connection is cut a chunk at the offset n2 wanted,
    and after it one of the same snapshot
    why: a large snapshot on a slow link would never arrive
    """
    troupe = await stage.troupe(eager=True)
    n2, n3 = troupe.peers
    await troupe.lead()
    client = await troupe.client()
    for index in (2, 3, 4):
        id = client.send_ask("$kv", {"op": "put", "key": f"k{index}", "value": b"x" * 600_000})
        n3.acknowledge(await carries(troupe, n3, index))
        await client.line.hear("ASK_RES", id=id)
    await compact(client)
    n2.lives = False
    question = await first_chunk(troupe, n2)
    question.expect(offset=0, data=b"")
    n2.answer(question, last_included_index=4, offset=1_000_000, installed=False)
    heard = await n2.requests.hear("INSTALL_SNAPSHOT_REQ")
    check_chunk(troupe, heard, 4)
    heard.expect(offset=1_000_000)
    for line in [line for line in n2.lines if line is not n2.raft]:
        line.reset()
    again = await first_chunk(troupe, n2)
    again.expect(offset=0, data=b"", checksum=question["checksum"])


async def first_chunk(troupe: Troupe, peer: Peer) -> Heard:
    """Refuses AppendEntries until a chunk of a snapshot comes: that chunk."""
    peer.requests.skip()
    while True:
        heard = await peer.requests.hear("APPEND_ENTRIES_REQ", "INSTALL_SNAPSHOT_REQ")
        if heard.message.kind == "INSTALL_SNAPSHOT_REQ":
            return heard
        peer.answer(heard, success=False, match_index=0, conflict_index=2)


@case("S-54", "SNAP-13", level=Level.STRICT, harm=Harm.LIVENESS, capabilities=LOOKING)
async def who_lacks_a_few_entries_gets_them(stage: Stage) -> None:
    """A follower that lacks only entries which the leader keeps behind its snapshot gets these.

    given: n1, told to keep 100 entries, leads; entries up to 5 are applied, and a snapshot of them is taken; n2
    has entry 1 only
    when: n2 refuses with conflict_index 2
    expect: AppendEntries with entries from 2 on, and no snapshot
    why: who was away for a moment would be sent the whole state
    """
    election = round(LEADER_MS * stage.settings.scale)
    launch = replace(stage.launch(election_ms=election), kept_entries=100)
    troupe = await stage.troupe(launch=launch)
    n2, n3 = troupe.peers
    await troupe.lead()
    client = await troupe.client()
    for index in range(2, 6):
        await put(troupe, client, n3, index)
    await compact(client)
    n2.lives = False
    n2.requests.skip()
    while True:
        heard = await n2.requests.hear("APPEND_ENTRIES_REQ", "INSTALL_SNAPSHOT_REQ")
        if heard.message.kind == "INSTALL_SNAPSHOT_REQ":
            raise heard.unmet("the entries from 2 on, which n1 was told to keep", "a snapshot")
        if heard["prev_log_index"] == 1 and heard["entries"]:
            return
        n2.answer(heard, success=False, match_index=0, conflict_index=2)


async def take_snapshot(troupe: Troupe, peer: Peer, last: int) -> bytes:
    """Refuses AppendEntries until the snapshot comes, and takes all its chunks: the data."""
    data = b""
    while True:
        heard = await peer.requests.hear("APPEND_ENTRIES_REQ", "INSTALL_SNAPSHOT_REQ")
        if heard.message.kind == "APPEND_ENTRIES_REQ":
            peer.answer(heard, success=False, match_index=0, conflict_index=2)
            continue
        check_chunk(troupe, heard, last)
        if heard["offset"] == len(data):
            data += heard["data"]
        done = len(data) == heard["size"]
        if done and crc32(data) != heard["checksum"]:
            raise heard.unmet("the checksum of the data that was sent", str(heard["checksum"]), "checksum")
        peer.answer(heard, last_included_index=last, offset=len(data), installed=done)
        if done:
            return data


def check_chunk(troupe: Troupe, heard: Heard, last: int) -> None:
    """Raises `Unmet` where the chunk is of another snapshot than the one up to `last`."""
    heard.expect(last_included_index=last, cluster_id=troupe.cluster_id, members=troupe.members)
    if len(heard["data"]) > 1_048_576:
        raise heard.unmet("a chunk of at most 1048576 bytes", f"{len(heard['data'])}", "data")
    if heard["done"] != (heard["offset"] + len(heard["data"]) == heard["size"]):
        raise heard.unmet("done with the last chunk, and only with it", str(heard["done"]), "done")


@case("S-14", "SNAP-9", "PERSIST-1", "COMMIT-3", harm=Harm.DURABILITY, capabilities=LOOKING)
async def snapshot_and_tail_survive_restarts(stage: Stage) -> None:
    """Snapshot and tail are put together again at each start, and nothing is lost or applied twice.

    given: n1, a follower that counted to 3, compacted, and counted on to 5
    when: it is killed and started again, twice
    expect: the count is 5 each time
    why: a second restart finds what the first one left behind
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    steps = [Entry(1, "command", command("incr", "n", value=1)) for _ in range(5)]
    await troupe.follow(n2, steps[:3], commit=4)
    await troupe.applied(4)
    await compact(await troupe.client())
    await troupe.replicate(n2, (4, 1), steps[3:], commit=6)
    for _ in range(3):
        await troupe.applied(6)
        await expect_values(troupe, n=5)
        await troupe.restart()
        (await n2.ask(n2.append(1, (6, 1), commit=6))).expect(success=True, match_index=6)
