"""W1, W2, W3: one elected leader in a term, one vote of a server in a term, terms that never fall."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conformance.trace.invariants import memory
from conformance.trace.invariants.reign import REIGNS_MAX
from conformance.trace.invariants.scene import ANSWERS
from conformance.trace.invariants.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.trace.invariants.reign import Key, Reign
    from conformance.trace.invariants.scene import Said
    from conformance.trace.invariants.story import Story
    from conformance.wire.message import Server

LEADING = ("APPEND_ENTRIES_REQ", "INSTALL_SNAPSHOT_REQ")


class OneLeader:
    """W1. Whoever sends AppendEntries or InstallSnapshot in a term leads it: nobody else does, and it was
    elected."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._leaders: dict[tuple[object, int], Reign] = {}

    def judge(self, said: Said) -> Iterator[Violation]:
        reign = self._story.reign
        if said.kind not in LEADING or reign is None or not said.is_judged:
            return
        if reign.led_record == said.index:
            yield from self._was_elected(said, reign)
        yield from self._is_alone(said, reign)

    def _was_elected(self, said: Said, reign: Reign) -> Iterator[Violation]:
        """VOTE-6, FORM-3. Grants are recorded before the candidate has them, and so before it leads."""
        if not self._story.scene.sees_all or self._story.reigns.forgot:
            return
        if reign.members is None:
            text = (
                f"{reign.name} leads term {reign.term} (record {said.index}) and never asked for a vote in it"
            )
            yield Violation("W1", ("VOTE-6",), reign.name, said.time, (said.index,), text)
            return
        grants = {server: record for server, record in reign.grants.items() if server in reign.members}
        votes = len(grants.keys() | ({reign.server} & set(reign.members)))
        if votes >= reign.needed:
            return
        of = "all" if reign.formation else f"{reign.needed} of {len(reign.members)}"
        shown = (
            ", ".join(f"{server.node_id} (record {record})" for server, record in grants.items()) or "nobody"
        )
        text = (
            f"{reign.name} asked for votes in term {reign.term} (record {reign.asked_record}) and needs {of}; "
            f"it leads (record {said.index}), while only {shown} and itself have voted for it"
        )
        records = (reign.asked_record, *grants.values(), said.index)
        yield Violation("W1", ("VOTE-6", "FORM-3"), reign.name, said.time, records, text)

    def _is_alone(self, said: Said, reign: Reign) -> Iterator[Violation]:
        cluster = self._story.cluster_of(said.speaker)
        if cluster is None or not self._story.is_honest(cluster):
            return
        first = self._leaders.setdefault((cluster, reign.term), reign)
        memory.trim(self._leaders, REIGNS_MAX)
        if first.key == reign.key or first.led_record is None:
            return
        text = (
            f"{first.name} leads term {reign.term} (record {first.led_record}), "
            f"and so does {reign.name} (record {said.index})"
        )
        records = (first.led_record, said.index)
        yield Violation("W1", ("VOTE-2", "VOTE-6"), reign.name, said.time, records, text)


@dataclass(slots=True)
class _Vote:
    candidate: Server
    record: int
    how: str


