"""Leaders: what they send, to whom, and where they begin (Raft §5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance._protocol import INFLIGHT_BYTES_MAX
from conformance.case import Harm, Level, case
from conformance.node.means import faketime
from conformance.peer.troupe import entries
from conformance.verdict import Unmet

if TYPE_CHECKING:
    from conformance.peer.line import Heard
    from conformance.peer.peer import Peer
    from conformance.peer.troupe import Troupe
    from conformance.stage import Stage


async def carries(troupe: Troupe, peer: Peer, index: int) -> Heard:
    """The latest AppendEntries of the present term to this peer that carries the entry of that index, or the
    next."""

    def does(heard: Heard) -> bool:
        if heard.message.kind != "APPEND_ENTRIES_REQ" or heard["term"] != troupe.term:
            return False
        end: int = heard["prev_log_index"] + len(heard["entries"])
        return bool(heard["prev_log_index"] < index <= end)

    for heard in reversed(peer.requests.all):
        if does(heard):
            return heard
    return await peer.requests.hear("APPEND_ENTRIES_REQ", where=does)


async def earlier(peer: Peer, than: int) -> Heard:
    """The next AppendEntries to this peer with a prev_log_index below that."""
    return await peer.requests.hear(
        "APPEND_ENTRIES_REQ", where=lambda heard: bool(heard["prev_log_index"] < than)
    )


async def heartbeats(troupe: Troupe, peer: Peer, count: int = 3) -> list[Heard]:
    """The next so many AppendEntries to this peer, after everything sent so far has been read and answered."""
    await troupe.fence(peer)
    peer.requests.skip()
    return [await peer.requests.hear("APPEND_ENTRIES_REQ") for _ in range(count)]


@case("R-16", "LEADER-5", "APPEND-2", harm=Harm.LIVENESS)
async def leader_backs_up_by_plain_refusals(stage: Stage) -> None:
    """A leader finds where a follower's log fits by refusals that give no hint.

    given: n1, whose log is (2, 2) … (6, 2) and its no-op, has just become leader; n2's log ends at (2, 2)
    when: n2 refuses without hints until prev_log_index is 2
    expect: AppendEntries after (2, 2) that carries entry 3, after no more refusals than entries
    why: hints are optional; a leader that needs them never gets such a follower back
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(2, 2, 2, 2, 2))
    firsts = await troupe.succeed()
    n2.lives = False
    heard = firsts["n2"]
    for _ in range(8):
        if heard["prev_log_index"] <= 2:
            break
        n2.answer(heard, success=False, match_index=0)
        heard = await earlier(n2, heard["prev_log_index"])
    heard.expect(prev_log_index=2, prev_log_term=2)
    n2.acknowledge(heard)
    n2.lives = True
    if not heard["entries"]:
        n2.acknowledge(await carries(troupe, n2, 3))


@case("R-17", "LEADER-5", harm=Harm.LIVENESS)
async def leader_takes_hints(stage: Stage) -> None:
    """A leader uses conflict hints: one refusal is enough for a follower that is far behind.

    given: n1 leads with 60 entries; n2 has entry 1 only
    when: n2 refuses with conflict_index 2
    expect: an AppendEntries after (1, 1) within a few requests
    why: backing up one by one costs a round trip for each entry
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(*[1] * 60))
    heard = (await troupe.succeed())["n2"]
    n2.lives = False
    n2.answer(heard, success=False, match_index=0, conflict_index=2)
    for _ in range(12):
        heard = await n2.requests.hear("APPEND_ENTRIES_REQ")
        if heard["prev_log_index"] == 1:
            return
        n2.answer(heard, success=False, match_index=0, conflict_index=2)
    raise heard.unmet("AppendEntries after (1, 1)", f"after {heard['prev_log_index']}", "prev_log_index")


@case("R-20", "LEADER-6")
async def match_index_never_falls(stage: Stage) -> None:
    """A late acknowledgement of less does not take back what was acknowledged.

    given: n1 leads; n2 has acknowledged everything up to the no-op at index 6, and of the next
        request the part up to 6
    when: another answer to that request, with match_index 2, arrives late
    expect: AppendEntries to n2 goes on after index 6, and never below
    why: entries would be sent again for ever, and a commit index counted twice
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1, 1, 1, 1))
    await troupe.succeed()
    n2.acknowledge(await carries(troupe, n2, 6))
    n2.lives = False
    client = await troupe.client()
    client.send_ask("$kv", {"op": "put", "key": "k", "value": 1})
    sent = await carries(troupe, n2, 7)
    n2.requests.skip()
    for match in (6, 2):
        n2.answer(sent, success=True, match_index=match)
    for _ in range(3):
        heard = await n2.requests.hear("APPEND_ENTRIES_REQ")
        if heard["prev_log_index"] < 6:
            raise heard.unmet("prev_log_index 6", f"{heard['prev_log_index']}", "prev_log_index")


