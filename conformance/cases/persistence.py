"""Persistence: what a server said is still so after `kill -9` (Figure 2, "Persistent state on all servers")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Harm, case
from conformance.cases.snapshot import expect_values
from conformance.peer.troupe import command, entries
from conformance.verdict import Unmet
from conformance.wire.message import Entry

if TYPE_CHECKING:
    from conformance.stage import Stage


@case("P-01", "PERSIST-1", "VOTE-2", "VOTE-4", harm=Harm.DURABILITY)
async def vote_survives(stage: Stage) -> None:
    """A vote is remembered after `kill -9`.

    given: n1 granted n2 its vote in term 4, was killed and started again
    when: n3 asks for its vote in term 4, then n2 again
    expect: n3 is denied in term 4, n2 is granted
    why: a vote given twice makes two leaders in one term
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    (await n2.ask(n2.request_vote(4, (1, 1), troupe.members))).expect(vote_granted=True)
    await troupe.restart()
    (await n3.ask(n3.request_vote(4, (1, 1), troupe.members))).expect(term=4, vote_granted=False)
    (await n2.ask(n2.request_vote(4, (1, 1), troupe.members))).expect(term=4, vote_granted=True)


@case("P-24", "PERSIST-1", "VOTE-2", "VOTE-7", harm=Harm.DURABILITY)
async def leader_that_was_heard_frees_no_vote(stage: Stage) -> None:
    """Neither following the leader it voted for nor giving way as a candidate takes a vote back from the disk.

    given: n1 voted for n2 in term 3 and took its entries, was killed and started again; later it was a
        candidate, gave way to n2 in the same term, was killed and started again
    when: n3 asks for its vote in that term, each time
    expect: denied, each time
    why: in memory the known leader hides it; after a crash a second candidate wins the term
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    (await n2.ask(n2.request_vote(3, (1, 1), troupe.members))).expect(vote_granted=True)
    troupe.term = 3
    await troupe.replicate(n2, (1, 1), entries(3))
    await troupe.restart()
    (await n3.ask(n3.request_vote(3, (9, 3), troupe.members))).expect(vote_granted=False)
    await troupe.awaken()
    term = (await troupe.campaign())["n2"]["term"]
    (await n2.ask(n2.append(term, (2, 3)))).expect(success=True, term=term)
    await troupe.restart()
    (await n3.ask(n3.request_vote(term, (9, term), troupe.members))).expect(vote_granted=False)


@case("P-02", "PERSIST-1", "TERM-1", "TERM-4", harm=Harm.DURABILITY)
async def told_term_survives(stage: Stage) -> None:
    """A term that any answer told is not forgotten.

    given: n1, in term 1, answers: a denied vote in term 10, a refused AppendEntries in term 20, an
    accepted
    one in term 30
    when: it is killed after each and started again
    expect: its next answer is never in a lower term
    why: a server whose term falls can vote, or lead, twice in one
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(1))
    for request in (
        n3.request_vote(10, (1, 1), troupe.members),
        n3.append(20, (9, 9)),
        n3.append(30, (2, 1)),
    ):
        (await n3.ask(request)).expect(term=request["term"])
        await troupe.restart()
        (await n2.ask(n2.append(request["term"] - 1, (2, 1)))).expect(success=False, term=request["term"])


@case("P-03", "PERSIST-1", "APPEND-7", harm=Harm.DURABILITY)
async def acknowledged_entries_survive(stage: Stage) -> None:
    """Entries that were acknowledged are there after `kill -9`.

    given: n1 acknowledged entries 2 to 6 of term 1
    when: it is killed and started again
    expect: an empty AppendEntries after (6, 1) succeeds
    why: the leader has counted them, and perhaps committed
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1, 1, 1, 1, 1))
    await troupe.restart()
    (await n2.ask(n2.append(1, (6, 1)))).expect(success=True, match_index=6)


@case("P-04", "PERSIST-1", "APPEND-3", harm=Harm.DURABILITY)
async def removed_entries_stay_away(stage: Stage) -> None:
    """A tail that was removed for a conflict does not come back.

    given: n1 had (2, 1) … (5, 1), and took (3, 2) from n3, leader of term 2, in the place of 3 to 5
    when: it is killed and started again
    expect: entry 3 is of term 2, and there is no entry 4
    why: a log of both histories matches nobody's
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(1, 1, 1, 1))
    troupe.term = 2
    await troupe.replicate(n3, (2, 1), entries(2, first=3))
    await troupe.restart()
    for prev, had in (((5, 1), False), ((4, 1), False), ((3, 1), False), ((3, 2), True)):
        (await n3.ask(n3.append(2, prev))).expect(success=had)


@case("P-05", "COMMIT-3", "PERSIST-1", harm=Harm.DURABILITY, capabilities=("introspect",))
async def state_is_rebuilt(stage: Stage) -> None:
    """After a restart the state is that of the whole log, not of what came after.

    given: n1 applied two increments, was killed and started again
    when: a third is committed
    expect: the count is 3
    why: the state machine lives in memory; it must be applied again from the start
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    step = Entry(1, "command", command("incr", "n", value=1))
    await troupe.follow(n2, [step, step], commit=3)
    await troupe.applied(3)
    await troupe.restart()
    await troupe.replicate(n2, (3, 1), [step], commit=4)
    await troupe.applied(4)
    await expect_values(troupe, n=3)


@case("P-20", "LAUNCH-6", "FORM-1", harm=Harm.DURABILITY)
async def it_is_the_same_server_after_a_restart(stage: Stage) -> None:
    """Started again on its directory, a server has the same node id and store id, and another boot id.

    given: n1, a member
    when: it is ended with SIGTERM, started again, killed, and started again
    expect: the same pair in each hello, another boot id; it is still a member
    why: under another pair it would be another server, whose votes count for nothing
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    boots = {n2.raft.hello["boot_id"] if n2.raft.hello else b""}
    status = await troupe.node.terminate(stage.patience)
    if status != 0:
        raise Unmet("exit status 0 after SIGTERM (LAUNCH-4)", f"{status}")
    await troupe.rejoin(n2, n3)
    boots.add(n2.raft.hello["boot_id"] if n2.raft.hello else b"")
    await troupe.restart()
    boots.add(n2.raft.hello["boot_id"] if n2.raft.hello else b"")
    if len(boots) != 3:
        raise Unmet("another boot id at each start (HELLO-6)", f"{len(boots)} in three starts")
    (await n3.ask(n3.request_vote(5, (1, 1), troupe.members))).expect(vote_granted=True)


@case("P-26", "COMMIT-3", "APPEND-5", harm=Harm.DURABILITY, capabilities=("introspect",))
async def uncommitted_entries_are_not_applied_at_start(stage: Stage) -> None:
    """After a restart nothing is taken for committed that nobody said is.

    given: n1, with entries up to 5, committed to 2, killed and started again
    when: n2 sends a heartbeat after (5, 1) with leader_commit 2
    expect: commit_index 2, and nothing beyond it applied
    why: entries 3 to 5 may yet be replaced; what they did would stay
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    step = Entry(1, "command", command("incr", "n", value=1))
    await troupe.follow(n2, [step] * 4, commit=2)
    await troupe.restart()
    (await n2.ask(n2.append(1, (5, 1), commit=2))).expect(success=True, match_index=5)
    await troupe.applied(2)
    await troupe.expect_status(commit_index=2, last_applied=2)
    await expect_values(troupe, n=1)
