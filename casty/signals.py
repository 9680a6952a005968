"""How a node's process is told to end: by SIGTERM or SIGINT, at any moment, however often (LAUNCH-4).

While it starts there is nothing yet that must be ended in order, so it ends at once. While it serves, it is
told. When it has ended it is told nothing more. It ends with status 0 in each of these cases; only what comes
before the first instruction of the program cannot be caught. This module imports nothing that takes long, to be
that early.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

NUMBERS = (signal.SIGTERM, signal.SIGINT)


def end_at_once() -> None:
    """From here on, and around `heard`, a signal ends the process."""
    for number in NUMBERS:
        signal.signal(number, _end)


@contextlib.contextmanager
def heard(tell: Callable[[], object]) -> Generator[None]:
    """In this block `tell` is called, in the main thread, at each signal. It may be called at any
    instruction."""
    handler = _Handler(tell)
    before = {number: signal.signal(number, handler) for number in NUMBERS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, signal.SIG_DFL if former is None else former)


def ignore() -> None:
    """From here on a signal changes nothing: the process ends anyway, with the status that it has."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


class _Handler:
    def __init__(self, tell: Callable[[], object]) -> None:
        self._tell = tell

    def __call__(self, number: int, frame: Any) -> None:
        self._tell()


def _end(number: int, frame: Any) -> None:
    os._exit(0)  # no exception, which may come where it is swallowed; there is nothing to flush


def _hear_as_others() -> None:
    """A child made by fork is no node: it ends by a signal as every process does."""
    for number in NUMBERS:
        handler = signal.getsignal(number)
        if handler is _end or isinstance(handler, _Handler):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


os.register_at_fork(after_in_child=_hear_as_others)
