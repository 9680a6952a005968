"""Compacting one's own log, and sending the result to those who fell behind it (paper §7, Figure 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from casty.raft.messages import InstallSnapshotRequest
from casty.raft.progress import Mode, Progress, Transfer
from casty.raft.types import Index

if TYPE_CHECKING:
    from casty.raft.messages import InstallSnapshotResponse
    from casty.raft.state import State
    from casty.raft.types import ServerId, Snapshot


def on_snapshot_taken(state: State, snapshot: Snapshot) -> None:
    """The state machine was saved as it was after some applied entry: the log before is dead weight (§7)."""
    index = snapshot.last_included_index
    if index <= state.snapshot_index or index > state.handed:
        return
    state.snapshot = snapshot
    state.disk.snapshot_changed(snapshot)
    state.log.compact(_dead_up_to(state, index))


def _dead_up_to(state: State, index: Index) -> Index:
    """What nobody needs of the log up to `index`: not what follows a snapshot that is under way.

    Whoever got that would need the next one at once, and so on for ever. What is kept is kept in memory only,
    and not without limit.
    """
    if state.leadership is None:
        return index
    log = state.log
    transfers = [p.transfer for p in state.leadership.progress.values() if p.transfer is not None]
    ends = [transfer.snapshot.last_included_index for transfer in transfers]
    oldest = min((end for end in ends if log.base_index <= end < index), default=index)
    return oldest if log.size_of(Index(oldest + 1), index) <= state.options.kept_bytes_max else index


def begin_transfer(state: State, progress: Progress) -> None:
    """The follower's next entry is gone; from here it gets the snapshot (spec SNAP-8)."""
    snapshot = state.snapshot
    assert snapshot is not None, f"entry {progress.next} is neither in the log nor in a snapshot"
    progress.probe(progress.next)
    progress.mode = Mode.SNAPSHOT
    progress.transfer = Transfer(snapshot, crc32(snapshot.data))
    state.notice("info", f"sending {progress.peer} the snapshot that ends at {snapshot.last_included_index}")


def send_chunk(state: State, progress: Progress, peer: ServerId) -> None:
    """Sends the chunk that is wanted next, and again if it stays unanswered for two election timeouts."""
    transfer = progress.transfer
    assert transfer is not None, "a follower in mode SNAPSHOT has a transfer"
    patience = 2 * state.options.election_ms
    if transfer.sent_at is not None and state.now - transfer.sent_at < patience:
        return
    snapshot, offset = transfer.snapshot, transfer.offset
    data = snapshot.data[offset : offset + state.options.chunk_bytes_max]
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
        size=len(snapshot.data),
        checksum=transfer.checksum,
        offset=offset,
        data=data,
        done=offset + len(data) == len(snapshot.data),
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
    elif transfer.offset < response.offset <= len(transfer.snapshot.data):
        transfer.offset, transfer.sent_at = response.offset, None
    elif response.offset < transfer.offset:
        transfer.offset = response.offset  # it lost what it had; sent again when patience ends, not in a circle


def _continue_after(progress: Progress, index: Index) -> None:
    progress.took(index)
    progress.probe(Index(progress.match + 1))
    progress.mode = Mode.REPLICATE
    progress.due = True
