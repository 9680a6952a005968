"""Snapshots: state instead of history, installed and sent (Raft §7, Figure 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from conformance.case import Harm, Level, case
from conformance.peer.troupe import command, entries
from conformance.verdict import Unmet
from conformance.wire.message import Entry, message
from conformance.wire.value import pack

if TYPE_CHECKING:
    from conformance.peer.line import Heard
    from conformance.peer.peer import Peer
    from conformance.peer.troupe import Troupe
    from conformance.stage import Stage
    from conformance.wire.message import Message

STATE = pack([["a", 1], ["b", "two"]])
"""The state of `$kv` after two puts (KV-5)."""
CAPS = ("snapshot",)
LOOKING = ("snapshot", "introspect")


def chunk(
    troupe: Troupe,
    peer: Peer,
    last: tuple[int, int],
    *,
    term: int | None = None,
    data: bytes = STATE,
    offset: int = 0,
    end: int | None = None,
    checksum: int | None = None,
    cluster_id: bytes | None = None,
) -> Message:
    """An INSTALL_SNAPSHOT_REQ of this peer; `last` is (index, term) of what the snapshot includes last."""
    part = data[offset:end]
    return message(
        "INSTALL_SNAPSHOT_REQ",
        peer.node_id,
        term=troupe.term if term is None else term,
        last_included_index=last[0],
        last_included_term=last[1],
        cluster_id=troupe.cluster_id if cluster_id is None else cluster_id,
        members=list(troupe.members),
        size=len(data),
        checksum=crc32(data) if checksum is None else checksum,
        offset=offset,
        data=part,
        done=offset + len(part) == len(data),
    )


async def install(troupe: Troupe, peer: Peer, last: tuple[int, int], data: bytes = STATE) -> Heard:
    """Sends a snapshot in one chunk; raises `Unmet` unless the node installs it."""
    heard = await peer.ask(chunk(troupe, peer, last, data=data))
    return heard.expect(installed=True, last_included_index=last[0])


async def expect_values(troupe: Troupe, **wanted: object) -> None:
    """Raises `Unmet` unless the digest of `$kv` is that of these values (KV-5)."""
    from hashlib import sha256

    client = await troupe.client()
    digest = await client.raft("digest")
    expected = sha256(pack([[key, wanted[key]] for key in sorted(wanted)])).hexdigest()
    if digest["sha256"] != expected:
        raise Unmet(f"the state {wanted}, digest {expected[:16]}…", f"digest {str(digest['sha256'])[:16]}…")


@case("S-01", "SNAP-1", "TERM-2", capabilities=CAPS)
async def snapshot_of_a_lower_term_is_refused(stage: Stage) -> None:
    """A snapshot of a leader whose term is over changes nothing.

    given: n1, in term 5, restarted, whose log ends at (2, 5); it knows no leader of term 5
    when: n3 sends a snapshot up to (9, 4) in term 4
    expect: INSTALL_SNAPSHOT_RES, term 5, installed false; entry 2 is still there
    why: a deposed leader would replace what its successor has committed
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(5))
    await troupe.restart()
    (await n3.ask(chunk(troupe, n3, (9, 4), term=4))).expect(term=5, installed=False)
    (await n2.ask(n2.append(5, (2, 5)))).expect(success=True, match_index=2)


