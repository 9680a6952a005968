"""Several real servers, and a network and disks that do one thing after the other, so that a script can be
read.

Time does not pass by itself. What is sent is delivered, then what was written becomes durable, and so on until
nobody has anything left to do; `transcript` tells what happened, a line each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.raft.events import Role, Ticked
from casty.raft.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
    PreVoteResponse,
    Refusal,
    VoteRequest,
    VoteResponse,
)
from tests.raft.shorthand import ELECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from casty.raft.events import Outgoing
    from casty.raft.messages import Message
    from casty.raft.types import Members, ServerId, Write
    from tests.raft.harness import Server


def _never() -> bool:
    return False


class Cluster:
    def __init__(self, *servers: Server) -> None:
        self.servers = {server.raft.me: server for server in servers}
        self.transcript: list[str] = []
        self._cut: set[ServerId] = set()
        self._seen: dict[ServerId, tuple[bool, int]] = {}
        for server in servers:
            server.slow = True
            server.connects(*(peer for peer in self.servers if peer != server.raft.me))
            server.forget()
            self._seen[server.raft.me] = self._news_of(server)

    def __getitem__(self, who: ServerId) -> Server:
        return self.servers[who]

    # ---------------------------------------------------------------------------------------- what happens

    def times_out(self, who: ServerId, *, until: Callable[[], bool] = _never) -> None:
        """Nobody heard of a leader for long, and `who` is the first to lose patience."""
        for server in self.servers.values():
            server.later(2 * ELECTION)
        self._note(f"{who.node_id} times out")
        self[who].step(Ticked())
        self.settle(until=until)

    def heartbeat(self, who: ServerId) -> None:
        """The leader's next round, unless it gives up first."""
        self[who].tick()
        self.settle()

    def proposes(self, who: ServerId, data: bytes) -> None:
        self._note(f"{who.node_id} takes command {data.decode()}")
        self[who].proposes(data)
        self.settle()

    def cut_off(self, *who: ServerId) -> None:
        """These reach nobody any more, and nobody them; not even one another."""
        self._cut |= set(who)
        for server, peers in self._pairs(who):
            for peer in peers:
                server.disconnects(peer)

    def heal(self, *who: ServerId) -> None:
        """These, or all, reach everybody again who is not cut off, on new connections."""
        back = set(who) or self._cut
        self._cut = self._cut - back
        for server, peers in self._pairs(back):
            server.connects(*(peer for peer in peers if peer not in self._cut))
        self.settle()

    def join(self, server: Server) -> None:
        """Another server appears, perhaps in the place of one with its node id."""
        me = server.raft.me
        for gone in [who for who in self.servers if who.node_id == me.node_id]:
            del self.servers[gone]
        server.slow, server.now = True, max(other.now for other in self.servers.values())
        server.forget()
        self.servers[me], self._seen[me] = server, self._news_of(server)
        for other, peers in self._pairs({me}):
            other.connects(*(peer for peer in peers if peer not in self._cut), boot=me.store_id + b"again")
        self.settle()

    def restart(self, who: ServerId) -> None:
        """A crash and a start; the connections to it are new, and it has another boot id."""
        self.join(self[who].restarted())

    def settle(self, *, until: Callable[[], bool] = _never) -> None:
        """Everything that is sent arrives, and everything written becomes durable, `until` something is
        true."""
        while any(server.outbox or server.writes for server in self.servers.values()):
            for server in list(self.servers.values()):
                if self._deliver(server, until):
                    return
            for server in list(self.servers.values()):
                self._fsync(server)

    # --------------------------------------------------------------------------------------- what it looks like

    @property
    def leaders(self) -> list[ServerId]:
        return [who for who, server in self.servers.items() if server.role is Role.LEADER]

    @property
    def terms(self) -> set[tuple[int, ...]]:
        """The different logs there are, each by the terms of its entries."""
        return {server.terms for server in self.servers.values()}

    @property
    def commits(self) -> list[int]:
        return [server.commit for server in self.servers.values()]

    # ---------------------------------------------------------------------------------------------- mechanics

    def _pairs(self, cut: Iterable[ServerId]) -> list[tuple[Server, list[ServerId]]]:
        """Every server with the peers it loses, or finds again, when `cut` are."""
        cut = set(cut)
        everybody = list(self.servers)
        return [(self[a], [b for b in everybody if a != b and {a, b} & cut]) for a in everybody]

    def _deliver(self, sender: Server, until: Callable[[], bool]) -> bool:
        me = sender.raft.me
        outbox, sender.outbox = sender.outbox, []
        arriving = [m for m in outbox if m.to in self.servers and not {me, m.to} & self._cut]
        for names, message in _grouped(arriving):
            self._note(f"{me.node_id} → {names}  {message}")
        for letter in arriving:
            if not isinstance(letter.message, Refusal):
                self[letter.to].hears(me, letter.message)
                self._note_news(self[letter.to])
                if until():
                    return True
        return False

    def _fsync(self, server: Server) -> None:
        for write in server.writes:
            self._note(f"{server.raft.me.node_id} ⊢ {_kept(write)}")
        server.fsync()
        self._note_news(server)

    def _note(self, line: str) -> None:
        self.transcript.append(line)

    def _news_of(self, server: Server) -> tuple[bool, int]:
        return server.role is Role.LEADER, server.commit

    def _note_news(self, server: Server) -> None:
        name = server.raft.me.node_id
        (led, committed), now = self._seen[server.raft.me], self._news_of(server)
        if now[0] and not led:
            self._note(f"{name} leads term {server.term}")
        if now[1] > committed:
            self._note(f"{name} commits {now[1]}")
        self._seen[server.raft.me] = now


