"""Reading what lies on the disk again, slowly, to learn of damage while other servers still hold a copy of it.

A damaged segment is otherwise noticed at the next start, which then fails: the server's vote and its copy are
lost at once, perhaps together with another's.
"""

from __future__ import annotations

import logging
from threading import Event, Thread
from typing import TYPE_CHECKING, Final
from zlib import crc32

from casty.storage import snapshots
from casty.storage.records import scan
from casty.storage.segments import closed_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from casty.storage.contents import SnapshotRef
    from casty.storage.directory import Directory

logger = logging.getLogger("casty.storage")

PAUSE_SECONDS: Final = 3600.0
"""Between the end of one round and the beginning of the next."""


class Scrubber:
    """Verifies the closed segments and the snapshot, round after round, at `bytes_per_second`, in its own
    thread.

    Damage is one ERROR line for each file, with the offset; nothing is changed, and the server goes on. A file
    that is removed meanwhile is passed over.
    """

    def __init__(
        self,
        directory: Directory,
        snapshot: Callable[[], SnapshotRef | None],
        bytes_per_second: int,
        *,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._directory = directory
        self._snapshot = snapshot
        self._rate = bytes_per_second
        self._pause = pause_seconds
        self._ended = Event()
        self._known: set[str] = set()
        """Files whose damage has been reported."""
        self._thread = Thread(target=self._run, name="casty-scrubber", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends it; blocks until what it reads at the moment has been read."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._pause):
            for name, damage in self._round():
                if name not in self._known:
                    self._known.add(name)
                    text = "%s: %s; restore it from a majority of the others before another disk fails"
                    logger.error(text, self._directory.path / name, damage)

    def _round(self) -> Iterator[tuple[str, str]]:
        """Each damaged file, and what is wrong with it."""
        for name in closed_names(self._directory.names()):
            if (damage := self._read(name, self._segment)) is not None:
                yield name, damage
        ref = self._snapshot()
        if ref is not None:
            name = snapshots.name_of(ref)
            if (damage := self._read(name, lambda path: self._data(path, ref))) is not None:
                yield name, damage

    def _read(self, name: str, verify: Callable[[str], str | None]) -> str | None:
        try:
            return None if self._ended.is_set() else verify(name)
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"cannot be read: {error}"

    def _segment(self, name: str) -> str | None:
        found = scan(b"".join(self._pieces(name)))
        if self._ended.is_set() or found.damage is None:
            return None
        return f"corrupt at offset {found.damage.offset}: {found.damage.text}"

    def _data(self, name: str, ref: SnapshotRef) -> str | None:
        pieces = self._pieces(name)
        start = snapshots.header_size(ref)
        size, checksum = -start, 0
        for piece in pieces:
            checksum = crc32(piece[max(0, -size) :], checksum)
            size += len(piece)
        if self._ended.is_set() or (size, checksum) == (ref.size, ref.checksum):
            return None
        return (
            f"corrupt: {size} bytes with checksum {checksum:08x}; expected {ref.size} with {ref.checksum:08x}"
        )

    def _pieces(self, name: str) -> Iterator[bytes]:
        """The file in pieces, from the disk and not from the cache, as slowly as it shall be read."""
        for piece in self._directory.read_uncached(name):
            yield piece
            if self._ended.wait(len(piece) / self._rate):
                return