@case("S-02", "SNAP-6", "SNAP-4", "KV-5", "APPEND-2", capabilities=LOOKING)
async def snapshot_replaces_an_empty_state(stage: Stage) -> None:
    """A follower that is far behind becomes what the snapshot says, and goes on after it.

    given: n1, a follower with entry 1 only
    when: n2 sends a snapshot up to (20, 1) and then an entry after (20, 1)
    expect: installed; the state is the snapshot's; the entry is taken at index 21
    why: it could not be caught up any other way once the leader has compacted its log
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    await install(troupe, n2, (20, 1))
    await expect_values(troupe, a=1, b="two")
    await troupe.replicate(n2, (20, 1), [Entry(1, "command", command(key="c", value=3))], commit=21)
    await troupe.expect_status(commit_index=21, last_log_index=21)
    await troupe.applied(21)
    await expect_values(troupe, a=1, b="two", c=3)


@case("S-03", "SNAP-7", capabilities=LOOKING)
async def older_snapshot_takes_nothing_back(stage: Stage) -> None:
    """A snapshot that ends at or before the commit index changes nothing.

    given: n1, a follower with entries up to 4, committed to 4
    when: n2 sends a snapshot up to (3, 1) with another state; again when n1 has compacted its log
    expect: installed true; entry 4 is still there, the state is not the snapshot's
    why: what is applied would be undone (openraft issue 543, NuRaft issue 407)
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    log = [Entry(1, "command", command(key="k", value=number)) for number in range(3)]
    await troupe.follow(n2, log, commit=4)
    await troupe.applied(4)
    for _ in range(2):
        await install(troupe, n2, (3, 1))
        (await n2.ask(n2.append(1, (4, 1)))).expect(success=True, match_index=4)
        await troupe.expect_status(commit_index=4)
        await expect_values(troupe, k=2)
        await (await troupe.client()).raft("snapshot")


@case("S-04", "SNAP-5", "APPEND-2", capabilities=CAPS)
async def matching_entry_keeps_the_tail(stage: Stage) -> None:
    """Where the log has the snapshot's last entry, the entries after it stay.

    given: n1, a follower with entries up to (6, 1), committed to 1
    when: n2 sends a snapshot up to (4, 1)
    expect: installed; entries 5 and 6 are still there
    why: they may be acknowledged and counted (Figure 13, step 6)
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1, 1, 1, 1, 1))
    await install(troupe, n2, (4, 1))
    (await n2.ask(n2.append(1, (6, 1)))).expect(success=True, match_index=6)


@case("S-05", "SNAP-6", "APPEND-2", capabilities=CAPS)
async def conflicting_entry_drops_the_log(stage: Stage) -> None:
    """Where the log has another entry in the place of the snapshot's last, all of it goes.

    given: n1, a follower with entries of term 1 up to 6, committed to 1
    when: n3, leader of term 2, sends a snapshot up to (4, 2)
    expect: installed; there is no entry 6, nor 5; an entry after (4, 2) is taken
    why: a tail that follows another history would be counted as this one's (Figure 13, step 7)
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(1, 1, 1, 1, 1))
    troupe.term = 2
    await install(troupe, n3, (4, 2))
    for prev in (5, 6):
        (await n3.ask(n3.append(2, (prev, 1)))).expect(success=False)
    await troupe.replicate(n3, (4, 2), entries(2, first=5))


