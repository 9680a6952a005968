"""What a follower does with its leader's requests (paper §5.3, §7; Figures 2 and 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.raft.barrier import hear_commit
from casty.raft.configuration import decode_configuration
from casty.raft.formation import adopt_configuration, misfit, why_unread
from casty.raft.messages import AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotResponse
from casty.raft.roles import adopt_term, follow
from casty.raft.state import Incoming, SnapshotKey
from casty.raft.types import Configuration, EntryKind, Index

if TYPE_CHECKING:
    from casty.raft.messages import InstallSnapshotRequest
    from casty.raft.state import State
    from casty.raft.types import Entry, ServerId


def on_leader_request(
    state: State, sender: ServerId, request: AppendEntriesRequest | InstallSnapshotRequest, via: object
) -> None:
    """Reads a leader's request: who sent it (spec FORM-7, FORM-12), then its shape, then its term (TERM-1)."""
    unread = why_unread(state, sender)
    if unread is not None:
        state.refuse(sender, via, "NOT_A_MEMBER", *unread)
        return
    flaw = _flaw(request)
    if flaw is not None:
        state.refuse(sender, via, "BAD_PAYLOAD", *flaw)
        return
    if request.term > state.term:
        adopt_term(state, request.term)
    if isinstance(request, AppendEntriesRequest):
        _on_append_request(state, sender, request, via)
    else:
        _on_snapshot_request(state, sender, request, via)


def _heed(
    state: State, sender: ServerId, request: AppendEntriesRequest | InstallSnapshotRequest, via: object
) -> bool:
    """Follows the sender as leader of the current term, unless the term has one already (spec APPEND-10)."""
    if state.leader not in (None, sender):
        text = f"{sender} claims to lead term {request.term}, whose leader is {state.leader}"
        state.refuse(sender, via, "TWO_LEADERS", "APPEND-10", text)
        return False
    follow(state, sender)
    return True


# ------------------------------------------------------------------------------------------ AppendEntries


def _on_append_request(state: State, sender: ServerId, request: AppendEntriesRequest, via: object) -> None:
    """Figure 2, AppendEntries RPC, steps 1 to 5."""
    if request.term < state.term or not _heed(state, sender, request, via):
        _answer_no(state, sender, request, via)
        return
    hear_commit(state, request, via)
    if not _has_previous(state, request):
        _answer_conflict(state, sender, request, via)
    else:
        _take(state, sender, request, via)


def _flaw(request: AppendEntriesRequest | InstallSnapshotRequest) -> tuple[str, str] | None:
    """What no leader would send, with the rule it breaks (spec APPEND-9, FORM-8, SNAP-10, SNAP-11)."""
    if not isinstance(request, AppendEntriesRequest):
        if request.last_included_index == 0:
            return "SNAP-11", "a snapshot that ends at index 0"
        if request.last_included_term > request.term:
            text = f"a snapshot up to term {request.last_included_term} in a request of {request.term}"
            return "SNAP-10", text
        return None
    term, index = request.prev_log_term, request.prev_log_index
    if index == 0 and term != 0:
        return "APPEND-9", f"index 0 with term {term}"
    for entry in request.entries:
        index = Index(index + 1)
        if not term <= entry.term <= request.term:
            return (
                "APPEND-9",
                f"entry {index} has term {entry.term}, after {term} in a request of {request.term}",
            )
        if (entry.kind is EntryKind.MEMBERS) is not (index == 1):
            return "FORM-8", f"entry {index} is of kind {entry.kind}; members stand at 1 and nowhere else"
        wrong = _flaw_in_data(entry)
        if wrong is not None:
            return "FORM-8", f"entry {index}: {wrong}"
        term = entry.term
    return None


def _flaw_in_data(entry: Entry) -> str | None:
    if entry.kind is EntryKind.NOOP and entry.data:
        return f"a no-op with {len(entry.data)} bytes of data"
    if entry.kind is EntryKind.MEMBERS:
        try:
            decode_configuration(entry.data)
        except ValueError as error:
            return str(error)
    return None


