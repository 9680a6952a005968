"""What all invariants know in common: the reigns, and which servers belong to one cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from conformance.trace.invariants.memory import SERVERS_MAX, trim
from conformance.trace.invariants.reign import Position, Reigns, Run, runs_of
from conformance.wire.message import PayloadError, decode_configuration

if TYPE_CHECKING:
    from conformance.trace.invariants.reign import Key, Reign
    from conformance.trace.invariants.scene import Party, Said, Scene
    from conformance.wire.message import Server

type Cluster = tuple[Server, ...] | bytes
"""A cluster: by its member list, which never changes (FORM-2); by its id, where the list was not seen."""


@dataclass(slots=True)
class Known:
    """The highest index that a server may know as committed, and from which record; the next best from
    another."""

    best: int = 0
    record: int = -1
    second: int = 0

    def learn(self, index: int, record: int) -> None:
        if index > self.best:
            if record != self.record:
                self.second = self.best
            self.best, self.record = index, record
        elif record != self.record:
            self.second = max(self.second, index)

    def without(self, record: int) -> int:
        """What it may know from other records than this."""
        return self.best if record != self.record else self.second


class Story:
    """Learns from every message before the invariants judge it. `reign` and `contradiction` are about the
    latest."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.reigns = Reigns()
        self.reign: Reign | None = None
        """Of the message's speaker, where it is a candidate's or leader's; of whom it answers, where it is a
        response"""
        self.contradiction: tuple[int, Run, Run] | None = None
        """What a leader said of its log, and said otherwise before: index, then the run of now and that of
        then"""
        self.is_news = False
        """Whether a leader said more of its log, or of what is committed, than before"""
        self.known: dict[Key, Known] = {}
        """What servers may know as committed: from leaders, snapshots, and acknowledgements of their own
        entries"""
        self._lists: dict[Key, tuple[Server, ...]] = {}
        self._by_id: dict[bytes, tuple[Server, ...]] = {}

    def cluster_of(self, party: Party) -> Cluster | None:
        """Which cluster a known party's log is of; None where that is not known."""
        found = self._lists.get(party.key) if party.server is not None else None
        if found is None and party.cluster_id is not None:
            return self._by_id.get(party.cluster_id, party.cluster_id)
        return found

    def cluster_of_reign(self, reign: Reign) -> tuple[Server, ...] | None:
        return self._lists.get(reign.key)

    def is_honest(self, cluster: Cluster | None) -> bool:
        """Whether all that its members say can be held against each other."""
        if cluster is None:
            return False
        if isinstance(cluster, bytes):
            return self.scene.is_honest({*self.scene.scripted, *self.scene.tampered})
        return self.scene.is_honest({server.node_id for server in cluster})

    def known_by(self, key: Key) -> Known:
        return self.known.setdefault(key, Known())

    def hear(self, said: Said) -> None:
        """Takes the next message."""
        self._hear(said)
        if trim(self.known, SERVERS_MAX) | trim(self._lists, SERVERS_MAX) | trim(self._by_id, SERVERS_MAX):
            self.scene.complete = False  # who knew of a commit is not all known any more

    def _hear(self, said: Said) -> None:
        self.reign = self.contradiction = None
        self.is_news = False
        if said.speaker.server is None or said.hearer.server is None:
            return
        match said.kind:
            case "VOTE_REQUEST":
                self._campaign(said)
            case "APPEND_ENTRIES_REQ":
                self._append(said)
            case "INSTALL_SNAPSHOT_REQ":
                self._snapshot(said)
            case "VOTE_RESPONSE":
                self._vote(said)
            case "APPEND_ENTRIES_RES" | "INSTALL_SNAPSHOT_RES":
                self._acknowledgement(said)
            case _:
                pass

    def _campaign(self, said: Said) -> None:
        ask = said.message
        reign = self.reign = self.reigns.of(said.speaker.key, said.term)
        if reign.members is None:
            reign.members = tuple(ask["members"])
            reign.formation = ask["formation"]
            reign.last = Position(ask["last_log_term"], ask["last_log_index"])
            reign.asked_record = said.index
            self._lists.setdefault(reign.key, reign.members)

    def _append(self, said: Said) -> None:
        request = said.message
        reign = self.reign = self._leads(said)
        prev, entries = request["prev_log_index"], request["entries"]
        end = prev + len(entries)
        reign.sent[said.hearer.node] = max(end, reign.sent.get(said.hearer.node, 0))
        if entries and prev == 0 and entries[0].kind == "members":
            self._learn_list(reign.key, entries[0].data)
        for run in runs_of((prev, request["prev_log_term"]), entries, said.index):
            self._tell(reign, run)
        if request["leader_commit"] > reign.commit:
            reign.commit, reign.commit_record = request["leader_commit"], said.index
            self.is_news = True
        self.known_by(said.hearer.key).learn(min(request["leader_commit"], end), said.index)

    def _snapshot(self, said: Said) -> None:
        request = said.message
        reign = self.reign = self._leads(said)
        index, term = request["last_included_index"], request["last_included_term"]
        reign.sent[said.hearer.node] = max(index, reign.sent.get(said.hearer.node, 0))
        self._lists.setdefault(reign.key, tuple(request["members"]))
        self._by_id.setdefault(request["cluster_id"], tuple(request["members"]))
        if index:
            self._tell(reign, Run(index, index, term, said.index, said.index))
        self.known_by(said.hearer.key).learn(index, said.index)

    def _leads(self, said: Said) -> Reign:
        reign = self.reigns.of(said.speaker.key, said.term)
        if reign.led_record is None:
            reign.led_record = said.index
            self.is_news = True
        return reign

    def _tell(self, reign: Reign, run: Run) -> None:
        known = reign.terms.run_at(run.low)
        self.is_news |= known is None or known.term != run.term or known.high < run.high
        conflict = reign.terms.tell(run)
        if conflict is not None:
            reign.is_unreliable = True
            self.contradiction = self.contradiction or (conflict[0], run, conflict[1])

    def _learn_list(self, key: Key, data: bytes) -> None:
        try:
            cluster_id, members = decode_configuration(data)
        except PayloadError:
            return
        self._lists.setdefault(key, members)
        self._by_id.setdefault(cluster_id, members)

    def _vote(self, said: Said) -> None:
        """Counts a grant for the candidate it was sent to (VOTE-6): of whom it names, for the term it names."""
        term = said.message["request_term"]
        reign = self.reign = self.reigns.get(said.hearer.key, term)
        counts = said.message["vote_granted"] and not said.is_forged and not said.is_lost
        if reign is not None and counts and said.speaker.server is not None:
            reign.grants.setdefault(said.speaker.server, said.index)

    def _acknowledgement(self, said: Said) -> None:
        """Counts an acknowledgement that the leader may count: of its term, and of what it has sent
        (LEADER-6)."""
        reign = self.reign = self.reigns.get(said.hearer.key, said.message["request_term"])
        index = acknowledged(said)
        if reign is None or index is None or said.speaker.server is None:
            return
        self._lists.setdefault(said.speaker.key, self._lists.get(reign.key, ()))
        if not self._lists[said.speaker.key]:
            del self._lists[said.speaker.key]
        before, _ = reign.matches.get(said.speaker.server, (0, -1))
        if before < index <= reign.sent.get(said.speaker.node, 0) and not said.is_lost:
            reign.matches[said.speaker.server] = index, said.index
            if reign.replicated >= reign.first_own:
                self.known_by(reign.key).learn(reign.replicated, said.index)


def acknowledged(said: Said) -> int | None:
    """Up to which index a response says that its leader's entries are durable; None where it says nothing of
    it."""
    response = said.message
    if said.is_forged or (said.asked is not None and said.asked.term != response["request_term"]):
        return None
    if said.kind == "APPEND_ENTRIES_RES":
        return response["match_index"] if response["success"] and response["match_index"] else None
    if said.kind == "INSTALL_SNAPSHOT_RES" and response["installed"]:
        index: int = response["last_included_index"]
        return index if said.asked is None or said.asked.message["last_included_index"] == index else None
    return None
