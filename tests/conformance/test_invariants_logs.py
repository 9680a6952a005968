"""W4, W5, W7 on traces written by hand: each broken, and nearly broken."""

from __future__ import annotations

import pytest

from conformance._rules import RULES
from tests.conformance.script import Script
from tests.conformance.stories import Tale, Tales, name

tales = Tales()


def formed(size: int = 3) -> Script:
    script = Script(size)
    script.form()
    return script


def deposed() -> Script:
    """n1 led term 1 and left entry 2 with nobody but itself; n2 leads term 2 with the votes of n2 and n3."""
    script = formed()
    script.append("n1", "n2", 1, (1, 1), [1], commit=1)
    script.elect("n2", 2, "n3", last=(1, 1))
    return script


# ---------------------------------------------------------------------------------------------------------- W4


@tales.proves("W4")
def _two_entries_of_one_index_and_term() -> Script:
    script = formed()
    script.replicate("n1", 1, (1, 1), [1], "n2", "n3", commit=1)
    script.elect("n2", 2, "n3", last=(2, 1))
    script.append("n2", "n3", 2, (1, 1), [1, 2], salt=" forged", commit=1)
    return script


@tales.proves("W4")
def _one_entry_with_two_histories() -> Script:
    """Entry 4 of term 3 follows one of term 1 in one log, one of term 2 in the other."""
    script = formed(5)
    script.elect("n2", 3, "n3", "n4", last=(3, 2))
    script.append("n2", "n3", 3, (3, 2), [3])
    script.elect("n4", 4, "n3", "n5", last=(4, 3))
    script.append("n4", "n5", 4, (3, 1), [3])
    return script


@tales.only_looks_like("W4")
def _an_uncommitted_entry_gives_way() -> Script:
    script = deposed()
    script.append("n2", "n3", 2, (1, 1), [2], commit=1)
    script.append("n2", "n1", 2, (1, 1), [2], commit=1)
    return script


@tales.only_looks_like("W4")
def _entry_one_packed_in_another_order() -> Script:
    """A leader may pack again what entry 1 says; what it means is compared."""
    import msgpack

    from tests.conformance.script import CLUSTER_ID

    script = deposed()
    members = [list(server) for server in script.members]
    other = msgpack.packb({"members": members, "cluster_id": CLUSTER_ID})
    entries = [{"term": 1, "kind": "members", "data": other}]
    script.ask(
        "APPEND_ENTRIES_REQ",
        "n2",
        "n3",
        term=2,
        prev_log_index=0,
        prev_log_term=0,
        entries=entries,
        leader_commit=1,
    )
    return script


@tales.only_looks_like("W4")
def _the_suite_plays_a_liar() -> Script:
    """What n1 has of term 1 came from n3, who told n2 something else."""
    script = Script(scripted=["n3"])
    script.form("n3")
    script.replicate("n3", 1, (1, 1), [1], "n1", commit=1)
    script.ack(script.append("n3", "n2", 1, (1, 1), [1], salt=" lie", commit=1))
    script.elect("n1", 2, "n3", last=(2, 1))
    script.append("n1", "n3", 2, (1, 1), [1], commit=1)
    script.elect("n2", 3, "n3", last=(2, 1))
    script.append("n2", "n3", 3, (1, 1), [1], salt=" lie", commit=1)
    return script


# ---------------------------------------------------------------------------------------------------------- W5


@tales.proves("W5")
def _a_leader_sends_two_entries_for_one_index() -> Script:
    script = formed()
    script.append("n1", "n2", 1, (1, 1), [1], commit=1)
    script.append("n1", "n3", 1, (1, 1), [1], commit=1, salt=" changed")
    return script


@tales.proves("W5")
def _a_leader_changes_a_term_in_its_log() -> Script:
    script = formed()
    script.elect("n2", 3, "n1", "n3", last=(3, 1))
    script.append("n2", "n1", 3, (3, 1), [3], commit=1)
    script.append("n2", "n3", 3, (3, 2), [3], commit=1)
    return script


@tales.proves("W5")
def _a_heartbeat_that_names_another_term() -> Script:
    """Entries 2 to 5 are of term 2, so 4 cannot be of term 1, though nobody said so before."""
    script = formed()
    script.elect("n2", 2, "n1", "n3", last=(1, 1))
    script.append("n2", "n1", 2, (1, 1), [2], commit=1)
    script.append("n2", "n1", 2, (5, 2), [2], commit=1)
    script.append("n2", "n3", 2, (4, 1), [], commit=1)
    return script


