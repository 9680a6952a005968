"""Promises and the disk: nothing leaves before what it promises is durable (PERSIST-2, VOTE-4, COMMIT-2).

The node's syncs are delayed by strace. A reply that rests on one then takes at least as long as the delay, on a
machine of any speed; one that does not wait is much faster.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from conformance._protocol import STALLED_DISK_SECONDS
from conformance.case import Harm, Layer, Level, case
from conformance.cases.leadership import carries
from conformance.node.disk import SYNCS, failing, slow, traced
from conformance.peer.troupe import entries
from conformance.verdict import Unmet

if TYPE_CHECKING:
    from conformance.peer.line import Heard
    from conformance.peer.peer import Peer
    from conformance.stage import Stage

DELAY = 1.0
"""Seconds by which each sync is delayed."""
WAITED = 0.9
"""What cannot be less if the reply waited for one."""
STRACE = ("strace",)


class Watch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()

    def expect_waited(self, what: str, heard: Heard | None = None, path: str = "") -> None:
        """Raises `Unmet`, which shows at that field of what was heard, if less time has passed than one delayed
        sync takes.
        """
        seconds = asyncio.get_running_loop().time() - self._began
        if seconds < WAITED:
            expected, got = f"{what} not before the disk has it, {DELAY} s later", f"it after {seconds:.2f} s"
            raise Unmet(expected, got) if heard is None else heard.unmet(expected, got, path)


@case("P-06", "VOTE-4", "PERSIST-2", layer=Layer.DISK, harm=Harm.DURABILITY, tools=STRACE)
async def grant_waits_for_the_disk(stage: Stage) -> None:
    """A granted vote leaves only when it is durable.

    given: n1, a follower; each of its syncs takes a second longer
    when: n3 asks for its vote in term 2
    expect: the grant, after the sync
    why: killed in that second, n1 would vote again
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    async with traced(troupe.node, *slow(DELAY)):
        watch = Watch()
        heard = (await n3.ask(n3.request_vote(2, (1, 1), troupe.members))).expect(vote_granted=True)
        watch.expect_waited("the grant", heard, "vote_granted")


@case("P-07", "APPEND-7", "PERSIST-2", layer=Layer.DISK, harm=Harm.DURABILITY, tools=STRACE)
async def acknowledgement_waits_for_the_disk(stage: Stage) -> None:
    """Entries are acknowledged only when they are durable.

    given: n1, a follower; each of its syncs takes a second longer
    when: n2 sends two entries
    expect: match_index 3, after the sync
    why: what the leader counts would be gone with the power
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    async with traced(troupe.node, *slow(DELAY)):
        watch = Watch()
        heard = await troupe.replicate(n2, (1, 1), entries(1, 1))
        watch.expect_waited("the acknowledgement", heard, "match_index")


@case("P-08", "TERM-4", "PERSIST-2", layer=Layer.DISK, harm=Harm.DURABILITY, tools=STRACE)
async def refusal_waits_for_its_term(stage: Stage) -> None:
    """A refusal that tells a new term leaves only when the term is durable.

    given: n1, a follower in term 1; each of its syncs takes a second longer
    when: n3 sends AppendEntries of term 7 that does not fit; then asks, in term 8, for a vote it cannot get
    expect: both refusals, each after its sync
    why: a term that was told and forgotten comes twice
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(1))
    async with traced(troupe.node, *slow(DELAY)):
        watch = Watch()
        heard = (await n3.ask(n3.append(7, (9, 6)))).expect(success=False, term=7)
        watch.expect_waited("term 7", heard, "term")
        watch = Watch()
        heard = (await n3.ask(n3.request_vote(8, (1, 1), troupe.members))).expect(vote_granted=False, term=8)
        watch.expect_waited("term 8", heard, "term")