@case("S-51", "SNAP-6", "PERSIST-1", harm=Harm.DURABILITY, capabilities=CAPS)
async def dropped_log_stays_away(stage: Stage) -> None:
    """A log that a snapshot dropped does not come back after `kill -9`.

    given: n1, with entries of term 1 up to 6, installed a snapshot up to (4, 2) of n3, leader of term 2
    when: it is killed and started again
    expect: there is no entry 6, nor 5; an entry after (4, 2) is taken
    why: the old tail would stand behind a snapshot of another history
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(1, 1, 1, 1, 1))
    troupe.term = 2
    await install(troupe, n3, (4, 2))
    await troupe.restart()
    for prev in (5, 6):
        (await n3.ask(n3.append(2, (prev, 1)))).expect(success=False)
    await troupe.replicate(n3, (4, 2), entries(2, first=5))


@case("S-06", "SNAP-2", "SNAP-4", capabilities=CAPS)
async def nothing_is_installed_before_the_end(stage: Stage) -> None:
    """Chunks are put together by offset; nothing is installed before the last.

    given: n1, a follower with entry 1 only
    when: n2 sends a snapshot up to (9, 1) in four chunks
    expect: installed false with the next offset after each but the last; no entry 9 until then
    why: a part of a state is no state
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    step = -(-len(STATE) // 4)
    for offset in range(0, len(STATE), step):
        end = min(offset + step, len(STATE))
        heard = await n2.ask(chunk(troupe, n2, (9, 1), offset=offset, end=end))
        heard.expect(installed=end == len(STATE), offset=end)
        found = await n2.ask(n2.append(1, (9, 1)))
        found.expect(success=end == len(STATE))


@case("S-07", "SNAP-2", capabilities=LOOKING)
async def chunks_are_never_mixed(stage: Stage) -> None:
    """A gap, a repeated chunk, or a chunk of another snapshot never ends in a mixed state.

    given: n1, a follower with entry 1 only, has the first half of a snapshot up to (9, 1)
    when: n2 sends a chunk behind a gap, the first half again, then the second half of another snapshot,
    then
    all of that
    expect: the offset wanted each time, installed only at the end, with the second snapshot's state
    why: half of one state and half of another is a state that nobody ever had
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    half = len(STATE) // 2
    other = pack([["a", 9], ["b", "six"]])
    (await n2.ask(chunk(troupe, n2, (9, 1), end=half))).expect(installed=False, offset=half)
    gap = chunk(troupe, n2, (9, 1), offset=half + 2, end=half + 4)
    (await n2.ask(gap)).expect(installed=False, offset=half)
    (await n2.ask(chunk(troupe, n2, (9, 1), end=half))).expect(installed=False, offset=half)
    part = chunk(troupe, n2, (9, 1), data=other, offset=half, end=half + 2)
    (await n2.ask(part)).expect(installed=False, offset=0)
    await install(troupe, n2, (9, 1), other)
    await expect_values(troupe, a=9, b="six")


@case("S-52", "SNAP-12", level=Level.STRICT, harm=Harm.LIVENESS, capabilities=CAPS)
async def what_has_come_of_a_snapshot_is_kept(stage: Stage) -> None:
    """What has come of a snapshot is kept, whichever connection, leader and term it came in.

    given: n1, a follower with entry 1 only, has the first half of a snapshot up to (9, 1) from n2, which then
    restarts
    when: n3, the leader of term 2, sends an empty chunk of the same snapshot at offset 0, and then the second
    half
    expect: the offset after the first half is wanted; then it is installed
    why: a large snapshot on a slow link would never arrive
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    half = len(STATE) // 2
    (await n2.ask(chunk(troupe, n2, (9, 1), end=half))).expect(installed=False, offset=half)
    await n2.restart()
    (await n3.ask(chunk(troupe, n3, (9, 1), term=2, end=0))).expect(installed=False, offset=half)
    rest = chunk(troupe, n3, (9, 1), term=2, offset=half)
    (await n3.ask(rest)).expect(installed=True, last_included_index=9)


@case("S-08", "SNAP-3", harm=Harm.DURABILITY, capabilities=LOOKING)
async def damaged_snapshot_is_thrown_away(stage: Stage) -> None:
    """A snapshot whose checksum does not fit is thrown away, and the next is taken.

    given: n1, a follower with entries up to 3, committed to 3
    when: n2 sends a snapshot up to (9, 1) with a wrong checksum, then the right one
    expect: installed false with offset 0, entry 3 and the state as before; then installed
    why: bytes that were damaged on the way would become the truth
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    log = [Entry(1, "command", command(key="k", value=number)) for number in range(2)]
    await troupe.follow(n2, log, commit=3)
    await troupe.applied(3)
    wrong = chunk(troupe, n2, (9, 1), checksum=crc32(STATE) ^ 1)
    (await n2.ask(wrong)).expect(installed=False, offset=0)
    (await n2.ask(n2.append(1, (3, 1)))).expect(success=True, match_index=3)
    await expect_values(troupe, k=1)
    await install(troupe, n2, (9, 1))
    await expect_values(troupe, a=1, b="two")


@case("S-16", "SNAP-10", harm=Harm.PROTOCOL, capabilities=CAPS)
async def snapshot_from_the_future_is_refused(stage: Stage) -> None:
    """A snapshot whose last term is above the request's is BAD_PAYLOAD.

    given: n1, a follower in term 1 with entry 1
    when: n2 sends, in term 1, a snapshot up to (9, 4)
    expect: not installed; an entry after (1, 1) is taken
    why: no leader of term 1 can have an entry of term 4
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    n2.request(chunk(troupe, n2, (9, 4)), detail="malformed")
    await troupe.fence(n2)
    n2.raft.inbox.nothing("INSTALL_SNAPSHOT_RES", installed=True)
    await troupe.replicate(n2, (1, 1), entries(1))


@case("S-17", "SNAP-4", "PERSIST-1", harm=Harm.DURABILITY, capabilities=LOOKING)
async def installed_snapshot_survives(stage: Stage) -> None:
    """What was answered installed is there after `kill -9`, with what came after it.

    given: n1 installed a snapshot up to (20, 1) and took an entry at 21, committed
    when: it is killed and started again, twice
    expect: state and entry 21 are there each time
    why: the leader has dropped the entries; nobody could send them again
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    await install(troupe, n2, (20, 1))
    await troupe.replicate(n2, (20, 1), [Entry(1, "command", command(key="c", value=3))], commit=21)
    for _ in range(2):
        await troupe.restart()
        (await n2.ask(n2.append(1, (21, 1), commit=21))).expect(success=True, match_index=21)
        await troupe.applied(21)
        await expect_values(troupe, a=1, b="two", c=3)


@case("E-10", "VOTE-3", "ELECT-3", capabilities=CAPS)
async def election_restriction_survives_compaction(stage: Stage) -> None:
    """A voter whose whole log is in a snapshot compares with the snapshot's last entry.

    given: n1, a follower whose log is a snapshot up to (5, 2) and nothing else
    when: n3 asks for its vote in term 3 with the last entries (9, 1) and (4, 2), and then with (5, 2)
    expect: denied, denied, granted
    why: n1 would help elect a leader without what is committed
    hint: last_log_index and last_log_term fall back to those of the snapshot
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, term=2)
    await install(troupe, n2, (5, 2))
    for last, granted in (((9, 1), False), ((4, 2), False), ((5, 2), True)):
        (await n3.ask(n3.request_vote(3, last, troupe.members))).expect(term=3, vote_granted=granted)


