"""Whom a node knows and dials, without a network: time and dice are handed in."""

from __future__ import annotations

from random import Random

from casty.cluster.address import Address
from casty.cluster.book import DIALS_MAX, FORGET_PEER_AFTER, PEERS_MAX, Dial, PeerBook
from casty.raft.types import NodeId, ServerId, StoreId

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")
ME, ONE, TWO, THREE = (Address("host", port) for port in (1, 11, 22, 33))


def book(*seeds: Address, member: bool = False) -> PeerBook:
    return PeerBook(NodeId("me"), ME, seeds, member=member, random=Random(1))


def test_seeds_are_dialled_at_once_and_tried_again_ever_more_slowly() -> None:
    """PEER-2: from 0.1 s, doubling to at most 10 s, with jitter; never given up."""
    known = book(ONE, ME)
    dial = Dial(ONE, "actor")
    assert known.due(0.0) == [dial]
    assert known.due(0.0) == []  # under way
    now, waits = 0.0, []
    for _ in range(12):
        known.failed(dial, now)
        due = known.next_due()
        assert due is not None
        assert known.due(due - 0.001) == []
        assert known.due(due) == [dial]
        waits.append(due - now)
        now = due
    for attempt, wait in enumerate(waits):
        full = min(0.1 * 2**attempt, 10.0)
        assert full / 2 <= wait <= full
    assert len({wait / min(0.1 * 2**n, 10.0) for n, wait in enumerate(waits)}) > 6  # jitter
    now += 100 * FORGET_PEER_AFTER
    known.failed(dial, now)
    assert known.due(now + 10) == [dial]


def test_a_node_that_says_hello_is_dialled_at_once() -> None:
    """PEER-2: it was away, and is back; its peers must not find that out by their own next attempts only."""
    known = book(ONE, member=True)
    now = 0.0
    for _ in range(12):
        for dial in known.due(now):
            known.failed(dial, now)
        now = known.next_due() or 0.0
    known.due(now)
    known.failed(Dial(ONE, "actor"), now)
    known.greet(A, ONE, member=True, now=now + 1)
    assert Dial(ONE, "actor") in known.due(now + 1)
    known.failed(Dial(ONE, "actor"), now + 1)
    known.greet(A, ONE, member=True, now=now + 2)
    assert Dial(ONE, "actor") not in known.due(now + 2)  # not each time: these two do not get on
    known.greet(A, ONE, member=True, now=now + 7)
    assert Dial(ONE, "actor") in known.due(now + 7)


def test_a_connection_that_lasted_makes_the_next_attempt_a_quick_one() -> None:
    """PEER-2: one that did not last counts as a failure."""
    known = book(ONE)
    dial = known.due(0.0)[0]
    for _ in range(5):
        known.opened(A, dial, 10.0)
        assert known.due(10.0) == []
        assert known.next_due() is None
        known.closed(A, dial, 11.0)
    assert (known.next_due() or 0) > 11.5
    known.opened(A, dial, 20.0)
    known.closed(A, dial, 30.0)
    assert (known.next_due() or 99) <= 30.1


def test_members_dial_members_on_both_lanes_and_others_on_one() -> None:
    """PEER-6; FORM-10: who takes no part in Raft is not dialled for it."""
    known = book(member=True)
    known.greet(A, ONE, member=True, now=0.0)
    known.greet(B, TWO, member=False, now=0.0)
    assert known.due(0.0) == [Dial(ONE, "actor"), Dial(ONE, "raft"), Dial(TWO, "actor")]
    outside = book()
    outside.greet(A, ONE, member=True, now=0.0)
    assert outside.due(0.0) == [Dial(ONE, "actor")]


def test_a_nodes_own_word_beats_what_others_say() -> None:
    """PEER-4."""
    known = book()
    known.learn(A, ONE, 0.0)
    known.learn(A, TWO, 0.0)
    assert known.known() == [(A, TWO)]
    known.greet(A, THREE, member=False, now=0.0)
    known.learn(A, ONE, 0.0)
    assert known.known() == [(A, THREE)]
    known.greet(A, Address("0.0.0.0", 5), member=False, now=0.0)
    assert known.known() == [(A, THREE)]


def test_who_said_hello_is_dialled_before_hearsay() -> None:
    """PEER-5: a long list of addresses that somebody invented keeps no real node waiting."""
    known = book(ONE)
    for number in range(100):
        known.learn(NodeId(f"invented-{number}"), Address("nowhere", number + 1), 0.0)
    known.greet(B, TWO, member=False, now=0.0)
    known.learn(C, THREE, 0.0)
    known.keep([C])
    first = known.due(0.0)
    assert first[:3] == [Dial(ONE, "actor"), Dial(THREE, "actor"), Dial(TWO, "actor")]
    assert len(first) == DIALS_MAX


