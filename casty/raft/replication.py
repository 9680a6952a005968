"""Appending, acknowledging, advancing the commit index (paper §5.3, §5.4; Figure 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.raft.configuration import encode_configuration
from casty.raft.events import LostData, Role
from casty.raft.formation import adopt_configuration
from casty.raft.log import ENTRY_OVERHEAD, size_of
from casty.raft.messages import AppendEntriesRequest
from casty.raft.progress import Flight, Mode, Progress
from casty.raft.quorum import majority, reached_by_majority
from casty.raft.roles import step_down
from casty.raft.snapshot import begin_transfer, send_chunk
from casty.raft.state import Leadership
from casty.raft.types import (
    ClusterId,
    Configuration,
    Entry,
    EntryKind,
    Index,
    Millis,
    Term,
)

if TYPE_CHECKING:
    from casty.raft.messages import AppendEntriesResponse
    from casty.raft.state import State
    from casty.raft.types import Members, ServerId


def become_leader(state: State, members: Members) -> None:
    """Wins: appends the term's no-op (spec LEADER-2) and is due to tell everybody (spec LEADER-1)."""
    state.role = Role.LEADER
    state.leader = state.me
    state.election_deadline = None
    others = {member.node_id: _first_sight(state, member) for member in members if member != state.me}
    heartbeat = Millis(state.now + state.options.heartbeat_ms)
    state.leadership = Leadership(state.term, members, others, heartbeat)
    state.notice("info", f"leading in term {state.term}")
    if state.configuration is None:
        _append_entry_one(state, members)
    else:
        append(state, EntryKind.NOOP, b"")


def _first_sight(state: State, member: ServerId) -> Progress:
    progress = Progress(member, Index(state.log.last_index + 1), state.now)
    if member.node_id in state.connected:
        progress.connect(*state.connected[member.node_id], state.log.base_index)
    return progress


def _append_entry_one(state: State, members: Members) -> None:
    """The no-op of the leader that formation elected says who belongs (spec FORM-6)."""
    configuration = Configuration(ClusterId(state.random.randbytes(16)), members)
    append(state, EntryKind.MEMBERS, encode_configuration(configuration))
    adopt_configuration(state, configuration)


def append(state: State, kind: EntryKind, data: bytes) -> Index:
    """Adds an entry of the leader's term to its log; the followers get it with the next requests."""
    index = state.log.append(Entry(state.term, kind, data))
    state.disk.log_changed_from(index)
    return index


def propose(state: State, ticket: object, data: bytes) -> None:
    """Appends a command, or says that it certainly did not."""
    leadership = state.leadership
    if leadership is None:
        state.out.refused.append(ticket)
        return
    if leadership.uncommitted_bytes > state.options.uncommitted_bytes_max:
        state.out.overloaded.append(ticket)
        return
    leadership.uncommitted_bytes += len(data) + ENTRY_OVERHEAD
    state.tickets[append(state, EntryKind.COMMAND, data)] = ticket


def on_heartbeat_due(state: State, leadership: Leadership) -> None:
    """Makes a request to everybody due (spec LEADER-1).

    Unless the majority is out of reach (spec LEADER-4), or this server's own disk (spec LEADER-9).
    """
    contacts = [progress.contact for progress in leadership.progress.values()]
    reached = sorted([*contacts, state.now], reverse=True)[majority(len(leadership.members)) - 1]
    if state.now - reached >= 2 * state.options.election_ms:
        state.notice("warning", f"stepping down in term {state.term}: no majority answers")
        step_down(state)
        return
    if state.disk.has_stalled(state.now, state.options.stalled_ms_max):
        state.notice("warning", f"stepping down in term {state.term}: the disk does not answer")
        step_down(state)
        return
    if _is_overtaken(state, leadership):
        state.notice("warning", f"stepping down in term {state.term}: the disks of a majority are faster")
        step_down(state)
        return
    leadership.heartbeat_deadline = Millis(state.now + state.options.heartbeat_ms)
    for progress in leadership.progress.values():
        progress.due = True


def _is_overtaken(state: State, leadership: Leadership) -> bool:
    """Whether a majority of the others has had, for two election timeouts, what this disk has not (LEADER-11).

    They could commit without this server, which slows every command down. A disk that merely lags by its last
    writes catches up with the index noted here, and the watch begins anew.
    """
    matches = sorted((p.match for p in leadership.progress.values() if p.counts), reverse=True)
    needed = majority(len(leadership.members))
    theirs = matches[needed - 1] if len(matches) >= needed else Index(0)
    if leadership.overtaken_at is None or state.disk.index >= leadership.overtaken_index:
        leadership.overtaken_index = theirs
        leadership.overtaken_at = state.now if theirs > state.disk.index else None
        return False
    patience = 2 * state.options.election_ms
    return state.now - leadership.overtaken_at >= patience


def flush(state: State) -> None:
    """Sends each follower what it needs now: at most one request with new entries a turn."""
    leadership = state.leadership
    if leadership is None:
        return
    for progress in leadership.progress.values():
        is_connected = progress.peer is not None and progress.member.node_id in state.connected
        if progress.peer is not None and is_connected and not progress.has_lost_data:
            _flush_to(state, progress, progress.peer)


def _flush_to(state: State, progress: Progress, peer: ServerId) -> None:
    log = state.log
    if progress.mode is not Mode.SNAPSHOT and progress.next <= log.base_index:
        begin_transfer(state, progress)
    if progress.mode is Mode.SNAPSHOT:
        send_chunk(state, progress, peer)
        if progress.due:  # a heartbeat that claims nothing, for the follower's log ends before ours begins
            _send(state, progress, peer, Index(0), ())
        return
    may_send = not progress.probing and len(progress.flights) < state.options.flights_max
    entries = _batch(state, progress) if may_send and progress.next <= log.last_index else ()
    if entries or progress.due or (may_send and progress.news):
        _send(state, progress, peer, Index(progress.next - 1), entries)


