"""W8, W9 on traces written by hand: each broken, and nearly broken."""

from __future__ import annotations

import pytest

from conformance._rules import RULES
from tests.conformance.script import Script
from tests.conformance.stories import Tale, Tales, name

tales = Tales()


def acknowledged(size: int = 3) -> Script:
    """n1 leads term 1; n2 has acknowledged entries 2 and 3, which are not announced as committed."""
    script = Script(size)
    script.form()
    script.replicate("n1", 1, (1, 1), [1, 1], "n2", commit=1)
    return script


def overwritten() -> Script:
    """As above, but n3 leads term 2 with a shorter log, and has sent n2 its own entry 2."""
    script = acknowledged(5)
    script.elect("n3", 2, "n4", "n5", last=(1, 1))
    script.append("n3", "n2", 2, (1, 1), [2], commit=1)
    return script


# --------------------------------------------------------------------------------------------------------- W8


@tales.proves("W8")
def _a_vote_for_a_log_of_a_lower_term() -> Script:
    script = acknowledged()
    script.elect("n1", 2, "n3", last=(3, 1))
    script.replicate("n1", 2, (3, 1), [2], "n2", commit=1)
    script.grant(script.ask_vote("n3", "n2", 3, (9, 1)))
    return script


@tales.proves("W8")
def _a_vote_for_a_shorter_log() -> Script:
    script = acknowledged()
    script.grant(script.ask_vote("n3", "n2", 2, (2, 1)))
    return script


@tales.proves("W8")
def _a_vote_for_a_shorter_log_after_a_restart() -> Script:
    script = acknowledged()
    script.restart("n2")
    script.grant(script.ask_vote("n3", "n2", 2, (1, 1)))
    return script


@tales.proves("W8")
def _a_vote_for_less_than_the_snapshot_it_installed() -> Script:
    """E-10: with the log gone, the snapshot's last index and term count."""
    script = acknowledged(5)
    script.ack(script.snapshot("n1", "n3", 1, (3, 1)))
    script.grant(script.ask_vote("n4", "n3", 2, (2, 1)))
    return script


@tales.proves("W8")
def _a_scripted_leader_s_entries_forgotten_at_the_vote() -> Script:
    script = Script(scripted=["n1", "n3"])
    script.form()
    script.replicate("n1", 1, (1, 1), [1, 1], "n2", commit=1)
    script.grant(script.ask_vote("n3", "n2", 2, (1, 1)))
    return script


@tales.proves("W8")
def _a_part_that_was_overwritten_and_a_part_that_was_not() -> Script:
    """n3's entry 3 took the place of what n2 had there, but entry 2 stands as n2 acknowledged it."""
    script = acknowledged(5)
    script.elect("n3", 2, "n4", "n5", last=(2, 1))
    script.append("n3", "n2", 2, (1, 1), [1, 2], commit=1)
    script.grant(script.ask_vote("n4", "n2", 3, (1, 1)))
    return script


@tales.only_looks_like("W8")
def _a_vote_for_an_equal_log() -> Script:
    script = acknowledged()
    script.grant(script.ask_vote("n3", "n2", 2, (3, 1)))
    return script


@tales.only_looks_like("W8")
def _a_vote_for_a_shorter_log_of_a_higher_term() -> Script:
    script = acknowledged(5)
    script.elect("n3", 2, "n4", "n5", last=(1, 1))
    script.replicate("n3", 2, (1, 1), [2], "n4", commit=1)
    script.grant(script.ask_vote("n4", "n2", 3, (2, 2)))
    return script


@tales.only_looks_like("W8")
def _a_vote_after_a_later_leader_overwrote_it() -> Script:
    script = overwritten()
    script.grant(script.ask_vote("n4", "n2", 3, (2, 1)))
    return script


@tales.only_looks_like("W8")
def _the_overwriting_request_is_still_held_up() -> Script:
    """It may be delivered before the vote request, though nobody answered it on the trace."""
    script = acknowledged(5)
    script.elect("n3", 2, "n4", "n5", last=(1, 1))
    script.fate = "held"
    script.append("n3", "n2", 2, (1, 1), [2], commit=1)
    script.fate = "passed"
    script.grant(script.ask_vote("n4", "n2", 3, (1, 1)))
    return script