def test_itself_is_nobody_to_dial() -> None:
    """PEER-3: neither its name, nor its address, nor an address that turns out to be its own."""
    known = book(ONE, TWO)
    known.learn(NodeId("me"), THREE, 0.0)
    known.learn(A, ME, 0.0)
    known.learn(A, Address("0.0.0.0", 1), 0.0)
    assert known.known() == []
    known.learn(A, TWO, 0.0)
    known.found_self(TWO)
    assert known.due(0.0) == [Dial(ONE, "actor")]
    known.learn(B, TWO, 0.0)
    assert known.known() == [(A, TWO)]


def test_where_a_connection_leads_already_nobody_else_is_dialled() -> None:
    """PEER-2, PEER-4: two names for one address must not replace each other's connection for ever."""
    known = book(ONE)
    dial = known.due(0.0)[0]
    known.learn(B, ONE, 0.0)
    known.opened(A, dial, 0.0)
    known.greet(A, ONE, member=False, now=0.0)
    assert known.due(1.0) == []
    assert known.next_due() is None
    known.learn(C, ONE, 1.0)
    assert {who for who, _ in known.known()} == {A, B}
    known.closed(A, dial, 2.0)
    assert known.due(9.0) == [dial]


def test_a_second_connection_to_a_node_takes_the_place_of_the_first() -> None:
    """PEER-7: two seeds that are one node."""
    known = book(ONE, TWO)
    first, second = known.due(0.0)
    known.opened(A, first, 0.0)
    known.opened(A, second, 0.0)
    assert known.due(1.0) == []
    known.closed(A, second, 10.0)
    assert known.due(11.0) == [first, second]


def test_peers_and_attempts_are_bounded() -> None:
    """PEER-5, the limit peers_max: hearsay gives way to those that speak for themselves, members never do."""
    known = book()
    known.learn(A, ONE, 0.0)
    known.keep([A])
    for number in range(2 * PEERS_MAX):
        known.learn(NodeId(f"n{number}"), Address("other", number + 1), 0.0)
    assert len(known.known()) == PEERS_MAX
    assert len(known.due(0.0)) == DIALS_MAX
    assert known.due(0.0) == []
    assert known.next_due() is None
    for number in range(2 * PEERS_MAX):
        known.greet(NodeId(f"g{number}"), Address("third", number + 1), member=False, now=0.0)
    assert len(known.known()) == PEERS_MAX
    assert A in dict(known.known())
    for number in range(6 * PEERS_MAX):
        dial = Dial(Address("fourth", number + 1), "actor")
        known.failed(dial, 0.0)
    known.due(1000.0)
    assert len(known._attempts) <= 2 * PEERS_MAX


def test_who_is_neither_seed_nor_member_is_forgotten_in_the_end() -> None:
    """PEER-2: after ten minutes without a connection, not before."""
    known = book(ONE)
    known.greet(A, TWO, member=True, now=0.0)
    known.greet(B, THREE, member=True, now=0.0)
    known.keep([A])
    dial = Dial(THREE, "actor")
    known.opened(B, dial, 5.0)
    known.due(5.0 + 2 * FORGET_PEER_AFTER)
    assert dict(known.known()) == {A: TWO, B: THREE}
    known.closed(B, dial, 2000.0)
    known.due(2000.0 + FORGET_PEER_AFTER)
    assert B in dict(known.known())
    known.due(2001.0 + FORGET_PEER_AFTER)
    assert dict(known.known()) == {A: TWO}


def test_a_node_with_one_open_lane_is_reachable() -> None:
    """PEER-2: its other lane is dialled again."""
    known = book(member=True)
    known.greet(A, ONE, member=True, now=0.0)
    actor, raft = known.due(0.0)
    known.opened(A, actor, 0.0)
    known.opened(A, raft, 0.0)
    known.closed(A, raft, 10.0)
    assert known.due(11.0) == [raft]
    assert A in dict(known.known())


def test_discovered_is_who_is_here_or_was_a_moment_ago() -> None:
    """FORM-4: an id without a connection is forgotten after three seconds."""
    known = book(member=True)
    one, two = ServerId(A, StoreId(bytes(16))), ServerId(B, StoreId(bytes(16)))
    known.departed(one, 0.0)
    assert known.discovered(0.0) == frozenset()
    known.arrived(one)
    known.arrived(two)
    known.departed(two, 10.0)
    assert known.discovered(12.9) == {one, two}
    assert known.discovered(13.0) == {one}
    known.arrived(two)
    assert known.discovered(99.0) == {one, two}
