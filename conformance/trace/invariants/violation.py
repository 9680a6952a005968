"""One broken invariant, with the observations that contradict each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """What a trace proves against a node.

    `records` are the indexes, from 0, of the records that show it, in the order in which `text` names them.
    """

    invariant: str
    """W1 … W12"""
    rules: tuple[str, ...]
    """Of the specification"""
    node: str | None
    time: float
    records: tuple[int, ...]
    text: str
    harness: bool = False
    """Whether it was said by the suite itself, by mistake: then it proves nothing against the nodes"""

    def __str__(self) -> str:
        return f"{self.invariant} {self.node}: {self.text} [{', '.join(self.rules)}]"
