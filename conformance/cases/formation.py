"""Formation: who is a member, decided once, by all (FORM-1 to FORM-11)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from conformance.case import Harm, Level, case
from conformance.peer.troupe import decode_members, entries
from conformance.verdict import Unmet
from conformance.wire.message import Entry, Server, encode_configuration

if TYPE_CHECKING:
    from conformance.peer.line import Heard
    from conformance.peer.peer import Peer
    from conformance.peer.troupe import Troupe
    from conformance.stage import Stage


async def ask(
    troupe: Troupe,
    peer: Peer,
    *,
    pre: bool,
    formation: bool = True,
    members: tuple[Server, ...] | None = None,
    term: int = 1,
) -> bool:
    """Whether the node grants this peer, whose log is empty, a vote in `term` or a pre-vote before it."""
    wanted = troupe.members if members is None else members
    request = peer.request_vote(term - pre, (0, 0), wanted, formation=formation, pre=pre)
    granted: bool = (await peer.ask(request))["vote_granted"]
    return granted


@case("D-10", "FORM-3", "FORM-6", "FORM-4", "LEADER-2", harm=Harm.LIVENESS)
async def three_that_found_each_other_form(stage: Stage) -> None:
    """A fresh server that has found all others campaigns for the list of all, and as leader writes it into
    entry 1.

    given: n1, fresh; n2 and n3 have said hello and are connected
    when: both grant its pre-vote and its vote, with formation true
    expect: the list n1, n2, n3, sorted, in both requests; entry 1 of kind members with that list and a
    cluster id
    why: without it no cluster ever begins
    """
    troupe = await stage.troupe(eager=True)
    await troupe.meet(back=True)
    first, _ = await asyncio.gather(*(granted(troupe, peer) for peer in troupe.peers))
    cluster_id, members = decode_members(first["entries"][0])
    if tuple(members) != troupe.members or len(cluster_id) != 16:
        raise first.unmet(f"entry 1 with {troupe.members}", f"{members}", "entries[0].data")


async def granted(troupe: Troupe, peer: Peer) -> Heard:
    """Grants whatever the fresh node asks, in as many rounds as it takes; what its leader sends first."""
    while True:
        asked = await peer.requests.hear("PRE_VOTE_REQUEST", "VOTE_REQUEST", "APPEND_ENTRIES_REQ")
        if asked.message.kind == "APPEND_ENTRIES_REQ":
            return asked
        asked.expect(formation=True, members=troupe.members, last_log_index=0, last_log_term=0)
        peer.grant(asked)


@case("D-11", "FORM-3", "VOTE-6")
async def formation_needs_every_pre_vote(stage: Stage) -> None:
    """With one pre-vote missing, nobody asks for formation votes.

    given: n1, fresh, who knows n2 and n3
    when: n2 grants five pre-votes, n3 is silent
    expect: no VOTE_REQUEST; no AppendEntries
    why: two lists that share no majority could each elect a leader
    """
    troupe = await stage.troupe(eager=True)
    n2, n3 = troupe.peers
    await troupe.meet(back=True)
    for _ in range(5):
        asked = await n2.requests.hear("PRE_VOTE_REQUEST", "VOTE_REQUEST", "APPEND_ENTRIES_REQ")
        if asked.message.kind != "PRE_VOTE_REQUEST":
            raise asked.unmet("no election without the pre-vote of n3", asked.message.kind)
        n2.grant(asked)
    await n2.raft.ping()
    n2.requests.nothing("VOTE_REQUEST")
    n3.requests.nothing("VOTE_REQUEST")


@case("D-12", "FORM-3", "FORM-5", "VOTE-6")
async def formation_needs_every_vote(stage: Stage) -> None:
    """With one formation vote missing, nobody leads, though a majority has granted.

    given: n1, a candidate of the formation of n1 to n3
    when: n2 grants its vote, n3 denies it
    expect: no AppendEntries; n1 goes on to ask with formation true
    why: n3 may be locked into another list, whose majority knows nothing of this one
    """
    troupe = await stage.troupe(eager=True)
    n2, n3 = troupe.peers
    await troupe.meet(back=True)
    asked = await troupe.campaign()
    n2.grant(asked["n2"])
    n3.answer(asked["n3"], vote_granted=False)
    again = await n2.requests.hear("PRE_VOTE_REQUEST", "APPEND_ENTRIES_REQ")
    if again.message.kind != "PRE_VOTE_REQUEST":
        raise again.unmet("no leader without the vote of n3", "APPEND_ENTRIES_REQ")
    again.expect(formation=True, members=troupe.members)


@case("D-13", "FORM-4")
async def fresh_server_answers_for_its_own_list_only(stage: Stage) -> None:
    """A fresh server grants nothing for a list that is not the one it discovered.

    given: n1, fresh, who knows n2 and n3
    when: n2 asks for pre-votes for n1, n2, n4; for n1, n2; for the right ids with another store of n3; with
    formation false
    expect: none granted; the right list is, then
    why: it would be bound to a list that some of its members do not know of
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.meet()
    me, other = troupe.server, bytes(16)
    wrong = [
        (me, n2.server, Server("n4", n3.store_id)),
        (me, n2.server),
        (me, n2.server, Server("n3", other)),
        (Server("n1", other), n2.server, n3.server),
    ]
    for members in wrong:
        for pre in (True, False):
            await expect_denied(troupe, n2, members, pre=pre)
    await expect_denied(troupe, n2, troupe.members, pre=True, formation=False)
    await expect_denied(troupe, n2, troupe.members, pre=False, formation=False)
    granted = await ask(troupe, n2, pre=True, term=2)  # answered behind everything before it (PERSIST-2)
    n2.raft.inbox.nothing("VOTE_RESPONSE", vote_granted=True)
    for heard in n2.raft.inbox.all:
        if heard.message.kind == "VOTE_RESPONSE" and heard["vote_granted"]:
            raise heard.unmet("no vote for another list or without formation", "a grant", "vote_granted")
    if not granted:
        raise Unmet("the pre-vote for the discovered list to be granted", "a denial")


