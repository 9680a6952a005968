"""Finding each other: seeds, peer lists and addresses; what connections are used for (PEER-1 … PEER-9)."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from conformance.case import Harm, Level, case
from conformance.verdict import Unmet
from conformance.wire.message import message

if TYPE_CHECKING:
    from conformance.peer.line import Heard
    from conformance.stage import Stage


def listed(heard: Heard) -> dict[str, str]:
    """The addresses by node id of a PEER_LIST."""
    return {peer.node_id: peer.address for peer in heard["peers"]}


def bound_socket() -> socket.socket:
    """A port of this machine that refuses connections until somebody listens on it."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@case("D-01", "LAUNCH-3", "HELLO-1", "PEER-1", "PEER-7", harm=Harm.PROTOCOL)
async def it_says_who_it_is(stage: Stage) -> None:
    """The node announces the address that it was told to, to those it accepts and to those it dials.

    given: n1, told to advertise an address that is not the one it bound
    when: n2 dials it with the lane all, and is dialled
    expect: a hello of n1 with that address, and the lane repeated; then a PEER_LIST, from either side; the
    address it bound in none of them
    why: behind a proxy or in a container the address that was bound is nobody's business
    """
    with bound_socket() as sock:
        host, port = sock.getsockname()
        advertised = f"{host}:{port}"
        troupe = await stage.troupe(launch=stage.launch(advertise=advertised))
        n2, _ = troupe.peers
        await n2.listen()
        line = await n2.dial(troupe.node.address, "n1", "all")
        assert line.hello is not None
        line.hello.expect(address=advertised, lane="all", version=1, cluster="casty", expected_size=3)
        await n2.dialled()
        back = n2.lines[-1].hello
        assert back is not None
        back.expect(address=advertised)
        for heard in (await line.hear("PEER_LIST.peers"), await n2.requests.hear("PEER_LIST.peers")):
            if troupe.node.address in listed(heard).values():
                raise heard.unmet(f"the address {advertised} only", "the one it bound", "peers")


@case("D-02", "PEER-1", "PEER-2", harm=Harm.LIVENESS)
async def it_tells_and_dials_whom_it_knows(stage: Stage) -> None:
    """A newcomer is told of those the node knows, and is dialled, as are those it tells of.

    given: n1, who has met n2
    when: n3 says hello, and tells of n4
    expect: a PEER_LIST with n2 and its address to n3; n1 dials n3 and n4
    why: a seed is one address; the others are found through it
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    n4 = stage.peer("n4")
    await troupe.meet(n2, back=True)
    await n3.listen()
    await n4.listen()
    line = await n3.dial(troupe.node.address, "n1")
    heard = await line.hear("PEER_LIST.peers")
    if listed(heard).get("n2") != n2.address:
        raise heard.unmet(f"a list with n2 at {n2.address}", f"{listed(heard)}", "peers")
    line.send(n3.peers(("n4", n4.address), ("n3", n3.address)))
    await n3.dialled()
    await n4.dialled()


@case("D-05", "PEER-5", "ERROR-3", harm=Harm.LIVENESS)
async def invented_addresses_delay_nothing(stage: Stage) -> None:
    """A list of ten thousand addresses that lead nowhere, malformed ones among them, delays no Raft.

    given: n1, a follower of n2
    when: n3 tells of ten thousand nodes, and of a thousand others, and n2 sends heartbeats in the second that
    follows; n4 says hello
    expect: twenty heartbeats answered, each within a second; n4 is told of 1024 nodes at most
    why: a wrong or hostile list must not cost the cluster its leader
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    client = await troupe.client()
    invented = [(f"x{at}", f"127.{at // 250}.{at % 250}.7:9") for at in range(9_990)]
    wrong = ["", "nowhere", "h:0", "h:65536", ":1", "[::1]", "a b:1", "127.0.0.1:-1", "h:1x", "\0:1"]
    n3.raft.send(n3.peers(*[(f"y{at}", text) for at, text in enumerate(wrong)], *invented))
    n3.raft.send(n3.peers(*[(f"z{at}", f"127.99.{at // 250}.{at % 250}:9") for at in range(1000)]))
    for _ in range(20):
        (await n2.ask(n2.append(1, (1, 1)), seconds=stage.scaled(1.0))).expect(success=True)
        await client.value("$sleep", 0.05)
    line = await stage.peer("n4").dial(troupe.node.address, "n1")
    heard = await line.hear("PEER_LIST.peers")
    if len(heard["peers"]) > 1024:
        raise heard.unmet("at most 1024 peers", f"{len(heard['peers'])}", "peers")


