"""The mesh: everybody reaches everybody, and does so again."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from casty.cluster.address import Address
from tests.cluster.actors import Echo
from tests.cluster.harness import client, free_port, meshed, until, within
from tests.cluster.peers import Listener, peer_of


async def test_one_seed_is_enough_for_everybody_to_reach_everybody() -> None:
    """PEER-1, PEER-2 (conformance D-08): a full mesh from one seed."""
    async with (
        client(node_id="a") as a,
        client(a, node_id="b") as b,
        client(b, node_id="c") as c,
        client(a, node_id="d") as d,
    ):
        await meshed(a, b, c, d)
        assert dict(a.peers) == {"b": b.listen, "c": c.listen, "d": d.listen}
        assert set(d.peers) == {"a", "b", "c"}


async def test_a_seed_that_is_down_is_dialled_until_it_is_up() -> None:
    """PEER-2 (conformance D-06): starting does not wait for it, and nobody starts anything again."""
    port = free_port()
    async with client(f"127.0.0.1:{port}", node_id="b") as b:
        assert not b.peers
        await until(lambda: any(tried.failures > 1 for tried in b.book._attempts.values()))
        async with client(node_id="a", port=port) as a:
            await meshed(a, b)


async def test_names_that_take_long_to_look_up_keep_no_thread_from_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PEER-5: nor a process from ending, which waits for the threads of its loop."""
    found, answer = socket.getaddrinfo, threading.Event()

    def slow(host: str, *args: Any, **kwargs: Any) -> Any:
        if host.endswith(".invalid"):
            answer.wait(20.0)
        return found(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        async with client(*(f"n{number}.invalid:1" for number in range(40)), node_id="a") as a:
            async with client(a, f"localhost:{a.listen.port}", node_id="b") as b:
                await meshed(a, b)
            assert await within(asyncio.to_thread(str, 1)) == "1"
            assert not answer.is_set()
    finally:
        answer.set()


async def test_a_node_that_comes_back_on_another_port_is_found_there() -> None:
    """PEER-4: its own hello says where; a new boot is no conflict once the old one is gone."""
    async with client(node_id="b") as b:
        boots: list[bytes] = []
        ports: list[int] = []
        for _ in range(2):
            async with client(b, node_id="a") as a:
                await meshed(a, b)
                boots.append(a.identity.boot_id)
                ports.append(b.peers[a.identity.node_id].port)
                assert ports[-1] == a.listen.port
            await until(lambda: not b.peers)
        assert boots[0] != boots[1]


async def test_a_lost_connection_is_made_again() -> None:
    """PEER-2."""
    async with client(node_id="a") as a, client(a, node_id="b") as b:
        await meshed(a, b)
        for link in a.links.all():
            link.abort()
        await until(lambda: not a.links.dialled)
        await meshed(a, b)


async def test_its_own_address_among_the_seeds_is_no_peer() -> None:
    """PEER-3: as it is written, and as an alias that only the hello tells."""
    port = free_port()
    async with client(f"127.0.0.1:{port}", f"localhost:{port}", node_id="a", port=port) as a:  # noqa: SIM117 (reads in the order it happens)
        async with client(a, node_id="b") as b:
            await meshed(a, b)
            await until(lambda: Address("localhost", port) in a.book._own)
            assert set(a.peers) == {"b"}
            assert not [dial for dial in a.book._wanted() if dial.address.port == port]


async def test_its_own_address_behind_another_is_no_peer() -> None:
    """PEER-3: a forwarded port shows neither end of the connection, but the node knows its own hello."""
    async with Listener() as forwarder, client(forwarder.address, node_id="a") as a:
        outside = await forwarder.next()
        reader, writer = await asyncio.open_connection(*a.listen)
        writer.write(await outside.reader.read(1 << 16))
        outside.send(await reader.read(1 << 16))
        await until(lambda: Address("127.0.0.1", forwarder.port) in a.book._own)
        assert a.book.next_due() is None
        writer.close()


async def test_two_names_for_one_node_are_one_connection() -> None:
    """PEER-7: of two connections of one lane the newer stays; neither is dialled again."""
    async with client(node_id="a") as a:
        port = a.listen.port
        async with client(f"127.0.0.1:{port}", f"localhost:{port}", node_id="b") as b:
            await meshed(a, b)
            await until(lambda: all(who == "a" for who in b.book._seeds.values()))
            await until(lambda: b.book.next_due() is None)
            await a.spawn(Echo, name="echo")
            assert await b.ref("a", "echo").ask(1) == 1
            assert len(b.links.dialled) == 1
            await until(lambda: len(a.links.accepted) == 1)


@pytest.mark.needs("ipv6")
async def test_ipv6_addresses_go_in_brackets() -> None:
    """PEER-4; actors.md rule 49."""
    async with client(host="[::1]", node_id="a") as a, client(f"[::1]:{a.listen.port}", host="::1") as b:
        assert b.node_id == f"::1:{b.listen.port}"
        await meshed(a, b)
        assert str(b.peers[a.identity.node_id]) == f"[::1]:{a.listen.port}"


async def test_a_wildcard_host_is_dialled_where_its_connection_came_from() -> None:
    """PEER-4; rule 61: the default node id is not 0.0.0.0, or three such nodes would clash."""
    async with client(node_id="a") as a, client(a, host="0.0.0.0") as b, client(a, host="") as c:
        await meshed(a, b, c)
        assert a.peers[b.identity.node_id] == Address("127.0.0.1", b.listen.port)
        assert "0.0.0.0" not in b.identity.node_id
        assert b.identity.node_id.endswith(f":{b.listen.port}")
        assert b.identity.node_id != c.identity.node_id


async def test_what_is_advertised_is_what_others_dial() -> None:
    """LAUNCH-3, PEER-4 (conformance D-01)."""
    async with Listener() as listener, client(advertise=listener.address) as a:
        assert a.node_id == listener.address
        async with client(a, node_id="b") as b:
            await until(lambda: dict(b.book.known()))
            assert dict(b.book.known()) == {a.node_id: Address("127.0.0.1", listener.port)}
        async with peer_of(a, greet=False) as peer:
            hello = await peer.greet()
            assert hello.payload["address"] == listener.address
