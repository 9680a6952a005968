"""W8, W9: what a server acknowledged, it remembers, when others ask for its vote and when it speaks of its
own log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from conformance.trace.invariants.memory import SERVERS_MAX, trim
from conformance.trace.invariants.reign import Position, runs_of
from conformance.trace.invariants.scene import UNDER_TEST
from conformance.trace.invariants.story import acknowledged
from conformance.trace.invariants.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.trace.invariants.reign import Key, Reign
    from conformance.trace.invariants.scene import Said
    from conformance.trace.invariants.story import Story


@dataclass(slots=True)
class _Promise:
    """At least so far does a server's log reach, as elections compare it, until a later leader may have
    changed it."""

    last: Position
    reign: Reign
    """Whose entries they are"""
    term: int
    """What the server said of its term when it acknowledged"""
    boot: bytes
    record: int
    is_sure: bool
    """Whether the leader is under test: what the suite says of a log may be made up"""
    is_literal: bool = True
    """Whether the entry at `last` itself is still there; else only something that compares no less"""


class Promises:
    """Keeps, for each server, the furthest acknowledgement that still binds it.

    A later leader may take back what an earlier one had stored. So an AppendEntries with other entries, or a
    snapshot, of a later term shortens the promise as soon as it is recorded, whether or not it arrives.
    """

    def __init__(self, story: Story) -> None:
        self._story = story
        self._kept: dict[Key, _Promise] = {}
        self._changed: dict[Key, int] = {}
        """The highest term of what may have changed a server's log"""
        self._boots: dict[Key, list[bytes]] = {}

    def judge(self, said: Said) -> Iterator[Violation]:
        if said.speaker.server is None or said.hearer.server is None:
            return
        boots = self._boots.setdefault(said.speaker.key, [])
        if trim(self._boots, SERVERS_MAX) | trim(self._kept, SERVERS_MAX) | trim(self._changed, SERVERS_MAX):
            self._story.scene.complete = False  # what may have changed a log is not all known any more
        if said.speaker.boot not in boots:
            boots.append(said.speaker.boot)
        if said.speaker.role == UNDER_TEST and self._story.scene.sees_all:
            yield from self._compare(said)
        match said.kind:
            case "APPEND_ENTRIES_REQ" if said.message["entries"]:
                self._may_change(said)
            case "INSTALL_SNAPSHOT_REQ":
                self._may_change(said)
            case "APPEND_ENTRIES_RES" | "INSTALL_SNAPSHOT_RES":
                self._promise(said)
            case _:
                pass

    # ------------------------------------------------------------------------------------ what is promised

    def _promise(self, said: Said) -> None:
        reign, index = self._story.reign, acknowledged(said)
        if reign is None or index is None or said.asked is None or reign.is_unreliable:
            return
        if said.kind == "APPEND_ENTRIES_RES" and index > _end(said.asked):
            return
        key, asked = said.speaker.key, said.asked
        if self._changed.get(key, 0) > reign.term or not (
            asked.is_judged or self._is_compared(said, reign, index)
        ):
            return
        last = reign.position(index)
        kept = self._kept.get(key)
        if kept is None or last >= kept.last or kept.reign.is_unreliable:
            term, boot = said.message["term"], said.speaker.boot
            self._kept[key] = _Promise(last, reign, term, boot, said.index, asked.is_judged)

    def _is_compared(self, said: Said, reign: Reign, index: int) -> bool:
        """Whether the server had to compare its own entry at an index with what a leader made up.

        It does not where its snapshot may hold the entry, which is where it may know it as committed.
        """
        assert said.asked is not None
        if index <= self._story.known_by(said.speaker.key).without(said.asked.index):
            return False
        if said.kind == "APPEND_ENTRIES_RES" and index < said.asked.message["prev_log_index"]:
            return False
        return reign.terms.run_at(index) is not None

    def _may_change(self, said: Said) -> None:
        key = said.hearer.key
        self._changed[key] = max(said.term, self._changed.get(key, 0))
        kept = self._kept.get(key)
        if kept is None or said.term < kept.reign.term:
            return
        if kept.reign.is_unreliable or (not kept.is_sure and _first(said) <= kept.last.index):
            del self._kept[key]
        elif said.kind == "APPEND_ENTRIES_REQ":
            self._may_truncate(key, kept, said)
        else:
            self._may_replace(key, kept, said)

    def _may_truncate(self, key: Key, kept: _Promise, said: Said) -> None:
        """Entries go from the first one on that differs (APPEND-3), or may differ, from what was
        acknowledged."""
        request, limit = said.message, kept.last.index
        own = kept.reign is self._story.reign and said.is_judged
        prev = request["prev_log_index"]
        for run in runs_of((prev, request["prev_log_term"]), request["entries"], said.index):
            if own or run.high <= prev:
                continue
            stands = kept.reign.terms.run_at(max(run.low, prev + 1))
            if stands is None or stands.term != run.term:
                limit = min(limit, max(run.low, prev + 1) - 1)
            elif stands.high < run.high:
                limit = min(limit, stands.high)
        if limit < kept.last.index:
            if not kept.is_literal or limit <= 0:
                del self._kept[key]
            else:
                kept.last = kept.reign.position(limit)

    def _may_replace(self, key: Key, kept: _Promise, said: Said) -> None:
        """A snapshot whose last entry the server does not have takes the place of its whole log (SNAP-6)."""
        index, term = said.message["last_included_index"], said.message["last_included_term"]
        if index <= kept.last.index:
            stands = kept.reign.terms.run_at(index)
            if not kept.is_literal or stands is None or stands.term != term:
                del self._kept[key]
        elif Position(term, index) < kept.last:
            del self._kept[key]
        elif kept.reign is not self._story.reign:
            kept.is_literal = False

    # ------------------------------------------------------------------------------------ what is said now

    def _compare(self, said: Said) -> Iterator[Violation]:
        kept = self._kept.get(said.speaker.key)
        if kept is None or kept.reign.is_unreliable:
            return
        message = said.message
        match said.kind:
            case "VOTE_RESPONSE" if message["vote_granted"]:
                yield from self._granted(said, kept)
            case "VOTE_REQUEST" | "PRE_VOTE_REQUEST":
                last = Position(message["last_log_term"], message["last_log_index"])
                if last < kept.last and (kept.term < said.term or self._is_earlier_boot(kept, said)):
                    yield self._forgot(said, kept, f"that its log ends at {last}", (said.index,))
            case "APPEND_ENTRIES_RES" if not message["success"] and message.get("conflict_index") is not None:
                yield from self._refused(said, kept)
            case _:
                pass

    def _granted(self, said: Said, kept: _Promise) -> Iterator[Violation]:
        """W8: who votes for a log that ends before what it acknowledged may lose what was committed by that."""
        asked = said.asked
        if asked is None or asked.term != said.message["request_term"]:
            return
        if kept.term >= asked.term and kept.record >= asked.index:
            return
        last = Position(asked.message["last_log_term"], asked.message["last_log_index"])
        if last >= kept.last:
            return
        text = (
            f"{said.speaker.node} acknowledged to {kept.reign.name}, leader of term {kept.reign.term}, "
            "that its "
            f"log reaches {kept.last} (record {kept.record}), then granted its vote in term {asked.term} "
            "(record "
            f"{said.index}) to {said.hearer.node}, whose log ends at {last} (record {asked.index})"
        )
        records = (kept.record, said.index, asked.index)
        yield Violation("W8", ("VOTE-3",), said.speaker.node, said.time, records, text)

    def _refused(self, said: Said, kept: _Promise) -> Iterator[Violation]:
        """W9: a refusal's hints say where the log ends, or what stands at the index that was asked about."""
        asked, message = said.asked, said.message
        if asked is None or not kept.is_literal or asked.term != message["request_term"]:
            return
        if kept.term >= said.term and kept.record >= asked.index:
            return
        prev, there = asked.message["prev_log_index"], message.get("conflict_term")
        records = (asked.index, said.index)
        if there is None:
            last = message["conflict_index"] - 1
            if last < kept.last.index:
                yield self._forgot(
                    said, kept, f"to the question of record {asked.index} that its log ends at {last}", records
                )
        elif prev == kept.last.index or (kept.is_sure and prev < kept.last.index):
            stands = kept.reign.terms.run_at(prev)
            if stands is not None and stands.term != there:
                said_there = f"to the question of record {asked.index} that its entry {prev} is of term {there}"
                yield self._forgot(said, kept, f"{said_there}, not {stands.term}", records)

    def _is_earlier_boot(self, kept: _Promise, said: Said) -> bool:
        boots = self._boots[said.speaker.key]
        return kept.boot in boots and boots.index(kept.boot) < boots.index(said.speaker.boot)

    def _forgot(self, said: Said, kept: _Promise, what: str, records: tuple[int, ...]) -> Violation:
        restarted = ", after a restart," if self._is_earlier_boot(kept, said) else ""
        text = (
            f"{said.speaker.node} acknowledged to {kept.reign.name}, leader of term {kept.reign.term}, "
            "that its "
            f"log reaches {kept.last} (record {kept.record}), then said{restarted} {what} "
            f"(record {said.index}), though nothing that was sent to it since could have removed that"
        )
        rules = ("PERSIST-1", "APPEND-3")
        return Violation("W9", rules, said.speaker.node, said.time, (kept.record, *records), text)


def _first(said: Said) -> int:
    """The first index that a leader's request may change."""
    if said.kind == "INSTALL_SNAPSHOT_REQ":
        return 0
    first: int = said.message["prev_log_index"] + 1
    return first


def _end(asked: Said) -> int:
    end: int = asked.message["prev_log_index"] + len(asked.message["entries"])
    return end
