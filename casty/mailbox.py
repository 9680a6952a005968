"""Mailboxes: a plain deque where there is no bound, and one that holds its senders back where there is."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from casty.actor import Envelope

BATCH_SIZE = 128
"""The messages that an actor handles before it lets the loop turn, so that others have their share. Half as
many cost small ones a tenth of their speed."""

ASKS_MAX = 256
"""The asks that are answered without a turn of the loop before there is one: about a millisecond's worth."""

YIELD_SIZE = 1024
"""Above this backlog each `send` lets the loop turn, so that a fast sender cannot starve its receiver."""


class BoundedMailbox(deque[Envelope]):
    """At most `size` messages whose senders go on; whoever sends more waits until the message has room.

    A waiting sender's message stands in the queue already, so messages keep the order of the `send` calls.
    """

    __slots__ = ("_size", "_waiting")

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_full(self) -> bool:
        return len(self) >= self._size

    def popleft(self) -> Envelope:
        envelope = super().popleft()
        if self._waiting:
            self._let_in()
        return envelope

    async def wait_for_room(self, envelope: Envelope) -> None:
        """Waits until `envelope`, which is in the queue, is within the bound.

        If cancelled before that, takes it out, unless the actor has come to it in that very moment.
        """
        if len(self) - len(self._waiting) <= self._size:
            return
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(room)
        try:
            await room
        except asyncio.CancelledError:
            if room.cancelled():
                if room in self._waiting:
                    self._waiting.remove(room)
                self._remove(envelope)
                self._let_in()
            raise

    def _let_in(self) -> None:
        while self._waiting and len(self) - len(self._waiting) < self._size:
            room = self._waiting.popleft()
            if not room.done():
                room.set_result(None)

    def _remove(self, envelope: Any) -> None:
        # By identity: an equal message may be another sender's.
        for place, other in enumerate(self):
            if other is envelope:
                del self[place]
                return
