"""Messages between nodes: in order, at most once, and dead letters where nobody takes them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgpack
import pytest

from casty import DeadLetter, MailboxFullError
from casty.cluster import link as link_module
from casty.wire import _protocol as p
from tests.cluster.actors import Counter, Echo, Keeper, Point, spawned
from tests.cluster.harness import client, meshed, pair, until, within
from tests.cluster.peers import peer_of
from tests.support import logged


async def test_messages_of_one_sender_arrive_in_order_sends_and_asks_alike() -> None:
    """MSG-2."""
    async with pair() as (a, b):
        keeper = await spawned(a, Keeper(), "keeper")
        ref = await b.lookup("keeper")
        asks: list[asyncio.Task[Any]] = []
        for number in range(0, 1000, 2):
            await ref.send(number)
            asks.append(asyncio.create_task(ref.ask(number + 1)))
            await asyncio.sleep(0)
        await asyncio.gather(*asks)
        assert keeper.kept == list(range(1000))


async def test_a_mistake_that_is_made_with_each_message_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 41: nor does a peer fill the log with types, or complaints, that it invents."""
    monkeypatch.setattr(link_module, "COMPLAINTS_MAX", 4)
    letters: list[DeadLetter] = []
    async with client(node_id="a", trusted_modules=(), on_dead_letter=letters.append) as a:
        await a.spawn(Echo, name="echo")
        async with peer_of(a) as peer:
            for kind in (1, 1, 1, *range(2, 9)):
                body = msgpack.packb([f"shop:Type{kind}", {}])
                peer.say(p.ACTOR_MSG, "echo", msgpack.ExtType(1, body))
                peer.say(p.ERROR, "", {"code": "BAD_PAYLOAD", "rule": "FRAME-5", "text": f"no {kind}"})
            await until(lambda: len(letters) == 10)
    told = [line for line in logged(caplog) if "shop:Type" in line or "says" in line]
    assert [line.partition("dropped: ")[2][:16] or line for line in told] == [
        "type 'shop:Type1",
        "node peer says: no 1 ['BAD_PAYLOAD', 'FRAME-5']",
        "type 'shop:Type2",
        "node peer says: no 2 ['BAD_PAYLOAD', 'FRAME-5']",
    ]


async def test_an_ask_of_a_full_mailbox_is_refused_and_a_message_is_a_dead_letter() -> None:
    """MSG-3; actors.md rule 14."""
    letters: list[DeadLetter] = []
    async with (
        client(node_id="a", mailbox_size=1, on_dead_letter=letters.append) as a,
        client(a, node_id="b") as b,
    ):
        await meshed(a, b)
        busy = asyncio.Event()

        class Busy(Echo):
            async def receive(self, msg: Any, ctx: Any) -> None:
                busy.set()
                await asyncio.Event().wait()

        ref = await a.spawn(Busy, name="busy")
        far = await b.lookup("busy")
        await far.send(1)
        await within(busy.wait())
        await far.send(2)
        with pytest.raises(MailboxFullError):
            await far.ask(3)
        await far.send(4)
        await until(lambda: letters)
        assert [letter.message for letter in letters] == [4]
        await a.stop(ref, timeout=0.01)


async def test_what_cannot_be_delivered_is_a_dead_letter_and_never_an_error() -> None:
    """MSG-1, MSG-12; actors.md rule 11."""
    here: list[DeadLetter] = []
    there: list[DeadLetter] = []
    async with (
        client(node_id="a", on_dead_letter=there.append, trusted_modules=()) as a,
        client(a, node_id="b", on_dead_letter=here.append) as b,
    ):
        await meshed(a, b)
        await a.spawn(Counter, name="counter")
        await b.ref("x", "y").send(1)
        await b.ref("a", "nobody").send(2)
        await b.ref("a", "counter").send("not accepted")
        await b.ref("a", "counter").send(Point(1))
        await until(lambda: len(there) == 3)
        assert [letter.reason for letter in here] == ["node x is not connected"]
        assert [(letter.address, letter.message) for letter in there] == [
            ("nobody", 2),
            ("counter", "not accepted"),
            ("counter", None),
        ]
        assert "not admitted" in there[2].reason
        assert (a.dead_letter_count, b.dead_letter_count) == (3, 1)
