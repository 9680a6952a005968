"""Remote asks in time, and several at once: one alarm for all deadlines, one go for what came together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.arguments import SECONDS_MAX
from casty.errors import AskTimeoutError
from casty.wire import _protocol as p
from casty.wire.frames import encode_frame
from casty.wire.packing import pack
from tests.cluster.actors import Echo, Mute
from tests.cluster.harness import client
from tests.cluster.peers import peer_of
from tests.support import run


def test_each_ask_ends_at_its_own_deadline() -> None:
    """MSG-3: whatever the others' are."""

    async def main() -> None:
        async with client(node_id="a") as a:
            await a.spawn(Mute, name="mute")
            await a.spawn(Echo, name="echo")
            async with client(a.listen, node_id="b") as b:
                mute, echo = [await b.lookup(name, timeout=10) for name in ("mute", "echo")]
                ended: list[float] = []

                async def ask(timeout: float) -> None:
                    text = f"^actor mute on node a gave no answer to int in {timeout:g} s: "
                    with pytest.raises(AskTimeoutError, match=text):
                        await mute.ask(1, timeout=timeout)
                    ended.append(timeout)

                long = asyncio.create_task(mute.ask(1, timeout=1000))
                # In this order: on a busy machine much may pass between the start of one and of the next.
                await asyncio.gather(ask(0.0), ask(0.02), ask(0.1), ask(0.2))
                assert ended == [0.0, 0.02, 0.1, 0.2]
                assert await echo.ask(5, timeout=SECONDS_MAX) == 5
                assert await echo.ask(6, timeout=None) == 6
                assert len(b.asks) == 1
                long.cancel()
                await asyncio.wait([long])
                assert len(b.asks) == 0

    run(main())


def test_asks_that_come_together_are_answered_one_by_one_and_in_order() -> None:
    """MSG-2, MSG-3: by each actor, however many are in one read, and whoever they are for."""

    async def main() -> None:
        async with client(node_id="a") as a:
            await a.spawn(Echo, name="one")
            await a.spawn(Echo, name="two")
            async with peer_of(a) as speaker:
                names = ["one", "two", "nobody"]
                asks = [
                    encode_frame(p.ASK_REQ, names[n % 3], pack({"id": n, "message": n * 10})) for n in range(31)
                ]
                speaker.send(b"".join(asks))
                answers: list[dict[str, Any]] = []
                while len(answers) < 31:
                    said = await speaker.next()
                    if said.type == p.ASK_RES:
                        answers.append(said.payload)
                for which in range(3):
                    own = [answer for answer in answers if answer["id"] % 3 == which]
                    assert [answer["id"] for answer in own] == list(range(which, 31, 3))
                    if names[which] == "nobody":
                        assert {answer["code"] for answer in own} == {"ACTOR_NOT_FOUND"}
                    else:
                        assert [answer["value"] for answer in own] == [answer["id"] * 10 for answer in own]

    run(main())
