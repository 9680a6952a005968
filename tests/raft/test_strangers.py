"""Those who do not belong, or no longer: strangers, learners, and what is said about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casty.raft.events import Role
from casty.raft.types import HardState, Members, Term
from tests.raft.servers import fresh, leader, learner, locked, member
from tests.raft.shorthand import (
    N1,
    N2,
    N3,
    N4,
    REBORN,
    THREE,
    append,
    command,
    configuration,
    denied,
    entry_one,
    install,
    log,
    pre_denied,
    pre_vote,
    refusal,
    server,
    snapshot,
    success,
    vote,
    wants,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from casty.raft.messages import Message
    from casty.raft.types import ServerId
    from tests.raft.harness import Server

REQUESTS: list[Message] = [
    vote(9, last=(9, 9)),
    pre_vote(9, last=(9, 9)),
    append(9, prev=(1, 1)),
    install(9, snapshot(9, 9)),
]
STANDINGS: dict[str, Callable[[], Server]] = {
    "locked": locked,
    "member": lambda: member(1),
    "leader": lambda: leader(1),
    "learner": lambda: learner(1),
}
RESPONSES: list[Message] = [
    denied(9, asked=1),
    pre_denied(9, asked=1),
    refusal(9, asked=1),
    wants(9, 1, 0, asked=1),
]


@pytest.mark.parametrize("stranger", [N4, server(2, store=9)], ids=["unknown", "n2 with another disk"])
@pytest.mark.parametrize("message", REQUESTS + RESPONSES, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("standing", STANDINGS)
def test_a_strangers_term_is_not_even_read(standing: str, message: Message, stranger: ServerId) -> None:
    """FORM-7: "drops Raft requests and responses from pairs that are not on it before it reads their
    term"."""
    n1 = STANDINGS[standing]()
    n1.forget()
    before = (n1.raft.status(), n1.raft.deadline, n1.kept)
    n1.hears(stranger, message)
    assert (n1.says(stranger), (n1.raft.status(), n1.raft.deadline, n1.kept)) == ([], before)


@pytest.mark.parametrize("message", REQUESTS, ids=lambda m: type(m).__name__)
def test_a_stranger_is_told_that_it_is_none_of_us(message: Message) -> None:
    """FORM-7, NOT_A_MEMBER: for the stranger's operator, who wonders why nothing happens."""
    n1 = member(1)
    n1.hears(N4, message)
    assert n1.objects() == [("NOT_A_MEMBER", "FORM-7")]
    assert n1.warned("n4", "not on the member list")


def test_a_strangers_leadership_is_not_followed() -> None:
    """FORM-7, ELECT-2: nor does it keep this server from campaigning."""
    n1 = member(1)
    for _ in range(10):
        n1.hears(N4, append(1, prev=(1, 1)))
        n1.wait(300)
    assert (n1.role, n1.raft.leader) == (Role.PRE_CANDIDATE, None)


FROM_CLIENTS: list[Message] = [append(9, prev=(7, 9)), append(9, *log(1)), install(9, snapshot(9, 9))]


@pytest.mark.parametrize("message", FROM_CLIENTS, ids=["heartbeat", "entry 1", "snapshot"])
def test_a_fresh_server_follows_nobody_who_said_no_hello_as_a_member(message: Message) -> None:
    """FORM-12: a client that says it leads, in the last term there is, must end no server before it began."""
    n1 = fresh(me=REBORN)
    n1.hears(N4, message)
    assert (n1.says(N4), n1.objects(), n1.kept.hard_state) == (
        [],
        [("NOT_A_MEMBER", "FORM-12")],
        HardState(Term(0)),
    )
    assert n1.warned("n4", "has not said hello", "as a member")


@pytest.mark.parametrize("response", RESPONSES, ids=lambda m: type(m).__name__)
def test_a_fresh_server_reads_no_term_in_a_strangers_response(response: Message) -> None:
    """FORM-12: nor in an answer that it never asked for."""
    n1 = fresh()
    n1.hears(N4, response)
    assert n1.kept.hard_state == HardState(Term(0))