@case("P-09", "COMMIT-2", "COMMIT-1", layer=Layer.DISK, harm=Harm.DURABILITY, tools=STRACE)
async def leader_counts_itself_when_it_is_durable(stage: Stage) -> None:
    """A leader counts itself only for what is on its own disk.

    given: n1 leads three; each of its syncs takes a second longer
    when: a client puts a value and n2 acknowledges it at once, n3 does not
    expect: leader_commit and the client's answer only after the leader's own sync
    why: with n2 alone it is on one disk of three
    """
    launch = stage.launch(election_ms=round(4000 * stage.settings.scale), heartbeat_ms=100)
    troupe = await stage.troupe(launch=launch)
    n2, _ = troupe.peers
    await troupe.lead()
    client = await troupe.client()
    async with traced(troupe.node, *slow(DELAY)):
        watch = Watch()
        id = client.send_ask("$kv", {"op": "put", "key": "k", "value": 1})
        n2.acknowledge(await carries(troupe, n2, 2))
        heard = await n2.requests.hear("APPEND_ENTRIES_REQ", leader_commit=2)
        watch.expect_waited("leader_commit 2", heard, "leader_commit")
        answer = await client.kv_answer(id)
        watch.expect_waited("the client's answer")
    if not answer["ok"]:
        raise Unmet("$kv to answer ok", repr(answer))


@case(
    "P-28",
    "LEADER-9",
    layer=Layer.DISK,
    level=Level.STRICT,
    harm=Harm.LIVENESS,
    capabilities=("prevote",),
    tools=STRACE,
    tags=("timing",),
)
async def leader_whose_disk_hangs_gives_up(stage: Stage) -> None:
    """A leader whose disk hangs gives way to one that can answer.

    given: n1 leads three; none of its syncs ends any more, but n2 answers all that it sends
    when: a client puts a value
    expect: after stalled_disk_seconds n1 leads no more, and asks for pre-votes instead
    why: its heartbeats keep everybody else from leading, and its clients wait for nothing
    """
    launch = stage.launch(election_ms=round(1000 * stage.settings.scale), heartbeat_ms=100)
    troupe = await stage.troupe(launch=launch)
    await troupe.lead()
    client = await troupe.client()
    async with traced(troupe.node, *slow(600)):
        began = stage.trace.now()
        client.send_ask("$kv", {"op": "put", "key": "k", "value": 1})
        bound = STALLED_DISK_SECONDS + stage.scaled(4)
        n2, _ = troupe.peers
        await _agree_until_it_campaigns(n2, bound)
        if (seconds := stage.trace.now() - began) < STALLED_DISK_SECONDS - 1:
            raise Unmet(f"a leader to wait for its disk for {STALLED_DISK_SECONDS} s", f"{seconds:.1f} s")


@case(
    "P-32",
    "LEADER-11",
    layer=Layer.DISK,
    level=Level.STRICT,
    harm=Harm.LIVENESS,
    capabilities=("prevote",),
    tools=STRACE,
    tags=("timing",),
)
async def leader_with_the_slowest_disk_gives_up(stage: Stage) -> None:
    """A leader gives way when a majority of the others has long had durably what it has not.

    given: n1 leads three; none of its syncs ends any more, and n2 and n3 acknowledge all that it sends
    when: a client puts a value
    expect: after about two election timeouts n1 leads no more, and asks for pre-votes instead
    why: the others could commit without it, and every client waits for its disk
    """
    launch = stage.launch(election_ms=round(1000 * stage.settings.scale), heartbeat_ms=100)
    troupe = await stage.troupe(launch=launch)
    await troupe.lead()
    client = await troupe.client()
    async with traced(troupe.node, *slow(600)):
        client.send_ask("$kv", {"op": "put", "key": "k", "value": 1})
        bound = STALLED_DISK_SECONDS / 2 + stage.scaled(2)
        await asyncio.gather(*(_agree_until_it_campaigns(peer, bound) for peer in troupe.peers))


