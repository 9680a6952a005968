"""Where other nodes connect to this one, never by more than it has room for.

asyncio's own server, out of descriptors, writes a traceback for each connection that waits, and starts a retry
for each. This one takes no descriptor that the disk or a node to be dialled may need, and says so once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import ssl
from typing import TYPE_CHECKING, Any

from casty import descriptors
from casty.cluster.address import Address
from casty.cluster.errand import run_errand

if TYPE_CHECKING:
    from collections.abc import Callable

    from casty.cluster.link import Link

logger = logging.getLogger(__name__)

BACKLOG = 128
"""Connections that the kernel keeps for a node that is busy; no more are accepted in one turn of the loop."""

RETRY_SECONDS = 0.5
"""How long nothing is accepted when not a single descriptor is left."""

RESERVE_MIN = 16
"""Descriptors that are left to the log, a snapshot and the nodes this one dials: these, or an eighth of all."""


class Listener:
    """Listens on an address, and makes a link of each connection that comes while `has_room` says so."""

    def __init__(
        self,
        make: Callable[[], Link],
        has_room: Callable[[], bool],
        *,
        tls: Callable[[], ssl.SSLContext] | None,
        tls_seconds: float,
        note: Callable[[tuple[str, str], str], None],
    ) -> None:
        """`note` is told what people should know: a subject, which may recur, and the text."""
        self.arriving: set[Link] = set()
        """Links that are not made yet: for a moment, or as long as TLS takes. Who owns them takes them out."""
        self._make = make
        self._has_room = has_room
        self._tls = tls
        self._tls_seconds = tls_seconds if tls is not None else None
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._retries: set[asyncio.TimerHandle] = set()
        self._joining: set[asyncio.Task[None]] = set()
        self._note = note

    async def listen(self, address: Address) -> Address:
        """Binds, and returns the address with the port it got. Raises OSError where it cannot."""
        host, port = address
        try:
            found = await run_errand(
                socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except (OSError, UnicodeError) as error:
            raise _cannot_listen(address, error) from None
        missing = None
        for family, _, _, _, place in found:
            try:
                listening = _bound(family, (place[0], port, *place[2:]))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    await self.close()
                    raise
                missing = error
            else:
                self._sockets.append(listening)
                port = listening.getsockname()[1]  # the same for all addresses of the host
        if missing is not None and not self._sockets:
            raise missing
        return Address(host, port)

    def start(self) -> None:
        """Accepts from here on. Raises OSError where somebody else has come to listen there meanwhile."""
        for listening in self._sockets:
            try:
                listening.listen(BACKLOG)
            except OSError as error:
                raise _cannot_listen(Address(*listening.getsockname()[:2]), error) from None
            self._loop.add_reader(listening, self._accept, listening)

    async def close(self) -> None:
        """Accepts nothing more. What is being accepted has become a connection by then, or is closed."""
        for retry in self._retries:
            retry.cancel()
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()
        for joining in self._joining:
            joining.cancel()
        if self._joining:
            await asyncio.wait(self._joining)

    # ------------------------------------------------------------------------------------------- accepting

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(BACKLOG):
            try:
                with descriptors.opening:
                    connection, place = listening.accept()
                    descriptors.claim(connection.fileno())
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor, or no memory: the connection waits in the kernel
                self._warn(f"accepts nothing for now: {error}")
                self._pause(listening)
                return
            self._take(connection, str(place[0]))

    def _take(self, connection: socket.socket, host: str) -> None:
        if not self._has_room():
            connection.close()
        elif (used := connection.fileno()) >= (most := _descriptors_for_connections()):
            connection.close()
            self._warn(
                f"closes new connections: {used} descriptors are open, of {most} that connections may use"
            )
        else:
            connection.setblocking(False)
            task = asyncio.Task(self._join(connection, host), loop=self._loop, eager_start=True)
            if not task.done():
                self._joining.add(task)
                task.add_done_callback(self._joining.discard)

    async def _join(self, connection: socket.socket, host: str) -> None:
        link = self._make()
        self.arriving.add(link)
        try:
            await self._loop.connect_accepted_socket(
                lambda: link,
                connection,
                ssl=self._tls() if self._tls is not None else None,
                ssl_handshake_timeout=self._tls_seconds,
            )
        except OSError as error:  # of TLS, too
            if isinstance(error, ssl.SSLError):
                self._note(("handshake", host), f"the TLS handshake of {host} fails: {error}")
            logger.debug("a connection was not made: %r", error)
        finally:
            self.arriving.discard(link)

    # ------------------------------------------------------------------------------------ no descriptor left

    def _pause(self, listening: socket.socket) -> None:
        self._loop.remove_reader(listening)

        def resume() -> None:
            self._retries.discard(retry)
            self._loop.add_reader(listening, self._accept, listening)

        retry = self._loop.call_later(RETRY_SECONDS, resume)
        self._retries.add(retry)

    def _warn(self, what: str) -> None:
        self._note(("descriptors", ""), f"this node {what}; see the limit of open files (ulimit -n)")


_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""What a machine says of an address that is not its own, or of IPv6 where that is off."""


def _bound(family: int, place: tuple[Any, ...]) -> socket.socket:
    where = Address(str(place[0]), int(place[1]))
    try:
        # Without the protocol's number asyncio leaves Nagle's algorithm on in what this socket accepts, and an
        # answer that follows another waits until that one is acknowledged (spec PEER-10).
        with descriptors.opening:
            listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            descriptors.claim(listening.fileno())
    except OSError as error:
        raise _cannot_listen(where, error) from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind(place)
    except OSError as error:
        listening.close()
        raise _cannot_listen(where, error) from None
    return listening


def _cannot_listen(address: Address, error: OSError | UnicodeError) -> OSError:
    if isinstance(error, UnicodeError):
        return OSError(f"cannot listen on {address}: no name of a host: {error}")
    return OSError(error.errno, f"cannot listen on {address}: {(error.strerror or str(error)).lower()}")


def _descriptors_for_connections() -> float:
    """Descriptors are given out from the lowest on: a number tells how many are in use."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return float("inf")
    return limit - max(RESERVE_MIN, limit // 8)
