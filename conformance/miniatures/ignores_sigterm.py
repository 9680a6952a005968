"""Ends neither with SIGTERM nor with the end of its standard input."""

from __future__ import annotations

import signal
import threading

from conformance.miniatures.contract import describe, listen, say_ready, serve
from conformance.miniatures.follower import talks

describe("ignores_sigterm")
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
server = listen()
serve(server, talks(votes=lambda _: True, takes=lambda _: True))
say_ready("ignores_sigterm", server)
threading.Event().wait()
