"""W1 to W12: what no trace of a cluster shows whose nodes keep the rules.

| | what never happens | rules |
|---|---|---|
| W1 | two leaders in one term of a cluster, or one that was not elected | VOTE-6, FORM-3 |
| W2 | two votes of one server in one term, or a vote of one that is not listed | VOTE-2, FORM-9 |
| W3 | a server that says a lower term than it said before | TERM-4, PERSIST-1 |
| W4 | two entries, or two histories, of one index and term | APPEND-2, APPEND-3 |
| W5 | a leader whose log changes | LEADER-3 |
| W6 | a commit index that no majority stands behind | COMMIT-1 |
| W7 | a leader without an entry that was committed in an earlier term | VOTE-3, COMMIT-1 |
| W8 | a vote for a log that ends before what the voter acknowledged | VOTE-3 |
| W9 | an acknowledged entry gone, though no later leader had it removed | PERSIST-1, APPEND-3 |
| W10 | a commit index that falls, a match index beyond its request | COMMIT-1, APPEND-7 |
| W11 | two states, or two terms, after one index | COMMIT-3, SNAP-9 |
| W12 | a frame that breaks its schema | the schema's |

**No false alarm.** A violation is a proof from what senders wrote, in an order that holds for every cluster:
see `scene`. What the trace does not show is never assumed: a trace that begins in the middle, a peer that the
suite plays, a disk that it tampered with, or a frame that it corrupted take away the grounds of some
invariants, which are then silent about what is not proven without them.

| | silent where |
|---|---|
| W1 (elected), W6, W8, W9 | the trace is not complete, or a frame was corrupted |
| W1 (two leaders), W4, W7, W11 | a member of the cluster is played or tampered with, or a frame was corrupted |
| all but W12 | nobody said hello on the connection |

Marks of the suite that are heeded: `scripted` (this node is played; before its first frame), `tampered` (this
node's data directory was changed by hand: what it promised before is void), `digest` (see W11). The word
`malformed` in the detail of a frame marks it as meant to be so, `scripted` in that of a hello its sender as
played, whatever its name."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from conformance.trace.invariants.commits import JustifiedCommit, Monotone
from conformance.trace.invariants.contents import Frames, SameStates
from conformance.trace.invariants.elections import OneLeader, OneVote, RisingTerm
from conformance.trace.invariants.logs import AppendOnly, Completeness, SameEntries
from conformance.trace.invariants.promises import Promises
from conformance.trace.invariants.scene import Scene
from conformance.trace.invariants.story import Story
from conformance.trace.invariants.violation import Violation
from conformance.trace.record import Marked, Raw, Sent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from conformance.trace.record import Record

__all__ = ["INVARIANTS", "Checker", "Violation", "check"]

INVARIANTS: Final = {
    id: (text, rules.split(", "))
    for id, text, rules in re.findall(r"^\| (W\d+) \| (.+) \| (.+) \|$", __doc__ or "", re.MULTILINE)
}
"""The first table above: what never happens, and the rules."""
EACH_MAX = 5
"""Violations kept of one invariant, node and rule: the first tell the story, the rest follow from them."""


class Checker:
    """Judges records one after the other, in bounded memory; `violations` are those found so far."""

    def __init__(self, *, complete: bool = True) -> None:
        self.violations: list[Violation] = []
        self.left_out = 0
        """Violations like others before, which were not kept"""
        self._index = -1
        self._scene = Scene(complete=complete)
        self._story = Story(self._scene)
        self._frames = Frames(self._scene)
        self._states = SameStates(self._story)
        self._counts: Counter[object] = Counter()
        self._judges = (
            OneLeader(self._story),
            OneVote(self._story),
            RisingTerm(),
            SameEntries(self._story),
            AppendOnly(self._story),
            JustifiedCommit(self._story),
            Completeness(self._story),
            Promises(self._story),
            Monotone(self._story),
            self._states,
        )

    def feed(self, record: Record) -> None:
        """Takes the next record. Raises ValueError for a mark that the suite wrote wrongly."""
        self._index += 1
        for violation in self._judge(record):
            kind = (violation.invariant, violation.node, violation.rules)
            self._counts[kind] += 1
            if self._counts[kind] <= EACH_MAX:
                self.violations.append(violation)
            else:
                self.left_out += 1

    def _judge(self, record: Record) -> Iterator[Violation]:
        said = self._scene.read(self._index, record)
        match record:
            case Sent():
                yield from self._frames.check_frame(self._index, record, self._scene.party(record))
            case Raw():
                yield from self._frames.check_bytes(self._index, record, self._scene.party(record))
            case Marked(event="digest"):
                yield from self._states.compare_digest(self._index, record)
            case _:
                pass
        if said is None:
            return
        self._story.hear(said)
        for judge in self._judges:
            yield from judge.judge(said)


def check(records: Iterable[Record], *, complete: bool = True) -> list[Violation]:
    """All that these records prove, in their order.

    `complete` says that they hold every frame since the stores of these nodes were made. Without it, as for a
    capture that began in the middle, nothing is concluded from what was not seen. The records must stand in
    the order in which one observer saw them whom every frame of theirs passed."""
    checker = Checker(complete=complete)
    for record in records:
        checker.feed(record)
    return checker.violations
