"""Notices a RST on a socket that is not read any more.

After a FIN asyncio takes its eyes off a socket, since it would show as readable for ever. The other side may be
gone altogether, and answer what is written next with a RST; a relay has to pass that on without waiting for one
more write.
"""

from __future__ import annotations

import asyncio
import select
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket
    from collections.abc import Callable


class ResetWatch:
    """Calls `on_reset` once when the socket fails, until it is closed.

    An epoll of its own, asked for nothing, reports errors alone, and is itself something the loop can wait for.
    Where there is no epoll the reset shows at the second write.
    """

    def __init__(self, sock: TransportSocket, on_reset: Callable[[], None]) -> None:
        self._sock = sock
        self._on_reset = on_reset
        self._loop = asyncio.get_running_loop()
        self._poll: select.epoll | None = None
        if hasattr(select, "epoll"):
            self._poll = select.epoll(1)
            self._poll.register(sock.fileno(), 0)
            self._loop.add_reader(self._poll.fileno(), self._look)

    def close(self) -> None:
        """Stops watching; may be called again."""
        if self._poll is not None:
            self._loop.remove_reader(self._poll.fileno())
            self._poll.close()
            self._poll = None

    def _look(self) -> None:
        failed = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        # Without an error it is the end of both directions, after which nothing more comes.
        self.close()
        if failed:
            self._on_reset()
