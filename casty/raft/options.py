"""What a user of the core may choose; the defaults are the library's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Times are milliseconds, sizes bytes. The protocol's own limits are in `spec/protocol.toml`."""

    expected_size: int
    """How many servers form the cluster; used until a member list is locked."""
    election_ms: int = 1000
    """Election timeouts are drawn from [election, 2 × election] (spec ELECT-1)."""
    heartbeat_ms: int = 300
    batch_bytes_max: int = 1 << 20
    """Entry data per request; one entry larger than this travels alone."""
    chunk_bytes_max: int = 1 << 20
    """Snapshot data per request."""
    flights_max: int = 64
    """Unanswered requests with entries per follower: more would only queue in its kernel."""
    inflight_bytes_max: int = 8 << 20
    """Entry data on the way to one follower; half of what its connection holds before it is given up."""
    uncommitted_bytes_max: int = 64 << 20
    """Proposals are refused beyond this, so that a leader cut off from its majority does not eat its memory."""
    kept_entries: int = 0
    """So many entries that a snapshot holds are kept, or more where these are smaller than it: for followers
    that lack a few. 0: none are."""
    kept_bytes_max: int = 64 << 20
    """These take no more than this; so do, or no more than twice the snapshot, those that follow on a snapshot
    which is on its way to a follower."""
    stalled_ms_max: int = 10_000
    """A leader that waits for its disk for longer gives up (spec LEADER-9)."""
    snapshot_bytes_max: int = 1 << 30
    """A larger snapshot is not accepted: it is assembled in memory."""

    def __post_init__(self) -> None:
        for name in (
            "expected_size",
            "batch_bytes_max",
            "chunk_bytes_max",
            "flights_max",
            "inflight_bytes_max",
            "snapshot_bytes_max",
        ):
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1, not {getattr(self, name)}"
                raise ValueError(msg)
        if not 0 < self.heartbeat_ms < self.election_ms:
            msg = (
                f"heartbeats must be more frequent than elections: heartbeat {self.heartbeat_ms} ms, "
                f"election {self.election_ms} ms"
            )
            raise ValueError(msg)
