"""Whom a node knows, and whom it should dial now. Pure: time and dice are handed in.

An address comes from a seed, a peer list, or, best of all, the node's own hello (spec PEER-4). A node
is dialled once for each lane: `actor` for everybody, `raft` between members. What fails is tried again, ever
more slowly; seeds and members are never given up (spec PEER-2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from casty.cluster.address import Address
    from casty.raft.types import NodeId, ServerId

PEERS_MAX = 1024
"""Addresses remembered (spec limit peers_max)."""

LANES = ("actor", "raft")

BACKOFF_MIN = 0.1
BACKOFF_MAX = 10.0
"""Seconds between attempts: quick while a cluster starts, and no storm when one has been gone for a day."""

STABLE_AFTER = 5.0
"""Seconds a connection must last for the next attempt to be a quick one again."""

FORGET_SERVER_AFTER = 3.0
"""Seconds a server without a connection still counts as discovered (spec FORM-4)."""

DIALS_MAX = 64
"""Attempts under way at once: a long list of wrong addresses must not use up the descriptors (spec PEER-5)."""

FORGET_PEER_AFTER = 600.0
"""Seconds until a node that is neither seed nor member and cannot be reached is forgotten."""


class Dial(NamedTuple):
    """One attempt to make: connect to `address` and offer `lane`."""

    address: Address
    lane: str


@dataclass(slots=True)
class _Attempts:
    """How dialling one address for one lane has gone."""

    failures: int = 0
    due: float = 0.0
    under_way: bool = False
    is_open: bool = False
    opened_at: float = 0.0
    hastened_at: float = -STABLE_AFTER


@dataclass(slots=True)
class Peer:
    """A node somebody told us about."""

    node_id: NodeId
    address: Address
    said_so_itself: bool = False
    member: bool = False
    unreachable_since: float | None = None
    """None while any connection to it is open."""


class PeerBook:
    """The nodes this one knows. `member` says whether this node itself takes part in Raft."""

    def __init__(
        self,
        me: NodeId,
        my_address: Address,
        seeds: Iterable[Address],
        *,
        member: bool,
        random: Random,
    ) -> None:
        self.me = me
        self.my_address = my_address
        self._member = member
        self._random = random
        self._seeds: dict[Address, NodeId | None] = {seed: None for seed in seeds if seed != my_address}
        self._peers: dict[NodeId, Peer] = {}
        self._keep: frozenset[NodeId] = frozenset()
        self._open: dict[tuple[NodeId, str], Dial] = {}
        self._attempts: dict[Dial, _Attempts] = {}
        self._servers: dict[ServerId, float | None] = {}
        self._own: set[Address] = {my_address}

    # ------------------------------------------------------------------------------------------ learning

    def learn(self, node_id: NodeId, address: Address, now: float) -> None:
        """Somebody says that node can be dialled there. Its own word, once heard, weighs more."""
        if node_id == self.me or address in self._own or address.is_wildcard:
            return
        peer = self._peers.get(node_id)
        if peer is None:
            if len(self._peers) < PEERS_MAX and not self._holds(address):
                self._peers[node_id] = Peer(node_id, address, unreachable_since=now)
        elif not peer.said_so_itself:
            peer.address = address

    def greet(self, node_id: NodeId, address: Address, *, member: bool, now: float) -> None:
        """The node itself says where it can be dialled, and whether it takes part in Raft."""
        peer = self._peers.get(node_id)
        if peer is None:
            if not self._make_room():
                return
            peer = self._peers[node_id] = Peer(node_id, address, unreachable_since=now)
        if not address.is_wildcard:
            peer.address = address
        peer.said_so_itself, peer.member = True, member
        self._hasten(peer.address, now)

    def _hasten(self, address: Address, now: float) -> None:
        """The node there is back: the next attempt need not wait until it would have been due.

        Not again and again: two nodes whose connections do not last would hasten each other without end.
        """
        for lane in LANES:
            attempts = self._attempts.get(Dial(address, lane))
            if attempts is not None and now - attempts.hastened_at >= STABLE_AFTER:
                attempts.due, attempts.hastened_at = min(attempts.due, now), now

    def found_self(self, address: Address) -> None:
        """A dialled address turned out to be our own; it is not dialled again (spec PEER-3)."""
        self._own.add(address)
        self._seeds.pop(address, None)

    def keep(self, node_ids: Iterable[NodeId]) -> None:
        """The members of the cluster, which are never forgotten."""
        self._keep = frozenset(node_ids)

    def known(self) -> list[tuple[NodeId, Address]]:
        """What a PEER_LIST of ours says (spec PEER-1)."""
        return [(peer.node_id, peer.address) for peer in self._peers.values()]

    # ------------------------------------------------------------------------------------------- dialling

    def opened(self, node_id: NodeId, dial: Dial, now: float) -> None:
        """An attempt succeeded: a connection we dialled to that node is open."""
        older = self._open.get((node_id, dial.lane))
        if older is not None:
            self._attempts_at(older).is_open = False
        attempts = self._attempts_at(dial)
        attempts.under_way, attempts.is_open, attempts.opened_at = False, True, now
        self._open[node_id, dial.lane] = dial
        if dial.address in self._seeds:
            self._seeds[dial.address] = node_id
        if node_id in self._peers:
            self._peers[node_id].unreachable_since = None

    def closed(self, node_id: NodeId, dial: Dial, now: float) -> None:
        """The open connection we dialled is gone. One that did not last counts as a failed attempt."""
        self._open.pop((node_id, dial.lane), None)
        peer = self._peers.get(node_id)
        if peer is not None and not any(who == node_id for who, _ in self._open):
            peer.unreachable_since = now
        attempts = self._attempts_at(dial)
        attempts.is_open = False
        if now - attempts.opened_at >= STABLE_AFTER:
            attempts.failures = 0
        self.failed(dial, now)

    def failed(self, dial: Dial, now: float) -> None:
        """An attempt failed; the next waits twice as long, with jitter so that nodes do not knock in step."""
        attempts = self._attempts_at(dial)
        delay = min(BACKOFF_MIN * 2**attempts.failures, BACKOFF_MAX)
        attempts.failures = min(attempts.failures + 1, 16)
        attempts.due = now + delay * self._random.uniform(0.5, 1.0)
        attempts.under_way = False

    def due(self, now: float) -> list[Dial]:
        """The attempts to make now; each is under way until it has `opened` or `failed`."""
        self._forget(now)
        dials: list[Dial] = []
        room = DIALS_MAX - self._under_way()
        for dial in self._wanted():
            attempts = self._attempts_at(dial)
            if not attempts.under_way and attempts.due <= now and len(dials) < room:
                attempts.under_way = True
                dials.append(dial)
        return dials

    def next_due(self) -> float | None:
        """When `due` will have something, if nothing else happens."""
        if self._under_way() >= DIALS_MAX:
            return None
        waiting = (self._attempts.get(dial, _Attempts()) for dial in self._wanted())
        return min((a.due for a in waiting if not a.under_way), default=None)

    def lasts(self, address: Address) -> bool:
        """Whether that address is never given up: a seed, or a member of the cluster."""
        return address in self._seeds or any(
            peer.address == address for peer in self._peers.values() if peer.node_id in self._keep
        )

    def is_being_reached(self, node_id: NodeId) -> bool:
        """Whether the first attempt to reach that node is under way."""
        peer = self._peers.get(node_id)
        attempts = self._attempts.get(Dial(peer.address, "actor")) if peer is not None else None
        return attempts is not None and attempts.under_way and attempts.failures == 0

    def _attempts_at(self, dial: Dial) -> _Attempts:
        return self._attempts.setdefault(dial, _Attempts())

    def _under_way(self) -> int:
        return sum(attempts.under_way for attempts in self._attempts.values())

    def _wanted(self) -> list[Dial]:
        """The connections there should be and are not: seeds first, then members, then those who have said
        hello themselves, then hearsay, of which anybody can invent any amount.

        Where a connection leads already, nothing is dialled again: whoever else is said to be there is not.
        """
        wanted: dict[Dial, None] = {}
        for address, node_id in self._seeds.items():
            if node_id is None or (node_id, "actor") not in self._open:
                wanted[Dial(address, "actor")] = None
        for peer in sorted(self._peers.values(), key=self._rank):
            if (peer.node_id, "actor") not in self._open:
                wanted[Dial(peer.address, "actor")] = None
            if self._member and peer.member and (peer.node_id, "raft") not in self._open:
                wanted[Dial(peer.address, "raft")] = None
        leading = set(self._open.values())
        return [dial for dial in wanted if dial not in leading and dial.address not in self._own]

    def _rank(self, peer: Peer) -> tuple[bool, bool]:
        return peer.node_id not in self._keep, not peer.said_so_itself

    def _holds(self, address: Address) -> bool:
        """Whether a connection to that address is open: gossip that names another node there is old news."""
        return any(dial.address == address for dial in self._open.values())

    def _make_room(self) -> bool:
        """Whether one more node can be remembered; hearsay gives way to those that spoke for themselves."""
        if len(self._peers) < PEERS_MAX:
            return True
        hearsay = (peer for peer in self._peers.values() if not peer.said_so_itself)
        least = next((peer for peer in hearsay if peer.node_id not in self._keep), None)
        if least is None:
            return False
        del self._peers[least.node_id]
        return True

    def _forget(self, now: float) -> None:
        for peer in list(self._peers.values()):
            since = peer.unreachable_since
            if since is not None and now - since > FORGET_PEER_AFTER and peer.node_id not in self._keep:
                del self._peers[peer.node_id]
        if len(self._attempts) > 4 * PEERS_MAX:
            wanted = set(self._wanted())
            for dial, attempts in list(self._attempts.items()):
                if dial not in wanted and not attempts.under_way and not attempts.is_open:
                    del self._attempts[dial]

    # ------------------------------------------------------------------------------------------ discovery

    def arrived(self, server: ServerId) -> None:
        """A server said hello as a member, and a connection with it is open."""
        self._servers[server] = None

    def departed(self, server: ServerId, now: float) -> None:
        """The last connection with that server is gone."""
        if server in self._servers:
            self._servers[server] = now

    def discovered(self, now: float) -> frozenset[ServerId]:
        """The servers that formation may consider, this one left out (spec FORM-4)."""
        for server, since in list(self._servers.items()):
            if since is not None and now - since >= FORGET_SERVER_AFTER:
                del self._servers[server]
        return frozenset(self._servers)
