"""Followers: what they take into their logs, and what they say of it (Raft §5.3, Figure 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Harm, case
from conformance.peer.troupe import entries
from conformance.verdict import Unmet
from conformance.wire.message import Entry

if TYPE_CHECKING:
    from conformance.stage import Stage


@case("R-01", "APPEND-2", "APPEND-7", harm=Harm.LIVENESS)
async def empty_append_at_the_start_succeeds(stage: Stage) -> None:
    """Index 0 counts as had by everybody.

    given: n1, a follower whose log ends at (3, 1)
    when: n2, its leader, sends an empty AppendEntries after (0, 0)
    expect: success with match_index 0
    why: a leader that knows nothing of a follower begins there; a larger match_index would claim what was
    not compared
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1, 1))
    (await n2.ask(n2.append(1, (0, 0)))).expect(success=True, match_index=0)


@case("R-02", "APPEND-1", "TERM-2")
async def lower_term_is_refused(stage: Stage) -> None:
    """AppendEntries of a term that is over is refused and changes nothing.

    given: n1, in term 5, restarted, whose log ends at (2, 5); it knows no leader of term 5
    when: n3 sends an entry of term 4 after (1, 1)
    expect: success false, term 5; entry 2 of term 5 is still there
    why: a deposed leader would overwrite what its successor has committed
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(5))
    await troupe.restart()
    (await n3.ask(n3.append(4, (1, 1), entries(4)))).expect(success=False, term=5)
    (await n2.ask(n2.append(5, (2, 5)))).expect(success=True, match_index=2)


@case("R-03", "APPEND-2")
async def gap_is_refused(stage: Stage) -> None:
    """Entries that would leave a gap are refused.

    given: n1, a follower whose log ends at (2, 1)
    when: n2 sends an entry after (5, 1)
    expect: success false; there is no entry 5, and none at 6
    why: the gap would be filled by something else on another node
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1))
    (await n2.ask(n2.append(1, (5, 1), entries(1, first=6)))).expect(success=False)
    for prev in (5, 6):
        (await n2.ask(n2.append(1, (prev, 1)))).expect(success=False)
    (await n2.ask(n2.append(1, (2, 1)))).expect(success=True)


@case("R-04", "APPEND-2")
async def gap_with_term_zero_is_refused(stage: Stage) -> None:
    """A prev_log_term of 0 opens no gap.

    given: n1, a follower whose log ends at (2, 1)
    when: n2 sends an entry after (5, 0)
    expect: success false
    why: "no entry" and "term 0" are easily taken for one another
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1))
    (await n2.ask(n2.append(1, (5, 0), entries(1, first=6)))).expect(success=False)


@case("R-05", "APPEND-2")
async def other_term_at_prev_is_refused(stage: Stage) -> None:
    """Entries are refused when the one before them is of another term.

    given: n1, a follower whose log ends at (3, 2)
    when: n2, now leader of term 4, sends an entry after (3, 3)
    expect: success false; entry 3 of term 2 is still there
    why: the logs would differ below an entry that they share: Log Matching
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(2, 2))
    (await n2.ask(n2.append(4, (3, 3), entries(4, first=4)))).expect(success=False, term=4)
    (await n2.ask(n2.append(4, (3, 2)))).expect(success=True, match_index=3)


@case("R-06", "APPEND-3", "APPEND-4")
async def conflict_removes_the_tail(stage: Stage) -> None:
    """A conflicting entry and all after it go; the new ones take their place.

    given: n1, a follower whose log is (2, 2) (3, 2) (4, 2) after entry 1
    when: n3, leader of term 3, sends one entry of term 3 after (2, 2)
    expect: success with match_index 3; entry 3 is of term 3, and there is no entry 4
    why: the old tail would be counted as replicated later (mofa issue 1151)
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(2, 2, 2))
    troupe.term = 3
    await troupe.replicate(n3, (2, 2), entries(3, first=3))
    (await n3.ask(n3.append(3, (4, 2)))).expect(success=False)
    (await n3.ask(n3.append(3, (3, 2)))).expect(success=False)
    (await n3.ask(n3.append(3, (3, 3)))).expect(success=True, match_index=3)


@case("R-07", "APPEND-3")
async def old_requests_truncate_nothing(stage: Stage) -> None:
    """A short or repeated request whose entries the log has removes nothing.

    given: n1, a follower whose log is (2, 1) … (5, 1)
    when: n2's earlier requests arrive again: entries 2 and 3 after (1, 1), entry 3 after (2, 1), none after
    (1, 1)
    expect: success each; entry 5 is still there
    why: entries that were acknowledged and counted would vanish
    hint: remove only from the first entry whose term differs
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    log = entries(1, 1, 1, 1)
    await troupe.follow(n2, log)
    for prev, part in (((1, 1), log[:2]), ((2, 1), log[1:2]), ((1, 1), [])):
        (await n2.ask(n2.append(1, prev, part))).expect(success=True)
        (await n2.ask(n2.append(1, (5, 1)))).expect(success=True, match_index=5)