@tales.only_looks_like("W8")
def _a_log_that_shrinks_by_a_later_leader_s_older_entries() -> Script:
    """n2 acknowledged (3, term 2); the leader of term 4 has entries of term 1 there, and more of them."""
    script = Script(5)
    script.form()
    script.elect("n1", 2, "n2", "n3", last=(2, 1))
    script.replicate("n1", 2, (1, 1), [1, 2], "n2", commit=1)
    script.elect("n4", 4, "n5", "n3", last=(6, 1))
    script.replicate("n4", 4, (2, 1), [1, 1, 1], "n2", commit=1)
    script.grant(script.ask_vote("n5", "n2", 5, (5, 1)))
    return script


@tales.only_looks_like("W8")
def _acknowledged_while_the_vote_request_was_on_its_way() -> Script:
    """A repeated question of the leader's own candidacy: the vote may have left before the acknowledgement."""
    script = Script()
    script.form()
    asked = script.ask_vote("n1", "n2", 2, (1, 1))
    other = script.ask_vote("n1", "n3", 2, (1, 1))
    script.grant(other)
    script.replicate("n1", 2, (1, 1), [2], "n2", commit=1)
    script.grant(asked)
    return script


@tales.only_looks_like("W8")
def _a_learner_s_next_disk() -> Script:
    script = acknowledged()
    script.wipe("n2")
    script.wipe("n3")
    script.members = tuple(node.server for node in script.nodes.values())
    script.grant(script.ask_vote("n3", "n2", 2, (0, 0), formation=True))
    return script


@tales.only_looks_like("W8")
def _a_made_up_history_below_a_snapshot() -> Script:
    """What lies below n2's snapshot is agreed to, whatever a played leader says of it (APPEND-2)."""
    script = Script(scripted=["n1", "n3"])
    script.form()
    script.replicate("n1", 1, (1, 1), [1, 1, 1], "n2", commit=4)
    script.replicate("n3", 7, (2, 6), [7], "n2", commit=1)
    script.ack(script.snapshot("n3", "n2", 7, (3, 6)))
    script.grant(script.ask_vote("n1", "n2", 8, (4, 1)))
    return script


@tales.only_looks_like("W8")
def _a_denied_vote_and_a_pre_vote() -> Script:
    script = acknowledged()
    script.deny(script.ask_vote("n3", "n2", 2, (1, 1)))
    return script


# --------------------------------------------------------------------------------------------------------- W9


@tales.proves("W9")
def _a_campaign_with_a_log_that_lost_its_end() -> Script:
    script = acknowledged()
    script.restart("n2")
    script.ask_vote("n2", "n3", 2, (2, 1))
    return script


@tales.proves("W9")
def _a_pre_vote_with_a_log_that_lost_its_end() -> Script:
    script = acknowledged()
    script.restart("n2")
    script.ask_vote("n2", "n3", 1, (2, 1), pre=True)
    return script


@tales.proves("W9")
def _a_refusal_that_says_the_log_ends_earlier() -> Script:
    script = acknowledged()
    script.restart("n2")
    script.refuse(script.append("n1", "n2", 1, (3, 1), [], commit=1), hint=(3, None))
    return script


@tales.proves("W9")
def _a_refusal_that_names_another_term() -> Script:
    script = acknowledged()
    script.refuse(script.append("n1", "n2", 1, (3, 1), [], commit=1), hint=(1, 0))
    return script


@tales.proves("W9")
def _an_installed_snapshot_is_gone() -> Script:
    script = acknowledged()
    script.ack(script.snapshot("n1", "n3", 1, (3, 1)))
    script.restart("n3")
    script.ask_vote("n3", "n2", 2, (1, 1))
    return script


@tales.only_looks_like("W9")
def _a_campaign_with_all_of_it() -> Script:
    script = acknowledged()
    script.restart("n2")
    script.ask_vote("n2", "n3", 2, (3, 1))
    return script


