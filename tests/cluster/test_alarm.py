"""One timer that can be moved, on a loop whose time a test turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from casty.cluster.alarm import Alarm

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Handle:
    def __init__(self, when: float) -> None:
        self._when = when
        self.is_cancelled = False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """What an alarm needs of a loop."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[Handle, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., None], *args: Any) -> Handle:
        handle = Handle(when)
        self.timers.append((handle, lambda: callback(*args)))
        return handle

    def turn_to(self, now: float) -> None:
        """Lets time pass; as asyncio does, a timer may fire a hair too early."""
        self.now = now
        due = [timer for timer in self.timers if timer[0].when() <= now + 1e-9]
        self.timers = [timer for timer in self.timers if timer not in due]
        for handle, fire in due:
            if not handle.is_cancelled:
                fire()

    @property
    def armed(self) -> int:
        return sum(not handle.is_cancelled for handle, _ in self.timers)


def made() -> tuple[Clock, asyncio.AbstractEventLoop, Alarm, list[float]]:
    clock = Clock()
    rang: list[float] = []
    return clock, cast("asyncio.AbstractEventLoop", clock), Alarm(lambda: rang.append(clock.now)), rang


def test_an_alarm_rings_once_at_the_time_it_was_last_set_to() -> None:
    """ELECT-2: moved later costs no new timer; moved earlier it is earlier; it never rings too early."""
    clock, loop, alarm, rang = made()
    alarm.set(loop, 2.0)
    alarm.set(loop, 6.0)
    assert len(clock.timers) == 1
    clock.turn_to(3.0)
    assert rang == []
    clock.turn_to(6.0 - 1e-10)
    assert rang == []
    clock.turn_to(6.0)
    clock.turn_to(7.0)
    assert rang == [6.0]
    alarm.set(loop, 99.0)
    alarm.set(loop, 8.0)
    assert clock.armed == 1
    clock.turn_to(8.0)
    clock.turn_to(100.0)
    assert rang == [6.0, 8.0]


def test_an_alarm_can_be_taken_back() -> None:
    """None means never; `cancel` lets go of the loop, too."""
    clock, loop, alarm, rang = made()
    alarm.set(loop, 1.0)
    alarm.set(loop, None)
    clock.turn_to(2.0)
    alarm.set(loop, 3.0)
    alarm.cancel()
    alarm.cancel()
    assert clock.armed == 0
    clock.turn_to(4.0)
    assert rang == []


def test_an_alarm_can_be_hastened_but_not_delayed() -> None:
    """PEER-5: many failures in a row are followed up once, and soon."""
    clock, loop, alarm, rang = made()
    alarm.hasten(loop, 2.0)
    alarm.hasten(loop, 9.0)
    clock.turn_to(2.0)
    alarm.set(loop, 99.0)
    alarm.hasten(loop, 3.0)
    clock.turn_to(3.0)
    clock.turn_to(99.0)
    assert rang == [2.0, 3.0]


def test_an_alarm_may_be_set_while_it_rings() -> None:
    """The core sets it after each step."""
    clock = Clock()
    loop = cast("asyncio.AbstractEventLoop", clock)
    rang: list[float] = []

    def ring() -> None:
        rang.append(clock.now)
        alarm.set(loop, clock.now + 1)

    alarm = Alarm(ring)
    alarm.set(loop, 0.0)
    for now in range(3):
        clock.turn_to(float(now))
    assert rang == [0.0, 1.0, 2.0]
