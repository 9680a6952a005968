"""A bounded mailbox holds its senders back, in order (spec/actors.md)."""

from __future__ import annotations

import asyncio

import pytest

from casty.actor import Actor, Context
from casty.system import ActorSystem
from tests.actors import Pause, Recorder, make_busy


async def test_a_bounded_mailbox_makes_senders_wait_in_order() -> None:
    """[ACTOR-5]"""
    async with ActorSystem(mailbox_size=2) as system:
        recorder = await system.spawn(Recorder)
        pause = await make_busy(recorder)
        senders = [asyncio.create_task(recorder.send(number)) for number in range(5)]
        await asyncio.sleep(0)
        assert [sender.done() for sender in senders] == [True, True, False, False, False]
        pause.go.set()
        await asyncio.gather(*senders)
        assert await recorder.ask("list") == [0, 1, 2, 3, 4]


async def test_a_sender_goes_on_as_soon_as_there_is_room() -> None:
    """[ACTOR-5] Not only when the mailbox is empty: the third message needs the first two to be handled."""
    async with ActorSystem(mailbox_size=1) as system:
        recorder = await system.spawn(Recorder)
        first, second = await make_busy(recorder), Pause.new()
        await recorder.send(second)
        third = asyncio.create_task(recorder.send(3))
        await asyncio.sleep(0)
        assert not third.done()
        first.go.set()
        await second.begun.wait()
        await third
        second.go.set()
        assert await recorder.ask("list") == [3]


async def test_a_cancelled_sender_takes_its_message_back() -> None:
    """[ACTOR-5] And the ones behind it move up."""
    async with ActorSystem(mailbox_size=1) as system:
        recorder = await system.spawn(Recorder)
        pause = await make_busy(recorder)
        senders = [asyncio.create_task(recorder.send(number)) for number in range(4)]
        await asyncio.sleep(0)
        senders[1].cancel()
        await asyncio.wait([senders[1]])
        assert senders[1].cancelled()
        pause.go.set()
        await asyncio.gather(senders[0], senders[2], senders[3])
        assert await recorder.ask("list") == [0, 2, 3]


async def test_a_sender_cancelled_when_its_message_has_room_has_sent_it() -> None:
    """[ACTOR-5]"""
    async with ActorSystem(mailbox_size=1) as system:
        recorder = await system.spawn(Recorder)
        pause = await make_busy(recorder)
        senders: list[asyncio.Task[None]] = []
        await recorder.send(lambda: senders[0].cancel())
        senders.append(asyncio.create_task(recorder.send("sent")))
        await asyncio.sleep(0)
        pause.go.set()
        await asyncio.wait(senders)
        assert senders[0].cancelled()
        assert await recorder.ask("list") == ["sent"]


async def test_a_sender_cancelled_while_the_actor_is_faster_has_sent_it() -> None:
    """[ACTOR-5] Woken first, the actor has handled the message before its sender can take it back."""
    async with ActorSystem(mailbox_size=1) as system:
        recorder = await system.spawn(Recorder)
        pause = await make_busy(recorder)
        await recorder.send("first")
        sender = asyncio.create_task(recorder.send("second"))
        await asyncio.sleep(0)
        pause.go.set()
        sender.cancel()
        await asyncio.wait([sender])
        assert sender.cancelled()
        assert await recorder.ask("list") == ["first", "second"]


async def test_a_cancelled_sender_that_was_being_let_in_leaves_its_room_to_the_next() -> None:
    """[ACTOR-5] The actor took the message before its own, which made room for it, when it was gone already."""
    async with ActorSystem(mailbox_size=1) as system:
        recorder = await system.spawn(Recorder)
        first, second = await make_busy(recorder), Pause.new()
        await recorder.send(second)
        gone, next_one = (asyncio.create_task(recorder.send(name)) for name in ("gone", "next"))
        await asyncio.sleep(0)
        first.go.set()
        gone.cancel()
        await second.begun.wait()
        await next_one
        second.go.set()
        assert await recorder.ask("list") == ["next"]


class Busy(Actor[int]):
    """Sends itself as many messages as the first one says."""

    def __init__(self) -> None:
        self.count = 0

    async def receive(self, msg: int, ctx: Context[int]) -> None:
        self.count += 1
        for _ in range(msg):
            await ctx.self_ref.send(0)
        ctx.reply(self.count)


async def test_an_actor_never_waits_for_room_in_its_own_mailbox() -> None:
    """[ACTOR-5]"""
    async with ActorSystem(mailbox_size=1) as system:
        busy = await system.spawn(Busy)
        assert await busy.ask(10) == 1
        assert await busy.ask(0) == 12


async def test_a_held_back_sender_outlasts_messages_the_actor_sends_itself() -> None:
    """[ACTOR-5]"""
    async with ActorSystem(mailbox_size=1) as system:
        busy = await system.spawn(Busy)
        asks = [asyncio.create_task(busy.ask(number)) for number in (3, 0, 0)]
        sends = [asyncio.create_task(busy.send(0)) for _ in range(3)]
        await asyncio.gather(*asks, *sends)
        assert await busy.ask(0) == 10


async def test_senders_held_back_are_let_go_when_the_actor_stops() -> None:
    """[ACTOR-5] Their messages are dead letters."""
    async with ActorSystem(mailbox_size=1) as system:
        recorder = await system.spawn(Recorder)
        await make_busy(recorder)
        senders = [asyncio.create_task(recorder.send(number)) for number in range(3)]
        await asyncio.sleep(0)
        await system.stop(recorder, timeout=0)
        await asyncio.gather(*senders)
        assert system.dead_letter_count == 3


async def test_askers_are_not_held_back_twice() -> None:
    """[ACTOR-5] An ask in a full mailbox takes its place at once, and waits for the answer only."""
    async with ActorSystem(mailbox_size=1) as system:
        recorder = await system.spawn(Recorder)
        pause = await make_busy(recorder)
        asks = [asyncio.create_task(recorder.ask("list")) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        pause.go.set()
        assert await asyncio.gather(*asks) == [[], [], []]


@pytest.mark.parametrize("size", [0, -1])
def test_a_mailbox_has_room_for_one_message_at_least(size: int) -> None:
    """[ACTOR-5]"""
    with pytest.raises(ValueError, match=f"mailbox_size must be at least 1, not {size}"):
        ActorSystem(mailbox_size=size)
