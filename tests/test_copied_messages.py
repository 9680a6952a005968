"""`copy_messages=True` finds what two actors share by mistake, before a network does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from casty import Actor, ActorRef, ActorSystem, Context, SerializationError


@dataclass
class Tell:
    items: list[int]
    who: ActorRef[Any] | None = None


class Changes(Actor[Tell]):
    """Changes what it is sent, and replies with it."""

    async def receive(self, msg: Tell, ctx: Context[Tell]) -> None:
        msg.items.append(9)
        ctx.reply(msg)


async def test_what_an_actor_does_to_its_copy_the_sender_does_not_see() -> None:
    """ACTOR rule on mutability: messages are passed by reference unless the system copies them."""
    async with ActorSystem(copy_messages=True) as system:
        ref = await system.spawn(Changes)
        mine = Tell([1])
        reply = await ref.ask(mine)
        assert (mine.items, reply.items) == ([1], [1, 9])


async def test_refs_in_copied_messages_stay_the_refs_they_are() -> None:
    """VALUE-5: a ref is local again at home."""
    async with ActorSystem(copy_messages=True) as system:
        ref = await system.spawn(Changes)
        assert (await ref.ask(Tell([], ref))).who is ref


async def test_what_could_not_be_sent_is_refused_here_too() -> None:
    """VALUE-1: the sender's `await` raises, with the path to the value."""
    async with ActorSystem(copy_messages=True) as system:
        ref = await system.spawn(Changes)
        with pytest.raises(SerializationError, match="items"):
            await ref.send(Tell([object()]))  # type: ignore[list-item]  # what this test is about
