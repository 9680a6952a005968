"""W6, W10: commit indexes that a majority stands behind, and numbers that do not run backwards or ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from conformance.trace.invariants import memory
from conformance.trace.invariants.scene import UNDER_TEST
from conformance.trace.invariants.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.trace.invariants.reign import Reign
    from conformance.trace.invariants.scene import Said
    from conformance.trace.invariants.story import Story


class JustifiedCommit:
    """W6. When a leader announces N, a majority of the list has acknowledged an entry of its term at N or
    above.

    Or it knew N as committed before: from a leader it followed, a snapshot, or its own earlier reigns. An
    acknowledgement is recorded before the leader gets it, and so before the announcement that rests on it.
    The leader itself counts once; whether its own disk had the entry (COMMIT-2), no wire shows."""

    def __init__(self, story: Story) -> None:
        self._story = story

    def judge(self, said: Said) -> Iterator[Violation]:
        reign = self._story.reign
        if said.kind != "APPEND_ENTRIES_REQ" or reign is None:
            return
        commit = said.message["leader_commit"]
        own = self._story.known_by(said.speaker.key)
        known = own.best
        if commit <= known:
            return
        own.learn(commit, said.index)
        judged = said.is_judged and said.speaker.life == 0 and self._story.scene.sees_all
        if not judged or reign.members is None or reign.is_unreliable:
            return
        text = f"{reign.name}, leader of term {reign.term}, announced commit index {commit} "
        text += f"(record {said.index}), but {_reached(reign)}, and it knew only {known} as committed"
        records = (*(record for _, record in reign.matches.values()), said.index)
        yield Violation("W6", ("COMMIT-1",), reign.name, said.time, records, text)


def _reached(reign: Reign) -> str:
    """How far the others of the list have acknowledged, and what is wanted."""
    assert reign.members is not None
    others = [member for member in reign.members if member != reign.server]
    told = [(member, reign.matches.get(member)) for member in others]
    words = [
        f"{m.node_id} {match[0]} (record {match[1]})" if match else f"{m.node_id} nothing" for m, match in told
    ]
    wanted = f"{reign.majority} of {len(reign.members)} must have an entry of term {reign.term} there"
    return (
        f"of its entries, the first of its term at {reign.first_own}, acknowledged {', '.join(words)}: {wanted}"
    )


@dataclass(slots=True)
class _Line:
    """The AppendEntries on one connection, while their seqs show that they left in the order they were made
    in."""

    seq: int
    term: int
    commit: int
    record: int
    rises: bool = True


class Monotone:
    """W10. A leader's commit index never falls, and no follower claims to match more than it was asked
    about."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._lines: dict[int, _Line] = {}

    def judge(self, said: Said) -> Iterator[Violation]:
        if said.speaker.role != UNDER_TEST:
            return
        if said.kind == "APPEND_ENTRIES_REQ":
            yield from self._commit(said)
        elif said.kind == "APPEND_ENTRIES_RES" and said.message["success"]:
            yield from self._match(said)

    def _commit(self, said: Said) -> Iterator[Violation]:
        seq, commit = said.message["seq"], said.message["leader_commit"]
        line = self._lines.get(said.connection)
        if line is None:
            self._lines[said.connection] = _Line(seq, said.term, commit, said.index)
            memory.trim(self._lines, memory.LINES_MAX)
            return
        line.rises = line.rises and seq > line.seq
        line.seq = seq
        if said.term != line.term:
            line.term, line.commit, line.record = said.term, commit, said.index
        elif commit >= line.commit:
            line.commit, line.record = commit, said.index
        elif line.rises:
            text = (
                f"{said.speaker.node}, leader of term {said.term}, announced commit index {line.commit} "
                f"(record {line.record}), then {commit} (record {said.index})"
            )
            records = (line.record, said.index)
            yield Violation("W10", ("COMMIT-1",), said.speaker.node, said.time, records, text)

    def _match(self, said: Said) -> Iterator[Violation]:
        """APPEND-7, by the request that is answered."""
        if said.asked is None or self._story.scene.corrupted:
            return
        request, match = said.asked.message, said.message["match_index"]
        end = request["prev_log_index"] + len(request["entries"])
        if match <= end or said.asked.term != said.message["request_term"]:
            return
        text = (
            f"{said.hearer.node} asked {said.speaker.node} about entries up to {end} "
            f"(record {said.asked.index}), and {said.speaker.node} answered that it matches up to {match} "
            f"(record {said.index})"
        )
        records = (said.asked.index, said.index)
        yield Violation("W10", ("APPEND-7",), said.speaker.node, said.time, records, text)
