"""What a leader counts: whose acknowledgements, of which term, and when an entry is committed (Raft §5.4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.case import Harm, case
from conformance.cases.leadership import carries, heartbeats
from conformance.peer.troupe import entries
from conformance.verdict import Unmet
from conformance.wire.message import message

if TYPE_CHECKING:
    from conformance.peer.line import Heard
    from conformance.peer.peer import Peer
    from conformance.peer.troupe import Troupe
    from conformance.stage import Stage
    from conformance.wire.message import Message


async def expect_commit(troupe: Troupe, peer: Peer, below: int) -> None:
    """Raises `Unmet` if the leader announces a commit index of `below` or more."""
    for heard in await heartbeats(troupe, peer):
        if heard["leader_commit"] >= below:
            raise heard.unmet(f"leader_commit below {below}", f"{heard['leader_commit']}", "leader_commit")


@case("R-18", "FORM-7", "COMMIT-1")
async def strangers_acknowledgements_do_not_count(stage: Stage) -> None:
    """Acknowledgements of nodes that are not on the list commit nothing.

    given: n1 leads n1 to n3; no-op sent, not acknowledged by n2 and n3
    when: n8 and n9, not on the list, acknowledge it with its seq and term
    expect: leader_commit stays below the no-op
    why: what is "committed" by strangers is gone with the leader
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1))
    await troupe.succeed()
    noop = await carries(troupe, n2, 3)
    for stranger in (stage.peer("n8"), stage.peer("n9")):
        await troupe.meet(stranger, back=True)
        for line in stranger.lines:
            line.send(_success(stranger.node_id, noop, 3))
            await line.ping()
    await expect_commit(troupe, n2, below=3)


@case("R-19", "TERM-3", "COMMIT-1")
async def acknowledgements_of_an_older_term_do_not_count(stage: Stage) -> None:
    """A success that answers a request of an older term is not counted.

    given: n1 leads a term after 1; its no-op is at index 3
    when: n2 answers with success and match_index 3, but request_term 1
    expect: leader_commit stays below 3
    why: the entry that n2 meant by index 3 may be another
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1))
    await troupe.succeed()
    noop = await carries(troupe, n2, 3)
    n2.answer(noop, request_term=1, success=True, match_index=3)
    await expect_commit(troupe, n2, below=3)


@case("R-21", "LEADER-6", "ERROR-3")
async def impossible_match_index_is_ignored(stage: Stage) -> None:
    """An acknowledgement of more than was sent is ignored.

    given: n1 leads; its log ends at index 3
    when: n2 answers with match_index 900 and with the largest number there is
    expect: leader_commit stays below 3, and n1 leads on
    why: it would commit what does not exist, or crash
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1))
    await troupe.succeed()
    noop = await carries(troupe, n2, 3)
    for match in (900, 2**63 - 1):
        n2.answer(noop, success=True, match_index=match)
    await expect_commit(troupe, n2, below=3)