@case("D-06", "PEER-2", harm=Harm.LIVENESS)
async def a_seed_that_is_down_is_dialled_again(stage: Stage) -> None:
    """Seeds that are down when the node starts are dialled until they are up.

    given: n1, whose only seed refuses connections
    when: the seed begins to listen, after a second
    expect: n1 dials it and says hello
    why: nodes start in any order
    """
    sock = bound_socket()
    stage.closing.callback(sock.close)
    host, port = sock.getsockname()
    seed = stage.peer("n2")
    troupe = await stage.troupe(launch=stage.launch(seeds=[f"{host}:{port}"]))
    await (await troupe.client()).value("$sleep", 1.0)
    await seed.listen(sock)
    await seed.dialled()


@case("D-07", "PEER-2", "PEER-4", harm=Harm.LIVENESS)
async def a_peer_is_dialled_where_it_says_it_is(stage: Stage) -> None:
    """A peer that comes back elsewhere is dialled there: its latest hello counts.

    given: n1, who has dialled n2
    when: n2 ends, listens elsewhere and says hello with its new address; n3 tells of its old one
    expect: n1 dials the new address; n4 is told of the new address
    why: addresses change with every container
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.meet(n2, n3, back=True)
    old = n2.address
    await n2.leave()
    await n2.restart()
    await n2.listen()
    await n2.dial(troupe.node.address, "n1")
    await n2.dialled()
    n3.raft.send(n3.peers(("n2", old)))
    await n3.raft.ping()
    line = await stage.peer("n4").dial(troupe.node.address, "n1")
    heard = await line.hear("PEER_LIST.peers")
    if listed(heard).get("n2") != n2.address:
        raise heard.unmet(f"n2 at {n2.address}", f"at {listed(heard).get('n2')}", "peers")


@case("D-44", "PEER-4", harm=Harm.LIVENESS)
async def a_wildcard_host_is_where_it_came_from(stage: Stage) -> None:
    """A hello with the host 0.0.0.0 means the host that the connection came from.

    given: n1
    when: n2 says hello from 127.0.0.1 with the host 0.0.0.0 and its port, and answers so when it is dialled
    expect: n1 dials n2 at 127.0.0.1 and that port, and tells n3 of that address
    why: a server that listens everywhere does not know what it is called
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    _, _, port = (await n2.listen()).rpartition(":")
    n2.address = f"0.0.0.0:{port}"
    await n2.dial(troupe.node.address, "n1")
    await n2.dialled()
    heard = await (await n3.dial(troupe.node.address, "n1")).hear("PEER_LIST.peers")
    if listed(heard).get("n2") != f"127.0.0.1:{port}":
        raise heard.unmet(f"n2 at 127.0.0.1:{port}", f"at {listed(heard).get('n2')}", "peers")


@case("D-46", "PEER-3", "HELLO-6", harm=Harm.LIVENESS)
async def it_never_dials_itself(stage: Stage) -> None:
    """The node's own id and its own address are skipped, whoever tells of them.

    given: n1, whose advertised address is its seed, too
    when: n2 tells of n1 at another address, and of n3
    expect: n1 dials n3, and neither of the addresses that are said to be its own
    why: a node that is its own peer counts itself twice
    """
    own, other = stage.peer("decoy-1"), stage.peer("decoy-2")
    await own.listen()
    await other.listen()
    troupe = await stage.troupe(launch=stage.launch(advertise=own.address, seeds=[own.address]))
    n2, n3 = troupe.peers
    await troupe.meet(n2, back=True)
    await n3.listen()
    n2.raft.send(n2.peers(("n1", other.address), ("n1", own.address), ("n3", n3.address)))
    await n3.dialled()
    for decoy in (own, other):
        if decoy.lines:
            raise Unmet("nobody at an address that is said to be n1's own", "a connection")


