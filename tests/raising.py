"""What user code may raise, and the ways in which it may do so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.actors import Noted
from tests.support import UnspeakableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from casty.actor import Context


class OutcomeError(BaseException):
    """As of test frameworks: no Exception."""


class MuteError(BaseException):
    """Its text fails, and not with an Exception."""

    def __str__(self) -> str:
        raise OutcomeError

    __repr__ = __str__


class StuckError(Exception):
    """Can be neither copied nor pickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("stuck")

    def __reduce__(self) -> Any:
        raise TypeError("no copies")


class Text(str):
    """A str whose parts are no strs."""

    __slots__ = ()

    def __getitem__(self, key: object) -> Any:
        raise OutcomeError


class OddError(Exception):
    def __str__(self) -> str:
        return Text("odd")


def recurse() -> None:
    recurse()


def recursion_error() -> BaseException:
    try:
        recurse()
    except RecursionError as error:
        return error
    raise AssertionError


EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("oh"),
    "surrogate": lambda: ValueError("\udcff"),
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "OutcomeError": OutcomeError,
    "StopIteration": lambda: StopIteration(1),
    "StopAsyncIteration": StopAsyncIteration,
    "RecursionError": recursion_error,
    "MemoryError": MemoryError,
    "ExceptionGroup": lambda: ExceptionGroup("several", [ValueError(1), KeyError(2)]),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("several", [KeyboardInterrupt(), GeneratorExit()]),
    "UnspeakableError": UnspeakableError,
    "MuteError": MuteError,
    "StuckError": lambda: StuckError(1, 2),
    "OddError": OddError,
    "TimeoutError": TimeoutError,
}
WAYS = ["at once", "later", "thrown in"]
"""Before the actor's first await, which is where an ask may run it on the spot; after it; out of it."""


async def do_raise(error: BaseException, way: str) -> None:
    """Raises in one of the ways."""
    if way == "later":
        await asyncio.sleep(0)
    if way == "thrown in":
        await Throwing(error)
    raise error


class Throwing:
    """An awaitable that raises what it was given when it is resumed."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __await__(self) -> Any:
        yield
        raise self.error


class Raising(Noted):
    """Raises what it is asked to; `verdict` is what its on_error says."""

    def __init__(self, error: BaseException, way: str, *, verdict: bool = False) -> None:
        super().__init__([])
        self.error = error
        self.way = way
        self.verdict = verdict

    def on_error(self, exc: Exception) -> bool:
        assert isinstance(exc, Exception)
        return self.verdict

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        if msg == "raise":
            await do_raise(self.error, self.way)
        else:
            await super().receive(msg, ctx)
