"""What this node shows under TLS, and whom it believes: what its files say now.

A certificate is renewed by replacing files, one after the other, while connections come and go. So the files
are looked at before each connection, and read again where they have changed. What cannot be used, as a
certificate whose key has not been written yet, changes nothing: the last that could be used stays.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from casty.cluster.tls import TLS

SETTLED_AFTER = 2.0
"""Seconds after which each change of a file shows in its times. Files that are younger are read each time."""


class _Contexts(NamedTuple):
    server: ssl.SSLContext
    client: ssl.SSLContext


class Certificates:
    """Contexts for new connections. `note` is told of each change, and of files that cannot be used: the text,
    and whether it is trouble."""

    def __init__(self, tls: TLS, note: Callable[[str, bool], None]) -> None:
        """Raises ssl.SSLError, naming the file, where one cannot be used."""
        self._tls = tls
        self._note = note
        self._stamp: object = None
        """The files' places, sizes and times when they were read."""
        self._is_settled = False
        """A later change of the files shows in that stamp."""
        self._is_broken = False
        self._in_use = self._read()

    def for_accepting(self) -> ssl.SSLContext:
        return self._latest().server

    def for_dialling(self) -> ssl.SSLContext:
        return self._latest().client

    def _latest(self) -> _Contexts:
        before, was_broken = self._stamp, self._is_broken
        try:
            if not self._is_settled or self._look()[0] != before:
                self._in_use = self._read()
        except OSError as error:  # ssl.SSLError is one
            self._is_settled, self._is_broken = False, True
            self._note(f"keeps the TLS certificate it has: {error}", True)
        else:
            self._is_broken = False
            if was_broken or self._stamp != before:
                self._note(f"uses the TLS certificate in {self._tls.cert}, read anew", False)
        return self._in_use

    def _read(self) -> _Contexts:
        started = time.time()
        stamp, changed = self._look()
        contexts = _Contexts(self._tls.server_context(), self._tls.client_context())
        self._stamp = stamp
        self._is_settled = stamp is not None and abs(started - changed) >= SETTLED_AFTER
        return contexts

    def _look(self) -> tuple[object, float]:
        """What tells these files from others (None: one is not there), and when the last of them changed."""
        try:
            found = [os.stat(path) for path in (self._tls.cert, self._tls.key, self._tls.ca)]
        except OSError:
            return None, 0.0
        stamp = [(f.st_dev, f.st_ino, f.st_size, f.st_mtime_ns, f.st_ctime_ns) for f in found]
        return stamp, max(max(f.st_mtime, f.st_ctime) for f in found)
