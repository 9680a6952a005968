"""The door of the core: events in through `step`, what to do out through `ready`."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, assert_never

from casty.raft.barrier import lift_barrier, pass_barriers, set_barrier, would_pass
from casty.raft.configuration import decode_configuration
from casty.raft.durable import Durable
from casty.raft.election import (
    has_durable_vote,
    on_election_timeout,
    on_pre_vote_request,
    on_vote_durable,
    on_vote_request,
    on_vote_response,
)
from casty.raft.events import (
    BarrierLifted,
    BarrierSet,
    Committed,
    Connected,
    Disconnected,
    Discovered,
    Persisted,
    Proposed,
    Ready,
    Received,
    Restored,
    Role,
    SnapshotTaken,
    Status,
    Ticked,
)
from casty.raft.following import on_leader_request
from casty.raft.formation import ballot, discover, is_listed, member_list, say_if_other_size, standing
from casty.raft.log import Log
from casty.raft.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
    PreVoteResponse,
    VoteRequest,
    VoteResponse,
)
from casty.raft.replication import (
    advance_leader_commit,
    answering,
    flush,
    on_append_response,
    on_connected,
    on_disconnected,
    on_heartbeat_due,
    propose,
)
from casty.raft.roles import adopt_term, restart_election_timer
from casty.raft.snapshot import on_snapshot_response, on_snapshot_taken
from casty.raft.state import Outbox, State
from casty.raft.types import Configuration, Index, Millis, Term, base_after

if TYPE_CHECKING:
    from random import Random

    from casty.raft.events import Event
    from casty.raft.messages import Message
    from casty.raft.options import Options
    from casty.raft.types import Members, Recovered, ServerId


class Raft:
    """One server of a cluster: deterministic, so that the same events at the same times do the same again.

    Call `step` for each thing that happens, then take `ready` until it is None; step `Ticked` when `deadline`
    is reached. Nothing here blocks, fails or reads a clock.
    """

    def __init__(
        self, me: ServerId, options: Options, recovered: Recovered, random: Random, now: Millis
    ) -> None:
        snapshot = recovered.snapshot
        base = recovered.base
        log = Log(recovered.entries, base_index=base.index, base_term=base.term)
        self._state = state = State(
            me=me,
            options=options,
            random=random,
            now=now,
            hard=recovered.hard_state,
            log=log,
            snapshot=snapshot,
            configuration=_configuration(recovered),
            disk=Durable(log.last_index, recovered.hard_state, written_index=log.last_index),
            commit_index=base_after(snapshot).index,
            restoring=snapshot,
            discovered=frozenset({me}),
        )
        if ballot(state) is not None:
            restart_election_timer(state)
        say_if_other_size(state)

    # ---------------------------------------------------------------------------------------- what to look at

    @property
    def me(self) -> ServerId:
        return self._state.me

    @property
    def log(self) -> Log:
        return self._state.log

    @property
    def configuration(self) -> Configuration | None:
        """The cluster's id and members, once entry 1 or a snapshot said so."""
        return self._state.configuration

    @property
    def members(self) -> Members | None:
        """The list this server is bound to; None while it is FRESH."""
        return member_list(self._state)

    @property
    def role(self) -> Role:
        return self._state.role

    @property
    def leader(self) -> ServerId | None:
        """Who leads, as far as this server knows: not who led the term and has fallen silent."""
        state = self._state
        if state.role is Role.LEADER or (state.role is Role.FOLLOWER and state.leader != state.me):
            return state.leader
        return None

    @property
    def commit_index(self) -> Index:
        return self._state.commit_index

    @property
    def would_pass(self) -> bool:
        """Whether a barrier set now would be passed at once."""
        return would_pass(self._state)

    @property
    def leader_commit(self) -> Index:
        """How far the log is committed anywhere, as far as this server was told."""
        return max(self._state.commit_index, self._state.leader_commit)

    @property
    def deadline(self) -> Millis | None:
        """When to step `Ticked`, at the latest; None if time changes nothing."""
        state = self._state
        if state.leadership is not None:
            return state.leadership.heartbeat_deadline
        return state.election_deadline

    def status(self) -> Status:
        """The server at a glance."""
        state = self._state
        return Status(
            node_id=state.me.node_id,
            standing=standing(state),
            role=state.role,
            term=state.term,
            leader=self.leader,
            voted_for=state.hard.voted_for,
            commit_index=state.commit_index,
            durable_index=state.disk.index,
            last_log_index=state.log.last_index,
            last_log_term=state.log.last_term,
            snapshot_index=state.snapshot_index,
            snapshot_term=state.snapshot.last_included_term if state.snapshot is not None else Term(0),
        )

    # ---------------------------------------------------------------------------------------------- events in

    def step(self, event: Event, now: Millis) -> None:
        """Takes notice of one event at time `now`, which never falls."""
        state = self._state
        state.now = max(state.now, now)
        match event:
            case Received(sender, message, via):
                self._receive(sender, message, via)
            case Persisted(token):
                had_voted = has_durable_vote(state)
                state.disk.persisted(token)
                if has_durable_vote(state) and not had_voted:
                    on_vote_durable(state)
                advance_leader_commit(state)
            case Proposed(ticket, data):
                propose(state, ticket, data)
            case Ticked():
                self._tick()
            case Connected(server, boot_id):
                on_connected(state, server, boot_id)
            case Disconnected(server):
                on_disconnected(state, server)
            case Discovered(servers, formed):
                discover(state, servers, formed)
            case SnapshotTaken(snapshot):
                on_snapshot_taken(state, snapshot)
            case BarrierSet(ticket, via):
                set_barrier(state, ticket, via)
            case BarrierLifted(ticket):
                lift_barrier(state, ticket)
            case _:
                assert_never(event)

    def _tick(self) -> None:
        state = self._state
        if state.leadership is not None:
            if state.now >= state.leadership.heartbeat_deadline:
                on_heartbeat_due(state, state.leadership)
        elif state.election_deadline is not None and state.now >= state.election_deadline:
            on_election_timeout(state)

    def _receive(self, sender: ServerId, message: Message, via: object) -> None:
        """Reads a message, its term first (spec TERM-1); of strangers, not even that (spec FORM-7)."""
        state = self._state
        match message:
            case PreVoteRequest():
                on_pre_vote_request(state, sender, message, via)
            case VoteRequest():
                on_vote_request(state, sender, message, via)
            case AppendEntriesRequest() | InstallSnapshotRequest():
                on_leader_request(self._state, sender, message, via)
            case VoteResponse() | PreVoteResponse() | AppendEntriesResponse() | InstallSnapshotResponse():
                self._receive_response(sender, message)
            case _:
                assert_never(message)

    def _receive_response(
        self,
        sender: ServerId,
        message: VoteResponse | PreVoteResponse | AppendEntriesResponse | InstallSnapshotResponse,
    ) -> None:
        state = self._state
        if message.term > state.term:
            if is_listed(state, sender):
                adopt_term(state, message.term)
            return  # nor is a stranger's later term an answer to a question of ours
        match message:
            case VoteResponse() | PreVoteResponse():
                on_vote_response(state, sender, message)
            case AppendEntriesResponse():
                on_append_response(state, sender, message)
            case InstallSnapshotResponse():
                progress = answering(state, sender, message.request_term)
                if progress is not None:
                    on_snapshot_response(state, progress, message)

    # ------------------------------------------------------------------------------------------- effects out

    def ready(self) -> Ready | None:
        """Everything to do since the last call; None if there is nothing."""
        state = self._state
        flush(state)
        self._hand_over()
        pass_barriers(state)
        disk, out = state.disk, state.out
        state.out = Outbox()
        write = disk.take_write(state.log, state.now)
        messages = [*out.free, *disk.released()]
        if disk.idle:
            messages += out.gated
        else:
            disk.hold(out.gated)
        outcomes = out.refused or out.overloaded or out.lost or out.passed or out.lost_data
        if not (write or messages or out.apply or outcomes or out.notices):
            return None
        return Ready(
            write,
            tuple(messages),
            tuple(out.apply),
            tuple(out.refused),
            tuple(out.overloaded),
            tuple(out.lost),
            tuple(out.passed),
            tuple(out.notices),
            tuple(out.lost_data),
        )

    def _hand_over(self) -> None:
        """Gives the state machine what is committed and durable here, and not given yet (spec COMMIT-3)."""
        state = self._state
        if state.restoring is not None and state.disk.index >= state.restoring.last_included_index:
            state.out.apply.append(Restored(state.restoring))
            state.handed = state.restoring.last_included_index
            state.restoring = None
        until = min(state.commit_index, state.disk.index)
        if until <= state.handed:
            return
        first = Index(state.handed + 1)
        mine = list(takewhile(lambda index: index <= until, state.tickets))
        tickets = {index: state.tickets.pop(index) for index in mine}
        state.out.apply.append(Committed(first, state.log.between(first, until), tickets))
        state.handed = until


def _configuration(recovered: Recovered) -> Configuration | None:
    """What the snapshot says of the cluster, or entry 1."""
    if recovered.snapshot is not None:
        return recovered.snapshot.configuration
    return decode_configuration(recovered.entries[0].data) if recovered.entries else None
