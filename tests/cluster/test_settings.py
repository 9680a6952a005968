"""What a node is given at its start, and what it cannot start with."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.cluster import system as system_module
from tests.cluster.actors import Echo
from tests.cluster.harness import client


async def test_a_node_that_cannot_listen_says_so_and_leaves_nothing() -> None:
    """Rule 50: a bind error is raised, and the actors spawned before are stopped."""
    stopped = asyncio.Event()

    class Last(Echo):
        async def on_stop(self) -> None:
            stopped.set()

    async with client(node_id="a") as a:
        for start in ("serve", "__aenter__"):
            stopped.clear()
            other = client(node_id="b", port=a.listen.port)
            await other.spawn(Last)
            with pytest.raises(OSError, match="address already in use"):
                await getattr(other, start)()
            assert stopped.is_set()
            with pytest.raises(RuntimeError, match="started already"):
                await other.serve()


def test_impossible_settings_are_refused_in_the_constructor() -> None:
    """Rule 49: with the value and what was expected."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"port": 65536}, "port must be 0 to 65535, not 65536"),
        ({"port": -1}, "port must be"),
        ({"seeds": ["x"]}, "host:port"),
        ({"seeds": ["::1:80"]}, r"needs brackets, \[::1\]:80"),
        ({"advertise": "x:0"}, "not 'x:0'"),
        ({"node_id": ""}, "a node id is 1 to 64"),
        ({"node_id": "a\n"}, "not 'a"),
        ({"node_id": "é"}, "a node id"),
        ({"node_id": "x" * 65}, "a node id"),
        ({"expected_cluster_size": 0}, "must be 1 to 64, not 0"),
        ({"heartbeat_interval": 1.0}, "more frequent than elections"),
        ({"max_frame_size": 65535}, "max_frame_size must be 65536 to 1,073,741,824 bytes"),
        ({"snapshot_every": 0}, "snapshot_every must be at least 1"),
        ({"scrub_rate": 0}, "scrub_rate must be at least 1 bytes a second"),
    ]
    for options, words in wrong:
        given: dict[str, Any] = {"host": "127.0.0.1", "port": 0, **options}
        with pytest.raises(ValueError, match=words):
            system_module.DistributedActorSystem(**given)


def test_one_seed_is_no_collection_of_seeds() -> None:
    """Of its letters, none would be an address."""
    with pytest.raises(TypeError, match=r"not '10\.0\.0\.1:8001'"):
        system_module.DistributedActorSystem("127.0.0.1", 0, "10.0.0.1:8001")
