"""Actors on other nodes: the ref to one, an ask that waits for one, and an asker that is one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from casty.actor import ActorRef
from casty.errors import (
    ActorFailedError,
    ActorNotFoundError,
    ActorStoppedError,
    CastyError,
    MailboxFullError,
    MessageTooLargeError,
    SerializationError,
    UnknownTypeError,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from casty.actor import Progress
    from casty.cluster.link import Link
    from casty.raft.types import NodeId
    from casty.wire.messages import AskResponse

logger = logging.getLogger(__name__)


class Courier(Protocol):
    """What carries messages to other nodes."""

    async def send_remote(self, node_id: NodeId, address: str, message: Any) -> None: ...

    async def ask_remote(self, node_id: NodeId, address: str, message: Any, timeout: float | None) -> Any: ...


class RemoteRef[M](ActorRef[M]):
    """Behaves like a local ref. It knows node and address only, so it outlives connections and restarts."""

    __slots__ = ("_courier", "_node_id")

    def __init__(self, courier: Courier, node_id: NodeId, address: str) -> None:
        self._courier = courier
        self._node_id = node_id
        self.address = address

    @property
    def node_id(self) -> NodeId:
        return self._node_id

    async def send(self, msg: M) -> None:
        await self._courier.send_remote(self._node_id, self.address, msg)

    async def _ask(self, msg: M, timeout: float | None) -> Any:
        return await self._courier.ask_remote(self._node_id, self.address, msg, timeout)


type RemoteAsk = asyncio.Future[Any]
"""An ask that left this node: the future its asker waits on. A plain one, which a task awaits in less time."""


class RemoteQuestion:
    """An ask on its way to another node: what is asked, where, until when, and under which number."""

    __slots__ = ("address", "answer", "deadline", "link", "message", "number")

    def __init__(
        self, link: Link, address: str, message: Any, deadline: float | None, answer: RemoteAsk
    ) -> None:
        self.link = link
        self.address = address
        self.message = message
        self.deadline = deadline
        self.answer = answer
        self.number = 0


def succeed(ask: RemoteAsk, value: object) -> None:
    if not ask.done():
        ask.set_result(value)


def fail(ask: RemoteAsk, error: CastyError) -> None:
    if not ask.done():
        ask.set_exception(error)
        ask.exception()  # seen: should the asker leave this very moment, asyncio has nothing to complain about


class RemoteAsker:
    """Whoever waits at the other end of a link for the answer to one ask (spec MSG-3)."""

    __slots__ = ("_answer", "_answered", "_deadline", "_link", "_loop", "number", "progress")

    def __init__(
        self,
        link: Link,
        number: int,
        deadline: float | None,
        loop: asyncio.AbstractEventLoop,
        answer: Callable[[Link, int, object, CastyError | None], None],
    ) -> None:
        self.number = number
        self.progress: Progress = "still queued"
        self._link = link
        self._deadline = deadline
        self._loop = loop
        self._answer = answer
        self._answered = False

    def done(self) -> bool:
        return (
            self._answered
            or self._link.is_over
            or (self._deadline is not None and self._loop.time() >= self._deadline)
        )

    def reply(self, value: object) -> None:
        self._answered = True
        self._answer(self._link, self.number, value, None)

    def fail(self, error: CastyError) -> None:
        self._answered = True
        self._answer(self._link, self.number, None, error)


# ------------------------------------------------------------------- errors as codes, and back (ask_errors)


def code_of(error: CastyError) -> tuple[str, str, str]:
    """How an ASK_RES says this error: its code, error type and text."""
    match error:
        case ActorFailedError():
            return "ACTOR_FAILED", error.error_type, error.message
        case ActorNotFoundError():
            return "ACTOR_NOT_FOUND", "ActorNotFoundError", str(error)
        case MailboxFullError():
            return "MAILBOX_FULL", "MailboxFullError", str(error)
        case UnknownTypeError():
            return "UNKNOWN_TYPE", "UnknownTypeError", str(error)
        case SerializationError():
            return "BAD_MESSAGE", "SerializationError", str(error)
        case ActorStoppedError():
            return "ACTOR_STOPPED", "ActorStoppedError", str(error)
        case _:
            return "ACTOR_FAILED", type(error).__name__, str(error)


def error_of(response: AskResponse, node_id: NodeId) -> CastyError:
    """What the asker is to be raised for a response with a code."""
    text = f"{response.text or response.code} (node {node_id})"
    match response.code:
        case "ACTOR_NOT_FOUND":
            return ActorNotFoundError(text)
        case "ACTOR_STOPPED":
            return ActorStoppedError(text)
        case "MAILBOX_FULL":
            return MailboxFullError(text)
        case "UNKNOWN_TYPE":
            return UnknownTypeError(text)
        case "BAD_MESSAGE" | "BAD_REPLY":
            return SerializationError(text)
        case "REPLY_TOO_LARGE":
            return MessageTooLargeError(text)
        case code:
            return ActorFailedError(response.error_type or str(code), response.text or "", node_id)