OTHER_ELECTIONS: list[Message] = [
    vote(9),
    pre_vote(9),
    vote(9, formation=True, members=(N1, N2, N4)),
    pre_vote(9, formation=True, members=(N1, N2, N4)),
]


@pytest.mark.parametrize("question", OTHER_ELECTIONS, ids=lambda m: type(m).__name__)
def test_a_fresh_server_reads_no_term_in_an_election_it_has_no_part_in(question: Message) -> None:
    """FORM-12: "drops it before it reads its term": of an election of another list, it does not even say no."""
    n1 = fresh()
    n1.hears(N2, question)
    assert (n1.outbox, n1.kept.hard_state) == ([], HardState(Term(0)))


def test_a_fresh_server_follows_a_member_it_has_discovered_beside_too_many_others() -> None:
    """FORM-12, FORM-9: a server that lost its disk finds more than a cluster's worth of members, and learns."""
    n1 = fresh(me=REBORN, discovered=False)
    n1.discovers(REBORN, N2, N3, N4)
    n1.hears(N2, append(3, prev=(7, 3)), append(3, *log(1, 1, 2), commit=2))
    assert (n1.says(N2)[1:], n1.standing) == ([success(3, 3)], "learner")


# ------------------------------------------------------------------------------------------------ learners


def test_a_server_that_lost_its_disk_becomes_a_learner_by_entry_one() -> None:
    """FORM-9: "A FRESH server becomes one by accepting an entry 1 or a snapshot that lists its node id with
    another store id"."""
    n1 = fresh(me=REBORN)
    n1.hears(N2, append(3, *log(1, 1, 2), commit=2))
    assert (n1.says(N2), n1.standing, n1.commit) == ([success(3, 3)], "learner", 2)
    assert n1.warned("learner", "no vote")


def test_a_server_that_lost_its_disk_becomes_a_learner_by_a_snapshot() -> None:
    """FORM-9, SNAP-6: the leader's log may begin long after entry 1."""
    n1 = fresh(me=REBORN)
    n1.hears(N2, install(3, snapshot(7, 2)))
    assert (n1.standing, n1.raft.log.last_index, n1.raft.configuration) == ("learner", 7, configuration())


def test_a_learner_stores_and_applies() -> None:
    """FORM-9: "it stores and applies": it may help as a copy."""
    n1 = learner(1)
    n1.hears(N2, append(2, command(2, 2), prev=(1, 1), commit=2))
    assert (n1.says(N2), n1.terms, n1.applied_data[1:]) == ([success(2, 2)], (1, 2), [b"2@2"])


def test_a_learner_never_campaigns() -> None:
    """FORM-9: it "never campaigns", not even after a restart or a new discovery."""
    n1 = learner(1)
    n1.hears(N2, append(2, prev=(1, 1)))
    n1.discovers(REBORN, N2, N3)
    deadlines = (n1.raft.deadline, n1.restarted().raft.deadline)
    assert (deadlines, n1.outbox[1:]) == ((None, None), [])


def test_a_learner_grants_no_vote() -> None:
    """FORM-9: "what it promised before it lost its disk is gone", so it promises nothing."""
    n1 = learner(1)
    n1.hears(N2, vote(9, last=(9, 9)))
    assert (n1.says(N2), n1.kept.hard_state) == ([denied(9)], HardState(Term(9)))


def test_a_fresh_server_that_was_about_to_campaign_becomes_a_learner_and_stops() -> None:
    """FORM-9: the cluster it wanted to form exists already."""
    n1 = fresh(me=REBORN)
    n1.tick()
    n1.hears(N2, append(1, entry_one(1)))
    assert (n1.role, n1.standing, n1.raft.deadline) == (Role.FOLLOWER, "learner", None)


WRONG_LISTS: list[tuple[str, Members]] = [
    ("its own pair", (REBORN, N2, N3)),
    ("without its id", (N2, N3, N4)),
]


