"""The hello: who may talk to whom, and who speaks on a connection (HELLO-1 … HELLO-8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance._protocol import HELLO_BYTES_MAX
from conformance.case import Harm, Level, case
from conformance.verdict import Unmet
from conformance.wire.describe import summary
from conformance.wire.message import encode, message

if TYPE_CHECKING:
    from conformance.peer.line import Line
    from conformance.peer.peer import Peer
    from conformance.peer.troupe import Troupe
    from conformance.stage import Stage
    from conformance.wire.message import Message


async def turned_away(troupe: Troupe, peer: Peer, hello: Message, *more: Message) -> None:
    """Says this hello on a new connection, and more in the same write: it is closed, and got no hello."""
    line = await peer.connect(troupe.node.address, troupe.node.node_id)
    line.send(hello, *more, detail="malformed")
    await line.gone(f"the connection of {peer.node_id} to be closed")
    for heard in line.inbox.all:
        if heard.message.kind != "ERROR":
            raise heard.unmet("nothing, or an ERROR, in answer to such a hello", summary(heard.message))


async def expect_follower(troupe: Troupe) -> None:
    """The node is alive and follows n2 in term 1, as if nothing had happened."""
    n2 = troupe.peers[0]
    (await n2.ask(n2.append(1, (1, 1)))).expect(success=True, term=1)


@case("D-03", "HELLO-6", "ERROR-3", harm=Harm.SAFETY)
async def its_own_names_are_nobody_elses(stage: Stage) -> None:
    """Who says hello with the node's own node id, or its own boot id, is turned away.

    given: n1, a follower of n2
    when: somebody else says hello as n1; then as n9 with n1's boot id
    expect: no hello in answer, the connection closed, each time; n1 still follows n2
    why: a node that takes itself for a peer counts its own vote twice
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    twin, mirror = stage.peer("n1-twin"), stage.peer("n9")
    twin.node_id = "n1"
    await turned_away(troupe, twin, twin.hello())
    assert n2.raft.hello is not None
    await turned_away(troupe, mirror, mirror.hello(boot_id=n2.raft.hello["boot_id"]))
    await expect_follower(troupe)


@case("D-04", "PEER-7", harm=Harm.LIVENESS)
async def a_newer_connection_replaces_the_older(stage: Stage) -> None:
    """A second connection of the same node, boot and lane is used, and the first one closed.

    given: n1, a follower of n2, whose lanes raft and actor are connected
    when: n2 dials again for raft
    expect: the older connection for raft is closed; the new one and that for actor are served
    why: what the dialler has given up may look alive here for minutes
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    older = n2.raft
    actor = await n2.dial(troupe.node.address, "n1", "actor")
    await n2.dial(troupe.node.address, "n1", "raft")
    await older.gone("the older connection of the lane raft to be closed")
    await actor.ping()
    await expect_follower(troupe)


@case("D-30", "HELLO-7", harm=Harm.SAFETY)
async def a_living_node_keeps_its_id(stage: Stage) -> None:
    """While a node answers pings, a second process of its id is turned away.

    given: n1, a follower of n2, who answers pings
    when: another process says hello as n2, with a boot id and a store of its own
    expect: the newcomer is closed without a hello; n2's connection stays, and n1 follows it
    why: two processes of one id would share a vote
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    twin = stage.peer("n2")
    await turned_away(troupe, twin, twin.hello())
    if n2.raft.closed.is_set():
        raise Unmet("the connection of the n2 that was there first to stay", f"it ended: {n2.raft.closed_how}")
    await expect_follower(troupe)


