"""Who says what to whom: records with identities, and responses with the requests they answer.

A frame is recorded as its sender wrote it, when it had come all the way from the sender and before it was
delivered. So what a frame says is its sender's word, whatever became of the frame; and what was recorded
later than a frame cannot have made its sender write it. Every invariant rests on these two facts, and on no
others about time: frames of one sender on two connections may be recorded in another order than they were
written in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, Self

from conformance.trace.invariants.memory import trim
from conformance.trace.record import Closed, Marked, Opened, Raw, Sent
from conformance.wire.message import Message, Server
from conformance.wire.reading import examine

if TYPE_CHECKING:
    from conformance.trace.record import Record
    from conformance.wire.frame import Frame
    from conformance.wire.message import PayloadError

REQUESTS = ("VOTE_REQUEST", "PRE_VOTE_REQUEST", "APPEND_ENTRIES_REQ", "INSTALL_SNAPSHOT_REQ")
ANSWERS = {
    "VOTE_RESPONSE": "VOTE_REQUEST",
    "PRE_VOTE_RESPONSE": "PRE_VOTE_REQUEST",
    "APPEND_ENTRIES_RES": "APPEND_ENTRIES_REQ",
    "INSTALL_SNAPSHOT_RES": "INSTALL_SNAPSHOT_REQ",
}
REQUESTS_OPEN_MAX = 4096
"""Requests remembered of one connection: far more than a leader has open. Answers to older ones prove
nothing."""
CONNECTIONS_MAX = 10_000
"""Connections remembered, far more than a cluster has open; those that are silent the longest are forgotten
first. A capture may lack the ends of any number of them."""

UNDER_TEST, SUITE, CLIENT = "node", "suite", "client"


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a connection, as its hello said."""

    node: str
    server: Server | None = None
    """None where no hello was seen: then nobody knows which disk and which boot this is"""
    boot: bytes = b""
    role: str = UNDER_TEST
    cluster_id: bytes | None = None
    life: int = 0
    """How often its disk was tampered with before: what it promised earlier is void"""

    @property
    def key(self) -> tuple[Server, int]:
        """Whose memory this is. Of known parties only."""
        assert self.server is not None, f"{self.node} has said no hello"
        return self.server, self.life


@dataclass(frozen=True, slots=True)
class Said:
    """A Raft message on its way."""

    index: int
    """Of its record"""
    time: float
    connection: int
    speaker: Party
    hearer: Party
    message: Message
    is_lost: bool = False
    """It surely never arrives"""
    asked: Said | None = None
    """Of a response: the request it answers, of whose entries only their number is known; where it came twice,
    the first"""
    is_forged: bool = False
    """A response to nothing that was asked on its connection"""

    @property
    def kind(self) -> str:
        return self.message.kind

    @property
    def term(self) -> int:
        term: int = self.message["term"]
        return term

    @property
    def is_judged(self) -> bool:
        """Whether its speaker is held to the rules: a node under test whose hello was seen."""
        return self.speaker.role == UNDER_TEST and self.speaker.server is not None


class _Question(NamedTuple):
    """A request as far as answers need it: of a log's entries and a snapshot's bytes, how many there are."""

    said: Said
    digest: bytes

    @classmethod
    def of(cls, said: Said, frame: Frame) -> Self:
        fields = said.message.fields
        large = {name: range(len(fields[name])) for name in ("entries", "data") if name in fields}
        kept = replace(said.message, fields={**fields, **large}) if large else said.message
        return cls(replace(said, message=kept), blake2b(frame.payload, digest_size=16).digest())


@dataclass(slots=True)
class _Connection:
    parties: dict[str, Party] = field(default_factory=dict[str, Party])
    requests: dict[tuple[str, int], _Question | None] = field(
        default_factory=dict[tuple[str, int], "_Question | None"]
    )
    """By kind and seq; None where two requests that differ had the same"""
    is_forgetful: bool = False
    """Some request is not remembered, or arrived as another"""
    closed: int = 0


