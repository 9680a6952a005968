"""Candidates: when one campaigns, with what, and what makes it a leader (Raft §5.2, thesis §9.6)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from conformance.case import Harm, case
from conformance.peer.troupe import entries
from conformance.verdict import Unmet
from conformance.wire.message import message

if TYPE_CHECKING:
    from conformance.peer.line import Heard
    from conformance.stage import Stage
    from conformance.wire.message import Message


@case("E-13", "ELECT-1", "ELECT-3", "PREVOTE-1", harm=Harm.LIVENESS)
async def campaign_names_term_and_log(stage: Stage) -> None:
    """A server that hears from no leader campaigns, with the next term and its true last entry.

    given: n1, a member in term 2 whose log ends at (3, 2), restarted with an election timeout of 200 ms
    when: it hears from nobody
    expect: PRE_VOTE_REQUEST in term 2 and, once granted, VOTE_REQUEST in term 3, each with the last entry
    (3, 2), the list
        and formation false
    why: a wrong last entry wins votes it must not have, or loses those it needs
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(2, 2))
    await troupe.awaken()
    expected = {"last_log_index": 3, "last_log_term": 2, "formation": False, "members": troupe.members}
    for peer in (n2, n3):
        (await peer.requests.hear("PRE_VOTE_REQUEST")).expect(term=2, **expected)
    for heard in (await troupe.campaign()).values():
        heard.expect(term=3, **expected)


@case("E-34", "PREVOTE-1", harm=Harm.LIVENESS)
async def no_election_without_pre_votes(stage: Stage) -> None:
    """A server that gets no pre-votes asks for no votes and stays in its term.

    given: n1, a member of five in term 1, restarted with an election timeout of 200 ms
    when: n2 grants each pre-vote, n3 denies it, n4 and n5 are silent, for five rounds
    expect: no VOTE_REQUEST; PRE_VOTE_REQUEST stays in term 1
    why: a node that cannot win must not raise the term of those who can
    """
    troupe = await stage.troupe(5)
    n2, n3, _, n5 = troupe.peers
    await troupe.follow(n2)
    await troupe.awaken()
    rounds: set[int] = set()
    while len(rounds) < 5:
        asked = await n2.requests.hear("PRE_VOTE_REQUEST", "VOTE_REQUEST")
        if asked.message.kind == "VOTE_REQUEST":
            raise asked.unmet("no VOTE_REQUEST with two pre-votes of five", "VOTE_REQUEST")
        n2.grant(asked.expect(term=1))
        n3.answer(await n3.requests.hear("PRE_VOTE_REQUEST"), vote_granted=False)
        rounds.add(asked["seq"])
    await troupe.fence(n5)
    n2.requests.nothing("VOTE_REQUEST")


@case("E-32", "PREVOTE-1", "TERM-3")
async def pre_votes_of_another_round_do_not_count(stage: Stage) -> None:
    """A pre-vote counts only for the round whose seq it repeats.

    given: n1, a member, restarted, in its second round of pre-votes
    when: n2 and n3 send the grants of the first round
    expect: no VOTE_REQUEST in answer to them
    why: grants from before a leader appeared would depose it
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    await troupe.awaken()
    first = [await peer.requests.hear("PRE_VOTE_REQUEST") for peer in (n2, n3)]
    again = await n2.requests.hear("PRE_VOTE_REQUEST", where=lambda heard: heard["seq"] != first[0]["seq"])
    for peer, heard in zip((n2, n3), first, strict=True):
        peer.grant(heard)
    await troupe.fence(n2)
    await troupe.fence(n3)
    n2.requests.nothing("VOTE_REQUEST")
    n2.grant(again)


@case("E-33", "PREVOTE-3", "TERM-1", harm=Harm.LIVENESS)
async def denied_pre_vote_tells_the_term(stage: Stage) -> None:
    """A server that is denied a pre-vote with a higher term adopts that term.

    given: n1, a member in term 1, restarted
    when: n2 denies its pre-vote with term 8
    expect: its next PRE_VOTE_REQUEST is in term 8
    why: it would ask for ever in a term that is over
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    await troupe.awaken()
    n2.answer(await n2.requests.hear("PRE_VOTE_REQUEST"), term=8, vote_granted=False)
    await n2.requests.hear("PRE_VOTE_REQUEST", term=8)