def _has_previous(state: State, request: AppendEntriesRequest) -> bool:
    """Step 2. What the snapshot holds is committed, so any leader has it (spec APPEND-2)."""
    prev = request.prev_log_index
    if prev < state.log.base_index:
        return True
    return state.log.term_at(prev) == request.prev_log_term if prev > 0 else request.prev_log_term == 0


def _take(state: State, sender: ServerId, request: AppendEntriesRequest, via: object) -> None:
    """Steps 3 to 5: the logs agree at the entry before the new ones."""
    log = state.log
    end = Index(request.prev_log_index + len(request.entries))
    skip = max(0, log.base_index - request.prev_log_index)
    entries = request.entries[skip:]
    first = Index(request.prev_log_index + skip + 1)
    have = log.first_difference(first, entries)
    fresh, at = entries[have:], Index(first + have)
    if fresh:
        objection = _objection(state, sender, request, at, fresh[0].data)
        if objection is not None:
            state.refuse(sender, via, *objection)
            _answer_no(state, sender, request, via)
            return
        if at <= log.last_index:
            state.retract(at)
        log.replace_from(at, fresh)
        state.disk.log_changed_from(at)
        if at == 1:
            adopt_configuration(state, decode_configuration(fresh[0].data))
    state.commit_index = max(state.commit_index, min(request.leader_commit, end))
    if state.incoming is not None and state.incoming.key.last_included_index <= state.commit_index:
        state.incoming = None  # the entries came after all
    _acknowledge(state, sender, request, via, end, at_once=not fresh)


def _objection(
    state: State, sender: ServerId, request: AppendEntriesRequest, at: Index, data: bytes
) -> tuple[str, str, str] | None:
    """Why the new entries, from `at` on, cannot be taken: code, rule and text; None if they can."""
    if at <= state.commit_index:
        text = (
            f"entry {at} of term {request.term}'s leader differs from the one committed here "
            f"(commit index {state.commit_index})"
        )
        return "COMMITTED_CONFLICT", "APPEND-6", text
    if at == 1:
        why = misfit(state, sender, decode_configuration(data))
        return ("BAD_FORMATION", "FORM-8", f"entry 1 does not fit {state.me}: {why}") if why else None
    return None


def _acknowledge(
    state: State,
    sender: ServerId,
    request: AppendEntriesRequest,
    via: object,
    match: Index,
    *,
    at_once: bool,
) -> None:
    """Success, up to `match` once that is durable; at once for what is durable already (spec APPEND-8).

    Also where that is all of it: the disk may be at work on something else, a snapshot for instance, for long.
    The early response carries the durable term, an older one while the request's is on its way to the disk. A
    request that brought a new term waits for that write, which has only begun.
    """
    seq = request.seq
    if at_once and not state.disk.idle and state.disk.dirty_hard is None:
        part = min(match, state.disk.index)
        early = AppendEntriesResponse(state.disk.term, request.term, seq, True, part)
        state.send_at_once(sender, early, via)
    whole = AppendEntriesResponse(state.term, request.term, seq, True, match)
    state.send_gated(sender, whole, via)


def _answer_no(state: State, sender: ServerId, request: AppendEntriesRequest, via: object) -> None:
    no = AppendEntriesResponse(state.term, request.term, request.seq, False, Index(0))
    state.send_gated(sender, no, via)


def _answer_conflict(state: State, sender: ServerId, request: AppendEntriesRequest, via: object) -> None:
    """No, with hints: the first index of the term that stands there, or the end of a log too short."""
    prev = request.prev_log_index
    term = state.log.term_at(prev)
    if prev <= state.commit_index:
        text = f"entry {prev} is committed here with term {term}, not {request.prev_log_term}"
        state.refuse(sender, via, "COMMITTED_CONFLICT", "APPEND-6", text)
        _answer_no(state, sender, request, via)
        return
    index = state.log.first_index_of_term_at(prev) if term is not None else Index(state.log.last_index + 1)
    no = AppendEntriesResponse(state.term, request.term, request.seq, False, Index(0), index, term)
    state.send_gated(sender, no, via)


