"""One listener that relays every connection to one target.

By itself it alters nothing: without a judge, bytes go on as they come, and a FIN, a RST or a half-closed
connection is passed on as what it was. It only tells a trace what it sees.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from conformance._protocol import FRAME_BYTES_MAX
from conformance.addresses import next_address_after
from conformance.proxy.connection import Connection

if TYPE_CHECKING:
    from conformance.proxy.connection import Recorder
    from conformance.proxy.endpoint import Endpoint
    from conformance.proxy.faults import Faults


class Relay:
    """Accepts connections meant for `listener`, a name for the trace, and dials its address, `target`.

    `dialler` is who dials here, where the hello cannot tell. `is_opaque` says not to look for frames at all, as
    with TLS. A frame over `limit` passes as bytes, and so does all that follows it. `judge` decides what is
    done to frames.
    """

    def __init__(
        self,
        trace: Recorder,
        listener: str,
        target: str | None = None,
        *,
        dialler: str | None = None,
        is_opaque: bool = False,
        judge: Faults | None = None,
        limit: int = FRAME_BYTES_MAX,
    ) -> None:
        self.trace = trace
        self.listener = listener
        self.dialler = dialler
        self.is_opaque = is_opaque
        self.judge = judge
        self.limit = limit
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self.serve(target)

    def serve(self, target: str | None) -> None:
        """Where new connections go: ``host:port``, or nowhere, which resets them. Those that are open stay."""
        self._target = None if target is None else split_address(target)

    async def start(self, listen: str = "127.0.0.1:0") -> str:
        """Listens, and returns the address; port 0 takes a free one. Raises `OSError` where it cannot."""
        host, port = split_address(listen)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, host, port)
        name = self._server.sockets[0].getsockname()
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    async def close(self) -> None:
        """Resets every connection and stops listening; returns when all sockets are closed."""
        if self._server is not None:
            self._server.close()
        left = list(self.connections)
        for connection in left:
            connection.reset()
        dials = [connection.dialling for connection in left if connection.dialling is not None]
        for dial in dials:
            dial.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
        for connection in left:
            await connection.gone.wait()

    async def dial(self, endpoint: Endpoint) -> None:
        """Connects an endpoint to the target. Raises `OSError` where nobody serves."""
        if self._target is None:
            raise ConnectionRefusedError(f"{self.listener} does not listen")
        loop = asyncio.get_running_loop()
        await loop.create_connection(
            lambda: endpoint, *self._target, happy_eyeballs_delay=next_address_after(self._target[0])
        )

    def forget(self, connection: Connection) -> None:
        """Called by a connection that is over."""
        self.connections.discard(connection)

    def _accept(self) -> Endpoint:
        connection = Connection(self)
        self.connections.add(connection)
        return connection.dialler_end


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[v6]:port``. Raises `ValueError` for anything else."""
    host, colon, port = address.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"address is {address!r}; expected host:port or [v6]:port")
    return host, int(port)
