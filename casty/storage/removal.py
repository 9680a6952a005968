"""Removing files that nothing refers to any more, in a thread of its own: no write waits for it."""

from __future__ import annotations

import logging
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casty.storage.directory import Directory

logger = logging.getLogger("casty.storage")


class Remover:
    """Removes files in the order in which they are given.

    One that cannot be removed is named in the log; it is tried again with the next, and until then those after
    it stay, too: of the segments, a crash must leave the newer ones (STORE-13).

    Each removal is followed by a sync of the directory (STORE-9), which takes as long as one of the log: a
    snapshot that replaces many segments would stop all commits for as long as that takes many times. Without
    `threaded`, `remove` does it at once: for tests that want every system call in one thread.
    """

    def __init__(self, directory: Directory, *, threaded: bool = True) -> None:
        self._directory = directory
        self._threaded = threaded
        self._left: list[str] = []
        self._names: SimpleQueue[Sequence[str] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def remove(self, names: Sequence[str]) -> None:
        """Queues the files; never blocks."""
        if not self._threaded:
            self._remove(names)
            return
        if names:
            self._names.put(names)
        if names and self._thread is None:
            self._thread = Thread(target=self._run, name="casty-remover", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Blocks until all that was queued is removed."""
        if self._thread is not None:
            self._names.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (names := self._names.get()) is not None:
            self._remove(names)

    def _remove(self, names: Sequence[str]) -> None:
        self._left += names
        while self._left:
            try:
                self._directory.remove(self._left[:1])
            except OSError as error:
                path, count = self._directory.path, len(self._left)
                logger.warning(
                    "%s: %d old files stay: %s cannot be removed: %s", path, count, self._left[0], error
                )
                return
            del self._left[0]