def _batch(state: State, progress: Progress) -> tuple[Entry, ...]:
    """The next entries to send; none where they would put more on the way than a connection takes (LEADER-12).

    One entry larger than that goes alone.
    """
    log, first, on_the_way = state.log, progress.next, progress.flights.size
    room = state.options.inflight_bytes_max - on_the_way
    if room <= 0 or (on_the_way and log.size_of(first, first) > room):
        return ()
    return log.batch(first, min(room, state.options.batch_bytes_max))


def _send(state: State, progress: Progress, peer: ServerId, prev: Index, entries: tuple[Entry, ...]) -> None:
    prev_term = Term(0) if prev == 0 else state.log.term_at(prev)
    assert prev_term is not None, f"entry {prev} lies outside the log"
    seq = state.next_seq()
    last = Index(prev + len(entries))
    size = state.log.size_of(Index(prev + 1), last) if entries else 0
    progress.flights.add(seq, Flight(prev, last, size, progress.has(prev)))
    progress.due = progress.news = False
    if progress.mode is Mode.PROBE:
        progress.probing = True
    elif progress.mode is Mode.REPLICATE:
        progress.next = Index(last + 1)
    request = AppendEntriesRequest(state.term, seq, prev, prev_term, state.commit_index, entries)
    state.send(peer, request)


def on_append_response(state: State, sender: ServerId, response: AppendEntriesResponse) -> None:
    """Learns how far a follower is; commits what a majority has."""
    progress = answering(state, sender, response.request_term)
    flight = progress.flights.get(response.seq) if progress is not None else None
    if progress is None or flight is None or response.match_index > flight.last:
        return
    if flight.is_sure and _is_conflict(response, flight.prev):
        _lose(state, progress)
        return
    progress.heard(state.now)
    if not response.success:
        _back_up(state, progress, flight, response)
        return
    if progress.mode is Mode.PROBE:
        progress.replicate(response.seq, flight)
    if response.match_index >= flight.last:
        progress.flights.remove(response.seq)
    progress.took(response.match_index)
    advance_leader_commit(state)


def answering(state: State, sender: ServerId, request_term: Term) -> Progress | None:
    """Whom a response is about; None if it answers no question of this term (spec TERM-3, LEADER-7)."""
    leadership = state.leadership
    if leadership is None or request_term != leadership.term:
        return None
    progress = leadership.progress.get(sender.node_id)
    if progress is None or progress.peer != sender or progress.has_lost_data:
        return None
    return progress


def _is_conflict(response: AppendEntriesResponse, prev: Index) -> bool:
    """Whether it says that the follower's log has another entry at `prev`, or none."""
    return not response.success and response.conflict_index is not None and response.conflict_index <= prev


def _lose(state: State, progress: Progress) -> None:
    """A follower refuses what it had acknowledged before it was asked: it lost that (spec LEADER-10).

    No order in which messages arrive explains it. In this term no other server changed its log, and what it
    acknowledged, it had on its disk; so it has another disk now, or an older one.
    """
    progress.lose()
    state.out.lost_data.append(LostData(progress.member, progress.boot_id, progress.acknowledged, state.term))


def _back_up(state: State, progress: Progress, flight: Flight, response: AppendEntriesResponse) -> None:
    """Tries an earlier entry next (spec LEADER-5); a refusal of what is known to match is old news."""
    progress.flights.remove(response.seq)
    if flight.prev <= progress.match:
        return
    guess = _guess(state, flight.prev, response)
    progress.probe(Index(max(progress.match + 1, min(guess, flight.prev))))


def _guess(state: State, prev: Index, response: AppendEntriesResponse) -> Index:
    """Where the logs may agree: by the hints, skipping a whole term at a time, else one entry earlier."""
    if response.conflict_index is None:
        return prev
    if response.conflict_term is None:
        return response.conflict_index
    shared = state.log.last_index_up_to_term(response.conflict_term)
    if state.log.term_at(shared) == response.conflict_term:
        return Index(shared + 1)
    return response.conflict_index


def advance_leader_commit(state: State) -> None:
    """Commits up to the last entry of this term that a majority has durably (spec COMMIT-1, COMMIT-2)."""
    leadership = state.leadership
    if leadership is None:
        return
    matches = [p.match if p.counts else 0 for p in leadership.progress.values()]
    reached = Index(reached_by_majority([*matches, state.disk.index]))
    if reached <= state.commit_index or state.log.term_at(reached) != leadership.term:
        return
    done = state.log.between(Index(state.commit_index + 1), reached)
    ours = (entry for entry in done if entry.term == leadership.term and entry.kind is EntryKind.COMMAND)
    leadership.uncommitted_bytes -= sum(map(size_of, ours))
    state.commit_index = reached
    for progress in leadership.progress.values():
        progress.news = True


def on_connected(state: State, server: ServerId, boot_id: bytes) -> None:
    """Requests can reach that node (again): starts from what is known to match (spec LEADER-7)."""
    state.connected[server.node_id] = (server, boot_id)
    progress = _progress_at(state, server)
    if progress is not None:
        progress.connect(server, boot_id, state.log.base_index)


def on_disconnected(state: State, server: ServerId) -> None:
    """What was in flight to that node is lost, and so are its answers."""
    if state.connected.get(server.node_id, (None, b""))[0] != server:
        return
    del state.connected[server.node_id]
    progress = _progress_at(state, server)
    if progress is not None:
        progress.disconnect()


def _progress_at(state: State, server: ServerId) -> Progress | None:
    return state.leadership.progress.get(server.node_id) if state.leadership is not None else None
