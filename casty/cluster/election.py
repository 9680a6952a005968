"""Who leads, and whether this node is ready."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from casty.arguments import checked_timeout
from casty.cluster.node import ClusterNode
from casty.cluster.outlook import outlook
from casty.cluster.readiness import ReadyWaiter
from casty.raft.events import BarrierLifted, BarrierSet, Received, Role
from casty.raft.messages import AppendEntriesRequest, InstallSnapshotRequest
from casty.wire.messages import Ping

if TYPE_CHECKING:
    from collections.abc import Iterable

    from casty.cluster.link import Link
    from casty.errors import CastyError, HandshakeError
    from casty.raft.events import Notice, Passed
    from casty.raft.messages import (
        AppendEntriesResponse,
        InstallSnapshotResponse,
        PreVoteRequest,
        PreVoteResponse,
        VoteRequest,
        VoteResponse,
    )
    from casty.raft.node import Raft
    from casty.raft.types import Index, NodeId, ServerId

logger = logging.getLogger(__name__)

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class ElectionMixin(ClusterNode):
    """Needs: raft, machine, links, book, options, refusals, ready_waiters, pings, failure.

    Provides: `is_leader`, `leader_id`, `wait_ready`.
    Handles: VOTE_REQUEST, VOTE_RESPONSE, PRE_VOTE_REQUEST, PRE_VOTE_RESPONSE, and PING that answers its own.
    Performs: the core's log lines, and the news for those who wait until this node is ready.
    """

    __slots__ = ()

    @property
    def is_leader(self) -> bool:
        """Whether this node led when it last looked; False before the start and after the end.

        A hint: another may have been elected since. It may be read from any thread.
        """
        return self.raft is not None and self.raft.role is Role.LEADER

    @property
    def leader_id(self) -> NodeId | None:
        """The leader's node id, as far as this node knows; None while it knows none, before the start and after
        the end. It may be read from any thread.
        """
        if self.raft is None or self.raft.leader is None:
            return None
        return self.raft.leader.node_id

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Waits until a leader is known, and all that was committed before this call is applied here.

        That is: this node leads, and an entry of its own term is committed; or its leader has answered since
        the call, has committed an entry of its term, and this node has come as far as the leader had then.
        Without an apply callback, committed here is enough: set it before, or it is given the commands later.
        On return `is_leader` and `leader_id` say who leads, and the state holds what was committed before.

        It is no linearizable read: a leader that was deposed, and has not heard of that, does not know what its
        successor has committed. Cut off from the majority, it leads on for about two election timeouts. Where
        that matters, append a command.

        A node that is starting is waited for. `timeout` is in seconds, None is without a bound. Raises
        TimeoutError, which says what is missing. Raises HandshakeError while no leader is known and all seeds
        and this node refuse each other: it was told another cluster, size or version than they, or a node id
        that is in use; or a member says that this node's data directory is an older copy. Raises StorageError
        where Raft has failed here, SystemStoppedError once the node has shut down, ReentrancyError in a
        callback of the state machine, and RuntimeError on a node that takes no part in Raft, before the start,
        and outside its event loop.
        """
        seconds = checked_timeout(timeout)
        await self.require_running("wait_ready()")
        self.machine.refuse_callbacks("wait_ready()")
        waiter = ReadyWaiter(self.loop)
        self.ready_waiters.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                await self.start_over.wait()
                while not await self._become_ready(waiter):
                    waiter.begin_again()
        except TimeoutError:
            raise TimeoutError(self._why_not_ready(waiter, seconds or 0.0)) from None
        finally:
            self.ready_waiters.discard(waiter)
            for link, number in waiter.pings.items():
                self.pings.close(link, number)
            self.post(BarrierLifted(waiter))

    async def _become_ready(self, waiter: ReadyWaiter) -> bool:
        """Waits for the barrier and for the state machine. False where the leader was lost meanwhile."""
        await self.require_running("wait_ready()")
        if self.raft is None:
            msg = "wait_ready() needs a node that takes part in Raft (member=True)"
            raise RuntimeError(msg)
        if (verdict := self._verdict()) is not None:
            await asyncio.sleep(0)  # a loop of retries must let others run
            raise verdict
        if self.raft.would_pass:
            waiter.pass_barrier(self.raft.commit_index)
        else:
            self._set_barrier(waiter, self.raft)
        await self.machine.applied(await waiter.passed)
        return self.leader_id is not None

    def _set_barrier(self, waiter: ReadyWaiter, raft: Raft) -> None:
        self.post(BarrierSet(waiter))
        for link in waiter.answered:
            self.post(BarrierSet(waiter, link))
        leader = raft.leader
        for (node_id, lane), link in self.links.accepted.items():
            if leader is not None and node_id == leader.node_id and lane != "actor":
                self._ping_for(waiter, link)

    def _ping_for(self, waiter: ReadyWaiter, link: Link) -> None:
        if link.is_open and link not in waiter.pings:
            waiter.pings[link] = number = self.pings.open(link, waiter)
            link.send(self.wire.encode(Ping(number, pong=False)))

    def _hear_leader(
        self,
        link: Link,
        message: AppendEntriesRequest
        | AppendEntriesResponse
        | InstallSnapshotRequest
        | InstallSnapshotResponse,
    ) -> None:
        """A leader speaks on this connection: pings it for those who wait and have not done so yet."""
        if self.ready_waiters and isinstance(message, (AppendEntriesRequest, InstallSnapshotRequest)):
            for waiter in self.ready_waiters:
                self._ping_for(waiter, link)

    def _hear_pong(self, link: Link, message: Ping) -> None:
        """What comes on this connection from here on was sent after the call."""
        waiter = self.pings.close(link, message.id) if message.pong else None
        if waiter is not None:
            waiter.answered.add(link)
            if not waiter.passed.done():
                self.post(BarrierSet(waiter, link))

    def _tell_passed(self, passed: Iterable[Passed]) -> None:
        for ticket, index in passed:
            cast("ReadyWaiter", ticket).pass_barrier(index)

    def _on_vote(
        self, link: Link, message: VoteRequest | VoteResponse | PreVoteRequest | PreVoteResponse
    ) -> None:
        if link.server is not None:
            self.post(Received(link.server, message, link))

    def _announce(self, notices: Iterable[Notice]) -> None:
        """Writes the core's log lines."""
        for level, text, about in notices:
            said = ("raft", about or text)
            self.note(logger, _LEVELS[level], said, f"{self.node_id}: {text}", state="")

    def _verdict(self) -> HandshakeError | None:
        """Why this node will meet no leader, as long as nothing changes; None while it knows one, or may."""
        raft = self.raft
        if raft is None or raft.leader is not None:
            return None
        is_alone = raft.configuration is not None and raft.configuration.members == (raft.me,)
        return None if is_alone else self.refusals.verdict()

    def _fail_ready_waiters(self, error: CastyError | None) -> None:
        """The cluster will not form for this node, or none of its seeds will have it."""
        if error is not None:
            for waiter in self.ready_waiters:
                waiter.fail(error)

    def _why_not_ready(self, waiter: ReadyWaiter, seconds: float) -> str:
        """What is missing, in the words of a TimeoutError."""
        raft = self.raft
        if raft is None:
            return f"this node has not started within {seconds:g} s"
        if raft.configuration is None or raft.leader is None:
            what, why = self._prospects()
            return f"{what} within {seconds:g} s: {why}"
        return f"this node is not ready within {seconds:g} s: {self._missing(raft, raft.leader, waiter.index)}"

    def _missing(self, raft: Raft, leader: ServerId, index: Index | None) -> str:
        if leader == raft.me and index is None:
            _, why = self._prospects()
            return f"it leads, but has not heard of a majority; {why}"
        known = f"leader {leader.node_id} is known"
        if index is not None:
            text = f"{known}; {self.machine.last_applied:,} of {index:,} entries are applied here"
            return f"{text}; a snapshot needs set_snapshot_callbacks()" if self.machine.lacks_restore else text
        if raft.commit_index < raft.leader_commit:
            return f"{known}; {raft.commit_index:,} of {raft.leader_commit:,} entries are committed here"
        return f"{known}, but has not said since the call how far it has committed"

    def _prospects(self) -> tuple[str, str]:
        """What has not happened, and why, as far as this node can tell."""
        assert self.raft is not None, "who waits is told when Raft ends"
        what, why = outlook(
            self.me,
            self.book.discovered(self.loop.time()) | {self.me},
            self.options.expected_size,
            formed=self._formed(),
            bound_to=self.raft.members,
            configuration=self.raft.configuration,
        )
        return what, "; ".join([why, *self.refusals.reasons(), *self.refusals.troubles()])
