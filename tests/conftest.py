"""A test that is a coroutine runs in a loop of its own, within a bound."""

from __future__ import annotations

import gc
import inspect
from typing import TYPE_CHECKING

import pytest

from tests.support import run

if TYPE_CHECKING:
    from collections.abc import Generator

pytest_plugins = ["tests.skips"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Takes all that was collected out of the garbage collector's sight.

    It stays until the end, and each full collection would go through it again: that took a fifth of the
    time of the tests that make many objects.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs the coroutine; leaves every other test to pytest."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = inspect.signature(pyfuncitem.obj).parameters
    run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in arguments}))
    return True
