"""Says goodbye to everybody as soon as they are there."""

from __future__ import annotations

import socket

from conformance.miniatures.contract import run


def leave(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass  # closed with something unread, it would be reset at times


run("accept_and_close", leave)
