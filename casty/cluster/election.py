"""Who leads."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from casty.cluster.node import ClusterNode
from casty.cluster.outlook import outlook
from casty.raft.events import Received, Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from casty.cluster.link import Link
    from casty.errors import CastyError
    from casty.raft.events import Notice
    from casty.raft.messages import PreVoteRequest, PreVoteResponse, VoteRequest, VoteResponse
    from casty.raft.types import NodeId

logger = logging.getLogger(__name__)

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class ElectionMixin(ClusterNode):
    """Needs: raft, book, options, refusals, ready_waiters, failure.

    Provides: `is_leader`, `leader_id`, `wait_ready`.
    Handles: VOTE_REQUEST, VOTE_RESPONSE, PRE_VOTE_REQUEST, PRE_VOTE_RESPONSE.
    Performs: the core's log lines, and the news that the cluster has formed, or cannot.
    """

    __slots__ = ()

    @property
    def is_leader(self) -> bool:
        """Whether this node led when it last looked. A hint: another may have been elected since."""
        return self.raft is not None and self.raft.role is Role.LEADER

    @property
    def leader_id(self) -> NodeId | None:
        """The leader's node id, as far as this node knows; None while it knows none."""
        if self.raft is None or self.raft.leader is None:
            return None
        return self.raft.leader.node_id

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Waits until the cluster has formed: until its first log entry is committed, as this node knows.

        Raises HandshakeError once all seeds and this node refuse each other: it was told another cluster, size
        or version than they, or a node id that is in use. Raises TimeoutError, which says who is here,
        StorageError where Raft has failed here, SystemStoppedError if the node shuts down meanwhile, and
        RuntimeError on a node that takes no part in Raft or has not been started.
        """
        if self.failure.error is not None:
            raise self.failure.error
        if self.raft is None:
            msg = "wait_ready() needs a started node that takes part in Raft (member=True)"
            raise RuntimeError(msg)
        if self.raft.commit_index >= 1:
            return
        if (verdict := self.refusals.verdict()) is not None:
            raise verdict
        waiter: asyncio.Future[None] = self.loop.create_future()
        self.ready_waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            raise TimeoutError(self._not_ready(timeout)) from None
        finally:
            self.ready_waiters.discard(waiter)

    def _on_vote(
        self, link: Link, message: VoteRequest | VoteResponse | PreVoteRequest | PreVoteResponse
    ) -> None:
        if link.server is not None:
            self.post(Received(link.server, message, link))

    def _announce(self, notices: Iterable[Notice]) -> None:
        """Writes the core's log lines, and wakes those who wait for the cluster to form."""
        for level, text, about in notices:
            said = ("raft", about or text)
            self.note(logger, _LEVELS[level], said, f"{self.node_id}: {text}", state="")
        if self.ready_waiters and self.raft is not None and self.raft.commit_index >= 1:
            for waiter in self.ready_waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _not_ready(self, seconds: float | None) -> str:
        """What has not happened within that time, and why, as far as this node can tell."""
        assert self.raft is not None, "who waits is told when Raft ends"
        what, why = outlook(
            self.me,
            self.book.discovered(self.loop.time()) | {self.me},
            self.options.expected_size,
            formed=self._formed(),
            bound_to=self.raft.members,
            configuration=self.raft.configuration,
        )
        said = "; ".join([why, *self.refusals.reasons(), *self.refusals.troubles()])
        return f"{what} within {seconds:g} s: {said}"

    def _fail_ready_waiters(self, error: CastyError) -> None:
        """The cluster will not form for this node, or none of its seeds will have it."""
        for waiter in self.ready_waiters:
            if not waiter.done():
                waiter.set_exception(error)
