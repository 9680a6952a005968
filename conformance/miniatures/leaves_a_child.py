"""Starts a process that outlives it, in a session of its own and with all that it has inherited."""

from __future__ import annotations

import subprocess
import sys

from conformance.miniatures.contract import describe, listen, say_ready, serve, wait_for_the_end
from conformance.miniatures.follower import talks

describe("leaves_a_child")
subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
server = listen()
serve(server, talks(votes=lambda _: True, takes=lambda _: True))
say_ready("leaves_a_child", server)
wait_for_the_end()
