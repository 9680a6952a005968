"""Refs to actors of this process, and the asks that go through them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from casty.actor import ActorRef
from casty.cell import STOPPED
from casty.errors import ActorStoppedError, AskTimeoutError, SerializationError
from casty.hooks import ENDS_PROGRAM, raise_from_loop, text_of
from casty.mailbox import ASKS_MAX, YIELD_SIZE, BoundedMailbox

if TYPE_CHECKING:
    from casty.actor import Envelope, Progress
    from casty.cell import Cell
    from casty.errors import CastyError
    from casty.registry import Registry

logger = logging.getLogger(__name__)


class LocalRef[M](ActorRef[M]):
    """Sending appends to the actor's mailbox; asking an idle actor runs it on the spot."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell, address: str) -> None:
        self._cell = cell
        self.address = address

    @property
    def cell(self) -> Cell:
        """The actor behind the ref; the name's next holder, if the one it had has stopped."""
        if self._cell.state is STOPPED:
            self._cell = self._cell.registry.find(self.address) or self._cell
        return self._cell

    @property
    def node_id(self) -> str | None:
        return self._cell.registry.system.node_id

    @property
    def _home(self) -> object:
        # Without a cluster, an address means nothing outside its system.
        return self.node_id or self._cell.registry.system

    async def send(self, msg: M) -> None:
        inbox = self._cell.inbox
        if inbox is None:
            self._post((msg, None))
            return
        inbox.append((msg, None))
        if len(inbox) > YIELD_SIZE:
            await asyncio.sleep(0)

    def _post(self, envelope: Envelope) -> None:
        """To any actor, be it busy, idle or gone."""
        cell = self.cell
        cell.registry.check_loop()
        try:
            cell.post(envelope)
        except ActorStoppedError as error:
            cell.registry.refuse(self.address, envelope, error)

    async def _ask(self, msg: M, timeout: float | None) -> Any:
        cell = self._cell if self._cell.state is not STOPPED else self.cell
        registry = cell.registry
        if asyncio.get_running_loop() is not registry.loop:
            registry.check_loop()
        ask = CheckedAsk(self, msg, registry) if registry.is_checked else LocalAsk(loop=registry.loop)
        ask.progress = "still queued"
        try:
            cell.ask((msg, ask))
        except ActorStoppedError:
            await asyncio.sleep(0)  # a loop of retries must let others run
            raise
        if ask.done():
            registry.asks_until_pause -= 1
            if not registry.asks_until_pause:
                registry.asks_until_pause = ASKS_MAX
                await asyncio.sleep(0)
            return ask.result()
        timer = None if timeout is None else registry.loop.call_later(timeout, self._give_up, ask, msg, timeout)
        try:
            return await ask
        finally:
            if timer is not None:
                timer.cancel()

    def _give_up(self, ask: LocalAsk, msg: M, timeout: float) -> None:
        if not ask.done():
            text = f"actor {self} gave no answer to {type(msg).__qualname__} in {timeout:g} s: {ask.progress}"
            ask.fail(AskTimeoutError(text))


class CheckedRef[M](LocalRef[M]):
    """A ref that checks its users, copies messages, or holds back senders, where the system is to do so."""

    __slots__ = ()

    async def send(self, msg: M) -> None:
        envelope = (self._checked(msg), None)
        self._post(envelope)
        cell = self._cell
        inbox = cell.inbox
        if inbox is None or cell.task is asyncio.current_task():
            return  # an actor never waits for itself
        if isinstance(inbox, BoundedMailbox):
            await inbox.wait_for_room(envelope)
        elif len(inbox) > YIELD_SIZE:
            await asyncio.sleep(0)

    async def _ask(self, msg: M, timeout: float | None) -> Any:
        return await super()._ask(self._checked(msg), timeout)

    def _checked(self, msg: M) -> M:
        registry = self._cell.registry
        registry.check_loop()
        copied: M = registry.copy(msg)
        return copied


class LocalAsk(asyncio.Future[Any]):
    """An asker in this process is the future that `ask` awaits, and knows how far the message has come."""

    __slots__ = ("progress",)

    progress: Progress
    reply = asyncio.Future[Any].set_result

    def fail(self, error: CastyError, /) -> None:
        self.set_exception(error)
        self.exception()  # seen: should the asker leave this very moment, asyncio has nothing to complain about


class CheckedAsk(LocalAsk):
    """An asker that checks whoever answers, and is answered with a copy where messages are copied."""

    __slots__ = ("_actor", "_message_type", "_registry")

    def __init__(self, actor: ActorRef[Any], message: object, registry: Registry) -> None:
        super().__init__(loop=registry.loop)
        self._actor = actor
        self._message_type = type(message)
        self._registry = registry

    def reply(self, value: object, /) -> None:
        self._registry.check_loop()
        try:
            copied = self._registry.copy(value)
        except BaseException as error:
            # The replier's mistake, or its value's, but as with a remote asker it does not fail its actor.
            asked, kind = self._message_type.__qualname__, type(value).__qualname__
            text = "actor %s replied to %s with a %s that cannot be copied: %s"
            logger.error(text, self._actor, asked, kind, text_of(error), exc_info=error)
            failure = error if isinstance(error, SerializationError) else None
            self.fail(failure or SerializationError(f"the reply cannot be copied: {text_of(error, repr)}"))
            if isinstance(error, ENDS_PROGRAM):
                raise_from_loop(error)
        else:
            super().reply(copied)
