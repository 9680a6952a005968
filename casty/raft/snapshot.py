"""Compacting one's own log, and sending the result to those who fell behind it (paper §7, Figure 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.raft.messages import InstallSnapshotRequest
from casty.raft.progress import Mode, Progress, Transfer
from casty.raft.types import Index

if TYPE_CHECKING:
    from casty.raft.messages import InstallSnapshotResponse
    from casty.raft.state import State
    from casty.raft.types import ServerId, Snapshot


def on_snapshot_taken(state: State, snapshot: Snapshot) -> None:
    """The state machine was saved as it was after some applied entry: most of the log before may go (§7)."""
    index = snapshot.last_included_index
    if index <= state.snapshot_index or index > state.handed:
        return
    state.snapshot = snapshot
    state.disk.snapshot_changed(snapshot)
    state.log.compact(Index(_first_kept(state, snapshot) - 1))


def _first_kept(state: State, snapshot: Snapshot) -> Index:
    """Where the log begins from now on.

    Kept are the last entries that the snapshot holds, for a follower that lacks only these should not get all
    of it: so many entries, or as many as take no more bytes than the snapshot. Kept is also what follows a
    snapshot on its way to a follower, which would need the next one at once otherwise, and so on for ever; but
    no more than twice its size, for a link on which it takes longer than that would never catch up.
    """
    options, log, end = state.options, state.log, snapshot.last_included_index
    first = Index(end + 1)
    if options.kept_entries:
        few = max(Index(end - options.kept_entries + 1), log.begin_of_last(options.kept_bytes_max, end))
        first = min(few, log.begin_of_last(len(snapshot.data), end))
    for transfer in _transfers(state):
        following = Index(transfer.snapshot.last_included_index + 1)
        most = max(options.kept_bytes_max, 2 * len(transfer.snapshot.data))
        if following >= log.begin_of_last(most, end):
            first = min(first, following)
    return first


def _transfers(state: State) -> list[Transfer]:
    progress = state.leadership.progress.values() if state.leadership is not None else ()
    return [each.transfer for each in progress if each.transfer is not None]


def begin_transfer(state: State, progress: Progress) -> None:
    """The follower's next entry is gone; from here it gets the snapshot (spec SNAP-8).

    One that it has got a part of is continued, as long as the log goes on from its end.
    """
    assert state.snapshot is not None, f"entry {progress.next} is neither in the log nor in a snapshot"
    earlier = progress.transfer
    usable = earlier is not None and earlier.snapshot.last_included_index >= state.log.base_index
    snapshot = earlier.snapshot if earlier is not None and usable else state.snapshot
    progress.probe(progress.next)
    progress.mode = Mode.SNAPSHOT
    progress.transfer = Transfer(snapshot)
    state.notice("info", f"sending {progress.peer} the snapshot that ends at {snapshot.last_included_index}")


def send_chunk(state: State, progress: Progress, peer: ServerId) -> None:
    """Sends the chunk that is wanted next, and again if it stays unanswered for two election timeouts.

    Of a snapshot in several chunks the first request is empty: it asks which part the follower has (spec
    SNAP-12).
    """
    transfer = progress.transfer
    assert transfer is not None, "a follower in mode SNAPSHOT has a transfer"
    patience = 2 * state.options.election_ms
    if transfer.sent_at is not None and state.now - transfer.sent_at < patience:
        return
    snapshot, size, offset = transfer.snapshot, len(transfer.snapshot.data), transfer.offset or 0
    asks = transfer.offset is None and size > state.options.chunk_bytes_max
    data = b"" if asks else snapshot.data[offset : offset + state.options.chunk_bytes_max]
    seq = state.next_seq()
    transfer.sent_at = state.now
    transfer.seqs.add(seq)
    request = InstallSnapshotRequest(
        term=state.term,
        seq=seq,
        last_included_index=snapshot.last_included_index,
        last_included_term=snapshot.last_included_term,
        cluster_id=snapshot.configuration.cluster_id,
        members=snapshot.configuration.members,
        size=size,
        checksum=snapshot.checksum,
        offset=offset,
        data=data,
        done=offset + len(data) == size,
    )
    state.send(peer, request)


def on_snapshot_response(state: State, progress: Progress, response: InstallSnapshotResponse) -> None:
    """Goes on with the next chunk, or with the entries after the snapshot."""
    transfer = progress.transfer
    if transfer is None or response.seq not in transfer.seqs:
        return
    if response.last_included_index != transfer.snapshot.last_included_index:
        return
    progress.heard(state.now)
    if response.installed:
        _continue_after(progress, transfer.snapshot.last_included_index)
    elif response.offset > len(transfer.snapshot.data):
        return
    elif transfer.offset is None or response.offset > transfer.offset:
        transfer.offset, transfer.sent_at = response.offset, None
    elif response.offset < transfer.offset:
        transfer.offset = response.offset  # it lost what it had; sent again when patience ends, not in a circle


def _continue_after(progress: Progress, index: Index) -> None:
    progress.took(index)
    progress.probe(Index(progress.match + 1))
    progress.transfer = None
    progress.mode = Mode.REPLICATE
    progress.due = True
