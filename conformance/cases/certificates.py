"""TLS: whoever does not speak it, or cannot prove who they are, is not heard (T-04 … T-06, T-12)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Final

from conformance.case import Harm, Level, case
from conformance.cases.hello import expect_follower, turned_away
from conformance.peer.credentials import Credentials, certificate, environment
from conformance.peer.peer import HandshakeError
from conformance.verdict import Unmet
from conformance.wire.describe import summary
from conformance.wire.message import message

if TYPE_CHECKING:
    from conformance.peer.line import Line
    from conformance.peer.peer import Peer
    from conformance.peer.troupe import Troupe
    from conformance.stage import Stage

BAD: Final = ("wrong-authority", "expired", "not-yet-valid")
"""Certificates in the name of n3 that nobody is to believe."""


async def secured(stage: Stage, *, check_node_id: bool = False) -> Troupe:
    """n1, given its certificate, follows n2 in term 1; all have dialled each other, under TLS."""
    troupe = await stage.troupe(environment=environment("n1", check_node_id=check_node_id))
    for peer in troupe.peers:
        peer.credentials = Credentials(peer.node_id)
    await troupe.meet(back=True)
    await troupe.form(troupe.peers[0])
    return troupe


async def expect_unheard(troupe: Troupe, peer: Peer) -> None:
    """The peer says hello in due form, and claims to lead in term 9: nothing comes of it."""
    beat = message("APPEND_ENTRIES_REQ", peer.node_id, seq=1, **peer.append(9, (1, 1)).fields)
    try:
        line = await peer.connect(troupe.node.address, troupe.node.node_id)
    except HandshakeError:  # refused before there is a connection, as it is up to TLS 1.2
        pass
    else:
        line.send(peer.hello(), beat)
        await line.gone(f"the connection of {peer.node_id} to be closed")
        for heard in line.inbox.all:
            raise heard.unmet("no frame in answer", summary(heard.message))
    await expect_follower(troupe)


def expect_shown(line: Line, way: str) -> None:
    """The node has proved by its certificate who it is."""
    if line.certificate != certificate("n1"):
        shown = "none" if line.certificate is None else "another"
        raise Unmet(f"the node to show the certificate it was given to {way}", shown)


@case("T-04", "LAUNCH-7", harm=Harm.SECURITY, capabilities=("tls",))
async def plain_text_is_not_read(stage: Stage) -> None:
    """What comes without TLS to a node that speaks it is not read, however well it is said.

    given: n1, given a certificate, a follower of n2 in term 1 with all connections under TLS
    when: n3 connects without TLS, says hello, and sends AppendEntries of term 9
    expect: the connection is closed and no frame comes; n1 has shown its certificate, and follows n2 in term 1
    why: a port that takes both is as open as one that takes plain text
    """
    troupe = await secured(stage)
    n2, n3 = troupe.peers
    expect_shown(n2.raft, "who dials it")
    n3.credentials = None
    await expect_unheard(troupe, n3)


@case("T-05", "LAUNCH-7", harm=Harm.SECURITY, capabilities=("mtls",))
async def who_cannot_prove_who_they_are_is_not_heard(stage: Stage) -> None:
    """Who shows no certificate, or one that is not to be believed, gets no frame and is not listened to.

    given: n1, given a certificate, a follower of n2 in term 1
    when: n3 connects without a certificate; with one of another authority that has the same name; with one that
    has expired; with one that is not valid yet; each time it says hello and sends AppendEntries of term 9. At
    last it connects with a good one
    expect: the handshake fails or the connection is closed, no frame comes, and n1 follows n2 in term 1; the
    last time a hello. n1 has shown its own certificate to whom it dialled
    why: whoever reaches the port may use every actor, and depose every leader
    hint: the clock counts, too: both ends of the time in which a certificate is valid
    """
    troupe = await secured(stage)
    n2, n3 = troupe.peers
    expect_shown(next(line for line in n2.lines if line is not n2.raft), "whom it dials")
    for name in (None, *BAD):
        stage.note(f"n3 shows {name or 'no certificate'}")
        n3.credentials = Credentials(name)
        await expect_unheard(troupe, n3)
    n3.credentials = Credentials("n3")
    await n3.dial(troupe.node.address, "n1")
    await troupe.fence(n3)


@case("T-06", "HELLO-9", level=Level.STRICT, harm=Harm.SECURITY, capabilities=("mtls",))
async def a_certificate_is_good_for_its_own_name(stage: Stage) -> None:
    """Told to check, a node refuses who says hello under another name than the certificate has.

    given: n1, told to check node ids, a follower of n2 in term 1
    when: n3 connects with n2's certificate; then n4, whom n1 is told of and dials, has n3's certificate
    expect: both are closed without a frame but an ERROR; n1 follows n2 in term 1, and n3 is let in with its own
    certificate
    why: else every member can speak for every other
    """
    troupe = await secured(stage, check_node_id=True)
    n2, n3 = troupe.peers
    n3.credentials = Credentials("n2")
    await turned_away(troupe, n3, n3.hello())
    n4 = stage.peer("n4")
    n4.credentials = Credentials("n3")
    n2.raft.send(n2.peers(("n4", await n4.listen())))
    await n4.dialled("actor")
    await n4.lines[0].gone("the connection to n4 to be closed")
    for heard in n4.requests.all:
        if heard.message.kind != "ERROR":
            raise heard.unmet("nothing, or an ERROR, in answer to the hello of n4", summary(heard.message))
    await expect_follower(troupe)
    n3.credentials = Credentials("n3")
    await n3.dial(troupe.node.address, "n1")
    await troupe.fence(n3)


@case("T-12", "LAUNCH-7", harm=Harm.SECURITY, capabilities=("tls",))
async def impostors_are_told_nothing(stage: Stage) -> None:
    """A node says nothing to whom it dials unless the certificate there is to be believed.

    given: n1, given a certificate, a follower of n2 in term 1
    when: n2 tells it of nodes at whose addresses the certificate is one of another authority, has expired, or
    is not valid yet
    expect: n1 dials them and breaks off in the handshake; it follows n2 in term 1
    why: who has redirected an address would be told everything that was meant for the node there
    """
    troupe = await secured(stage)
    n2, _ = troupe.peers
    told: dict[str, socket.socket] = {}
    for name in BAD:
        listening = stage.closing.enter_context(socket.create_server(("127.0.0.1", 0)))
        listening.setblocking(False)
        told[name] = listening
    addresses = [f"127.0.0.1:{listening.getsockname()[1]}" for listening in told.values()]
    n2.raft.send(n2.peers(*((f"n{number}", address) for number, address in enumerate(addresses, 4))))
    await asyncio.gather(*(_pose(stage, name, listening) for name, listening in told.items()))
    await expect_follower(troupe)


async def _pose(stage: Stage, name: str, listening: socket.socket) -> None:
    """Waits for the node to dial, and shows it this certificate."""
    loop = asyncio.get_running_loop()
    protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
    expected = f"the node to dial the address with the certificate {name}, and to break off"
    try:
        async with asyncio.timeout(stage.patience):
            connection, _ = await loop.sock_accept(listening)
            tls = Credentials(name).listening()
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=tls)
    except TimeoutError:
        raise Unmet(expected, f"nothing more from it for {stage.patience:.1f} s") from None
    except (ssl.SSLError, ConnectionError):
        return
    transport.close()
    raise Unmet(expected, "a connection: it believes the certificate")