@case("E-15", "VOTE-6")
async def majority_of_five_is_three(stage: Stage) -> None:
    """Of five, a candidate needs two votes besides its own.

    given: n1, a member of five, restarted, asks for votes
    when: n2 grants; then n3 grants
    expect: no AppendEntries after the first grant, AppendEntries to all after the second
    why: with one vote too few two candidates can lead in one term
    """
    troupe = await stage.troupe(5)
    n2, n3, *others = troupe.peers
    await troupe.follow(n2)
    await troupe.awaken()
    asked = await troupe.campaign()
    n2.grant(asked["n2"])
    await troupe.fence(n2)
    n2.requests.nothing("APPEND_ENTRIES_REQ")
    n3.grant(asked["n3"])
    for peer in (n2, n3, *others):
        await peer.requests.hear("APPEND_ENTRIES_REQ", term=troupe.term)


@case("E-16", "VOTE-6", "TERM-3")
async def a_voter_counts_once(stage: Stage) -> None:
    """One voter's grant counts once, however often it comes; denials count nothing.

    given: n1, a member of five, restarted, asks for votes
    when: n2 sends its grant five times, n3 and n4 deny
    expect: no AppendEntries
    why: a repeated answer would stand for voters who gave theirs to another
    hint: keep voters in a set, not in a counter
    """
    troupe = await stage.troupe(5)
    n2, n3, n4, _ = troupe.peers
    await troupe.follow(n2)
    await troupe.awaken()
    asked = await troupe.campaign()
    for _ in range(5):
        n2.grant(asked["n2"])
    n3.answer(asked["n3"], vote_granted=False)
    n4.answer(asked["n4"], vote_granted=False)
    for peer in (n2, n3, n4):
        await troupe.fence(peer)
    n2.requests.nothing("APPEND_ENTRIES_REQ")


@case("E-17", "TERM-3")
async def votes_of_an_older_term_do_not_count(stage: Stage) -> None:
    """A vote that was granted in an older term is none in this one.

    given: n1, a member, restarted, asked for votes in term 2, got none, and asks in term 3
    when: n2 and n3 send the grants of term 2
    expect: no AppendEntries
    why: those who granted term 2 may have granted somebody else term 3
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    await troupe.awaken()
    old = await troupe.campaign()
    n2.requests.skip()
    while (asked := await troupe.campaign())["n2"]["term"] == old["n2"]["term"]:
        pass
    n2.grant(old["n2"])
    n3.grant(old["n3"])
    await troupe.fence(n2)
    await troupe.fence(n3)
    n2.requests.nothing("APPEND_ENTRIES_REQ")
    n2.answer(asked["n2"], vote_granted=False)


@case("E-18", "FORM-7", "VOTE-6")
async def strangers_votes_do_not_count(stage: Stage) -> None:
    """Votes of nodes that are not on the list count for nothing.

    given: n1, a member of n1 to n3, restarted, asks for votes
    when: n8 and n9, whom it met and who are not on the list, send grants with its seq and term
    expect: no AppendEntries
    why: anybody on the network could elect a leader
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    await troupe.awaken()
    strangers = [stage.peer("n8"), stage.peer("n9")]
    await troupe.meet(*strangers, back=True)
    asked = await troupe.campaign()
    for stranger in strangers:
        for heard in asked.values():
            stranger.raft.send(_grant(stranger.node_id, heard))
            line = next(line for line in stranger.lines if line is not stranger.raft and line.lane != "actor")
            line.send(_grant(stranger.node_id, heard))
            await line.ping()
        await stranger.raft.ping()
    await troupe.fence(n2)
    n2.requests.nothing("APPEND_ENTRIES_REQ")