@case(
    "E-39",
    "ELECT-5",
    layer=Layer.DISK,
    level=Level.STRICT,
    harm=Harm.LIVENESS,
    tools=STRACE,
    tags=("timing",),
)
async def time_to_be_elected_starts_at_the_request(stage: Stage) -> None:
    """A candidate has an election timeout from when its requests leave, however slow its disk is.

    given: n1, a member, has asked for pre-votes; each of its syncs takes longer than an election timeout
    when: n2 and n3 grant the pre-votes, and nothing answers the VOTE_REQUEST
    expect: no new round before the VOTE_REQUEST, and none for an election timeout after it
    why: where every write is slow, each candidate would give up before anybody has heard of it
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    election_ms = 400
    await troupe.awaken(election_ms=election_ms)
    asked = [await peer.requests.hear("PRE_VOTE_REQUEST", seconds=stage.patience * 2) for peer in (n2, n3)]
    election = election_ms * troupe.scale / 1000
    async with traced(troupe.node, *slow(3 * election)):
        for peer, heard in zip((n2, n3), asked, strict=True):
            peer.grant(heard)
        first = await n2.requests.hear(
            "PRE_VOTE_REQUEST", "VOTE_REQUEST", seconds=4 * election + stage.patience
        )
        if first.message.kind != "VOTE_REQUEST":
            raise first.unmet("VOTE_REQUEST, when the vote is durable", "another round of pre-votes before it")
        since = stage.trace.now()
        again = await n2.requests.hear(
            "PRE_VOTE_REQUEST", "VOTE_REQUEST", seconds=3 * election + stage.patience
        )
        if (waited := stage.trace.now() - since) < 0.8 * election:
            raise again.unmet(f"no new round for {election:.1f} s", f"one after {waited:.2f} s")


async def _agree_until_it_campaigns(peer: Peer, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while True:
                heard = await peer.requests.hear("APPEND_ENTRIES_REQ", "PRE_VOTE_REQUEST")
                if heard.message.kind == "PRE_VOTE_REQUEST":
                    return
                peer.acknowledge(heard)
    except TimeoutError:
        raise Unmet(
            "a PRE_VOTE_REQUEST of the node, which leads no more", f"none for {seconds:.1f} s"
        ) from None


@case("E-14", "VOTE-4", "TERM-4", layer=Layer.DISK, harm=Harm.DURABILITY, tools=STRACE)
async def own_vote_waits_for_the_disk(stage: Stage) -> None:
    """A candidate asks for votes only when its own vote and term are durable.

    given: n1, a member, restarted, has asked for pre-votes; each of its syncs takes a second longer
    when: n2 and n3 grant the pre-votes
    expect: VOTE_REQUEST, after the sync
    why: killed in that second, it would vote for another in the same term (nebula issue 3415)
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    await troupe.awaken(election_ms=4000)
    asked = [await peer.requests.hear("PRE_VOTE_REQUEST", seconds=stage.patience * 2) for peer in (n2, n3)]
    async with traced(troupe.node, *slow(DELAY)):
        watch = Watch()
        for peer, heard in zip((n2, n3), asked, strict=True):
            peer.grant(heard)
        heard = await n2.requests.hear("VOTE_REQUEST")
        watch.expect_waited("the request", heard, "term")


