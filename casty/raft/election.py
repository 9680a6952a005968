"""Asking for votes, giving them and counting them (paper §5.2, §5.4.1; thesis §9.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.raft.events import Role
from casty.raft.formation import Standing, ballot, may_vote, standing, why_unread
from casty.raft.messages import (
    PreVoteRequest,
    PreVoteResponse,
    VoteRequest,
    VoteResponse,
)
from casty.raft.replication import become_leader
from casty.raft.roles import adopt_term, restart_election_timer
from casty.raft.state import Poll
from casty.raft.types import Term

if TYPE_CHECKING:
    from casty.raft.formation import Ballot
    from casty.raft.state import State
    from casty.raft.types import ServerId


TERM_MAX = (1 << 63) - 1
"""No term follows the protocol's number_max; a server that was pushed there can still follow."""


def on_election_timeout(state: State) -> None:
    """Nobody led for an election timeout: asks whether an election could be won (spec PREVOTE-1)."""
    choice = ballot(state)
    if choice is None or state.term >= TERM_MAX:
        state.election_deadline = None
        return
    restart_election_timer(state)
    if state.disk.hard != state.hard:
        return  # a vote or a term is on its way to the disk, and nothing can leave before it (spec ELECT-5)
    state.role = Role.PRE_CANDIDATE
    poll = state.poll = Poll(True, state.next_seq(), choice.members, choice.needed, {state.me})
    if poll.won:
        campaign(state, choice)
        return
    last_index, last_term = state.log.last_index, state.log.last_term
    request = PreVoteRequest(state.term, poll.seq, last_index, last_term, choice.formation, choice.members)
    for server in _others(state, poll):
        state.send(server, request)


def campaign(state: State, choice: Ballot) -> None:
    """Starts an election (spec ELECT-3). A formation election locks its list with the vote (spec FORM-5)."""
    restart_election_timer(state)
    state.role = Role.CANDIDATE
    state.leader = None
    state.set_hard(Term(state.term + 1), state.me, choice.members if choice.formation else None)
    poll = state.poll = Poll(False, state.next_seq(), choice.members, choice.needed)
    state.notice("info", f"campaigning in term {state.term} for {choice.needed} of {len(choice.members)} votes")
    last_index, last_term = state.log.last_index, state.log.last_term
    request = VoteRequest(state.term, poll.seq, last_index, last_term, choice.formation, choice.members)
    for server in _others(state, poll):
        state.send_gated(server, request)


def has_durable_vote(state: State) -> bool:
    """Whether this server's vote in the current term, for itself or for another, is on its disk."""
    return state.disk.hard == state.hard and state.hard.voted_for is not None


def on_vote_durable(state: State) -> None:
    """The vote, or the request for votes, leaves only now: the time to win starts now (spec ELECT-5).

    The candidate's vote for itself counts from here on (spec VOTE-6).
    """
    if state.leader is None and state.election_deadline is not None:
        restart_election_timer(state)
    if state.poll is not None and not state.poll.pre and state.role is Role.CANDIDATE:
        state.poll.granted.add(state.me)
        _conclude(state)


def on_pre_vote_request(state: State, sender: ServerId, request: PreVoteRequest, via: object) -> None:
    """Answers whether this server could vote for the sender in the next term; nothing changes here."""
    if _is_none_of_ours(state, sender, request, via):
        return
    granted = (
        may_vote(state, sender, request)
        and request.term >= state.term
        and state.log.is_up_to_date(request.last_log_index, request.last_log_term)
        and not _hears_a_leader(state)
    )
    state.send_gated(sender, PreVoteResponse(state.term, request.term, request.seq, granted), via)


def on_vote_request(state: State, sender: ServerId, request: VoteRequest, via: object) -> None:
    """Gives or denies the vote (spec VOTE-1 to VOTE-5)."""
    if _is_none_of_ours(state, sender, request, via):
        return
    if request.term > state.term:
        adopt_term(state, request.term)
    granted = may_vote(state, sender, request) and _may_grant(state, sender, request)
    if granted:
        _grant(state, sender, request)
    state.send_gated(sender, VoteResponse(state.term, request.term, request.seq, granted), via)


def on_vote_response(state: State, sender: ServerId, response: VoteResponse | PreVoteResponse) -> None:
    """Counts a vote or a pre-vote, if it belongs to the round that is open (spec TERM-3, PREVOTE-1)."""
    poll = state.poll
    if (
        poll is None
        or not response.vote_granted
        or poll.pre is not isinstance(response, PreVoteResponse)
        or (response.seq, response.request_term) != (poll.seq, state.term)
        or sender not in poll.members
    ):
        return
    poll.granted.add(sender)
    _conclude(state)


def _conclude(state: State) -> None:
    poll = state.poll
    if poll is None or not poll.won:
        return
    if not poll.pre:
        state.poll = None
        become_leader(state, poll.members)
        return
    choice = ballot(state)
    assert choice is not None, "a poll ends where its ballot does"
    campaign(state, choice)


def _may_grant(state: State, candidate: ServerId, request: VoteRequest) -> bool:
    return (
        request.term == state.term
        and state.hard.voted_for in (None, candidate)
        and state.leader in (None, candidate)
        and state.log.is_up_to_date(request.last_log_index, request.last_log_term)
    )


def _grant(state: State, candidate: ServerId, request: VoteRequest) -> None:
    if state.hard.voted_for is None:
        state.set_hard(state.term, candidate, request.members if request.formation else None)
    if state.role is Role.PRE_CANDIDATE:
        state.role, state.poll = Role.FOLLOWER, None
    restart_election_timer(state)


def _hears_a_leader(state: State) -> bool:
    """Whether a leader is alive as far as this server knows (spec PREVOTE-2)."""
    if state.role is Role.LEADER:
        return True
    return (
        state.leader is not None
        and state.leader_contact is not None
        and state.now - state.leader_contact < state.options.election_ms
    )


def _is_none_of_ours(
    state: State, sender: ServerId, request: VoteRequest | PreVoteRequest, via: object
) -> bool:
    """Whether this election is not even answered: a stranger's (spec FORM-7), or to a FRESH server, any but
    that of the list it discovered (spec FORM-12). Its term is not read."""
    if standing(state) is Standing.FRESH:
        return not may_vote(state, sender, request)
    unread = why_unread(state, sender)
    if unread is None:
        return False
    state.refuse(sender, via, "NOT_A_MEMBER", *unread)
    return True


def _others(state: State, poll: Poll) -> list[ServerId]:
    return [server for server in poll.members if server != state.me]
