"""What every miniature does: describe itself, refuse what it cannot do, listen, say READY, end when told to."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

type Handler = Callable[[socket.socket], None]


def describe(name: str, caps: tuple[str, ...] = ()) -> None:
    """Does what LAUNCH-5 asks for; returns where the node is to start."""
    if "--describe" in sys.argv:
        print(json.dumps(described(name, caps)))
        raise SystemExit(0)
    asked = filter(None, os.environ.get("CF_CAPS", "").split(","))
    if unknown := set(asked).difference(caps):
        print(f"no such capability: {', '.join(sorted(unknown))}", file=sys.stderr)
        raise SystemExit(127)


def described(name: str, caps: tuple[str, ...] = ()) -> dict[str, object]:
    return {"impl": f"miniature/{name}", "protocol": 1, "caps": [*caps]}


def node_id() -> str:
    return os.environ.get("CF_NODE_ID", "n1")


def listen() -> socket.socket:
    """A listening socket on a port of the system's choice."""
    return socket.create_server(("127.0.0.1", 0))


def say_ready(name: str, server: socket.socket) -> None:
    """The one line."""
    host, port = server.getsockname()
    line = {"listen": f"{host}:{port}", "node_id": node_id(), **described(name)}
    print("READY " + json.dumps(line), flush=True)


def serve(server: socket.socket, handler: Handler) -> None:
    """Has `handler` talk to everybody who connects, each in a thread that ends with the process."""

    def accept() -> None:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        try:
            with connection:
                handler(connection)
        except OSError:
            pass  # the other side is gone

    threading.Thread(target=accept, daemon=True).start()


def wait_for_the_end() -> None:
    """Ends the process with SIGTERM or the end of its standard input (LAUNCH-4)."""

    def leave(*_: object) -> None:
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    while os.read(0, 1024):
        pass
    os._exit(0)


def run(name: str, handler: Handler) -> None:
    """A whole node that talks like this."""
    describe(name)
    server = listen()
    serve(server, handler)
    say_ready(name, server)
    wait_for_the_end()
