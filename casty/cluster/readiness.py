"""One call of `wait_ready()`: what it has asked, and how far this node has come for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from casty.cluster.link import Link
    from casty.errors import CastyError
    from casty.raft.types import Index


class ReadyWaiter:
    """Waits until the core has passed a barrier, then until the state machine has come so far.

    On a follower the barrier needs to know which of the leader's requests left after the call. A ping tells:
    what comes on its connection after the pong was sent after the ping had arrived.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.passed: asyncio.Future[Index] = loop.create_future()
        """The index up to which everything must be applied, once the core knows it."""
        self.pings: dict[Link, int] = {}
        """The numbers of the pings, by connection."""
        self.answered: set[Link] = set()
        """The connections that have brought the pong."""

    def begin_again(self) -> None:
        """The leader was lost meanwhile: waits for another barrier."""
        self.passed = self._loop.create_future()

    def pass_barrier(self, index: Index) -> None:
        if not self.passed.done():
            self.passed.set_result(index)

    def fail(self, error: CastyError) -> None:
        """There is nothing to wait for any more; of no effect once the barrier is passed."""
        if not self.passed.done():
            self.passed.set_exception(error)
            self.passed.exception()  # seen: should the caller have left, asyncio has nothing to complain about

    @property
    def index(self) -> Index | None:
        """What `passed` holds, if it is a success."""
        if not self.passed.done() or self.passed.cancelled() or self.passed.exception() is not None:
            return None
        return self.passed.result()