def _grant(name: str, asked: Heard) -> Message:
    fields = {"term": asked["term"], "request_term": asked["term"], "seq": asked["seq"], "vote_granted": True}
    return message("VOTE_RESPONSE", name, **fields)


@case("E-12", "VOTE-2", "VOTE-7")
async def stepping_down_frees_no_vote(stage: Stage) -> None:
    """A candidate that becomes a follower in its own term has still voted for itself.

    given: n1, a candidate of term 2, heard from n2, the leader of term 2, and followed it
    when: n3 asks for its vote in term 2
    expect: n2's entries are taken, n3 is denied
    why: its vote would count for two candidates of one term (akka-raft issue 56, hazelcast issue 16643)
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    await troupe.awaken()
    term = (await troupe.campaign())["n2"]["term"]
    (await n2.ask(n2.append(term, (1, 1)))).expect(success=True, term=term)
    (await n3.ask(n3.request_vote(term, (9, term), troupe.members))).expect(vote_granted=False, term=term)


@case("E-20", "VOTE-7", "APPEND-1", "TERM-2")
async def candidate_refuses_an_old_leader(stage: Stage) -> None:
    """A candidate refuses the leader of an older term and stays a candidate.

    given: n1, a candidate of term 2
    when: n2 sends AppendEntries of term 1; then n3 grants its vote
    expect: n2 is refused with term 2; n1 leads term 2
    why: a deposed leader would go on, or an election be lost to it
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    await troupe.awaken(election_ms=1000)
    asked = await troupe.campaign()
    (await n2.ask(n2.append(1, (1, 1)))).expect(success=False, term=asked["n2"]["term"])
    n3.grant(asked["n3"])
    await n2.requests.hear("APPEND_ENTRIES_REQ", term=asked["n2"]["term"])


@case("E-19", "TERM-1", "TERM-4", "PERSIST-1")
async def higher_term_in_a_response_is_adopted(stage: Stage) -> None:
    """A leader that sees a higher term in a response follows, and remembers the term when it is killed.

    given: n1, elected by n2 and n3
    when: n2 answers its AppendEntries with term 40; n1 asks for pre-votes in term 40, is killed and started
    again
    expect: PRE_VOTE_REQUEST in term 40 before and not lower after
    why: a leader that goes on beside a newer one, or a term that comes twice
    """
    troupe = await stage.troupe(eager=True)
    n2, _ = troupe.peers
    await troupe.lead()
    n2.lives = False
    heard = await n2.requests.hear("APPEND_ENTRIES_REQ")
    n2.answer(heard, term=40, success=False, match_index=0)
    await n2.requests.hear("PRE_VOTE_REQUEST", term=40)
    await troupe.restart()
    asked = await n2.requests.hear("PRE_VOTE_REQUEST")
    if asked["term"] < 40:
        raise asked.unmet(
            "PRE_VOTE_REQUEST in term 40 or above after the restart", f"term {asked['term']}", "term"
        )


@case("E-23", "LEADER-1", "LEADER-2", "FORM-6", harm=Harm.LIVENESS)
async def new_leader_speaks_at_once(stage: Stage) -> None:
    """A new leader sends AppendEntries with its first entry to all others.

    given: n1, elected by n2 and n3
    when: both acknowledge what it sends
    expect: APPEND_ENTRIES_REQ to both with entry 1, of kind members; then leader_commit 1
    why: others would time out and depose it, and nothing older could be committed
    """
    troupe = await stage.troupe(eager=True)
    await troupe.meet(back=True)
    firsts = await troupe.elect()
    for heard in firsts.values():
        heard.expect(prev_log_index=0, prev_log_term=0, leader_commit=0)
        if [entry.kind for entry in heard["entries"]] != ["members"]:
            raise heard.unmet("one entry, of kind members", repr(heard["entries"]), "entries")
    await troupe.commit(firsts)