@case("D-31", "HELLO-7", harm=Harm.LIVENESS)
async def a_restarted_node_gets_in(stage: Stage) -> None:
    """Who says hello under a new boot id is let in when the earlier boot answers no ping.

    given: n1, with a connection of n2, who answers nothing more
    when: n2 says hello under another boot id
    expect: a hello in answer; the earlier connection is closed; the new one is served
    why: after a crash the old connections look alive for minutes
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.meet(n2, back=True)
    older = n2.raft
    for line in n2.lines:
        line.answers_pings = False
    n2.boot_id = stage.rng.randbytes(16)
    await n2.dial(troupe.node.address, "n1")
    await older.gone("the connection of the earlier boot to be closed")
    await n2.raft.ping()


@case("D-32", "HELLO-2", "HELLO-1", harm=Harm.PROTOCOL)
async def the_dialler_waits_for_the_answer(stage: Stage) -> None:
    """The node says hello when it dials, and nothing else until it is answered.

    given: n1, who campaigns after 400 ms at most; n2 and n3 have said hello to it
    when: n1 dials them, and they do not answer its hello; it is asked to wait a second
    expect: a hello first, and nothing after it, on each connection that n1 dialled
    why: what goes out before the answer may go to somebody else
    """
    troupe = await stage.troupe(eager=True)
    for peer in troupe.peers:
        peer.answers_hello = False
    await troupe.meet()
    await (await troupe.client()).value("$sleep", 1.0)
    for peer in troupe.peers:
        dialled = [line for line in peer.lines if line is not peer.raft]
        if not dialled:
            raise Unmet(f"n1 to dial {peer.node_id}", "no connection")
        for line in dialled:
            if line.hello is None and line.inbox.all:
                raise line.inbox.all[0].unmet("a hello first", summary(line.inbox.all[0].message))
        for heard in peer.requests.all:
            raise heard.unmet("nothing after a hello without an answer", summary(heard.message))


@case("D-33", "HELLO-2", "HELLO-1", harm=Harm.PROTOCOL)
async def the_acceptor_waits_for_a_hello(stage: Stage) -> None:
    """The node says nothing to who has not said hello, and ends it for anything else.

    given: n1, alone
    when: two connect; n2 pings on another connection, which is answered; then the first sends a PING, the
    second peers without a hello
    expect: nothing on the first two before, but perhaps an ERROR; both are closed
    why: a stranger learns nothing, and who cannot say its name is not a node
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    first = await n3.connect(troupe.node.address, "n1")
    second = await n3.connect(troupe.node.address, "n1")
    await n2.dial(troupe.node.address, "n1")
    await n2.raft.ping()
    for line in (first, second):
        line.inbox.nothing()
    first.send(message("PING", "n3", id=1, pong=False))
    second.send(n3.peers())
    for line in (first, second):
        await line.gone()
        line.inbox.nothing("PING")
        line.inbox.nothing("PEER_LIST.hello")


@case("D-34", "HELLO-3", harm=Harm.LIVENESS, seconds=60)
async def hellos_have_five_seconds(stage: Stage) -> None:
    """Who says no hello within five seconds is closed; who has said one is not.

    given: n1, alone
    when: n3 connects and is silent; connects again and sends half a hello; n2 says hello and is silent
    expect: both of n3 are closed within ten seconds; n2 is answered then
    why: idle strangers use up what peers need
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    silent = await n3.connect(troupe.node.address, "n1")
    halfway = await n3.connect(troupe.node.address, "n1")
    halfway.send_bytes(encode(n3.hello()).encode()[:40], "half a hello")
    line = await n2.dial(troupe.node.address, "n1")
    for stranger in (silent, halfway):
        await stranger.gone("a stranger to be closed after five seconds", stage.scaled(10.0))
    await line.ping()


@case("D-35", "HELLO-3", "PAYLOAD-1", harm=Harm.PROTOCOL)
async def a_hello_has_4096_bytes(stage: Stage) -> None:
    """A hello of 4096 bytes is read, however it is cut; one of 4097 is not.

    given: n1, alone
    when: n2 says a hello of 4096 bytes in all, in three pieces, n3 one of 4097; n2 then sends 10,000 bytes
    expect: a hello to n2 and none to n3, who is closed; n2's frame is read
    why: a stranger may cost a connection and 4 KiB, nothing more
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    size = encode(n2.hello(zone="")).size
    fitting = encode(
        n2.hello(zone="z" * (HELLO_BYTES_MAX - size - 2))
    )  # a str of that length says it in 3 bytes
    assert fitting.size == HELLO_BYTES_MAX, fitting.size
    line = await n2.connect(troupe.node.address, "n1")
    data = fitting.encode()
    for piece in (data[:2], data[2:3000], data[3000:]):
        line.send_bytes(piece, "a piece of a hello")
        await line.drain()
    await line.hear("PEER_LIST.hello")
    await turned_away(troupe, n3, n3.hello(zone="z" * (HELLO_BYTES_MAX - size - 1)))
    line.send(message("ASK_REQ", "$echo", id=1, message="e" * 10_000))
    await line.hear("ASK_RES", id=1, value="e" * 10_000)


