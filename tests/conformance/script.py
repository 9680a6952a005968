"""Traces written by hand: who said what to whom, one line each, with hellos and numbers filled in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from conformance.trace.invariants import check
from conformance.trace.record import Closed, Marked, Raw, Sent
from conformance.wire.message import Entry, Message, Server, encode, encode_configuration, message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.trace.invariants import Violation
    from conformance.trace.record import Fate, Record
    from conformance.wire.frame import Frame

CLUSTER_ID = b"a cluster's name"


@dataclass(slots=True)
class Node:
    """One node id: its present disk and process."""

    server: Server
    boot: int = 1

    @property
    def boot_id(self) -> bytes:
        return f"{self.server.node_id} boot {self.boot}".encode().rjust(16, b"-")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was sent, to be answered."""

    connection: int
    source: str
    target: str
    message: Message

    @property
    def term(self) -> int:
        term: int = self.message["term"]
        return term


class Script:
    """A trace under construction. Positions in logs are (index, term), as in the specification.

    Node ids are n1, n2 …; the member list is all of them, as they were at the beginning.
    """

    def __init__(self, size: int = 3, *, scripted: Sequence[str] = ()) -> None:
        self.records: list[Record] = []
        self.nodes = {f"n{n}": Node(Server(f"n{n}", bytes([n]) * 16)) for n in range(1, size + 1)}
        self.members = tuple(node.server for node in self.nodes.values())
        self.fate: Fate = "passed"
        """Of the frames that follow."""
        self._lines: dict[tuple[str, str], int] = {}
        self._connections = 0
        self._seq = 0
        for node in scripted:
            self.mark(node, "scripted")

    def found(self, *, complete: bool = True) -> list[str]:
        """The invariants that are broken, each once, in the order in which that shows."""
        return list(dict.fromkeys(violation.invariant for violation in self.violations(complete=complete)))

    def violations(self, *, complete: bool = True) -> list[Violation]:
        return check(self.records, complete=complete)

    # --------------------------------------------------------------------------- nodes and wires

    def mark(self, node: str | None, event: str, text: str = "") -> None:
        self.records.append(Marked(self._now(), node, event, text))

    def restart(self, node: str) -> None:
        """Killed and started again on its disk."""
        self.nodes[node].boot += 1
        self._hang_up(node)

    def wipe(self, node: str) -> None:
        """Killed, and started again with another disk."""
        self.nodes[node].server = Server(node, bytes([self.nodes[node].server.store_id[0] + 100]) * 16)
        self.restart(node)

    def _hang_up(self, node: str) -> None:
        for pair in [pair for pair in self._lines if node in pair]:
            self.records.append(Closed(self._now(), self._lines.pop(pair), node, "reset"))

    def new_line(self, source: str, target: str) -> int:
        """Another connection between these, with both hellos; what is said from now on is said there."""
        self._connections += 1
        self._lines[source, target] = self._connections
        for who, other in ((source, target), (target, source)):
            self._send(self._connections, who, other, encode(self._hello(who)))
        return self._connections

    def _hello(self, name: str) -> Message:
        node = self.nodes[name]
        return message(
            "PEER_LIST.hello",
            name,
            version=1,
            cluster="casty",
            store_id=node.server.store_id,
            boot_id=node.boot_id,
            lane="raft",
            address="127.0.0.1:1",
            expected_size=len(self.members),
        )

    def raw(self, source: str, target: str, data: bytes) -> None:
        line = self._lines.get((source, target)) or self.new_line(source, target)
        self.records.append(Raw(self._now(), line, source, target, data, "no frame"))

    def frame(self, source: str, target: str, frame: Frame, detail: str = "") -> None:
        """Any frame, right or wrong, from the dialler."""
        line = self._lines.get((source, target)) or self.new_line(source, target)
        self._send(line, source, target, frame, detail)

    # ---------------------------------------------------------------------------------- requests

    def ask(self, kind: str, source: str, target: str, **fields: Any) -> Asked:
        """A request on the connection that its source dialled."""
        line = self._lines.get((source, target)) or self.new_line(source, target)
        self._seq += 1
        asked = Asked(line, source, target, message(kind, source, **{"seq": self._seq} | fields))
        self._send(line, source, target, encode(asked.message))
        return asked

    def ask_vote(
        self,
        source: str,
        target: str,
        term: int,
        last: tuple[int, int] = (0, 0),
        *,
        formation: bool = False,
        pre: bool = False,
        members: Sequence[Server] | None = None,
        **fields: Any,
    ) -> Asked:
        """`term` is that of the election, or for a pre-vote the present one."""
        return self.ask(
            "PRE_VOTE_REQUEST" if pre else "VOTE_REQUEST",
            source,
            target,
            term=term,
            last_log_index=last[0],
            last_log_term=last[1],
            formation=formation,
            members=self.members if members is None else members,
            **fields,
        )

    def append(
        self,
        source: str,
        target: str,
        term: int,
        prev: tuple[int, int] = (0, 0),
        terms: Sequence[int] = (),
        *,
        commit: int = 0,
        salt: str = "",
        **fields: Any,
    ) -> Asked:
        """Entries of these terms after `prev`. Equal places have equal entries, unless they are salted
        otherwise."""
        entries = [self.entry(prev[0] + at, of, salt) for at, of in enumerate(terms, 1)]
        return self.ask(
            "APPEND_ENTRIES_REQ",
            source,
            target,
            term=term,
            prev_log_index=prev[0],
            prev_log_term=prev[1],
            entries=entries,
            leader_commit=commit,
            **fields,
        )

    def entry(self, index: int, term: int, salt: str = "") -> Entry:
        if index == 1:
            return Entry(term, "members", encode_configuration(CLUSTER_ID, self.members))
        return Entry(term, "command", f"command {index} of term {term}{salt}".encode())

    def snapshot(self, source: str, target: str, term: int, last: tuple[int, int]) -> Asked:
        """A whole snapshot in one chunk."""
        return self.ask(
            "INSTALL_SNAPSHOT_REQ",
            source,
            target,
            term=term,
            last_included_index=last[0],
            last_included_term=last[1],
            cluster_id=CLUSTER_ID,
            members=self.members,
            size=0,
            checksum=0,
            offset=0,
            data=b"",
            done=True,
        )

    # --------------------------------------------------------------------------------- responses

    def answer(self, kind: str, asked: Asked, *, term: int | None = None, **fields: Any) -> None:
        """On the connection of the question. `term` is the answerer's, the question's where it says nothing."""
        term = asked.term if term is None else term
        given = {"term": term, "request_term": asked.term, "seq": asked.message["seq"]} | fields
        response = message(kind, asked.target, **given)
        self._send(asked.connection, asked.target, asked.source, encode(response))

    def grant(self, asked: Asked, *, granted: bool = True, **fields: Any) -> None:
        kind = asked.message.kind.replace("REQUEST", "RESPONSE")
        self.answer(kind, asked, vote_granted=granted, **fields)

    def deny(self, asked: Asked, **fields: Any) -> None:
        self.grant(asked, granted=False, **fields)

    def ack(self, asked: Asked, match: int | None = None, **fields: Any) -> None:
        """All of the question, or up to `match`; a snapshot is said to be installed."""
        said = asked.message
        if said.kind == "INSTALL_SNAPSHOT_REQ":
            last = said["last_included_index"]
            self.answer(
                "INSTALL_SNAPSHOT_RES", asked, last_included_index=last, offset=0, installed=True, **fields
            )
            return
        end = said["prev_log_index"] + len(said["entries"])
        self.answer(
            "APPEND_ENTRIES_RES", asked, success=True, match_index=end if match is None else match, **fields
        )

    def refuse(self, asked: Asked, hint: tuple[int, int | None] | None = None, **fields: Any) -> None:
        """`hint` is conflict_index and conflict_term."""
        hints: dict[str, Any] = {} if hint is None else {"conflict_index": hint[0]}
        if hint is not None and hint[1] is not None:
            hints["conflict_term"] = hint[1]
        self.answer("APPEND_ENTRIES_RES", asked, success=False, match_index=0, **hints, **fields)

    # --------------------------------------------------------------------------- longer passages

    def elect(
        self, leader: str, term: int, *by: str, last: tuple[int, int] = (0, 0), formation: bool = False
    ) -> None:
        """Asks everybody, and these grant."""
        for other in self.nodes:
            if other != leader:
                asked = self.ask_vote(leader, other, term, last, formation=formation)
                if other in by:
                    self.grant(asked)

    def replicate(
        self,
        leader: str,
        term: int,
        prev: tuple[int, int],
        terms: Sequence[int],
        *to: str,
        commit: int = 0,
    ) -> None:
        """Sends these entries, and they are acknowledged."""
        for other in to:
            self.ack(self.append(leader, other, term, prev, terms, commit=commit))

    def form(self, leader: str = "n1") -> None:
        """Term 1: everybody votes, and entry 1 is replicated and announced as committed."""
        others = [node for node in self.nodes if node != leader]
        self.elect(leader, 1, *others, formation=True)
        self.replicate(leader, 1, (0, 0), [1], *others)
        self.replicate(leader, 1, (1, 1), [], *others, commit=1)

    def _send(self, line: int, source: str, target: str, frame: Frame, detail: str = "") -> None:
        self.records.append(Sent(self._now(), line, source, target, frame, self.fate, detail))

    def _now(self) -> float:
        return len(self.records) / 1000


def reordered(script: Script, first: int, second: int) -> Script:
    """The same trace with two records in the other order, as a recorder may see frames of two connections."""
    records = list(script.records)
    records[first], records[second] = (
        replace(records[second], time=records[first].time),
        replace(records[first], time=records[second].time),
    )
    script.records = records
    return script
