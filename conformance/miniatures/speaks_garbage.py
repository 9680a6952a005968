"""Says something else than a hello, and something else than frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.miniatures.contract import run

if TYPE_CHECKING:
    import socket


def babble(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: \x1b[31mnobody\x1b[0m\r\n\r\n" * 4)
    while connection.recv(65536):
        pass


run("speaks_garbage", babble)
