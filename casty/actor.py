"""What you write, hold and are handed: `Actor`, `ActorRef`, `Context`, and the `Envelope` between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, overload

from casty.arguments import SECONDS_MAX, checked_timeout

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine

    from casty.errors import CastyError

    # The one name from above this layer: `Context.system` has that type.
    from casty.system import ActorSystem


class Actor[M](ABC):
    """State of its own and a mailbox; it handles one message of type M at a time.

    Subclasses need not call `super().__init__()`. All its methods run in the actor's own task.
    """

    __slots__ = ("__weakref__", "context")

    context: Context[M]
    """The actor's own context, from `on_start` on; nobody asked through it, so its `reply` does nothing."""

    stop_timeout: ClassVar[float | None] = 5.0
    """Seconds that `on_stop` may take before it is cancelled; None for as long as it likes."""

    async def on_start(self) -> None:  # noqa: B027 (a hook may stay empty)
        """Called once, before the first message. Where it raises, so does `spawn`, and there is no actor."""

    async def on_stop(self) -> None:  # noqa: B027 (a hook may stay empty)
        """Called once, after the last message and after the children have stopped."""

    def on_error(self, exc: Exception) -> bool | Awaitable[bool]:
        """Called after `receive` raised: True keeps the actor and its state, False stops it. May be `async`."""
        return False

    async def on_child_stopped(  # noqa: B027 (a hook may stay empty)
        self, child: ActorRef[Any], exc: Exception | None
    ) -> None:
        """Called after a child has stopped; `exc` is what stopped it. Its name is free to be spawned again."""

    @abstractmethod
    async def receive(self, msg: M, ctx: Context[M]) -> None:
        """Handles one message; the next one waits until this returns."""


class Request[R]:
    """An optional base for messages that are answered with an R; `await ref.ask(msg)` then has that type."""

    __slots__ = ()

    if TYPE_CHECKING:
        # Ties a message to its answer for the type checkers; see `ActorRef.ask`.
        def _asked(self) -> tuple[Self, R]: ...


class _Question[M, R](Protocol):
    """A `Request[R]` that is also an M. Python has no intersection types; this says the same."""

    def _asked(self) -> tuple[M, R]: ...


class ActorRef[M](ABC):
    """The way to reach one actor, wherever it is. Two refs to the same name on the same node are equal.

    A ref outlives its actor: once the name has a new holder, the ref reaches that one.
    """

    __slots__ = ("__weakref__", "address")

    address: str
    """The actor's name, or `@` and a number for an actor without one. Unique on its node."""

    @property
    def name(self) -> str | None:
        return None if self.address.startswith("@") else self.address

    @property
    @abstractmethod
    def node_id(self) -> str | None:
        """The node the actor lives on; None in a system without a cluster."""

    @abstractmethod
    async def send(self, msg: M) -> None:
        """Puts the message in the actor's mailbox. Messages of one sender arrive in the order sent.

        Never raises because of the receiver: what cannot be delivered is a dead letter.
        """

    @overload
    async def ask[R](self, msg: _Question[M, R], *, timeout: float | None = 5.0) -> R: ...
    # Where mypy expects another type than R, it tries on: it must not arrive at the Any below.
    @overload
    async def ask(self, msg: _Question[M, Any], *, timeout: float | None = 5.0) -> object: ...
    @overload
    async def ask(self, msg: M, *, timeout: float | None = 5.0) -> Any: ...
    def ask(self, msg: Any, *, timeout: float | None = 5.0) -> Coroutine[Any, Any, Any]:
        """Sends the message and waits `timeout` seconds for the answer; with None, without a bound.

        Raises `ActorFailedError`, a kind of `ActorUnavailableError`, `AskTimeoutError` or `ReentrancyError`;
        SerializationError or MessageTooLargeError for what cannot be sent, TypeError or ValueError for a
        timeout that is no time (nothing is sent then), and RuntimeError outside the loop of the ref's system.
        """
        # `checked_timeout` is right for all; most are spared the call.
        if timeout is not None and not (timeout.__class__ is float and 0.0 <= timeout <= SECONDS_MAX):
            timeout = checked_timeout(timeout)
        return self._ask(msg, timeout)

    @abstractmethod
    async def _ask(self, msg: M, timeout: float | None) -> Any: ...

    @property
    def _home(self) -> object:
        """What the address belongs to; with the address, it decides whether two refs are equal."""
        return self.node_id

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ActorRef):
            return NotImplemented
        return self.address == other.address and self._home == other._home

    def __hash__(self) -> int:
        return hash((self.address, self._home))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """The ref itself, which is an address and never changes; `dataclasses.asdict` copies a message's."""
        return self

    def __str__(self) -> str:
        return self.address if self.node_id is None else f"{self.address} on node {self.node_id}"

    def __repr__(self) -> str:
        return f"<ActorRef {self}>"


class Context[M](ABC):
    """What an actor may do while it handles one message. It is bound to whoever asked, and may be kept."""

    __slots__ = ()

    @property
    @abstractmethod
    def self_ref(self) -> ActorRef[M]: ...

    @property
    @abstractmethod
    def system(self) -> ActorSystem: ...

    @abstractmethod
    def reply(self, value: object) -> None:
        """Answers the ask, now or later. Does nothing where nobody asked; the first reply wins."""

    @abstractmethod
    async def spawn[T](
        self, actor: type[Actor[T]] | Callable[..., Actor[T]], /, *, name: str | None = None, **kwargs: Any
    ) -> ActorRef[T]:
        """Like `ActorSystem.spawn`, for a child: it stops before this actor does."""

    @abstractmethod
    def stop(self) -> None:
        """Stops this actor after the current message; what is queued is refused."""

    @abstractmethod
    def send_after(self, delay: float, msg: M) -> asyncio.TimerHandle:
        """Sends `msg` to this actor `delay` seconds from now, unless it is cancelled or the actor stops.

        Raises TypeError or ValueError for a delay that is no time.
        """


type Progress = Literal["still queued", "still being handled", "handled without a reply"]
"""How far an asked message has come: what a timeout tells the asker."""


class Asker(Protocol):
    """Whoever waits for the answer to one message, in this process or at the end of a connection.

    `reply` and `fail` never raise, and are called at most once, by whoever has just seen that it is not `done`.
    """

    progress: Progress
    """Kept up to date by the actor."""

    def done(self) -> bool:
        """True once answered, failed, given up or past its deadline; the message is then not even started."""
        ...

    def reply(self, value: object, /) -> None: ...

    def fail(self, error: CastyError, /) -> None: ...


type Envelope = tuple[Any, Asker | None]
"""What a mailbox holds: a message, and who waits for the answer. A pair, for it is made for each message."""
