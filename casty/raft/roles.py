"""Becoming a follower, a candidate or a leader: what changes with the role, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.raft.events import Role
from casty.raft.types import Millis

if TYPE_CHECKING:
    from casty.raft.state import State
    from casty.raft.types import ServerId, Term


def restart_election_timer(state: State) -> None:
    """Draws a new election timeout, uniformly from [election, 2 × election] (spec ELECT-1)."""
    election = state.options.election_ms
    state.election_deadline = Millis(state.now + state.random.randint(election, 2 * election))


def adopt_term(state: State, term: Term) -> None:
    """Moves to a higher term, as a follower without a vote in it (spec TERM-1)."""
    state.set_hard(term, None)
    state.leader = None
    step_down(state)


def step_down(state: State) -> None:
    """Becomes a follower in the same term. Its vote stays given, and its leader known (spec VOTE-2, VOTE-5)."""
    was_leader = state.role is Role.LEADER
    state.role = Role.FOLLOWER
    state.poll = None
    if was_leader:
        drop_leadership(state)
        restart_election_timer(state)


def drop_leadership(state: State) -> None:
    """Forgets what only a leader knows. Its uncommitted proposals may still be committed by the next one."""
    state.leadership = None
    uncommitted = [index for index in state.tickets if index > state.commit_index]
    state.out.lost.extend(state.tickets.pop(index) for index in uncommitted)


def follow(state: State, leader: ServerId) -> None:
    """Hears from the leader of the current term (spec VOTE-7, ELECT-2)."""
    if state.role is not Role.FOLLOWER:
        step_down(state)
    if state.leader != leader:
        state.leader = leader
        state.notice("info", f"following {leader} in term {state.term}")
    state.leader_contact = state.now
    if state.election_deadline is not None:
        restart_election_timer(state)