class Scene:
    """Turns records into `Said`, and knows how far the trace can be trusted."""

    def __init__(self, *, complete: bool) -> None:
        self.complete = complete
        """Whether the trace holds every frame since the first of these stores was made"""
        self.corrupted = False
        """Somebody may have heard what nobody said"""
        self.problems: list[PayloadError] = []
        """What is wrong with the latest frame"""
        self.scripted: set[str] = set()
        self.tampered: dict[str, int] = {}
        self._connections: OrderedDict[int, _Connection] = OrderedDict()

    @property
    def sees_all(self) -> bool:
        """Whether what was not seen did not happen."""
        return self.complete and not self.corrupted

    def is_honest(self, nodes: set[str]) -> bool:
        """Whether all of these are nodes under test that remember what they promised, and hear what is said."""
        return not (self.corrupted or nodes & self.scripted or nodes & self.tampered.keys())

    def read(self, index: int, record: Record) -> Said | None:
        """Takes the next record; what was said in it, if it is a Raft message."""
        self.problems = []
        match record:
            case Sent():
                return self._sent(index, record)
            case Closed(connection=number, how=how):
                self._closed(number, how)
            case Marked(node=str(node), event="scripted"):
                self.scripted.add(node)
            case Marked(node=str(node), event="tampered"):
                self.tampered[node] = self.tampered.get(node, 0) + 1
            case Opened() | Raw() | Marked():
                pass
        return None

    def party(self, record: Sent | Raw) -> Party | None:
        """Who sent that, as far as is known; None where nobody is named."""
        if record.source is None:
            return None
        connection = self._connections.get(record.connection)
        found = connection.parties.get(record.source) if connection is not None else None
        return found or Party(record.source, role=self._role(record.source, member=True))

    def _sent(self, index: int, record: Sent) -> Said | None:
        found = examine(record.frame, None)
        kind, self.problems = found.kind, found.problems
        if found.problems or not (kind in REQUESTS or kind in ANSWERS or kind == "PEER_LIST.hello"):
            return None
        said = Message(kind, found.name, found.fields)
        connection = self._connections.setdefault(record.connection, _Connection())
        self._connections.move_to_end(record.connection)
        if trim(self._connections, CONNECTIONS_MAX):
            self.complete = False  # what is said on a forgotten one is nobody's any more
        if _suffered(record, "corrupted"):
            self.corrupted = True
        if kind == "PEER_LIST.hello":
            self._greet(connection, record, said)
            return None
        if record.source is None or record.target is None or record.source == record.target:
            self.complete = False  # somebody said something, and who it was is not known
            return None
        speaker = self._end_of(connection, record.source)
        hearer = self._end_of(connection, record.target)
        if speaker.server is None or hearer.server is None:
            self.complete = False
        return self._pair(connection, index, record, said, speaker, hearer)

    def _pair(
        self, connection: _Connection, index: int, record: Sent, said: Message, speaker: Party, hearer: Party
    ) -> Said:
        """Remembers requests, and finds the one that a response answers."""
        lost, seq = _suffered(record, "dropped", "blackholed"), said["seq"]
        question = connection.requests.get((ANSWERS[said.kind], seq)) if said.kind in ANSWERS else None
        asked = question.said if question is not None else None
        forged = said.kind in ANSWERS and asked is None and not connection.is_forgetful
        found = Said(
            index, record.time, record.connection, speaker, hearer, said, lost, asked, forged and self.complete
        )
        if said.kind in REQUESTS:
            if _suffered(record, "corrupted"):
                connection.is_forgetful = True
            else:
                new = _Question.of(found, record.frame)
                first = connection.requests.setdefault((said.kind, seq), new)
                if first is None or first.digest != new.digest:
                    connection.requests[said.kind, seq] = None
                    connection.is_forgetful = True
            connection.is_forgetful |= trim(connection.requests, REQUESTS_OPEN_MAX)
        return found

    def _greet(self, connection: _Connection, record: Sent, hello: Message) -> None:
        node = record.source or hello.name
        if node in connection.parties or node != hello.name or record.source == record.target:
            return
        role = (
            SUITE if "scripted" in record.detail.split() else self._role(node, member=hello.get("member", True))
        )
        connection.parties[node] = Party(
            node,
            Server(node, hello["store_id"]),
            hello["boot_id"],
            role,
            hello.get("cluster_id"),
            self.tampered.get(node, 0),
        )

    def _end_of(self, connection: _Connection, node: str) -> Party:
        return connection.parties.get(node) or Party(node, role=self._role(node, member=True))

    def _role(self, node: str, *, member: bool) -> str:
        if node in self.scripted:
            return SUITE
        return UNDER_TEST if member else CLIENT

    def _closed(self, number: int, how: str) -> None:
        connection = self._connections.get(number)
        if connection is None:
            return
        connection.closed += 1
        if how == "reset" or connection.closed > 1:
            del self._connections[number]


def _suffered(record: Sent, *fates: str) -> bool:
    """Whether one of these happened to the frame: first of all, or after something else."""
    return record.fate in fates or any(fate in record.detail for fate in fates)