@case("P-11", "PERSIST-4", layer=Layer.DISK, harm=Harm.DURABILITY, tools=STRACE)
async def failed_sync_is_final(stage: Stage) -> None:
    """After a failed sync nothing is acknowledged, and the node ends with status 74.

    given: n1, a follower with acknowledged entries up to 3; its next sync fails, any after that would succeed
    when: n2 sends an entry, and sends it again
    expect: no success for it; exit status 74; started again, it has entry 3
    why: after a failed fsync the kernel may have dropped the page: a second one that succeeds proves nothing
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(1, 1))
    n2.raft.inbox.skip()
    async with traced(troupe.node, *failing()):
        for _ in range(2):
            n2.request(n2.append(1, (3, 1), entries(1, first=4)))
        status = await troupe.node.exited(stage.patience)
    for heard in n2.raft.inbox.all:
        if heard.message.kind == "APPEND_ENTRIES_RES" and heard["match_index"] > 3:
            raise heard.unmet(
                "nothing beyond entry 3 to be acknowledged", f"match_index {heard['match_index']}"
            )
    if status != 74:
        raise Unmet("exit status 74 after a failed sync", f"{status}")
    await troupe.rejoin(n2, n3)
    (await n2.ask(n2.append(1, (3, 1)))).expect(success=True, match_index=3)


@case("P-18", "SNAP-4", layer=Layer.DISK, harm=Harm.DURABILITY, capabilities=("snapshot",), tools=STRACE)
async def renamed_files_are_made_durable(stage: Stage) -> None:
    """A rename is followed by a sync of its directory before anybody is told.

    given: n1, a follower with entry 1, under a trace of its renames and syncs
    when: n2 sends a snapshot and n1 answers installed true
    expect: for each rename within the data directory, a later sync of that directory, before the answer
    why: after a power cut the new name may not be there (etcd issue 6368, ClickHouse issue 111339)
    """
    from conformance.cases.snapshot import install

    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    log = stage.folder / "strace.txt"
    async with traced(troupe.node, f"trace={SYNCS},rename,renameat,renameat2", log=log):
        await install(troupe, n2, (9, 1))
    _check_renames(log.read_text(encoding="utf-8", errors="replace"), troupe.node.launch.data_dir)


def _check_renames(log: str, data_dir: str) -> None:
    unsynced: set[str] = set()
    for line in log.splitlines():
        if "rename" in line and data_dir in line and '"' in line:
            unsynced.add(line.split('"')[-2].rpartition("/")[0])
        elif "sync(" in line:
            unsynced = {folder for folder in unsynced if f"<{folder}>" not in line}
    if unsynced:
        raise Unmet("a sync of the directory after each rename, before the answer", f"none of {unsynced}")


@case("P-27", "PERSIST-6", layer=Layer.DISK, harm=Harm.DURABILITY, tools=STRACE)
async def what_was_found_is_synced_again(stage: Stage) -> None:
    """At a start, the log and its directory are synced before the first reply.

    given: n1, a follower with entries up to 3, killed
    when: it is started again under a trace of its syncs, and n2 sends a heartbeat after (3, 1)
    expect: match_index 3, and before it syncs of a file of the data directory and of the directory it is in
    why: killed before a sync was done, it reads back what only the kernel has, and promises it
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(1, 1))
    await troupe.node.kill()
    log = stage.folder / "strace.txt"
    troupe.node.under = ("strace", "-f", "-y", "-o", str(log), "-e", f"trace={SYNCS}")
    await troupe.rejoin(n2, n3)
    (await n2.ask(n2.append(1, (3, 1)))).expect(success=True, match_index=3)
    synced = _synced(log.read_text(encoding="utf-8", errors="replace"), Path(troupe.node.launch.data_dir))
    if not any(path.parent in synced for path in synced if not path.is_dir()):
        names = ", ".join(sorted(map(str, synced))) or "nothing"
        raise Unmet("syncs of the log and of its directory before the first reply", f"syncs of {names}")


def _synced(log: str, data_dir: Path) -> set[Path]:
    """The files and directories within the data directory of which a sync has succeeded."""
    root = data_dir.resolve()
    begun: dict[str, Path] = {}
    done: set[Path] = set()
    for line in log.splitlines():
        thread, _, call = line.partition(" ")
        if (found := _SYNC.match(call.strip())) is not None:
            begun[thread] = Path(found[1])
        if call.rstrip().endswith("= 0") and thread in begun:
            done.add(begun.pop(thread))
    return {path for path in done if path.is_relative_to(root)}


_SYNC: Final = re.compile(r"f(?:data)?sync\(\d+<([^>]*)>")


@case("R-50", "APPEND-8", level=Level.STRICT, layer=Layer.DISK, harm=Harm.LIVENESS, tools=STRACE)
async def slow_disk_does_not_look_dead(stage: Stage) -> None:
    """While entries are being synced, a heartbeat is answered at once for what is durable.

    given: n1, a follower with entry 1; each of its syncs takes a second longer
    when: n2 sends two entries, and a heartbeat behind them
    expect: first an answer to the heartbeat with match_index 1, and later those with match_index 3
    why: a disk that stalls for a second would depose the leader, or stop it for want of answers
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    async with traced(troupe.node, *slow(DELAY)):
        n2.request(n2.append(1, (1, 1), entries(1, 1)))
        beat = n2.request(n2.append(1, (3, 1)))
        (await n2.raft.hear("APPEND_ENTRIES_RES")).expect(seq=beat, success=True, match_index=1)
        await n2.raft.hear("APPEND_ENTRIES_RES", seq=beat, success=True, match_index=3)
