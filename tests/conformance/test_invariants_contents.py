"""W11 and W12, what a trace that is not whole still proves, and what keeps long traces cheap."""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import replace

import pytest

from conformance.trace.invariants import (
    EACH_MAX,
    Checker,
    contents,
    elections,
    logs,
    memory,
    promises,
    reign,
    scene,
    story,
)
from conformance.trace.invariants.reign import Run, Terms
from conformance.trace.record import Sent
from conformance.wire.frame import Frame
from conformance.wire.message import Entry, Server, encode, message
from tests.conformance.script import Script


def formed(size: int = 3, scripted: tuple[str, ...] = ()) -> Script:
    script = Script(size, scripted=scripted)
    script.form()
    return script


def digest(applied: int, letter: str) -> str:
    return f"applied={applied} sha256={letter * 64}"


# -------------------------------------------------------------------------------------------------------- W11


def test_two_states_after_one_index_are_a_violation() -> None:
    script = formed()
    script.mark("n1", "digest", digest(5, "a"))
    script.mark("n2", "digest", digest(4, "b"))
    script.mark("n2", "digest", digest(5, "b"))
    [violation] = script.violations()
    assert (violation.invariant, violation.node, violation.rules) == ("W11", "n2", ("COMMIT-3", "SNAP-6"))
    assert "after entry 5 the state of n1 had the digest aaaaaaaaaaaa…" in violation.text


def test_one_node_that_comes_to_another_state_after_a_restart_is_one_too() -> None:
    script = formed()
    script.mark("n2", "digest", digest(5, "a"))
    script.restart("n2")
    script.new_line("n2", "n1")
    script.mark("n2", "digest", digest(5, "b"))
    assert script.found() == ["W11"]


@pytest.mark.parametrize(
    ("scripted", "tampered"), [((), None), (("n3",), None), ((), "n2")], ids=["equal", "played", "tampered"]
)
def test_equal_states_and_states_that_somebody_made_up_are_not(
    scripted: tuple[str, ...], tampered: str | None
) -> None:
    script = formed(scripted=scripted)
    if tampered is not None:
        script.mark(tampered, "tampered", "a bit was flipped")
    script.mark("n1", "digest", digest(5, "a"))
    script.mark("n2", "digest", digest(5, "b" if scripted or tampered else "a"))
    script.mark("n2", "digest", digest(6, "c"))
    assert script.found() == []


def test_states_of_two_clusters_are_not_compared() -> None:
    script = formed()
    script.mark("n1", "digest", digest(5, "a"))
    for node in script.nodes:
        script.wipe(node)
    script.members = tuple(node.server for node in script.nodes.values())
    script.form("n2")
    script.mark("n2", "digest", digest(5, "b"))
    script.mark("n1", "digest", digest(5, "b"))
    assert script.found() == []


def test_a_digest_that_the_suite_wrote_down_wrongly_is_no_verdict() -> None:
    script = formed()
    script.mark("n1", "digest", "applied=5")
    with pytest.raises(ValueError, match=r"expected node and applied=… sha256=…, got 'n1' and 'applied=5'"):
        script.violations()


def test_two_snapshots_that_end_at_one_index_end_with_one_term() -> None:
    script = formed()
    script.elect("n1", 4, "n2", last=(5, 3))
    script.snapshot("n1", "n3", 4, (3, 2))
    script.elect("n2", 5, "n3", last=(9, 4))
    script.snapshot("n2", "n3", 5, (3, 3))
    assert script.found() == ["W11"]


def test_snapshots_of_one_state_may_have_any_bytes() -> None:
    script = formed()
    script.elect("n1", 2, "n2", last=(5, 1))
    first = script.snapshot("n1", "n3", 2, (3, 1))
    script.ask(
        "INSTALL_SNAPSHOT_REQ", "n1", "n2", **{**first.message.fields, "seq": 700, "data": b"{}", "size": 2}
    )
    assert script.found() == []


# -------------------------------------------------------------------------------------------------------- W12