@case("R-08", "APPEND-7")
async def match_index_is_what_was_compared(stage: Stage) -> None:
    """An acknowledgement covers what the request named, not the follower's own tail.

    given: n1, a follower whose log is (2, 1) … (5, 1)
    when: n3, leader of term 2, sends a heartbeat after (2, 1)
    expect: success with match_index 2
    why: the leader would count entries 3 to 5, which it may not have, and commit others at their indexes
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(1, 1, 1, 1))
    (await n3.ask(n3.append(2, (2, 1)))).expect(success=True, match_index=2)


@case("R-09", "APPEND-5", "COMMIT-3", capabilities=("introspect",))
async def commit_goes_no_further_than_what_was_compared(stage: Stage) -> None:
    """The commit index rises to what this request has verified, not to the end of the log.

    given: n1, a follower whose log is (2, 1) … (5, 1), nothing committed beyond entry 1
    when: n3, leader of term 2, sends a heartbeat after (2, 1) with leader_commit 5
    expect: commit_index 2
    why: entries 3 to 5 may not be the leader's; they would be applied (copycat issue 265, scylla issue 9965)
    hint: min(leader_commit, prev_log_index + len(entries))
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(1, 1, 1, 1), commit=1)
    (await n3.ask(n3.append(2, (2, 1), commit=5))).expect(success=True)
    await troupe.expect_status(commit_index=2)
    await troupe.fence(n3)
    status = await troupe.status()
    if status["last_applied"] > 2:
        raise Unmet("nothing beyond entry 2 to be applied", f"last_applied {status['last_applied']}")


@case("R-10", "APPEND-5", capabilities=("introspect",))
async def commit_never_falls(stage: Stage) -> None:
    """A lower leader_commit than known changes nothing, and one beyond the log is cut to it.

    given: n1, a follower with entries up to 5, commit index 4
    when: n2 sends heartbeats after (5, 1) with leader_commit 2, then 900
    expect: commit_index 4, then 5
    why: what is applied cannot be taken back
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1, 1, 1, 1), commit=4)
    (await n2.ask(n2.append(1, (5, 1), commit=2))).expect(success=True)
    await troupe.expect_status(commit_index=4)
    (await n2.ask(n2.append(1, (5, 1), commit=900))).expect(success=True)
    await troupe.expect_status(commit_index=5)


@case("R-11", "APPEND-6")
async def committed_entries_are_not_overwritten(stage: Stage) -> None:
    """A request that contradicts a committed entry is refused; the node stays up and keeps its log.

    given: n1, a follower with (2, 1) (3, 1) committed
    when: n3, claiming to lead term 2, sends an entry of term 2 after (1, 1)
    expect: success false (and ERROR COMMITTED_CONFLICT, perhaps); entry 3 of term 1 is still there
    why: clients were told that it is there for good; better no progress than a lie
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(1, 1), commit=3)
    (await n3.ask(n3.append(2, (1, 1), entries(2)))).expect(success=False)
    (await n3.ask(n3.append(2, (3, 1)))).expect(success=True, match_index=3)


@case("R-29", "APPEND-9", "ERROR-3", harm=Harm.PROTOCOL)
async def impossible_entries_are_refused(stage: Stage) -> None:
    """Entries whose terms make no sense are BAD_PAYLOAD, and the log stays as it is.

    given: n1, a follower in term 3 whose log ends at (2, 3)
    when: n2 sends entries of falling terms, of a term below prev_log_term, and of a term above its own
    expect: no response and the log unchanged, each time; an ERROR may come
    why: the terms of a log never fall: all that elections compare rests on it
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(3))
    for terms in ((3, 2), (2,), (4,)):
        n2.request(n2.append(3, (2, 3), entries(*terms, first=3)), detail="malformed")
        await troupe.fence(n2)
        n2.raft.inbox.nothing("APPEND_ENTRIES_RES", success=True)
        (await n2.ask(n2.append(3, (3, terms[0])))).expect(success=False)


@case("R-32", "APPEND-10")
async def second_leader_of_a_term_is_refused(stage: Stage) -> None:
    """Of two leaders of one term, the follower of one refuses the other.

    given: n1, a follower of n2 in term 2
    when: n3 sends AppendEntries of term 2
    expect: success false (and ERROR TWO_LEADERS, perhaps); n2's entry is still there
    why: one of them broke the rules; mixing their logs would spread the damage
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(2, 2))
    (await n3.ask(n3.append(2, (1, 1), entries(2)))).expect(success=False)
    (await n2.ask(n2.append(2, (3, 2)))).expect(success=True, match_index=3)


@case("R-33", "FORM-7")
async def strangers_entries_are_dropped(stage: Stage) -> None:
    """AppendEntries of a node that is not on the list changes nothing.

    given: n1, a member of n1 to n3 whose log ends at (2, 1)
    when: n9, a stranger, claims to lead term 9 and sends an entry after (2, 1)
    expect: no success; no entry 3; n2 still leads term 1
    why: anybody could write into the log
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1))
    stranger = stage.peer("n9")
    await troupe.meet(stranger)
    stranger.request(stranger.append(9, (2, 1), entries(9, first=3)))
    await stranger.raft.ping()
    (await n2.ask(n2.append(1, (3, 9)))).expect(success=False, term=1)
    stranger.raft.inbox.nothing("APPEND_ENTRIES_RES", success=True)


@case("R-34", "FORM-8", "COMMIT-3", harm=Harm.PROTOCOL)
async def members_only_at_the_start(stage: Stage) -> None:
    """An entry of kind members at another index than 1 is BAD_PAYLOAD.

    given: n1, a follower whose log ends at (2, 1)
    when: n2 sends an entry of kind members after (2, 1)
    expect: no success, no entry 3
    why: the list never changes; a second one would change who counts
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1))
    n2.request(n2.append(1, (2, 1), [Entry(1, "members", troupe.first_entry.data)]), detail="malformed")
    await troupe.fence(n2)
    n2.raft.inbox.nothing("APPEND_ENTRIES_RES", success=True)
    (await n2.ask(n2.append(1, (3, 1)))).expect(success=False)