@tales.proves("W5")
def _a_snapshot_that_names_another_term() -> Script:
    script = formed()
    script.elect("n2", 3, "n1", "n3", last=(3, 2))
    script.append("n2", "n1", 3, (3, 2), [3], commit=1)
    script.snapshot("n2", "n3", 3, (3, 1))
    return script


@tales.only_looks_like("W5")
def _a_leader_sends_the_same_again_in_other_pieces() -> Script:
    script = formed()
    script.elect("n2", 3, "n1", "n3", last=(3, 2))
    script.append("n2", "n1", 3, (3, 2), [3, 3], commit=1)
    script.append("n2", "n1", 3, (3, 2), [3], commit=1)
    script.append("n2", "n1", 3, (1, 1), [1, 2, 3, 3, 3], commit=1)
    script.append("n2", "n3", 3, (0, 0), [], commit=1)
    script.snapshot("n2", "n3", 3, (2, 1))
    return script


@tales.only_looks_like("W5")
def _the_same_index_in_its_next_reign() -> Script:
    """n1 lost entry 2 of term 1 between its reigns, to n2."""
    script = deposed()
    script.replicate("n2", 2, (1, 1), [2], "n1", "n3", commit=1)
    script.elect("n1", 3, "n3", last=(2, 2))
    script.append("n1", "n3", 3, (2, 2), [3], commit=1)
    return script


# ---------------------------------------------------------------------------------------------------------- W7


@tales.proves("W7")
def _a_leader_with_another_entry_where_one_was_committed() -> Script:
    """n2 forgot entry 2 before it campaigned, and says nothing of it: its log is as long as it must be."""
    script = formed()
    script.replicate("n1", 1, (1, 1), [1], "n3", commit=1)
    script.replicate("n1", 1, (2, 1), [], "n3", commit=2)
    script.elect("n2", 3, "n3", last=(3, 2))
    script.append("n2", "n1", 3, (1, 1), [2, 2, 3], commit=1)
    return script


@tales.proves("W7")
def _a_leader_whose_log_is_too_short() -> Script:
    """n3 voted for it, and had acknowledged entry 2 only in a frame that the leader of term 1 got in time."""
    script = formed(5)
    script.replicate("n1", 1, (1, 1), [1], "n2", "n3", commit=1)
    script.replicate("n1", 1, (2, 1), [], "n2", commit=2)
    script.elect("n4", 2, "n5", "n1", last=(1, 1))
    script.append("n4", "n5", 2, (1, 1), [2], commit=1)
    return script


@tales.only_looks_like("W7")
def _an_announced_entry_is_there_and_an_unannounced_one_is_not() -> Script:
    script = formed()
    script.replicate("n1", 1, (1, 1), [1], "n2", "n3", commit=1)
    script.replicate("n1", 1, (2, 1), [1], "n2", commit=2)
    script.elect("n3", 2, "n2", last=(2, 1), formation=False)
    script.records.pop()
    return script


@tales.only_looks_like("W7")
def _a_candidate_that_never_led() -> Script:
    script = formed()
    script.replicate("n1", 1, (1, 1), [1], "n2", commit=1)
    script.replicate("n1", 1, (2, 1), [], "n2", commit=2)
    script.elect("n3", 2, last=(1, 1))
    script.elect("n2", 3, "n3", last=(2, 1))
    script.append("n2", "n3", 3, (2, 1), [3], commit=2)
    return script


@pytest.mark.parametrize(("invariant", "tale"), tales.bad, ids=name)
def test_it_is_proven(invariant: str, tale: Tale) -> None:
    script = tale()
    violations = script.violations()
    assert script.found() == [invariant], list(map(str, violations))
    for violation in violations:
        assert set(violation.rules) <= RULES.keys()
        assert all(0 <= record < len(script.records) for record in violation.records)


@pytest.mark.parametrize(("invariant", "tale"), tales.good, ids=name)
def test_it_is_not_claimed(invariant: str, tale: Tale) -> None:
    assert invariant in ("W4", "W5", "W7")
    assert [str(violation) for violation in tale().violations()] == []


def test_a_commit_announced_late_counts_against_a_leader_that_spoke_before() -> None:
    """What counts are the terms. The voter that made it possible stands accused, too."""
    script = formed(5)
    script.replicate("n1", 1, (1, 1), [1], "n2", "n3", commit=1)
    script.elect("n4", 2, "n5", "n2", last=(1, 1))
    script.append("n4", "n5", 2, (1, 1), [2], commit=1)
    script.append("n1", "n2", 1, (2, 1), [], commit=2)
    assert [(v.invariant, v.node) for v in script.violations()] == [("W8", "n2"), ("W7", "n4")]
