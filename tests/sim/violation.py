"""What a checker raises: the invariant that broke, and the facts that show it."""

from __future__ import annotations


class Violation(AssertionError):
    """A cluster did what its rules forbid. `invariant` is a short name, `text` the evidence."""

    def __init__(self, invariant: str, text: str) -> None:
        self.invariant = invariant
        self.text = text
        super().__init__(f"{invariant}: {text}")