@tales.only_looks_like("W9")
def _only_the_durable_part_was_acknowledged() -> Script:
    """APPEND-8; then the power went."""
    script = Script()
    script.form()
    script.ack(script.append("n1", "n2", 1, (1, 1), [1, 1], commit=1), match=2)
    script.restart("n2")
    script.ask_vote("n2", "n3", 2, (2, 1))
    return script


@tales.only_looks_like("W9")
def _a_later_leader_may_have_taken_it_back() -> Script:
    script = overwritten()
    script.restart("n2")
    script.ask_vote("n2", "n3", 3, (1, 1))
    return script


@tales.only_looks_like("W9")
def _a_later_leader_s_snapshot_took_its_place() -> Script:
    script = Script(5)
    script.form()
    script.elect("n1", 2, "n2", "n3", last=(2, 1))
    script.replicate("n1", 2, (1, 1), [1, 2], "n2", commit=1)
    script.elect("n4", 4, "n5", "n3", last=(6, 1))
    script.ack(script.snapshot("n4", "n2", 4, (5, 1)))
    script.restart("n2")
    script.ask_vote("n2", "n3", 5, (5, 1))
    return script


@tales.only_looks_like("W9")
def _a_refusal_of_what_it_never_had() -> Script:
    script = acknowledged()
    script.refuse(script.append("n1", "n2", 1, (7, 1), [], commit=1), hint=(4, None))
    script.refuse(script.append("n1", "n2", 1, (9, 1), [], commit=1))
    return script


@tales.only_looks_like("W9")
def _a_refusal_that_crossed_the_acknowledgement() -> Script:
    """The question was asked before n2 had acknowledged; its answer was read later, on another connection."""
    script = Script()
    script.form()
    early = script.append("n1", "n2", 1, (3, 1), [], commit=1)
    script.new_line("n1", "n2")
    script.replicate("n1", 1, (1, 1), [1, 1], "n2", commit=1)
    script.refuse(early, hint=(2, None))
    return script


@tales.only_looks_like("W9")
def _its_directory_was_cut_by_hand() -> Script:
    script = acknowledged()
    script.mark("n2", "tampered", "the last 20 bytes were cut off")
    script.restart("n2")
    script.ask_vote("n2", "n3", 2, (2, 1))
    return script


@tales.only_looks_like("W9")
def _a_follower_refuses_a_corrupted_question() -> Script:
    script = acknowledged()
    script.fate = "corrupted"
    asked = script.append("n1", "n2", 1, (3, 1), [], commit=1)
    script.fate = "passed"
    script.refuse(asked, hint=(3, None))
    return script


@pytest.mark.parametrize(("invariant", "tale"), tales.bad, ids=name)
def test_it_is_proven(invariant: str, tale: Tale) -> None:
    violations = tale().violations()
    assert [violation.invariant for violation in violations] == [invariant], list(map(str, violations))
    [violation] = violations
    assert violation.node == ("n3" if "snapshot" in tale.__name__ else "n2")
    assert set(violation.rules) <= RULES.keys()
    assert all(f"record {record}" in violation.text for record in violation.records), violation.text


@pytest.mark.parametrize(("invariant", "tale"), tales.good, ids=name)
def test_it_is_not_claimed(invariant: str, tale: Tale) -> None:
    assert invariant in ("W8", "W9")
    assert [str(violation) for violation in tale().violations()] == []


@pytest.mark.parametrize(("invariant", "tale"), tales.bad, ids=name)
def test_without_the_beginning_nothing_is_said_of_promises(invariant: str, tale: Tale) -> None:
    """Somebody else may have sent what was not captured."""
    assert invariant not in tale().found(complete=False)


def test_the_text_tells_the_promise_and_what_broke_it() -> None:
    script = acknowledged()
    script.restart("n2")
    script.ask_vote("n2", "n3", 2, (2, 1))
    [violation] = script.violations()
    promise, broken = violation.records
    assert violation.text == (
        f"n2 acknowledged to n1, leader of term 1, that its log reaches (3, term 1) (record {promise}), "
        "then said, "
        f"after a restart, that its log ends at (2, term 1) (record {broken}), though nothing that was "
        "sent to it "
        "since could have removed that"
    )
