"""The actor system: what spawns actors, finds them by name and brings them all to an end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Self, overload

from casty.actor import ActorRef
from casty.arguments import checked_callable, checked_flag, checked_timeout
from casty.dead_letters import DeadLetter, DeadLetters
from casty.errors import ActorNotFoundError, SystemStoppedError
from casty.message_types import class_name
from casty.ref import LocalRef
from casty.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from casty.actor import Actor
    from casty.cluster.system import DistributedActorSystem

logger = logging.getLogger(__name__)


class ActorSystem:
    """Runs actors in one event loop. Leaving its `async with` block stops them all.

    `mailbox_size`: an actor with that many messages makes its senders wait. None, the default, sets no bound.
    `shutdown_timeout`: seconds that actors have for the messages they have, before they are cancelled; None
    lets them finish.
    `copy_messages`: messages and replies are copied, as by a network, so that tests find what is shared.
    `on_dead_letter`: called with each `DeadLetter`.

    Raises TypeError and ValueError for wrong times, counts and flags. A system belongs to the event loop of
    its first use: any other loop, and any other thread, gets a RuntimeError.
    """

    def __init__(
        self,
        *,
        mailbox_size: int | None = None,
        shutdown_timeout: float | None = 10.0,
        copy_messages: bool = False,
        on_dead_letter: Callable[[DeadLetter], object] | None = None,
    ) -> None:
        self._shutdown_timeout = checked_timeout(shutdown_timeout, "shutdown_timeout")
        if on_dead_letter is not None:
            checked_callable("on_dead_letter", on_dead_letter)
        self._shutdown: asyncio.Task[None] | None = None
        self._registry = Registry(
            self,
            mailbox_size=mailbox_size,
            copy=self._copy if checked_flag("copy_messages", copy_messages) else None,
            admitted=self._admitted,
            dead_letters=DeadLetters(on_dead_letter),
        )

    @staticmethod
    def distributed(
        host: str, port: int, seeds: Iterable[str] = (), expected_cluster_size: int = 3, **options: Any
    ) -> DistributedActorSystem:
        """A system whose actors can be reached from the other nodes of a cluster."""
        # The one import upwards: the cluster is built on this module, and this is its front door.
        from casty.cluster.system import DistributedActorSystem

        return DistributedActorSystem(host, port, seeds, expected_cluster_size, **options)

    @property
    def node_id(self) -> str | None:
        """This node's name in its cluster; None without one."""
        return None

    @property
    def dead_letter_count(self) -> int:
        """Messages sent so far that nobody handled."""
        return self._registry.dead_letters.count

    @property
    def late_reply_count(self) -> int:
        """Replies so far whose asker had given up."""
        return self._registry.late_reply_count

    async def spawn[T](
        self, actor: type[Actor[T]] | Callable[..., Actor[T]], /, *, name: str | None = None, **kwargs: Any
    ) -> ActorRef[T]:
        """Constructs `actor(**kwargs)`, runs its `on_start`, and returns a ref to it.

        Raises ActorStartError where either of these raises, NameTakenError, ValueError for what cannot be a
        name, and SystemStoppedError. If the call is cancelled, there is no actor.
        """
        return await self._registry.spawn(actor, name, kwargs, None)

    @overload
    async def lookup(self, name: str, actor: None = None, *, timeout: float | None = 2.0) -> ActorRef[Any]: ...
    @overload
    async def lookup[T](
        self, name: str, actor: type[Actor[T]], *, timeout: float | None = 2.0
    ) -> ActorRef[T]: ...
    async def lookup(
        self, name: str, actor: type[Actor[Any]] | None = None, *, timeout: float | None = 2.0
    ) -> ActorRef[Any]:
        """The actor of that name; `timeout` is for those on other nodes. With `actor`, its class is checked.

        Raises ActorNotFoundError, and TypeError for an actor of another class.
        """
        checked_timeout(timeout)
        ref = self._lookup_here(name, actor)
        if ref is None:
            await asyncio.sleep(0)  # a loop of retries must let others run
            raise ActorNotFoundError(f"there is no actor named {name!r}")
        return ref

    async def stop(self, ref: ActorRef[Any], *, timeout: float | None = 5.0) -> None:
        """Stops an actor of this system after the messages it has, and its children before it.

        After `timeout` seconds (None: never) what it is doing is cancelled. Called by the actor itself or by
        one below it, this does not wait for the end. Raises ValueError for an actor elsewhere; one that has
        stopped is stopped already.
        """
        checked_timeout(timeout)
        cell = ref.cell if isinstance(ref, LocalRef) else None
        if cell is None or cell.registry is not self._registry:
            raise ValueError(f"{ref!r} does not live in this system; ask it to stop itself")
        self._registry.check_loop()
        here = asyncio.current_task()
        cell.close(drain=True)
        if any(relative.task is here for relative in cell.subtree()):
            return
        try:
            async with asyncio.timeout(timeout):
                await cell.settled()
        except TimeoutError:
            logger.warning("actor %s had not stopped in %s s and is cancelled", ref, timeout)
            cell.kill()
            await cell.settled()

    async def shutdown(self) -> None:
        """Stops all actors, the youngest first, and refuses new ones. Further calls wait for the same end.

        Called by an actor, it returns at once; the actor is stopped, like the others, after its messages.
        Raises RuntimeError outside the loop that the system belongs to.
        """
        self._registry.check_loop()
        if self._shutdown is None:
            self._registry.bind()
            self._shutdown = asyncio.create_task(self._shut_down())
        if not self._registry.runs_here():
            await asyncio.shield(self._shutdown)

    async def __aenter__(self) -> Self:
        if self._registry.is_closed:
            raise SystemStoppedError("the actor system has been shut down; make a new one")
        self._registry.bind()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.shutdown()

    # For the cluster, which is built on top.

    async def _shut_down(self) -> None:
        """The phases of a shutdown, each carried out even if one before it fails."""
        try:
            self._refuse_work()
            await self._announce_leave()
        finally:
            try:
                await self._stop_actors()
            finally:
                await self._disconnect()

    def _refuse_work(self) -> None:
        """Phase 1: no new actors from here on."""
        self._registry.is_closed = True

    async def _announce_leave(self) -> None:
        """Phase 2: others may learn that this node is about to go."""

    async def _stop_actors(self) -> None:
        """Phase 3: every actor handles what it has, and stops."""
        await self._registry.stop_all(self._shutdown_timeout)

    async def _disconnect(self) -> None:
        """Phases 4 to 7: nothing is left to do in a system without a cluster."""

    def _lookup_here(self, name: str, actor: type[Actor[Any]] | None) -> ActorRef[Any] | None:
        """The actor of that name on this node, of that class if one is given."""
        self._registry.check_loop()
        cell = self._registry.find_live(name)
        if cell is None:
            return None
        check_class(name, actor, class_name(cell.kind))
        return cell.ref

    def _admitted(self, kind: Any) -> None:
        """An actor of this class is about to start: what it accepts may now come from elsewhere."""

    def _copy(self, message: Any) -> Any:
        """A copy as a network would make it."""
        # Only tests copy; everybody else is spared the import.
        from casty.wire.payload import copy_value

        return copy_value(message, keep=ActorRef)


def check_class(name: str, expected: type[Actor[Any]] | None, found: str) -> None:
    """Raises TypeError unless the actor found is of the class that was looked for."""
    if expected is not None and found != class_name(expected):
        raise TypeError(f"actor {name!r} is a {found}, not a {class_name(expected)}")
