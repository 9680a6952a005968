"""Messages, asks and lookups between nodes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, overload

from casty.arguments import checked_timeout
from casty.cluster.lookup import Found, Search
from casty.cluster.node import ClusterNode
from casty.cluster.remote import RemoteAsker, RemoteQuestion, RemoteRef, code_of, error_of, fail, named, succeed
from casty.dead_letters import DeadLetter
from casty.errors import (
    ActorNotFoundError,
    AskTimeoutError,
    CastyError,
    MessageTooLargeError,
    NodeUnreachableError,
    SerializationError,
    SystemStoppedError,
)
from casty.hooks import ENDS_PROGRAM, raise_from_loop, text_of
from casty.message_types import class_name
from casty.raft.types import NodeId
from casty.system import check_class
from casty.wire.messages import (
    ActorMessage,
    AskRequest,
    AskResponse,
    LookupRequest,
    LookupResponse,
    Undecodable,
)

if TYPE_CHECKING:
    from casty.actor import Actor, ActorRef
    from casty.cluster.link import Link

logger = logging.getLogger(__name__)


class MessagingMixin(ClusterNode):
    """Needs: links, wire, types, asks, searches, and the system's registry of actors.

    Provides: `lookup`, `ref`, `register_type`.
    Handles: ACTOR_MSG, ASK_REQ, ASK_RES, LOOKUP_REQ, LOOKUP_RES.
    Performs: carrying messages and asks to other nodes, and answers back.
    """

    __slots__ = ()

    def register_type(self, cls: type, name: str | None = None) -> None:
        """Admits a dataclass or enum in messages from other nodes, and trusts its package (spec VALUE-2).

        With `name`, that is what it is called on the wire, so that it can move between modules. Types of
        spawned actors' messages need no registration. It may be called at any time. Raises TypeError for other
        classes, ValueError for a taken name.
        """
        self.types.register(cls, name)

    # ---------------------------------------------------------------------------------------------- lookup

    @overload
    async def lookup(self, name: str, actor: None = None, *, timeout: float | None = 2.0) -> ActorRef[Any]: ...
    @overload
    async def lookup[T](
        self, name: str, actor: type[Actor[T]], *, timeout: float | None = 2.0
    ) -> ActorRef[T]: ...
    async def lookup(
        self, name: str, actor: type[Actor[Any]] | None = None, *, timeout: float | None = 2.0
    ) -> ActorRef[Any]:
        """The actor of that name: on this node, else on any other, all asked at once.

        Where several have one, the smallest node id wins. Nodes that connect within `timeout` seconds are
        asked, too, and all are asked again now and then, for the actor may be about to be spawned; with None it
        is looked for without a bound. Before the start of this node, no other is asked. Raises
        ActorNotFoundError, SystemStoppedError once the connections have ended, TypeError for an actor of
        another class than `actor`, TypeError or ValueError for a timeout that is no time, and RuntimeError
        outside the node's event loop.
        """
        checked_timeout(timeout)
        ref = self._lookup_here(name, actor)
        if ref is None:
            found = await self._search(name, timeout)
            check_class(name, actor, found.actor_class)
            ref = self._ref(found.node_id, name)
        return ref

    async def _search(self, name: str, timeout: float | None) -> Found:
        if self.is_ending:
            raise SystemStoppedError(f"this node has shut down; no node was asked for an actor named {name!r}")
        if not self.is_started:
            await asyncio.sleep(0)  # a loop of retries must let others run
            raise ActorNotFoundError(f"there is no actor named {name!r} here, and this node has not started")
        done: asyncio.Future[Found] = self.loop.create_future()
        search = Search(name, done)
        self.open_searches.add(search)
        try:
            async with asyncio.timeout(timeout):
                await self.start_over.wait()
                for pause in chain(PAUSES, repeat(PAUSE_MAX)):
                    self._ask_everybody(search)
                    await asyncio.wait([done], timeout=pause)
                    if done.done():
                        break
                    if (cell := self._registry.find_live(name)) is not None:
                        return Found(self.identity.node_id, class_name(cell.kind))
                return await done
        except TimeoutError:
            search.conclude()  # if one node has it, the others have had their time
            if done.done():
                return done.result()
            nodes = ", ".join(sorted({who for who, _ in self.links.dialled}))
            where = f"here or on {nodes}" if nodes else "here, and no other node is connected"
            msg = f"there is no actor named {name!r} {where}, after {timeout:g} s"
            raise ActorNotFoundError(msg) from None
        finally:
            self._note_holders(search)
            self.open_searches.discard(search)
            for link, number in search.unanswered():
                self.searches.close(link, number)

    def _note_holders(self, search: Search) -> None:
        """Several actors of one name are a mistake, or a restart that is under way."""
        if len(search.holders) > 1:
            text = f"several nodes have an actor named {search.name!r}: {', '.join(search.holders)}"
            self.note(logger, logging.WARNING, ("several", search.name), text)

    def _ask_everybody(self, search: Search) -> None:
        for (_, lane), link in self.links.dialled.items():
            if lane == "actor" and not search.waits_for(link):
                self._ask_whether(link, search)

    def _ask_whether(self, link: Link, search: Search) -> None:
        if link.is_congested:
            return  # it is asked again, as all are
        number = self.searches.open(link, search)
        search.asked(link, number)
        link.send(self.wire.encode(LookupRequest(search.name, number)))

    def _ask_open_searches(self, link: Link) -> None:
        """A node has just been reached: whoever is searching asks it, too."""
        for search in self.open_searches:
            self._ask_whether(link, search)

    def _on_lookup_request(self, link: Link, message: LookupRequest) -> None:
        cell = self._registry.find_live(message.actor)
        kind = class_name(cell.kind) if cell is not None else None
        link.send(self.wire.encode(LookupResponse(message.actor, message.id, cell is not None, kind)))

    def _on_lookup_response(self, link: Link, message: LookupResponse) -> None:
        search = self.searches.close(link, message.id)
        if search is not None:
            search.answered(link, Found(link.node_id, message.actor_class or "") if message.found else None)

    def ref(self, node_id: str, name: str) -> ActorRef[Any]:
        """A ref to the actor of that name on that node, without asking whether there is one. At any time."""
        return self._ref(NodeId(node_id), name)

    def _ref(self, node_id: NodeId, address: str) -> ActorRef[Any]:
        """The ref a value from the network stands for: local again at home (spec VALUE-5)."""
        if node_id == self.node_id:
            cell = self._registry.find(address)
            if cell is not None:
                return cell.ref
        return RemoteRef(self, node_id, address)

    # ------------------------------------------------------------------------------------------- going out

    async def send_remote(self, node_id: NodeId, address: str, message: Any) -> None:
        """Sends a message, having waited while its node reads slowly; what cannot reach it is a dead letter.

        Messages leave in the order of the calls (spec MSG-2). Raises SerializationError, MessageTooLargeError.
        """
        self._registry.check_loop()
        frame = self.wire.encode(ActorMessage(address, message))
        if node_id == self.node_id:
            self._registry.deliver(address, (message, None))
            return
        link = self._link_to(node_id)
        if link is None or self.reaching:
            link = await self._reached(node_id, REACH_SECONDS)
        if link is None:
            self._bury(message, address, node_id, f"node {node_id} is not connected")
        elif link.is_busy:
            try:
                await link.in_turn(lambda: link.send(frame))
            except NodeUnreachableError as error:
                self._bury(message, address, node_id, str(error))
        else:
            link.send(frame)
            if link.has_queued_enough:
                await asyncio.sleep(0)

    def _bury(self, message: Any, address: str, node_id: NodeId, why: str) -> None:
        self._registry.dead_letters.add(DeadLetter(message, address, node_id, why))

    async def ask_remote(self, node_id: NodeId, address: str, message: Any, timeout: float | None) -> Any:
        """Asks an actor on another node. Raises what `ActorRef.ask` does."""
        self._registry.check_loop()
        if node_id == self.node_id:
            return await self._ask_here(address, message, timeout)
        if not self.is_started:
            raise self._not_asked(node_id, address, message, f"node {node_id} is not connected")
        deadline = None
        if timeout is not None:
            deadline = self.loop.time() + timeout
        link = self._link_to(node_id)
        if link is None or self.reaching:
            patience = REACH_SECONDS if timeout is None else min(timeout, REACH_SECONDS)
            link = await self._reached(node_id, patience)
        if link is None:
            await asyncio.sleep(0)  # a loop of retries must let others run
            raise self._not_asked(node_id, address, message, f"node {node_id} is not connected")
        question = RemoteQuestion(link, address, message, deadline, self.loop.create_future())
        if link.is_busy:
            await self._wait_to_ask(node_id, question, timeout)
        else:
            self._put_question(question)
        try:
            return await question.answer
        except AskTimeoutError:
            kind, progress = type(message).__qualname__, self._progress(link, question.sent)
            text = f"actor {address} on node {node_id} gave no answer to {kind} in {timeout:g} s: {progress}"
            raise AskTimeoutError(text) from None
        except CastyError as error:
            self.asks.close(link, question.number)
            raise named(error, node_id, address, type(message).__qualname__) from error.__cause__
        except BaseException:
            self.asks.close(link, question.number)
            raise

    def _put_question(self, question: RemoteQuestion) -> None:
        """Sends an ask. Its number is closed again if it cannot be encoded."""
        link, deadline = question.link, question.deadline
        remaining = None if deadline is None else max(0, int((deadline - self.loop.time()) * 1000))
        question.number = number = self.asks.open(link, question.answer, deadline)
        try:
            frame = self.wire.encode_ask(question.address, number, remaining, question.message)
        except BaseException:
            self.asks.close(link, number)
            raise
        # An ask that is the only one leaves at once; others leave together, and cost one write.
        link.send(frame, at_once=len(self.asks) == 1)
        question.sent = link.queued_bytes
        if deadline is not None:
            self.ask_alarm.hasten(self.loop, deadline)

    async def _wait_to_ask(self, node_id: NodeId, question: RemoteQuestion, timeout: float | None) -> None:
        """Sends an ask when its turn has come; the time that it waits for that is its own."""
        try:
            async with asyncio.timeout_at(question.deadline):
                await question.link.in_turn(lambda: self._put_question(question))
        except TimeoutError:
            if not question.number:
                what = f"actor {question.address} was not asked within {timeout:g} s"
                kind = type(question.message).__qualname__
                raise AskTimeoutError(f"node {node_id} reads too slowly; {what} (message {kind})") from None
        except NodeUnreachableError as error:
            raise self._not_asked(node_id, question.address, question.message, str(error)) from None
        except asyncio.CancelledError:
            self.asks.close(question.link, question.number)
            raise

    def _not_asked(self, node_id: NodeId, address: str, message: Any, why: str) -> CastyError:
        what = f"actor {address} was not asked (message {type(message).__qualname__})"
        if self.is_ending:
            return SystemStoppedError(f"this node has shut down; node {node_id}: {what}")
        return NodeUnreachableError(f"{why}; {what}")

    def _progress(self, link: Link, sent: int) -> str:
        """How far an ask has come, as far as this node can know; `sent` is what was queued up to its end."""
        if link.is_over:
            return "the connection is being closed"
        if not link.has_left(sent):
            return f"not sent, for {link.backlog:,} bytes wait until node {link.node_id} reads"
        return f"sent; node {link.node_id} was last heard from {self.loop.time() - link.heard_at:.1f} s ago"

    def _give_up_overdue(self) -> None:
        """The deadline of an ask has come; one alarm serves them all."""
        for ask in self.asks.overdue(self.loop.time()):
            fail(ask, AskTimeoutError("its deadline has come"))
        self.ask_alarm.set(self.loop, self.asks.next_deadline())

    async def _ask_here(self, address: str, message: Any, timeout: float | None) -> Any:
        """A ref made before its actor was spawned here, or by an actor's name: it is at home after all."""
        cell = self._registry.find(address)
        if cell is None:
            text = f"there is no actor {address} on node {self.node_id}, which is this one"
            raise ActorNotFoundError(f"{text} (message {type(message).__qualname__})")
        return await cell.ref.ask(message, timeout=timeout)

    def _link_to(self, node_id: NodeId) -> Link | None:
        link = self.links.to(node_id, "actor")
        return link if link is not None and link.is_open else None

    def _is_being_reached(self, node_id: NodeId) -> bool:
        return bool(self.links.all()) and not self.is_ending and self.book.is_being_reached(node_id)

    async def _reached(self, node_id: NodeId, seconds: float) -> Link | None:
        """The connection to that node; where it is dialled for the first time, once it is made.

        Who has just come may have sent a ref to be answered through, before it is dialled back. Who comes while
        others wait goes on after them, though the connection is there by then.
        """
        if node_id not in self.reaching and not self._is_being_reached(node_id):
            return self._link_to(node_id)
        self.reaching[node_id] = self.reaching.get(node_id, 0) + 1
        try:
            if not self._is_being_reached(node_id):
                await asyncio.sleep(0)  # the others have been woken already, and go on before this one
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._is_being_reached(node_id):
                        waiter: asyncio.Future[None] = self.loop.create_future()
                        self.reach_waiters.append(waiter)
                        await waiter
        finally:
            self.reaching[node_id] -= 1
            if not self.reaching[node_id]:
                del self.reaching[node_id]
        return self._link_to(node_id)

    def _look_again(self) -> None:
        """A connection was made, or was not: who waits for one may go on."""
        waiters, self.reach_waiters[:] = self.reach_waiters[:], []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _on_ask_response(self, link: Link, message: AskResponse) -> None:
        ask = self.asks.close(link, message.id)
        if ask is None:
            return
        if isinstance(message.value, Undecodable):
            error = message.value.error
            fail(ask, type(error)(f"the reply of node {link.node_id}: {error}"))
        elif message.code is None:
            succeed(ask, message.value)
        else:
            fail(ask, error_of(message, link.node_id))

    def _give_up_questions(self, error: CastyError) -> None:
        """The connections are about to end: who waits for another node learns it now."""
        for ask in self.asks.drain():
            fail(ask, error)
        for search in list(self.open_searches):
            search.fail(error)
        self._look_again()

    def _fail_asks_on(self, link: Link) -> None:
        """A connection was lost, and with it every answer that was to come on it (spec MSG-9)."""
        for ask in self.asks.lost(link):
            text = f"the connection with node {link.node_id} was lost; the message may have been handled"
            fail(ask, NodeUnreachableError(text))
        for search in self.searches.lost(link):
            search.answered(link, None)

    # ------------------------------------------------------------------------------------------- coming in

    def _on_actor_message(self, link: Link, message: ActorMessage) -> None:
        if isinstance(message.message, Undecodable):
            error = message.message.error
            text = f"a message of node {link.node_id} for actor {message.actor} was dropped: {error}"
            if link.is_news(f"message: {error}"):
                self.note(logger, logging.ERROR, ("dropped", link.node_id, str(error)), text, state="")
            else:
                logger.debug("%s", text)
            letter = DeadLetter(None, message.actor, self.node_id, str(error))
            self._registry.dead_letters.add(letter)
            return
        self._registry.deliver(message.actor, (message.message, None))

    def _on_ask_request(self, link: Link, message: AskRequest) -> None:
        actor, number, timeout_ms, content = message
        deadline = None if timeout_ms is None else self.loop.time() + timeout_ms / 1000
        asker = RemoteAsker(link, number, actor, type(content), deadline, self.loop, self._answer)
        if isinstance(content, Undecodable):
            asker.fail(content.error)
        else:
            # What came together is handled in one go: its actor runs when the last of it is delivered.
            self._registry.deliver(actor, (content, asker), at_once=link.ends_batch)

    def _answer(self, asker: RemoteAsker, value: object, error: CastyError | None) -> None:
        """Sends the outcome of an ask back on the connection it came on. Never raises."""
        if error is not None:
            asker.link.send(self.wire.encode(_failure(asker.number, *code_of(error))))
            return
        try:
            frame = self.wire.encode_reply(asker.number, value)
        except BaseException as problem:  # also of code that the value's class runs when it is taken apart
            frame = self.wire.encode(self._unsendable(asker, value, problem))
            if isinstance(problem, ENDS_PROGRAM):
                raise_from_loop(problem)
        asker.link.send(frame)

    def _unsendable(self, asker: RemoteAsker, value: object, problem: BaseException) -> AskResponse:
        """The answer in place of a reply that cannot be sent (spec MSG-8). The log names the actor."""
        is_expected = isinstance(problem, (SerializationError, MessageTooLargeError))
        what = text_of(problem) if is_expected else f"it raised {text_of(problem, repr)}"
        asked, kind = asker.message_type.__qualname__, type(value).__qualname__
        who = f"actor {asker.actor} on node {self.node_id} replied to {asked} of node {asker.link.node_id}"
        about = ("reply", asker.link.node_id, asker.actor, type(problem))
        text = f"{who} with a {kind} that cannot be sent: {what}"
        self.note(logger, logging.ERROR, about, text, state="")
        code = "REPLY_TOO_LARGE" if isinstance(problem, MessageTooLargeError) else "BAD_REPLY"
        error_type = type(problem).__name__ if is_expected else "SerializationError"
        return _failure(asker.number, code, error_type, f"the reply cannot be sent: {what}")


REACH_SECONDS = 2.0
"""How long a message or an ask waits for the first connection with a node that is known."""

PAUSES = (0.05, 0.1, 0.2)
PAUSE_MAX = 0.5
"""Seconds until a search that has found nothing asks again: soon at first, and then calmly."""

TEXT_MAX = 10_000
"""Characters of an error's text that cross the wire: a traceback's worth, not a log file's."""


def _failure(number: int, code: str, kind: str, text: str) -> AskResponse:
    """The answer that an ask failed, short enough for any frame."""
    return AskResponse(number, code=code, error_type=kind[:TYPE_NAME_MAX], text=text[:TEXT_MAX])


TYPE_NAME_MAX = 255
