"""The network of one cluster: a relay before every node, and the faults between them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from conformance.proxy.faults import Drop, Fault, Faults
from conformance.proxy.relay import Relay
from conformance.trace.record import Marked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random

    from conformance.proxy.connection import Connection
    from conformance.trace.store import Trace


class Network:
    """Every frame between the nodes passes here, is entered in the trace, and meets the faults in force.

    Chance comes from `rng` alone. What is done to the network is entered in the trace, too.
    """

    def __init__(self, trace: Trace, rng: Random) -> None:
        self._trace = trace
        self._faults = Faults(rng)
        self._relays: dict[tuple[str, str | None], Relay] = {}
        self._served: dict[str, str | None] = {}

    async def listen(self, node: str, *, dialler: str | None = None) -> str:
        """The address under which others reach this node; listens from now on, before the node is started.

        With a `dialler`, an address for that node alone, whose connections are not read but relayed as bytes:
        for TLS, where no hello can be read. Faults that ask for kinds or a lane do not apply there.
        """
        assert (node, dialler) not in self._relays, f"{node} has a listener for {dialler or 'everybody'}"
        relay = Relay(
            self._trace,
            node,
            self._served.get(node),
            dialler=dialler,
            is_opaque=dialler is not None,
            judge=self._faults,
        )
        self._relays[node, dialler] = relay
        return await relay.start()

    def serve(self, node: str, address: str | None) -> None:
        """Says where the node listens itself; None: nowhere. For new connections; those that are open stay."""
        self._served[node] = address
        for relay in self._relays.values():
            if relay.listener == node:
                relay.serve(address)

    def add(self, fault: Fault) -> None:
        """From now on this fault is in force, for every frame that is not whole yet, on any connection."""
        self._faults.add(fault)
        self._mark("fault", str(fault))

    def remove(self, fault: Fault) -> None:
        """The fault is over, and what it holds goes on. Does nothing if it is not in force."""
        if fault in tuple(self._faults):
            self._faults.remove(fault)
            self._release(fault)
            self._mark("heal", str(fault))

    def heal(self) -> None:
        """Removes all faults. What was delayed or cut into pieces stays so; what was lost stays lost."""
        for fault in self._faults:
            self.remove(fault)

    def partition(self, *groups: Iterable[str]) -> list[Fault]:
        """Drops every frame from a node of one group to a node of another; returns the faults that do it.

        New connections between them are accepted and come to nothing. Ends of connections are passed on.
        """
        sets = [tuple(group) for group in groups]
        faults = [
            Fault(Drop(), source, target)
            for here in sets
            for there in sets
            if here is not there
            for source in here
            for target in there
        ]
        for fault in faults:
            self.add(fault)
        return faults

    async def reset(self, a: str, b: str) -> int:
        """Resets every connection between two nodes, on both sides. Returns how many, when they are closed.

        What was held or delayed on them is lost. A connection whose hello has not been read is nobody's.
        """
        found = self._between(a, b)
        self._mark("reset", f"{a} and {b}: {len(found)} connections")
        for connection in found:
            connection.reset()
        for connection in found:
            await connection.gone.wait()
        return len(found)

    def half_close(self, a: str, b: str) -> int:
        """Ends the direction from a to b on every connection between the two, and returns how many there are.

        b sees a FIN after what a has sent so far; what a sends later is lost, and what b sends still arrives.
        """
        found = self._between(a, b)
        self._mark("half-close", f"{a}→{b}: {len(found)} connections")
        for connection in found:
            connection.direction_from(a).finish("half-closed by the network")
        return len(found)

    async def cut(self, a: str, b: str) -> int:
        """Resets a's side of every connection between the two, and tells b nothing. Returns how many there are.

        So a dials anew while b still has the old connection, on which what was held (`Hold`) or delayed from a
        to b arrives late: hold, cut, release. That is what a network does that loses the RST. What b sends on
        the old connection is lost. b keeps it until it notices by itself (PEER-9), sees a newer one (PEER-7),
        or is told by `reset`; so late frames must be released before a's new hello gets to b.
        """
        found = self._between(a, b)
        self._mark("cut", f"{a}, not {b}: {len(found)} connections")
        for end in [connection.cut(a) for connection in found]:
            await end.gone.wait()
        return len(found)

    async def release(self, fault: Fault) -> int:
        """Lets go what this fault holds so far, in order, and returns how many frames; it holds new ones.

        Returns when connections that had to be dialled for it are, so that the frames are on their way.
        """
        count = self._release(fault)
        self._mark("release", f"{count} frames of {fault}")
        dials = [connection.dialling for connection in self._connections() if connection.dialling is not None]
        await asyncio.gather(*dials, return_exceptions=True)
        return count

    async def close(self) -> None:
        """Resets every connection and stops listening."""
        await asyncio.gather(*(relay.close() for relay in self._relays.values()))
        self._relays.clear()

    def _release(self, fault: Fault) -> int:
        directions = [way for connection in self._connections() for way in (connection.out, connection.back)]
        return sum(direction.outbox.release(fault) for direction in directions)

    def _connections(self) -> Iterator[Connection]:
        for relay in self._relays.values():
            yield from tuple(relay.connections)

    def _between(self, a: str, b: str) -> list[Connection]:
        return [connection for connection in self._connections() if connection.is_between(a, b)]

    def _mark(self, event: str, text: str) -> None:
        self._trace.append(Marked(self._trace.now(), None, event, text))