def odd_frame() -> Frame:
    """term is a text."""
    good = encode(message("PRE_VOTE_RESPONSE", "n1", term="1", request_term=1, seq=1, vote_granted=True))
    return Frame(good.type, good.name, good.payload)


def test_a_frame_that_breaks_its_schema_is_its_sender_s_fault() -> None:
    script = formed()
    script.frame("n1", "n2", odd_frame())
    [violation] = script.violations()
    assert (violation.invariant, violation.node, violation.harness) == ("W12", "n1", False)
    assert violation.text.startswith(f"n1 sent (record {len(script.records) - 1}) PRE_VOTE_RESPONSE: ")
    assert violation.rules[0].startswith("PAYLOAD-")


def test_one_of_the_suite_is_the_suite_s_unless_it_was_meant() -> None:
    script = formed(scripted=("n2",))
    script.frame("n2", "n1", odd_frame(), detail="malformed on purpose")
    assert script.violations() == []
    script.frame("n2", "n1", odd_frame())
    [violation] = script.violations()
    assert (violation.invariant, violation.harness) == ("W12", True)
    assert "the suite itself, as n2, sent" in violation.text


def test_bytes_that_can_be_no_frame_are_a_fault_and_a_frame_cut_off_is_none() -> None:
    script = formed()
    script.raw("n1", "n2", encode(message("PING", "", id=1, pong=False)).encode()[:-3])
    assert script.violations() == []
    script.raw("n1", "n2", b"\x01\x00\x01a\xff\xff\xff\xffbody")
    assert [(v.invariant, v.rules) for v in script.violations()] == [("W12", ("FRAME-4",))]
    assert script.violations(complete=False) == [], "the capture may have begun within a frame"


# ----------------------------------------------------------------------------- what is known of whom, and when


def test_a_hello_that_was_not_seen_leaves_what_one_frame_proves_by_itself() -> None:
    script = formed()
    script.records = [record for record in script.records if script.records.index(record) > 20]
    script.elect("n1", 2, "n2", last=(1, 1))
    script.frame("n1", "n2", odd_frame())
    assert script.found() == ["W12"]


def test_a_peer_that_takes_a_node_s_name_is_not_taken_for_it() -> None:
    """Marked in the detail of its hello: the name is one of a node under test, the store is not."""
    script = formed()
    script.wipe("n3")
    line = script.new_line("n3", "n1")
    hellos = [n for n, record in enumerate(script.records) if getattr(record, "connection", None) == line]
    hello = script.records[hellos[0]]
    assert isinstance(hello, Sent)
    script.records[hellos[0]] = replace(hello, detail="scripted")
    script.ask_vote("n3", "n1", 5, (1, 1))
    script.ask_vote("n3", "n1", 4, (1, 1))
    script.append("n3", "n1", 1, (1, 1), [1])
    assert script.found() == []


def test_what_follows_from_the_first_violations_is_counted_only() -> None:
    checker = Checker()
    script = formed()
    for _ in range(EACH_MAX + 3):
        script.ask_vote("n2", "n3", 5, (1, 1))
        script.ask_vote("n2", "n3", 4, (1, 1))
    for record in script.records:
        checker.feed(record)
    assert (len(checker.violations), checker.left_out) == (EACH_MAX, EACH_MAX + 3 - EACH_MAX)


def test_a_long_trace_takes_the_memory_of_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "REQUESTS_OPEN_MAX", 50)
    monkeypatch.setattr(logs, "ENTRIES_MAX", 50)
    for module in (reign, elections):
        monkeypatch.setattr(module, "REIGNS_MAX", 10)
    checker, script = Checker(), formed()
    sizes: list[int] = []
    for term in range(2, 50):
        script.elect("n1", term, "n2", last=(10 * term, term - 1))
        script.replicate("n1", term, (10 * term, term - 1), [term] * 10, "n2", "n3", commit=1)
        for record in script.records:
            checker.feed(record)
        script.records.clear()
        sizes.append(sum(type(thing).__module__ in KEPT for thing in gc.get_objects()))
    assert max(sizes[30:]) < 1.1 * max(sizes[20:30]), sizes
    assert checker.violations == []


