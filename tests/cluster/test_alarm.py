"""One timer that can be moved."""

from __future__ import annotations

import asyncio

from casty.cluster.alarm import Alarm
from tests.support import run


def test_an_alarm_rings_once_at_the_time_it_was_last_set_to() -> None:
    """ELECT-2: moved later and earlier, never too early."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        rang: list[float] = []
        alarm = Alarm(lambda: rang.append(loop.time()))
        begun = loop.time()
        alarm.set(loop, begun + 0.02)
        alarm.set(loop, begun + 0.06)
        await asyncio.sleep(0.03)
        assert rang == []
        await asyncio.sleep(0.06)
        assert len(rang) == 1
        assert rang[0] >= begun + 0.06
        alarm.set(loop, begun + 99)
        alarm.set(loop, loop.time() + 0.01)
        await asyncio.sleep(0.03)
        assert len(rang) == 2

    run(main())


def test_an_alarm_can_be_taken_back_and_hastened() -> None:
    """None means never; `hasten` moves it earlier only."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        rang: list[int] = []
        alarm = Alarm(lambda: rang.append(1))
        now = loop.time()
        alarm.set(loop, now + 0.01)
        alarm.set(loop, None)
        await asyncio.sleep(0.03)
        assert rang == []
        alarm.set(loop, loop.time() + 0.01)
        alarm.cancel()
        alarm.cancel()
        await asyncio.sleep(0.03)
        assert rang == []
        alarm.hasten(loop, loop.time() + 0.02)
        alarm.hasten(loop, loop.time() + 99)
        await asyncio.sleep(0.05)
        assert rang == [1]
        alarm.set(loop, loop.time() + 99)
        alarm.hasten(loop, loop.time())
        await asyncio.sleep(0.02)
        assert rang == [1, 1]

    run(main())


def test_an_alarm_may_be_set_while_it_rings() -> None:
    """The core sets it after each step."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        rang: list[int] = []

        def ring() -> None:
            rang.append(1)
            if len(rang) < 3:
                alarm.set(loop, loop.time())
            else:
                done.set_result(None)

        alarm = Alarm(ring)
        alarm.set(loop, loop.time() - 1)
        await done
        assert rang == [1, 1, 1]

    run(main())
