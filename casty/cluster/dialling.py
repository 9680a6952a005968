"""A connection to a host, by that of its addresses which answers first (after RFC 8305).

A name may have many addresses, and each may be dead in its own way: it refuses, it drops what is sent to it, it
takes the connection and hangs in TLS, or it never says hello. So each attempt gets a short start before the
next one begins, the first that succeeds wins, and addresses that were of no use come last the next time.

asyncio's own `happy_eyeballs_delay` does a part of that: it looks names up in the loop's few threads, which a
process that ends waits for, and a TLS handshake that hangs holds up all other addresses.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import OrderedDict
from functools import partial
from ipaddress import ip_address
from itertools import chain, count, zip_longest
from typing import TYPE_CHECKING, cast

from casty.cluster.address import Address
from casty.cluster.errand import run_errand

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from typing import Any

NEXT_AFTER = 0.25
"""Seconds until the next address is tried as well (RFC 8305 section 5)."""

PLACES_MAX = 4
"""Addresses of one host that are tried at a time; the others have their turn when these were of no use."""

REMEMBERED_MAX = 1024
"""Hosts whose useless addresses are remembered, and lookups of names that no attempt needs any more."""


class Dialler:
    """Connects to hosts, and remembers which of their addresses were of no use."""

    def __init__(self) -> None:
        self._lookups: dict[Address, asyncio.Future[list[Any]]] = {}
        """By host: lookups that are under way, or that came too late for the attempt that began them."""
        self._useless: OrderedDict[Address, dict[str, int]] = OrderedDict()
        """By host: the addresses that were of no use, in the order in which that was seen."""
        self._order = count(1)

    async def connect(
        self, address: Address, seconds: float, context: ssl.SSLContext | None
    ) -> asyncio.Transport:
        """A connection, its TLS handshake done. Nothing is read from it before `hand_over`.

        Raises OSError (an ssl.SSLError among them) or, for what cannot be a name, ValueError.
        """
        stage = f"looking up {address.host}"
        try:
            async with asyncio.timeout(seconds):
                found = await self._resolved(address)
                places = self._in_order(address, found)
                stage = f"connecting to {', '.join(place.host for place in places)}"
                attempts = [partial(self._attempt, address, place, context) for place in places]
                return await first_of(attempts, NEXT_AFTER, asyncio.Transport.abort)
        except TimeoutError:
            raise TimeoutError(f"{stage} took longer than {seconds:g} s") from None

    def was_useless(self, address: Address, host: str) -> None:
        """The connection that led there was of no use after all: no node that this one can talk to is there."""
        hosts = self._useless.setdefault(address, {})
        hosts[host] = next(self._order)
        self._useless.move_to_end(address)
        if len(self._useless) > REMEMBERED_MAX:
            self._useless.popitem(last=False)

    async def _attempt(
        self, address: Address, place: Address, context: ssl.SSLContext | None
    ) -> asyncio.Transport:
        name = address.host if context is not None else None
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_connection(_Silent, *place, ssl=context, server_hostname=name)
        except BaseException:
            self.was_useless(address, place.host)
            raise
        return transport

    # --------------------------------------------------------------------------------------------- addresses

    async def _resolved(self, address: Address) -> list[Address]:
        """Where the host is.

        Names are looked up in threads of their own, for each may take long, and invented ones must neither keep
        the loop's few threads from others nor the process from ending (spec PEER-5). An attempt that cannot
        wait for its lookup leaves it to the next one, so a name that hangs has one thread, and one that is
        slower than every attempt is reached all the same.
        """
        try:
            ip_address(address.host)
        except ValueError:
            pass
        else:
            return [address]
        lookup = self._lookups.get(address)
        if lookup is None:
            self._drop_old_lookups()
            lookup = run_errand(socket.getaddrinfo, *address, type=socket.SOCK_STREAM)
            lookup.add_done_callback(_see)
            self._lookups[address] = lookup
        try:
            found = await asyncio.shield(lookup)
        finally:
            if lookup.done() and self._lookups.get(address) is lookup:
                del self._lookups[address]
        return [Address(str(place[0]), address.port) for *_, place in found]

    def _drop_old_lookups(self) -> None:
        if len(self._lookups) >= REMEMBERED_MAX:
            for address in [address for address, lookup in self._lookups.items() if lookup.done()]:
                del self._lookups[address]

    def _in_order(self, address: Address, places: Sequence[Address]) -> list[Address]:
        """The addresses to try now: those that were useless last, and IPv4 and IPv6 by turns."""
        useless = self._useless.get(address, {})
        for host in useless.keys() - {place.host for place in places}:
            del useless[host]  # the name has moved
        return sorted(interleaved(places), key=lambda place: useless.get(place.host, 0))[:PLACES_MAX]


def interleaved(places: Sequence[Address]) -> list[Address]:
    """The same addresses, those of the two families by turns (RFC 8305 section 4)."""
    families: dict[bool, list[Address]] = {}
    for place in dict.fromkeys(places):
        families.setdefault(":" in place.host, []).append(place)
    return [place for place in chain.from_iterable(zip_longest(*families.values())) if place is not None]


async def first_of[T](
    attempts: Iterable[Callable[[], Coroutine[Any, Any, T]]], delay: float, discard: Callable[[T], object]
) -> T:
    """The result of the attempt that succeeds first.

    Each begins `delay` seconds after the one before it, or as soon as one fails. When one has succeeded, the
    others are cancelled, and `discard` is given the result of one that succeeds in the same moment. When all
    have failed, the error that says most is raised: what TLS says, else the first.
    """
    waiting = list(reversed(list(attempts)))
    running: list[asyncio.Task[T]] = []
    errors: list[OSError] = []
    won: list[T] = []
    try:
        while waiting or running:
            if waiting:
                running.append(asyncio.create_task(waiting.pop()()))
            await asyncio.wait(running, timeout=delay if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            while not won and any(task.done() for task in running):
                task = next(task for task in running if task.done())
                running.remove(task)
                try:
                    won.append(task.result())
                except OSError as error:
                    errors.append(error)
            if won:
                return won[0]
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        for task in running:
            if not task.cancelled() and task.exception() is None:
                discard(task.result())
    raise min(errors, key=_says_less, default=OSError("the name has no address"))


def _says_less(error: OSError) -> int:
    ranks = (ssl.SSLCertVerificationError, ssl.SSLError)
    return next((rank for rank, kind in enumerate(ranks) if isinstance(error, kind)), len(ranks))


def hand_over(transport: asyncio.Transport, protocol: asyncio.BufferedProtocol) -> None:
    """Gives a connection that `Dialler.connect` made to who is to use it. Raises OSError if it has ended."""
    if transport.is_closing():
        raise ConnectionResetError("the connection was closed at once")
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    transport.resume_reading()


class _Silent(asyncio.Protocol):
    """What a connection is given until it is decided which of several is used: it says and reads nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).pause_reading()


def _see(lookup: asyncio.Future[list[Any]]) -> None:
    if not lookup.cancelled():
        lookup.exception()  # seen: the attempt that waited for it may have ended
