"""What the application does wrong, or asks for in vain, is its caller's to know and nobody's to suffer from."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from casty import ApplyError, MessageTooLargeError
from casty.cluster.replication import COMMAND_OVERHEAD
from tests.cluster.harness import Recorder, append, cluster, durable, leader_of, until, within

if TYPE_CHECKING:
    from pathlib import Path

    from casty import DistributedActorSystem

LIMIT = 64 << 10
HEADER = 3
"""Bytes that msgpack adds to so many."""


async def test_a_command_that_no_frame_can_carry_is_refused_before_it_is_in_the_log() -> None:
    """LEADER-8: the largest that fits reaches every member; one byte more leaves no trace in any log."""
    async with cluster(max_frame_size=LIMIT) as nodes:
        recorders = [Recorder(each) for each in nodes]
        largest = bytes(LIMIT - COMMAND_OVERHEAD - HEADER)
        leader = await append(nodes, largest)
        await until(lambda: all(recorder.commands == [largest] for recorder in recorders))
        before = [_last(each) for each in nodes]
        with pytest.raises(MessageTooLargeError, match=r"64,513 bytes; the limit is 64,512"):
            await leader.append_command(largest + b"x")
        assert [_last(each) for each in nodes] == before
        assert await within(leader.append_command("next"))
        await until(lambda: all(recorder.commands == [largest, "next"] for recorder in recorders))
        assert {_last(each) for each in nodes} == {(before[0][0] + 1, before[0][1])}


def _last(system: DistributedActorSystem) -> tuple[int, int]:
    assert system.raft is not None
    now = system.raft.status()
    return now.last_log_index, now.last_log_term


class Account:
    """A state machine that refuses what it cannot do, and one of whose replicas may have a bug."""

    def __init__(self, system: DistributedActorSystem, *, is_faulty: bool = False) -> None:
        self.balance = 0
        self.seen: list[Any] = []
        self._is_faulty = is_faulty
        system.set_apply_callback(self.apply)

    def apply(self, amount: int) -> None:
        self.seen.append(amount)
        if self.balance + amount < 0:
            raise ValueError(f"{self.balance} is not enough for {amount}")
        self.balance += amount
        if self._is_faulty:
            raise LookupError("a bug of this replica's")


def _stood_for(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR)


async def test_a_callback_that_raises_is_told_to_its_caller_and_all_servers_go_on_alike(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """COMMIT-3, COMMIT-4: each server logs it, none stops or skips an entry, and so again after a restart."""
    each = durable(tmp_path)
    async with cluster(each=each) as nodes:
        accounts = [Account(system) for system in nodes]
        leader = await append(nodes, 5)
        with pytest.raises(
            ApplyError, match=r"entry \d+ is committed, but the apply callback raised"
        ) as raised:
            await leader.append_command(-7)
        assert isinstance(raised.value.__cause__, ValueError)
        assert await leader.append_command(-2)
        await until(lambda: all(account.seen == [5, -7, -2] for account in accounts))
        await until(lambda: len({system.last_applied for system in nodes}) == 1)
        assert [account.balance for account in accounts] == [3, 3, 3]
        assert _stood_for(caplog, "the apply callback raised on entry") == len(nodes)
        assert [system.failure.error for system in nodes] == [None, None, None]
    caplog.clear()
    async with cluster(each=each) as nodes:
        accounts = [Account(system) for system in nodes]
        await append(nodes, 1)
        await until(lambda: all(account.seen == [5, -7, -2, 1] for account in accounts))
        assert [account.balance for account in accounts] == [4, 4, 4]
        assert _stood_for(caplog, "the apply callback raised on entry") == len(nodes)


@pytest.mark.parametrize("where", ["leader", "follower"])
async def test_a_bug_of_one_replica_is_that_replicas_alone(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """COMMIT-4: the caller hears of it if its own server has it; the log says it there, the others go on."""
    async with cluster() as nodes:
        leader = await leader_of(nodes)
        faulty = leader if where == "leader" else next(each for each in nodes if each is not leader)
        accounts = [Account(system, is_faulty=system is faulty) for system in nodes]
        outcomes = await asyncio.gather(
            *(leader.append_command(amount) for amount in (1, 2, 3)), return_exceptions=True
        )
        kind = ApplyError if where == "leader" else bool
        assert all(isinstance(outcome, kind) for outcome in outcomes), outcomes
        await until(lambda: all(account.balance == 6 for account in accounts))
        assert await leader_of(nodes) is leader
        assert _stood_for(caplog, "the apply callback raised on entry") == 3
