"""W1, W2, W3 on traces written by hand: each broken once, and nearly broken several times."""

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


# --------------------------------------------------------------------------------------------------------- W1


@tales.proves("W1")
def _a_leader_one_vote_short() -> Script:
    script = formed(5)
    script.elect("n2", 2, "n3", last=(1, 1))
    script.append("n2", "n3", 2, (1, 1), [2])
    return script


@tales.proves("W1")
def _a_leader_nobody_was_asked_about() -> Script:
    script = formed()
    script.append("n2", "n3", 2, (1, 1), [2])
    return script


@tales.proves("W1")
def _a_formation_with_a_majority_only() -> Script:
    script = Script()
    script.elect("n1", 1, "n2", formation=True)
    script.append("n1", "n2", 1, (0, 0), [1])
    return script


@tales.proves("W1")
def _one_voter_counted_twice() -> Script:
    script = formed(5)
    asked = script.ask_vote("n2", "n3", 2, (1, 1))
    script.grant(asked)
    script.grant(asked)
    script.append("n2", "n3", 2, (1, 1), [2])
    return script


@tales.proves("W1")
def _the_vote_of_another_disk_was_counted() -> Script:
    """FORM-9. The learner does not even break its own rules: it denies, as the leader should have noticed."""
    script = formed()
    script.wipe("n3")
    script.deny(script.ask_vote("n2", "n3", 2, (1, 1)))
    script.append("n2", "n1", 2, (1, 1), [2])
    return script


@tales.proves("W1")
def _a_vote_that_was_dropped_was_counted() -> Script:
    script = formed()
    asked = script.ask_vote("n2", "n3", 2, (1, 1))
    script.fate = "dropped"
    script.grant(asked)
    script.fate = "passed"
    script.append("n2", "n3", 2, (1, 1), [2])
    return script


@tales.proves("W1")
def _an_answer_to_no_question_was_counted() -> Script:
    """TERM-3: its seq is not open."""
    script = formed()
    script.grant(script.ask_vote("n2", "n3", 2, (1, 1)), seq=99)
    script.append("n2", "n3", 2, (1, 1), [2])
    return script


@tales.only_looks_like("W1")
def _the_grant_and_the_first_request_cross_on_two_connections() -> Script:
    """The grant comes over a line of its own; it was seen before the leader spoke, and that is enough."""
    script = formed()
    one, other = script.ask_vote("n2", "n1", 2, (1, 1)), script.ask_vote("n2", "n3", 2, (1, 1))
    script.grant(other)
    script.append("n2", "n3", 2, (1, 1), [2])
    script.append("n2", "n1", 2, (1, 1), [2])
    script.deny(one)
    return script


@tales.only_looks_like("W1")
def _two_clusters_in_one_trace() -> Script:
    """All disks are lost, and the same node ids form another cluster: the same terms again."""
    script = formed()
    for node in script.nodes:
        script.wipe(node)
    script.members = tuple(node.server for node in script.nodes.values())
    script.elect("n2", 1, "n1", "n3", formation=True)
    script.append("n2", "n3", 1, (0, 0), [1])
    return script


@tales.only_looks_like("W1")
def _a_second_leader_that_the_suite_plays() -> Script:
    script = Script(scripted=["n3"])
    script.form()
    script.elect("n2", 2, "n1", last=(1, 1))
    script.append("n2", "n1", 2, (1, 1), [2])
    script.append("n3", "n1", 2, (1, 1), [2])
    return script


@tales.only_looks_like("W1")
def _two_leaders_by_the_votes_of_a_liar() -> Script:
    """n3 is played and votes twice: both n1 and n2 were elected as far as they can know."""
    script = Script(scripted=["n3"])
    script.form()
    for leader in ("n1", "n2"):
        script.elect(leader, 2, "n3", last=(1, 1))
        script.append(leader, "n3", 2, (1, 1), [2])
    return script


@tales.only_looks_like("W1")
def _two_leaders_after_a_corrupted_frame() -> Script:
    script = formed()
    script.fate = "corrupted"
    script.elect("n1", 2, last=(1, 1))
    script.fate = "passed"
    script.append("n1", "n2", 2, (1, 1), [2])
    script.elect("n2", 2, "n3", last=(1, 1))
    script.append("n2", "n3", 2, (1, 1), [2])
    return script


# --------------------------------------------------------------------------------------------------------- W2


@tales.proves("W2")
def _two_grants_in_one_term() -> Script:
    script = formed(5)
    script.grant(script.ask_vote("n1", "n3", 2, (1, 1)))
    script.grant(script.ask_vote("n2", "n3", 2, (1, 1)))
    return script