async def expect_denied(
    troupe: Troupe, peer: Peer, members: tuple[Server, ...], *, pre: bool, formation: bool = True
) -> None:
    """Raises `Unmet` if the node grants; silence is as good as a denial, for a fresh server owes nobody an
    answer."""
    last = peer.request(peer.request_vote(1 - pre, (0, 0), members, formation=formation, pre=pre))
    for _ in range(3):  # a pong may overtake an answer that is being made; hardly three
        await peer.raft.ping()
    kind = "PRE_VOTE_RESPONSE" if pre else "VOTE_RESPONSE"
    for heard in peer.raft.inbox.all:
        if heard.message.kind == kind and heard["seq"] == last and heard["vote_granted"]:
            raise heard.unmet(
                f"no grant for the list {', '.join(map(str, members))}", "a grant", "vote_granted"
            )


@case("D-14", "FORM-4", "FORM-11", harm=Harm.LIVENESS)
async def a_fourth_server_blocks_formation(stage: Stage) -> None:
    """With one server more than expected, nobody knows which three were meant, and nobody grants.

    given: n1, fresh, expects three; n2, n3 and n4 have said hello as members
    when: n2 asks for a pre-vote for n1, n2, n3, and for all four; n4 then leaves for more than three seconds
    expect: no grant while n4 is connected; a grant at last when it is forgotten
    why: two of four could form one cluster and two another, each with a third
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.meet()
    fourth = stage.peer("n4")
    await troupe.meet(fourth)
    await expect_denied(troupe, n2, (troupe.server, n2.server, n3.server), pre=True)
    all_four = tuple(sorted([*troupe.members, fourth.server]))
    await expect_denied(troupe, n2, all_four, pre=True)
    await fourth.leave()
    asked: set[int] = set()
    try:
        async with asyncio.timeout(stage.patience):
            while not any(heard.get("vote_granted") and heard["seq"] in asked for heard in n2.raft.inbox.all):
                asked.add(n2.request(n2.request_vote(0, (0, 0), troupe.members, formation=True, pre=True)))
                await n2.raft.ping()
    except TimeoutError:
        raise Unmet("a grant once n4 is gone for more than three seconds", "none") from None


@case("D-15", "FORM-2", "FORM-5", "PERSIST-1")
async def a_locked_list_survives(stage: Stage) -> None:
    """The list that a vote locked is the same after `kill -9`, and no other gets a vote.

    given: n1 granted n2 its formation vote for n1, n2, n3, was killed and started again
    when: n3 asks for a vote of the next term for n1, n3, n4, and then for the locked list
    expect: no grant for the other list; a grant for the locked one
    why: a server that forgets its lock can be bound to a second list: two clusters
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.meet()
    locked = troupe.members
    if not (await ask(troupe, n2, pre=True) and await ask(troupe, n2, pre=False)):
        raise Unmet("the pre-vote and the vote for the discovered list to be granted", "a denial")
    await troupe.restart()
    fourth = stage.peer("n4")
    await troupe.meet(fourth)
    another = (troupe.server, n3.server, fourth.server)
    if await ask(troupe, n3, pre=False, members=another, term=2):  # who is on the list is answered (TERM-2)
        raise Unmet("no vote for another list than the locked one", "a grant")
    if not await ask(troupe, n3, pre=False, members=locked, term=3):
        raise Unmet("the vote for the locked list to be granted", "a denial")


