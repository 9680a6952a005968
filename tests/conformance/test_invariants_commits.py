"""W6, W10 on traces written by hand: each broken, and nearly broken."""

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


# ---------------------------------------------------------------------------------------------------------- W6


@tales.proves("W6")
def _a_commit_that_a_minority_has() -> Script:
    script = formed(5)
    script.replicate("n1", 1, (1, 1), [1], "n2", commit=1)
    script.append("n1", "n2", 1, (2, 1), [], commit=2)
    return script


@tales.proves("W6")
def _a_commit_without_an_entry_of_the_term() -> Script:
    """Figure 8: entry 2 of term 1 is on all, and still no leader of term 3 may count it before one of its
    own."""
    script = formed()
    script.append("n1", "n3", 1, (1, 1), [1], commit=1)
    script.elect("n1", 3, "n2", last=(2, 1))
    script.replicate("n1", 3, (1, 1), [1], "n2", "n3", commit=1)
    script.append("n1", "n2", 3, (2, 1), [3], commit=2)
    return script


@tales.proves("W6")
def _acknowledgements_of_a_learner() -> Script:
    script = formed()
    script.wipe("n3")
    script.replicate("n1", 1, (0, 0), [1, 1], "n3", commit=1)
    script.append("n1", "n3", 1, (2, 1), [], commit=2)
    return script


@tales.proves("W6")
def _an_acknowledgement_that_was_dropped() -> Script:
    script = formed()
    asked = script.append("n1", "n2", 1, (1, 1), [1], commit=1)
    script.fate = "dropped"
    script.ack(asked)
    script.fate = "passed"
    script.append("n1", "n2", 1, (2, 1), [], commit=2)
    return script


@tales.proves("W6")
def _an_acknowledgement_of_more_than_was_sent() -> Script:
    """The liar is played by the suite; the leader ought to have ignored it (LEADER-6)."""
    script = Script(scripted=["n2", "n3"])
    script.form()
    script.ack(script.append("n1", "n2", 1, (1, 1), [1], commit=1), match=9)
    script.append("n1", "n2", 1, (2, 1), [1], commit=2)
    return script


@tales.proves("W6")
def _a_commit_before_the_answer() -> Script:
    script = formed()
    asked = script.append("n1", "n2", 1, (1, 1), [1], commit=2)
    script.ack(asked)
    return script


@tales.proves("W6")
def _an_acknowledgement_of_another_term() -> Script:
    """n3 answers a request of term 1 as if it were of term 2 (TERM-3)."""
    script = Script(scripted=["n2", "n3"])
    script.form()
    old = script.append("n1", "n3", 1, (1, 1), [1], commit=1)
    script.elect("n1", 2, "n2", last=(2, 1))
    script.append("n1", "n2", 2, (2, 1), [2], commit=1)
    script.append("n1", "n3", 2, (2, 1), [2], commit=1)
    script.ack(old, term=2, request_term=1, match=3)
    script.append("n1", "n2", 2, (3, 2), [], commit=3)
    return script


@tales.only_looks_like("W6")
def _a_leader_that_knew_it_before() -> Script:
    """n2 learned as a follower that 2 is committed, and may say so before anybody has its no-op."""
    script = formed()
    script.replicate("n1", 1, (1, 1), [1], "n2", "n3", commit=1)
    script.replicate("n1", 1, (2, 1), [], "n2", commit=2)
    script.elect("n2", 2, "n3", last=(2, 1))
    script.append("n2", "n3", 2, (2, 1), [2], commit=2)
    return script


@tales.only_looks_like("W6")
def _a_leader_that_never_got_to_say_so() -> Script:
    """n1 had the majority for 2 in term 1, was deposed before it said so, and leads again."""
    script = formed()
    script.replicate("n1", 1, (1, 1), [1], "n2", commit=1)
    script.elect("n1", 3, "n3", last=(2, 1))
    script.append("n1", "n3", 3, (2, 1), [3], commit=2)
    return script