@case("D-36", "HELLO-4", harm=Harm.SAFETY)
async def who_differs_is_turned_away_at_once(stage: Stage) -> None:
    """Another version, cluster or expected size ends the connection before anything after the hello is read.

    given: n1, a follower of n2 in term 1; its cluster is called casty and has three
    when: n9 says hello with version 2 (and fields that version 1 does not have), as of cluster "other", with
    another cluster id, and with a size of 5; in the same write it asks $kv, for a vote of term 7, and pings
    expect: none of it answered, closed; n1 is in term 1 as before; a client with a size of 5 is welcome
    why: nodes that disagree about the size elect two leaders
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    n9 = stage.peer("n9")
    vote = n9.request_vote(7, (9, 6), troupe.members).fields
    more = (
        message("VOTE_REQUEST", "n9", seq=1, **vote),
        message("ASK_REQ", "$echo", id=1, message=1),
        message("PING", "n9", id=2, pong=False),
    )
    wrong: list[dict[str, Any]] = [
        {"version": 2},
        {"version": 2, "cluster": 5, "store_id": "x", "lane": None},
        {"version": 0},
        {"cluster": "other"},
        {"cluster": "Casty"},
        {"cluster_id": b"x" * 16},
        {"expected_size": 5},
        {"expected_size": 1},
    ]
    for changed in wrong:
        await turned_away(troupe, n9, n9.hello(**changed), *more)
    await expect_follower(troupe)
    line = await n9.connect(troupe.node.address, "n1")
    line.send(n9.hello(expected_size=5, member=False))
    await line.hear("PEER_LIST.hello")


@case("X-10", "HELLO-8", "ERROR-3", harm=Harm.SECURITY)
async def nobody_speaks_for_another(stage: Stage) -> None:
    """A Raft or PEER_LIST frame with another name than the hello's ends the connection, and has no effect.

    given: n1, a follower of n2 in term 1
    when: n3 sends, in n2's name and in a name that is nobody's, requests of term 9, responses and peer lists,
    each on a connection of its own
    expect: closed each time, nothing but an ERROR before; n1 is in term 1 as before
    why: who may say it is another may vote for another
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    vote = dict(n3.request_vote(9, (9, 8), troupe.members).fields) | {"seq": 1}
    beat = dict(n3.append(9, (1, 1)).fields) | {"seq": 2}
    answer = {"term": 9, "request_term": 1, "seq": 1, "vote_granted": True}
    success = {"term": 9, "request_term": 1, "seq": 1, "success": True, "match_index": 1}
    forged = [
        message("VOTE_REQUEST", "n2", **vote),
        message("PRE_VOTE_REQUEST", "n2", **vote),
        message("APPEND_ENTRIES_REQ", "n2", **beat),
        message("VOTE_RESPONSE", "n2", **answer),
        message("PRE_VOTE_RESPONSE", "n2", **answer),
        message("APPEND_ENTRIES_RES", "n2", **success),
        message("PEER_LIST.peers", "n2", peers=[]),
        n2.hello(),
        message("APPEND_ENTRIES_REQ", "", **beat),
        message("APPEND_ENTRIES_REQ", "N3", **beat),
    ]
    for said in forged:
        line = await n3.dial(troupe.node.address, "n1")
        line.send(said, detail="malformed")
        await line.gone(f"the connection of n3 to be closed for a {said.kind} of {said.name!r}")
        _nothing_of_raft(line)
    await expect_follower(troupe)


def _nothing_of_raft(line: Line) -> None:
    for heard in line.inbox.all:
        if heard.message.kind.endswith(("_RESPONSE", "_RES")):
            raise heard.unmet("no answer to what was said in another's name", summary(heard.message))


@case("D-49", "HELLO-5", "HELLO-1", "ERROR-1", harm=Harm.PROTOCOL)
async def senseless_hellos_are_turned_away(stage: Stage) -> None:
    """A hello with an address or a size that makes no sense closes, and so does an ERROR in its place.

    given: n1, a follower of n2
    when: n9 says hello with addresses that are none, and with an expected size of 0; then an ERROR comes first
    expect: no hello, closed, each time; the ERROR is not answered
    why: who cannot be dialled cannot be a peer
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    n9 = stage.peer("n9")
    for address in ("", "nowhere", "127.0.0.1", ":1", "h:port", "::1:80", "h:65536"):
        await turned_away(troupe, n9, n9.hello(address=address))
    await turned_away(troupe, n9, n9.hello(expected_size=0))
    line = await n9.connect(troupe.node.address, "n1")
    line.send(message("ERROR", "", code="SIZE_MISMATCH", rule="HELLO-4", text="another size"))
    await line.gone("the connection to be closed after an ERROR in place of a hello")
    line.inbox.nothing()
    await expect_follower(troupe)


@case("D-48", "ERROR-2", "HELLO-4", "HELLO-6", level=Level.STRICT, harm=Harm.PROTOCOL)
async def who_is_turned_away_is_told_why(stage: Stage) -> None:
    """A hello that is refused is answered with an ERROR that names the reason.

    given: n1, a follower of n2
    when: hellos of another version, cluster, size, with n1's own id, and of no schema come
    expect: ERROR with VERSION_MISMATCH, CLUSTER_MISMATCH, SIZE_MISMATCH, NODE_ID_IN_USE, BAD_PAYLOAD
    why: whoever set it up wrongly sees in what
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    n9, twin = stage.peer("n9"), stage.peer("n1-twin")
    twin.node_id = "n1"
    refusals: list[tuple[Peer, dict[str, Any], str]] = [
        (n9, {"version": 2}, "VERSION_MISMATCH"),
        (n9, {"cluster": "other"}, "CLUSTER_MISMATCH"),
        (n9, {"expected_size": 5}, "SIZE_MISMATCH"),
        (twin, {}, "NODE_ID_IN_USE"),
        (n9, {"lane": "slow"}, "BAD_PAYLOAD"),
    ]
    for peer, changed, code in refusals:
        line = await peer.connect(troupe.node.address, "n1")
        line.send(peer.hello(**changed), detail="malformed")
        (await line.hear("ERROR")).expect(code=code)
        await line.gone()