@case("D-16", "FORM-8", harm=Harm.SAFETY)
async def a_locked_server_takes_no_other_list(stage: Stage) -> None:
    """A locked server refuses an entry 1 with another list.

    given: n1 granted n2 its formation vote for n1, n2, n3
    when: n2 sends an entry 1 with the list n1, n2, n4; then the right one
    expect: no success for the first; success for the second
    why: it promised its vote for one list; another cannot have been elected by it
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.meet()
    if not (await ask(troupe, n2, pre=True) and await ask(troupe, n2, pre=False)):
        raise Unmet("the pre-vote and the vote for the discovered list to be granted", "a denial")
    troupe.term = 1
    other = sorted([troupe.server, n2.server, Server("n4", n3.store_id)])
    n2.request(n2.append(1, (0, 0), [Entry(1, "members", encode_configuration(troupe.cluster_id, other))]))
    await troupe.fence(n2)
    n2.raft.inbox.nothing("APPEND_ENTRIES_RES", success=True)
    await troupe.replicate(n2, (0, 0), [troupe.first_entry])


@case("D-17", "FORM-9", "COMMIT-1", "FORM-1")
async def another_store_is_another_server(stage: Stage) -> None:
    """A listed node id with another store id is a learner: its votes and acknowledgements count for nothing.

    given: n1 leads n1, n2, n3; n3 comes back with an empty disk, that is, another store id
    when: n3 acknowledges a client's command, n2 does not
    expect: the leader sends it the log from the start; no leader_commit 2, no answer to the client
    why: a server that forgot what it promised must not be counted as the one that promised
    """
    troupe = await stage.troupe(eager=True)
    n2, n3 = troupe.peers
    await troupe.lead()
    n3.store_id = stage.rng.randbytes(16)
    await n3.restart()
    n3.stored = 0
    await troupe.meet(n3, back=True)
    client = await troupe.client()
    id = client.send_ask("$kv", {"op": "put", "key": "k", "value": 1})
    heard = await n3.requests.hear("APPEND_ENTRIES_REQ")
    while heard["prev_log_index"] + len(heard["entries"]) < 2:
        if heard["prev_log_index"] > n3.stored:
            n3.answer(heard, success=False, match_index=0, conflict_index=1)
        else:
            n3.acknowledge(heard)
        heard = await n3.requests.hear("APPEND_ENTRIES_REQ")
    n3.acknowledge(heard)
    await troupe.fence(n2)
    n2.requests.skip()
    for _ in range(3):
        beat = await n2.requests.hear("APPEND_ENTRIES_REQ")
        if beat["leader_commit"] >= 2:
            raise beat.unmet("leader_commit below 2", str(beat["leader_commit"]), "leader_commit")
    client.line.inbox.nothing("ASK_RES", id=id)


@case("D-18", "FORM-9")
async def a_learner_neither_grants_nor_campaigns(stage: Stage) -> None:
    """A server that lost its disk stores what the leader sends, and grants no vote.

    given: n1, fresh, is sent entry 1 of a cluster that lists its id with another store
    when: n2, the leader, replicates to it; then n3 asks for its vote and its pre-vote
    expect: the entries are taken; no grant
    why: what it granted and acknowledged before is lost with its disk
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.meet()
    listed = sorted([Server("n1", stage.rng.randbytes(16)), n2.server, n3.server])
    troupe.term = 1
    first = Entry(1, "members", encode_configuration(troupe.cluster_id, listed))
    await troupe.replicate(n2, (0, 0), [first, *entries(1)])
    for pre in (True, False):
        (await n3.ask(n3.request_vote(7 - pre, (9, 5), listed, pre=pre))).expect(vote_granted=False)
    troupe.term = 8
    await troupe.replicate(n2, (2, 1), entries(8, first=3))