@case("E-28", "LEADER-4", harm=Harm.LIVENESS)
async def leader_without_a_majority_steps_down(stage: Stage) -> None:
    """A leader that hears from no majority follows, in the same term, and says so to clients.

    given: n1 leads and has committed its first entry
    when: n2 and n3 answer nothing more
    expect: PRE_VOTE_REQUEST in the same term; $kv put is answered not_leader
    why: clients would wait at a leader that can commit nothing while the others have a new one
    """
    troupe = await stage.troupe(eager=True)
    n2, _ = troupe.peers
    await troupe.lead()
    for peer in troupe.peers:
        peer.lives = False
    await n2.requests.hear("PRE_VOTE_REQUEST", term=troupe.term)
    client = await troupe.client()
    answer = await client.kv("put", "k", value=1)
    if answer.get("code") != "not_leader":
        raise Unmet("$kv put to be answered not_leader", repr(answer))


@case("E-24", "VOTE-6", "KV-2", "COMMIT-1", harm=Harm.LIVENESS)
async def alone_it_leads_alone(stage: Stage) -> None:
    """A cluster of one elects itself and commits by itself.

    given: n1 with an expected size of 1
    when: a client puts a value and gets it
    expect: both are answered ok, with the value
    why: a majority of one is one
    """
    troupe = await stage.troupe(1, eager=True)
    client = await troupe.client()
    try:
        async with asyncio.timeout(stage.patience):
            while not (answer := await client.kv("put", "k", value="v"))["ok"]:
                if answer.get("code") != "not_leader":
                    raise Unmet("$kv put to succeed, or to say not_leader until it leads", repr(answer))
    except TimeoutError:
        raise Unmet(f"n1 to lead itself within {stage.patience:.1f} s", "$kv says not_leader") from None
    got = await client.kv("get", "k")
    if got.get("value") != "v":
        raise Unmet("$kv get to give 'v'", repr(got))


@case("E-21", "ELECT-2", "ELECT-1", harm=Harm.LIVENESS)
async def denied_votes_do_not_keep_it_waiting(stage: Stage) -> None:
    """Neither denied votes and pre-votes nor requests of an older term restart the election timer.

    given: n1, a member in term 2 whose log ends at (2, 2), restarted with an election timeout of 200 ms
    when: n3, whose log is older, asks for votes of term 2 and pre-votes, and sends AppendEntries of term 1,
        without a pause
    expect: all are denied, and n1 campaigns nevertheless
    why: a server that cannot win would keep those who can from trying
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(2))
    await troupe.awaken()
    campaign = asyncio.create_task(n2.requests.hear("PRE_VOTE_REQUEST", term=2))
    stage.closing.callback(campaign.cancel)
    while not campaign.done():
        (await n3.ask(n3.request_vote(2, (1, 1), troupe.members))).expect(vote_granted=False)
        (await n3.ask(n3.request_vote(2, (1, 1), troupe.members, pre=True))).expect(vote_granted=False)
        (await n3.ask(n3.append(1, (1, 1)))).expect(success=False, term=2)
    campaign.result()


@case("E-35", "LEADER-1", harm=Harm.LIVENESS)
async def heartbeats_go_on(stage: Stage) -> None:
    """A leader without anything to replicate sends AppendEntries again and again.

    given: n1 leads and everything it has is committed
    when: no client asks for anything
    expect: ten more AppendEntries to each peer, with what is committed
    why: the others would time out and depose it
    """
    troupe = await stage.troupe(eager=True)
    await troupe.lead()
    for peer in troupe.peers:
        peer.requests.skip()
        for _ in range(10):
            (await peer.requests.hear("APPEND_ENTRIES_REQ")).expect(term=troupe.term, leader_commit=1)
