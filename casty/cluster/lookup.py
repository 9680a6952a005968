"""A search for an actor by name on all other nodes at once. Pure but for the future it settles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncio

    from casty.cluster.link import Link
    from casty.errors import CastyError
    from casty.raft.types import NodeId

GRACE = 0.1
"""Seconds the others have to answer once one node has the actor: enough to choose the same one of several."""


class Found(NamedTuple):
    """Where the actor is, and the name of its class."""

    node_id: NodeId
    actor_class: str


class Search:
    """Done when one node has the actor and all others that were asked have answered.

    While none has it, the search goes on: nodes that connect later are asked, too, and the others again.
    """

    def __init__(self, name: str, done: asyncio.Future[Found]) -> None:
        self.name = name
        self._done = done
        self._loop = done.get_loop()
        self._waiting: dict[Link, int] = {}
        self._found: dict[NodeId, Found] = {}  # a node is asked again while others are waited for
        self._grace: asyncio.TimerHandle | None = None

    def asked(self, connection: Link, number: int) -> None:
        """The question left on this connection, under this number."""
        self._waiting[connection] = number

    def waits_for(self, connection: Link) -> bool:
        """Whether the question is open there."""
        return connection in self._waiting

    def unanswered(self) -> list[tuple[Link, int]]:
        """Where the question is open still."""
        return list(self._waiting.items())

    @property
    def holders(self) -> list[NodeId]:
        """The nodes that have said so far that they have the actor."""
        return sorted(self._found)

    def fail(self, error: CastyError) -> None:
        """There is nobody left to ask."""
        if not self._done.done():
            self._done.set_exception(error)

    def answered(self, connection: Link, found: Found | None) -> None:
        """The answer; None also where the connection was lost."""
        self._waiting.pop(connection, None)
        if found is not None:
            self._found[found.node_id] = found
        if self._found and not self._waiting:
            self.conclude()
        elif self._found and self._grace is None:
            self._grace = self._loop.call_later(GRACE, self.conclude)

    def conclude(self) -> None:
        """Chooses the smallest node id, so that everybody who asks finds the same actor."""
        if self._grace is not None:
            self._grace.cancel()
        if self._done.done() or not self._found:
            return
        self._done.set_result(self._found[min(self._found, key=str.encode)])