@case("R-22", "COMMIT-1")
async def older_terms_are_not_committed_by_counting(stage: Stage) -> None:
    """An entry of an older term is committed only together with one of the leader's own (Figure 8).

    given: n1, whose log is (2, 2) (3, 2), leads term 3 or later, with its no-op at index 4
    when: n2 and n3 acknowledge up to index 3; then n2 acknowledges index 4
    expect: leader_commit stays below 2 at first, and is 4 then
    why: an entry on a majority can still be overwritten by a leader of a term in between
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(2, 2))
    await troupe.succeed()
    sent = {peer: await carries(troupe, peer, 4) for peer in (n2, n3)}
    for peer, heard in sent.items():
        peer.stored = 3
        peer.answer(heard, success=True, match_index=3)
    await expect_commit(troupe, n2, below=2)
    n2.acknowledge(sent[n2])
    await n2.requests.hear("APPEND_ENTRIES_REQ", leader_commit=4)


@case("R-23", "COMMIT-1", "KV-2")
async def majority_of_five_commits(stage: Stage) -> None:
    """Of five, an entry is committed when two others have it, and not before; the followers are told.

    given: n1 leads five; a client puts a value at index 2
    when: n2 acknowledges; then n3 does
    expect: no leader_commit 2 and no answer after the first, both after the second
    why: with one acknowledgement too few, two crashes lose the value
    """
    troupe = await stage.troupe(5, eager=True)
    n2, n3, *_ = troupe.peers
    await troupe.lead()
    client = await troupe.client()
    id = client.send_ask("$kv", {"op": "put", "key": "k", "value": 1})
    n2.acknowledge(await carries(troupe, n2, 2))
    await expect_commit(troupe, n2, below=2)
    client.line.inbox.nothing("ASK_RES", id=id)
    n3.acknowledge(await carries(troupe, n3, 2))
    answer = await client.kv_answer(id)
    if not answer["ok"]:
        raise Unmet("$kv to answer ok", repr(answer))
    await n2.requests.hear("APPEND_ENTRIES_REQ", leader_commit=2)


@case("R-24", "LEADER-2", "COMMIT-1", "LEADER-3", harm=Harm.LIVENESS)
async def old_tail_is_committed_without_clients(stage: Stage) -> None:
    """A new leader commits what its predecessors left, by a no-op of its own.

    given: n1, whose log is (2, 2) (3, 2), none committed, is elected
    when: n2 and n3 acknowledge what it sends; no client asks anything
    expect: an entry of kind noop of the new term at index 4; leader_commit 4
    why: acknowledged commands would stay invisible until somebody writes
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(2, 2))
    await troupe.succeed()
    heard = await carries(troupe, n2, 4)
    noop = heard["entries"][4 - heard["prev_log_index"] - 1]
    if (noop.kind, noop.term) != ("noop", troupe.term):
        raise heard.unmet(
            f"a noop of term {troupe.term} at index 4", f"{noop.kind} of term {noop.term}", "entries"
        )
    n2.acknowledge(heard)
    await n2.requests.hear("APPEND_ENTRIES_REQ", leader_commit=4)


@case("R-25", "COMMIT-4", "KV-2")
async def no_success_without_acknowledgements(stage: Stage) -> None:
    """A client hears nothing of success while nobody has acknowledged its command.

    given: n1 leads; a client puts a value; n2 and n3 get it and do not acknowledge
    when: the leader sends further heartbeats; then n2 acknowledges
    expect: no answer at first; ok then
    why: success before a majority has it is a lie
    """
    troupe = await stage.troupe(eager=True)
    n2, _ = troupe.peers
    await troupe.lead()
    client = await troupe.client()
    id = client.send_ask("$kv", {"op": "put", "key": "k", "value": 1})
    sent = await carries(troupe, n2, 2)
    await heartbeats(troupe, n2)
    await client.line.ping()
    client.line.inbox.nothing("ASK_RES", id=id)
    n2.acknowledge(sent)
    answer = await client.kv_answer(id)
    if not answer["ok"]:
        raise Unmet("$kv to answer ok", repr(answer))


@case("R-26", "COMMIT-4", "KV-2", "APPEND-3")
async def overwritten_command_is_no_success(stage: Stage) -> None:
    """A client whose command was overwritten by the next leader is not told that it succeeded.

    given: n1 leads; a client's command at index 2 is on nobody else
    when: n2 becomes leader of the next term and commits another entry at index 2
    expect: ok false, whether definite or not, and never ok true
    why: the value is nowhere (redpanda issue 3003)
    hint: wait for an index and a term, not for an index
    """
    troupe = await stage.troupe(eager=True)
    n2, _ = troupe.peers
    await troupe.lead()
    client = await troupe.client()
    id = client.send_ask("$kv", {"op": "put", "key": "mine", "value": 1})
    await carries(troupe, n2, 2)
    first = troupe.term
    troupe.term = first + 1
    await troupe.replicate(n2, (1, first), entries(first + 1), commit=2)
    answer = await client.kv_answer(id)
    if answer["ok"]:
        raise Unmet("$kv to answer ok false", repr(answer))


def _success(name: str, asked: Heard, match: int) -> Message:
    fields = {"term": asked["term"], "request_term": asked["term"], "seq": asked["seq"], "success": True}
    return message("APPEND_ENTRIES_RES", name, **fields, match_index=match)
