"""What the harness of live clusters concludes from wires and histories: no more than they show, and no less."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from conformance.history.operation import Operation, read_history
from conformance.history.workload import Load
from conformance.trace.record import Marked, Sent
from conformance.trace.store import Trace
from conformance.verdict import Unmet
from conformance.wire.message import Server, encode, message
from conformance.witness import Reign, Witness
from conformance.work import Work, expect_kept, judge, work
from tests.conformance.test_history_client import Stand
from tests.support import run

if TYPE_CHECKING:
    from pathlib import Path

    from conformance.trace.record import Fate

SOON = 0.01


class Wires:
    """A trace into which frames are entered by hand, and a witness of it."""

    def __init__(self, size: int = 3) -> None:
        self.trace = Trace()
        self.witness = Witness(self.trace, size, SOON)

    def say(self, kind: str, source: str, target: str, *, fate: Fate = "passed", **fields: Any) -> None:
        frame = encode(message(kind, source, **fields))
        self.trace.append(Sent(self.trace.now(), 1, source, target, frame, fate))

    def follow(
        self, follower: str, leader: str, term: int, *, success: bool = True, fate: Fate = "passed"
    ) -> None:
        fields: dict[str, Any] = {"term": term, "request_term": term, "seq": 1}
        fields |= {"success": success, "match_index": 1}
        self.say("APPEND_ENTRIES_RES", follower, leader, fate=fate, **fields)

    def ask_around(self, source: str, seq: int) -> None:
        for target in {"n1", "n2", "n3"} - {source}:
            fields: dict[str, Any] = {"last_log_index": 1, "last_log_term": 1, "formation": False}
            fields["members"] = [Server(name, bytes(16)) for name in ("n1", "n2", "n3")]
            self.say("PRE_VOTE_REQUEST", source, target, term=1, seq=seq, **fields)


def test_who_is_answered_with_success_by_a_majority_leads() -> None:
    wires = Wires(5)
    wires.follow("n2", "n1", 3)
    wires.follow("n2", "n1", 3)  # the same follower counts once
    with pytest.raises(Unmet, match="expected a leader whom 2 others answer"):
        run(wires.witness.leader(since=0))
    wires.follow("n3", "n1", 3)
    assert run(wires.witness.leader(since=0)) == Reign(3, "n1")


def test_followers_of_two_terms_or_two_leaders_are_not_added_up() -> None:
    wires = Wires(5)
    wires.follow("n2", "n1", 3)
    wires.follow("n3", "n1", 4)
    wires.follow("n4", "n5", 4)
    with pytest.raises(Unmet):
        run(wires.witness.leader(since=0))


@pytest.mark.parametrize("fate", ["dropped", "blackholed", "held"])
def test_answers_that_never_arrived_make_no_leader(fate: Fate) -> None:
    wires = Wires()
    wires.follow("n2", "n1", 3, fate=fate)
    wires.follow("n3", "n1", 3, success=False)
    with pytest.raises(Unmet):
        run(wires.witness.leader(since=0))


def test_who_cannot_be_meant_is_not_and_what_was_before_does_not_count() -> None:
    wires = Wires()
    wires.follow("n2", "n1", 3)
    with pytest.raises(Unmet, match="and who is not n1"):
        run(wires.witness.leader(since=0, besides=["n1"]))
    with pytest.raises(Unmet):
        run(wires.witness.leader())


def test_rounds_of_pre_votes_are_told_apart_by_their_seq() -> None:
    wires = Wires()
    for seq in (1, 1, 2):
        wires.ask_around("n1", seq)
    wires.ask_around("n2", 1)
    begun = run(wires.witness.rounds(2, "n1", since=0))
    assert [len(times) for times in begun.values()] == [2]
    with pytest.raises(Unmet, match="2 rounds of pre-votes of n1, n2"):
        run(wires.witness.rounds(2, "n1", "n2", since=0))


def test_attempts_at_a_node_that_is_down_are_counted() -> None:
    wires = Wires()
    for node in ("n2", "n3", "n2"):
        wires.trace.append(Marked(wires.trace.now(), node, "refused", "nobody listens"))
    run(wires.witness.refused("n2", 2, since=0))
    with pytest.raises(Unmet, match="3 attempts to dial n2"):
        run(wires.witness.refused("n2", 3, since=0))


def test_a_mesh_is_one_when_each_has_dialled_each_other() -> None:
    with pytest.raises(Unmet, match="no hello n1→n2"):
        run(Wires().witness.connected([("n1", "n2")]))


# ---------------------------------------------------------------------------------------------------- histories


def did(op: str, key: str, argument: Any, outcome: str = "ok", value: Any = None, at: float = 0.0) -> Operation:
    return Operation(1, op, key, argument, at, at + 0.5 if outcome != "unknown" else None, outcome, value)


def test_acknowledged_appends_and_increments_are_kept_once() -> None:
    history = [
        did("append", "t", "a "),
        did("append", "t", "b ", "unknown"),
        did("append", "t", "c ", "failed"),
        did("incr", "n", 1),
        did("incr", "n", 1, "unknown"),
        did("put", "r", "gone"),
    ]
    expect_kept(history, {"t": "a b ", "n": 2, "r": None})
    expect_kept(history, {"t": "a ", "n": 1})
    for key, value in (("t", "b "), ("t", "a a "), ("t", "a c "), ("t", None), ("n", 0), ("n", 3), ("n", None)):
        with pytest.raises(Unmet):
            expect_kept(history, {key: value})


def test_a_history_that_does_not_fit_leaves_its_picture(tmp_path: Path) -> None:
    fine = [did("put", "r", 1), did("get", "r", None, value=1, at=1.0)]
    judge(fine, Trace(), tmp_path, 1.0)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unmet, match="expected a history that one dictionary explains"):
        judge([*fine, did("get", "r", None, value=2, at=2.0)], Trace(), tmp_path, 1.0)
    assert len(read_history(tmp_path / "history.json")) == 3
    assert "<svg" in (tmp_path / "timeline.html").read_text()


def test_progress_counts_what_was_begun_since_and_succeeded() -> None:
    async def main() -> None:
        trace = Trace()
        done = Work(trace, SOON)
        done.history += [did("put", "r", 1, at=-1.0), did("put", "r", 2, "failed", at=1000.0)]
        with pytest.raises(Unmet, match="expected 1 commands to succeed, got 0 within"):
            await done.progress(1)
        done.history.append(did("put", "r", 3, at=1000.0))
        await done.progress(1)

    run(main())


def test_clients_work_until_the_block_is_left() -> None:
    async def main() -> Work:
        trace = Trace()
        answer = {"value": {"ok": True, "value": None, "index": 1, "term": 1}}
        async with Stand("n1", lambda _, said: answer) as stand:
            addresses = {"n1": stand.address}
            load = Load(clients=2, pause=(0.0, 0.001))
            async with work(addresses, trace, random.Random(1), scale=1.0, patience=20.0, load=load) as done:
                await done.progress(30)
            return done

    done = run(main())
    assert len(done.acknowledged()) == len(done.history) >= 30
    assert {operation.client for operation in done.history} == {1, 2}
