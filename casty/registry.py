"""All the actors of one system, by address: who they are, how they come to be and how messages find them."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import unicodedata
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from casty.arguments import checked_count
from casty.cell import LIVE, NESTED_MAX, Cell, stop_in_order
from casty.construction import construct, give_context
from casty.context import MessageContext
from casty.dead_letters import DeadLetter
from casty.errors import (
    ActorFailedError,
    ActorNotFoundError,
    CastyError,
    MailboxFullError,
    NameTakenError,
    SystemStoppedError,
)
from casty.mailbox import ASKS_MAX, BoundedMailbox
from casty.ref import CheckedRef, LocalRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from casty.actor import Actor, ActorRef, Envelope
    from casty.dead_letters import DeadLetters
    from casty.system import ActorSystem

logger = logging.getLogger(__name__)

NAME_BYTES_MAX = 255
"""Room for any name worth typing, and a bound on what a peer can make this node log."""


NAMED_MAX = 10
"""Actors that one line of the log names."""


class Registry:
    """The cells of one system. It belongs to one event loop, that of the first call that needs one."""

    loop: asyncio.AbstractEventLoop

    def __init__(
        self,
        system: ActorSystem,
        *,
        mailbox_size: int | None,
        copy: Callable[[Any], Any] | None,
        admitted: Callable[[Any], None],
        dead_letters: DeadLetters,
    ) -> None:
        if mailbox_size is not None:
            checked_count("mailbox_size", mailbox_size, least=1)
        self.system = system
        self.is_closed = False
        self.is_checked = mailbox_size is not None or copy is not None
        """Whether refs do more than they must; so do those of a loop in debug mode."""
        self.uids = itertools.count(1)
        """The numbers of actors without a name. Never used twice; in a cluster, not after a restart either."""
        self.dead_letters = dead_letters
        self.late_reply_count = 0
        self.new_mailbox: Callable[[], deque[Envelope]] = (
            deque if mailbox_size is None else functools.partial(BoundedMailbox, mailbox_size)
        )
        self.nested = 0
        """Actors' tasks that are in their first step, each started inside the one before."""
        self.asks_until_pause = ASKS_MAX
        self._mailbox_size = mailbox_size
        self._copy = copy
        self._admitted = admitted
        self._cells: dict[str, Cell] = {}
        self._is_bound = False
        self._fatal: BaseException | None = None
        self._second_repliers: set[type[Actor[Any]]] = set()

    def bind(self) -> None:
        """Makes the running loop the system's own, or checks that it is."""
        if not self._is_bound:
            self._is_bound = True
            self.loop = asyncio.get_running_loop()
            self.is_checked |= self.loop.get_debug()
        self.check_loop()

    def check_loop(self) -> None:
        """Raises RuntimeError outside the loop that the system belongs to, if it belongs to one yet."""
        if self._is_bound and running_loop() is not self.loop:
            raise RuntimeError("an actor system was used outside the event loop and the thread it belongs to")

    def copy(self, value: Any) -> Any:
        return value if self._copy is None else self._copy(value)

    # Actors come and go.

    async def spawn(
        self, actor: Callable[..., Actor[Any]], name: str | None, kwargs: dict[str, Any], parent: Cell | None
    ) -> ActorRef[Any]:
        self.bind()
        if self.nested >= NESTED_MAX:
            await asyncio.sleep(0)
        cell = self._admit(actor, name, kwargs, parent)
        await cell.start()
        return cell.ref

    def _admit(
        self, actor: Callable[..., Actor[Any]], name: str | None, kwargs: dict[str, Any], parent: Cell | None
    ) -> Cell:
        """Decides, constructs and registers without an `await`, so that no name can be given twice."""
        if self.is_closed:
            raise SystemStoppedError("the actor system has been shut down and spawns no more actors")
        if parent is not None and not parent.is_open:
            raise parent.stopped_error()
        if name is not None:
            self._check_name(name)
        instance = construct(actor, kwargs)
        cell = Cell(self, instance, parent)
        address = name if name is not None else f"@{next(self.uids)}"
        cell.ref = CheckedRef(cell, address) if self.is_checked else LocalRef(cell, address)
        give_context(instance, MessageContext(cell, None))
        self._admitted(cell.generic_kind)
        self._cells[address] = cell
        if parent is not None:
            parent.adopt(cell)
        return cell

    def _check_name(self, name: str) -> None:
        check_name(name)
        if name in self._cells:
            raise NameTakenError(f"an actor named {name!r} lives on this node already")

    def forget(self, cell: Cell) -> None:
        del self._cells[cell.ref.address]

    async def stop_all(self, timeout: float | None) -> None:
        """Stops all actors, the youngest first; after `timeout` those that are left, all at once."""
        roots = [cell for cell in self._cells.values() if cell.parent is None]
        try:
            async with asyncio.timeout(timeout):
                await stop_in_order(roots)
        except TimeoutError:
            busy = sorted(cell.ref.address for cell in self._cells.values() if cell.task is not None)
            logger.warning(
                "%d actors%s had not stopped in %g s and are cancelled; busy: %s",
                len(self._cells),
                self._on_node(),
                timeout,
                ", ".join(busy[:NAMED_MAX]) + (", …" if len(busy) > NAMED_MAX else ""),
            )
            for cell in roots:
                cell.kill()
            for cell in roots:
                await cell.settled()

    def ends_program(self, exc: BaseException) -> None:
        """Has a KeyboardInterrupt or SystemExit of an actor raised out of the loop, as asyncio does.

        Not in whatever runs now, such as an ask that the actor was woken by: that has done nothing to deserve
        it, and everybody who waits is to be told first.
        """
        self._fatal = exc
        self.loop.call_soon(self.end_program)

    def end_program(self) -> None:
        """Called by the loop itself."""
        if self._fatal is not None:
            exc, self._fatal = self._fatal, None
            raise exc

    def runs_here(self) -> bool:
        """Whether the caller is an actor, in its own task."""
        here = asyncio.current_task()
        return any(cell.task is here for cell in self._cells.values())

    # Messages find their actor.

    def find(self, address: str) -> Cell | None:
        return self._cells.get(address)

    def find_live(self, name: str) -> Cell | None:
        """The actor that `lookup` may show: started, not yet stopping, and not a bare number."""
        cell = self._cells.get(name)
        return None if cell is None or cell.state is not LIVE or name.startswith("@") else cell

    def deliver(self, address: str, envelope: Envelope, *, at_once: bool = True) -> None:
        """Delivers what came from another node, without waiting; an idle actor answers an ask `at_once`.

        Whatever is in the way is told to the asker, or makes the message a dead letter.
        """
        try:
            self._deliver(address, envelope, at_once)
        except CastyError as error:
            self.refuse(address, envelope, error)

    def _deliver(self, address: str, envelope: Envelope, at_once: bool) -> None:
        cell = self._cells.get(address)
        if cell is None:
            raise ActorNotFoundError(f"there is no actor {address}{self._on_node()}")
        message, asker = envelope
        accepted = cell.accepted
        if accepted is not None and not isinstance(message, accepted):
            kind = type(message).__qualname__
            text = f"actor {address} takes {_list(accepted)}, not {kind}"
            raise ActorFailedError("UnhandledMessage", text, self.system.node_id, address, kind)
        if isinstance(cell.inbox, BoundedMailbox) and cell.inbox.is_full:
            raise MailboxFullError(
                f"the mailbox of actor {address} is full: {self._mailbox_size} messages{self._on_node()}"
            )
        if asker is None or not at_once:
            cell.post(envelope)
        else:
            cell.ask(envelope)

    def refuse(self, address: str, envelope: Envelope, error: CastyError) -> None:
        message, asker = envelope
        if asker is None:
            self.dead_letters.add(DeadLetter(message, address, self.system.node_id, str(error)))
        elif not asker.done():
            asker.fail(error)

    def _on_node(self) -> str:
        return "" if self.system.node_id is None else f" on node {self.system.node_id}"

    def note_unwanted_reply(self, cell: Cell, *, is_second: bool) -> None:
        if not is_second:
            self.late_reply_count += 1
        elif cell.kind not in self._second_repliers:
            self._second_repliers.add(cell.kind)
            text = "actor %s replied twice to one message; the first reply counts, for all actors of class %s"
            logger.warning(text, cell.ref, cell.kind.__qualname__)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop of the caller; None where there is no loop, as in most threads."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def check_name(name: str) -> None:
    """Raises ValueError unless `name` can be an actor's; TypeError unless it is text."""
    if not isinstance(cast(object, name), str):
        raise TypeError(f"an actor name is a str, not {name!r}")
    size = len(name.encode(errors="replace"))
    if not 1 <= size <= NAME_BYTES_MAX:
        raise ValueError(f"the actor name {name[:40]!r} has {size} bytes; 1 to {NAME_BYTES_MAX} are allowed")
    if name.startswith("@"):
        raise ValueError(f"the actor name {name!r} starts with '@', which marks actors without a name")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
        raise ValueError(f"the actor name {name!r} contains a control character or half a surrogate pair")


def _list(kinds: tuple[type, ...]) -> str:
    return " or ".join(kind.__qualname__ for kind in kinds)
