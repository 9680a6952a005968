"""One node under test among peers that the suite plays, and the formation that most cases begin with."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from conformance.peer.client import Client
from conformance.peer.peer import Peer
from conformance.verdict import Unmet
from conformance.wire.message import Entry, Server, encode_configuration
from conformance.wire.value import pack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from conformance.node.node import Node
    from conformance.peer.line import Heard
    from conformance.trace.store import Trace

EAGER_MS: Final = 200
"""The election timeout of a node that is to campaign soon."""
LEADER_MS: Final = 400
"""The election timeout of a node that is to lead: it gives up after two of them without a majority
(LEADER-4)."""
CLUSTER_ID: Final = b"conformance-suit"
"""What a scripted leader draws in formation."""


def command(op: str = "put", key: str = "k", **rest: object) -> bytes:
    """The data of an entry that `$kv` understands (KV-4)."""
    return pack({"op": op, "key": key, **({"value": 1} if op == "put" and not rest else {}), **rest})


def entries(*terms: int, first: int = 2) -> list[Entry]:
    """Commands of these terms; each says in its value at which index it is thought to stand."""
    return [
        Entry(term, "command", command("put", f"k{first + at}", value=f"{term}:{first + at}"))
        for at, term in enumerate(terms)
    ]


class Troupe:
    """The node and its peers. Indexes in the methods are those of the log: entry 1 is the member list."""

    def __init__(self, node: Node, peers: Sequence[Peer], trace: Trace, rng: Random, patience: float) -> None:
        self.node = node
        self.peers = list(peers)
        self.cluster_id = CLUSTER_ID
        self.term = 0
        """The term of the latest scripted leader, or in which the node was elected."""
        self.scale = 1.0
        """How slow this machine is: election timeouts are longer on a slow one."""
        self._trace = trace
        self._rng = rng
        self._patience = patience
        self._clients: list[Peer] = []
        self._introspection: Client | None = None

    @property
    def server(self) -> Server:
        """The node's pair, once it has said hello."""
        if self.node.store_id is None:
            raise AssertionError("the node has not said hello yet")
        return Server(self.node.node_id, self.node.store_id)

    @property
    def members(self) -> tuple[Server, ...]:
        """The list that formation is about, sorted by node id (FORM-4)."""
        return tuple(sorted([self.server, *(peer.server for peer in self.peers)]))

    @property
    def first_entry(self) -> Entry:
        """Entry 1 of a scripted leader of `self.term`: the list and the cluster id (FORM-6)."""
        return Entry(self.term, "members", encode_configuration(self.cluster_id, self.members))

    async def meet(self, *peers: Peer, back: bool = False) -> None:
        """The peers (all, without) listen, dial and say hello; with `back`, until the node has dialled them,
        too."""
        await asyncio.gather(*(self._meet(peer) for peer in peers or self.peers))
        if back:
            await asyncio.gather(*(peer.dialled() for peer in peers or self.peers))

    async def _meet(self, peer: Peer) -> None:
        if not peer.address:
            await peer.listen()
        line = await peer.dial(self.node.address, self.node.node_id)
        assert line.hello is not None
        self.node.store_id = line.hello["store_id"]

    async def form(self, leader: Peer, *, term: int = 1) -> None:
        """Formation with a peer as the candidate, up to the durable entry 1 (FORM-3, -5, -6)."""
        self.term = term
        pre = await leader.ask(leader.request_vote(term - 1, (0, 0), self.members, formation=True, pre=True))
        pre.expect(vote_granted=True)
        vote = await leader.ask(leader.request_vote(term, (0, 0), self.members, formation=True))
        vote.expect(vote_granted=True, term=term)
        await self.replicate(leader, (0, 0), [self.first_entry])

    async def follow(
        self, leader: Peer, log: Sequence[Entry] = (), *, term: int | None = None, commit: int = 0
    ) -> None:
        """All meet and form under `leader`, which then replicates `log` from index 2 on in `term` (the last
        entry's)."""
        await self.meet()
        await self.form(leader)
        self.term = max([self.term, term or 0, *(entry.term for entry in log)])
        if log or commit or term:
            await self.replicate(leader, (1, 1), log, commit=commit)

    async def replicate(
        self, leader: Peer, prev: tuple[int, int], log: Sequence[Entry], *, commit: int = 0
    ) -> Heard:
        """Sends entries after `prev` in `self.term` and waits until the node has acknowledged them all
        (APPEND-7)."""
        heard = await leader.ask(leader.append(self.term, prev, log, commit=commit))
        wanted = prev[0] + len(log)
        while heard.expect(success=True)["match_index"] < wanted:  # APPEND-8: first the durable part
            heard = await leader.raft.hear("APPEND_ENTRIES_RES", seq=heard["seq"])
        return heard.expect(match_index=wanted)

    async def elect(self) -> dict[str, Heard]:
        """Peers grant what the node asks until it leads: its first AppendEntries to each, by node id.

        From then on they keep it in power, but acknowledge nothing that the case does not.
        """
        for peer in self.peers:
            peer.lives = True
        firsts = await asyncio.gather(*(self._vote(peer) for peer in self.peers))
        self.term = firsts[0]["term"]
        return {peer.node_id: heard for peer, heard in zip(self.peers, firsts, strict=True)}

    async def _vote(self, peer: Peer) -> Heard:
        while True:
            heard = await peer.requests.hear("PRE_VOTE_REQUEST", "VOTE_REQUEST", "APPEND_ENTRIES_REQ")
            if heard.message.kind == "APPEND_ENTRIES_REQ":
                return heard
            peer.grant(heard)

    async def lead(self) -> int:
        """All meet, elect the node and acknowledge its first entry until that is committed: the term."""
        await self.meet(back=True)
        firsts = await self.elect()
        await self.commit(firsts)
        return self.term

    async def succeed(self, *, election_ms: int = LEADER_MS) -> dict[str, Heard]:
        """A follower becomes the leader of the log it has: its first AppendEntries to each peer, by node id."""
        await self.awaken(election_ms=election_ms)
        return await self.elect()

    async def commit(self, firsts: dict[str, Heard]) -> None:
        """Acknowledges what the node sends until it says that all it sent is committed."""
        await asyncio.gather(*(self._commit(peer, firsts[peer.node_id]) for peer in self.peers))

    async def _commit(self, peer: Peer, heard: Heard) -> None:
        while True:
            for entry in heard["entries"]:
                if entry.kind == "members":
                    self.cluster_id, _ = decode_members(entry)
            peer.acknowledge(heard)
            if 0 < heard["leader_commit"] == heard["prev_log_index"] + len(heard["entries"]):
                return
            heard = await peer.requests.hear("APPEND_ENTRIES_REQ")

    async def status(self) -> dict[str, Any]:
        """What `$raft` says (capability `introspect`)."""
        if self._introspection is None:
            self._introspection = await self.client()
        status: dict[str, Any] = await self._introspection.raft("status")
        return status

    async def expect_status(self, **fields: Any) -> None:
        """Raises `Unmet` where `$raft status` differs in one of these fields."""
        status = await self.status()
        for name, wanted in fields.items():
            if status.get(name) != wanted:
                raise Unmet(f"$raft status with {name} {wanted!r}", f"{status.get(name)!r}, of {status!r}")

    async def applied(self, index: int) -> None:
        """Returns when `$raft` says that the entry of that index is applied; raises `Unmet` if that never
        comes."""
        try:
            async with asyncio.timeout(self._patience):
                while (await self.status())["last_applied"] < index:
                    pass
        except TimeoutError:
            raise Unmet(f"entry {index} to be applied", f"not within {self._patience:.1f} s") from None

    async def fence(self, peer: Peer) -> None:
        """Returns when the node has answered everything of this peer before: a request of term 0, refused
        like any."""
        request = peer.request_vote(0, (0, 0), self.members, formation=True)
        (await peer.ask(request)).expect(vote_granted=False)

    async def client(self) -> Client:
        """A connection of somebody who is no member."""
        peer = Peer(
            f"client-{len(self._clients) + 1}",
            size=len(self.peers) + 1,
            trace=self._trace,
            rng=self._rng,
            patience=self._patience,
            member=False,
        )
        self._clients.append(peer)
        return Client(peer, await peer.dial(self.node.address, self.node.node_id, "actor"))

    async def restart(self) -> None:
        """`kill -9`, a start on the same directory, and all peers that had met it meet it again."""
        self._introspection = None
        met = [peer for peer in self.peers if peer.lines]
        await self.node.kill()
        await self.rejoin(*met)

    async def rejoin(self, *peers: Peer, environment: Mapping[str, str] | None = None) -> None:
        """The node starts on its directory, and these peers connect again under new boots."""
        self._introspection = None
        await asyncio.gather(*(peer.restart() for peer in peers))
        before = self.node.store_id
        await self.node.start(environment=environment)
        await self.meet(*peers)
        if self.node.store_id != before:
            raise Unmet("the same store id after a restart on the same directory (LAUNCH-6, FORM-1)", "another")

    async def awaken(self, *peers: Peer, election_ms: int = EAGER_MS) -> None:
        """Restarts the node with a short election timeout: a member that will campaign, with these peers
        (all) met."""
        election_ms = round(election_ms * self.scale)
        await self.node.kill()
        heartbeat = max(20, election_ms // 4)
        self.node.launch = replace(self.node.launch, election_ms=election_ms, heartbeat_ms=heartbeat)
        await self.rejoin(*(peers or self.peers))
        await asyncio.gather(*(peer.dialled() for peer in peers or self.peers))

    async def campaign(self, *voters: Peer) -> dict[str, Heard]:
        """Pre-votes are granted by these peers (all) until each of them is asked for its vote: the requests,
        by node id."""
        asked = await asyncio.gather(*(self._prevote(peer) for peer in voters or self.peers))
        self.term = asked[0]["term"]
        return {peer.node_id: heard for peer, heard in zip(voters or self.peers, asked, strict=True)}

    async def _prevote(self, peer: Peer) -> Heard:
        while True:
            heard = await peer.requests.hear("PRE_VOTE_REQUEST", "VOTE_REQUEST")
            if heard.message.kind == "VOTE_REQUEST":
                return heard
            peer.grant(heard)

    async def leave(self) -> None:
        """Ends all connections of all peers and clients."""
        await asyncio.gather(*(peer.leave() for peer in [*self.peers, *self._clients]))


def decode_members(entry: Entry) -> tuple[bytes, list[Server]]:
    """What entry 1 holds."""
    from conformance.wire.message import decode_configuration

    cluster_id, members = decode_configuration(entry.data)
    return cluster_id, list(members)
