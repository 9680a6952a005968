"""What a node draws at random, and what can be drawn again."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from casty import cli, launch
from casty.cluster import book
from casty.cluster.dice import dice
from tests.cluster.harness import Recorder, node, until
from tests.cluster.peers import Listener

if TYPE_CHECKING:
    from random import Random

    from casty import DistributedActorSystem


def throws(dice: Random) -> list[int]:
    return [dice.randint(1000, 2000) for _ in range(20)]


def test_a_seed_repeats_the_numbers_of_one_node_and_one_purpose() -> None:
    """spec/launch.md: one seed for a whole cluster must not make its nodes campaign in step."""
    first = throws(dice(7, "n1", "elections"))
    assert throws(dice(7, "n1", "elections")) == first
    others = [dice(8, "n1", "elections"), dice(7, "n2", "elections"), dice(7, "n1", "attempts")]
    assert all(throws(other) != first for other in [*others, dice(None, "n1", "elections")])


def test_identities_are_drawn_once() -> None:
    """FORM-1, FORM-6: two clusters that were started with one seed are still two."""
    assert dice(7, "n1", "elections").randbytes(16) != dice(7, "n1", "elections").randbytes(16)


async def test_a_cluster_id_is_no_ones_twice_whatever_the_seed() -> None:
    """FORM-6."""

    async def cluster_id() -> bytes:
        async with node(size=1, node_id="n1", random_seed=7) as alone:
            Recorder(alone)
            await alone.wait_ready()
            assert alone.raft is not None
            assert alone.raft.configuration is not None
            return alone.raft.configuration.cluster_id

    assert await cluster_id() != await cluster_id()


class Tamed:
    """Notes when a node that has just started means to campaign, and ends it."""

    def __init__(self) -> None:
        self.patience = 0.0

    async def prepare(self, system: DistributedActorSystem) -> None:
        assert system.raft is not None
        assert system.raft.deadline is not None
        self.patience = system.raft.deadline - system.loop.time() * 1000
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("given", ["--seed", "CF_SEED"])
def test_a_nodes_patience_is_the_seeds(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """LAUNCH-1, ELECT-1: by the command line as by the environment. Of the first timeout, the start is gone."""
    arguments = ["node", "--node-id", "n1", "--size", "1", "--election-ms", "1000000", "--log-level", "error"]
    if given == "--seed":
        arguments += ["--seed", "7"]
    else:
        monkeypatch.setenv(given, "7")
    tamed = Tamed()
    assert launch.run_node(cli.parse(arguments), tamed.prepare) == 0
    drawn = dice(7, "n1", "elections").randint(1_000_000, 2_000_000)
    assert drawn - 20_000 < tamed.patience <= drawn


async def test_the_waits_between_attempts_are_the_seeds_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """PEER-2: the jitter, so that a run can be repeated."""
    monkeypatch.setattr(book, "BACKOFF_MIN", 1_000_000)
    monkeypatch.setattr(book, "BACKOFF_MAX", 1_000_000)
    async with Listener() as absent:
        await absent.deafen()
        async with node(absent.address, node_id="n1", random_seed=7) as alone:
            await until(lambda: (alone.book.next_due() or 0) > alone.loop.time() + 1000)
            waits = (alone.book.next_due() or 0) - alone.loop.time()
    drawn = 1_000_000 * dice(7, "n1", "attempts").uniform(0.5, 1.0)
    assert drawn - 20 < waits <= drawn
