"""Collects traces for a test: those that prove a violation, and those that only look like it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conformance.script import Script

type Tale = Callable[[], Script]


class Tales:
    """Functions that write a trace, by what they prove. Their names say what happens."""

    def __init__(self) -> None:
        self.bad: list[tuple[str, Tale]] = []
        self.good: list[tuple[str, Tale]] = []

    def proves(self, invariant: str) -> Callable[[Tale], Tale]:
        """The trace breaks this invariant, and no other."""

        def keep(tale: Tale) -> Tale:
            self.bad.append((invariant, tale))
            return tale

        return keep

    def only_looks_like(self, invariant: str) -> Callable[[Tale], Tale]:
        """The trace breaks none, though it comes close to breaking this one."""

        def keep(tale: Tale) -> Tale:
            self.good.append((invariant, tale))
            return tale

        return keep


def name(item: object) -> str:
    """For the ids of parametrized tests."""
    return getattr(item, "__name__", str(item)).strip("_")
