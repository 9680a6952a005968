"""Actors on other nodes: the ref to one, an ask that waits for one, and an asker that is one."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Protocol

from casty.actor import ActorRef
from casty.errors import (
    ActorFailedError,
    ActorNotFoundError,
    ActorStoppedError,
    CastyError,
    MailboxFullError,
    MessageTooLargeError,
    ProtocolError,
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

    __slots__ = ("address", "answer", "deadline", "link", "message", "number", "sent")

    def __init__(
        self, link: Link, address: str, message: Any, deadline: float | None, answer: RemoteAsk
    ) -> None:
        self.link = link
        self.address = address
        self.message = message
        self.deadline = deadline
        self.answer = answer
        self.number = 0
        self.sent = 0
        """Bytes that had been queued on the link up to the end of it."""


def succeed(ask: RemoteAsk, value: object) -> None:
    if not ask.done():
        ask.set_result(value)


def fail(ask: RemoteAsk, error: CastyError) -> None:
    if not ask.done():
        ask.set_exception(error)
        ask.exception()  # seen: should the asker leave this very moment, asyncio has nothing to complain about


class RemoteAsker:
    """Whoever waits at the other end of a link for the answer to one ask (spec MSG-3)."""

    __slots__ = (
        "_answer",
        "_answered",
        "_deadline",
        "_loop",
        "actor",
        "link",
        "message_type",
        "number",
        "progress",
    )

    def __init__(
        self,
        link: Link,
        number: int,
        actor: str,
        message_type: type,
        deadline: float | None,
        loop: asyncio.AbstractEventLoop,
        answer: Callable[[RemoteAsker, object, CastyError | None], None],
    ) -> None:
        self.link = link
        self.number = number
        self.actor = actor
        self.message_type = message_type
        self.progress: Progress = "still queued"
        self._deadline = deadline
        self._loop = loop
        self._answer = answer
        self._answered = False

    def done(self) -> bool:
        return (
            self._answered
            or self.link.is_over
            or (self._deadline is not None and self._loop.time() >= self._deadline)
        )

    def reply(self, value: object) -> None:
        self._answered = True
        self._answer(self, value, None)

    def fail(self, error: CastyError) -> None:
        self._answered = True
        self._answer(self, None, error)


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
    text = response.text or str(response.code)
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


def named(error: CastyError, node_id: NodeId, address: str, message_type: str) -> CastyError:
    """The same error; its text also says which actor was asked, and what, as far as it does not yet."""
    if isinstance(error, ActorFailedError):
        return ActorFailedError(error.error_type, error.message, error.node_id, address, message_type)
    if isinstance(error, ProtocolError):
        return error
    text = str(error)
    if f"actor {address}" not in text:
        place = f"actor {address} on node {node_id}, "
    elif not re.search(rf"\bnode {re.escape(node_id)}(?![A-Za-z0-9_:-])", text):
        place = f"node {node_id}, "
    else:
        place = ""
    return type(error)(f"{text} ({place}message {message_type})")
