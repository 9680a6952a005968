"""The six slices, connected: what comes from a peer or from the core goes to the slice whose affair it is."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any

from casty.cluster.election import ElectionMixin
from casty.cluster.messaging import MessagingMixin
from casty.cluster.peer import STRANGERS_MAX, PeerMixin
from casty.cluster.persistence import PersistenceMixin
from casty.cluster.replication import LogReplicationMixin
from casty.cluster.snapshot import SnapshotMixin
from casty.raft.events import Committed, Restored
from casty.wire import _protocol as p

if TYPE_CHECKING:
    from collections.abc import Callable

    from casty.cluster.book import Dial
    from casty.cluster.link import Link
    from casty.errors import CastyError, ProtocolError
    from casty.raft.events import Ready
    from casty.raft.messages import (
        AppendEntriesRequest,
        AppendEntriesResponse,
        InstallSnapshotRequest,
        InstallSnapshotResponse,
    )
    from casty.wire.frames import Frame
    from casty.wire.messages import ErrorFrame, Hello, Ping

logger = logging.getLogger(__name__)


class Exchange(PeerMixin, MessagingMixin, ElectionMixin, PersistenceMixin, LogReplicationMixin, SnapshotMixin):
    """Knows which slice does what, and in which order. Like them it has no state of its own."""

    __slots__ = ()

    # ------------------------------------------------------------------------------- what the core wants done

    def _perform(self, ready: Ready) -> None:
        if ready.write is not None:
            self._persist(ready.write)
        self._send(ready.messages)
        for item in ready.apply:
            match item:
                case Committed():
                    self._apply(item)
                case Restored():
                    self._install(item)
        if ready.refused or ready.overloaded or ready.lost:
            self._tell(ready)
        if ready.passed:
            self._tell_passed(ready.passed)
        self._announce(ready.notices)
        for lost in ready.lost_data:
            self._keep_out(lost)

    def _end_raft(self, error: CastyError, outcome: CastyError) -> None:
        """Whoever waits for a command learns `outcome`, whoever waits for something else `error`."""
        if self.turn is not None:
            self.turn.end()
        self.raft = self.turn = None
        self._fail_proposals(outcome)
        self._fail_ready_waiters(error)
        self.machine.end(error)

    # ------------------------------------------------------------------------------------- what a peer sends

    def _frame_handlers(self) -> dict[int, Callable[[Link, Any], None]]:
        return {
            p.ACTOR_MSG: self._on_actor_message,
            p.LOOKUP_REQ: self._on_lookup_request,
            p.LOOKUP_RES: self._on_lookup_response,
            p.PEER_LIST: self._on_peers,
            p.ASK_REQ: self._on_ask_request,
            p.ASK_RES: self._on_ask_response,
            p.VOTE_REQUEST: self._on_vote,
            p.VOTE_RESPONSE: self._on_vote,
            p.PRE_VOTE_REQUEST: self._on_vote,
            p.PRE_VOTE_RESPONSE: self._on_vote,
            p.APPEND_ENTRIES_REQ: self._on_append,
            p.APPEND_ENTRIES_RES: self._on_append,
            p.INSTALL_SNAPSHOT_REQ: self._on_install,
            p.INSTALL_SNAPSHOT_RES: self._on_install,
            p.ERROR: self._on_error,
            p.PING: self._on_ping,
        }

    def link_frame(self, link: Link, frame: Frame) -> None:
        """Hands a frame to the slice that handles it. Raises ProtocolError where it ends the connection."""
        if link.hello is None:
            self._greet(link, frame)
        else:
            self.switchboard.put_through(link, frame)

    def _on_append(self, link: Link, message: AppendEntriesRequest | AppendEntriesResponse) -> None:
        self._hear_leader(link, message)
        super()._on_append(link, message)

    def _on_install(self, link: Link, message: InstallSnapshotRequest | InstallSnapshotResponse) -> None:
        self._hear_leader(link, message)
        super()._on_install(link, message)

    def _on_ping(self, link: Link, message: Ping) -> None:
        super()._on_ping(link, message)
        self._hear_pong(link, message)

    # --------------------------------------------------------------------------- what becomes of connections

    def _has_room_for_strangers(self) -> bool:
        """Whether one more may connect that has not said hello (spec limit pending_hellos_max)."""
        assert self.listener is not None, "the listener asks"
        waiting = sum(stranger.dial is None for stranger in self.links.strangers)
        return len(self.listener.arriving) + waiting < STRANGERS_MAX

    def link_made(self, link: Link) -> None:
        if self.listener is not None:
            self.listener.arriving.discard(link)
        super().link_made(link)

    def _accept(self, link: Link, hello: Hello) -> None:
        super()._accept(link, hello)
        self._remember_peers()
        self.refusals.forget_stale(link.node_id, str(link.dial.address) if link.dial is not None else "")
        if link.dial is not None:
            self._look_again()
            self.refusals.forget(link.dial.address)
            self.repeats.settle("dial", link.dial.address)
            if link.dial.lane == "actor":
                self._ask_open_searches(link)

    def _on_refusal(self, link: Link, frame: Frame) -> None:
        super()._on_refusal(link, frame)
        said = self._refusal_in(frame)
        if said is None:
            return
        if said.code == "STALE_DATA" and link.dial is not None:
            self._on_stale_data(str(link.dial.address), said.text)
        else:
            self._note_refusal(link.dial, said.code, said.text)

    def _on_error(self, link: Link, message: ErrorFrame) -> None:
        super()._on_error(link, message)
        if message.code == "STALE_DATA" and link.hello is not None and link.hello.member:
            self._on_stale_data(link.node_id, message.text)

    def _on_stale_data(self, who: str, text: str) -> None:
        """A peer says that this node's directory is an older copy. The node goes on, for the peer may be wrong;
        its operator has to look (spec HELLO-11)."""
        if not self.identity.member:
            return
        if (news := self.refusals.note_stale(who, text)) is not None:
            logger.error("%s: %s", self.node_id, news)
        self._fail_ready_waiters(self._verdict())

    def link_fault(self, link: Link, fault: ProtocolError) -> None:
        super().link_fault(link, fault)
        if link.hello is None:
            self._note_refusal(link.dial, fault.code, fault.text)

    def _on_failed_dial(self, dial: Dial, error: Exception) -> None:
        super()._on_failed_dial(dial, error)
        self._look_again()
        if isinstance(error, ssl.SSLCertVerificationError):
            said = f"the certificate there is not believed: {error.verify_message}"
            self._note_refusal(dial, "CERTIFICATE_MISMATCH", said)

    def _note_refusal(self, dial: Dial | None, code: str, text: str) -> None:
        """Tells those who wait for this node to be ready, if that is over now."""
        if dial is None:
            return
        self.refusals.note(dial.address, code, text)
        self._fail_ready_waiters(self._verdict())

    def link_lost(self, link: Link) -> None:
        super().link_lost(link)
        self._fail_asks_on(link)
        self.pings.lost(link)
        self._look_again()
