"""What a user of the core may choose, and what is refused."""

from __future__ import annotations

import pytest

from casty.raft.options import Options


def test_the_defaults_are_those_of_the_specification() -> None:
    """ELECT-1, LEADER-1, LEADER-8: elections from 1 s on, heartbeats each 0.3 s, batches and chunks of 1
    MiB."""
    options = Options(expected_size=3)
    times = (options.election_ms, options.heartbeat_ms)
    sizes = (options.batch_bytes_max, options.chunk_bytes_max, options.snapshot_bytes_max)
    assert (times, sizes) == ((1000, 300), (1 << 20, 1 << 20, 1 << 30))


@pytest.mark.parametrize("size", [0, -1])
def test_a_cluster_of_nobody_is_refused(size: int) -> None:
    """FORM-4: a list holds this server at least."""
    with pytest.raises(ValueError, match=f"expected_size must be at least 1, not {size}"):
        Options(expected_size=size)


@pytest.mark.parametrize(("heartbeat", "election"), [(0, 10), (-1, 10), (10, 10), (11, 10)])
def test_heartbeats_must_be_more_frequent_than_elections(heartbeat: int, election: int) -> None:
    """LEADER-1, §5.6: "broadcastTime ≪ electionTimeout"; a leader that is too slow is deposed for ever."""
    with pytest.raises(ValueError, match=f"heartbeat {heartbeat} ms, election {election} ms"):
        Options(expected_size=3, heartbeat_ms=heartbeat, election_ms=election)
