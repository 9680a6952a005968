"""Says READY twice."""

from __future__ import annotations

from conformance.miniatures.contract import describe, listen, say_ready, serve, wait_for_the_end
from conformance.miniatures.follower import talks

describe("two_ready_lines")
server = listen()
serve(server, talks(votes=lambda _: True, takes=lambda _: True))
say_ready("two_ready_lines", server)
say_ready("two_ready_lines", server)
wait_for_the_end()