class OneVote:
    """W2. A server votes for one candidate in a term, whatever happens to it in between, and only if it is
    listed."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._votes: dict[tuple[Key, int], _Vote] = {}

    def judge(self, said: Said) -> Iterator[Violation]:
        if not said.is_judged or said.hearer.server is None or said.speaker.server is None:
            return
        if said.kind == "VOTE_REQUEST":
            vote = _Vote(said.speaker.server, said.index, f"voted for itself in term {said.term}")
            yield from self._cast(said, said.term, vote)
        elif said.kind == "VOTE_RESPONSE" and said.message["vote_granted"]:
            term: int = said.message["request_term"]
            how = f"granted {said.hearer.node} its vote in term {term}"
            yield from self._cast(said, term, _Vote(said.hearer.server, said.index, how))
            yield from self._is_listed(said)

    def _cast(self, said: Said, term: int, vote: _Vote) -> Iterator[Violation]:
        first = self._votes.setdefault((said.speaker.key, term), vote)
        memory.trim(self._votes, memory.VOTES_MAX)
        if first.candidate == vote.candidate:
            return
        again = first.candidate.node_id == vote.candidate.node_id
        other = f", which has another store, {_short(vote.candidate)}, now" if again else ""
        text = (
            f"{said.speaker.node} {first.how} (record {first.record}), "
            f"then {vote.how}{other} (record {vote.record})"
        )
        yield Violation("W2", ("VOTE-2",), said.speaker.node, said.time, (first.record, vote.record), text)

    def _is_listed(self, said: Said) -> Iterator[Violation]:
        """FORM-9: who is not on the list, with this very store, has no vote."""
        if said.asked is None or self._story.scene.corrupted:
            return
        members = said.asked.message["members"]
        if said.speaker.server in members:
            return
        text = (
            f"{said.speaker.node} (store {_short(said.speaker.server)}) granted {said.hearer.node} its vote "
            f"(record {said.index}), but is not on the list that it was asked for by (record "
            f"{said.asked.index})"
        )
        records = (said.asked.index, said.index)
        yield Violation("W2", ("FORM-9", "FORM-7"), said.speaker.node, said.time, records, text)


def _short(server: Server | None) -> str:
    return server.store_id.hex()[:8] if server is not None else "?"


@dataclass(slots=True)
class _Past:
    """The terms a server has told, each with the record in which it was first told: both rise."""

    records: list[int] = field(default_factory=list[int])
    terms: list[int] = field(default_factory=list[int])
    boots: dict[bytes, tuple[int, int]] = field(default_factory=dict[bytes, tuple[int, int]])
    """For each boot what was the highest term when it was first seen, and the record of that"""

    def before(self, record: int) -> tuple[int, int]:
        """The highest term told in earlier records than this, and where."""
        at = bisect_left(self.records, record)
        return (self.terms[at - 1], self.records[at - 1]) if at else (-1, -1)


@dataclass(slots=True)
class _Line:
    """The vote requests on one connection, while their seqs show that they left in the order they were made
    in."""

    seq: int
    term: int
    record: int
    rises: bool = True


class RisingTerm:
    """W3. What a server said of its term was durable (TERM-4), so it never says less later, restarts included.

    "Later" needs a proof, for frames of two connections may be recorded in another order than they left in. A
    response is later than all that was recorded before the request it answers; whatever a new boot says is
    later than all that earlier boots said; a vote request is later than the one before it on its connection,
    by its seq."""

    def __init__(self) -> None:
        self._pasts: dict[Key, _Past] = {}
        self._lines: dict[int, _Line] = {}

    def judge(self, said: Said) -> Iterator[Violation]:
        if said.speaker.server is None:
            return
        past = self._pasts.setdefault(said.speaker.key, _Past())
        memory.trim(self._pasts, memory.SERVERS_MAX)
        floor = self._floor(past, said)
        if said.is_judged and said.term < floor[0]:
            text = (
                f"{said.speaker.node} said term {floor[0]} (record {floor[1]}), "
                f"then term {said.term} (record {said.index})"
            )
            records = (floor[1], said.index)
            yield Violation("W3", ("TERM-4", "PERSIST-1"), said.speaker.node, said.time, records, text)
        if not past.terms or said.term > past.terms[-1]:
            past.terms.append(said.term)
            past.records.append(said.index)

    def _floor(self, past: _Past, said: Said) -> tuple[int, int]:
        """The highest term that was certainly told before this was written, and the record."""
        floor = past.boots.setdefault(said.speaker.boot, past.before(said.index))
        if said.kind in ANSWERS and said.asked is not None:
            floor = max(floor, past.before(said.asked.index))
        if said.kind == "VOTE_REQUEST":
            floor = max(floor, self._before_on_line(said))
        return floor

    def _before_on_line(self, said: Said) -> tuple[int, int]:
        seq: int = said.message["seq"]
        line = self._lines.get(said.connection)
        if line is None:
            self._lines[said.connection] = _Line(seq, said.term, said.index)
            memory.trim(self._lines, memory.LINES_MAX)
            return -1, -1
        line.rises = line.rises and seq > line.seq
        floor = (line.term, line.record) if line.rises else (-1, -1)
        if said.term > line.term:
            line.term, line.record = said.term, said.index
        line.seq = seq
        return floor