@tales.only_looks_like("W6")
def _a_snapshot_told_it() -> Script:
    script = formed()
    script.replicate("n1", 1, (1, 1), [1, 1], "n2", commit=1)
    script.replicate("n1", 1, (3, 1), [1], "n2", commit=3)
    script.ack(script.snapshot("n1", "n3", 1, (3, 1)))
    script.elect("n3", 2, "n2", last=(4, 1))
    script.append("n3", "n2", 2, (4, 1), [2], commit=3)
    return script


@tales.only_looks_like("W6")
def _a_snapshot_installed_counts_as_an_acknowledgement() -> Script:
    script = formed()
    script.elect("n1", 2, "n2", last=(2, 1))
    script.append("n1", "n2", 2, (2, 1), [2], commit=1)
    script.ack(script.snapshot("n1", "n3", 2, (3, 2)))
    script.append("n1", "n2", 2, (3, 2), [], commit=3)
    return script


@tales.only_looks_like("W6")
def _the_same_acknowledgements_without_the_beginning_of_the_trace() -> Script:
    """One of the acknowledgements was of a peer whose hello came before; nothing can be said."""
    script = formed(5)
    script.replicate("n1", 1, (1, 1), [1], "n2", commit=1)
    script.records = script.records[6:]
    script.append("n1", "n2", 1, (2, 1), [], commit=2)
    return script


@tales.only_looks_like("W6")
def _twice_answered_first_for_the_durable_part() -> Script:
    """APPEND-8."""
    script = formed()
    asked = script.append("n1", "n2", 1, (1, 1), [1, 1, 1], commit=1)
    script.ack(asked, match=2)
    script.append("n1", "n3", 1, (1, 1), [1, 1, 1], commit=2)
    script.ack(asked)
    script.append("n1", "n3", 1, (1, 1), [1, 1, 1], commit=4)
    return script


# --------------------------------------------------------------------------------------------------------- W10


@tales.proves("W10")
def _a_commit_index_that_falls() -> Script:
    script = formed()
    script.replicate("n1", 1, (1, 1), [1], "n2", commit=1)
    script.append("n1", "n3", 1, (1, 1), [], commit=2)
    script.append("n1", "n3", 1, (1, 1), [], commit=1)
    return script


@tales.proves("W10")
def _a_match_beyond_the_question() -> Script:
    """R-08: the follower answers with its own last index."""
    script = formed()
    script.replicate("n1", 1, (1, 1), [1, 1, 1], "n2", commit=1)
    script.ack(script.append("n1", "n2", 1, (2, 1), [], commit=1), match=4)
    return script


@tales.only_looks_like("W10")
def _commit_indexes_of_two_followers() -> Script:
    """Each connection is a line of its own, and may be seen late."""
    script = formed()
    script.replicate("n1", 1, (1, 1), [1], "n2", commit=1)
    script.append("n1", "n2", 1, (2, 1), [], commit=2)
    script.append("n1", "n3", 1, (1, 1), [1], commit=1)
    return script


@tales.only_looks_like("W10")
def _a_heartbeat_overtakes_entries() -> Script:
    """Made earlier, as its seq says, and sent later."""
    script = formed()
    script.replicate("n1", 1, (1, 1), [1], "n2", commit=1)
    script.append("n1", "n3", 1, (1, 1), [], commit=2, seq=200)
    script.append("n1", "n3", 1, (1, 1), [1], commit=1, seq=199)
    return script


@tales.only_looks_like("W10")
def _the_next_leader_knows_less() -> Script:
    script = formed()
    script.replicate("n1", 1, (1, 1), [1], "n2", "n3", commit=1)
    script.append("n1", "n2", 1, (2, 1), [], commit=2)
    script.elect("n3", 2, "n2", last=(2, 1))
    script.append("n3", "n2", 2, (2, 1), [2], commit=1)
    return script


@tales.only_looks_like("W10")
def _a_match_that_falls() -> Script:
    """A question about less is answered with less: the match index is about the question."""
    script = formed()
    script.replicate("n1", 1, (1, 1), [1, 1], "n2", commit=1)
    script.ack(script.append("n1", "n2", 1, (1, 1), [], commit=1))
    script.ack(script.append("n1", "n2", 1, (0, 0), [], commit=1))
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
    assert invariant in ("W6", "W10")
    assert [str(violation) for violation in tale().violations()] == []