# ---------------------------------------------------------------------------------------- InstallSnapshot


def _on_snapshot_request(state: State, sender: ServerId, request: InstallSnapshotRequest, via: object) -> None:
    """Figure 13, InstallSnapshot RPC, steps 1 to 8."""
    if request.term < state.term or not _heed(state, sender, request, via):
        _answer_snapshot(state, sender, request, via, offset=0, installed=False)
        return
    why = misfit(state, sender, Configuration(request.cluster_id, request.members))
    if why is not None:
        state.refuse(sender, via, "BAD_FORMATION", "FORM-8", f"a snapshot does not fit {state.me}: {why}")
        _answer_snapshot(state, sender, request, via, offset=0, installed=False)
        return
    if request.last_included_index <= state.commit_index:
        state.incoming = None
        _answer_snapshot(state, sender, request, via, offset=request.size, installed=True)
        return
    _assemble(state, sender, request, via)


def _assemble(state: State, sender: ServerId, request: InstallSnapshotRequest, via: object) -> None:
    """Steps 2 to 4: chunks in the order of their offsets, none of another snapshot (spec SNAP-2)."""
    if request.size > state.options.snapshot_bytes_max:
        state.incoming = None
        text = f"a snapshot of {request.size:,} bytes; the limit is {state.options.snapshot_bytes_max:,}"
        state.refuse(sender, via, "BAD_SNAPSHOT", "SNAP-3", text)
        _answer_snapshot(state, sender, request, via, offset=0, installed=False)
        return
    key = SnapshotKey(
        request.last_included_index,
        request.last_included_term,
        Configuration(request.cluster_id, request.members),
        request.size,
        request.checksum,
    )
    incoming = state.incoming
    if incoming is None or incoming.key != key:
        incoming = state.incoming = Incoming(key)
    if request.offset != incoming.size:
        _answer_snapshot(state, sender, request, via, offset=incoming.size, installed=False)
        return
    arrived = incoming.size + len(request.data)
    if arrived <= request.size:
        incoming.add(request.data)
    if arrived > request.size or (request.done and not incoming.is_whole):
        state.incoming = None
        text = f"{arrived} bytes arrived for a snapshot of {request.size}, or its checksum is wrong"
        state.refuse(sender, via, "BAD_SNAPSHOT", "SNAP-3", text)
        _answer_snapshot(state, sender, request, via, offset=0, installed=False)
        return
    if request.done:
        state.incoming = None
        _install(state, incoming)
    _answer_snapshot(state, sender, request, via, offset=incoming.size, installed=request.done)


def _install(state: State, incoming: Incoming) -> None:
    """Steps 5 to 8. It ends above the commit index, so whatever it says is news."""
    index, term, configuration, size, _ = incoming.key
    if state.log.term_at(index) == term:  # step 6: the entries are here; only the news that they are committed
        state.commit_index = index
        return
    snapshot = incoming.snapshot()
    state.notice("info", f"installing the snapshot that ends at {index}, of {size:,} bytes")
    state.retract(Index(state.commit_index + 1))
    state.log.restart(index, term)
    state.disk.log_replaced_by(snapshot)
    state.snapshot = state.restoring = snapshot
    state.commit_index = index
    state.out.lost.extend(state.tickets.values())  # committed, but their outcome is inside the snapshot
    state.tickets.clear()
    if state.configuration is None:
        adopt_configuration(state, configuration)


def _answer_snapshot(
    state: State,
    sender: ServerId,
    request: InstallSnapshotRequest,
    via: object,
    *,
    offset: int,
    installed: bool,
) -> None:
    index = request.last_included_index
    answer = InstallSnapshotResponse(state.term, request.term, request.seq, index, offset, installed)
    state.send_gated(sender, answer, via)