@case("D-50", "PEER-2", "PEER-4", harm=Harm.LIVENESS)
async def one_connection_for_a_lane_is_enough(stage: Stage) -> None:
    """While a connection it dialled is open, the node dials no other to that node in that lane.

    given: n1, who has dialled n2
    when: n2 says hello again, with another address, at which somebody listens; n3 is found meanwhile
    expect: n1 dials n3, and keeps at most one connection of its own for each lane to n2
    why: two connections to one node are two orders of one stream
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    elsewhere = stage.peer("elsewhere")
    await troupe.meet(n2, back=True)
    own = [n2.raft]
    n2.address = await elsewhere.listen()
    own.append(await n2.dial(troupe.node.address, "n1", "all"))
    await troupe.meet(n3, back=True)
    await (await troupe.client()).value("$sleep", 0.3)
    dialled = [line for line in (*n2.lines, *elsewhere.lines) if line not in own and not line.closed.is_set()]
    lanes = [line.lane for line in dialled]
    if len(set(lanes)) < len(lanes):
        raise Unmet("one connection to n2 for each lane", f"connections for {lanes}")


@case("D-47", "PEER-2", harm=Harm.LIVENESS)
async def it_waits_between_attempts(stage: Stage) -> None:
    """Who cannot be reached is dialled again, and not all the time.

    given: n1, whose seed accepts connections and closes them at once
    when: two seconds pass
    expect: two attempts at least, and 24 at most (0.1 s, doubled each time, for two lanes: about ten)
    why: a cluster that restarts must not be knocked down by those who knock
    """
    attempts = 0

    def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    stage.closing.callback(server.close)
    host, port = server.sockets[0].getsockname()
    troupe = await stage.troupe(launch=stage.launch(seeds=[f"{host}:{port}"]))
    before = attempts
    await (await troupe.client()).value("$sleep", 2.0)
    if not 2 <= attempts - before <= 24:
        raise Unmet("2 to 24 attempts in two seconds", f"{attempts - before}")


@case("D-09", "FORM-10", "PEER-7", harm=Harm.SAFETY)
async def strangers_may_use_actors(stage: Stage) -> None:
    """A node that is not on the list may ask and look up, and has no word in Raft.

    given: n1, a member of n1 to n3
    when: n9, who says it is a member, asks $echo and looks it up, and asks for a vote of term 7
    expect: answers to the first two, no grant; n1 is in term 1 as before
    why: whoever reaches the port could otherwise depose leaders
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    n9 = stage.peer("n9")
    await troupe.meet(n9)
    n9.raft.send(message("ASK_REQ", "$echo", id=1, message="hello"), message("LOOKUP_REQ", "$echo", id=2))
    n9.request(n9.request_vote(7, (9, 6), troupe.members))
    answers = {(await n9.raft.hear("ASK_RES", "LOOKUP_RES"))["id"] for _ in range(2)}
    if answers != {1, 2}:
        raise Unmet("an answer to the ask and one to the lookup", f"answers to {sorted(answers)}")
    await n9.raft.ping()
    (await n2.ask(n2.append(1, (1, 1)))).expect(success=True, term=1)
    n9.raft.inbox.nothing("VOTE_RESPONSE", vote_granted=True)


