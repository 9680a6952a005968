"""Says yes to every capability that it is asked for."""

from __future__ import annotations

import json
import sys

from conformance.miniatures.contract import described, listen, say_ready, serve, wait_for_the_end
from conformance.miniatures.follower import talks

if "--describe" in sys.argv:
    print(json.dumps(described("dishonest", ("introspect", "snapshot", "tls"))))
else:
    server = listen()
    serve(server, talks(votes=lambda _: True, takes=lambda _: True))
    say_ready("dishonest", server)
    wait_for_the_end()
