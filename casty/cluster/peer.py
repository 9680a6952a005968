"""Connections with other nodes: dialled, greeted, pinged, lost and dialled again."""

from __future__ import annotations

import logging
import ssl
from types import MappingProxyType
from typing import TYPE_CHECKING

from casty.cluster.address import Address, parse_address
from casty.cluster.dialling import hand_over
from casty.cluster.handshake import judge
from casty.cluster.link import Link
from casty.cluster.node import ClusterNode
from casty.cluster.tls import certificate_names
from casty.errors import MessageTooLargeError, ProtocolError
from casty.raft.events import Connected, Disconnected, Discovered, Outgoing
from casty.raft.messages import Refusal
from casty.raft.types import NodeId, ServerId, StoreId
from casty.wire import _protocol as p
from casty.wire.messages import ErrorFrame, Hello, Peer, Peers, Ping
from casty.wire.schema import is_node_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from casty.cluster.book import Dial
    from casty.raft.events import LostData
    from casty.wire.frames import Frame

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
HELLO_SECONDS = 5.0
"""How long a connection may take to be made, and to say hello (spec HELLO-3)."""

STRANGERS_MAX = 64
"""Accepted connections that have not said hello (spec limit pending_hellos_max)."""

CONTEST_SECONDS = 1.0
"""How long the holder of a node id has to answer when another claims it (spec HELLO-7)."""

SWEEP_SECONDS = 1.0
DEAD_SECONDS = 5.0
"""A silent connection is pinged every second, and given up after five (spec PEER-9)."""

REDIAL_SECONDS = 0.05
"""Attempts that fail close together are followed up together: many dead addresses cost little (spec PEER-5)."""

FLAPS_MAX = 10
"""Lines of one kind about one peer within some minutes: what comes and goes is told of, if not for ever."""

FAULT_CHARS_MAX = 500
"""Of what a fault quotes from its peer: an ERROR must fit where only a hello is expected."""