@pytest.mark.parametrize("servers", [w[1] for w in WRONG_LISTS], ids=[w[0] for w in WRONG_LISTS])
def test_a_fresh_server_takes_no_entry_one_that_it_could_not_be_a_learner_of(servers: Members) -> None:
    """FORM-9, FORM-10: "one that lists its own pair, or does not list its node id, it refuses with
    BAD_FORMATION"."""
    n1 = fresh(me=REBORN)
    n1.hears(N2, append(1, entry_one(1, servers=servers)))
    assert (n1.says(N2), n1.objects(), n1.standing) == ([refusal(1)], [("BAD_FORMATION", "FORM-8")], "fresh")


@pytest.mark.parametrize("servers", [w[1] for w in WRONG_LISTS], ids=[w[0] for w in WRONG_LISTS])
def test_a_fresh_server_takes_no_snapshot_that_it_could_not_be_a_learner_of(servers: Members) -> None:
    """FORM-9, FORM-10: an old copy of a data directory must not vote twice; an extra node holds no log."""
    n1 = fresh(me=REBORN)
    n1.hears(N2, install(1, snapshot(5, 1, servers=servers)))
    assert (n1.objects(), n1.standing) == ([("BAD_FORMATION", "FORM-8")], "fresh")


def test_a_node_that_is_not_on_the_list_takes_no_part() -> None:
    """FORM-10: "A node whose id is not on the list takes no part in Raft": it holds no log, and is asked
    nothing."""
    n4 = fresh(me=N4)
    n4.hears(N2, append(1, *log(1, 1), commit=2))
    n4.wait(10_000)
    assert (n4.terms, n4.applied, n4.role, n4.raft.configuration) == ((), [], Role.FOLLOWER, None)


def test_a_leader_sends_nothing_to_a_node_that_is_not_on_the_list() -> None:
    """FORM-10: it "may host actors, look up and ask", no more."""
    n1 = leader(1)
    n1.connects(N4)
    n1.wait(1000)
    assert n1.says(N4) == []


# ----------------------------------------------------------------------------------- what is said about it


def test_too_many_servers_are_named() -> None:
    """FORM-11: "more discovered servers than expected (naming the ids)"."""
    n1 = fresh(3)
    n1.discovers(*THREE, N4)
    assert [n.level for n in n1.notices] == ["error"]
    assert n1.warned("cluster of 3", "4 servers", "n1", "n2", "n3", "n4")


def test_a_locked_list_whose_member_came_back_with_another_disk_says_what_to_do() -> None:
    """FORM-11: "a LOCKED list whose member has come back with another store (naming it and the remedy)": where
    another member knows the cluster, something may have been committed, and the line says so."""
    n1 = locked(3)
    n1.discovers(N1, N2, server(3, store=9))
    assert [n.level for n in n1.notices] == ["error"]
    assert n1.warned(f"{N3}", f"{server(3, store=9)}", "nothing was committed", "wipe nothing")


def test_a_locked_member_that_is_merely_away_is_not_called_lost() -> None:
    """FORM-11: it may come back as it was."""
    n1 = locked(3)
    n1.discovers(N1, N2)
    assert n1.notices == []


def test_a_member_says_nothing_about_discovery() -> None:
    """FORM-11: a formed cluster has its list, whoever else turns up."""
    n1 = member(1)
    n1.discovers(*THREE, N4)
    assert n1.notices == []


def test_one_node_id_with_two_disks_is_named() -> None:
    """FORM-11: "A server that cannot form SHOULD say so"; three pairs are here, but only two node ids."""
    n1 = fresh(3)
    n1.discovers(N1, N2, server(2, store=9))
    assert n1.warned("n2")


def test_an_old_copy_of_a_fresh_store_is_called_by_its_name() -> None:
    """FORM-9, FORM-11: the operator learns what the refusal means."""
    n1 = fresh()
    n1.hears(N2, append(1, entry_one(1)))
    assert n1.warned("never voted to be listed", "old copy")


def test_a_server_with_an_old_term_and_no_list_keeps_its_term() -> None:
    """FORM-2, TERM-1: FRESH says nothing of terms; this one was told one by a leader it did not follow."""
    n1 = fresh()
    n1.hears(N2, append(7, entry_one(7)))
    assert (n1.standing, n1.kept.hard_state) == ("fresh", HardState(Term(7)))
