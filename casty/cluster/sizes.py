"""What the core is told of times and sizes, made of what the user chose. Pure."""

from __future__ import annotations

from casty.raft.options import Options
from casty.wire import _protocol as p

FRAME_BYTES_MIN = 64 << 10
"""The smallest limit a node can live with: an entry, an answer or an error's text must fit a frame."""

FRAME_BYTES_MAX = 1 << 30
"""The largest: a frame is decoded in one go, on the event loop."""


def core_options(
    expected_size: int,
    *,
    heartbeat_interval: float,
    election_timeout: float,
    frame_bytes_max: int,
    kept_entries: int,
) -> Options:
    """Raft's options; times are seconds. Raises ValueError for what does not fit together."""
    if not FRAME_BYTES_MIN <= frame_bytes_max <= FRAME_BYTES_MAX:
        msg = (
            f"max_frame_size must be {FRAME_BYTES_MIN:,} to {FRAME_BYTES_MAX:,} bytes, not {frame_bytes_max:,}"
        )
        raise ValueError(msg)
    if expected_size > p.MEMBERS_MAX:
        msg = f"expected_cluster_size must be at most {p.MEMBERS_MAX}, not {expected_size}"
        raise ValueError(msg)
    return Options(
        expected_size=expected_size,
        election_ms=round(election_timeout * 1000),
        heartbeat_ms=round(heartbeat_interval * 1000),
        kept_entries=kept_entries,
        inflight_bytes_max=p.INFLIGHT_BYTES_MAX,
        batch_bytes_max=min(p.BATCH_BYTES_MAX, frame_bytes_max // 2),
        chunk_bytes_max=min(p.CHUNK_BYTES_MAX, frame_bytes_max // 2),
    )
