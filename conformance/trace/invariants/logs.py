"""W4, W5, W7: one history of the log, leaders that only append, leaders that have all that was committed."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from conformance.trace.invariants.memory import trim
from conformance.trace.invariants.violation import Violation
from conformance.wire.message import PayloadError, decode_configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.trace.invariants.reign import Reign
    from conformance.trace.invariants.scene import Said
    from conformance.trace.invariants.story import Story
    from conformance.wire.message import Entry

ENTRIES_MAX = 200_000
"""Entries remembered, the latest told last: about 60 MB. Of older ones only the terms are."""


class _Told(NamedTuple):
    digest: bytes
    previous: int | None
    """The term of the entry before"""
    record: int
    reign: Reign


class SameEntries:
    """W4 and W5. In one cluster index and term name one entry, with one entry before it; in one reign, the
    index does.

    Where some member of the cluster is played or was tampered with, only what one leader says in one term is
    compared."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._told: dict[tuple[object, int, int], _Told] = {}

    def judge(self, said: Said) -> Iterator[Violation]:
        reign = self._story.reign
        if reign is None or said.kind != "APPEND_ENTRIES_REQ" or not said.is_judged:
            return
        cluster = self._story.cluster_of(said.speaker)
        scope: object = cluster if self._story.is_honest(cluster) else reign
        request = said.message
        index, before = request["prev_log_index"], request["prev_log_term"]
        for entry in request["entries"]:
            index += 1
            new = _Told(_digest(entry), before, said.index, reign)
            first = self._told.setdefault((scope, index, entry.term), new)
            if first is not new:
                yield from self._compare(said, index, entry.term, first, new)
            before = entry.term
        trim(self._told, ENTRIES_MAX)

    def _compare(self, said: Said, index: int, term: int, first: _Told, new: _Told) -> Iterator[Violation]:
        if first.digest == new.digest and first.previous == new.previous:
            return
        own = first.reign is new.reign
        what = f"entry {index} of term {term}"
        if first.digest != new.digest:
            text = (
                f"{first.reign.name} sent {what} (record {first.record}), and {said.speaker.node} another one"
            )
        else:
            text = (
                f"{first.reign.name} sent {what} after one of term {first.previous} (record {first.record}), "
            )
            text += f"and {said.speaker.node} after one of term {new.previous}"
        text += f" (record {said.index})"
        rules = ("LEADER-3",) if own else ("APPEND-2", "APPEND-3")
        records = (first.record, said.index)
        yield Violation("W5" if own else "W4", rules, said.speaker.node, said.time, records, text)


def _digest(entry: Entry) -> bytes:
    """Of what an entry means: its bytes, or of entry 1 what it says, however it is packed."""
    data = entry.data
    if entry.kind == "members":
        try:
            data = repr(decode_configuration(data)).encode()
        except PayloadError:
            pass
    return blake2b(entry.kind.encode() + b"\0" + data, digest_size=16).digest()


class AppendOnly:
    """W5. What a leader says of the terms in its log never changes while its term lasts."""

    def __init__(self, story: Story) -> None:
        self._story = story

    def judge(self, said: Said) -> Iterator[Violation]:
        found, reign = self._story.contradiction, self._story.reign
        if found is None or reign is None or not said.is_judged:
            return
        index, new, old = found
        if old.low == old.high:
            where = f"entry {old.low} was of term {old.term}"
        else:
            where = f"entries {old.low} to {old.high} were of term {old.term}"
        text = (
            f"{reign.name}, leader of term {reign.term}, said that {where} "
            f"(records {old.low_record} and {old.high_record}), then that entry {index} is of term {new.term} "
            f"(record {said.index})"
        )
        records = (old.low_record, old.high_record, said.index)
        yield Violation("W5", ("LEADER-3",), reign.name, said.time, records, text)


class Completeness:
    """W7. What a leader announced as committed is in the log of every leader of a later term, whenever that
    speaks."""

    def __init__(self, story: Story) -> None:
        self._story = story

    def judge(self, said: Said) -> Iterator[Violation]:
        reign = self._story.reign
        if reign is None or not self._story.is_news or not said.is_judged:
            return
        cluster = self._story.cluster_of_reign(reign)
        if cluster is None or not self._story.is_honest(cluster) or reign.is_unreliable:
            return
        for other in self._story.reigns:
            if other.led_record is None or other.is_unreliable or other.term == reign.term:
                continue
            earlier, later = (other, reign) if other.term < reign.term else (reign, other)
            if earlier.commit and self._story.cluster_of_reign(other) == cluster:
                yield from _compare(said, earlier, later)


def _compare(said: Said, earlier: Reign, later: Reign) -> Iterator[Violation]:
    """Whether the later leader has what the earlier one announced."""
    assert later.led_record is not None
    announced = (
        f"{earlier.name}, leader of term {earlier.term}, announced commit index {earlier.commit} "
        f"(record {earlier.commit_record})"
    )
    if later.last is not None and later.last.index < earlier.commit:
        text = (
            f"{announced}; the log of {later.name}, who leads term {later.term} (record {later.led_record}), "
            f"ended at {later.last.index} when it was elected (record {later.asked_record})"
        )
        records = (earlier.commit_record, later.asked_record, later.led_record)
        yield Violation("W7", ("VOTE-3", "COMMIT-1"), later.name, said.time, records, text)
        return
    for run in earlier.terms:
        if run.low > earlier.commit:
            return
        other = _differing(run.low, min(run.high, earlier.commit), run.term, later)
        if other is None:
            continue
        index, term, record = other
        text = (
            f"{announced} and entry {index} of term {run.term} (record {run.record_of(index)}); {later.name}, "
            f"leader of term {later.term}, has one of term {term} there (record {record})"
        )
        records = (earlier.commit_record, run.record_of(index), record)
        yield Violation("W7", ("VOTE-3", "COMMIT-1"), later.name, said.time, records, text)
        return


def _differing(low: int, high: int, term: int, later: Reign) -> tuple[int, int, int] | None:
    """An index within these of which the leader said another term: index, term, record."""
    for run in later.terms:
        index = max(low, run.low)
        if run.term != term and index <= min(high, run.high):
            return index, run.term, run.record_of(index)
    return None
