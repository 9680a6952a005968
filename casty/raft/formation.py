"""Who belongs: from strangers to a cluster whose list never changes (spec FORM-*).

FRESH ──unanimous pre-vote, then a formation vote──▶ LOCKED ──entry 1 or a snapshot──▶ MEMBER
  └───entry 1 or a snapshot that lists my node id with another store──▶ LEARNER
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from casty.raft.configuration import is_member_list, sorted_members
from casty.raft.events import Role
from casty.raft.quorum import majority
from casty.raft.roles import restart_election_timer

if TYPE_CHECKING:
    from casty.raft.messages import PreVoteRequest, VoteRequest
    from casty.raft.state import State
    from casty.raft.types import Configuration, Members, ServerId


class Standing(StrEnum):
    """What a server is to the cluster."""

    FRESH = "fresh"
    LOCKED = "locked"
    MEMBER = "member"
    LEARNER = "learner"


REMEDY = (
    "Its members never change: if this node is to use its actors only, start it with member=False; if it is a "
    "member that has lost its disk, the leader makes it a learner"
)
"""What the operator of a node outside can do."""


class Ballot(NamedTuple):
    """What a server may campaign for: whose votes, how many of them, and in which kind of election."""

    members: Members
    formation: bool

    @property
    def needed(self) -> int:
        return len(self.members) if self.formation else majority(len(self.members))


def standing(state: State) -> Standing:
    if state.configuration is not None:
        return Standing.MEMBER if state.me in state.configuration.members else Standing.LEARNER
    return Standing.LOCKED if state.hard.lock is not None else Standing.FRESH


def member_list(state: State) -> Members | None:
    """The list this server is bound to; None while it is FRESH."""
    return state.configuration.members if state.configuration is not None else state.hard.lock


def ballot(state: State) -> Ballot | None:
    """What this server may campaign for now; None if for nothing (spec FORM-3, FORM-4)."""
    match standing(state):
        case Standing.MEMBER | Standing.LOCKED:
            members = member_list(state)
            assert members is not None
            return Ballot(members, formation=state.configuration is None)
        case Standing.FRESH:
            members = discovered_list(state)
            return Ballot(members, formation=True) if members is not None else None
        case Standing.LEARNER:
            return None


def discovered_list(state: State) -> Members | None:
    """The list that discovery offers: exactly as many servers as expected, all ids distinct (spec FORM-4)."""
    if len(state.discovered) != state.options.expected_size:
        return None
    members = sorted_members(state.discovered)
    return members if state.me in members and is_member_list(members) else None


def may_vote(state: State, candidate: ServerId, request: VoteRequest | PreVoteRequest) -> bool:
    """Whether this request is for an election this server takes part in (spec FORM-4, FORM-5, FORM-7)."""
    match standing(state):
        case Standing.MEMBER | Standing.LOCKED:
            members = member_list(state)
        case Standing.FRESH:
            members = discovered_list(state) if request.formation else None
        case Standing.LEARNER:
            return False
    return members is not None and candidate in members and request.members == members


def is_listed(state: State, sender: ServerId) -> bool:
    """Whether a Raft message of this server is read at all (spec FORM-7, FORM-12)."""
    members = member_list(state)
    return sender in (members if members is not None else state.discovered)


def why_unread(state: State, sender: ServerId) -> tuple[str, str] | None:
    """The rule and the reason why requests of this server are not read; None if they are."""
    if is_listed(state, sender):
        return None
    if member_list(state) is None:
        return "FORM-12", f"{sender} has not said hello to {state.me} as a member"
    return "FORM-7", f"{sender} is not on the member list of {state.me} ({standing(state)})"


def misfit(state: State, sender: ServerId, configuration: Configuration) -> str | None:
    """Why this server cannot take that configuration from its sender; None if it can (spec FORM-8, FORM-9)."""
    if state.configuration is not None:
        return None if configuration == state.configuration else "it is another cluster's"
    if state.hard.lock is not None:
        return None if configuration.members == state.hard.lock else "it has another member list"
    if sender not in configuration.members:
        return f"{sender}, who sent it, is not on its member list"
    listed = next((m for m in configuration.members if m.node_id == state.me.node_id), None)
    if listed is None:
        return f"{state.me.node_id} is not on its member list"
    if listed == state.me:
        return "it lists this server, which never voted to be listed: is its store an old copy?"
    return None


def adopt_configuration(state: State, configuration: Configuration) -> None:
    """Entry 1, or a snapshot, says who belongs; this server's standing follows from it."""
    state.configuration = configuration
    say_if_other_size(state)
    if state.me in configuration.members:
        return
    state.election_deadline = None
    state.poll = None
    state.role = Role.FOLLOWER
    state.notice(
        "warning",
        f"{state.me} is a learner: the cluster lists {state.me.node_id} with another store. "
        "It keeps a copy but has no vote",
    )


def say_if_other_size(state: State) -> None:
    """The list this server is bound to holds more or fewer than it was told to expect (spec FORM-11)."""
    members, expected = member_list(state), state.options.expected_size
    if members is not None and len(members) != expected:
        names = ", ".join(member.node_id for member in members)
        state.notice(
            "warning",
            f"expected_cluster_size is {expected} here, but the cluster has {len(members)} members ({names}). "
            f"They never change; start this node with {len(members)}",
        )


def discover(state: State, servers: frozenset[ServerId], formed: frozenset[ServerId] = frozenset()) -> None:
    """The connections know other servers than before (spec FORM-4, FORM-11)."""
    if servers == state.discovered and formed == state.formed:
        return
    state.discovered, state.formed = servers, formed
    now = ballot(state)
    if state.poll is not None and (now is None or now.members != state.poll.members):
        state.role, state.poll = Role.FOLLOWER, None
    if now is None:
        state.election_deadline = None
    elif state.election_deadline is None and state.role is not Role.LEADER:
        restart_election_timer(state)
    _say_what_blocks(state)


def _say_what_blocks(state: State) -> None:
    match standing(state):
        case Standing.FRESH if state.formed:
            names = ", ".join(str(server) for server in sorted_members(state.formed))
            state.notice("warning", f"a cluster has formed without {state.me}: {names} belong to it. {REMEDY}")
        case Standing.FRESH if len(state.discovered) >= state.options.expected_size and ballot(state) is None:
            names = ", ".join(str(server) for server in sorted_members(state.discovered))
            state.notice(
                "error",
                f"cannot form a cluster of {state.options.expected_size} with distinct node ids while "
                f"{len(state.discovered)} servers are here ({names}): stop those that do not belong",
            )
        case Standing.LOCKED:
            for member in state.hard.lock or ():
                _say_if_replaced(state, member)
        case _:
            pass


def _say_if_replaced(state: State, member: ServerId) -> None:
    """A locked list with a member that lost its store can never be unanimous again."""
    now_here = {s for s in state.discovered if s.node_id == member.node_id}
    if now_here and member not in now_here:
        here = ", ".join(str(server) for server in now_here)
        state.notice(
            "error",
            f"member {member} came back as {here}, with another store: unless some member knows the cluster "
            "already, it cannot form, and the remedy is to wipe all data directories: nothing was committed; "
            "if one does, wipe nothing",
        )
