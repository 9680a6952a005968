"""W11, W12: equal states at equal indexes, and frames that keep their schema."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from conformance.trace.invariants.memory import SERVERS_MAX, STATES_MAX, trim
from conformance.trace.invariants.scene import CLIENT, SUITE, UNDER_TEST
from conformance.trace.invariants.violation import Violation
from conformance.wire.frame import FrameError, FrameReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.trace.invariants.scene import Party, Said, Scene
    from conformance.trace.invariants.story import Cluster, Story
    from conformance.trace.record import Marked, Raw, Sent

DIGEST = re.compile(r"applied=(\d+) sha256=([0-9a-f]{64})")


class SameStates:
    """W11. Snapshots that end at one index end with one term, and states after one index are one state.

    The bytes of snapshots are not compared: what a state machine writes into them is its own affair, and the
    same dictionary may be written in many orders. What is compared is the digest that `$raft` gives of the
    sorted state (KV-3), as marks of the suite: `Marked(event="digest", text="applied=12 sha256=…")`."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._ends: dict[tuple[Cluster, int], tuple[int, int, str]] = {}
        self._states: dict[tuple[Cluster, int], tuple[str, int, str]] = {}
        self._latest: dict[str, Party] = {}

    def judge(self, said: Said) -> Iterator[Violation]:
        if said.speaker.server is None:
            return
        self._latest[said.speaker.node] = said.speaker
        trim(self._latest, SERVERS_MAX)
        cluster = self._story.cluster_of(said.speaker)
        if said.kind != "INSTALL_SNAPSHOT_REQ" or cluster is None or not self._story.is_honest(cluster):
            return
        index, term = said.message["last_included_index"], said.message["last_included_term"]
        first = self._ends.setdefault((cluster, index), (term, said.index, said.speaker.node))
        trim(self._ends, STATES_MAX)
        if first[0] == term:
            return
        text = (
            f"{first[2]} sent a snapshot that ends at {index} with an entry of term {first[0]} "
            f"(record {first[1]}), {said.speaker.node} one that ends there with term {term} (record "
            f"{said.index})"
        )
        records = (first[1], said.index)
        yield Violation("W11", ("SNAP-9",), said.speaker.node, said.time, records, text)

    def compare_digest(self, index: int, mark: Marked) -> Iterator[Violation]:
        """One node's answer to `$raft digest`. Raises ValueError where the suite wrote it down in another
        form."""
        found = DIGEST.fullmatch(mark.text)
        if found is None or mark.node is None:
            msg = f"record {index}: expected node and applied=… sha256=…, got {mark.node!r} and {mark.text!r}"
            raise ValueError(msg)
        party = self._latest.get(mark.node)
        cluster = self._story.cluster_of(party) if party is not None else None
        if cluster is None or not self._story.is_honest(cluster):
            return
        applied, digest = int(found[1]), found[2]
        first = self._states.setdefault((cluster, applied), (digest, index, mark.node))
        trim(self._states, STATES_MAX)
        if first[0] == digest:
            return
        text = (
            f"after entry {applied} the state of {first[2]} had the digest {first[0][:12]}… (record "
            f"{first[1]}), "
            f"that of {mark.node} {digest[:12]}… (record {index})"
        )
        yield Violation("W11", ("COMMIT-3", "SNAP-6"), mark.node, mark.time, (first[1], index), text)


class Frames:
    """W12. What a node under test writes are frames that keep their schema; so does the suite, where it means
    to."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def check_frame(self, index: int, record: Sent, party: Party | None) -> Iterator[Violation]:
        if party is None or "malformed" in record.detail.split():
            return
        for problem in self._scene.problems[:1]:
            yield _misfit(index, record.time, party, problem.rule, f"{record.frame.kind}: {problem}")

    def check_bytes(self, index: int, record: Raw, party: Party | None) -> Iterator[Violation]:
        """A frame that was cut off is nobody's fault: the process was killed, or the connection was."""
        if party is None or party.role != UNDER_TEST or not self._scene.complete:
            return
        frames = FrameReader()
        frames.feed(record.data)
        try:
            while frames.next_frame() is not None:
                pass
        except FrameError as error:
            yield _misfit(index, record.time, party, error.rule, str(error))


def _misfit(index: int, time: float, party: Party, rule: str, what: str) -> Violation:
    by_suite = party.role in (SUITE, CLIENT)
    who = f"the suite itself, as {party.node}," if by_suite else party.node
    return Violation(
        "W12", (rule,), party.node, time, (index,), f"{who} sent (record {index}) {what}", by_suite
    )