@case("R-12", "APPEND-2", harm=Harm.LIVENESS, capabilities=CAPS)
async def snapshots_last_entry_counts_as_had(stage: Stage) -> None:
    """An AppendEntries right after the snapshot is compared with the snapshot's last term.

    given: n1, a follower whose log is a snapshot up to (9, 1)
    when: n2 sends an entry after (9, 1); n3, in term 2, one after (9, 2) first
    expect: the one after (9, 2) is refused, the one after (9, 1) taken
    why: a follower could never go on after a snapshot, or would follow the wrong history
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    await install(troupe, n2, (9, 1))
    (await n3.ask(n3.append(2, (9, 2), entries(2, first=10)))).expect(success=False)
    troupe.term = 2
    await troupe.replicate(n3, (9, 1), entries(2, first=10))


@case("R-13", "APPEND-4", "APPEND-2", harm=Harm.LIVENESS, capabilities=CAPS)
async def entries_within_the_snapshot_are_skipped(stage: Stage) -> None:
    """An AppendEntries that begins within the snapshot is taken for what lies behind it.

    given: n1, a follower whose log is a snapshot up to (5, 1)
    when: n2 sends entries 3 to 7 after (2, 1)
    expect: success with match_index 7
    why: a leader that does not know of the snapshot would be refused for ever (openraft issue 511)
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    await install(troupe, n2, (5, 1))
    await troupe.replicate(n2, (2, 1), entries(1, 1, 1, 1, 1, first=3))
    (await n2.ask(n2.append(1, (7, 1)))).expect(success=True, match_index=7)


@case("S-50", "SNAP-11", harm=Harm.PROTOCOL, capabilities=CAPS)
async def impossible_snapshots_are_refused(stage: Stage) -> None:
    """A snapshot that ends at index 0, and a chunk over the limit, are BAD_PAYLOAD.

    given: n1, a follower with entry 1
    when: n2 sends a snapshot up to (0, 0), and then one up to (9, 1) in a single chunk of 1 MiB and a byte
    expect: neither is installed; an entry after (1, 1) is taken
    why: index 0 is before everything; a chunk without a limit is a frame that stops heartbeats
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    large = pack([["k", "x" * (1_048_577 - len(pack([["k", "x" * 70_000]])) + 70_000)]])
    for last, data in (((0, 0), STATE), ((9, 1), large)):
        n2.request(chunk(troupe, n2, last, data=data), detail="malformed")
        await troupe.fence(n2)
        n2.raft.inbox.nothing("INSTALL_SNAPSHOT_RES", installed=True)
    await troupe.replicate(n2, (1, 1), entries(1))