def _grouped(letters: list[Outgoing]) -> list[tuple[str, str]]:
    """Receivers and message as text; equal neighbours are one line."""
    lines: list[tuple[str, str]] = []
    for letter in letters:
        text = _text(letter.message)
        if lines and lines[-1][1] == text:
            lines[-1] = (f"{lines[-1][0]} {letter.to.node_id}", text)
        else:
            lines.append((letter.to.node_id, text))
    return lines


def _text(message: Message | Refusal) -> str:
    match message:
        case Refusal(code, rule, _):
            return f"ERROR {code} {rule}"
        case PreVoteRequest() | VoteRequest():
            kind = "VOTE_REQUEST" if isinstance(message, VoteRequest) else "PRE_VOTE_REQUEST"
            last = f"last=({message.last_log_index}, {message.last_log_term})"
            formation = f" formation {_names(message.members)}" if message.formation else ""
            return f"{kind} term={message.term} {last}{formation}"
        case PreVoteResponse() | VoteResponse():
            kind = "VOTE_RESPONSE" if isinstance(message, VoteResponse) else "PRE_VOTE_RESPONSE"
            return f"{kind} term={message.term} {'granted' if message.vote_granted else 'denied'}"
        case AppendEntriesRequest(term, _, prev, prev_term, commit, entries):
            sent = " ".join(f"{prev + 1 + place}:{entry.kind}" for place, entry in enumerate(entries))
            return f"APPEND_ENTRIES_REQ term={term} prev=({prev}, {prev_term}) [{sent}] commit={commit}"
        case AppendEntriesResponse(term, _, _, success, match_index, hint, hint_term):
            result = f"match={match_index}" if success else f"refused, hint=({hint}, {hint_term})"
            return f"APPEND_ENTRIES_RES term={term} {result}"
        case InstallSnapshotRequest():
            last = f"last=({message.last_included_index}, {message.last_included_term})"
            return f"INSTALL_SNAPSHOT_REQ term={message.term} {last} offset={message.offset}"
        case InstallSnapshotResponse():
            result = "installed" if message.installed else f"wants {message.offset}"
            return f"INSTALL_SNAPSHOT_RES term={message.term} {result}"


def _kept(write: Write) -> str:
    """What a write makes durable."""
    said: list[str] = []
    if write.hard_state is not None:
        vote = write.hard_state.voted_for
        said.append(f"term {write.hard_state.term}, vote {vote.node_id if vote else 'none'}")
        if write.hard_state.lock is not None:
            said.append(f"list {_names(write.hard_state.lock)}")
    if write.snapshot is not None:
        said.append(f"snapshot up to {write.snapshot.last_included_index}")
    if write.first_index is not None:
        last = write.first_index + len(write.entries) - 1
        said.append(f"entries from {write.first_index} on: up to {last}")
    return ", ".join(said)


def _names(members: Members) -> str:
    return "{" + " ".join(member.node_id for member in members) + "}"