@case("D-39", "PEER-6", harm=Harm.SAFETY)
async def requests_go_out_where_they_were_dialled(stage: Stage) -> None:
    """Requests go out on connections that the node dialled; a reply returns where its request came.

    given: n1, elected by n2 and n3; n2 has dialled it twice, for raft and for all
    when: n1 sends AppendEntries; n2 asks it on one of its lines and then on the other
    expect: nothing but answers on the lines that n2 dialled, each on the line of its question
    why: an acknowledgement must not outlive the connection whose order it depends on
    """
    troupe = await stage.troupe(eager=True)
    n2, _ = troupe.peers
    await troupe.lead()
    first = n2.raft
    second = await n2.dial(troupe.node.address, "n1", "all")
    await n2.requests.hear("APPEND_ENTRIES_REQ")
    request = n2.request_vote(0, (0, 0), troupe.members)
    for line, other in ((first, second), (second, first)):
        seq = n2.next_seq()
        line.send(message(request.kind, "n2", **(dict(request.fields) | {"seq": seq})))
        await line.hear("VOTE_RESPONSE", seq=seq)
        await other.ping()
        other.inbox.nothing("VOTE_RESPONSE", seq=seq)
    for line in (first, second):
        for heard in line.inbox.all:
            if heard.message.kind.endswith(("_REQ", "_REQUEST")):
                raise heard.unmet("no request on a line that n2 dialled", heard.message.kind)


@case("D-40", "PEER-7", harm=Harm.PROTOCOL)
async def any_frame_goes_on_any_lane(stage: Stage) -> None:
    """Raft requests, asks and lookups are answered on connections of every lane.

    given: n1, a follower of n2
    when: n2 dials it for raft, for actor and for all, and uses each for everything
    expect: every request answered, on its line
    why: a minimal node has one connection for all
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    for lane in ("raft", "actor", "all"):
        line = n2.raft if lane == "raft" else await n2.dial(troupe.node.address, "n1", lane)
        beat, seq = n2.append(1, (1, 1)), n2.next_seq()
        line.send(message(beat.kind, "n2", **(dict(beat.fields) | {"seq": seq})))
        (await line.hear("APPEND_ENTRIES_RES", seq=seq)).expect(success=True)
        line.send(message("ASK_REQ", "$echo", id=1, message=lane), message("LOOKUP_REQ", "$kv", id=2))
        answers = [await line.hear("ASK_RES", "LOOKUP_RES") for _ in range(2)]
        for heard in answers:
            if heard.message.kind == "ASK_RES":
                heard.expect(id=1, value=lane)
            else:
                heard.expect(id=2, found=True)


@case("D-41", "PEER-8", harm=Harm.LIVENESS)
async def pings_are_answered(stage: Stage) -> None:
    """A ping is answered with its id; a pong nobody waits for is ignored.

    given: n1
    when: a client sends pings with the ids 0, 2^63 and 2^64-1, and pongs between them
    expect: a pong for each ping, with its id, and none for a pong
    why: who does not answer is taken for dead
    """
    troupe = await stage.troupe()
    line = (await troupe.client()).line
    for id in (0, 2**63, 2**64 - 1):
        line.send(message("PING", "", id=5, pong=True))
        await line.ping(id)
    line.inbox.nothing("PING", pong=True)


@case("D-42", "PEER-9", level=Level.STRICT, harm=Harm.LIVENESS)
async def silence_is_pinged(stage: Stage) -> None:
    """Who says nothing for a second is pinged, and who answers stays.

    given: n1, with a connection that n2 dialled
    when: n2 is silent, but for pongs
    expect: two pings; the connection stays
    why: a dead peer should be noticed in seconds, not after the kernel's minutes
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.meet(n2)
    n2.raft.answers_pings = False
    for _ in range(2):
        heard = await n2.raft.hear("PING", pong=False)
        n2.raft.send(message("PING", "n2", id=heard["id"], pong=True))
    await n2.raft.ping(2**40)


@case("D-43", "PEER-9", level=Level.STRICT, harm=Harm.LIVENESS, seconds=60)
async def the_dead_are_given_up(stage: Stage) -> None:
    """Who does not answer its pings is closed after some seconds.

    given: n1, with a connection that n2 dialled
    when: n2 answers nothing
    expect: the connection is closed, within ten seconds
    why: what is sent to the dead is lost, and nobody learns of it
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.meet(n2)
    n2.raft.answers_pings = False
    await n2.raft.gone(seconds=stage.scaled(10.0))
