"""The hierarchy: who spawned whom, in which order."""

from __future__ import annotations

from typing import Any


class Family[C: Family[Any]]:
    """A place in a hierarchy of Cs: a parent or none, and any number of children."""

    __slots__ = ("_children", "parent")

    def __init__(self, parent: C | None) -> None:
        self.parent = parent
        # A dict for its order; made for the first child, for most actors never have one.
        self._children: dict[C, None] | None = None

    def adopt(self, child: C) -> None:
        if self._children is None:
            self._children = {}
        self._children[child] = None

    def disown(self, child: C) -> None:
        assert self._children is not None, "only a child can be disowned"
        del self._children[child]

    @property
    def children(self) -> tuple[C, ...]:
        """The oldest first."""
        return tuple(self._children or ())

    def subtree(self: C) -> list[C]:
        """This one and all below it, parents before their children."""
        members = [self]
        for member in members:
            members.extend(member.children)
        return members