@case("R-37", "LEADER-8", harm=Harm.PROTOCOL)
async def seq_is_never_used_twice(stage: Stage) -> None:
    """A node never sends two requests with the same seq to a peer in one boot.

    given: n1, elected, loses its majority, campaigns and is elected again
    when: all requests to n2 are looked at
    expect: each seq once
    why: an old answer would be taken for the answer to a newer request
    """
    troupe = await stage.troupe(eager=True)
    n2, _ = troupe.peers
    await troupe.lead()
    for peer in troupe.peers:
        peer.lives = False
    await n2.requests.hear("PRE_VOTE_REQUEST")
    await troupe.elect()
    await heartbeats(troupe, n2)
    seen: dict[int, Heard] = {}
    for heard in n2.requests.all:
        seq = heard.get("seq")
        if seq is not None and seq in seen:
            raise heard.unmet(
                "a seq that no request to n2 had", f"seq {seq} of a {seen[seq].message.kind}", "seq"
            )
        if seq is not None:
            seen[seq] = heard


@case("R-35", "LEADER-7", "PEER-2")
async def lost_connection_means_probing(stage: Stage) -> None:
    """After a connection is lost, the leader goes on from what is known to match.

    given: n1 leads; n2 has acknowledged index 1; entries 2 and 3 are on their way to n2, unanswered
    when: n2 cuts the connection, and n1 dials it again
    expect: the next AppendEntries to n2 comes after index 1, with the entries that are missing
    why: what was in flight is lost; a leader that counts on it leaves a gap
    """
    troupe = await stage.troupe(eager=True)
    n2, n3 = troupe.peers
    await troupe.lead()
    client = await troupe.client()
    for number in (2, 3):
        client.send_ask("$kv", {"op": "put", "key": f"k{number}", "value": number})
        n3.acknowledge(await carries(troupe, n3, number))
    await carries(troupe, n2, 3)
    lost = [line for line in n2.lines if line is not n2.raft]
    n2.requests.skip()
    for line in lost:
        line.reset()
    heard = await n2.requests.hear("APPEND_ENTRIES_REQ")
    if heard["prev_log_index"] > 1:
        raise heard.unmet("AppendEntries after index 1", f"after {heard['prev_log_index']}", "prev_log_index")
    n2.acknowledge(heard)
    await n2.requests.hear("APPEND_ENTRIES_REQ", where=lambda h: h["prev_log_index"] + len(h["entries"]) >= 3)


