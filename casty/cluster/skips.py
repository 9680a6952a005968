"""Which entries of the log an operator has decided to skip. Pure.

Only for an entry that no member can read. Each member is told the same, and decides by the entry alone, never
by whether it could read it; so all of them have the same state afterwards.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zlib import crc32

from casty.raft.types import EntryKind, Index

if TYPE_CHECKING:
    from collections.abc import Iterable

    from casty.raft.types import Entry

_NAME = re.compile(r"([1-9][0-9]{0,18}):([1-9][0-9]{0,18}):([0-9a-f]{8})", re.ASCII)


def name_of(index: Index, entry: Entry) -> str:
    """What names one entry among all that could ever stand at its index: index, term and CRC-32 of its data."""
    return f"{index}:{entry.term}:{crc32(entry.data):08x}"


def checked_name(text: str) -> str:
    """The name of an entry. Raises ValueError for what is none."""
    if _NAME.fullmatch(text) is None:
        msg = f"an entry to skip is named INDEX:TERM:CHECKSUM, such as 4711:3:9a0b1c2d, not {text!r:.80}"
        raise ValueError(msg)
    return text


class Skips:
    """The entries to skip, by their names. Raises ValueError for what is no name, and for two of one index."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        if isinstance(names, str):  # an iterable, too, of names of one letter
            msg = f"skip_entries must be a collection of names, not {names!r:.80}"
            raise TypeError(msg)
        self._names: dict[Index, str] = {}
        for name in map(checked_name, names):
            index = Index(int(name.partition(":")[0]))
            if (other := self._names.setdefault(index, name)) != name:
                msg = f"skip_entries names two entries of one index: {other} and {name}"
                raise ValueError(msg)

    def skips(self, index: Index, entry: Entry) -> bool:
        """Whether the entry is to be skipped. Raises ValueError where another one is named for its index."""
        name = self._names.get(index)
        if name is None:
            return False
        here = name_of(index, entry)
        if entry.kind is not EntryKind.COMMAND or name != here:
            what = here if entry.kind is EntryKind.COMMAND else f"no command but a {entry.kind} entry"
            msg = f"skip_entries names {name}, but entry {index} is {what} on this node; nothing was skipped"
            raise ValueError(msg)
        return True

    def up_to(self, index: Index) -> list[str]:
        """The names of those that are at this index or before it."""
        return [name for at, name in self._names.items() if at <= index]