class PeerMixin(ClusterNode):
    """Needs: book, links, identity, advertise, tls, wire, revisions, raft (for the cluster's id).

    Provides: `peers`.
    Handles: PEER_LIST, PING, ERROR, and connections made, at fault and lost.
    Performs: dialling, greeting, pinging, and sending what the core wants sent.
    """

    __slots__ = ()

    @property
    def peers(self) -> Mapping[NodeId, Address]:
        """The other nodes this one is connected with now, and their addresses."""
        here = {node_id for node_id, _ in [*self.links.dialled, *self.links.accepted]}
        if not here:
            return MappingProxyType({})
        return MappingProxyType({who: address for who, address in self.book.known() if who in here})

    # -------------------------------------------------------------------------------------------- dialling

    def _dial_due(self) -> None:
        """Makes the attempts that are due, and sets the alarm for the next."""
        if self.is_ending:
            return
        for dial in self.book.due(self.loop.time()):
            self.own(self._dial(dial))
        self.dial_alarm.set(self.loop, self.book.next_due())

    async def _dial(self, dial: Dial) -> None:
        """Connects to the first of the host's addresses that answers."""
        context = self.certificates.for_dialling() if self.certificates is not None else None
        try:
            transport = await self.dialler.connect(dial.address, CONNECT_SECONDS, context)
            hand_over(transport, Link(self, dial))
        except (OSError, ValueError) as error:  # ValueError: a host name that DNS cannot even ask for
            self._on_failed_dial(dial, error)

    def _on_failed_dial(self, dial: Dial, error: Exception) -> None:
        where = dial.address
        if isinstance(error, ssl.SSLCertVerificationError):
            level, said = logging.WARNING, f"{where} cannot be a peer: the certificate there is not believed: "
            said += error.verify_message
        elif isinstance(error, ssl.SSLError):
            level, said = logging.WARNING, f"TLS with {where} fails: {error}; does the node there speak it?"
        else:
            level, said = logging.INFO, f"{where} cannot be reached: {_reason(error)}"
        if self.book.lasts(where):
            self.refusals.trouble(where, said)
            self.note(logger, level, ("dial", where), said)
        else:
            logger.debug("%s", said)
        self.book.failed(dial, self.loop.time())
        self._dial_soon()

    def _dial_soon(self) -> None:
        if not self.is_ending:
            self.dial_alarm.hasten(self.loop, self.loop.time() + REDIAL_SECONDS)

    # -------------------------------------------------------------------------------------------- greeting

    def link_made(self, link: Link) -> None:
        """A connection exists; who is at the other end is not known yet."""
        waiting = sum(stranger.dial is None for stranger in self.links.strangers)
        if self.is_ending or (link.dial is None and waiting >= STRANGERS_MAX):
            link.abort()
            return
        self.links.strangers.add(link)
        self.loop.call_later(HELLO_SECONDS, self._give_up_on, link)
        if link.dial is not None:
            link.send(self._hello(link.dial.lane))

    def _give_up_on(self, link: Link) -> None:
        if link in self.links.strangers and link not in self.links.contested:
            text = f"no hello within {HELLO_SECONDS:g} s"
            self.link_fault(link, ProtocolError("HELLO_TIMEOUT", "HELLO-3", text))

    def _hello(self, lane: str) -> bytes:
        me = self.identity
        configuration = self.raft.configuration if self.raft is not None else None
        return self.wire.encode(
            Hello(
                node_id=me.node_id,
                cluster=me.cluster,
                cluster_id=configuration.cluster_id if configuration is not None else None,
                store_id=me.store_id,
                boot_id=me.boot_id,
                lane=lane,
                address=str(self.advertise),
                expected_size=me.expected_size,
                member=me.member,
                revision=self.revision,
                boots=me.boots,
            )
        )

    def _greet(self, link: Link, frame: Frame) -> None:
        """The first frame of a connection: a hello this node accepts, or the end (spec HELLO-1 to HELLO-8)."""
        if frame.type == p.ERROR:
            self._on_refusal(link, frame)
            return
        hello = self.wire.decode_hello(frame)
        configuration = self.raft.configuration if self.raft is not None else None
        objection = judge(hello, self.identity, configuration.cluster_id if configuration else None)
        if objection is not None:
            if objection.code == "SELF_CONNECTION":
                self._found_self(link)
            raise objection
        if self.tls is not None and self.tls.check_node_id:
            names = certificate_names(link.certificate)
            if hello.node_id not in names:
                text = f"the certificate names {', '.join(sorted(names)) or 'no node'}, not {hello.node_id}"
                raise ProtocolError("CERTIFICATE_MISMATCH", "HELLO-9", text)
        self._admit(link, hello)

    def _found_self(self, link: Link) -> None:
        """One of the addresses this node has dialled is its own; which, the connection's other end knows."""
        for stranger in self.links.strangers:
            if stranger.dial is not None and stranger.is_other_end_of(link):
                logger.info("%s is this node's own address", stranger.dial.address)
                self.book.found_self(stranger.dial.address)

    def _admit(self, link: Link, hello: Hello) -> None:
        rivals = [other for other in self.links.of(hello.node_id) if _boot(other) != hello.boot_id]
        if rivals:
            self._contest(link, hello, rivals)
        elif (objection := self._objection_to_data(hello)) is not None:
            self.link_fault(link, ProtocolError("STALE_DATA", "HELLO-11", objection))
        else:
            self._accept(link, hello)

    def _objection_to_data(self, hello: Hello) -> str | None:
        """Why the sender's directory is an older copy, for all that was said of it here (spec HELLO-11)."""
        if not (hello.member and self.identity.member):
            return None
        server = ServerId(hello.node_id, StoreId(hello.store_id))
        return self.revisions.objection(server, hello.boot_id, hello.revision, hello.boots)

    def _on_refusal(self, link: Link, frame: Frame) -> None:
        """The other side will have none of this node, and says why. An ERROR is not answered (spec ERROR-1)."""
        said = self._refusal_in(frame)
        where = _where(link)
        text = f"{where} refuses this node: {_shown(said) if said else 'it does not say why'}"
        link.has_failed = True
        self.refusals.trouble(where, text)
        self.note(logger, logging.WARNING, ("dial", where, said.code if said else ""), text, state="")
        if link.dial is not None and said is not None and said.code == "SELF_CONNECTION":
            self.book.found_self(link.dial.address)  # by a way on which the ends of a connection do not show
        link.close()

    def _refusal_in(self, frame: Frame) -> ErrorFrame | None:
        """What an ERROR says, if it is well-formed."""
        try:
            said = self.wire.decode(frame)
        except ProtocolError:
            return None
        return said if isinstance(said, ErrorFrame) else None

    def _contest(self, link: Link, hello: Hello, rivals: list[Link]) -> None:
        """Another process has this node id: it keeps it if it is alive (spec HELLO-7)."""
        link.hold()
        self.links.contested.add(link)
        since = self.loop.time()
        for rival in rivals:
            rival.send(self.wire.encode(Ping(id=0, pong=False)))
        self.loop.call_later(CONTEST_SECONDS, self._settle_contest, link, hello, rivals, since)

    def _settle_contest(self, link: Link, hello: Hello, rivals: list[Link], since: float) -> None:
        self.links.contested.discard(link)
        if link.is_over:
            return
        if any(not rival.lost and rival.heard_at > since for rival in rivals):
            text = f"another living node is called {hello.node_id}"
            self.link_fault(link, ProtocolError("NODE_ID_IN_USE", "HELLO-7", text))
            return
        for rival in rivals:
            rival.disown()
        self._admit(link, hello)  # a third process may have taken their place meanwhile
        if link.is_open:
            link.release()

    def _accept(self, link: Link, hello: Hello) -> None:
        """From here on the two nodes talk."""
        now = self.loop.time()
        link.hello, link.node_id = hello, hello.node_id
        link.server = ServerId(hello.node_id, StoreId(hello.store_id))
        link.accept_frames_up_to(self.frame_bytes_max)
        link.is_open = True
        self.links.strangers.discard(link)
        self.book.greet(hello.node_id, _address(link, hello), member=hello.member, now=now)
        table = self.links.accepted if link.dial is None else self.links.dialled
        lane = hello.lane if link.dial is None else link.dial.lane
        older = table.get((hello.node_id, lane))
        table[hello.node_id, lane] = link
        if older is not None:
            older.close()  # spec PEER-7
        if link.dial is None:
            link.send(self._hello(hello.lane))
        else:
            self.book.opened(hello.node_id, link.dial, now)
        link.send(self._peers_known())
        if hello.member:
            self._note_revision(link, hello.revision)
            self.book.arrived(link.server)
            self._discover()
        if link.dial is not None and lane == "raft":
            self.post(Connected(link.server, hello.boot_id))
        text = f"{'accepted' if link.dial is None else 'reached'} node {link.node_id} ({lane} lane)"
        self.note(logger, logging.INFO, ("open", text), text, burst=FLAPS_MAX)
        self._dial_due()

    def _discover(self) -> None:
        """Tells the core who is here (spec FORM-4)."""
        if self.identity.member:
            others = self.book.discovered(self.loop.time())
            self.post(Discovered(others | {self.me}, self._formed()))

    # --------------------------------------------------------------------------------------------- handling

    def _on_peers(self, link: Link, message: Peers) -> None:
        self._note_revision(link, message.revision)
        now = self.loop.time()
        for node_id, text in message.peers:
            try:
                address = parse_address(text)
            except ValueError as error:
                logger.debug("%r names a peer wrongly: %s", link, error)
                continue
            if is_node_id(node_id):
                self.book.learn(NodeId(node_id), address, now)
        self._dial_due()

    def _note_revision(self, link: Link, revision: int | None) -> None:
        """A member says how far its directory has come, in its hello or later (spec HELLO-11, PEER-11)."""
        hello, server = link.hello, link.server
        if hello is None or server is None or revision is None:
            return
        if hello.member and self.identity.member:
            self.revisions.note(server, revision, hello.boot_id)

    def _on_ping(self, link: Link, message: Ping) -> None:
        if not message.pong:
            link.send(self.wire.encode(Ping(message.id, pong=True)))

    def _on_error(self, link: Link, message: ErrorFrame) -> None:
        text = f"node {link.node_id} says: {_shown(message)}"
        if link.is_news(text):
            self.note(logger, logging.WARNING, ("said", text), text)
        else:
            logger.debug("%s", text)

    # ------------------------------------------------------------------------------------- faults and losses

    def link_fault(self, link: Link, fault: ProtocolError) -> None:
        """The peer broke a rule for which the connection ends; the node goes on (spec ERROR-2, ERROR-3)."""
        where, link.has_failed = _where(link), True
        said = ErrorFrame(fault.code, fault.rule, fault.text[:FAULT_CHARS_MAX])
        text = f"closing the connection with {link.node_id or where or 'a stranger'}: {_shown(said)}"
        if link.hello is None:
            self.refusals.trouble(where, f"this node refuses {where}: {_shown(said)}")
        about = ("dial", where) if link.dial is not None else ("closing", where)
        self.note(logger, logging.WARNING, (*about, fault.code), text, state="")
        link.send(self.wire.encode(said))
        link.close()

    def _note_mistake(self, link: Link, fault: ProtocolError, kind: str) -> None:
        """A peer made a mistake of this kind for the first time on its connection, which stays."""
        about = ("mistake", link.node_id, fault.code, kind)
        self.note(logger, logging.WARNING, about, f"node {link.node_id}: {fault}", state="")

    def link_cut(self, link: Link, what: str) -> None:
        """The connection ended in the middle of a frame."""
        self.note(logger, logging.INFO, ("cut", _where(link)), f"{link!r}: {what}", state="")

    def link_unread(self, link: Link) -> None:
        """The peer does not read the answers it asks for; its connection ends (spec MSG-10)."""
        text = f"{link!r} does not read: {link.backlog:,} bytes wait for it"
        self.note(logger, logging.WARNING, ("unread", link.node_id), text, state="")

    def link_lost(self, link: Link) -> None:
        """The connection is gone; what was dialled will be dialled again."""
        self.links.strangers.discard(link)
        now = self.loop.time()
        if link.hello is None or link.server is None:
            if link.dial is not None:
                self._note_silence(link, link.dial)
                self.dialler.was_useless(link.dial.address, link.peer_host)
                self.book.failed(link.dial, now)
        elif link.dial is None:
            _remove(self.links.accepted, (link.node_id, link.hello.lane), link)
        elif _remove(self.links.dialled, (link.node_id, link.dial.lane), link):
            self.book.closed(link.node_id, link.dial, now)
            if link.dial.lane == "raft":
                self.post(Disconnected(link.server))
        if link.server is not None and not any(other.server == link.server for other in self.links.all()):
            self.book.departed(link.server, now)
            text = f"lost node {link.node_id}"
            self.note(logger, logging.INFO, ("open", text), text, burst=FLAPS_MAX)
        self._dial_soon()

    def _note_silence(self, link: Link, dial: Dial) -> None:
        """A connection that was dialled has ended before a hello came, and neither side has said why."""
        if link.has_failed or not self.book.lasts(dial.address) or self.is_ending:
            return
        if self.certificates is not None:
            hint = f"does it believe this node's certificate? {link.cause or ''}".rstrip()
        else:
            hint = "is a node there, and is it one without TLS, like this?"
        text = f"{dial.address} closes the connection without a hello: {hint}"
        self.refusals.trouble(dial.address, text)
        self.note(logger, logging.WARNING, ("dial", dial.address), text)

    def _sweep(self) -> None:
        """Once a second: pings who is silent, gives up who stays so, forgets who has been gone for long."""
        now = self.loop.time()
        ping = self.wire.encode(Ping(id=0, pong=False))  # other numbers are of pings whose pongs matter
        for link in self.links.all():
            if not link.is_open:
                continue
            link.note_progress()
            silent = now - link.heard_at
            if link.pinged_at is not None and now - link.pinged_at >= DEAD_SECONDS - SWEEP_SECONDS:
                text = f"node {link.node_id} has been silent for {silent:.1f} s"
                self.note(logger, logging.WARNING, ("silent", link.node_id), text, state="", burst=FLAPS_MAX)
                link.abort()
            elif silent >= SWEEP_SECONDS:
                # Counted from the ping, for it may have been this node that did not listen.
                link.pinged_at = link.pinged_at or now
                link.send(ping)
        if self.raft is not None and self.raft.configuration is not None:
            self.book.keep(member.node_id for member in self.raft.configuration.members)
            self.revisions.keep(self.raft.configuration.members)
        self._announce_revision()
        self._discover()
        self.sweep_alarm.set(self.loop, now + SWEEP_SECONDS)

    def _announce_revision(self) -> None:
        """Tells the members how far this node's directory has come, if it has since they heard (PEER-11)."""
        revision = self.revision
        if revision is None or not self.revisions.is_news(revision):
            return
        frame = self.wire.encode(Peers(self.identity.node_id, (), revision))
        members = [link for link in self.links.all() if link.is_open and link.hello and link.hello.member]
        for link in {link.node_id: link for link in members}.values():
            link.send(frame)

    def _keep_out(self, lost: LostData) -> None:
        """A member does not have what it acknowledged: it is told so, and its boot stays out (LEADER-10)."""
        why = self.revisions.lose(lost)
        logger.error("%s", why)
        for link in self.links.of(lost.server.node_id):
            if link.server == lost.server and _boot(link) == lost.boot_id:
                self.link_fault(link, ProtocolError("STALE_DATA", "LEADER-10", why))

    def _peers_known(self) -> bytes:
        """The frame that tells of the nodes this one knows, or of as many as fit it (spec PEER-1)."""
        known = tuple(Peer(who, str(address)) for who, address in self.book.known())
        while True:
            try:
                return self.wire.encode(Peers(self.identity.node_id, known))
            except MessageTooLargeError:  # none at all fit any frame
                known = known[: len(known) * 3 // 4]

    # ---------------------------------------------------------------------------- what the core wants sent

    def _send(self, messages: Iterable[Outgoing]) -> None:
        """Sends requests on our connection to their node, replies on the one their request came on (PEER-6)."""
        frames: dict[Link, list[bytes]] = {}
        for to, message, via in messages:
            link = via if isinstance(via, Link) else self.links.to(to.node_id, "raft")
            if link is None or not link.is_open or link.server != to or link.is_congested:
                continue  # Raft tolerates loss, and asks again
            try:
                if isinstance(message, Refusal):
                    if message.code == "NOT_A_MEMBER" and not link.is_news(message.code):
                        continue  # once on each connection (spec ERROR-4)
                    frame = self.wire.encode(ErrorFrame(message.code, message.rule, message.text))
                else:
                    frame = self.wire.encode_raft(self.identity.node_id, message)
            except MessageTooLargeError as error:  # the limit was higher when the command was appended
                self._note_unsendable(link, error)
                continue
            frames.setdefault(link, []).append(frame)
        for link, joined in frames.items():
            link.send(b"".join(joined), at_once=True)

    def _note_unsendable(self, link: Link, error: MessageTooLargeError) -> None:
        """The node at the other end goes without, and this one goes on. Said once for each connection."""
        text = f"node {link.node_id} cannot be brought up to date: {error}: raise max_frame_size"
        self.note(logger, logging.ERROR, ("unsendable", link.node_id), text, state="")


def _where(link: Link) -> Address | str:
    """Where the peer is, as far as this node knows before it has said hello."""
    return link.dial.address if link.dial is not None else link.peer_host


def _reason(error: Exception) -> str:
    """What the system says, without what it is called with."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return said or type(error).__name__


def _shown(said: ErrorFrame) -> str:
    """What a peer says, fit for a log."""
    text = said.text[:FAULT_CHARS_MAX].encode("unicode_escape").decode()
    return f"{text} [{said.code!r:.40}, {said.rule!r:.40}]"


def _boot(link: Link) -> bytes:
    return link.hello.boot_id if link.hello is not None else b""


def _address(link: Link, hello: Hello) -> Address:
    """Where the node says it can be dialled; with a wildcard host, at the host it came from (spec PEER-4)."""
    address = parse_address(hello.address)  # `judge` has seen that it is one
    return Address(link.peer_host, address.port) if address.is_wildcard else address


def _remove(table: dict[tuple[NodeId, str], Link], key: tuple[NodeId, str], link: Link) -> bool:
    """Takes the link out of the table, unless a newer one has its place."""
    if table.get(key) is not link:
        return False
    del table[key]
    return True