@case("R-38", "LEADER-8", harm=Harm.PROTOCOL)
async def batches_stay_within_their_limit(stage: Stage) -> None:
    """AppendEntries with more than one entry carries at most batch_bytes_max.

    given: n1 leads and has five committed entries of 400,000 bytes each; n2 has none of them
    when: n2 refuses with conflict_index 2 and then takes what it is sent
    expect: entries 2 to 6 in requests of at most 1 MiB each, where they hold more than one
    why: a follower far behind must not get a frame that stops heartbeats, or that its limit refuses
    """
    troupe = await stage.troupe(eager=True)
    n2, n3 = troupe.peers
    await troupe.lead()
    n2.lives = False
    client = await troupe.client()
    for index in range(2, 7):
        id = client.send_ask("$kv", {"op": "put", "key": f"k{index}", "value": b"x" * 400_000})
        n3.acknowledge(await carries(troupe, n3, index))
        await client.line.hear("ASK_RES", id=id)
    n2.requests.skip()
    heard = await n2.requests.hear("APPEND_ENTRIES_REQ")
    n2.answer(heard, success=False, match_index=0, conflict_index=2)
    n2.stored, n2.lives = 1, True
    while n2.stored < 6:
        heard = await n2.requests.hear("APPEND_ENTRIES_REQ", where=lambda heard: bool(heard["entries"]))
        size = sum(len(entry.data) for entry in heard["entries"])
        if len(heard["entries"]) > 1 and size > 1_048_576:
            raise heard.unmet(
                "at most 1048576 bytes of entries", f"{len(heard['entries'])} entries of {size} bytes"
            )
        n2.acknowledge(heard)


@case("R-53", "LEADER-12", harm=Harm.LIVENESS, level=Level.STRICT)
async def bytes_on_the_way_stay_within_their_limit(stage: Stage) -> None:
    """No more than inflight_bytes_max of entries is on the way to one follower.

    given: n1 leads; n2 has acknowledged entry 1, and from then on acknowledges nothing more
    when: n1 commits 20 entries of 600,000 bytes with n3, and then n2 acknowledges what it was sent
    expect: at most 8 MiB of entries reach n2 before it acknowledges them, and in the end all 20
    why: a follower on a slow link would lose its connection, and be sent everything again, for ever
    """
    troupe = await stage.troupe(eager=True)
    n2, n3 = troupe.peers
    await troupe.lead()
    client = await troupe.client()
    for index in range(2, 22):
        id = client.send_ask("$kv", {"op": "put", "key": f"k{index}", "value": b"x" * 600_000})
        n3.acknowledge(await carries(troupe, n3, index))
        await client.line.hear("ASK_RES", id=id)
    await troupe.fence(n2)
    sizes = {
        heard["prev_log_index"] + place: len(entry.data)
        for heard in n2.requests.all
        if heard.message.kind == "APPEND_ENTRIES_REQ"
        for place, entry in enumerate(heard["entries"], 1)
    }
    if (size := sum(size for index, size in sizes.items() if index > 1)) > INFLIGHT_BYTES_MAX:
        raise Unmet(f"at most {INFLIGHT_BYTES_MAX} bytes of entries without an answer", f"{size} bytes")
    n2.acknowledge(await carries(troupe, n2, max(sizes)))
    while n2.stored < 21:
        n2.acknowledge(await n2.requests.hear("APPEND_ENTRIES_REQ", where=lambda heard: bool(heard["entries"])))


@case("E-26", "ELECT-4", harm=Harm.LIVENESS, tools=("faketime",))
async def wall_clock_moves_nothing(stage: Stage) -> None:
    """Setting the wall clock an hour forward or back neither starts an election nor stops the heartbeats.

    given: n1 leads, under a wall clock of the suite's
    when: that clock is set an hour forward, then two back
    expect: heartbeats go on in the same term, and n1 asks for no votes
    why: clocks are set while clusters run, by people and by NTP
    """
    clock = stage.folder / "clock"
    clock.write_text("+0\n", encoding="ascii")
    environment = {"LD_PRELOAD": faketime(), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    troupe = await stage.troupe(eager=True, environment=environment | {"FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    n2, _ = troupe.peers
    await troupe.lead()
    for offset in ("+3600", "-3600"):
        clock.write_text(f"{offset}\n", encoding="ascii")
        for heard in await heartbeats(troupe, n2, 8):
            heard.expect(term=troupe.term)
    n2.requests.nothing("PRE_VOTE_REQUEST")
    n2.requests.nothing("VOTE_REQUEST")
