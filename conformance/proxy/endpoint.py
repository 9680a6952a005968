"""One of the two sockets of a relayed connection, and how it ended: by FIN or by RST."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING, Final, Protocol, cast

from conformance.proxy.reset_watch import ResetWatch

if TYPE_CHECKING:
    from conformance.proxy.outbox import End

LAST_BYTES_MAX: Final = 1 << 23
"""What is read at most of a socket that failed at a write: more than a kernel buffers for one."""


class Owner(Protocol):
    """What an endpoint tells of itself."""

    def endpoint_open(self, endpoint: Endpoint) -> None: ...
    def endpoint_wanted(self, endpoint: Endpoint) -> None: ...
    def endpoint_data(self, endpoint: Endpoint, data: bytes) -> None: ...
    def endpoint_end(self, endpoint: Endpoint, how: End) -> None: ...
    def endpoint_flow(self, endpoint: Endpoint) -> None: ...
    def endpoint_lost(self, endpoint: Endpoint) -> None: ...


class Endpoint(asyncio.Protocol):
    """A socket that may not be connected yet, and tells its owner what comes of it."""

    def __init__(self, owner: Owner) -> None:
        self.is_congested = False
        """Whether the receiver does not take what is written."""
        self.is_lost = False
        """Whether the socket is gone, or will never be."""
        self.gone = asyncio.Event()
        """Set when it is lost."""
        self.has_ended = False
        """Whether the other side has sent a FIN: nothing more will come."""
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._is_closing = False
        self._has_finished = False
        self._watch: ResetWatch | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can be written to."""
        return self._transport is not None and not self.is_lost and not self._is_closing

    def open(self) -> None:
        """Asks for the connection that this endpoint is to have."""
        if not self.is_lost:
            self._owner.endpoint_wanted(self)

    def write(self, data: bytes) -> None:
        """Writes, or does nothing if nobody will read it."""
        if self._transport is not None and self.is_open and not self._has_finished:
            self._transport.write(data)

    def end(self, how: End) -> None:
        """Says FIN or RST. What was written arrives before a FIN, and perhaps not before a RST."""
        if how == "reset":
            self.reset()
        elif self._transport is not None and self.is_open and not self._has_finished:
            self._has_finished = True
            with contextlib.suppress(OSError):  # a RST has come that the loop has not read yet
                self._transport.write_eof()

    def reset(self) -> None:
        """Ends both directions at once with a RST. The owner hears no end of it, only that it is lost."""
        self._is_closing = True
        if self._transport is None:
            self._lose()
        elif not self.is_lost:
            sock = self._transport.get_extra_info("socket")
            # Closing a socket that lingers for no time is how the kernel is told to send a RST.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def close(self) -> None:
        """Closes the socket after both directions have ended."""
        self._is_closing = True
        if self._transport is not None:
            self._transport.close()

    def read_while(self, wanted: bool) -> None:
        """Reads on, or leaves what comes to the kernel, whose window then stops the sender."""
        if self._transport is None or self.is_lost or self.has_ended:
            return
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._is_closing:
            self.is_lost = False
            self.reset()
        else:
            self._owner.endpoint_open(self)

    def data_received(self, data: bytes) -> None:
        self._owner.endpoint_data(self, data)

    def eof_received(self) -> bool:
        self.has_ended = True
        assert self._transport is not None
        self._watch = ResetWatch(self._transport.get_extra_info("socket"), self._transport.abort)
        self._owner.endpoint_end(self, "fin")
        return True  # The other direction lives on.

    def pause_writing(self) -> None:
        self.is_congested = True
        self._owner.endpoint_flow(self)

    def resume_writing(self) -> None:
        self.is_congested = False
        self._owner.endpoint_flow(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_closing:
            self._read_the_last()
        self.is_lost = True
        if not self._is_closing:
            self._owner.endpoint_end(self, "reset")
        self._lose()

    def _lose(self) -> None:
        if self._watch is not None:
            self._watch.close()
        self.is_lost = True
        self.gone.set()
        self._owner.endpoint_lost(self)

    def _read_the_last(self) -> None:
        """Gives the owner what arrived before the socket failed.

        A node that answers with ERROR and closes may make our next write fail before its answer was read;
        asyncio would throw that away, and it tells what was wrong.
        """
        assert self._transport is not None
        handle = self._transport.get_extra_info("socket").fileno()
        total = 0
        try:
            while not self.has_ended and total < LAST_BYTES_MAX and (data := os.read(handle, 1 << 16)):
                total += len(data)
                self._owner.endpoint_data(self, data)
        except OSError:
            pass  # The reset itself, or nothing to read.