@tales.proves("W2")
def _two_grants_with_a_restart_between() -> Script:
    script = formed(5)
    script.grant(script.ask_vote("n1", "n3", 2, (1, 1)))
    script.restart("n3")
    script.grant(script.ask_vote("n2", "n3", 2, (1, 1)))
    return script


@tales.proves("W2")
def _a_candidate_that_votes_for_another() -> Script:
    script = formed()
    script.ask_vote("n1", "n2", 2, (1, 1))
    script.grant(script.ask_vote("n3", "n1", 2, (1, 1)))
    return script


@tales.proves("W2")
def _a_voter_that_votes_for_itself_later() -> Script:
    script = formed()
    script.grant(script.ask_vote("n3", "n1", 2, (1, 1)))
    script.restart("n1")
    script.ask_vote("n1", "n2", 2, (1, 1))
    return script


@tales.proves("W2")
def _a_vote_for_a_node_and_for_its_next_disk() -> Script:
    """The pair counts (FORM-1): with another disk it is another candidate. It must not be on the list,
    either."""
    script = formed()
    script.grant(script.ask_vote("n1", "n2", 2, (1, 1)))
    script.wipe("n1")
    script.grant(script.ask_vote("n1", "n2", 2, (1, 1)))
    return script


@tales.proves("W2")
def _a_learner_that_votes() -> Script:
    script = formed()
    script.wipe("n3")
    script.grant(script.ask_vote("n2", "n3", 2, (1, 1)))
    return script


@tales.proves("W2")
def _two_grants_though_the_trace_begins_in_the_middle() -> Script:
    script = Script()
    script.grant(script.ask_vote("n1", "n3", 7, (9, 6)))
    script.grant(script.ask_vote("n2", "n3", 7, (9, 6)))
    return script


@tales.only_looks_like("W2")
def _the_same_candidate_asks_again() -> Script:
    """Answered twice, and on two connections."""
    script = formed()
    asked = script.ask_vote("n1", "n3", 2, (1, 1))
    script.grant(asked)
    script.grant(asked)
    script.new_line("n1", "n3")
    script.grant(script.ask_vote("n1", "n3", 2, (1, 1)))
    script.restart("n1")
    script.grant(script.ask_vote("n1", "n3", 2, (1, 1)))
    return script


@tales.only_looks_like("W2")
def _a_denial_a_pre_vote_and_another_term() -> Script:
    script = formed()
    script.grant(script.ask_vote("n1", "n3", 2, (1, 1)))
    script.deny(script.ask_vote("n2", "n3", 2, (1, 1)))
    script.grant(script.ask_vote("n2", "n3", 2, (1, 1), pre=True))
    script.grant(script.ask_vote("n2", "n3", 3, (1, 1)))
    return script


@tales.only_looks_like("W2")
def _a_lost_disk_votes_as_another_server() -> Script:
    """Before formation: whoever lost its disk is another server, and listed as that."""
    script = Script()
    script.grant(script.ask_vote("n1", "n3", 1, formation=True))
    script.wipe("n3")
    script.members = tuple(node.server for node in script.nodes.values())
    script.grant(script.ask_vote("n2", "n3", 1, formation=True))
    return script


@tales.only_looks_like("W2")
def _two_votes_of_a_scripted_node() -> Script:
    script = Script(scripted=["n3"])
    script.grant(script.ask_vote("n1", "n3", 2, (1, 1)))
    script.grant(script.ask_vote("n2", "n3", 2, (1, 1)))
    return script


@tales.only_looks_like("W2")
def _two_votes_and_an_old_copy_of_the_disk_between() -> Script:
    script = formed()
    script.grant(script.ask_vote("n1", "n3", 2, (1, 1)))
    script.mark("n3", "tampered", "an older copy of its directory was restored")
    script.restart("n3")
    script.grant(script.ask_vote("n2", "n3", 2, (1, 1)))
    return script


# --------------------------------------------------------------------------------------------------------- W3


@tales.proves("W3")
def _a_term_forgotten_in_a_restart() -> Script:
    script = formed()
    script.deny(script.ask_vote("n1", "n2", 5, (1, 1)))
    script.restart("n2")
    script.ask_vote("n2", "n3", 3, (1, 1))
    return script


@tales.proves("W3")
def _a_term_of_a_refusal_forgotten_in_a_restart() -> Script:
    script = formed()
    script.refuse(script.append("n1", "n2", 1, (1, 1), commit=1), term=5)
    script.restart("n2")
    script.ask_vote("n2", "n3", 1, (1, 1), pre=True)
    return script


@tales.proves("W3")
def _a_lower_term_in_answer_to_a_later_question() -> Script:
    script = formed()
    script.deny(script.ask_vote("n1", "n2", 5, (1, 1)))
    script.deny(script.ask_vote("n3", "n2", 2, (1, 1)), term=4)
    return script


