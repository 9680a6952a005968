"""Sends back whatever it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.miniatures.contract import run

if TYPE_CHECKING:
    import socket


def echo(connection: socket.socket) -> None:
    while data := connection.recv(65536):
        connection.sendall(data)


run("echo_all", echo)
