"""What the core is told of times and sizes, made of what the user chose. Pure."""

from __future__ import annotations

from casty.arguments import checked_count, checked_seconds
from casty.raft.options import Options
from casty.wire import _protocol as p

FRAME_BYTES_MIN = 64 << 10
"""The smallest limit a node can live with: an entry, an answer or an error's text must fit a frame."""

FRAME_BYTES_MAX = 1 << 30
"""The largest: a frame is decoded in one go, on the event loop."""

INTERVAL_SECONDS_MIN = 0.001
"""The core counts whole milliseconds."""

INTERVAL_SECONDS_MAX = 3600.0
"""An hour: an election that takes longer is a mistake of its units."""


def core_options(
    expected_size: int,
    *,
    heartbeat_interval: float,
    election_timeout: float,
    frame_bytes_max: int,
    kept_entries: int,
) -> Options:
    """Raft's options; times are seconds. Raises TypeError and ValueError for what cannot be."""
    checked_count("expected_cluster_size", expected_size, least=1, most=p.MEMBERS_MAX)
    checked_count("max_frame_size", frame_bytes_max, least=FRAME_BYTES_MIN, most=FRAME_BYTES_MAX, unit=" bytes")
    least, most = INTERVAL_SECONDS_MIN, INTERVAL_SECONDS_MAX
    heartbeat = checked_seconds("heartbeat_interval", heartbeat_interval, least=least, most=most)
    election = checked_seconds("election_timeout", election_timeout, least=least, most=most)
    return Options(
        expected_size=expected_size,
        election_ms=round(election * 1000),
        heartbeat_ms=round(heartbeat * 1000),
        kept_entries=kept_entries,
        batch_bytes_max=min(p.BATCH_BYTES_MAX, frame_bytes_max // 2),
        chunk_bytes_max=min(p.CHUNK_BYTES_MAX, frame_bytes_max // 2),
    )