@case("D-19", "FORM-10", harm=Harm.SAFETY)
async def who_is_not_listed_has_no_log(stage: Stage) -> None:
    """A node whose id is not on the list takes no part.

    given: n1, fresh, is sent entry 1 of a cluster of n2, n3 and n4
    when: n2, its leader, replicates; n3 asks for n1's vote
    expect: no success and no grant; a client's $echo is still answered
    why: it could be counted into majorities it is not part of
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.meet()
    listed = sorted([n2.server, n3.server, Server("n4", stage.rng.randbytes(16))])
    first = Entry(1, "members", encode_configuration(troupe.cluster_id, listed))
    n2.request(n2.append(1, (0, 0), [first]))
    n3.request(n3.request_vote(3, (9, 2), listed))
    for peer in (n2, n3):
        await ask(troupe, peer, pre=True, term=9)  # answered behind everything before it (PERSIST-2)
    for heard in (*n2.raft.inbox.all, *n3.raft.inbox.all):
        if heard.get("success") or (heard.message.kind == "VOTE_RESPONSE" and heard["vote_granted"]):
            raise heard.unmet("no part in a cluster that does not list n1", heard.message.kind)
    client = await troupe.client()
    if await client.value("$echo", 42) != 42:
        raise Unmet("$echo to reply 42", "another value")


@case("D-20", "HELLO-4", "FORM-7", harm=Harm.SAFETY)
async def another_cluster_is_refused(stage: Stage) -> None:
    """A member refuses the hello of a member of another cluster.

    given: n1, a member of the cluster that n2 formed
    when: n9 says hello with another cluster id, and n8 with another cluster name
    expect: neither hello is answered with one; both connections are closed
    why: two clusters whose nodes share ids would mix their logs
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    others: list[tuple[str, dict[str, Any]]] = [
        ("n9", {"cluster_id": b"x" * 16}),
        ("n8", {"cluster": "another"}),
    ]
    for name, changed in others:
        stranger = stage.peer(name)
        line = await stranger.connect(troupe.node.address, "n1")
        line.send(stranger.hello(**changed))
        await line.gone()
        if line.hello is not None:
            raise line.hello.unmet("no hello in answer to one of another cluster", "a hello")


@case("D-21", "FORM-11", level=Level.STRICT, harm=Harm.LIVENESS)
async def a_blocked_formation_is_told(stage: Stage) -> None:
    """A node that cannot form says so, and names who is too many.

    given: n1, which expects three, campaigns after 400 ms at most; n2, n3 and n4 have said hello
    when: three election timeouts pass without a formation
    expect: a line on standard error that names n4
    why: an operator sees a cluster that hangs, and nothing else
    """
    troupe = await stage.troupe(eager=True)
    await troupe.meet()
    await troupe.meet(stage.peer("n4"))
    client = await troupe.client()
    try:
        async with asyncio.timeout(stage.patience):
            while not any("n4" in line and "n2" in line for line in troupe.node.last_words()):
                await client.value("$sleep", 0.1)
    except TimeoutError:
        expected = "a line on standard error that names n2 and n4"
        raise Unmet(expected, f"none within {stage.patience:.1f} s") from None


@case("D-22", "FORM-12", "TERM-1")
async def fresh_server_hears_members_only(stage: Stage) -> None:
    """A fresh server takes nothing from a node that did not say hello as a member, not even a term.

    given: n1, fresh; n2 and n3 have said hello as members, x1 with `member: false`
    when: x1 sends entry 1 of a cluster with itself as its leader, in term 90; then n2 forms one in term 1
    expect: no success to x1; the formation in term 1 succeeds
    why: any client could found a cluster of its own, or push a server to a term that nobody can follow
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.meet()
    outsider = stage.peer("x1", member=False)
    await troupe.meet(outsider)
    listed = sorted([troupe.server, n2.server, outsider.server])
    first = Entry(90, "members", encode_configuration(troupe.cluster_id, listed))
    outsider.request(outsider.append(90, (0, 0), [first]))
    for _ in range(3):
        await outsider.raft.ping()
    await troupe.form(n2)
    outsider.raft.inbox.nothing("APPEND_ENTRIES_RES", success=True)


@case("D-60", "ERROR-4", "FORM-7")
async def one_outside_is_told_once(stage: Stage) -> None:
    """A node outside is told once on a connection that it is no member, however often it asks.

    given: n1, a member of n1 to n3 in term 1
    when: n9, a stranger, asks for its vote in ten terms on one connection; then n3 asks for n1's in term 2
    expect: at most one ERROR NOT_A_MEMBER on the connection of n9
    why: a server outside asks for ever, and fills its log and that of every member
    hint: remember on the connection that it was said
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    stranger = stage.peer("n9")
    await troupe.meet(stranger)
    for term in range(50, 60):
        stranger.request(stranger.request_vote(term, (9, 49), troupe.members))
        await stranger.raft.ping()
    (await n3.ask(n3.request_vote(2, (1, 1), troupe.members))).expect(term=2, vote_granted=True)
    await stranger.raft.ping()
    heard = [each for each in stranger.raft.inbox.all if each.message.kind == "ERROR"]
    told = [each for each in heard if each["code"] == "NOT_A_MEMBER"]
    if len(told) > 1:
        raise told[1].unmet("at most one NOT_A_MEMBER on a connection", f"{len(told)} of them")
