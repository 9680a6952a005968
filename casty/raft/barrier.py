"""When this server has everything that was committed at the moment of a question (paper §8).

A leader's log holds every committed entry, but a new leader does not know which those are: its commit index may
lie behind until an entry of its own term is committed. A follower knows only what its leader tells it. So a
barrier is passed

- on a leader, when an entry of its term is committed;
- on a follower, when a request of the leader that left after the question has told the leader's commit index,
  this server's own commit index has come so far, and an entry of that leader's term, or of a later one, is
  committed.

Then nothing that was committed before the question lies above this server's commit index. There is one limit:
a leader that was deposed and has not heard of it, for about two election timeouts (spec LEADER-4), does not
know what its successor has committed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from casty.raft.events import Passed

if TYPE_CHECKING:
    from collections.abc import Hashable

    from casty.raft.messages import AppendEntriesRequest
    from casty.raft.state import State
    from casty.raft.types import Index, Term


@dataclass(slots=True)
class Barrier:
    """What one question still waits for."""

    vias: set[Hashable] = field(default_factory=set["Hashable"])
    """The connections on which requests are younger than the question."""
    told: tuple[Index, Term] | None = None
    """A leader's commit index and its term, from the first such request."""


def set_barrier(state: State, ticket: Hashable, via: Hashable | None) -> None:
    """Opens a question, or names another connection on which requests are younger than it."""
    barrier = state.barriers.setdefault(ticket, Barrier())
    if via is not None:
        barrier.vias.add(via)


def lift_barrier(state: State, ticket: Hashable) -> None:
    """The question is withdrawn."""
    state.barriers.pop(ticket, None)


def hear_commit(state: State, request: AppendEntriesRequest, via: object) -> None:
    """The leader of the current term says how far it has committed."""
    state.leader_commit = max(state.leader_commit, request.leader_commit)
    for barrier in state.barriers.values():
        if barrier.told is None and via in barrier.vias:
            barrier.told = request.leader_commit, request.term


def pass_barriers(state: State) -> None:
    """Takes out the barriers that this server has passed."""
    passed = [ticket for ticket, barrier in state.barriers.items() if _is_passed(state, barrier)]
    for ticket in passed:
        del state.barriers[ticket]
        state.out.passed.append(Passed(ticket, state.commit_index))


def would_pass(state: State) -> bool:
    """Whether this server knows by itself what is committed: it leads, and has committed in its term."""
    return state.leadership is not None and _has_committed_since(state, state.leadership.term)


def _is_passed(state: State, barrier: Barrier) -> bool:
    if state.leadership is not None:
        return would_pass(state)
    if barrier.told is None:
        return False
    index, term = barrier.told
    return state.commit_index >= index and _has_committed_since(state, term)


def _has_committed_since(state: State, term: Term) -> bool:
    """Whether an entry of that term, or of a later one, is committed here."""
    committed = state.log.term_at(state.commit_index)
    return committed is not None and committed >= term
