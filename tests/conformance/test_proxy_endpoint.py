"""An endpoint loses nothing that had arrived when its socket fails."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

from conformance.proxy.endpoint import Endpoint
from tests.support import run


class Log:
    """An owner that takes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def endpoint_open(self, endpoint: Endpoint) -> None:
        self.told.append("open")

    def endpoint_wanted(self, endpoint: Endpoint) -> None:
        self.told.append("wanted")

    def endpoint_data(self, endpoint: Endpoint, data: bytes) -> None:
        self.told.append(data)

    def endpoint_end(self, endpoint: Endpoint, how: str) -> None:
        self.told.append(how)

    def endpoint_flow(self, endpoint: Endpoint) -> None:
        self.told.append("flow")

    def endpoint_lost(self, endpoint: Endpoint) -> None:
        self.told.append("lost")


class Held:
    """A transport of which only the socket is asked."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True

    def get_extra_info(self, name: str) -> socket.socket:
        assert name == "socket"
        return self._sock


def test_what_arrived_before_a_write_failed_is_still_read() -> None:
    async def main() -> None:
        log = Log()
        endpoint = Endpoint(log)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            endpoint.connection_made(cast("asyncio.Transport", Held(ours)))
            theirs.sendall(b"what was wrong")
            theirs.close()
            # As asyncio does after EPIPE, with the socket still open.
            endpoint.connection_lost(BrokenPipeError())
        assert log.told == ["open", b"what was wrong", "reset", "lost"]
        assert (endpoint.is_lost, endpoint.is_open, endpoint.gone.is_set()) == (True, False, True)

    run(main())


def test_the_end_of_a_connection_that_was_reset_meanwhile_is_no_mistake() -> None:
    async def main() -> None:
        log = Log()
        endpoint = Endpoint(log)
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as server:
            await loop.create_connection(lambda: endpoint, *server.getsockname())
            theirs, _ = server.accept()
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs.close()
            endpoint.end("fin")  # before the loop has seen the RST
            await endpoint.gone.wait()
        assert log.told[0] == "open"
        assert log.told[-1] == "lost"

    run(main())


def test_a_connection_that_comes_too_late_is_aborted() -> None:
    async def main() -> None:
        log = Log()
        endpoint = Endpoint(log)
        endpoint.reset()
        with socket.socket() as sock:
            transport = Held(sock)
            endpoint.connection_made(cast("asyncio.Transport", transport))
            assert transport.is_aborted
            endpoint.connection_lost(None)
        assert log.told == ["lost", "lost"]

    run(main())


def test_a_socket_that_never_was_can_be_reset_and_is_wanted_no_more() -> None:
    async def main() -> None:
        log = Log()
        endpoint = Endpoint(log)
        endpoint.open()
        endpoint.reset()
        endpoint.open()
        endpoint.write(b"nobody")
        endpoint.end("fin")
        endpoint.close()
        assert log.told == ["wanted", "lost"]

    run(main())
