"""Nothing that a message promises leaves before the disk has it: shown by making the disk slow.

A killed process leaves the page cache intact, so killing proves nothing about fsync. Under strace each fsync
takes half a second longer; what waits for it is late by that much, and what does not is caught.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from casty.raft.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    PreVoteRequest,
    PreVoteResponse,
    VoteRequest,
    VoteResponse,
)
from casty.raft.types import Entry, EntryKind, Term
from tests.processes.scripted import Cast, NodeUnderTest, ScriptedPeer, acknowledged, append
from tests.support import run

if TYPE_CHECKING:
    from pathlib import Path

SLOW = 0.5
"""Seconds that strace adds to each fsync."""

AT_ONCE = 0.3
"""Anything sooner than this did not wait for the disk. Half of what is added, for a loaded machine's sake."""


pytestmark = [
    pytest.mark.processes,
    pytest.mark.needs("strace"),
]


def slow_disk() -> tuple[str, ...]:
    calls = "fsync,fdatasync"
    inject = f"inject={calls}:delay_enter={int(SLOW * 1e6)}"
    return ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", inject)


class Stopwatch:
    """How long it is since it was made."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()

    @property
    def seconds(self) -> float:
        return asyncio.get_running_loop().time() - self._began


async def cast(folder: Path, *, election_ms: int) -> Cast:
    node = await NodeUnderTest.start("n1", folder, size=3, election_ms=election_ms, under=slow_disk())
    play = Cast(node, [ScriptedPeer(2, 3), ScriptedPeer(3, 3)])
    await play.meet()
    return play


def test_a_follower_promises_nothing_before_its_disk_has_it(tmp_path: Path) -> None:
    """VOTE-4, FORM-5, PERSIST-2, TERM-4: a grant, an acknowledgement, a refusal of a raised term: all wait."""

    async def main() -> None:
        play = await cast(tmp_path, election_ms=30_000)
        n2, n3 = play.peers
        try:
            watch = Stopwatch()
            n2.request(play.pre_vote(0, 1))
            assert (await n2.expect(PreVoteResponse)).vote_granted
            assert watch.seconds < SLOW  # a pre-vote promises nothing, and waits for nothing

            watch = Stopwatch()
            n2.request(play.vote(1, 2))
            assert (await n2.expect(VoteResponse)).vote_granted
            assert watch.seconds > AT_ONCE

            watch = Stopwatch()
            n2.request(append(1, 3, (play.entry_one(1), Entry(Term(1), EntryKind.NOOP, b""))))
            answer = await n2.expect(AppendEntriesResponse, lambda m: m.match_index == 2)
            assert answer.success
            assert watch.seconds > AT_ONCE

            watch = Stopwatch()
            n3.request(append(7, 1, (), prev=(9, 7)))
            refusal = await n3.expect(AppendEntriesResponse)
            assert (refusal.success, refusal.term) == (False, 7)
            assert watch.seconds > AT_ONCE
        finally:
            await play.leave()
            await play.node.kill()

    run(main(), timeout=50)


def test_a_slow_disk_does_not_look_like_a_dead_follower(tmp_path: Path) -> None:
    """APPEND-8: a heartbeat is answered while entries are being synced, for no more than is durable."""

    async def main() -> None:
        play = await cast(tmp_path, election_ms=30_000)
        n2 = play.peers[0]
        try:
            n2.request(play.vote(1, 1))
            await n2.expect(VoteResponse)
            n2.request(append(1, 2, (play.entry_one(1),)))
            await n2.expect(AppendEntriesResponse, lambda m: m.match_index == 1)

            watch = Stopwatch()
            n2.request(append(1, 3, (Entry(Term(1), EntryKind.COMMAND, b"x"),), prev=(1, 1)))
            n2.request(append(1, 4, (), prev=(2, 1)))
            early = await n2.expect(AppendEntriesResponse)
            assert (early.seq, early.success, early.match_index) == (4, True, 1)
            assert watch.seconds < SLOW
            full = await n2.expect(AppendEntriesResponse, lambda m: m.match_index == 2)
            assert full.seq == 3
            assert watch.seconds > AT_ONCE
        finally:
            await play.leave()
            await play.node.kill()

    run(main(), timeout=50)


def test_a_candidate_and_a_leader_wait_for_their_own_disk_but_heartbeats_do_not(tmp_path: Path) -> None:
    """VOTE-4, PERSIST-3, COMMIT-2: the vote request waits for the self-vote; entries leave at once; one
    acknowledgement of two makes a majority only together with the leader's own fsync."""

    async def main() -> None:
        play = await cast(tmp_path, election_ms=1_000)
        n2, n3 = play.peers
        try:
            for peer in play.peers:
                pre = await peer.expect(PreVoteRequest)
                peer.reply(PreVoteResponse(pre.term, pre.term, pre.seq, True))
            watch = Stopwatch()
            for peer in play.peers:
                vote = await peer.expect(VoteRequest)
                assert watch.seconds > AT_ONCE
            for peer in play.peers:
                peer.reply(VoteResponse(vote.term, vote.term, vote.seq, True))

            first = await n2.expect(AppendEntriesRequest, lambda m: len(m.entries) == 1)
            watch = Stopwatch()
            n2.reply(acknowledged(first))
            told = await n3.expect(AppendEntriesRequest, lambda m: m.leader_commit >= 1)
            assert told.leader_commit == 1
            assert watch.seconds > AT_ONCE
        finally:
            await play.leave()
            await play.node.kill()

    run(main(), timeout=50)
