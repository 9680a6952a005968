"""For tests of actors: a probe that stands where another actor would. It needs no test framework."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from casty.actor import Actor
from casty.arguments import checked_timeout
from casty.wire.words import text_of

if TYPE_CHECKING:
    from casty.actor import Context


class Probe[M](Actor[M]):
    """Keeps what it is sent, for a test to look at in order.

    ::

        probe = Probe[Greeted]()
        greeter = await system.spawn(Greeter, listener=await system.spawn(lambda: probe))
        await greeter.send(Greet("World"))
        await probe.expect(Greeted("World"))
    """

    def __init__(self) -> None:
        self._received: asyncio.Queue[tuple[M, Context[M]]] = asyncio.Queue()

    async def receive(self, msg: M, ctx: Context[M]) -> None:
        self._received.put_nowait((msg, ctx))

    async def expect(self, expected: M, timeout: float | None = 1.0) -> Context[M]:
        """Waits for the next message and returns its context, to reply through.

        Raises AssertionError if it is another one, or if none comes within `timeout` seconds.
        """
        msg, ctx = await self.next(timeout)
        if msg != expected:
            raise AssertionError(f"expected {text_of(expected, repr)}, but {text_of(msg, repr)} came")
        return ctx

    async def next(self, timeout: float | None = 1.0) -> tuple[M, Context[M]]:
        """The next message and its context; AssertionError if none comes. With None, waits without a bound."""
        checked_timeout(timeout)
        try:
            async with asyncio.timeout(timeout):
                return await self._received.get()
        except TimeoutError:
            raise AssertionError(f"expected a message, but none came in {timeout} s") from None

    @property
    def unread(self) -> int:
        """Messages that have come and that nobody has looked at."""
        return self._received.qsize()
