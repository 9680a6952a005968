"""Is ready, and then prints without end."""

from __future__ import annotations

import os
import threading

from conformance.miniatures.contract import describe, listen, say_ready, serve, wait_for_the_end
from conformance.miniatures.follower import talks


def flood() -> None:
    while True:
        os.write(1, b"all is well " * 1000)


describe("floods_stdout")
server = listen()
serve(server, talks(votes=lambda _: True, takes=lambda _: True))
say_ready("floods_stdout", server)
threading.Thread(target=flood, daemon=True).start()
wait_for_the_end()
