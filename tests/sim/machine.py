"""The replicated state machine of the simulation: a digest of every command, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from casty.raft.types import EntryKind

if TYPE_CHECKING:
    from casty.raft.types import Entry


class StateMachine:
    """Equal states have equal digests at an equal index, whether they came by entries or by a snapshot."""

    __slots__ = ("applied", "commands", "digest")

    def __init__(self) -> None:
        self.applied = 0
        self.commands = 0
        self.digest = 0

    def apply(self, index: int, entry: Entry) -> None:
        self.applied = index
        if entry.kind is EntryKind.COMMAND:
            self.commands += 1
            self.digest = crc32(entry.data, self.digest)

    def serialise(self, padding: int) -> bytes:
        """The state as bytes; the padding makes snapshots of several chunks, and depends on the index alone."""
        head = f"{self.applied} {self.commands} {self.digest} ".encode()
        return head + b"." * (self.applied * 37 % padding if padding else 0)

    def restore(self, data: bytes) -> None:
        applied, commands, digest, _ = data.split(b" ")
        self.applied, self.commands, self.digest = int(applied), int(commands), int(digest)