@tales.proves("W3")
def _vote_requests_of_falling_terms_on_one_connection() -> Script:
    script = formed()
    script.ask_vote("n2", "n3", 5, (1, 1))
    script.ask_vote("n2", "n3", 4, (1, 1))
    return script


@tales.only_looks_like("W3")
def _two_connections_seen_in_another_order() -> Script:
    """n2 answered n3 first, in term 1, and n1 then, in term 5; the answers were read the other way round."""
    script = formed()
    early = script.ask_vote("n3", "n2", 1, (1, 1), pre=True)
    late = script.ask_vote("n1", "n2", 5, (1, 1))
    script.grant(late)
    script.deny(early, term=1)
    return script


@tales.only_looks_like("W3")
def _a_request_of_its_own_that_waited() -> Script:
    """The pre-vote of term 1 lay in a queue while the answer in term 5 went ahead on another connection."""
    script = formed()
    script.grant(script.ask_vote("n1", "n2", 5, (1, 1)))
    script.ask_vote("n2", "n3", 1, (1, 1), pre=True)
    return script


@tales.only_looks_like("W3")
def _vote_requests_numbered_the_other_way() -> Script:
    script = formed()
    script.ask_vote("n2", "n3", 5, (1, 1), seq=900)
    script.ask_vote("n2", "n3", 4, (1, 1), seq=800)
    return script


@tales.only_looks_like("W3")
def _a_lost_disk_begins_at_zero() -> Script:
    script = formed()
    script.deny(script.ask_vote("n1", "n2", 5, (1, 1)))
    script.wipe("n2")
    script.refuse(script.append("n1", "n2", 1, (1, 1)), term=1)
    return script


@tales.only_looks_like("W3")
def _an_answer_repeats_the_lower_term_of_its_question() -> Script:
    script = formed()
    script.deny(script.ask_vote("n1", "n2", 5, (1, 1)))
    script.refuse(script.append("n1", "n2", 1, (1, 1), commit=1), term=5)
    return script


@tales.only_looks_like("W3")
def _a_pre_vote_asks_in_a_higher_term_than_anybody_has() -> Script:
    script = formed()
    script.deny(script.ask_vote("n1", "n2", 9, (1, 1), pre=True), term=1)
    script.ack(script.append("n1", "n2", 1, (1, 1), commit=1))
    return script


@pytest.mark.parametrize(("invariant", "tale"), tales.bad, ids=name)
def test_it_is_proven(invariant: str, tale: Tale) -> None:
    violations = tale().violations()
    assert [violation.invariant for violation in violations] == [invariant]
    [violation] = violations
    assert set(violation.rules) <= RULES.keys()
    for record in violation.records:
        assert f"record {record}" in violation.text, violation.text


@pytest.mark.parametrize(("invariant", "tale"), tales.good, ids=name)
def test_it_is_not_claimed(invariant: str, tale: Tale) -> None:
    assert invariant in ("W1", "W2", "W3")
    assert [str(violation) for violation in tale().violations()] == []


def test_the_text_tells_both_observations() -> None:
    script = formed()
    script.deny(script.ask_vote("n1", "n2", 5, (1, 1)))
    script.restart("n2")
    script.ask_vote("n2", "n3", 3, (1, 1))
    [violation] = script.violations()
    said, then = violation.records
    assert violation.text == f"n2 said term 5 (record {said}), then term 3 (record {then})"
    assert str(violation) == f"W3 n2: {violation.text} [TERM-4, PERSIST-1]"


def two_leaders() -> Script:
    """n3 votes for both."""
    script = formed(5)
    script.elect("n1", 2, "n2", "n3", last=(1, 1))
    script.append("n1", "n2", 2, (1, 1), [2])
    script.elect("n4", 2, "n5", "n3", last=(1, 1))
    script.append("n4", "n5", 2, (1, 1), [2])
    return script


def test_two_leaders_of_one_term_are_seen_and_so_is_who_voted_twice() -> None:
    [vote, leader] = two_leaders().violations()
    assert (vote.invariant, vote.node, leader.invariant, leader.node) == ("W2", "n3", "W1", "n4")
    first, then = leader.records
    assert leader.text == f"n1 leads term 2 (record {first}), and so does n4 (record {then})"
    assert two_leaders().found(complete=False) == ["W2", "W1"]


WEAKER = ["_a_leader_one_vote_short", "_a_leader_nobody_was_asked_about", "_one_voter_counted_twice"]


@pytest.mark.parametrize("tale", [tale for _, tale in tales.bad if tale.__name__ in WEAKER], ids=name)
def test_without_the_beginning_nothing_is_said_of_votes_that_were_not_seen(tale: Tale) -> None:
    assert tale().found(complete=False) == []