def test_disks_that_are_made_anew_again_and_again_do_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is forgotten of a server proves nothing any more, and nothing false follows from it."""
    for module in (story, promises, contents, memory):
        monkeypatch.setattr(module, "SERVERS_MAX", 6)
    monkeypatch.setattr(contents, "STATES_MAX", 6)
    checker, script = Checker(), formed()
    for term in range(2, 40):
        script.nodes["n3"].server = Server("n3", bytes([100 + term]) * 16)
        script.restart("n3")
        script.elect("n1", term, "n2", last=(10 * term, term - 1))
        script.replicate("n1", term, (10 * term, term - 1), [term] * 10, "n2", "n3", commit=1)
        script.snapshot("n1", "n3", term, (10 * term + 10, term))
    for record in script.records:
        checker.feed(record)
    assert checker.violations == []
    gc.collect()
    kept = Counter(type(thing).__qualname__ for thing in gc.get_objects())
    assert [kept[name] for name in ("Known", "_Past", "_Promise")] == [6, 6, 6]


def test_requests_that_wait_for_answers_are_kept_without_what_they_carry() -> None:
    """Thousands of them may wait, each of megabytes."""
    checker, script = Checker(), formed()
    for number in range(100):
        script.append("n1", "n2", 1, (1 + 10 * number, 1), [1] * 10, commit=1)
        script.snapshot("n1", "n3", 1, (1 + 10 * number, 1))
    for record in script.records:
        checker.feed(record)
    assert checker.violations == []
    script.records.clear()
    gc.collect()
    assert sum(type(thing) is Entry for thing in gc.get_objects()) < 30


def test_connections_whose_ends_were_not_seen_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The silent ones first: what is said on the others is judged as before."""
    monkeypatch.setattr(scene, "CONNECTIONS_MAX", 20)
    checker, script = Checker(complete=False), formed()
    hello = script.records[0]
    assert isinstance(hello, Sent)
    script.ask_vote("n2", "n3", 5, (1, 1))
    for number in range(60):
        script.records.append(replace(hello, connection=1000 + number))
        script.ask_vote("n2", "n3", 5, (1, 1))
    script.ask_vote("n2", "n3", 4, (1, 1))
    for record in script.records:
        checker.feed(record)
    gc.collect()
    held = [thing for thing in gc.get_objects() if type(thing).__qualname__ == "_Connection"]
    assert (len(held), [each.invariant for each in checker.violations]) == (20, ["W3"])


KEPT = ("conformance.trace.invariants.scene", "conformance.trace.invariants.reign", "conformance.wire.message")


# ---------------------------------------------------------------------------------------- the terms of one log


def told(*runs: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    terms = Terms()
    for number, (low, high, term) in enumerate(runs):
        assert terms.tell(Run(low, high, term, number, number)) is None
    return [(run.low, run.high, run.term) for run in terms]


def test_runs_of_one_term_grow_together() -> None:
    assert told((5, 5, 2), (1, 2, 1), (9, 9, 2), (7, 8, 2), (12, 12, 4)) == [(1, 2, 1), (5, 9, 2), (12, 12, 4)]


@pytest.mark.parametrize(
    "run", [(6, 6, 1), (4, 5, 1), (7, 7, 3), (3, 6, 3), (2, 2, 2), (12, 13, 2), (13, 13, 1), (1, 1, 5)]
)
def test_a_run_that_does_not_fit_is_not_taken(run: tuple[int, int, int]) -> None:
    terms = Terms()
    for low, high, term in ((1, 2, 1), (5, 9, 2), (12, 12, 4)):
        terms.tell(Run(low, high, term, 0, 0))
    before = list(terms)
    assert terms.tell(Run(*run, 1, 1)) is not None
    assert list(terms) == before
